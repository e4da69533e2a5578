# SPDX-License-Identifier: GPL-2.0-only
"""The benchmark: figures from recorded consoles and objects, tables, judgement."""

import contextlib
import io
import json
import unittest
from pathlib import Path
from unittest import mock

from harness import model, paths, process
from harness.boot import cells, kernel
from harness.reports import bench, figures
from harness.source import fetch
from harness.errors import BOOT, FAILED, PASS, USAGE
from harness.results import Outcome
from harness.tests import Sandbox

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

    def test_fewest(self):
        key = (1 << 20, "small", "granted")
        found = bench._umem_rows({"base": [{}, {}], "series": [{key: (90, 41)},
                                                               {key: (91, 40)}]})
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
    def test_pairs(self):
        table = figures.pairs(arch(row(274, 281, 273), row(None, 5, 6, OWN)))
        self.assertEqual(table[1:], [("direct", "dma_map_phys", "0", 274, 281, 273, "+7",
                                      "-1", "-8")])

    def test_own(self):
        table = figures.own(arch(row(274, 281, 273), row(None, 5, 6, OWN)))
        self.assertEqual(table[1:], [("direct", "dma_map_phys", 5, 6, "+1")])

    def test_text(self):
        self.assertEqual(figures.text([("a", "calls", "b"), ("x", "y", 10)]),
                         "a  calls   b\n-  -----  --\nx  y      10")

    def test_markdown(self):
        self.assertEqual(figures.markdown([("a", "calls", "b"), ("x", "y", 10)]),
                         "| a | calls |  b |\n|---|-------|---:|\n| x | y     | 10 |")

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


class Run(Sandbox):
    def run_bench(self, figure, outcome=None, patterns=(), write=False, tool=TOOL):
        """bench.run() on kernels whose rows have the figures figure(tree, boot)."""
        plan = model.Matrix(
            {"k": model.Kernel("k", "x86_64", ["bench"])},
            {"b": model.Cell("b", "", "k", bench="suite"),
             "other": model.Cell("other", "", "k", suites="dma*")})

        def boot(cell, built, where):
            self.assertEqual(cell.name, "b")
            tree, _, number = where.name.partition("-")
            (where / "b").mkdir(parents=True)
            (where / "b" / "console.log").write_text(
                "# dma_map_and_unmap: direct, dma_map_phys, 0: "
                f"{figure(tree, int(number))}000 ns, at most 9 ns for 1000 pairs\n"
                f"{tool}{UMEM}")
            return outcome or Outcome("b", passed=1)

        self.enter(mock.patch.object(model, "load", return_value=plan))
        self.enter(mock.patch.object(fetch, "current",
                                     return_value=mock.Mock(version="7.3.4")))
        self.enter(mock.patch.object(kernel, "build", side_effect=kernel.at))
        self.enter(mock.patch.object(cells, "run", side_effect=boot))
        self.enter(mock.patch.object(bench, "_functions", return_value={}))
        self.enter(mock.patch.object(bench, "_growth", return_value=""))
        self.enter(mock.patch.object(bench, "DOCUMENT", self.root / "performance.md"))
        self.enter(mock.patch.object(paths, "ROOT", self.root))
        self.enter(mock.patch.object(process, "run", return_value=mock.Mock(
            stdout="one\ntwo\n")))
        with contextlib.redirect_stdout(io.StringIO()) as out:
            status = bench.run(patterns, write)
        return status, out.getvalue().splitlines()

    def test_good(self):
        status, lines = self.run_bench(lambda tree, _: {"stock": 281}.get(tree, 274))
        self.assertEqual(status, PASS)
        self.assertIn("direct  dma_map_phys          0   274    281     274"
                      "            +7             +0              -7", lines)
        self.assertTrue(lines[-1].startswith("bench: 2 rows, in none"), lines)
        kept, = paths.results().glob("*/figures.json")
        self.assertEqual(json.loads(kept.read_text())["arches"][0]["rows"],
                         [row([274, 274], [281, 281], [274, 274])])
        self.assertFalse((self.root / "performance.md").exists())

    def test_write(self):
        self.run_bench(lambda *_: 274, write=True)
        self.assertIn("| direct | dma_map_phys |         0 |  274 |",
                      (self.root / "performance.md").read_text())

    def test_write_of_bad_figures(self):
        status, _ = self.run_bench(lambda tree, _: 275 if tree == "series" else 274,
                                   write=True)
        self.assertEqual(status, FAILED)
        self.assertFalse((self.root / "performance.md").exists())

    def test_no_figures(self):
        for figure, tool in ((lambda *_: "x", TOOL), (lambda *_: 1, "")):
            with self.fails(FAILED, "printed no figures"):
                self.run_bench(figure, tool=tool)

    def test_a_row_of_one_boot(self):
        found = bench._rows({"base": [{}, {("direct", "c", "0"): 7}]})
        self.assertEqual(found, [{"device": "direct", "calls": "c", "attribute": "0",
                                  "base": [None, 7]}])

    def test_usage(self):
        for words, arguments in (("count instructions", {"patterns": ["other"]}),
                                 ("--write", {"patterns": ["b"], "write": True}),
                                 ("no cell 'x'", {"patterns": ["x"]})):
            with self.fails(USAGE, words):
                self.run_bench(lambda *_: 1, **arguments)

    def test_more(self):
        status, lines = self.run_bench(lambda tree, _: {"series": 275}.get(tree, 274))
        self.assertEqual(status, FAILED)
        self.assertEqual(lines[-2:], [
            "FAIL  x86_64: direct, dma_map_phys, 0: 1 instructions more than in base",
            "bench: 1 of 2 rows are not as they have to be"])

    def test_two_boots_differ(self):
        status, lines = self.run_bench(lambda _, number: 273 + number)
        self.assertEqual(status, FAILED)
        self.assertIn("base gives 274 and 275 in two boots", lines[-2])

    def test_boot_fails(self):
        with self.fails(BOOT, "b of base-suites", "hung"):
            self.run_bench(lambda *_: 1, Outcome("b", problem="it hung", hung=True))
        with self.fails(FAILED, "1 skipped"):
            self.run_bench(lambda *_: 1, Outcome("b", passed=1, skipped=1))
