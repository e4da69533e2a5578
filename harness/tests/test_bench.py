# SPDX-License-Identifier: GPL-2.0-only
"""The benchmark: figures from recorded consoles and objects, tables, judgement."""

import json
import unittest
from pathlib import Path

from harness import paths, results
from harness.reports import bench, figures, tables
from harness.errors import BOOT, BUILD, FAILED, PASS, USAGE
from harness.tests.lab import Lab, ktap

DATA = Path(__file__).parent / "data"


OWN = "DMA_ATTR_REQUIRE_COHERENT"


def data(name):
    """A recorded text."""
    return (DATA / name).read_text(encoding="utf-8")


def row(base, stock, series, attribute="0", calls="dma_map_phys"):
    """A row with the figures of one boot, or of as many as are given."""
    return {"device": "direct", "calls": calls, "attribute": attribute,
            **{name: figure if isinstance(figure, list) else [figure]
               for name, figure in zip(("base", "stock", "series"),
                                       (base, stock, series))}}


def umem(answer, base, stock, series, size=1 << 20):
    """A row with the figures of get and release."""
    return {"size": size, "pages": "small", "answer": answer, "base": base,
            "stock": stock, "series": series}


def arch(*rows):
    """The figures of an architecture."""
    return {"arch": "x86_64", "compiler": "gcc 12", "emulator": "QEMU 7",
            "command": "-M q35", "fragments": ["slim", "bench"], "rows": list(rows),
            "umem": [umem("granted", [5, 5], [100, 50], [90, 40])],
            "functions": [{"name": "dma_map_phys", "base": 80, "stock": 80, "series": 81},
                          {"name": "gone", "base": None, "stock": None, "series": None},
                          {"name": "new", "base": None, "stock": 3, "series": None}],
            "growth": {"series": "Total: 1\n", "stock": "Total: 2\n"},
            "tool": [{"mode": "SG_MODE", "granule": 16, "base": [1.5, 2.0],
                      "stock": [1.6, 2.0], "series": None}]}


class Reading(unittest.TestCase):
    def test_pairs(self):
        found = bench.pairs(data("bench-x86_64.log"))
        self.assertEqual(found[("direct", "dma_map_phys", "0")], 152)
        self.assertEqual(len(found), 43)
        self.assertEqual(bench.pairs("no figures here\n"), {})

    def test_rounding(self):
        line = ("    # dma_map_and_unmap: IOMMU, a b, DMA_ATTR_X: {} ns, at most 9 ns "
                "for 1000 pairs")
        for best, figure in ((279000, 279), (279499, 279), (279510, 280)):
            self.assertEqual(bench.pairs(line.format(best)),
                             {("IOMMU", "a b", "DMA_ATTR_X"): figure})

    def test_umems(self):
        console = UMEM + UMEM.replace("granted: 90 ns, 40 ns", "refused: 70 ns, 0 ns")
        self.assertEqual(bench.umems(console), {(1 << 20, "small", "granted"): (90, 40),
                                                (1 << 20, "small", "refused"): (70, 0)})

    def test_rows(self):
        """Figures of each boot, also if one lacks them; of user memory the fewest."""
        boots = {"base": [{"pairs": {}}, {"pairs": {("direct", "c", "0"): 7}}]}
        found = bench._rows(boots, "pairs", ("device", "calls", "attribute"))
        self.assertEqual(found, [{"device": "direct", "calls": "c", "attribute": "0",
                                  "base": [None, 7]}])
        key = (1 << 20, "small", "granted")
        boots = {"base": [{"umem": {}}] * 2,
                 "series": [{"umem": {key: both}} for both in ((90, 41), (91, 40))]}
        found = bench._rows(boots, "umem", ("size", "pages", "answer"), bench._fewest)
        self.assertEqual(found, [{"size": 1 << 20, "pages": "small", "answer": "granted",
                                  "base": None, "series": [90, 40]}])

    def test_latencies(self):
        self.assertEqual(bench.latencies(data("bench-x86_64.log")), {
            ("SINGLE_MODE", 1): (1.1, 1.4), ("SG_MODE", 16): (12.8, 1.6)})
        self.assertEqual(bench.latencies("average map latency(us):1.0\n"), {})

    def test_instructions(self):
        for name, counts in {
                "x86_64": {"__probestub_dma_unmap_phys": 2, "dma_unmap_resource": 3,
                           "__SCT__tp_func_dma_map_phys": 2},
                "arm64": {"__probestub_dma_unmap_phys": 1,
                          "dma_unmap_resource": 6}}.items():
            self.assertEqual(counts, bench.instructions(data(f"bench-{name}.symbols"),
                                                        data(f"bench-{name}.code")))


