# SPDX-License-Identifier: GPL-2.0-only
"""./lab ci: a pipeline for GitLab, with a job for each kernel and each cell."""

import argparse
import json
import string
from collections.abc import Sequence
from pathlib import Path

from . import model, ui
from .errors import PASS

_TEMPLATE = Path(__file__).with_name("gitlab-ci.yml.in")


def ci(args: argparse.Namespace) -> int:
    """Print the pipeline for the cells that are named, or for all kernels and cells but
    benchmarks; an exit status."""
    ui.say(pipeline(model.load(), args.cell).rstrip())
    return PASS


def pipeline(plan: model.Matrix, patterns: Sequence[str] = ()) -> str:
    """The pipeline for the cells that `patterns` name, or for everything, as YAML.

    GitLab starts a cell as soon as its kernel is built. LabError USAGE for a pattern
    that names no cell.
    """
    cells = [cell for cell in plan.pick(patterns or ["*"]) if not cell.bench]
    booted = {cell.kernel for cell in cells}
    idle = set(plan.kernels) - {cell.kernel for cell in plan.cells.values()}
    kernels = [name for name in plan.kernels if name in booted or
               name in idle and not patterns]
    # JSON is YAML, and quotes what it has to.
    jobs = [_job(f"kernel {name}", extends=".kernel", variables={"KERNEL": name})
            for name in kernels]
    jobs += [_job(cell.name, extends=".cell", needs=[f"kernel {cell.kernel}"],
                  variables={"CELL": cell.name}) for cell in cells]
    jobs.append(_job("report", extends=".report",
                     dependencies=[cell.name for cell in cells]))
    return string.Template(_TEMPLATE.read_text("utf-8")).substitute(jobs="\n".join(jobs))


def _job(name, **words):
    return f"{json.dumps(name)}: {json.dumps(words)}"
