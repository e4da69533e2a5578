# SPDX-License-Identifier: GPL-2.0-only
"""The command line: one function a command, errors as one line and a status."""

import argparse
import contextlib
import os
import sys

from . import bisect, check, commands, model, packages, process, ui
from .boot import kernel
from .reports import bench, compare, demo
from .source import mails, trees
from .errors import ENVIRONMENT, FAILED, INTERRUPTED, PASS, USAGE, LabError

EPILOG = """exit status: 0 pass, 1 a test failed, 2 usage, 3 fetch or hash, 4 does not
apply, 5 style check, 6 build, 7 boot hung or panicked, 8 environment,
130 interrupted"""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message):
        raise LabError(f"{message}; see {self.prog} --help", USAGE)


def _demo(args):
    return demo.run(args.tree, args.cell, args.beside or "", commands.options(args))


def _check(args):
    return check.run(args.full, args.only or "", args.pin, commands.options(args))


def _bisect(args):
    return bisect.run(args.kernel, args.first, commands.options(args))


def _tree(args):
    ui.say(trees.tree(args.name, args.reset))
    return PASS


def _refresh(_args):
    trees.tree("series")
    changed = mails.refresh()
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


def _compare(args):
    return compare.run(args.cell, commands.options(args))


def _bench(args):
    return bench.run(args.cell, args.write, commands.options(args))


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
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add(name, function, text):
        command = subparsers.add_parser(name, help=text, description=text)
        command.set_defaults(function=function)
        return command

    def of_tree(command):
        command.add_argument("--tree", choices=(*trees.NAMES, *trees.SUITES),
                             default="series",
                             help="which kernel source (default: %(default)s)")
        return command

    def running(command, of=True):
        """The options of all commands that boot; `of` a tree of choice."""
        command.add_argument("-j", "--jobs", type=int, metavar="N")
        command.add_argument("--repeat", type=int, default=1, metavar="N")
        command.add_argument("--dry-run", action="store_true")
        command.add_argument("--json", action="store_true")
        return of_tree(command) if of else command

    command = running(add("demo", _demo, "show on real DMA what the attribute does"))
    command.add_argument("--beside", metavar="TREE")
    command.add_argument("cell", nargs="*", help="default: the quick ones")
    command = running(add("check", _check, "run the tests"), False)
    command.add_argument("--only", metavar="GATE[,GATE]")
    command.add_argument("--pin", action="store_true")
    command.add_argument("--full", action="store_true", help="all cells of model.toml")
    command = running(add("bisect", _bisect, "build and test after each patch"), False)
    command.add_argument("kernel", nargs="*",
                         help=f"default: {' '.join(bisect.KERNELS)}")
    command.add_argument("--first", type=int, default=1, metavar="N",
                         help="the patch to begin with (default: %(default)s)")
    command = add("tree", _tree, "make a kernel tree and print its path")
    command.add_argument("name", help=", ".join(trees.NAMES))
    command.add_argument("--reset", action="store_true",
                         help="drop own commits and changes, saved under refs/lab/saved/")
    add("refresh", _refresh, "write series/ from the commits of the series tree")
    command = of_tree(add("build", _build, "build kernels"))
    command.add_argument("kernel", nargs="*", help="default: all")
    command = running(add("kunit", commands.kunit, "build, boot and run KUnit suites"))
    command.add_argument("--filter", metavar="GLOB")
    command.add_argument("cell", nargs="*", help="default: all that have suites")
    command = running(add("compare", _compare, "run the suites on stock too, write "
                          "docs/routes.md"), False)
    command.add_argument("cell", nargs="*",
                         help="default: all that have suites; only that is written")
    command = running(add("boot", commands.boot, "build and boot cells"))
    command.add_argument("cell", nargs="+")
    command = running(add("bench", _bench, "count what the series costs, in "
                          "instructions"), False)
    command.add_argument("cell", nargs="*", help="default: all that do that")
    command.add_argument("--write", action="store_true",
                         help="write docs/performance.md as well")
    command = running(add("again", commands.again,
                          "boot cells of the last run without building"), False)
    command.add_argument("--run", metavar="DIR")
    command.add_argument("cell", nargs="*", help="default: those that failed, else all")
    command = of_tree(add("shell", commands.shell, "a shell in the guest of a cell"))
    command.add_argument("cell")
    command.add_argument("command", nargs="*")
    command.add_argument("--gdb", action="store_true")
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
