# SPDX-License-Identifier: GPL-2.0-only
"""docs/refused.svg is drawn from what the boots have shown."""

import re
import shutil
import unittest
from unittest import mock

from harness.errors import PASS
from harness.reports import coverage, diagram, tables
from harness.tests.lab import CHECKOUT, Lab
from harness.tests.test_report import DRAWS

# The beginning of the names of its questions, for each implementation of the DMA API.
ROUTES = {"direct_": "dma-direct", "iommu_": "dma-iommu", "xen_": "xen-swiotlb",
          "ops_": "dma_map_ops"}


def exits():
    """{(implementation, reason)} of the refusals that the picture shows."""
    return {(ROUTES[lane], reason) for lane, reason in re.findall(
        r"^\s*([a-z]+_)\w+ -> ([A-Z_]+)\b", diagram.SOURCE.read_text("utf-8"), re.M)}


class Diagram(unittest.TestCase):
    def test_drawn_from_the_source(self):
        for source, picture in ((diagram.SOURCE, diagram.PICTURE),
                                (diagram.TABLE, diagram.SQUARES)):
            text = picture.read_text("utf-8")
            self.assertTrue(text.startswith(f"<!-- {diagram.mark(source)} -->"),
                            f"{picture.name} is stale: ./lab diagram")
            self.assertLess(len(text), 100_000)

    def test_exits_are_seen(self):
        """Each refusal of the picture was seen in a boot by that route, and the reverse."""
        seen = set()
        for table in tables.parse((CHECKOUT / "docs/coverage.md").read_text("utf-8")):
            head, *rows = table["rows"]
            seen |= {(table["title"].partition(" of ")[0], reason)
                     for row in rows for reason, word in zip(head, row)
                     if reason in coverage.REASONS and word[0].isdigit()}
        # A device of POWER has dma_map_ops, and a window past them, which is dma-direct's.
        seen.discard(("dma_map_ops", "FORCED_BOUNCE"))
        self.assertEqual(exits(), seen)
        self.assertEqual({reason for _, reason in seen}, set(coverage.REASONS))


@unittest.skipUnless(DRAWS and shutil.which("dot"), "needs graphviz and matplotlib")
class Drawing(Lab):
    def test_run(self):
        source, picture = self.root / "a.dot", self.root / "a.svg"
        table, squares = self.root / "b.md", self.root / "b.svg"
        table.write_text("## suite\n\n| test | request | stock | series |\n|-|-|-|-|\n"
                         "| a | all | the same | mapped |\n| b | all | WARNs | mapped |\n")
        source.write_text("digraph g {\n\ta -> b;\n\tdirect_x -> BOUNCE;\n}\n")
        with mock.patch.multiple(diagram, SOURCE=source, PICTURE=picture, TABLE=table,
                                 SQUARES=squares):
            for end in ("written", "as it was"):
                self.assertEqual(self.lab("diagram")[:2], (PASS, [
                    f"diagram: {name} {end}" for name in ("a.svg", "b.svg")]))
            self.assertEqual(exits(), {("dma-direct", "BOUNCE")})
            self.assertEqual(diagram.squares(), [("suite", [True, False])])
        for made, drawn in ((source, picture), (table, squares)):
            self.assertTrue(drawn.read_text().startswith(f"<!-- {diagram.mark(made)} -->\n<svg"))
        self.assertIn("stock is wrong in 1 of 2", squares.read_text())
