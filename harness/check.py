# SPDX-License-Identifier: GPL-2.0-only
"""./lab check: everything that has to hold, from the mails to the boots."""

import re
import sys

from . import model, packages, paths, process, results, ui
from .boot import cells, kernel
from .gates import checkpatch, virtio
from .reports import compare, routes
from .source import mails, trees
from .errors import APPLY, BOOT, BUILD, FAILED, PASS, STYLE, LabError

# Failures of the series. Others, such as no network, end the check at once.
_OURS = (APPLY, STYLE, BUILD, BOOT)


class Tally:
    """Counts what has passed and failed, and says each as it comes."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.status = PASS

    def add(self, text, passed=0, failed=0, skipped=0, status=FAILED):
        """Count a line; `status` is that of the whole check if it is the first to
        fail."""
        self.passed += passed
        self.failed += failed
        self.skipped += skipped
        if failed and self.status == PASS:
            self.status = status
        ui.say(f"{'FAIL' if failed else 'ok  '}  {text}")

    def one(self, text, problem="", status=FAILED):
        """Count one thing that has passed, or failed with `problem`."""
        if problem:
            self.add(f"{text}: {problem}", failed=1, status=status)
        else:
            self.add(text, passed=1)

    def __str__(self):
        text = f"{self.passed} passed, {self.failed} failed"
        return f"{text}, {self.skipped} skipped" if self.skipped else text


def run(full=False):
    """Check everything, or all that is quick unless `full`; returns an exit status.

    Raises LabError for what is not the fault of the series.
    """
    plan = model.load()
    tally = Tally()
    packages.need("source", "build", "style", "guest",
                  *{which.arch for which in plan.kernels.values()})
    _harness(tally)
    if _mails(tally):
        directory = results.new_run()
        boots = {}
        for which in plan.kernels.values():
            chosen = [cell for cell in plan.cells.values()
                      if cell.kernel == which.name and not cell.bench
                      and (cell.quick or full)]
            if chosen or full and not any(cell.kernel == which.name
                                          for cell in plan.cells.values()):
                boots.update(_boots(tally, which, chosen, directory))
        ui.note(f"results: {directory}")
        _page(tally, plan, boots, full)
    ui.conclusion(str(tally))
    return tally.status


def _harness(tally):
    """The harness's own tests, on recorded logs and small fakes."""
    with ui.step("test the harness"):
        done = process.run([sys.executable, "-m", "unittest", "discover",
                            "-t", paths.ROOT, "-s", "harness/tests"], cwd=paths.ROOT)
    ran = re.search(r"^Ran (\d+) tests? in .*\n\n(.*)$", done.stderr, re.M)
    total, summary = (int(ran[1]), ran[2]) if ran else (0, "")
    bad = sum(int(n) for n in re.findall(r"(?:failures|errors)=(\d+)", summary))
    skipped = sum(int(n) for n in re.findall(r"skipped=(\d+)", summary))
    if done.returncode and not bad or not total:
        bad = 1
    passed = max(total - bad - skipped, 0)
    tally.add(f"harness: {passed} passed, {bad} failed, {skipped} skipped",
              passed, bad, skipped)
    if bad:
        ui.note(done.stdout + done.stderr)


def _mails(tally):
    """The series as mails; False if there is no tree to go on with."""
    try:
        trees.tree("series")
    except LabError as err:
        if err.status != APPLY:
            raise
        tally.one("the series applies", str(err), APPLY)
        return False
    ui.note(trees.provenance())
    series = model.SERIES["series"]
    count = len(series.mails())
    tally.one(f"the series applies with no fuzz: {count} patches")
    changes = mails.outdated(series)
    tally.one("series/ is what ./lab refresh writes",
              f"{', '.join(changes)} would change" if changes else "", STYLE)
    for mail in series.letters():
        found = checkpatch.complaints(mail)
        tally.one(f"checkpatch and codespell: {mail.name}",
                  f"{len(found)} complaints, the first: {found[0]}" if found else "",
                  STYLE)
    tally.one("a new caller of the attribute is noticed", checkpatch.unnoticed_caller(), STYLE)
    tally.one(f"nothing is called {virtio.OLD_NAME} any more", virtio.leftovers())
    tally.one("tools/virtio builds from the series", virtio.userspace(), BUILD)
    return True


def _page(tally, plan, boots, full):
    """docs/routes.md against the boots just made; on stock they are made if `full`."""
    if not boots:
        return
    gaps = compare.gaps(boots)
    tally.one("docs/routes.md names all tests and boots", gaps, STYLE)
    if full and not gaps:
        tally.one("docs/routes.md is what ./lab compare writes",
                  compare.outdated(plan, boots), STYLE)


def _boots(tally, which, chosen, directory):
    """Build a kernel and boot its cells; returns {cell name: routes.Boot} of the
    suites."""
    made = {}
    try:
        built = kernel.build(which)
    except LabError as err:
        if err.status not in _OURS:
            raise
        tally.one(f"kernel {which.name}", str(err), err.status)
        return made
    tally.one(f"kernel {which.name} builds from the series")
    for cell in chosen:
        try:
            outcome = cells.run(cell, built, directory)
        except LabError as err:
            if err.status not in _OURS:
                raise
            tally.one(cell.name, str(err), err.status)
            continue
        failed = outcome.failed or int(not outcome.ok)
        tally.add(f"{cell.name}: {outcome}", outcome.passed, failed, outcome.skipped,
                  BOOT if outcome.hung else FAILED)
        if cell.suites and which.compare and not outcome.hung:
            made[cell.name] = routes.read(directory / cell.name, outcome)
    return made
