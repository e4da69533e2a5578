# SPDX-License-Identifier: GPL-2.0-only
"""The one runner: builds each kernel once, boots cells side by side, yields outcomes."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Union

from . import model, packages, process, results, ui
from .boot import cell as boots
from .boot import kernel, pack
from .errors import FAILED, PASS, USAGE, LabError


@dataclass(frozen=True)
class Job:
    """A boot to make: a cell, the tree that its kernel is built from, and which of
    several equal boots it is."""

    cell: model.Cell
    tree: str = "series"
    number: int = 1

    @property
    def name(self) -> str:
        """The directory of its results within that of the run."""
        tree = "" if self.tree == "series" else f"@{self.tree}"
        return f"{self.cell.name}{tree}{f'.{self.number}' if self.number > 1 else ''}"


@dataclass
class Options:
    """How to run, as the command line says."""

    jobs: int = 0               # boots side by side; 0: as many as the machine can
    keep_going: bool = True     # a kernel that cannot be had fails its cells only
    rebuild: bool = True        # bring kernels up to date first
    packed: Optional[Path] = None       # boot those of this directory instead
    dry_run: bool = False       # say what would be done


def jobs_of(cells: Iterable[model.Cell], tree: str = "series", repeat: int = 1) -> list:
    """The Jobs of booting each of `cells` `repeat` times on `tree`."""
    return [Job(cell, tree, number + 1) for cell in cells for number in range(repeat)]


def choose(plan: model.Matrix, patterns: Sequence[str],
           fits: Callable[[model.Cell], object], all_do: str) -> list[model.Cell]:
    """The cells that `patterns` names, or all that fit.

    LabError USAGE for a pattern that names none, or one that does not fit: what fits
    does is said in the words `all_do`.
    """
    chosen = plan.pick(patterns or ["*"])
    fitting = [cell for cell in chosen if fits(cell)]
    if patterns and fitting != chosen:
        raise LabError(f"not all of these cells {all_do}: ./lab boot runs any", USAGE)
    return fitting


def build(plan: model.Matrix, names: Iterable[str], tree: str,
          options: Options) -> dict[str, Union[kernel.Build, LabError]]:
    """Build the kernels `names` from `tree`: {name: Build, or why there is none}.

    Without options.keep_going the LabError is raised.
    """
    built: dict[str, Union[kernel.Build, LabError]] = {}
    for name in dict.fromkeys(names):
        try:
            made = plan.kernels[name]
            built[name] = (pack.packed(made, tree, options.packed) if options.packed else
                           kernel.build(made, tree) if options.rebuild else
                           kernel.at(made, tree))
        except LabError as err:
            if not options.keep_going:
                raise
            built[name] = err
    return built


def run(plan: model.Matrix, jobs: Iterable[Job], options: Options,
        directory: Optional[Path] = None) -> Iterator[results.Outcome]:
    """Build what `jobs` boot and boot them; yields their Outcomes in this order.

    Results are kept below `directory`, a new one of results.new_run() by default. A
    kernel, a Xen or a machine that cannot be had is an Outcome with that problem; with
    options.keep_going unset, the LabError that says so. Interrupted or not wanted any
    more, it leaves no process behind.
    """
    jobs = list(jobs)
    if options.dry_run:
        for job in jobs:
            ui.say(f"would boot {job.name}: kernel {job.cell.kernel} from {job.tree}")
        return
    packages.need(*packages.for_cells([job.cell for job in jobs], plan,
                                      bool(options.packed)))
    built = {tree: build(plan, [job.cell.kernel for job in jobs if job.tree == tree],
                         tree, options)
             for tree in dict.fromkeys(job.tree for job in jobs)}
    top = directory or results.new_run()
    count = options.jobs or packages.jobs([job.cell for job in jobs])
    places = process.Places(count)
    with process.pool(count) as pool:
        waiting = [pool.submit(_boot, job, built[job.tree][job.cell.kernel],
                               top / job.name, options, (number, len(jobs)), places)
                   for number, job in enumerate(jobs, 1)]
        for future in waiting:
            yield future.result()


def _boot(job: Job, built: Union[kernel.Build, LabError], directory: Path,
          options: Options, count: tuple, places: process.Places) -> results.Outcome:
    """The Outcome of a job, whatever comes between.

    A guest with several CPUs takes the place of as many boots: its spinlocks go to the
    CPU that waited longest, so all of them wait until this machine runs that one.
    """
    try:
        if isinstance(built, LabError):
            raise built
        with places.take(job.cell.cpus), ui.step(f"boot {job.name}", *count):
            return boots.boot(job.cell, built, directory)
    except LabError as err:
        if not options.keep_going:
            raise
        outcome = results.Outcome(job.cell.name, job.tree, job.cell.suites,
                                  problem=str(err), status=err.status,
                                  directory=str(directory))
        results.save(outcome)
        return outcome


def status(outcomes: Iterable[results.Outcome]) -> int:
    """The exit status of a run: the worst of its boots', tests that fail least."""
    return max((outcome.status or (PASS if outcome.ok else FAILED)
                for outcome in outcomes), default=PASS)
