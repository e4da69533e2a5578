# SPDX-License-Identifier: GPL-2.0-only
"""The command line: one function a command, errors as one line and a status."""

import argparse
import contextlib
import dataclasses
import json
import os
import sys
import tempfile
import textwrap
import traceback
from pathlib import Path
from typing import Any, Callable, Optional, Sequence

from . import (bisect, check, ci, commands, doctor, model, paths, process, results, send,
               soak, ui)
from .boot import kernel, pack
from .mutate import run as mutate
from .reports import bench, compare, coverage, demo, diagram, mainline, report
from .source import fetch, mails, sent, trees
from .errors import ENVIRONMENT, FAILED, INTERNAL, INTERRUPTED, PASS, USAGE, LabError


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message):
        raise LabError(f"{message}; see {self.prog} --help", USAGE)


def _tree(args):
    if args.update:
        trees.newer_stock()
    ui.say(trees.tree(args.name, args.reset))
    return PASS


def _refresh(args):
    series = model.find(args.name)
    if not series:
        raise LabError(f"{args.name!r} has no mails: {', '.join(trees.names()[1:])}",
                       USAGE)
    changed = mails.refresh(series)
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
        made = kernel.build(plan.kernels[name], args.tree)
        ui.say(pack.pack(made, [cell for cell in plan.cells.values() if cell.kernel == name],
                         Path(args.pack)) if args.pack else made.image)
    return PASS


def _soak(args):
    requests = soak.Requests(args.seed, args.requests, args.first)
    if args.first >= args.requests:
        raise LabError(f"--first {args.first}: there are {args.requests} requests", USAGE)
    return soak.run(args.cell, requests, args.minutes, commands.options(args))


def _clean(args: argparse.Namespace) -> int:
    cache = paths.cache()
    going_on = results.going_on() if args.what == "results" else []
    with contextlib.ExitStack() as stack:
        if args.what == "all" and sent.kept():
            raise LabError(f"{cache} alone knows what was sent ({sent.kept()[0]}): "
                           "git push refs/lab/sent from its trees/stock, and remove "
                           f"{cache}/sent", USAGE)
        if args.what != "results":
            for lock in (*cache.glob("*.lock"), *cache.glob("results/*/*.lock")):
                name = str(lock.relative_to(cache).with_suffix(""))
                stack.enter_context(paths.lock(name, wait=False))
        for name, series in model.all_series().items() if args.what == "all" else ():
            if (trees.has_mails(name) and (cache / "trees" / name).exists()
                    and mails.outdated(series)):
                raise LabError(f"the {name} tree has commits that {series.directory}/ "
                               f"lacks: ./lab refresh {name}, or ./lab tree {name} "
                               "--reset", USAGE)
        doomed = {"builds": [*cache.glob("trees/*/.build-*")], "all": [cache],
                  "results": {cache / "mainline", *cache.glob("results/*")}
                  - set(going_on)}[args.what]
        size = paths.size(*doomed)
        for directory in doomed:
            paths.remove(directory)
    for run in going_on:
        ui.note(f"left as it is: {run}, of a run that is going on")
    ui.conclusion(f"clean: {size / paths.GIB:.1f} GiB freed")
    return PASS


def _list(args: argparse.Namespace) -> int:
    plan = model.load()
    if args.json:
        ui.say(json.dumps(dataclasses.asdict(plan), indent=2))
        return PASS
    width = max(map(len, plan.cells), default=0) + 11
    for entry in plan.kernels.values():
        ui.say(textwrap.fill(f"kernel {entry.name} ({entry.arch}): "
                             f"{' '.join(entry.fragments)}", 80,
                             subsequent_indent=" " * 7))
        for cell in plan.cells.values():
            if cell.kernel == entry.name:
                when = "bench" if cell.bench else "quick" if cell.quick else "full"
                head = f"  {when:5}  {cell.name}".ljust(width)
                ui.say(textwrap.fill(head + cell.what, 80,
                                     subsequent_indent=" " * width))
    return PASS


def positive(text: str) -> int:
    """A number for argparse, which names this function where it is none."""
    if int(text) < 1:
        raise ValueError
    return int(text)


def _option(*names: str, **keywords: Any) -> tuple:
    return names, keywords


_TREE = _option("--tree", type=trees.known, default="series",
                help="which kernel source (default: %(default)s)")
_RUN = (
    _option("-j", "--jobs", type=positive, metavar="N",
            help="boots side by side, fewer of guests with several CPUs (default: one "
            "more than CPUs, if memory has room)"),
    _option("--dry-run", action="store_true", help="say what would be done"))
