# SPDX-License-Identifier: GPL-2.0-only
"""What has to hold of the series: each gate yields Findings, which ./lab check counts."""

from dataclasses import dataclass

from ..errors import FAILED, STYLE
from ..results import Outcome


@dataclass
class Finding:
    """A line of ./lab check: one thing that holds unless there is a `problem`, or
    the counts of many."""

    text: str
    problem: str = ""
    status: int = FAILED        # of ./lab if this is the first problem
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __post_init__(self):
        if not self.passed + self.failed + self.skipped:
            self.failed = int(bool(self.problem))
            self.passed = 1 - self.failed

    def __str__(self):
        problem = f": {self.problem}" if self.problem else ""
        return f"{'FAIL' if self.failed else 'ok  '}  {self.text}{problem}"


def complaints(text: str, said: list[str]) -> Finding:
    """The Finding of a tool that has nothing to say where all is well."""
    return Finding(text, f"{len(said)} complaints, the first: {said[0]}" if said else "",
                   STYLE)


def boot(outcome: Outcome, before: str = "", may_skip: bool = False) -> Finding:
    """The Finding of a boot, with words before it; `may_skip`: all of it may."""
    bad = outcome.problem or not outcome.passed and not may_skip
    return Finding(f"{before}{outcome.cell}: {outcome}", "", outcome.status or FAILED,
                   outcome.passed, outcome.failed or int(bool(bad)), outcome.skipped)
