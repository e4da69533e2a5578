# SPDX-License-Identifier: GPL-2.0-only
"""The command line: one function a command, errors as one line and a status."""

import argparse
import contextlib
import dataclasses
import os
import subprocess
import sys

from . import bisect, check, model, packages, process, results, ui
from .boot import cells, guest, kernel
from .reports import bench, compare, demo
from .source import mails, trees
from .errors import (BOOT, ENVIRONMENT, FAILED, INTERRUPTED, PASS, USAGE, LabError)

EPILOG = """exit status: 0 pass, 1 a test failed, 2 usage, 3 fetch or hash, 4 does not
apply, 5 style check, 6 build, 7 boot hung or panicked, 8 environment,
130 interrupted"""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message):
        raise LabError(f"{message}; see {self.prog} --help", USAGE)


def _demo(args):
    return demo.run(args.tree, args.cell)


def _check(args):
    return check.run(args.full)


def _bisect(args):
    return bisect.run(args.kernel, args.first)


def _tree(args):
    if args.update:
        trees.newer_stock()
    ui.say(trees.tree(args.name, args.reset))
    return PASS


def _refresh(args):
    changed = mails.refresh(model.SERIES[args.name])
    for name in changed:
        ui.say(name)
    ui.conclusion(f"refresh: {len(changed)} files written" if changed
                  else "refresh: nothing to write")
    return PASS


def _build(args):
    plan = model.load()
    for name in args.kernel:
        if name not in plan.kernels:
            raise LabError(f"no kernel {name!r}: ./lab list shows them", USAGE)
    for name in args.kernel or plan.kernels:
        ui.say(kernel.build(plan.kernels[name], args.tree).image)
    return PASS


def _run(chosen, plan, name, rebuild=True):
    """Boot the cells `chosen`, building their kernels first; an exit status."""
    built = {}
    for cell in chosen:
        if cell.kernel not in built:
            which = plan.kernel_of(cell)
            built[cell.kernel] = (kernel.build if rebuild else kernel.at)(which, name)
    directory = results.new_run()
    outcomes = []
    for cell in chosen:
        outcomes.append(cells.run(cell, built[cell.kernel], directory))
        ui.say(f"{'ok  ' if outcomes[-1].ok else 'FAIL'}  {cell.name}: {outcomes[-1]}")
        if not outcomes[-1].ok:
            ui.note(f"      {directory / cell.name}")
    bad = [outcome for outcome in outcomes if not outcome.ok]
    ui.conclusion(f"{len(outcomes) - len(bad)} of {len(outcomes)} cells passed; results: "
                  f"{directory}")
    if any(outcome.hung for outcome in bad):
        return BOOT
    return FAILED if bad else PASS


def _kunit(args):
    plan = model.load()
    chosen = plan.pick(args.cell or ["*"])
    if args.cell and any(not cell.suites for cell in chosen):
        raise LabError("not all of these cells run KUnit suites: ./lab boot runs any",
                       USAGE)
    return _run([cell for cell in chosen if cell.suites], plan, args.tree)


def _boot(args):
    plan = model.load()
    return _run(plan.pick(args.cell), plan, args.tree)


def _compare(args):
    return compare.run(args.cell)


def _bench(args):
    return bench.run(args.cell, args.write)


def _again(args):
    plan = model.load()
    last, name = results.latest()
    chosen = args.cell or [cell for cell, outcome in last.items() if not outcome.ok]
    return _run(plan.pick(chosen or list(last)), plan, name, rebuild=False)


def _shell(args):
    plan = model.load()
    chosen = plan.pick([args.cell])
    if len(chosen) != 1:
        raise LabError(f"{args.cell} names {len(chosen)} cells, a shell wants one", USAGE)
    cell = chosen[0]
    if not plan.kernel_of(cell).target.native:
        raise LabError(f"{cell.name} is {plan.kernel_of(cell).arch}, and the shell is "
                       "this machine's busybox", USAGE)
    packages.need("guest")
    built = kernel.build(plan.kernel_of(cell), args.tree)
    words = [word for word in cell.args if not word.startswith("demo=")]
    cell = dataclasses.replace(cell, args=words,
                               devices=cell.devices or ["edu,dma_mask=0xffffffff"])
    cmd = cells.command(cell, built, built.dir, ["kunit.enable=0", "demo=shell"],
                        guest.initramfs(built, shell=True))
    cmd[cmd.index("stdio")] = "mon:stdio"
    ui.note("a shell in the guest: exit ends it, Ctrl-A X ends QEMU")
    # The terminal is the guest's: no process group of its own, unlike in run().
    with subprocess.Popen(cmd) as child:
        try:
            return PASS if child.wait() == 0 else BOOT
        except BaseException:
            child.kill()
            raise