_REPEAT = _option("--repeat", type=positive, default=1, metavar="N",
                  help="boot each cell N times")
_JSON = _option("--json", action="store_true", help="print the results as JSON")


def _commands(add: Callable) -> None:
    options = commands.options
    add("demo", lambda args: demo.run(args.tree, args.cell, args.beside or "",
                                      args.repeat, options(args)),
        "show on real DMA what the attribute does", _TREE, *_RUN, _REPEAT,
        _option("--beside", type=trees.known, metavar="TREE",
                help="boot this tree as well, for one table"),
        _option("cell", nargs="*", help="default: the quick ones"))
    add("check", lambda args: check.run(args.full, args.only, args.repeat, options(args)),
        "run the tests", *_RUN, _REPEAT,
        _option("--full", action="store_true", help="all cells of matrix.toml"),
        _option("--only", default="", metavar="GATE[,GATE]", help=", ".join(check.GATES)))
    add("bisect", lambda args: bisect.run(args.kernel, args.first, options(args)),
        "build and test after each patch", *_RUN,
        _option("kernel", nargs="*", help=f"default: {' '.join(bisect.KERNELS)}"),
        _option("--first", type=int, default=1, metavar="N",
                help="the patch to begin with (default: %(default)s)"))
    add("tree", _tree, "make a kernel tree and print its path",
        _option("name", metavar="TREE", help="stock, base, series, mainline or a topic "
                "of it, or NAME-suites: ./lab --help"),
        _option("--reset", action="store_true",
                help="drop own commits and changes, saved under refs/lab/saved/"),
        _option("--update", action="store_true", help="look for a newer point release"))
    add("refresh", _refresh, "write mails from the commits of their tree",
        _option("name", nargs="?", metavar="TREE", default="series",
                help="base, series or a topic (default: %(default)s)"))
    add("build", _build, "build kernels", _TREE,
        _option("kernel", nargs="*", help="default: all"),
        _option("--pack", metavar="DIR", help="put what booting them takes into "
                "DIR/KERNEL"))
    add("kunit", commands.kunit, "build, boot and run KUnit suites", _TREE, *_RUN, _REPEAT,
        _JSON,
        _option("--filter", metavar="GLOB", help="suites or suite.case to run"),
        _option("cell", nargs="*", help="default: all that have suites"))
    add("soak", _soak, "make random requests on many kernels, another seed each boot", *_RUN,
        _option("cell", nargs="*", help="default: those with soak in matrix.toml"),
        _option("--requests", type=positive, default=soak.LONG, metavar="N",
                help="how many, in all boots (default: %(default)s)"),
        _option("--seed", type=positive, default=soak.any_seed(), metavar="S",
                help="of the first boot, the next has S + 1 (default: another each time)"),
        _option("--first", type=int, default=0, metavar="K",
                help="leave out that many requests of each boot at the beginning"),
        _option("--minutes", type=positive, default=0, metavar="M",
                help="begin no more after that"))
    add("mainline", lambda args: mainline.run(options(args)),
        "test each patch of mainline/, write docs/mainline.md", *_RUN)
    add("compare", lambda args: compare.run(args.cell, options(args)),
        "run the suites on stock too, write docs/routes.md", *_RUN,
        _option("cell", nargs="*", help="default: all that have suites; only "
                "that is written"))
    add("mutate", lambda args: mutate.run(args.patch, options(args)),
        "make each decision of the series wrong and see who notices", *_RUN,
        _option("patch", nargs="?", type=int, default=0,
                help="only what this patch adds (default: all, write docs/mutants.md)"))
    add("report", lambda args: report.run(args.directory, args.output),
        "write one page, JUnit, KTAP and JSON of the results of any runs",
        _option("directory", nargs="*", help="default: the newest boot of each cell"),
        _option("--output", metavar="DIR", help="default: report in the cache"))
    add("diagram", lambda _: diagram.run(),
        "draw docs/refused.svg: will my mapping be refused, and why?")
    add("pin", lambda args: coverage.run(args.directory),
        "write what boots showed to expected.toml, and docs/coverage.md from that",
        _option("directory", nargs="*", help="default: the newest boot of each cell"))
    add("boot", commands.boot, "build and boot cells", _TREE, *_RUN, _REPEAT, _JSON,
        _option("cell", nargs="+"))
    add("run", commands.run, "boot all cells, or a part of them, or what is packed", *_RUN,
        _REPEAT, _JSON,
        _option("cell", nargs="*", help="default: all but benchmarks"),
        _option("--shard", type=commands.shard, default=(1, 1), metavar="I/N",
                help="only part I of N, each of whole kernels"),
        _option("--packed", metavar="DIR", help="kernels of ./lab build --pack DIR"),
        _option("--output", metavar="DIR", help="where the results go"))
    add("ci", ci.ci, "print a pipeline for GitLab: a job a kernel, one a cell, a report",
        _option("cell", nargs="*", help="default: all kernels and cells, no benchmarks"))
    add("bench", lambda args: bench.run(args.cell, args.write, options(args)),
        "count what the series costs, in instructions", *_RUN,
        _option("cell", nargs="*", help="default: all benchmarks"),
        _option("--write", action="store_true", help="write docs/performance.md, too"))
    add("again", commands.again, "boot cells of the last run without building", *_RUN, _REPEAT,
        _JSON,
        _option("cell", nargs="*", help="default: those that failed, else all"),
        _option("--run", metavar="DIR", help="the results of another run"))
    add("shell", commands.shell, "a shell in the guest of a cell, or -- COMMAND in it", _TREE,
        _option("cell"),
        _option("--gdb", action="store_true", help="wait for gdb at port 1234"))
    add("send", lambda args: send.run(args.name, args.really, args.reroll, args.changes,
                                      args.fate, args.abandon),
        "say what mails of a series would go to whom, or send them",
        _option("name", nargs="?", default="series",
                help="series, or a topic of mainline/ (default: %(default)s)"),
        _option("--really", action="store_true", help="send them by git send-email"),
        _option("--reroll", type=positive, default=0, metavar="N",
                help="the number of the version (default: the next)"),
        _option("--changes", default="", metavar="FILE",
                help="what is new in this version"),
        _option("--fate", choices=send.FATES, default="",
                help="what became of a mail that may have gone"),
        _option("--abandon", action="store_true",
                help="end a version of which some mails went"))
    add("doctor", lambda _: doctor.run(), "say what this machine has and lacks")
    add("list", _list, "list kernels and cells",
        _option("--json", action="store_true", help="all of matrix.toml"))
    add("clean", _clean, "remove what the cache holds",
        _option("what", choices=("builds", "results", "all"),
                help="kernels that were built, results of runs, or all: Linux, trees "
                "and the compiler cache too"))


