# SPDX-License-Identifier: GPL-2.0-only
"""./lab soak: random requests on many kernels, another seed each boot, and the shortest
sequence of them that fails."""

import contextlib
import dataclasses
import itertools
import re
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from . import commands, model, results, runner, ui
from .errors import FAILED, PASS, USAGE, LabError

CASES = "*.*_random*"           # the randomised test cases, a kunit.filter_glob
MODULES = ("dma_direct_kunit", "dma_iommu_kunit", "dma_p2p_kunit", "xen_swiotlb_kunit",
           "ib_umem_kunit")
LONG = 10_000_000               # requests of ./lab soak
SHORT = 1_000_000               # those of ./lab check --full
_BOOT = 10_000                  # requests of a case in a boot of a cell without soak
_MOST = 7                       # randomised cases that a boot has
_CPUS = 4                       # one for each thread of those that have threads
_TIMEOUT = 600                  # seconds

_MADE = re.compile(r": random: (\d+) made\b")
_NOISE = re.compile(r"# module: |: (route|random): |requests, seed|speed: |FAILED at")
_FAILED = re.compile(r"(?<![.\w])random_seed=\d+ random_first=\d+ random_requests=(\d+)")


def any_seed() -> int:
    """A seed that was not used the last time."""
    return int(time.time())


@dataclass(frozen=True)
class Requests:
    """What each randomised test case of a boot makes: requests `first` to `end` - 1 of
    those that are derived from `seed`."""

    seed: int
    end: int
    first: int = 0

    def cell(self, cell: model.Cell, suites: str = CASES) -> model.Cell:
        """`cell` with kernel arguments that make `suites` make these requests, and CPUs
        for all their threads."""
        values = {"seed": self.seed, "first": self.first, "requests": self.end}
        return dataclasses.replace(
            cell, suites=suites, cpus=max(cell.cpus, _CPUS),
            timeout=max(cell.timeout, _TIMEOUT), args=[
                *cell.args, "no_timer_check",   # x86, which panics on a busy host
                *(f"{module}.random_{key}={value}"
                  for module in MODULES for key, value in values.items())])

    def command(self, cell: str) -> str:
        """The command that makes them on that cell."""
        first = f" --first {self.first}" if self.first else ""
        return f"./lab soak {cell} --seed {self.seed}{first} --requests {self.end}"


@dataclass
class Soak:
    """What has come of it so far."""

    goal: int                   # requests
    minutes: int = 0            # that it may take; 0: no matter
    made: int = 0
    violations: int = 0         # requests that did not get what they have to
    leaks: int = 0              # what was left behind by all of a boot
    cells: set[str] = field(default_factory=set)
    kernels: set[str] = field(default_factory=set)
    start: float = field(default_factory=time.monotonic)

    def add(self, outcome: results.Outcome, kernel: str) -> None:
        """Count a boot of that kernel, which fails if it made no request."""
        made = sum(map(int, _MADE.findall(outcome.console)))
        if outcome.ok and not made:
            outcome.fail("no request was made", FAILED)
        self.made += made
        self.cells.add(outcome.cell)
        self.kernels.add(kernel)
        leaks = len(re.findall(r"^ *leak: ", outcome.console, re.M))
        self.leaks += leaks
        self.violations += max(int(not outcome.ok), outcome.failed) if not leaks else 0

    def passed(self) -> bool:
        """Whether nothing has failed."""
        return not self.violations and not self.leaks

    def seconds(self) -> float:
        """How long it has taken."""
        return time.monotonic() - self.start

    def over(self) -> bool:
        """Whether that is enough."""
        late = self.minutes and self.seconds() > 60 * self.minutes
        return bool(late or self.made >= self.goal or not self.passed())

    def progress(self) -> str:
        """How far it has come, and how long it may take yet."""
        left = self.seconds() * max(0, self.goal - self.made) / max(1, self.made)
        if self.minutes:
            left = min(left, 60 * self.minutes - self.seconds())
        return (f"soak: {self.made} of {self.goal} requests, {ui.seconds(self.seconds())} "
                f"so far, {ui.seconds(max(0, left))} left")

    def __str__(self) -> str:
        return (f"soak: {self.made} requests, {self.violations} violations, {self.leaks} "
                f"leaks, {len(self.cells)} cells, {len(self.kernels)} kernels, "
                f"{round(self.seconds() / 60)} min")


def run(patterns: Sequence[str], requests: Requests, minutes: int,
        options: runner.Options) -> int:
    """Make `requests` on the cells that `patterns` names, or those of the matrix that
    have soak, until there are that many in all or so many minutes have passed.

    Says what fails, the command that repeats it, and the shortest sequence that fails.
    Returns an exit status; LabError USAGE for cells that do not exist or have no suites.
    """
    plan = model.load()
    cells = runner.choose(plan, patterns, lambda cell: cell.suites
                          if patterns else cell.soak, "run KUnit suites")
    if not cells:
        raise LabError("no cell of matrix.toml has soak", USAGE)
    if options.dry_run:
        list(runner.run(plan, [job for job, _ in _round(cells, requests, 1, 1)], options))
        return PASS
    ui.note(f"soak: seed {requests.seed}")
    done = soak(plan, cells, requests, minutes, options)
    ui.conclusion(str(done))
    return PASS if done.passed() else FAILED


