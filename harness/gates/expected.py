# SPDX-License-Identifier: GPL-2.0-only
"""expected.toml: which test cases pass in each boot, and how many skip there.

More than half of the cases skip in a boot, so that one which starts to skip would
look as good as before.
"""

import json
from collections import Counter

from .. import paths, results, toml
from ..results import Outcome

_HEAD = """# SPDX-License-Identifier: GPL-2.0-only
# Made by ./lab check --full --pin. How many parameters of a test case pass in a boot,
# and how many of all cases skip there. Cases that are not named pass nowhere; of those
# that are newer than what is pinned of a boot, it is listed under unknown.
"""


def _path():
    return paths.ROOT / "expected.toml"


def counts(outcome: Outcome) -> tuple[dict, int]:
    """({'suite.case': how many passed}, how many skipped) of a boot."""
    passed: Counter = Counter()
    skipped = 0
    for names, status in results.cases(outcome).items():
        passed[".".join(names[:2])] += status == "PASS"
        skipped += status == "SKIP"
    return {name: number for name, number in passed.items() if number}, skipped


def differences(outcome: Outcome) -> list[str]:
    """In what the boot differs from what is pinned: a sentence each.

    A case that no boot has pinned is new and no difference.
    """
    pinned = toml.load(_path()) if _path().exists() else {}
    if outcome.cell not in pinned.get("skipped", {}):
        return []
    passed, skipped = counts(outcome)
    new = pinned.get("unknown", {})
    known = {name: boots for name, boots in pinned.get("passed", {}).items()
             if outcome.cell not in new.get(name, [])}
    found = [f"{name}: {passed.get(name, 0)} passed, {boots.get(outcome.cell, 0)} expected"
             for name, boots in known.items()
             if passed.get(name, 0) != boots.get(outcome.cell, 0)]
    wanted = pinned["skipped"][outcome.cell]
    if not found and skipped < wanted:
        found.append(f"{skipped} skipped, {wanted} expected")
    return found


def pin(outcomes: list[Outcome]) -> bool:
    """Make expected.toml what the good ones of `outcomes` show; whether that changed it.

    Boots that are not among them stay pinned as they are.
    """
    pinned = toml.load(_path()) if _path().exists() else {}
    skips, cases = pinned.get("skipped", {}), pinned.get("passed", {})
    unknown = pinned.get("unknown", {})
    good = [outcome for outcome in outcomes if outcome.ok]
    others = [cell for cell in skips if cell not in {outcome.cell for outcome in good}]
    for outcome in good:
        passed, skips[outcome.cell] = counts(outcome)
        for name in {*cases, *passed}:
            if name not in cases:
                cases[name], unknown[name] = {}, others
            cases[name][outcome.cell] = passed.get(name, 0)
            unknown[name] = [cell for cell in unknown.get(name, []) if cell != outcome.cell]
    lines = [_HEAD, "[skipped]", *(f"{boot} = {skips[boot]}" for boot in sorted(skips)),
             "", "[passed]"]
    for name, boots in sorted(cases.items()):
        passing = ", ".join(f"{boot} = {boots[boot]}" for boot in sorted(boots)
                            if boots[boot])
        lines += [f'"{name}" = {{ {passing} }}'] * bool(passing)
    lines += ["", "[unknown]", *(f'"{name}" = {json.dumps(cells)}'
                                 for name, cells in sorted(unknown.items()) if cells)]
    return paths.replace(_path(), "\n".join(lines) + "\n")
