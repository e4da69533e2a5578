# SPDX-License-Identifier: GPL-2.0-only
"""./lab bench: what the series costs where the attribute is not used, in instructions.

The cells that have `bench` run the KUnit benchmarks of guest/benchmark and the
kernel's own tools/dma under QEMU with a clock that counts instructions, in base,
stock and the series. The figures of a run are kept as figures.json beside its boots.
"""

import dataclasses
import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Sequence

from .. import model, paths, process, runner, ui
from ..boot import kernel, qemu
from . import figures, tables
from ..errors import BOOT, BUILD, ENVIRONMENT, FAILED, PASS, USAGE, LabError

TREES = {"base": "base-suites", "stock": "stock-suites", "series": "series-suites"}
PAGE = "docs/performance.md"
BOOTS = 2                       # of each kernel, which have to give the same figures

_OBJECTS = ("kernel/dma/mapping.o", "kernel/dma/direct.o", "drivers/iommu/dma-iommu.o")
# What is executed where a mapping is made or undone and nothing is refused.
HOT = ("dma_map_phys", "dma_unmap_phys", "dma_map_page_attrs",
       "dma_unmap_page_attrs", "__dma_map_sg_attrs", "dma_map_sg_attrs",
       "dma_map_sgtable", "dma_unmap_sg_attrs",
       "dma_map_resource", "dma_unmap_resource", "dma_direct_map_phys",
       "dma_direct_map_sg", "dma_direct_unmap_sg", "iommu_dma_map_phys",
       "iommu_dma_unmap_phys", "iommu_dma_map_sg", "iommu_dma_unmap_sg",
       "dma_iova_link", "dma_iova_sync", "dma_iova_unlink", "__iommu_dma_iova_unlink")

MODES = ("SINGLE_MODE", "SG_MODE")          # of tools/dma, as guest/benchmark runs it

_PAIR = re.compile(r"# dma_map_and_unmap: (direct|IOMMU), (.+), (0|DMA_ATTR_\w+): "
                   r"(\d+) ns, at most (\d+) ns for (\d+) pairs")
_UMEM = re.compile(r"# umem_get_and_release: (\d+) bytes of (small|huge) pages, "
                   r"(granted|refused): (\d+) ns, (\d+) ns")
_MODE = re.compile(r"dma mapping benchmark\((\w+)\):.* granule:(\d+)")
_LATENCY = re.compile(r"average (map|unmap) latency\(us\):([\d.]+)")
_SYMBOL = re.compile(r"^([0-9a-f]+) .{6}F (\S+)\s+([0-9a-f]+) (?:\.\w+ )?(\S+)$", re.M)


# -- reading what was measured -----------------------------------------------

def pairs(console):
    """{(device, calls, attribute): instructions a pair} as printed on `console`.

    The fastest round counts; `attribute` is the name of the one it was made with, or
    '0'.
    """
    return {(device, calls, attribute): round(int(best) / int(count)) for
            device, calls, attribute, best, _worst, count in _PAIR.findall(console)}


def umems(console):
    """{(bytes, pages, answer): (get, release)} in instructions, as printed on
    `console`; `pages` are small or huge, the answer is granted or refused."""
    return {(int(size), pages, answer): (int(get), int(release)) for
            size, pages, answer, get, release in _UMEM.findall(console)}


def latencies(console):
    """{(mode, granule): (map, unmap)} in microseconds, as printed by tools/dma."""
    found = defaultdict(list)
    mode = None
    for line in console.splitlines():
        head, figure = _MODE.search(line), _LATENCY.search(line)
        if head:
            mode = (head[1], int(head[2]))
        elif figure and mode:
            found[mode].append(float(figure[2]))
    return {mode: tuple(both) for mode, both in found.items() if len(both) == 2}


def instructions(symbols, code):
    """{function: instructions} from what `objdump -t` and `objdump -d` print of an
    object.

    What pads a function is not counted.
    """
    ends = {(section, name): int(start, 16) + int(size, 16)
            for start, section, size, name in _SYMBOL.findall(symbols)}
    counts = {}
    section = end = name = None
    for line in code.splitlines():
        if line.startswith("Disassembly of section "):
            section = line.split()[-1].rstrip(":")
        elif line.endswith(">:"):
            name = line.split("<", 1)[1][:-2]
            end = ends.get((section, name))
            if end is not None:
                counts[name] = 0
        elif end is not None and re.match(r" +[0-9a-f]+:\t(?!R_)", line):
            if int(line.split(":", 1)[0], 16) < end:
                counts[name] += 1
    return counts


def _functions(built):
    tool = f"{built.kernel.target.cross}objdump"
    found = {}
    for name in _OBJECTS:
        symbols, code = (process.run([tool, *option, built.dir / name],
                                     check_status=BUILD).stdout
                         for option in (["-t"], ["-d", "--no-show-raw-insn"]))
        found.update(instructions(symbols, code))
    return {name: found[name] for name in HOT if name in found}


def _growth(old, new):
    """What bloat-o-meter says of the code of two kernels: all that has changed."""
    return process.run([new.source / "scripts/bloat-o-meter", "-t",
                        "-p", new.kernel.target.cross,
                        old.dir / "vmlinux", new.dir / "vmlinux"],
                       check_status=BUILD).stdout


