# SPDX-License-Identifier: GPL-2.0-only
"""Results: what each boot showed, kept so that it can be read and repeated."""

import contextlib
import itertools
import json
import re
import shlex
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple, Optional

from . import paths
from .errors import BOOT, FAILED, PASS, USAGE, LabError

KEEP = 20                       # runs
_locks = contextlib.ExitStack()         # on those of this process

# What a healthy kernel never prints; a test that provokes a warning suppresses it.
_SPLAT = re.compile(
    r"-+\[ cut here \]-+|\bWARNING: |\bBUG: |\bKASAN: |\bKMSAN: |\bUBSAN: |"
    r"\bKernel panic - not syncing|\bOops: |INFO: (task|rcu|possible|trying)|"
    r"DMA-API: .*(device driver|cacheline tracking|exceeded \d+ overlapping)")
_STATUS = {"PASS": "passed", "SKIP": "skipped"}
_ORDER = {"PASS": 0, "SKIP": 1}                 # those that fail come last
_KTAP = re.compile(r"(?P<indent> *)(?:# Subtest: (?P<group>.+)|(?P<ok>ok|not ok) \d+ "
                   r"(?P<name>.+?)(?: # SKIP ?(?P<why>.*))?)")
_ANSWER = re.compile(r" *# \w+: answer: (\S+) (\w+) (\w+)")
_FAILED = re.compile(r"# .*: (?:EXPECTATION|ASSERTION) FAILED at (\S+)$")


@dataclass
class Outcome:
    """What the boot of a cell came to, and what was booted."""

    cell: str
    tree: str = "series"
    suites: str = ""            # that it was asked to run, a kunit.filter_glob
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    problem: str = ""           # why it failed, if the counts do not say
    status: int = PASS          # the exit status of the boot alone
    failures: list[str] = field(default_factory=list)   # a line each
    commit: str = ""            # of the tree that the kernel was built from
    version: str = ""           # of the kernel
    image: str = ""             # sha256 of what QEMU was given
    accelerator: str = ""       # of QEMU
    seconds: float = 0          # that the boot took
    directory: str = ""         # of its files

    @property
    def name(self) -> str:
        """What tells it from other boots of a run."""
        return self.cell if self.tree == "series" else f"{self.cell}@{self.tree}"

    @property
    def ok(self) -> bool:
        """Whether all that ran has passed, and something has."""
        return not self.failed and not self.problem and self.passed > 0

    @property
    def hung(self) -> bool:
        """Whether it hung or panicked, or never got as far as a test."""
        return self.status == BOOT

    @property
    def console(self) -> str:
        """What the kernel said; empty if nothing was booted."""
        return self._file("console.log")

    @property
    def ktap(self) -> str:
        """What kunit.py takes for KTAP of that."""
        return self._file("ktap.log")

    def _file(self, name):
        path = Path(self.directory) / name
        return path.read_text("utf-8", errors="replace") if path.exists() else ""

    def fail(self, problem: str, status: int) -> None:
        """Note why there are no results, or none to rely on."""
        self.problem, self.status = problem, status

    def repeat(self, failures: Sequence[str]) -> str:
        """What repeats it, or the one test case of it that all `failures` are of."""
        words = ["./lab", "kunit" if self.suites else "boot", self.cell]
        if self.tree != "series":
            words += ["--tree", self.tree]
        cases = {re.split("[: ]", failure)[0] for failure in failures}
        if self.suites and len(cases) == 1:
            words += ["--filter", *cases]
        return " ".join(words)

    def __str__(self) -> str:
        text = f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"
        return f"{text}: {self.problem}" if self.problem else text


def new_run() -> Path:
    """A new directory for the results of one run, which goes on until this process
    ends; old runs beyond KEEP that have ended go."""
    run = paths.results() / datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S.%f")
    with paths.guard(run):
        run.mkdir()
    _locks.enter_context(_lock(run, wait=True))
    for old in set(runs()[KEEP:]) - set(going_on()):
        shutil.rmtree(old, ignore_errors=True)
    return run


def _lock(run, wait):
    return paths.lock(f"results/{run.name}/run", wait)


def going_on() -> list[Path]:
    """The directories of the runs of other processes that have not ended."""
    held = []
    for run in runs():
        try:
            with _lock(run, wait=False):
                pass
        except LabError:
            held.append(run)
    return held


def runs() -> list[Path]:
    """The directories of all runs, newest first."""
    return sorted((path for path in paths.results().iterdir() if path.is_dir()),
                  reverse=True)


def outcomes(run: Path) -> list[Outcome]:
    """All Outcomes kept below the directory `run`, of whatever command."""
    made = []
    for path in sorted(run.rglob("outcome.json")):
        try:
            outcome = Outcome(**json.loads(path.read_text("utf-8")))
            outcome.directory = str(path.parent)    # it may come from another machine
            made.append(outcome)
        except (TypeError, ValueError):
            raise LabError(f"{path} is of another version of the lab: run the command "
                           "that made it again", USAGE) from None
    return made