class Tables(unittest.TestCase):
    def test_without_and_with_the_attribute(self):
        found = arch(row(274, 281, 273), row(None, 5, 6, OWN))
        self.assertEqual(figures.pairs(found)[1:], [
            ("direct", "dma_map_phys", "0", 274, 281, 273, "+7", "-1", "-8")])
        self.assertEqual(figures.own(found)[1:],
                         [("direct", "dma_map_phys", 5, 6, "+1")])

    def test_columns(self):
        """Figures are on the right."""
        rows = [("a", "calls", "b", "sees"), ("x", "y", 10, "-"), ("z", "-", "-", "-")]
        self.assertEqual(tables.text(rows), "a  calls   b  sees\n-  -----  --  ----\n"
                         "x  y      10  -\nz  -       -  -")
        self.assertEqual(tables.markdown(rows), "| a | calls |  b | sees |\n"
                         "|---|-------|---:|------|\n| x | y     | 10 | -    |\n"
                         "| z | -     |  - | -    |")

    def test_functions_that_no_tree_has(self):
        names = [line[0] for line in figures.functions(arch())]
        self.assertEqual(names, ["function", "dma_map_phys", "new"])

    def test_problems(self):
        for line, words in ((row(274, 281, 274), []),
                            (row(274, 281, 270), []),
                            (row(274, 281, 275), ["direct, dma_map_phys",
                                                  "1 instructions more than in base"]),
                            (row(0, 300, 300, OWN), []),
                            (row(0, 300, 301, OWN),
                             [OWN, "1 instructions more than in stock"]),
                            (row(0, None, 301, OWN), ["was not measured"]),
                            (row([274, None], [1, 1], [274, 274]),
                             ["base gives 274 and None"]),
                            (row([274, 275], [1, 1], [274, 274]),
                             ["base gives 274 and 275"]),
                            (row(None, 1, 274), ["was not measured"])):
            found = figures.problems({"arches": [arch(line)]})
            self.assertEqual(len(found), bool(words), found)
            for word in words:
                self.assertIn(word, found[0])

    def test_problems_of_user_memory(self):
        good = umem("granted", None, [1000, 500], [1000, 500])
        for line, words in ((good, ""),
                            (umem("granted", None, [1000, 500], [1010, 505]), ""),
                            (umem("granted", None, [1000, 500], [1010, 506]),
                             "1 MiB of small pages, granted: 16 instructions more"),
                            (umem("granted", None, None, [1, 1]), "was not measured"),
                            (umem("refused", None, [1520, 0], [1500, 0]), ""),
                            (umem("refused", None, [1520, 0], [1516, 0]),
                             "refused: takes more instructions than to grant it"),
                            (umem("refused", None, [900, 0], [1000, 0]), "")):
            found = arch()
            found["umem"] = [line] if line["answer"] == "granted" else [good, line]
            said = figures.problems({"arches": [found]})
            self.assertEqual(len(said), bool(words), said)
            self.assertIn(words, "".join(said))

    def test_umems(self):
        found = arch()
        found["umem"].append(umem("refused", None, [80, 0], [512, 0]))
        self.assertEqual(figures.umems(found)[1:], [
            ("1 MiB", "small", "granted", "get", 5, 100, 90, "0.4", "-10"),
            ("1 MiB", "small", "granted", "release", 5, 50, 40, "0.2", "-10"),
            ("1 MiB", "small", "refused", "get", "-", 80, 512, "2.0", "+432")])

    def test_document(self):
        text = figures.document({"version": "7.3.4", "boots": 2,
                                 "arches": [arch(row(274, 281, 273))]})
        for words in ("./lab bench --write", "booted 2 times", "Linux 7.3.4", "gcc 12",
                      "configs/{slim,bench}.config", "Total: 2", "series a page",
                      "| direct | dma_map_phys |         0 |  274 |   281 |    273 |"):
            self.assertIn(words, text)
        self.assertNotIn("$", text)


UMEM = ("    # umem_get_and_release: 1048576 bytes of small pages, granted: 90 ns, "
        "40 ns\n")
