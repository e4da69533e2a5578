# SPDX-License-Identifier: GPL-2.0-only
"""docs/refused.svg is drawn from what the boots have shown."""

import shutil
import unittest
from unittest import mock

from harness.errors import PASS
from harness.reports import coverage, diagram, tables
from harness.tests.lab import CHECKOUT, Lab


class Diagram(unittest.TestCase):
    def test_drawn_from_the_source(self):
        picture = diagram.PICTURE.read_text("utf-8")
        self.assertTrue(picture.startswith(f"<!-- {diagram.mark()} -->"),
                        "stale: ./lab diagram")
        self.assertLess(len(picture), 40_000)

    def test_exits_are_seen(self):
        """Each refusal of the picture was seen in a boot by that route, and the reverse."""
        seen = set()
        for table in tables.parse((CHECKOUT / "docs/coverage.md").read_text("utf-8")):
            head, *rows = table["rows"]
            seen |= {(table["title"].partition(" of ")[0], reason)
                     for row in rows for reason, word in zip(head, row)
                     if reason in coverage.REASONS and word[0].isdigit()}
        self.assertEqual(diagram.exits(), seen)
        self.assertEqual({reason for _, reason in seen}, set(coverage.REASONS))


@unittest.skipUnless(shutil.which("dot"), "needs Debian's graphviz")
class Drawing(Lab):
    def test_run(self):
        source, picture = self.root / "a.dot", self.root / "a.svg"
        source.write_text("digraph g {\n\ta -> b;\n\tdirect_x -> BOUNCE;\n}\n")
        with mock.patch.multiple(diagram, SOURCE=source, PICTURE=picture):
            for end in ("written", "as it was"):
                self.assertEqual(self.lab("diagram")[:2], (PASS, [f"diagram: a.svg {end}"]))
            self.assertTrue(picture.read_text().startswith(f"<!-- {diagram.mark()} -->\n<svg"))
            self.assertEqual(diagram.exits(), {("dma-direct", "BOUNCE")})
