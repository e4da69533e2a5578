# SPDX-License-Identifier: GPL-2.0-only
"""The demo: a table of what the guest measured, and one sentence on it."""

import unittest
from pathlib import Path

from harness.reports import demo
from harness.errors import BOOT, BUILD, FAILED, PASS, USAGE
from harness.results import Outcome
from harness.tests.lab import Lab

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
        self.assertEqual(lines[1].split("  ")[0].strip(), "scenario")
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
        self.assertIn("scenario", demo.table([]))

    def test_conclude(self):
        good = [Outcome(f"demo-{name}", passed=3) for name in BOOTS]
        self.assertEqual(
            demo.conclude(rows(*BOOTS), good),
            "demo: 9 rows as expected: 2 plain mappings corrupt data silently, 4 that "
            "have to stay coherent are refused instead")
        bad = [good[0], Outcome("demo-force", passed=1, failed=1), Outcome("demo-beyond")]
        self.assertEqual(
            demo.conclude(rows("plain", "without"), bad),
            "demo: not as it has to be: 1 rows, in demo-force, demo-beyond")


class Run(Lab):
    MATRIX = '[kernel.k]\narch = "x86_64"\n' + "".join(
        f'[cell.demo-{name}]\nwhat = ""\nkernel = "k"\nargs = ["cell=demo-{name}"]\n'
        f'{kind}\nquick = {quick}\n' for name, kind, quick in (
            ("plain", 'demo = "plain"', "true"), ("force", 'demo = "force"', "true"),
            ("beyond", 'demo = "beyond"', "true"), ("slow", 'demo = "plain"', "false"),
            ("virtio", 'demo = "virtio"', "true"), ("suites", 'suites = "x"', "true")))

    def setUp(self):
        super().setUp()
        for name in BOOTS:
            self.console(f"demo-{name}", self.recorded(name))

    def recorded(self, name):
        return (DATA / f"demo-{name}.log").read_text(encoding="utf-8")

    def test_good(self):
        status, out, _ = self.lab("demo")
        self.assertEqual((status, out[-1]), (PASS, "demo: 9 rows as expected: 2 plain "
                         "mappings corrupt data silently, 4 that have to stay coherent "
                         "are refused instead"))
        self.assertEqual(self.booted(), [("series", f"demo-{name}")
                                         for name in sorted(BOOTS)])
        self.assertEqual(self.built(), [("series", "k")])
        self.assertEqual(out[:-2], demo.table(rows(*BOOTS)).splitlines())

    def test_tree(self):
        """The option is passed on: that kernel is built, and its rows are shown."""
        self.console("demo-force@stock", self.recorded("without"))
        status, out, _ = self.lab("demo", "--tree", "stock", "demo-force")
        self.assertEqual((status, self.built(), self.booted()),
                         (FAILED, [("stock", "k")], [("stock", "demo-force")]))
        self.assertIn("this kernel does not have the attribute", out[4])
        self.assertIn("      demo_force.verbs_refused", out)
        self.assertEqual(out[-1], "demo: not as it has to be: 2 rows, in demo-force")

    def test_beside(self):
        """Both trees in one table; only one of them is judged."""
        self.console("demo-force@stock", self.recorded("without"))
        status, out, _ = self.lab("demo", "--beside", "stock", "demo-force")
        self.assertEqual(status, PASS)
        self.assertEqual([line.split()[:3] for line in out[1:2] + out[3:9]], [
            ["tree", "scenario", "mapping"], ["stock", "force", "plain"],
            ["stock", "force", "REQUIRE_COHERENT"], ["stock", "force", "ibv_reg_mr"],
            ["series", "force", "plain"], ["series", "force", "REQUIRE_COHERENT"],
            ["series", "force", "ibv_reg_mr"]])
        self.assertTrue(out[-1].startswith("demo: 3 rows as expected"))
        self.boots()
        self.lab("demo", "--beside", "series", "demo-force")
        self.assertEqual(self.booted(), [("series", "demo-force")])

    def test_chosen(self):
        self.console("demo-slow", self.recorded("plain"))
        self.assertEqual(self.lab("demo", "demo-slow", "demo-force")[0], PASS)
        self.assertEqual(self.booted(), [("series", "demo-force"), ("series", "demo-slow")])
        for name in ("demo-suites", "demo-virtio"):
            status, _, err = self.lab("demo", name)
            self.assertEqual((status, self.boots()), (USAGE, []))
            self.assertIn("./lab boot", err[0])

    def test_hung(self):
        self.console("demo-beyond", "", "exit 1")
        status, out, _ = self.lab("demo")
        self.assertEqual((status, out[-1]),
                         (BOOT, "demo: not as it has to be: 0 rows, in demo-beyond"))

    def test_not_built(self):
        self.broken("k")
        status, out, _ = self.lab("demo")
        self.assertEqual((status, out[-1]), (
            BUILD, "demo: not as it has to be: 0 rows, in demo-plain, demo-force, "
            "demo-beyond"))