# -- measuring ---------------------------------------------------------------

def run(patterns: Sequence[str], write: bool, options: runner.Options) -> int:
    """Build and boot the three trees, print the tables; returns an exit status.

    The cells are those that `patterns` names, or all that count instructions.
    `write` makes docs/performance.md of the figures as well, if they are good. FAILED
    if the series executes an instruction more than base anywhere, or than stock with
    the attribute, or if two boots differ. Raises LabError for a kernel or a boot that
    cannot be had or that printed no figures.
    """
    plan = model.load()
    chosen = runner.choose(plan, patterns, lambda cell: cell.bench,
                           "count instructions")
    if patterns and write:
        raise LabError(f"{PAGE} is of all cells: --write without any", USAGE)
    outcomes = list(runner.run(
        plan, [runner.Job(cell, tree, number + 1) for cell in chosen
               for tree in TREES.values() for number in range(BOOTS)],
        dataclasses.replace(options, keep_going=False)))
    if not outcomes:
        return PASS
    directory = Path(outcomes[0].directory).parent
    found: dict = {"version": re.findall(r"^[\d.]+", outcomes[0].version)[0],
                   "boots": BOOTS, "arches": [
        _measure(cell, plan.kernel_of(cell), directory,
                 [outcome for outcome in outcomes if outcome.cell == cell.name])
        for cell in chosen]}
    paths.replace(directory / "figures.json", json.dumps(found, indent=1) + "\n")
    _print(found["arches"])
    ui.note(f"results: {directory}")
    return _conclude(found, write)


def _conclude(found, write):
    """Say what is not as it has to be, and write the page if all is; an exit status."""
    problems = figures.problems(found)
    if write and not problems:
        paths.replace(paths.ROOT / PAGE, figures.document(found))
    elif write:
        ui.note(f"{PAGE} is left as it was")
    for problem in problems:
        ui.say(f"FAIL  {problem}")
    rows = sum(len(arch["rows"]) + len(arch["umem"]) for arch in found["arches"])
    ui.conclusion(f"bench: {len(problems)} of {rows} rows are not as they have to be"
                  if problems else
                  f"bench: {rows} rows, in none does the series execute an instruction "
                  "more than it may")
    return FAILED if problems else PASS


def _print(arches):
    for arch in arches:
        for what, rows in (("instructions a pair of calls", figures.pairs(arch)),
                           ("the same with the attribute, where it is granted",
                            figures.own(arch)),
                           ("user memory, instructions in all", figures.umems(arch))):
            ui.say(f"\n{arch['arch']}: {what}\n\n{tables.text(rows)}")


def _measure(cell, which, directory, outcomes):
    """The figures of one architecture, as they are kept in figures.json."""
    built = {name: kernel.at(which, tree) for name, tree in TREES.items()}
    boots = {name: [_figures(outcome) for outcome in outcomes if outcome.tree == tree]
             for name, tree in TREES.items()}
    code = {name: _functions(kind) for name, kind in built.items()}
    target = which.target
    return {
        "arch": which.arch,
        "compiler": _first_line([target.compiler, "--version"]),
        "emulator": _first_line([target.qemu, "--version"]),
        "command": " ".join([target.qemu, "-accel tcg", *target.options,
                             *qemu.hardware(cell, built["series"], directory),
                             "-append", f"'{' '.join(cell.args)}'"]),
        "fragments": which.fragments,
        "rows": _rows(boots, "pairs", ("device", "calls", "attribute")),
        "umem": _rows(boots, "umem", ("size", "pages", "answer"), _fewest),
        "functions": [{"name": name, **{tree: code[tree].get(name) for tree in TREES}}
                      for name in HOT],
        "growth": {name: _growth(built["base"], built[name])
                   for name in ("series", "stock")},
        "tool": _rows(boots, "tool", ("mode", "granule"), lambda figures: figures[-1]),
    }


def _rows(boots, kind, names, choose=list):
    """A row for all that a boot has figures of a kind for: `names` of it, and of each
    tree what `choose` makes of the list of its boots' figures, None where there are
    none."""
    keys = dict.fromkeys(key for of_tree in boots.values() for boot in of_tree
                         for key in boot[kind])
    return [{**dict(zip(names, key)),
             **{tree: choose([boot[kind].get(key) for boot in of_tree])
                for tree, of_tree in boots.items()}} for key in keys]


def _fewest(figures_of_boots):
    """The fewest instructions for each of (get, release), or None."""
    if None in figures_of_boots:
        return None
    return [min(figures) for figures in zip(*figures_of_boots)]


def _first_line(cmd):
    return process.run(cmd, check_status=ENVIRONMENT).stdout.split("\n", 1)[0]


def _figures(outcome):
    """{kind: figures} that a boot printed; LabError if it is not a good one."""
    name = f"{outcome.cell} of {outcome.tree}"
    if not outcome.ok or outcome.skipped:
        raise LabError(f"{name}: {outcome}, see {outcome.directory}",
                       BOOT if outcome.hung else FAILED)
    console = outcome.console
    found = {"pairs": pairs(console), "umem": umems(console),
             "tool": latencies(console)}
    if not found["pairs"] or not found["umem"] or len(found["tool"]) != len(MODES):
        raise LabError(f"{name} printed no figures, see {outcome.directory}", FAILED)
    return found
