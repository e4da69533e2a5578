# SPDX-License-Identifier: GPL-2.0-only
"""expected.toml: what each boot tests, and what it gets for an answer.

More than half of the cases skip in a boot, so that one which starts to skip would
look as good as before.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable

from .. import paths, results, toml
from ..results import Outcome
from . import Finding

MOST = 5                        # differences of a boot that are named

_HEAD = """# SPDX-License-Identifier: GPL-2.0-only
# Made by ./lab pin. How many parameters of a test case pass in a boot, how many of all
# cases skip there, and in which boots a call gets an answer from an implementation of
# the DMA API. Cases that are not named pass nowhere; of those that are newer than what
# is pinned of a boot, it is listed under unknown.
"""


def load() -> dict[str, dict]:
    """What is pinned: {section: {name: what of which boot}}."""
    path = paths.ROOT / "expected.toml"
    pinned = toml.load(path) if path.exists() else {}
    return {name: pinned.get(name, {})
            for name in ("skipped", "passed", "unknown", "answers")}


def counts(outcome: Outcome) -> tuple[dict, int]:
    """({'suite.case': how many passed}, how many skipped) of a boot."""
    passed: Counter = Counter()
    skipped = 0
    for names, status in results.cases(outcome).items():
        passed[".".join(names[:2])] += status == "PASS"
        skipped += status == "SKIP"
    return {name: number for name, number in passed.items() if number}, skipped


def answers(outcome: Outcome) -> set[str]:
    """The answers that the test cases of a boot got, a line each."""
    return set(map(" ".join, results.answers(outcome.ktap.splitlines())))


def as_before(outcome: Outcome) -> Finding:
    """Whether a good boot shows what is pinned of it.

    A case that no boot has pinned is new and no difference, nor are its answers.
    """
    changed = _differences(outcome) if outcome.ok else []
    return Finding(f"{outcome.cell} tests what it did before", changed and (
        f"{'; '.join(changed[:MOST])} (if that is right: ./lab pin)") or "")


def _differences(outcome):
    cell, pinned = outcome.cell, load()
    if cell not in pinned["skipped"]:
        return []
    passed, skipped = counts(outcome)
    known = {name: boots.get(cell, 0) for name, boots in pinned["passed"].items()
             if cell not in pinned["unknown"].get(name, [])}
    found = [f"{name}: {passed.get(name, 0)} passed, {wanted} expected"
             for name, wanted in known.items() if passed.get(name, 0) != wanted]
    wanted = pinned["skipped"][cell]
    if not found and skipped < wanted:
        found.append(f"{skipped} skipped, {wanted} expected")
    seen = answers(outcome)
    old = {answer for answer, boots in pinned["answers"].items() if cell in boots}
    found += [f"no answer {answer} any more" for answer in sorted(old - seen)]
    if not set(passed) - set(known):
        found += [f"a new answer {answer}" for answer in sorted(seen - old)]
    return found


def pin(outcomes: Collection[Outcome], cells: Iterable[str]) -> bool:
    """Make expected.toml what `outcomes` show; whether that changed it.

    Boots of other `cells` stay pinned as they are.
    """
    pinned, names = load(), set(cells)
    skips = {cell: count for cell, count in pinned["skipped"].items() if cell in names}
    cases, unknown = pinned["passed"], pinned["unknown"]
    booted = {outcome.cell for outcome in outcomes}
    given = {answer: names.intersection(boots) - booted
             for answer, boots in pinned["answers"].items()}
    others = [cell for cell in skips if cell not in booted]
    for outcome in outcomes:
        cell = outcome.cell
        passed, skips[cell] = counts(outcome)
        for name in {*cases, *passed}:
            if name not in cases:
                cases[name], unknown[name] = {}, others
            cases[name][cell] = passed.get(name, 0)
            unknown[name] = [other for other in unknown.get(name, []) if other != cell]
        for answer in answers(outcome):
            given.setdefault(answer, set()).add(cell)
    lines = [_HEAD, "[skipped]", *(f"{boot} = {skips[boot]}" for boot in sorted(skips)),
             "", "[passed]"]
    for name, numbers in sorted(cases.items()):
        passing = ", ".join(f"{boot} = {numbers[boot]}" for boot in sorted(skips)
                            if numbers.get(boot))
        lines += [f'"{name}" = {{ {passing} }}'] * bool(passing)
    for section, lists in (("unknown", unknown), ("answers", given)):
        lines += ["", f"[{section}]", *(f'"{name}" = {json.dumps(sorted(boots))}'
                                        for name, boots in sorted(lists.items()) if boots)]
    return paths.replace(paths.ROOT / "expected.toml", "\n".join(lines) + "\n")
