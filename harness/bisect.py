# SPDX-License-Identifier: GPL-2.0-only
"""./lab bisect: the kernel builds and its suites pass after each patch."""

import dataclasses
import re
from typing import Sequence

from . import commands, model, packages, paths, results, runner, ui
from .boot import kernel
from .check import Tally
from .errors import BUILD, PASS, USAGE, LabError
from .gates import Finding, boot
from .source import trees

KERNELS = ("x86_64", "arm64")   # one of each architecture


@paths.lock(trees.VISITED)
def run(names: Sequence[str], first: int, options: runner.Options) -> int:
    """Build the kernels `names` after each patch from number `first` on, and boot
    those of their quick cells that have suites. Returns an exit status.

    LabError USAGE for a kernel or a number that does not exist; what is not the
    fault of a patch is raised.
    """
    plan = model.load()
    for name in names:
        if name not in plan.kernels:
            raise LabError(f"no kernel {name!r}: ./lab list shows them", USAGE)
    trees.tree("series")
    patches = trees.commits()
    if not 1 <= first <= len(patches):
        raise LabError(f"no patch {first}: there are {len(patches)}", USAGE)
    cells = [cell for cell in plan.cells.values() if cell.quick and cell.suites
             and cell.kernel in (names or KERNELS)]
    if options.dry_run:
        ui.say(f"would build {', '.join(names or KERNELS)} after each of "
               f"{len(patches) - first + 1} patches, and boot "
               f"{', '.join(cell.name for cell in cells)}")
        return PASS
    packages.need(*packages.for_cells(cells, plan))
    directory = results.new_run()
    tally = Tally()
    for number, (commit, subject) in enumerate(patches[first - 1:], first):
        ui.note(f"{number}/{len(patches)} {subject}")
        tested = (trees.visit(commit) / "kernel/dma/tests").is_dir()
        built = runner.build(plan, names or KERNELS, trees.VISITED, options)
        for name, made in built.items():
            tally.add(_built(number, name, made))
        jobs = [runner.Job(cell, trees.VISITED) for cell in cells if tested
                and not isinstance(built[cell.kernel], LabError)]
        booted = runner.run(plan, jobs, dataclasses.replace(options, rebuild=False),
                            directory / f"{number:04}")
        for outcome in booted:
            tally.add(boot(outcome, f"{number:2} ", may_skip=True))
            if outcome.failed or outcome.problem:
                commands.explain(outcome, f"./lab bisect {plan.cells[outcome.cell].kernel} "
                                 f"--first {number}")
    ui.conclusion(f"bisect: {len(patches) - first + 1} patches, {tally}")
    return tally.status


def _built(number, name, made):
    """The Finding of a kernel; what is not the fault of the patch is raised."""
    text = f"{number:2} {name} builds"
    if isinstance(made, LabError):
        if made.status != BUILD:
            raise made
        return Finding(text, str(made), BUILD)
    warning = re.search(r"^.*\bwarning: .*$", kernel.log(made), re.M)
    return Finding(text, warning[0] if warning else "", BUILD)