def _parser() -> Parser:
    parser = Parser(prog="./lab", formatter_class=argparse.RawDescriptionHelpFormatter,
                    description="DMA_ATTR_REQUIRE_COHERENT: the series, and what shows "
                    "that it works.",
                    epilog=Path(__file__).with_name("help.txt").read_text("utf-8"))
    parser.add_argument("--version", action="store_true", help="name the series")
    parser.set_defaults(function=None, verbose=False)
    subparsers = parser.add_subparsers(metavar="COMMAND")

    def add(name: str, function: Callable, text: str, *options: tuple) -> None:
        command = subparsers.add_parser(name, help=text, description=text)
        command.set_defaults(function=function)
        verbose = _option("-v", "--verbose", action="store_true",
                          help="show the commands that are run")
        for names, keywords in (verbose, *options):
            command.add_argument(*names, **keywords)

    _commands(add)
    return parser


def _bug(err: Exception) -> int:
    """Say in one line what went wrong in the lab itself, and where the rest is."""
    place = traceback.extract_tb(err.__traceback__)[-1]
    with tempfile.NamedTemporaryFile("w", prefix="lab-", suffix=".traceback",
                                     delete=False, encoding="utf-8") as kept:
        kept.write(traceback.format_exc())
    text = " ".join(f"{type(err).__name__}: {err}".split())
    print(f"lab: a bug in the lab: {text} ({place.filename}:{place.lineno}); the "
          f"traceback is {kept.name}", file=sys.stderr)
    return INTERNAL


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command line `argv`; returns the exit status."""
    process.catch_termination()
    try:
        parser = _parser()
        words = list(sys.argv[1:] if argv is None else argv)
        end = words.index("--") if "--" in words and words[0] == "shell" else len(words)
        args = parser.parse_args(words[:end])
        args.words = words[end + 1:]
        ui.verbose = args.verbose
        if args.version:
            ui.say(f"{len(model.SERIES['series'].mails())} patches on Linux "
                   f"{fetch.known()['stock']['version']}")
        elif not args.function:
            parser.print_help()
        else:
            return args.function(args)
        return PASS
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
    except Exception as err:
        return _bug(err)
