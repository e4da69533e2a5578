# SPDX-License-Identifier: GPL-2.0-only
"""Mutants of guest/judge.c, which says what the demo has measured, tried on its tests."""

import re
import sys
from pathlib import Path
from typing import Optional

from .. import packages, paths, process
from ..errors import FAILED, LabError
from . import mutants, trials
from .trials import Trial

FILE = "guest/judge.c"
_TEST = "harness.tests.test_judge"


def tried(scratch: Path) -> list[Trial]:
    """All mutants, and what came of them; `scratch` is a directory for their sources.

    LabError FAILED if the tests do not pass as it is.
    """
    path = paths.ROOT / FILE
    text = path.read_text("utf-8")
    made = [Trial(mutant) for mutant in mutants.decisions(
        path, FILE, range(1, text.count("\n") + 1))]
    source = scratch / "right/judge.c"
    right = _object(source, text)
    if _test(source).returncode:
        raise LabError(f"{_TEST} does not pass without a mutant", FAILED)

    def attempt(number, trial):
        source = scratch / f"{number}/judge.c"      # gcc keeps the last part of the name
        wrong = _object(source, trial.change.made(text))
        if wrong is None:
            trial.fate = trials.BROKEN
        elif wrong == right:
            trial.fate = trials.EQUAL
        else:
            done = _test(source)
            trial.fate = trials.SURVIVED
            if done.returncode:
                trial.fate, trial.cell = trials.NOTICED, _TEST
                trial.cases = list(dict.fromkeys(
                    re.findall(r"^(?:FAIL|ERROR): (\w+)", done.stderr, re.M)))

    with process.pool(packages.jobs()) as pool:
        list(pool.map(attempt, range(len(made)), made))
    return made


def _test(source):
    return process.run([sys.executable, "-m", "unittest", _TEST],
                       env={"JUDGE_SOURCE": str(source)}, cwd=paths.ROOT)


def _object(source: Path, text: str) -> Optional[bytes]:
    """What gcc makes of the `text` at `source`, or None."""
    source.parent.mkdir(exist_ok=True)
    source.write_text(text, "utf-8")
    output = source.with_suffix(".o")
    done = process.run(["gcc", "-O2", f"-I{paths.ROOT / 'guest'}", "-c", "-o", output,
                        source])
    return None if done.returncode else output.read_bytes()
