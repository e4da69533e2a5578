# SPDX-License-Identifier: GPL-2.0-only
"""What ./lab bench measured, as tables, as docs/performance.md and as a judgement.

The figures are those of figures.json: of each architecture `rows` (instructions a
pair of calls, a list of one figure a boot for each tree), `umem` (instructions for
user memory: get and release), `functions` (instructions in their code), `tool`
(microseconds, of tools/dma) and `growth` (bloat-o-meter).
"""

import re

_ATTRIBUTE = "DMA_ATTR_REQUIRE_COHERENT"
_PAIRS = ("device", "calls", "attribute", "base", "stock", "series", "stock - base",
          "series - base", "series - stock")
_NOISE = 1.01       # of what is measured with interrupts on: timer ticks
_SIZES = {1 << 12: "4 KiB", 1 << 20: "1 MiB", 1 << 26: "64 MiB", 1 << 30: "1 GiB"}
_PAGE = 4096
_OWN = ("device", "calls", "stock", "series", "series - stock")

_DOCUMENT = """\
<!-- SPDX-License-Identifier: GPL-2.0-only -->
<!-- Written by `./lab bench --write`. -->
# Cost

The series may not slow down those who do not use the attribute: to map memory without
`DMA_ATTR_REQUIRE_COHERENT` for a coherent device, where nothing is bounced, executes
no instruction more than without the series. `./lab bench` measures that and fails
otherwise. `./lab bench --write` writes this page.

## How

The KUnit benchmark guest/benchmark/dma_map_benchmark_kunit.c makes and undoes a
mapping 1000 times with interrupts off, in 8 rounds after a warm-up. It runs in the
three trees, built with the same configuration and compiler, under QEMU with
`-accel tcg -icount shift=0` on one CPU: there the clock advances by 1 ns for each
instruction. A figure is the number of instructions of one pair of calls, such as
dma_map_phys() and dma_unmap_phys(), in the fastest round, with the benchmark's own
loop, which is the same in all trees. Each round has the stack 16 bytes further down:
how it is aligned makes a difference behind arm64's SMMU, and a frame of any other
function can change that. Each kernel is booted {boots} times, and the figures of the
boots have to be the same.

The kernels are slim ones, without debugging options, Xen, memory encryption, function
tracing and dynamic bounce pools, on x86_64 without mitigations for the CPU, on arm64
without pointer authentication. There is no bounce pool on x86_64, and one of 1 MB on
arm64. Another configuration or compiler gives other figures.
Not measured: mappings that are bounced, devices that are not coherent or have
dma_map_ops, memory of other devices, lazy invalidation, sync and allocation.

These are instructions under an emulator, not time. They show whether the path that
is taken has become longer. They say nothing of caches, branch prediction, memory
barriers or the latency of an IOMMU, and an instruction of one architecture does not
cost what one of the other does. QEMU's IOMMUs complete an invalidation at once, so
the figures behind an IOMMU have no waiting in them.

| | |
|---|---|
| kernel | Linux {version}; base, stock and series as in the [README](../README.md) |
{machine}

All three kernels have the benchmarks and the suites of the series.

## Without the attribute

What counts is the difference to base, the kernel as it was before anybody added the
attribute; stock is mainline's version. iommu_map is the share of the IOMMU's driver,
which no version touches.

{pairs}

## With the attribute

What a mapping costs that was asked for with `DMA_ATTR_REQUIRE_COHERENT` and granted,
against mainline's version. base does not have the attribute. dma_map_sgtable of 16 is
what RDMA does with 16 pages of a process that do not follow each other in memory.

{own}

## How cost grows

What ib_umem_get_va() and ib_umem_release() take for user memory of a few sizes, in
instructions: without an IOMMU, with a device that reaches all of the memory (granted)
and with one that reaches none of it (refused). Pages are pinned and looked up one by
one. Small pages do not lie in a row here, so each is a segment of its own. base does
not refuse. The instructions of the task count and those of timer interrupts, in the
fewest of six rounds and {boots} boots; `./lab bench` fails if the series takes 1 % more
than stock, or if to refuse takes more than to grant and release.

{umem}

## Instructions in the code

How many instructions a function has, on paths taken or not. The compiler moves what it
takes for unlikely elsewhere, into a `.cold` or `.part` of its own, which is not counted:
so it does with most of iommu_dma_unmap_phys() of the series on arm64.

{functions}

What bloat-o-meter says of the code of all the kernel, data not counted, against base.
These kernels have no HMM and no Xen, which the series changes as well:

{growth}

## What the kernel's own benchmark says

`tools/dma/dma_map_benchmark`, on QEMU's edu device behind the IOMMU, in microseconds
of the same clock. It takes the time of each call, the reading of the clock included,
and prints tenths: 100 instructions, so a few can tip the last digit, and where the
stack of its thread lies can, too. These are the figures of one boot, and nothing is
judged by them.

{tool}
"""


def text(rows):
    """A table, `rows` with its heading first, for a terminal."""
    widths, words = _columns(rows)
    lines = ["  ".join(row).rstrip() for row in words]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def markdown(rows):
    """The same table for a document, its columns aligned there as well."""
    widths, words = _columns(rows)
    lines = [f"| {' | '.join(row)} |" for row in words]
    lines.insert(1, "|" + "|".join("-" * (width + 1) + (":" if _right(column) else "-")
                                   for width, column in zip(widths, zip(*rows))) + "|")
    return "\n".join(lines)