def _doctor(_args):
    rows = packages.doctor()
    width = max(len(name) for name, _, _ in rows)
    for name, good, remark in rows:
        ui.say(f"{'ok  ' if good else 'WANT'}  {name.ljust(width)}  {remark}")
    lacking = sum(1 for _, good, _ in rows if not good)
    ui.conclusion("doctor: everything is there" if not lacking else
                  f"doctor: {lacking} things are wanted; packages are installed by the "
                  "commands that need them")
    return ENVIRONMENT if lacking else PASS


def _list(_args):
    plan = model.load()
    for which in plan.kernels.values():
        ui.say(f"kernel {which.name}: {which.arch}, {', '.join(which.fragments)}")
    width = max(len(name) for name in plan.cells)
    for cell in plan.cells.values():
        what = cell.suites or cell.bench or f"demo {cell.demo}"
        ui.say(f"cell   {cell.name.ljust(width)}  {what:12}  {cell.what}"
               f"{'' if cell.quick or cell.bench else ' (--full)'}")
    return PASS


def _parser():
    parser = Parser(prog="./lab", epilog=EPILOG,
                    formatter_class=argparse.RawDescriptionHelpFormatter,
                    description="DMA_ATTR_REQUIRE_COHERENT: the series, and what shows "
                    "that it works.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add(name, function, text):
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(function=function)
        return command

    def of_tree(command):
        command.add_argument("--tree", choices=(*trees.NAMES, *trees.SUITES),
                             default="series",
                             help="which kernel source (default: %(default)s)")
        return command

    command = of_tree(add("demo", _demo, "show on real DMA what the attribute does"))
    command.add_argument("cell", nargs="*", help="default: the quick ones")
    command = add("check", _check, "run the tests")
    command.add_argument("--full", action="store_true", help="all cells of model.toml")
    command = add("bisect", _bisect, "build and test after each patch")
    command.add_argument("kernel", nargs="*",
                         help=f"default: {' '.join(bisect.KERNELS)}")
    command.add_argument("--first", type=int, default=1, metavar="N",
                         help="the patch to begin with (default: %(default)s)")
    command = add("tree", _tree, "make a kernel tree and print its path")
    command.add_argument("name", help=", ".join((*trees.NAMES, *trees.SUITES)))
    command.add_argument("--update", action="store_true",
                         help="look for a newer point release of the package first")
    command.add_argument("--reset", action="store_true",
                         help="drop own commits and changes, saved under refs/lab/saved/")
    command = add("refresh", _refresh, "write mails from the commits of their tree")
    command.add_argument("name", nargs="?", default="series", choices=model.SERIES,
                         help="default: %(default)s")
    command = of_tree(add("build", _build, "build kernels"))
    command.add_argument("kernel", nargs="*", help="default: all")
    command = of_tree(add("kunit", _kunit, "build, boot and run KUnit suites"))
    command.add_argument("cell", nargs="*", help="default: all that have suites")
    command = add("compare", _compare, "run the suites on stock too, write "
                  "docs/routes.md")
    command.add_argument("cell", nargs="*",
                         help="default: all that have suites; only that is written")
    command = of_tree(add("boot", _boot, "build and boot cells"))
    command.add_argument("cell", nargs="+")
    command = add("bench", _bench, "count what the series costs, in instructions")
    command.add_argument("cell", nargs="*", help="default: all that do that")
    command.add_argument("--write", action="store_true",
                         help="write docs/performance.md as well")
    command = add("again", _again, "boot cells of the last run without building")
    command.add_argument("cell", nargs="*", help="default: those that failed, else all")
    command = of_tree(add("shell", _shell, "a shell in the guest of a cell"))
    command.add_argument("cell")
    add("doctor", _doctor, "say what this machine has and lacks")
    add("list", _list, "list kernels and cells")
    return parser


def main(argv=None):
    """Run the command line `argv`; returns the exit status."""
    process.catch_termination()
    try:
        args = _parser().parse_args(argv)
        return args.function(args)
    except LabError as err:
        print(f"lab: {err}", file=sys.stderr)
        return err.status
    except KeyboardInterrupt:
        print("lab: interrupted; the next call goes on from here", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as err:
        what = f"{err.filename}: {err.strerror}" if err.filename else str(err)
        print(f"lab: {what}; ./lab doctor shows what is used", file=sys.stderr)
        return ENVIRONMENT
