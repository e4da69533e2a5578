# SPDX-License-Identifier: GPL-2.0-only
"""./lab check: everything that has to hold, from the mails to the boots."""

from collections.abc import Iterator

from . import commands, model, packages, process, results, runner, soak, ui
from .boot import kernel
from .errors import APPLY, BUILD, PASS, STYLE, USAGE, LabError
from .gates import Finding, boot, complaints, expected, harness, lint, series
from .reports import compare

GATES = ("harness", "lint", "mails", "boots")


class Tally:
    """Counts what has passed and failed, and says each as it comes."""

    def __init__(self) -> None:
        self.passed = self.failed = self.skipped = 0
        self.status = PASS

    def add(self, finding: Finding) -> None:
        """Count a finding; the status of all is that of the first that failed."""
        self.passed += finding.passed
        self.failed += finding.failed
        self.skipped += finding.skipped
        if finding.failed and self.status == PASS:
            self.status = finding.status
        ui.say(str(finding))

    def __str__(self) -> str:
        text = f"{self.passed} passed, {self.failed} failed"
        return f"{text}, {self.skipped} skipped" if self.skipped else text


def run(full: bool, only: str, repeat: int, options: runner.Options) -> int:
    """Check everything, or all that is quick unless `full`; returns an exit status.

    `only` names gates, with commas between; each cell is booted `repeat` times. Raises
    LabError for what is not the fault of the series, before there is a kernel to build.
    """
    chosen = [name.strip() for name in only.split(",")] if only else list(GATES)
    for name in chosen:
        if name not in GATES:
            raise LabError(f"no gate {name!r}: {', '.join(GATES)}", USAGE)
    plan = model.load()
    cells = [cell for cell in plan.cells.values()
             if not cell.bench and (cell.quick or full)]
    if options.dry_run:
        ui.say(f"would check: {', '.join(chosen)}")
        list(runner.run(plan, runner.jobs_of(cells) if "boots" in chosen else (), options))
        return PASS
    packages.need("source", "style", *(
        packages.for_cells(cells, plan) if "boots" in chosen else ()))
    tally = Tally()
    gates = {"harness": harness.findings, "lint": _lint, "mails": series.findings,
             "boots": lambda: _boots(plan, runner.jobs_of(cells, "series", repeat), full,
                                     options)}
    with process.pool(len(GATES)) as pool:      # boots have cores to themselves
        waiting = {name: pool.submit(lambda gate: [*gate()], gates[name])
                   for name in chosen if name != "boots"}
        for name in chosen:
            for finding in waiting[name].result() if name in waiting else gates[name]():
                tally.add(finding)
            if tally.status == APPLY:
                break
    ui.conclusion(str(tally))
    return tally.status


def _lint() -> Iterator[Finding]:
    yield complaints("the linter has nothing to say of the harness", lint.complaints())


def _boots(plan, jobs, full, options) -> Iterator[Finding]:
    """The kernels, those without cells too if `full`, and the boots."""
    if full:
        booted = {cell.kernel for cell in plan.cells.values()}
        alone = [name for name in plan.kernels if name not in booted]
        for name, made in runner.build(plan, alone, "series", options).items():
            yield _built(name, made)
    outcomes = []
    for outcome in runner.run(plan, jobs, options):
        yield from _booted(outcome)
        outcomes.append(outcome)
    if full:
        yield from _soaked(plan, options)
        yield Finding("docs/routes.md is what ./lab compare writes", compare.outdated(
            plan, [outcome for outcome in outcomes if outcome.suites
                   and plan.kernel_of(plan.cells[outcome.cell]).compare], options), STYLE)


def _built(name, made):
    if isinstance(made, LabError):
        return Finding(f"kernel {name}", str(made), made.status)
    said = kernel.warnings(made)
    return Finding(f"kernel {name} builds from the series", said[0] if said else "", BUILD)


def _soaked(plan, options) -> Iterator[Finding]:
    cells = [cell for cell in plan.cells.values() if cell.soak]
    if cells:
        requests = soak.Requests(soak.any_seed(), soak.SHORT)
        done = soak.soak(plan, cells, requests, 0, options)
        yield Finding(str(done), "" if done.passed() else "not what they promise")


def _booted(outcome: results.Outcome) -> Iterator[Finding]:
    yield boot(outcome)
    commands.explain(outcome)
    held = expected.as_before(outcome)
    if held.failed:
        yield held