def _columns(rows):
    """(width of each column, rows of words as wide as that)."""
    columns = list(zip(*rows))
    widths = [max(len(str(word)) for word in column) for column in columns]
    return widths, [[str(word).rjust(width) if _right(column) else str(word).ljust(width)
                     for word, width, column in zip(row, widths, columns)]
                    for row in rows]


def _right(column):
    """Whether a column has figures, which are aligned on the right."""
    return not any(word != "-" and re.search("[A-Za-z]", str(word))
                   for word in column[1:])


def pairs(arch):
    """The table of what is mapped without the attribute."""
    return [_PAIRS] + [
        (row["device"], row["calls"], row["attribute"],
         *(_figure(row, name) for name in ("base", "stock", "series")),
         _difference(row, "stock", "base"), _difference(row, "series", "base"),
         _difference(row, "series", "stock"))
        for row in arch["rows"] if row["attribute"] != _ATTRIBUTE]


def own(arch):
    """The table of what is mapped with it."""
    return [_OWN] + [
        (row["device"], row["calls"], _figure(row, "stock"), _figure(row, "series"),
         _difference(row, "series", "stock"))
        for row in arch["rows"] if row["attribute"] == _ATTRIBUTE]


def umems(arch):
    """The table of user memory."""
    heading = ("memory", "pages", "answer", "call", "base", "stock", "series",
               "series a page", "series - stock")
    return [heading] + [
        (_SIZES[row["size"]], row["pages"], row["answer"], call,
         *("-" if row[name] is None else row[name][n]
           for name in ("base", "stock", "series")),
         "-" if row["series"] is None else f"{row['series'][n] * _PAGE / row['size']:.1f}",
         "-" if None in (row["series"], row["stock"]) else
         f"{row['series'][n] - row['stock'][n]:+d}")
        for row in arch["umem"]
        for n, call in enumerate(("get", "release")[:1 + (row["answer"] == "granted")])]


def functions(arch):
    """The table of instructions in the code."""
    heading = ("function", "base", "stock", "series")
    return [heading] + [
        (row["name"], *("-" if row[name] is None else row[name] for name in heading[1:]))
        for row in arch["functions"] if any(row[name] for name in heading[1:])]


def tool(arch):
    """The table of what tools/dma says."""
    return [("mode", "call", "base", "stock", "series")] + [
        (f"{row['mode']} of {row['granule']}", call,
         *(row[name][n] if row[name] else "-" for name in ("base", "stock", "series")))
        for row in arch["tool"] for n, call in enumerate(("map", "unmap"))]


def _figure(row, name):
    return "-" if row[name][0] is None else row[name][0]


def _difference(row, name, other):
    if row[name][0] is None or row[other][0] is None:
        return "-"
    return f"{row[name][0] - row[other][0]:+d}"


def problems(found):
    """What is not as it has to be, a sentence each."""
    return [f"{arch['arch']}: {row['device']}, {row['calls']}, {row['attribute']}: "
            f"{problem}"
            for arch in found["arches"] for row in arch["rows"]
            for problem in [_problem(row)] if problem] + [
                f"{arch['arch']}: {_SIZES[row['size']]} of {row['pages']} pages, "
                f"{row['answer']}: {problem}" for arch in found["arches"]
                for row in arch["umem"] for problem in [_umem_problem(row, arch)]
                if problem]


def _problem(row):
    for name in ("base", "stock", "series"):
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
    if (row["answer"] == "granted" and
            sum(row["series"]) > sum(row["stock"]) * _NOISE):
        return f"{sum(row['series']) - sum(row['stock'])} instructions more than in stock"
    granted = next(other["series"] for other in arch["umem"] if other["answer"] == "granted"
                   and (other["size"], other["pages"]) == (row["size"], row["pages"]))
    if row["answer"] == "refused" and row["series"][0] > sum(granted) * _NOISE:
        return "takes more instructions than to grant it"
    return ""


def document(found):
    """docs/performance.md."""
    arches = found["arches"]

    def each(make):
        return "\n\n".join(f"{arch['arch']}:\n\n{make(arch)}" for arch in arches)

    machine = "\n".join(
        f"| {arch['arch']} | {arch['compiler']}; {arch['emulator']}; "
        f"`{arch['command']}`; configs/{{{','.join(arch['fragments'])}}}.config |"
        for arch in arches)
    return _DOCUMENT.format(
        boots=found["boots"], version=found["version"], machine=machine,
        pairs=each(lambda arch: markdown(pairs(arch))),
        own=each(lambda arch: markdown(own(arch))),
        umem=each(lambda arch: markdown(umems(arch))),
        functions=each(lambda arch: markdown(functions(arch))),
        growth=each(_growth),
        tool=each(lambda arch: markdown(tool(arch))))


def _growth(arch):
    return "\n\n".join(f"{name}:\n\n```\n{listing.strip()}\n```"
                       for name, listing in arch["growth"].items())
