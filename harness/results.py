# SPDX-License-Identifier: GPL-2.0-only
"""Results: what each boot showed, kept so that it can be read and repeated."""

import json
import re
import shlex
import shutil
import time
from collections import Counter
from dataclasses import asdict, dataclass

from . import paths
from .errors import USAGE, LabError

KEEP = 20                       # runs

# What a healthy kernel never prints; a test that provokes a warning suppresses it.
_SPLAT = re.compile(
    r"-+\[ cut here \]-+|\bWARNING: |\bBUG: |\bKASAN: |\bKMSAN: |\bUBSAN: |"
    r"\bKernel panic - not syncing|\bOops: |INFO: (task|rcu|possible|trying)|"
    r"DMA-API: .*(device driver|cacheline tracking|exceeded \d+ overlapping)")
_STATUS = {"PASS": "passed", "SKIP": "skipped"}


@dataclass
class Outcome:
    """What a cell came to: its counts, and why it failed if the counts do not say."""

    cell: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    problem: str = ""
    hung: bool = False          # or panicked, or never got as far as a test

    @property
    def ok(self):
        """Whether all that ran has passed, and something has."""
        return not self.failed and not self.problem and self.passed > 0

    def __str__(self):
        text = f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"
        return f"{text}: {self.problem}" if self.problem else text


def new_run():
    """A new directory for the results of one run; old runs beyond KEEP go."""
    top = paths.results()
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    for number in range(100):
        run = top / (f"{stamp}-{number}" if number else stamp)
        try:
            with paths.guard(run):
                run.mkdir()
            break
        except LabError:
            if not run.exists():
                raise
    for old in runs()[KEEP:]:
        shutil.rmtree(old, ignore_errors=True)
    return run


def runs():
    """The directories of all runs, newest first."""
    return sorted((path for path in paths.results().iterdir() if path.is_dir()),
                  reverse=True)


def latest():
    """({cell: Outcome}, tree) of the newest run; LabError USAGE if there is none."""
    for run in runs():
        found, tree = {}, None
        for path in sorted(run.glob("*/outcome.json")):
            kept = json.loads(path.read_text("utf-8"))
            tree = kept.pop("tree")
            found[path.parent.name] = Outcome(**kept)
        if found:
            return found, tree
    raise LabError("nothing to repeat: ./lab demo or ./lab kunit first", USAGE)


def save(where, outcome, tree, cmd):
    """Keep `outcome`, the tree it is of and the argv that led to it in `where`."""
    text = json.dumps({**asdict(outcome), "tree": tree}, indent=1) + "\n"
    paths.replace(where / "outcome.json", text.encode())
    line = " ".join(shlex.quote(str(word)) for word in cmd)
    paths.replace(where / "command", f"{line}\n".encode())


def judge(cell, report, console, ran=""):
    """The Outcome of a boot, from what kunit.py made of it.

    report   path of the JSON that kunit.py wrote; may not exist
    console  all that the kernel printed
    ran      what kunit.py itself printed, or why QEMU was ended
    """
    outcome = Outcome(cell)
    if report.exists():
        _count(json.loads(report.read_text("utf-8")), outcome)
    splat = _SPLAT.search(console)
    if "Kernel panic - not syncing" in console:
        outcome.problem, outcome.hung = "the kernel panicked", True
    elif "timed out after" in ran:
        outcome.problem, outcome.hung = "the boot hung", True
    elif not outcome.passed + outcome.failed + outcome.skipped:
        outcome.problem, outcome.hung = "no test has run", True
    elif splat:
        line = console[splat.start():].split("\n", 2)
        line = line[1] if "cut here" in line[0] and len(line) > 1 else line[0]
        outcome.problem = f"the kernel complained: {line.strip()}"
    return outcome


def skips(ktap):
    """What tests in the text `ktap` said when they skipped: {reason: how often}."""
    return Counter(re.findall(r"# SKIP (.+)", ktap))


def _count(group, outcome):
    for case in group.get("test_cases", []):
        field = _STATUS.get(case["status"], "failed")
        setattr(outcome, field, getattr(outcome, field) + 1)
    for sub in group.get("sub_groups", []):
        _count(sub, outcome)
