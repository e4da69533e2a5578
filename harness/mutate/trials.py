# SPDX-License-Identifier: GPL-2.0-only
"""Booting mutants, and what notices them."""

import dataclasses
import itertools
import json
import shutil
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Union

from .. import model, packages, paths, process, results
from ..boot import cell as boots
from ..boot import kernel
from ..errors import BOOT, LabError
from . import kernels
from .mutants import Hunk, Mutant

# What comes of a mutant.
NOTICED = "noticed"             # by an assertion
CRASHED = "crashed"             # or warned, or hung, and no assertion says why
TWIN = "the same as another"
EQUAL = "changes no instruction"
BROKEN = "does not compile"
SURVIVED = "survived"
FATES = (NOTICED, CRASHED, TWIN, EQUAL, BROKEN, SURVIVED)

_SPARE = 30                     # seconds that a boot may take longer than the right one
_number = itertools.count()


@dataclass
class Trial:
    """A mutant or an undone hunk, and what came of it."""

    change: Union[Mutant, Hunk]
    comment: bool = False       # no compiler sees a difference
    fate: str = EQUAL           # as long as no kernel shows a difference
    cell: str = ""              # that noticed
    cases: list[str] = field(default_factory=list)      # which failed there
    twin: str = ""              # the name of the other
    why: str = ""               # it may survive, as mutants.toml says
    repeat: int = 1             # which of those with the same name
    tried: set = field(default_factory=set)     # cells whose test cases did not notice
    key: str = ""               # what tells it from those of other code in its file, too

    @property
    def name(self) -> str:
        """What tells it from all others."""
        return f"{self.change.file}: {self.words}"

    @property
    def words(self) -> str:
        """What tells it from all others of its file."""
        return self.change.name + (f" ({self.repeat})" if self.repeat > 1 else "")

    def __str__(self) -> str:
        where = f" ({self.cell}: {', '.join(self.cases[:2])})" if self.cell else ""
        return f"{self.fate}: {self.name}{where}"


@dataclass
class Boot:
    """A boot of the series as it is, to compare with."""

    cell: model.Cell
    build: kernel.Build
    cases: Mapping              # {names: status}
    seconds: float
    reached: set[int]           # the numbers of mutants whose place it came to


def right(cells: Sequence[model.Cell], builds: Mapping[str, kernel.Build],
          top: Path) -> list[Boot]:
    """The Boots of `cells`, fastest first.

    LabError BOOT if one does not pass.
    """
    def made(number, cell):
        outcome = boots.boot(cell, builds[cell.kernel], top / f"{number}.{cell.name}")
        if not outcome.ok:
            raise LabError(f"{cell.name} does not pass without a mutant: {outcome}", BOOT)
        return Boot(cell, builds[cell.kernel], results.cases(outcome), outcome.seconds,
                    kernels.reached(outcome))

    with process.pool(packages.jobs(cells)) as pool:
        return sorted(pool.map(made, range(len(cells)), cells), key=lambda boot: boot.seconds)


def attempt(trial: Trial, words: Sequence[str], boots_: Iterable[Boot], top: Path) -> None:
    """Boot with the kernel arguments `words` what `boots_` were, until one notices."""
    for boot in boots_:
        limit = min(boot.cell.timeout, int(boot.seconds * 2) + _SPARE)
        cell = dataclasses.replace(boot.cell, timeout=limit, args=[*boot.cell.args, *words])
        outcome, now = _once(cell, boot.build, top)
        if outcome.hung:                # by itself, or because the machine is busy
            outcome, now = _once(cell, boot.build, top)
        cases = missing(boot.cases, now)
        if cases or not outcome.ok:
            asserted = [failure.partition(": ")[0] for failure in outcome.failures
                        if " at " in failure
                        or boot.cell.demo and not failure.endswith(": did not end")]
            trial.fate, trial.cell = NOTICED if asserted else CRASHED, boot.cell.name
            trial.cases = asserted or [outcome.problem or cases[0]]
            return


def _once(cell, build, top):
    """The Outcome of a boot, and the cases that it had; its files are not kept."""
    directory = top / f"{cell.name}.{next(_number)}"
    outcome = boots.boot(cell, build, directory)
    cases = results.cases(outcome)
    shutil.rmtree(directory)
    return outcome, cases


def missing(before: Mapping, now: Mapping) -> list[str]:
    """The names of the test cases that passed before and do not now."""
    return [results.label(names) for names, status in before.items()
            if status == "PASS" and now.get(names) != "PASS"]


class Kept:
    """What is known of mutants, so that a stopped command goes on, and another machine
    with it: as long as the code of the file is the same, and of those that survived
    without a reason as long as the `tests` are. `keys` are those of this series."""

    def __init__(self, tests: str, keys: Iterable[str]) -> None:
        self.tests, self.keys = tests, set(keys)
        self.path = paths.cache() / "mutate/tried.json"
        self.published = paths.ROOT / "docs/mutants.json"
        self._lock = threading.Lock()
        self.known = {**self._read(self.published), **self._read(self.path)}

    def _read(self, path):
        found = json.loads(path.read_text("utf-8")) if path.exists() else {"tried": {}}
        return {key: known for key, known in found["tried"].items()
                if found["with"] == self.tests or known[0] != SURVIVED or known[5]}

    def load(self, trial: Trial, names: Sequence[str]) -> bool:
        """Complete `trial`; whether it has been tried on the kernels `names`."""
        found = self.known.get(trial.key)
        if found:
            trial.fate, trial.cell, trial.cases, trial.twin, on, why = found
            return set(names) <= set(on) and bool(trial.why or not why)
        return False

    def save(self, trial: Trial, names: Sequence[str]) -> None:
        """Keep what came of `trial` on the kernels `names`; any thread may."""
        with self._lock:
            before = self.known.get(trial.key)
            on = before[4] if before and before[5] == trial.why else []
            self.known[trial.key] = [trial.fate, trial.cell, trial.cases, trial.twin,
                                     [*on, *names], trial.why]
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._write(self.path, self.known)

    def publish(self) -> None:
        """Write docs/mutants.json, without what is known of other code."""
        self._write(self.published, self.keys & self.known.keys())

    def _write(self, path, keys):
        lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(self.known[key])}"
                           for key in sorted(keys))
        paths.replace(path, f'{{"with": "{self.tests}", "tried": {{\n{lines}\n}}}}\n')
