# SPDX-License-Identifier: GPL-2.0-only
"""./lab pin: what boots have shown, and why the rest is not seen."""

import unittest

from harness import model
from harness.errors import USAGE
from harness.gates import expected
from harness.reports import coverage
from harness.reports.coverage import Rule
from harness.tests import Sandbox
from harness.tests.lab import CHECKOUT

SEEN = {("dma-direct", call, answer): ["a"] for call in coverage.CALLS
        for answer in coverage.ANSWERS}
PLACE = ("dma-direct", "dma_map_phys", "BOUNCE")


class Explain(unittest.TestCase):
    def test_all_seen(self):
        self.assertEqual(coverage.explain(SEEN, []), ({}, []))

    def test_not_seen(self):
        seen = {place: boots for place, boots in SEEN.items() if place != PLACE}
        empty, wrong = coverage.explain(seen, [])
        self.assertEqual(len(wrong), 1)
        self.assertTrue(wrong[0].startswith("dma-direct dma_map_phys BOUNCE: no boot"))
        rule = Rule("dma-*", "dma_map_phys|x", "BOUNCE", "because")
        self.assertEqual(coverage.explain(seen, [rule]), ({PLACE: "because"}, []))

    def test_reason_in_vain(self):
        """A rule for what is seen is wrong, and so is one for nothing."""
        _, wrong = coverage.explain(SEEN, [Rule(*PLACE, "because")])
        self.assertEqual(len(wrong), 2)
        self.assertIn("seen in a, and coverage.toml says why not: because", wrong[0])

    def test_no_reason_without_a_row(self):
        seen = {place: boots for place, boots in SEEN.items() if place[2] != "BOUNCE"}
        _, wrong = coverage.explain(seen, [Rule("*", "*", "BOUNCE", "because")])
        self.assertEqual(wrong, ["no boot shows the reason BOUNCE"])


class Page(unittest.TestCase):
    def test_ranges(self):
        self.assertEqual(coverage.ranges([1, 2, 3, 5, 7, 8]), "1-3, 5, 7-8")

    def test_is_of_what_is_pinned(self):
        text, wrong = coverage.report(model.load(), expected.load())
        self.assertEqual(wrong, [])
        self.assertEqual(text, (CHECKOUT / coverage.PAGE).read_text("utf-8"),
                         "it is stale: ./lab pin")


class Read(Sandbox):
    def test_route(self):
        """Answers are found under the name of the route."""
        cell = model.Cell("x", "", "k", xen=["y"], suites="dma*")
        plan = model.Matrix({"k": model.Kernel("k", "x86_64")}, {"x": cell})
        pinned = {"dma-direct dma_map_phys mapped": ["x", "gone"],
                  "dma_map_ops dma_map_sgtable UNREACHABLE": ["x"]}
        self.assertEqual(coverage.read(plan, pinned), {
            ("dma-direct", "dma_map_phys", "mapped"): ["x"],
            ("xen-swiotlb", "dma_map_sgtable", "UNREACHABLE"): ["x"]})
        cell.xen = []
        self.assertIn(("dma_map_ops of x86_64", "dma_map_sgtable", "UNREACHABLE"),
                      coverage.read(plan, pinned))

    def test_broken_rules(self):
        (self.root / "coverage.toml").write_text('[[never]]\nroute = "*"\n')
        with self.fails(USAGE, "coverage.toml: never, entry 1"):
            coverage.load()
