# SPDX-License-Identifier: GPL-2.0-only
"""The demo: a table of what the guest measured, and one sentence on it."""

import contextlib
import io
import unittest
from pathlib import Path
from unittest import mock

from harness import model
from harness.boot import cells, kernel
from harness.reports import demo
from harness.errors import BOOT, FAILED, PASS
from harness.results import Outcome
from harness.tests import Sandbox

DATA = Path(__file__).parent / "data"
BOOTS = ("plain", "force", "beyond")


def rows(*names):
    """The rows of recorded consoles."""
    return [row for name in names for row in
            demo.parse((DATA / f"demo-{name}.log").read_text(encoding="utf-8"))]


class Rows(unittest.TestCase):
    def test_parse(self):
        found = rows("force")
        self.assertEqual([(row["request"], row["map"]) for row in found],
                         [("plain", 0), ("REQUIRE_COHERENT", "EOPNOTSUPP"),
                          ("ibv_reg_mr", "EOPNOTSUPP")])
        self.assertEqual(demo.parse("no rows here\n# row: \n"), [])

    def test_table(self):
        lines = demo.table(rows(*BOOTS)).splitlines()
        self.assertEqual(len(lines), 2 + 1 + 9)     # blank, heading, rule
        self.assertEqual(lines[1].split("  ")[0].strip(), "boot")
        starts = [lines[1].index(word) for word in demo._HEAD]
        for line in lines[3:]:
            self.assertEqual(line, line.rstrip())
            self.assertTrue(all(line[n - 1] == " " != line[n] for n in starts[1:]), line)
        self.assertEqual(lines[6].split(),
                         "force plain 0x17e6000 mapped 0xfeedc0de00000001 "
                         "0x1111111111111111 corrupt: the process reads old data until "
                         "unmap".split())
        self.assertEqual(lines[7].split(),
                         "force REQUIRE_COHERENT 0x1c3b000 -EOPNOTSUPP (FORCED_BOUNCE) "
                         "- - refused: nothing mapped, nothing left behind".split())
        self.assertEqual(lines[8].split(),
                         "force ibv_reg_mr 0x17e2000 -EOPNOTSUPP (FORCED_BOUNCE) - - "
                         "refused: nothing left behind, the process goes on".split())

    def test_unknown_page(self):
        """guest/demo.c prints null for what it could not measure."""
        row = {**rows("force")[1], "page": None, "reason": None}
        self.assertIn("REQUIRE_COHERENT  -     -EOPNOTSUPP", demo.table([row]))

    def test_no_rows(self):
        self.assertIn("boot", demo.table([]))

    def test_conclude(self):
        good = [Outcome(f"demo-{name}", passed=3) for name in BOOTS]
        self.assertEqual(
            demo.conclude(rows(*BOOTS), good),
            "demo: 9 rows as expected: 2 plain mappings corrupt data silently, 4 that "
            "have to stay coherent are refused instead")
        bad = [good[0], Outcome("demo-force", 1, 1), Outcome("demo-beyond", hung=True)]
        self.assertEqual(
            demo.conclude(rows("plain", "without"), bad),
            "demo: not as it has to be: 1 rows, in demo-force, demo-beyond")


class Run(Sandbox):
    def run_demo(self, consoles):
        """demo.run() with the given console and Outcome of each cell."""
        plan = model.Matrix({"k": model.Kernel("k", "x86_64")}, {
            name: model.Cell(name, "", "k", demo="force", quick=True) for name in consoles})
        plan.cells["other"] = model.Cell("other", "", "k", suites="dma*")

        def boot(cell, _built, where):
            log, outcome = consoles[cell.name]
            (where / cell.name).mkdir()
            (where / cell.name / "console.log").write_bytes(
                (DATA / f"demo-{log}.log").read_bytes())
            return outcome

        self.enter(mock.patch.object(model, "load", return_value=plan))
        self.enter(mock.patch.object(kernel, "build"))
        self.enter(mock.patch.object(cells, "run", side_effect=boot))
        with contextlib.redirect_stdout(io.StringIO()) as out:
            status = demo.run()
        return status, out.getvalue().splitlines()

    def test_good(self):
        status, lines = self.run_demo({name: (name, Outcome(name, 3)) for name in BOOTS})
        self.assertEqual(status, PASS)
        self.assertTrue(lines[-1].startswith("demo: 9 rows as expected"))
        self.assertEqual(kernel.build.call_count, 1)

    def test_bad(self):
        status, lines = self.run_demo({"a": ("plain", Outcome("a", 3)),
                                       "b": ("without", Outcome("b", 1, 1))})
        self.assertEqual(status, FAILED)
        self.assertIn("this kernel does not have the attribute", "\n".join(lines))
        self.assertEqual(lines[-1], "demo: not as it has to be: 1 rows, in b")

    def test_hung(self):
        status, _ = self.run_demo({"a": ("plain", Outcome("a", 2, 1)),
                                   "b": ("force", Outcome("b", hung=True))})
        self.assertEqual(status, BOOT)
