# SPDX-License-Identifier: GPL-2.0-only
"""./lab pin: which call got which answer by which route, and in which boots.

The suites print a line for each answer that the calls of a test case got. Where no
boot has shown an answer, coverage.toml says why.
"""

import fnmatch
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import model, paths, results, toml, ui
from ..errors import FAILED, PASS
from ..gates import expected
from ..source import trees
from . import tables

PAGE = "docs/coverage.md"
CALLS = ("dma_map_phys", "dma_map_page_attrs", "dma_map_single_attrs", "dma_map_resource",
         "dma_map_sg_attrs", "dma_map_sgtable", "dma_iova_link", "hmm_dma_map_alloc",
         "hmm_dma_map_pfn", "ib_umem_get_va", "ib_umem_odp_get",
         "ib_umem_odp_alloc_implicit")
REASONS = ("NONCOHERENT", "FORCED_BOUNCE", "UNREACHABLE", "ENCRYPTED", "UNTRUSTED",
           "BOUNCE")
ANSWERS = ("mapped", *REASONS)

_RULE = ("route", "call", "answer", "why")

# {(route, call, answer): names of boots}
Seen = dict[tuple[str, str, str], list[str]]


@dataclass(frozen=True)
class Rule:
    """Why an answer is not given: globs of routes, calls and answers, with | between."""

    route: str
    call: str
    answer: str
    why: str

    def fits(self, place: tuple) -> bool:
        """Whether it speaks of the (route, call, answer) `place`."""
        return all(any(fnmatch.fnmatch(word, glob) for glob in globs.split("|"))
                   for word, globs in zip(place, (self.route, self.call, self.answer)))


def run(directories: Sequence[str]) -> int:
    """Pin what the boots below `directories` showed, by default those kept here, and
    write docs/coverage.md from all that is pinned; an exit status.

    FAILED if an answer is neither seen nor explained. Pinned are the newest good boots
    of each cell from the commit that the series tree is at; the other cells are named,
    and stay as they are. LabError USAGE if there is no such directory.
    """
    plan = model.load()
    booted = newest(plan, [Path(name) for name in directories] or results.runs()[::-1])
    missing = {cell.name for cell in plan.cells.values() if cell.suites} - set(booted)
    if missing:
        ui.note("pinned as before, since there is no good boot of this series: "
                f"{' '.join(sorted(missing))}")
    pinned = expected.pin(booted.values(), plan.cells)
    text, wrong = report(plan, expected.load())
    for line in wrong:
        ui.say(line)
    written = paths.replace(paths.ROOT / PAGE, text)
    ui.conclusion(f"pin: {len(booted)} boots, {len(wrong)} mistakes; "
                  + ", ".join(f"{name} {'written' if changed else 'as it was'}" for
                              name, changed in (("expected.toml", pinned), (PAGE, written))))
    return FAILED if wrong else PASS


def report(plan: model.Matrix, pinned: dict[str, dict]) -> tuple[str, list[str]]:
    """(docs/coverage.md for what is `pinned`, what is wrong with it in words)."""
    seen = read(plan, pinned["answers"])
    empty, wrong = explain(seen, load())
    boots = [cell for name, cell in plan.cells.items() if name in pinned["skipped"]]
    return page(boots, seen, empty), wrong


def load() -> list[Rule]:
    """The Rules of coverage.toml; LabError USAGE if one is not as it has to be."""
    return [Rule(**entry) for entry in
            toml.entries(paths.ROOT / "coverage.toml", "never", _RULE)]


def newest(plan: model.Matrix, directories: Iterable[Path]) -> dict[str, results.Outcome]:
    """{cell: its last good Outcome below `directories`}, where all of its suites ran
    and the kernel was built from the commit that the series tree is at."""
    commit = trees.git("rev-parse", "HEAD", cwd=paths.trees() / "series")
    found = {}
    for outcome in results.below(directories):
        cell = plan.cells.get(outcome.cell)
        if (cell and cell.suites and outcome.suites == cell.suites and outcome.ok
                and outcome.commit == commit and outcome.tree == "series"):
            found[outcome.cell] = outcome
    return found


def read(plan: model.Matrix, answers: dict[str, Sequence[str]]) -> Seen:
    """The cells that show each answer, in the order of the matrix, from what is pinned."""
    seen: Seen = {}
    for cell in plan.cells.values():
        for line, boots in answers.items():
            if cell.name in boots:
                by, call, answer = line.split()
                seen.setdefault((_route(by, cell, plan), call, answer), []).append(cell.name)
    return seen


def _route(by, cell, plan):
    """The name of a route: whose dma_map_ops they are, if any."""
    if by != "dma_map_ops":
        return by
    return "xen-swiotlb" if cell.xen else f"{by} of {plan.kernel_of(cell).arch}"


def explain(seen: Seen, rules: list[Rule]) -> tuple[dict, list[str]]:
    """({place that no boot has shown: why}, what is wrong with that in words)."""
    routes = sorted({route for route, _, _ in seen})
    empty, wrong, used = {}, [], set()
    for place in ((route, call, answer) for route in routes for call in CALLS
                  for answer in ANSWERS):
        rule = next((rule for rule in rules if rule.fits(place)), None)
        if place in seen:
            if rule:
                wrong.append(f"{' '.join(place)}: seen in {seen[place][0]}, and "
                             f"coverage.toml says why not: {rule.why}")
        elif rule:
            empty[place] = rule.why
            used.add(rule)
        else:
            wrong.append(f"{' '.join(place)}: no boot shows it, and coverage.toml does "
                         "not say why")
    wrong += [f"coverage.toml: no answer is missing for this reason: {rule.why}"
              for rule in rules if rule not in used]
    wrong += [f"no boot shows the reason {reason}" for reason in REASONS
              if not any(answer == reason for _, _, answer in seen)]
    return empty, wrong


def page(boots: list[model.Cell], seen: Seen, empty: dict) -> str:
    """docs/coverage.md."""
    numbers = {cell.name: number for number, cell in enumerate(boots, 1)}
    letters = dict(zip(dict.fromkeys(empty.values()), string.ascii_lowercase))

    def words(place):
        if place in seen:
            return ranges([numbers[name] for name in seen[place]])
        return letters[empty[place]] if place in empty else "?"

    parts = []
    for route in sorted({route for route, _, _ in seen}):
        lines = [(f"`{call}`", *(words((route, call, answer)) for answer in ANSWERS))
                 for call in CALLS
                 if any((route, call, answer) in seen for answer in ANSWERS)]
        table = tables.markdown([("call", *ANSWERS), *lines])
        parts.append(f"## {route}\n\n{table}")
    template = string.Template((paths.ROOT / "docs/coverage.md.in").read_text("utf-8"))
    return template.substitute(
        routes="\n\n".join(parts),
        notes=tables.markdown([("", "reason"), *((letter, why)
                                                 for why, letter in letters.items())]),
        boots=tables.markdown([("", "boot", "what it is"), *(
            (number, cell.name, cell.what) for number, cell in enumerate(boots, 1))]))


def ranges(numbers: list[int]) -> str:
    """Ascending `numbers` in few words: 1-3, 5."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0])
                     for run in runs)