TOOL = "".join(f"dma mapping benchmark({mode}): threads:1 granule:1\n"
               "average map latency(us):1.0\naverage unmap latency(us):1.0\n"
               for mode in bench.MODES)


class Run(Lab):
    FIGURES = {"base-suites": 274, "stock-suites": 281, "series-suites": 273}

    def setUp(self):
        super().setUp()
        self.program("objdump", "")
        for tree in bench.TREES.values():
            paths.replace(paths.trees() / tree / "scripts/bloat-o-meter",
                          b'#!/bin/sh\necho "Total: 0"\n')
            (paths.trees() / tree / "scripts/bloat-o-meter").chmod(0o755)

    def bench(self, *argv, tool=TOOL, then="", **figures_of_trees):
        """./lab bench on kernels with these figures."""
        for tree, figure in {**self.FIGURES, **figures_of_trees}.items():
            self.console(f"count@{tree.replace('_', '-')}", ktap("ok a") + (
                "# dma_map_and_unmap: direct, dma_map_phys, 0: "
                f"{figure}000 ns, at most 9 ns for 1000 pairs\n{tool}{UMEM}"), then)
        return self.lab("bench", *argv)

    def test_good(self):
        status, lines, _ = self.bench()
        self.assertEqual(status, PASS)
        self.assertIn("direct  dma_map_phys          0   274    281     273"
                      "            +7             -1              -8", lines)
        self.assertTrue(lines[-1].startswith("bench: 2 rows, in none"), lines)
        self.assertEqual(self.booted(), sorted([
            ("base-suites", "count"), ("stock-suites", "count"),
            ("series-suites", "count")] * 2))
        self.assertEqual(self.built(), [("base-suites", "k"), ("stock-suites", "k"),
                                        ("series-suites", "k")])
        kept, = paths.results().glob("*/figures.json")
        found = json.loads(kept.read_text())
        self.assertEqual(found["arches"][0]["rows"],
                         [row([274, 274], [281, 281], [273, 273])])
        self.assertEqual((found["version"], found["arches"][0]["compiler"]),
                         ("7.3.4", "gcc 12"))
        self.assertFalse((self.root / "docs/performance.md").exists())

    def test_write(self):
        self.bench("--write")
        self.assertIn("| direct | dma_map_phys |         0 |  274 |",
                      (self.root / "docs/performance.md").read_text())

    def test_more_than_without(self):
        """It fails, and the page stays as it was."""
        status, lines, err = self.bench("--write", series_suites=275)
        self.assertEqual((status, lines[-2:]), (FAILED, [
            "FAIL  x86_64: direct, dma_map_phys, 0: 1 instructions more than in base",
            "bench: 1 of 2 rows are not as they have to be"]))
        self.assertIn("docs/performance.md is left as it was", err)
        self.assertFalse((self.root / "docs/performance.md").exists())

    def test_no_figures(self):
        for words in ({"tool": ""}, {"base_suites": "x"}):
            status, _, err = self.bench(**words)
            self.assertEqual(status, FAILED)
            self.assertIn("printed no figures", err[-1])

    def test_two_boots_differ(self):
        then = (f"[ -e {self.top}/first ] && echo '# dma_map_and_unmap: direct, "
                "dma_map_phys, 0: 275000 ns, at most 9 ns for 1000 pairs'; "
                f"touch {self.top}/first")
        status, lines, _ = self.bench("-j1", then=then)
        self.assertEqual(status, FAILED)
        self.assertIn("base gives 274 and 275 in two boots", lines[-2])

    def test_boot_fails(self):
        """There are no tables of half of the boots."""
        self.assertEqual(self.bench(then="exit 1")[0], BOOT)
        self.assertEqual(self.bench(then="echo '    ok 2 b # SKIP none'")[0], FAILED)
        self.broken("k@stock-suites")
        status, out, err = self.bench()
        self.assertEqual((status, out), (BUILD, []))
        self.assertIn("build k from stock-suites", err[-1])

    def test_dry_run(self):
        status, out, _ = self.bench("--dry-run")
        self.assertEqual((status, len(out), self.boots()), (PASS, 6, []))
        self.assertEqual(results.runs(), [])

    def test_usage(self):
        for words, *argv in (("count instructions", "one"), ("no cell 'x'", "x"),
                             ("--write", "count", "--write")):
            status, _, err = self.bench(*argv)
            self.assertEqual((status, self.boots()), (USAGE, []))
            self.assertIn(words, err[0])
