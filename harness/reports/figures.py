# SPDX-License-Identifier: GPL-2.0-only
"""What ./lab bench measured, as tables, as docs/performance.md and as a judgement.

The figures are those of figures.json: of each architecture `rows` (instructions a
pair of calls, a list of one figure a boot for each tree), `umem` (instructions for
user memory: get and release), `functions` (instructions in their code), `tool`
(microseconds, of tools/dma) and `growth` (bloat-o-meter).
"""

import string

from .. import paths
from . import tables

_TEMPLATE = paths.ROOT / "docs" / "performance.md.in"
_ATTRIBUTE = "DMA_ATTR_REQUIRE_COHERENT"
_TREES = ("base", "stock", "series")
_PAIRS = ("device", "calls", "attribute", *_TREES, "stock - base", "series - base",
          "series - stock")
_NOISE = 1.01       # of what is measured with interrupts on: timer ticks
_SIZES = {1 << 12: "4 KiB", 1 << 20: "1 MiB", 1 << 26: "64 MiB", 1 << 30: "1 GiB"}
_PAGE = 4096
_OWN = ("device", "calls", "stock", "series", "series - stock")


def pairs(arch):
    """The table of what is mapped without the attribute."""
    return [_PAIRS] + [
        (row["device"], row["calls"], row["attribute"],
         *(_dash(row[name][0]) for name in _TREES),
         _difference(row, "stock", "base"), _difference(row, "series", "base"),
         _difference(row, "series", "stock"))
        for row in arch["rows"] if row["attribute"] != _ATTRIBUTE]


def own(arch):
    """The table of what is mapped with it."""
    return [_OWN] + [
        (row["device"], row["calls"], _dash(row["stock"][0]), _dash(row["series"][0]),
         _difference(row, "series", "stock"))
        for row in arch["rows"] if row["attribute"] == _ATTRIBUTE]


def umems(arch):
    """The table of user memory."""
    heading = ("memory", "pages", "answer", "call", *_TREES, "series a page",
               "series - stock")
    return [heading] + [
        (_SIZES[row["size"]], row["pages"], row["answer"], call,
         *(_dash(row[name] and row[name][n]) for name in _TREES),
         _dash(row["series"] and f"{row['series'][n] * _PAGE / row['size']:.1f}"),
         _difference(row, "series", "stock", n))
        for row in arch["umem"]
        for n, call in enumerate(("get", "release")[:1 + (row["answer"] == "granted")])]


def functions(arch):
    """The table of instructions in the code."""
    return [("function", *_TREES)] + [
        (row["name"], *(_dash(row[name]) for name in _TREES))
        for row in arch["functions"] if any(row[name] for name in _TREES)]


def tool(arch):
    """The table of what tools/dma says."""
    return [("mode", "call", *_TREES)] + [
        (f"{row['mode']} of {row['granule']}", call,
         *(row[name][n] if row[name] else "-" for name in _TREES))
        for row in arch["tool"] for n, call in enumerate(("map", "unmap"))]


def _dash(figure):
    return "-" if figure is None else figure


def _difference(row, name, other, n=0):
    figures = [row[tree] and row[tree][n] for tree in (name, other)]
    return "-" if None in figures else f"{figures[0] - figures[1]:+d}"


def problems(found):
    """What is not as it has to be, a sentence each."""
    said = [(f"{arch['arch']}: {row['device']}, {row['calls']}, {row['attribute']}",
             _problem(row)) for arch in found["arches"] for row in arch["rows"]]
    said += [(f"{arch['arch']}: {_SIZES[row['size']]} of {row['pages']} pages, "
              f"{row['answer']}", _umem_problem(row, arch))
             for arch in found["arches"] for row in arch["umem"]]
    return [f"{row}: {problem}" for row, problem in said if problem]


def _problem(row):
    for name in _TREES:
        if len(set(row[name])) > 1:
            return f"{name} gives {' and '.join(map(str, row[name]))} in two boots"
    name = "stock" if row["attribute"] == _ATTRIBUTE else "base"
    if row["series"][0] is None or row[name][0] is None:
        return "was not measured"
    more = row["series"][0] - row[name][0]
    return f"{more} instructions more than in {name}" if more > 0 else ""


def _umem_problem(row, arch):
    if row["series"] is None or row["stock"] is None:
        return "was not measured"
    more = sum(row["series"]) - sum(row["stock"])
    if row["answer"] == "granted" and more > sum(row["stock"]) * (_NOISE - 1):
        return f"{more} instructions more than in stock"
    granted = next(other["series"] for other in arch["umem"]
                   if (other["answer"], other["size"], other["pages"]) ==
                   ("granted", row["size"], row["pages"]))
    if row["answer"] == "refused" and row["series"][0] > sum(granted) * _NOISE:
        return "takes more instructions than to grant it"
    return ""


def document(found):
    """docs/performance.md."""
    arches = found["arches"]

    def each(make):
        return "\n\n".join(f"{arch['arch']}:\n\n{make(arch)}" for arch in arches)

    def table(make):
        return each(lambda arch: tables.markdown(make(arch)))

    machine = "\n".join(
        f"| {arch['arch']} | {arch['compiler']}; {arch['emulator']}; "
        f"`{arch['command']}`; configs/{{{','.join(arch['fragments'])}}}.config |"
        for arch in arches)
    return string.Template(_TEMPLATE.read_text("utf-8")).substitute(
        boots=found["boots"], version=found["version"], machine=machine,
        pairs=table(pairs), own=table(own), umem=table(umems),
        functions=table(functions), growth=each(_growth), tool=table(tool))


def _growth(arch):
    return "\n\n".join(f"{name}:\n\n```\n{listing.strip()}\n```"
                       for name, listing in arch["growth"].items())
