# SPDX-License-Identifier: GPL-2.0-only
"""./lab bisect: the kernel builds and its suites pass after each patch."""

import re

from . import model, packages, results, ui
from .boot import cells, kernel
from .source import trees
from .check import Tally
from .errors import BOOT, BUILD, FAILED, USAGE, LabError

KERNELS = ("x86_64", "arm64")   # one of each architecture


def run(names=(), first=1):
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
    chosen = [plan.kernels[name] for name in names or KERNELS]
    packages.need("build", *{which.arch for which in chosen})
    directory = results.new_run()
    tally = Tally()
    for number, (commit, subject) in enumerate(patches[first - 1:], first):
        ui.note(f"{number}/{len(patches)} {subject}")
        where = trees.visit(commit)
        for which in chosen:
            built = _build(tally, number, which)
            if built and (where / "kernel/dma/tests").is_dir():
                _boots(tally, number, plan, built, directory / f"{number:04}")
    ui.conclusion(f"bisect: {len(patches) - first + 1} patches, {tally}")
    return tally.status


def _build(tally, number, which):
    """The Build of one kernel, or None."""
    what = f"{number:2} {which.name} builds"
    try:
        built = kernel.build(which, trees.VISITED)
    except LabError as err:
        if err.status != BUILD:
            raise
        tally.one(what, str(err), BUILD)
        return None
    found = re.search(r"^.*\bwarning: .*$", kernel.log(built), re.M)
    tally.one(what, found[0] if found else "", BUILD)
    return built


def _boots(tally, number, plan, built, directory):
    """Boot the suites that there are after this patch; all may skip in a cell."""
    for cell in plan.cells.values():
        if cell.kernel != built.kernel.name or not (cell.quick and cell.suites):
            continue
        try:
            outcome = cells.run(cell, built, directory)
        except LabError as err:
            if err.status != BOOT:
                raise
            tally.one(f"{number:2} {cell.name}", str(err), BOOT)
            continue
        bad = outcome.failed or int(bool(outcome.problem))
        tally.add(f"{number:2} {cell.name}: {outcome}", outcome.passed, bad,
                  outcome.skipped, BOOT if outcome.hung else FAILED)