def below(directories: Iterable[Path]) -> Iterator[Outcome]:
    """The Outcomes kept below each of `directories`; LabError USAGE if one is none."""
    for directory in directories:
        if not directory.is_dir():
            raise LabError(f"{directory} is not a directory", USAGE)
        yield from outcomes(directory)


def latest() -> list[Outcome]:
    """The Outcomes of the newest run that has any; LabError USAGE if there is none."""
    for run in runs():
        made = outcomes(run)
        if made:
            return made
    raise LabError("nothing to repeat: ./lab demo or ./lab kunit first", USAGE)


def save(outcome: Outcome, command: Sequence = ()) -> None:
    """Keep `outcome` in its directory, and the argv that repeats the boot as a script."""
    directory = Path(outcome.directory)
    paths.replace(directory / "outcome.json", json.dumps(asdict(outcome), indent=1) + "\n")
    if command:
        line = shlex.join(map(str, command))
        paths.replace(directory / "command", f"#!/bin/sh\nexec {line}\n")
        (directory / "command").chmod(0o755)


def judge(outcome: Outcome, error: str = "") -> None:
    """Complete `outcome` from the files in its directory.

    Those are the console, the KTAP in it, and results.json of kunit.py. `error` is
    why QEMU did not end by itself, or with an error.
    """
    console, said = outcome.console, failures(outcome.ktap)
    for names, status in cases(outcome).items():
        count = _STATUS.get(status, "failed")
        setattr(outcome, count, getattr(outcome, count) + 1)
        if count == "failed":
            why = said.get(label(names), "did not end")
            outcome.failures.append(f"{label(names)}: {why}" if why else label(names))
    complained = complaint(console)
    if "Kernel panic - not syncing" in console:
        outcome.fail("the kernel panicked", BOOT)
    elif error:
        outcome.fail(error, BOOT)
    elif not outcome.passed + outcome.failed + outcome.skipped:
        outcome.fail("no test has run", BOOT)
    elif complained:
        outcome.fail(f"the kernel complained: {complained}", FAILED)
    elif not outcome.ok:
        outcome.status = FAILED


def complaint(console: str) -> str:
    """The first line of `console` that a healthy kernel never prints, if any."""
    splat = _SPLAT.search(console)
    line = console[splat.start():].split("\n", 2) if splat else [""]
    return (line[1] if "cut here" in line[0] and len(line) > 1 else line[0]).strip()


def cases(outcome: Outcome) -> dict:
    """{names of suite, case and parameter: PASS, FAIL, SKIP or ERROR} of a boot, as
    kunit.py says; empty if it got nothing to read. Of what ran twice, the worst."""
    def walk(group, names):
        for case in group.get("test_cases", []):
            yield (*names, case["name"]), case["status"]
        for sub in group.get("sub_groups", []):
            yield from walk(sub, (*names, sub["name"]))

    report = Path(outcome.directory) / "results.json"
    found = walk(json.loads(report.read_text("utf-8")), ()) if report.exists() else ()
    return dict(sorted(found, key=lambda case: _ORDER.get(case[1], len(_ORDER))))


def answers(lines: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """The (implementation of the DMA API, call, answer) that suites printed in `lines`."""
    for found in filter(None, map(_ANSWER.fullmatch, lines)):
        yield found[1], found[2], found[3]


class Case(NamedTuple):
    """What KTAP has of a test case, or of a parameter of one."""

    names: tuple[str, ...]      # of suite, case and parameter
    ok: bool
    skipped: Optional[str]      # why, if it was
    said: list[str]             # the lines before its result


def ktap(text: str) -> Iterator[Case]:
    """The Cases in `text`, in the order in which they ended."""
    groups: list[tuple[int, str]] = []      # those that are open: (indent, name)
    said: list[str] = []
    begun = False                           # whether one has just begun
    for line in text.splitlines():
        found = _KTAP.fullmatch(line)
        if not found:
            said.append(line)
            continue
        indent, ended = len(found["indent"]), False
        while groups and groups[-1][0] + bool(found["group"]) > indent:
            groups.pop()
            ended = not begun               # an empty one is a case itself
        if found["group"]:
            groups.append((indent, found["group"]))
        elif groups and not ended:
            yield Case((*(name for _, name in groups), found["name"]),
                       found["ok"] == "ok", found["why"], said)
        begun, said = bool(found["group"]), []


def failures(text: str) -> dict[str, str]:
    """{case: its first failed expectation and the place of that, if it says any} of
    those that fail in the KTAP `text`, under the names of label()."""
    return {label(case.names): _expectation(case.said)
            for case in ktap(text) if not case.ok}


def _expectation(said):
    for number, line in enumerate(said, 1):
        place = _FAILED.search(line)
        if place:
            words = itertools.takewhile(lambda line: not line.lstrip().startswith("#"),
                                        said[number:number + 3])
            return f"{' '.join(' '.join(words).split())} at {place[1]}"
    return ""


def label(names: Sequence[str]) -> str:
    """The name of a case: 'suite.case', or 'suite.case (parameter)'."""
    return ".".join(names[:2]) + "".join(f" ({name})" for name in names[2:])