def soak(plan: model.Matrix, cells: list[model.Cell], requests: Requests, minutes: int,
         options: runner.Options) -> Soak:
    """The same for these cells; says what fails, and returns what has come of it."""
    done = Soak(requests.end - requests.first, minutes)
    directory = results.new_run()
    with contextlib.closing(_boots(plan, cells, requests, done, options,
                                   directory)) as boots:
        for made, outcome in boots:
            cell = plan.cells[outcome.cell]
            done.add(outcome, cell.kernel)
            ui.note(done.progress())
            if not outcome.ok:
                ui.say(f"FAIL  {outcome.cell}, seed {made.seed}: {outcome}")
                break
            if done.over():
                return done
    _explain(plan, cell, made, outcome, options, directory)
    return done


def _round(cells: list[model.Cell], requests: Requests, number: int,
           rounds: int) -> Iterator[tuple[runner.Job, Requests]]:
    """The boots of that many rounds, the first of which is number `number`."""
    for turn, (place, cell) in itertools.product(range(number, number + rounds),
                                                 enumerate(cells)):
        made = Requests(requests.seed + (turn - 1) * len(cells) + place,
                        requests.first + _share(cell, cells, requests), requests.first)
        yield runner.Job(made.cell(cell), number=turn), made


def _share(cell: model.Cell, cells: list[model.Cell], requests: Requests) -> int:
    """How many requests a case makes in a boot of `cell`: not so many that all are made
    before each of `cells` has been booted."""
    wanted, most = requests.end - requests.first, cell.soak or _BOOT
    if len(cells) > 1:
        wanted = wanted * most // sum(each.soak or _BOOT for each in cells) // _MOST
    return max(1, min(wanted, most))


def _boots(plan: model.Matrix, cells: list[model.Cell], requests: Requests, done: Soak,
           options: runner.Options, directory: Path,
           ) -> Generator[tuple[Requests, results.Outcome], None, None]:
    """Boot all of `cells` again and again: as often as the first round says it takes."""
    number, rounds = 1, 1
    while True:
        jobs = list(_round(cells, requests, number, rounds))
        booted = runner.run(plan, [job for job, _ in jobs], options, directory)
        for outcome, (_, made) in zip(booted, jobs):
            yield made, outcome
        number += rounds
        rounds = max(1, -(-(done.goal - done.made) * (number - 1) // max(1, done.made)))
        options = dataclasses.replace(options, rebuild=False)


def shrink(fails: Callable[[int, int], Optional[int]], end: int,
           named: bool) -> tuple[int, int]:
    """The shortest sequence of requests that fails: (first, end), or (0, 0) for one that
    does not fail any more.

    `fails` makes requests `first` to `end` - 1, and returns the end of those that it
    took, or None if none failed. Without `named` the failure does not say which request
    it was: a leak, or a panic.
    """
    found = fails(0, end)
    if found is None:
        return 0, 0
    first, end, passes = 0, found, 0
    while not named and passes + 1 < end:
        probe = (passes + end) // 2
        if fails(0, probe) is None:
            passes = probe
        else:
            end = probe
    probe = end - 1                     # most fail by themselves
    passes = end
    while first + 1 < passes:
        found = fails(probe, end)
        if found is None:
            passes = probe
        else:
            first, end = probe, found
            passes = min(passes, end)
        probe = (first + passes) // 2
    return first, end


def _explain(plan: model.Matrix, cell: model.Cell, made: Requests,
             outcome: results.Outcome, options: runner.Options, top: Path) -> None:
    """Say what failed and what repeats it, and shrink it."""
    found = _FAILED.search(outcome.console)
    again = dataclasses.replace(made, end=int(found[1])) if found else made
    commands.explain(outcome, again.command(cell.name))
    case = re.split(r"[: ]", outcome.failures[0])[0] if outcome.failures else CASES
    last = outcome
    count = itertools.count(1)

    def fails(first: int, end: int) -> Optional[int]:
        nonlocal last
        job = runner.Job(Requests(made.seed, end, first).cell(cell, case))
        booted, = runner.run(plan, [job], dataclasses.replace(options, rebuild=False),
                             top / f"shrink-{next(count)}")
        if booted.ok:
            return None
        last, found = booted, _FAILED.search(booted.console)
        return int(found[1]) if found else end

    first, end = shrink(fails, again.end, bool(found))
    if not end:
        ui.say("      by itself it does not fail again")
        return
    ui.say(f"      shortest sequence: {end - first} requests: "
           f"{Requests(made.seed, end, first).command(cell.name)}")
    for line in _said(last):
        ui.say(f"        {line}")


def _said(outcome: results.Outcome) -> list[str]:
    """What the tests of a boot say of the request that failed."""
    said = [line.strip() for case in results.ktap(outcome.console) if not case.ok
            for line in case.said]
    return [re.sub(r"^# \w+: ", "", line) for line in said if _FAILED.search(line)
            or line.startswith(("# ", "leak: ")) and not _NOISE.search(line)]
