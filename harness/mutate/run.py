# SPDX-License-Identifier: GPL-2.0-only
"""The command: all mutants of the series, tried on one kernel after the other."""

import collections
import dataclasses
import fnmatch
import hashlib
import itertools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Union

from .. import model, packages, paths, process, results, runner, toml, ui
from ..boot import kernel
from ..errors import BUILD, FAILED, PASS, USAGE, LabError
from ..source import fetch, trees
from . import judge, kernels, mutants, objects, page, rounds, trials
from .mutants import Hunk, Mutant
from .trials import Trial

KERNELS = ("x86_64", "arm64")   # on which all is tried first
# On which that is tried that nothing has noticed: KMSAN, suites as modules, no dma-debug,
# no flags in scatterlists, dma_map_ops and devices that are not coherent, arch/sparc.
OTHERS = ("x86_64-kmsan", "arm64-modules", "x86_64-nodebug", "uml", "arm", "sparc64")
_REASON = ("file", "name", "why")


@paths.lock(trees.VISITED)
def run(patch: int, options: runner.Options) -> int:
    """Try all mutants of the series, or those of patch number `patch`, and write
    docs/mutants.md if it was all; returns an exit status.

    FAILED if one survives that mutants.toml gives no reason for, which saves its boots.
    LabError USAGE for a patch that does not exist; what is not the fault of a mutant is
    raised. What the cache or docs/mutants.json has of the same code in the same file is
    not tried again, but for survivors of other tests.
    """
    plan = model.load()
    source = trees.tree("series")
    if trees.dirty("series"):
        raise LabError(f"{source} has changes that are not committed", USAGE)
    commits = trees.commits()
    if not 0 <= patch <= len(commits):
        raise LabError(f"no patch {patch}: there are {len(commits)}", USAGE)
    reasons = toml.entries(paths.ROOT / "mutants.toml", "equivalent", _REASON)
    packages.need("mutate")
    trying = Trying(plan, source, commits[patch - 1][0] if patch else "", reasons)
    if options.dry_run:
        ui.say(f"would try {len(trying.trials)} mutants")
        return PASS
    try:
        for names in (KERNELS, *((name,) for name in OTHERS)):
            trying.on(names)
    finally:
        if not patch:
            trying.kept.publish()
    if not patch:
        with fetch.scratch("judge") as scratch, ui.step(f"try mutants of {judge.FILE}"):
            judged = judge.tried(scratch)
        name(judged, reasons)
        trying.trials += judged
    return _conclude(trying, reasons, patch)


