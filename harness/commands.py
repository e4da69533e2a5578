# SPDX-License-Identifier: GPL-2.0-only
"""The commands that boot cells one by one: kunit, boot, again, shell."""

import argparse
import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import termios
from pathlib import Path

from . import model, packages, paths, process, results, runner, ui
from .boot import cell as boots
from .boot import kernel, qemu
from .errors import BOOT, FAILED, PASS, USAGE, LabError
from .gates import expected
from .source import trees

MOST = 5                        # failures of a boot that are printed


def options(args: argparse.Namespace) -> runner.Options:
    """The runner's options of a command line."""
    return runner.Options(args.jobs or 0, dry_run=args.dry_run)


def kunit(args: argparse.Namespace) -> int:
    """Boot cells that have suites; an exit status."""
    plan = model.load()
    chosen = [dataclasses.replace(cell, suites=args.filter or cell.suites)
              for cell in runner.choose(plan, args.cell, lambda cell: cell.suites,
                                        "run KUnit suites")]
    return _boot(plan, chosen, args)


def boot(args: argparse.Namespace) -> int:
    """Boot any cells; an exit status."""
    plan = model.load()
    return _boot(plan, plan.pick(args.cell), args)


def run(args: argparse.Namespace) -> int:
    """Boot all cells but benchmarks, or those named, or one part of so many of these,
    and hold them against what is pinned; an exit status."""
    plan = model.load()
    number, count = args.shard
    chosen = [cell for cell in plan.pick(args.cell or ["*"]) if not cell.bench]
    # Whole kernels, so that none is built for two parts.
    mine = list(dict.fromkeys(cell.kernel for cell in chosen))[number - 1::count]
    chosen = [cell for cell in chosen if cell.kernel in mine]
    packed = Path(args.packed).resolve() if args.packed else None
    return _report(runner.run(
        plan, runner.jobs_of(chosen, "series", args.repeat),
        dataclasses.replace(options(args), packed=packed),
        Path(args.output).resolve() if args.output else None), args, pinned=True)


def shard(text: str) -> tuple[int, int]:
    """I/N for argparse, which names this function where it is none."""
    number, count = map(int, text.split("/"))
    if not 1 <= number <= count:
        raise ValueError
    return number, count


def again(args: argparse.Namespace) -> int:
    """Boot the cells of an earlier run that failed, or those named, as they were booted
    then and without building; an exit status.

    LabError USAGE if it was of a tree that has moved on since.
    """
    plan = model.load()
    last = results.outcomes(Path(args.run)) if args.run else results.latest()
    if any(outcome.tree == trees.VISITED for outcome in last):
        raise LabError("that was ./lab bisect, which goes on with --first N", USAGE)
    names = {cell.name for cell in plan.pick(args.cell or ["*"])}
    chosen = [outcome for outcome in last if outcome.cell in names]
    if not args.cell:
        chosen = [outcome for outcome in chosen if not outcome.ok] or chosen
    if not chosen:
        raise LabError("that run has not booted these cells: ./lab boot", USAGE)
    booted = {(outcome.cell, outcome.tree): outcome.suites for outcome in chosen}
    jobs = [job for (name, tree), suites in booted.items() for job in runner.jobs_of(
                [dataclasses.replace(plan.cells[name], suites=suites)], tree, args.repeat)]
    return _report(runner.run(plan, jobs, dataclasses.replace(options(args),
                                                              rebuild=False)), args)


def _boot(plan, cells, args):
    jobs = runner.jobs_of(cells, args.tree, args.repeat)
    return _report(runner.run(plan, jobs, options(args)), args)


def _report(booted, args, pinned=False):
    """Print each Outcome as it comes, or all as JSON; an exit status. What differs from
    what is `pinned` fails, too."""
    outcomes, changed = [], 0
    for outcome in booted:
        outcomes.append(outcome)
        if not args.json:
            ui.say(f"{'ok  ' if outcome.ok else 'FAIL'}  {outcome.cell}: {outcome}")
            explain(outcome)
        before = expected.as_before(outcome) if pinned else None
        if before and before.failed:
            changed += 1
            if not args.json:
                ui.say(str(before))
    if args.json:
        ui.say(json.dumps([dataclasses.asdict(outcome) for outcome in outcomes], indent=1))
    elif outcomes:
        good = sum(outcome.ok for outcome in outcomes) - changed
        ui.conclusion(f"{good} of {len(outcomes)} boots passed")
    return runner.status(outcomes) or (FAILED if changed else PASS)


def explain(outcome: results.Outcome, repeat: str = "") -> None:
    """Print what failed in a boot, the command that repeats it, and where it is kept.

    The command is `repeat` where cell, tree and the case that failed do not say it all.
    """
    if outcome.ok:
        return
    for failure in outcome.failures[:MOST]:
        ui.say(f"      {failure}")
    if len(outcome.failures) > MOST:
        ui.say(f"      and {len(outcome.failures) - MOST} more")
    ui.say(f"      again: {repeat or outcome.repeat(outcome.failures)}")
    ui.say(f"      files: {outcome.directory}")


def shell(args: argparse.Namespace) -> int:
    """A shell in the guest of a cell, or one command in it; an exit status."""
    plan = model.load()
    chosen = plan.pick([args.cell])
    if len(chosen) != 1:
        raise LabError(f"{args.cell} names {len(chosen)} cells, a shell wants one", USAGE)
    cell = chosen[0]
    if not plan.kernel_of(cell).target.qemu:
        raise LabError(f"{cell.name} runs without QEMU: no shell in it", USAGE)
    packages.need("guest", *packages.for_cells([cell], plan))
    build = kernel.build(plan.kernel_of(cell), args.tree)
    cell = dataclasses.replace(cell, suites="", demo="shell",
                               devices=cell.devices or ["edu,dma_mask=0xffffffff"])
    if args.words:                      # the kernel puts it into the environment
        if '"' in " ".join(args.words):
            raise LabError("a command in the guest cannot have double quotes", USAGE)
        cell.args = [*cell.args, "loglevel=1", f'lab_command="{" ".join(args.words)}"']
    command = boots.argv(cell, build, build.dir)
    if args.words:
        return _one_command(cell, command)
    if args.gdb:
        command += ["-s", "-S"]
        ui.note(f"waits for: gdb {build.dir / 'vmlinux'} -ex 'target remote :1234'")
    command[command.index("stdio")] = "mon:stdio"
    ui.note("a shell in the guest: exit ends it, Ctrl-A X ends QEMU")
    # The terminal is the guest's: no process group of its own, unlike in run().
    with _terminal(), subprocess.Popen(command) as child:
        try:
            return PASS if child.wait() == 0 else BOOT
        except BaseException:
            child.terminate()           # QEMU puts the terminal right
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(5)
            child.kill()
            raise


def _one_command(cell, command):
    """Run QEMU with one command in the guest; prints its output, returns its status."""
    console = qemu.boot(command, timeout=cell.timeout, log=paths.results() / "shell.log")
    output, mark, status = console.replace("\r", "").rpartition(
        "lab: the command ends with ")
    if not mark:
        raise LabError(f"{cell.name}: no answer: {process.last_line(console)}", BOOT)
    print(output, end="")
    return int(status.split()[0])


@contextlib.contextmanager
def _terminal():
    """Leave the terminal as it was, whatever QEMU did to it."""
    kept = termios.tcgetattr(sys.stdin) if os.isatty(0) else None
    try:
        yield
    finally:
        if kept:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, kept)
