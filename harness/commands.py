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

from . import model, packages, paths, results, runner, ui
from .boot import cell as boots
from .boot import guest, kernel, qemu
from .errors import BOOT, PASS, USAGE, LabError
from .source import trees

MOST = 5                        # failures of a boot that are printed


def options(args: argparse.Namespace) -> runner.Options:
    """The runner's options of a command line."""
    return runner.Options(args.jobs or 0, args.repeat, dry_run=args.dry_run)


def kunit(args: argparse.Namespace) -> int:
    """Boot cells that have suites; an exit status."""
    plan = model.load()
    chosen = plan.pick(args.cell or ["*"])
    if args.cell and any(not cell.suites for cell in chosen):
        raise LabError("not all of these cells run KUnit suites: ./lab boot runs any",
                       USAGE)
    chosen = [runner.filtered(cell, args.filter) for cell in chosen if cell.suites]
    return _boot(plan, runner.jobs_of(chosen, args.tree, args.repeat), options(args),
                 args.json)


def boot(args: argparse.Namespace) -> int:
    """Boot any cells; an exit status."""
    plan = model.load()
    return _boot(plan, runner.jobs_of(plan.pick(args.cell), args.tree, args.repeat),
                 options(args), args.json)


def again(args: argparse.Namespace) -> int:
    """Boot cells of an earlier run without building; an exit status.

    LabError USAGE if it was of a tree that has moved on since.
    """
    plan = model.load()
    last = results.outcomes(Path(args.run)) if args.run else results.latest()
    if any(outcome.tree == trees.VISITED for outcome in last):
        raise LabError("that was ./lab bisect, which goes on with --first N", USAGE)
    names = {cell.name for cell in plan.pick(args.cell)} if args.cell else None
    chosen = [outcome for outcome in last
              if (outcome.cell in names if names else not outcome.ok)]
    jobs = [runner.Job(plan.pick([outcome.cell])[0], outcome.tree)
            for outcome in chosen or last]
    jobs = list({job.name: job for job in jobs}.values())
    return _boot(plan, jobs, dataclasses.replace(options(args), rebuild=False), args.json)


def _boot(plan, jobs, how, as_json):
    outcomes = []
    for outcome in runner.run(plan, jobs, how):
        outcomes.append(outcome)
        if not as_json:
            show(outcome)
    if as_json:
        ui.say(json.dumps([dataclasses.asdict(outcome) for outcome in outcomes], indent=1))
    elif not how.dry_run:
        good = sum(1 for outcome in outcomes if outcome.ok)
        ui.conclusion(f"{good} of {len(outcomes)} cells passed")
    return runner.status(outcomes)


def show(outcome: results.Outcome) -> None:
    """Print what a boot came to: what failed in it, where it is kept, how to repeat it."""
    ui.say(f"{'ok  ' if outcome.ok else 'FAIL'}  {outcome.cell}: {outcome}")
    explain(outcome)


def explain(outcome: results.Outcome) -> None:
    """Print what failed in a boot, where it is kept, and how to repeat it."""
    if outcome.ok:
        return
    for failure in outcome.failures[:MOST]:
        ui.say(f"      {failure}")
    if len(outcome.failures) > MOST:
        ui.say(f"      and {len(outcome.failures) - MOST} more")
    tree = "" if outcome.tree == "series" else f" --tree {outcome.tree}"
    case = f" --filter {outcome.failures[0].split(':')[0].split(' ')[0]}" \
        if len(outcome.failures) == 1 else ""
    command = "kunit" if case else "boot"
    ui.say(f"      again: ./lab {command} {outcome.cell}{case}{tree}")
    ui.say(f"      files: {outcome.directory}")


def shell(args: argparse.Namespace) -> int:
    """A shell in the guest of a cell, or one command in it; an exit status."""
    plan = model.load()
    chosen = plan.pick([args.cell])
    if len(chosen) != 1:
        raise LabError(f"{args.cell} names {len(chosen)} cells, a shell wants one", USAGE)
    cell = chosen[0]
    if not plan.kernel_of(cell).target.native:
        raise LabError(f"{cell.name} is {plan.kernel_of(cell).arch}, and the shell is "
                       "this machine's busybox", USAGE)
    packages.need("guest", *packages.for_cells([cell], plan))
    build = kernel.build(plan.kernel_of(cell), args.tree)
    words = [word for word in cell.args if not word.startswith("demo=")]
    cell = dataclasses.replace(cell, args=words, suites="", demo="shell",
                               devices=cell.devices or ["edu,dma_mask=0xffffffff"])
    words = ["kunit.enable=0", "demo=shell"]
    if args.words:                      # the kernel puts it into the environment
        if '"' in " ".join(args.words):
            raise LabError("a command in the guest cannot have double quotes", USAGE)
        words += ["loglevel=1", f'lab_command="{" ".join(args.words)}"']
    command = boots.argv(cell, build, build.dir, words,
                         guest.initramfs(build, shell=True))
    if args.words:
        return _one_command(command, cell.timeout)
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


def _one_command(command, timeout):
    """Run QEMU with one command in the guest; prints its output, returns its status."""
    mark = "lab: the command ends with "
    console = qemu.boot(command, timeout=timeout, log=paths.results() / "shell.log")
    output, _, status = console.replace("\r", "").rpartition(mark)
    print(output, end="")
    return int(status.split()[0]) if output else BOOT


@contextlib.contextmanager
def _terminal():
    """Leave the terminal as it was, whatever QEMU did to it."""
    kept = termios.tcgetattr(sys.stdin) if os.isatty(0) else None
    try:
        yield
    finally:
        if kept:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, kept)