class Trying:
    """The mutants of the series or of the lines of one commit, and what comes of them."""

    def __init__(self, plan: model.Matrix, source: Path, commit: str,
                 reasons: Sequence[Mapping]) -> None:
        self.plan, self.source = plan, source
        self.files = mutants.files("base", "series")
        self.texts = {file: (self.source / file).read_text("utf-8") for file in self.files}
        self.trials: list[Trial] = []
        for file in self.files:
            hunks = mutants.hunks("base", "series", file)
            lines = {number for number, made in mutants.commits(
                "base", "series", file).items() if commit in ("", made)}
            if commit:
                hunks = [hunk for hunk in hunks
                         if not lines.isdisjoint(range(hunk.first, hunk.end))]
            self.trials += [*map(Trial, mutants.decisions(self.source / file, file, lines)),
                            *map(Trial, hunks)]
        right = {file: objects.code(text) for file, text in self.texts.items()}
        for trial in self.trials:
            change = trial.change
            trial.comment = change.kind == "hunk" and right[change.file] == objects.code(
                change.made(self.texts[change.file]))
        name(self.trials, reasons)
        base = trees.git("rev-parse", "base")
        configs = _files("configs", "*")
        for trial in self.trials:
            file = trial.change.file
            trial.key = _digest(base, *configs, file, right[file], trial.words)
        self.kept = trials.Kept(_digest(
            trees.git("rev-parse", "series^{tree}"), *configs, *_files(".", "matrix.toml"),
            *_files("guest", "**/*.[chS]")), (trial.key for trial in self.trials))
        self.memory = objects.Memory(       # tests do not change what is compiled
            self.kept.path.with_name("objects.json"), base,
            *itertools.chain(*self.texts.items()))
        self.same: dict[tuple, Trial] = {}      # by their objects

    def on(self, names: Sequence[str]) -> None:
        """Try on these kernels what nothing has noticed yet."""
        waiting = [trial for trial in self.trials
                   if not trial.comment and not self.kept.load(trial, names) and (
                       trial.fate == trials.EQUAL or trial.fate == trials.SURVIVED
                       and not trial.why)]
        if not waiting:
            return
        packages.need(*packages.for_cells(self._cells(names), self.plan))
        _visit({})
        builds = self._builds(names)
        with fetch.scratch("mutate") as scratch:
            compilers = [objects.Compiler(build, trees.touched("series"), scratch / name,
                                          self.memory) for name, build in builds.items()]
            different = [trial for trial in self._compiled(compilers, waiting)
                         if not trial.why]
            together, alone = self._divided(compilers, different)
            self.memory.keep()
            # Headers first: what includes them is compiled anew where a number changes.
            together.sort(key=lambda trial: not trial.change.file.endswith(".h"))
        for trial in waiting:
            if trial not in different:
                self.kept.save(trial, names)
        if different:
            self._boot(names, together, alone)

    def _cells(self, names):
        return [cell for cell in self.plan.cells.values()
                if cell.kernel in names and not cell.bench]

    def _builds(self, names):
        """The kernels `names`, made from what the visited tree is now."""
        return {name: kernel.build(self.plan.kernels[name], trees.VISITED) for name in names}

    def _compiled(self, compilers, waiting):
        """Those of `waiting` that change instructions, one of each kind. What has survived
        other kernels does not become one of those that need not be booted."""
        with ui.step(f"compile {len(waiting)} mutants"):
            found = objects.compare(compilers, self.texts, [
                (trial.change.file, trial.change.made(self.texts[trial.change.file]))
                for trial in waiting])
        left = []
        for trial, made in zip(waiting, found):
            twin = self.same.setdefault(made, trial) if made else trial
            if not made:
                if made is None and trial.fate == trials.EQUAL:
                    trial.fate = trials.BROKEN
            elif twin is not trial and trial.fate == trials.EQUAL:
                trial.fate, trial.twin = trials.TWIN, twin.name
            else:
                trial.fate = trials.SURVIVED
                left.append(trial)
        return left

    def _divided(self, compilers, waiting):
        """`waiting` as (those that one kernel can be all of, those that it cannot)."""
        together = [trial for trial in waiting if trial.change.switched(
            self.texts[trial.change.file], 1)]
        odd = []
        changed = kernels.texts(self.source, _numbered(together))
        for file, good in zip(changed, objects.compiled(compilers, list(changed.items()))):
            if not good:
                mine = [trial for trial in together if trial.change.file == file]
                odd += [trial for trial, good in zip(mine, objects.compiled(compilers, [
                    (file, kernels.texts(self.source, _numbered([trial]))[file])
                    for trial in mine])) if not good]
        return ([trial for trial in together if trial not in odd],
                [trial for trial in waiting if trial not in together or trial in odd])

    def _boot(self, names, together, alone):
        """Boot the kernel that `together` make up, as each of them, and one for each of
        `alone`."""
        numbered = dict(enumerate(together, 1))
        _visit(kernels.texts(self.source, _numbered(together)))
        top = results.new_run()
        right = trials.right(self._cells(names), self._builds(names), top / "right")
        self._in_rounds(names, numbered, right, top)
        self._attempts(names, [
            (trial, [f"{kernels.WORD}={number}"], unasked(trial, reaching(
                right, numbered, number)))
            for number, trial in numbered.items() if trial.fate == trials.SURVIVED], top)
        for trial in alone:
            self._boot_alone(names, trial, nearest(right, numbered, trial.change), top)

    def _in_rounds(self, names, numbered, right, top):
        """Try in rounds what is `numbered`, first where most is noticed in least time."""
        cells = [boot for boot in right if boot.cell.suites and not boot.cell.modules]
        left = {number for number, trial in numbered.items()
                if trial.fate == trials.SURVIVED}
        while cells:
            boot = max(cells, key=lambda boot: len(boot.reached & left) / (boot.seconds + 1))
            cells.remove(boot)
            asked = sorted(boot.reached & left)
            jobs = max(1, packages.jobs([boot.cell]) // boot.cell.cpus)
            with process.pool(jobs) as pool, ui.step(f"{boot.cell.name}: {len(asked)} "
                                                     "mutants in rounds"):
                list(pool.map(lambda job: self._part(names, numbered, boot,
                                                     asked[job::jobs], top), range(jobs)))
            left = {number for number in left if numbered[number].fate == trials.SURVIVED}
            ui.say(f"{boot.cell.name}: {len(asked)} in rounds, {len(left)} left")

    def _part(self, names, numbered, boot, asked, top):
        for number, fate, what in rounds.rounds(boot, asked, top):
            trial = numbered[number]
            if fate == trials.SURVIVED:
                trial.tried.add(boot.cell.name)
            elif fate != trials.EQUAL:
                trial.fate, trial.cell, trial.cases = fate, boot.cell.name, [what]
                self.kept.save(trial, names)

    def _boot_alone(self, names, trial, right, top):
        """Boot kernels of `trial`'s own, as many of `names` as it takes."""
        change = trial.change
        _visit({change.file: change.made(self.texts[change.file])})
        for name in names:
            boots = [boot for boot in right if boot.cell.kernel == name]
            if not boots or trial.fate != trials.SURVIVED:
                continue
            try:
                built = kernel.build(self.plan.kernels[name], trees.VISITED)
            except LabError as err:
                if err.status != BUILD:
                    raise
                trial.fate = trials.BROKEN      # or does not link
            else:
                self._attempts(names, [(trial, [], [
                    dataclasses.replace(boot, build=built) for boot in boots])], top)
        self.kept.save(trial, names)

    def _attempts(self, names, attempts, top):
        """Make these attempts side by side, and keep what comes of them."""
        begin, done = time.monotonic(), 0
        with process.pool(packages.jobs(self._cells(names))) as pool:
            waiting = [(pool.submit(trials.attempt, trial, words, boots, top), trial)
                       for trial, words, boots in attempts]
            for future, trial in waiting:
                future.result()
                done += 1
                self.kept.save(trial, names)
                left = (time.monotonic() - begin) / done * (len(attempts) - done)
                ui.say(f"{trial}: {done} of {len(attempts)}, {ui.seconds(left)} left")


def name(made: Sequence[Trial], reasons: Sequence[Mapping]) -> None:
    """Number those of `made` that have the same name; find the reasons of mutants.toml."""
    count: collections.Counter = collections.Counter()
    for trial in made:
        count[trial.name] += 1
        trial.repeat = count[trial.name]
        trial.why = next((reason["why"] for reason in reasons
                          if _explains(reason, trial)), "")


def _files(where, pattern):
    """The texts of these files of the project."""
    return [path.read_text("utf-8") for path in sorted((paths.ROOT / where).glob(pattern))]


def _digest(*texts):
    """What tells these texts from others."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def _visit(texts):
    """Move the visited tree to the series in which files have these `texts`."""
    trees.visit(trees.edited("series", texts, "mutants\n"))


def _numbered(chosen):
    return {number: trial.change for number, trial in enumerate(chosen, 1)}


def reaching(boots: Sequence[trials.Boot], numbered: Mapping[int, Trial],
             number: int) -> list[trials.Boot]:
    """Those of `boots` that reached mutant `number`; first those that reached most of
    its file."""
    same = {other for other, trial in numbered.items()
            if trial.change.file == numbered[number].change.file}
    return sorted((boot for boot in boots if number in boot.reached),
                  key=lambda boot: -len(boot.reached & same))


def unasked(trial: Trial, boots: Sequence[trials.Boot]) -> list[trials.Boot]:
    """Those of `boots` that are worth a whole boot: demos, what rounds of test cases have
    not asked, and of those that they have the first, for what happens once a boot."""
    asked = [boot for boot in boots if boot.cell.name in trial.tried]
    return [boot for boot in boots if boot not in asked[1:]]


def nearest(boots: Sequence[trials.Boot], numbered: Mapping[int, Trial],
            change: Union[Hunk, Mutant]) -> list[trials.Boot]:
    """Those of `boots` that reached a mutant in the lines of `change`, else in its file;
    all if there is none."""
    for near in (lambda other: change.line <= other.line <= change.last, lambda _: True):
        numbers = {number for number, trial in numbered.items()
                   if trial.change.file == change.file and near(trial.change)}
        found = [boot for boot in boots if numbers & boot.reached]
        if found:
            return found
    return list(boots)


def _explains(reason: Mapping, trial: Trial) -> bool:
    """Whether `reason` of mutants.toml is why nothing notices `trial`."""
    return (fnmatch.fnmatch(trial.change.file, reason["file"])
            and fnmatch.fnmatch(trial.words, reason["name"]))


def _conclude(trying, reasons, patch):
    """Say what survived without a reason; write the page. An exit status."""
    survivors = [trial for trial in trying.trials if trial.fate == trials.SURVIVED]
    unexplained = [trial for trial in survivors if not trial.why]
    for trial in unexplained:
        ui.say(f"SURVIVED  {trial.name}")
    if not patch:
        used = [next(reason for reason in reasons if _explains(reason, trial))
                for trial in survivors if trial.why]
        for reason in reasons:
            if not any(reason is other for other in used):
                ui.say(f"mutants.toml: needed by nothing: {reason['name']}")
        page.write(trying.trials, (*KERNELS, *OTHERS))
    counts = ", ".join(f"{sum(trial.fate == fate for trial in trying.trials)} "
                       f"{fate}" for fate in trials.FATES)
    ui.conclusion(f"mutate: {len(trying.trials)} mutants: {counts}; "
                  f"{len(unexplained)} of these without a reason")
    return FAILED if unexplained else PASS
