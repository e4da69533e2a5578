# SPDX-License-Identifier: GPL-2.0-only
"""./lab compare: two kernels, one page, and what keeps it from being written."""

from harness import results
from harness.errors import BOOT, BUILD, FAILED, PASS, STYLE, USAGE
from harness.tests.lab import Lab, ktap

MATRIX = """
[kernel.k]
arch = "x86_64"
[kernel.slow]
arch = "x86_64"
compare = false
[cell.one]
what = "the first"
kernel = "k"
args = ["cell=one"]
suites = "dma*"
[cell.two]
what = "the second"
kernel = "k"
args = ["cell=two"]
suites = "dma*"
[cell.demo]
what = "a demo"
kernel = "k"
args = ["cell=demo"]
demo = "plain"
[cell.slow]
what = "not compared"
kernel = "slow"
args = ["cell=slow"]
suites = "dma*"
"""


def console(*cases):
    """ktap() with the line that the suites print of each case."""
    return ktap(*cases).replace("    ok 1", "    # a: route: mapped=1\n    ok 1")


class Compare(Lab):
    """The series passes in both cells, stock fails in one."""

    MATRIX = MATRIX

    def setUp(self):
        super().setUp()
        (self.root / "routes.toml").write_text(
            "[[untested]]\nroute = '`r` of d'\nstock = 's'\nseries = 't'\nwhy = 'w'\n")
        self.page = self.root / "docs/routes.md"
        self.console("default", console("ok a"))
        self.console("one@stock-suites", ktap("not ok a"))

    def compare(self, *argv):
        """(status, last line) of ./lab compare."""
        status, out, _ = self.lab("compare", *argv)
        return status, out[-1]

    def test_good(self):
        status, out, err = self.lab("compare")
        self.assertEqual((status, out[-1]), (PASS, "compare: 2 rows, stock differs in 1, "
                         "the series is wrong in 0; docs/routes.md written"))
        self.assertEqual(self.built(), [("stock-suites", "k"), ("series", "k")])
        self.assertEqual(self.booted(), [("series", "one"), ("series", "two"),
                                         ("stock-suites", "one"), ("stock-suites", "two")])
        text = self.page.read_text()
        for words in ("| two | the same |", "| `r` of d | s | t | w |",
                      "stock is Linux 7.3.4", "| one | the first |"):
            self.assertIn(words, text)
        self.assertNotIn("a demo", text)
        self.assertEqual(text.splitlines(), out[:-2])
        self.assertIn("      one on stock-suites: 0 passed, 1 failed, 0 skipped", err)
        self.assertEqual(self.compare()[1].rpartition("; ")[2], "docs/routes.md as it was")
        self.assertEqual(self.page.read_text(), text)

    def test_stock_may_break(self):
        """That it hangs is a result; that there is no such kernel is none."""
        self.console("one@stock-suites", "Kernel panic - not syncing: x\n")
        self.assertEqual(self.compare()[0], PASS)
        self.assertIn("not reached: the kernel panicked", self.page.read_text())
        self.page.unlink()
        self.broken("k@stock-suites")
        status, last = self.compare()
        self.assertEqual((status, self.page.exists()), (BUILD, False))
        self.assertIn("not written", last)

    def test_series_wrong(self):
        for text, status in ((console("not ok a"), FAILED), ("", BOOT),
                             ("BUG: x\n" + console("ok a"), FAILED)):
            self.console("two@series", text)
            found, last = self.compare()
            self.assertEqual((found, self.page.exists()), (status, False))
            self.assertIn("not written", last)

    def test_series_does_not_build(self):
        self.broken("k@series")
        status, last = self.compare()
        self.assertEqual((status, self.page.exists()), (BUILD, False))
        self.assertIn("not written", last)

    def test_some_cells(self):
        status, last = self.compare("one")
        self.assertEqual((status, self.booted()),
                         (PASS, [("series", "one"), ("stock-suites", "one")]))
        self.assertIn("not written: this is not all of it", last)
        self.assertFalse(self.page.exists())
        status, _, err = self.lab("compare", "demo")
        self.assertEqual((status, self.boots()), (USAGE, []))

    def test_dry_run(self):
        status, out, _ = self.lab("compare", "--dry-run")
        self.assertEqual((status, len(out), results.runs()), (PASS, 4, []))

    def test_outdated(self):
        """./lab check --full boots stock as well and says what has changed."""
        argv = ("check", "--full", "--only", "boots")
        status, out, _ = self.lab(*argv)
        self.assertEqual(status, STYLE)
        self.assertTrue(out[-2].startswith("FAIL  docs/routes.md is what ./lab compare "
                                           "writes: ./lab compare writes it anew"))
        self.lab("compare")
        self.boots()
        status, out, _ = self.lab(*argv)
        self.assertEqual((status, out[-2]),
                         (PASS, "ok    docs/routes.md is what ./lab compare writes"))
        self.assertEqual(self.booted(), [
            ("series", "demo"), ("series", "one"), ("series", "slow"), ("series", "two"),
            ("stock-suites", "one"), ("stock-suites", "two")])
        self.console("one@stock-suites", console("ok a"))
        status, out, _ = self.lab(*argv)
        self.assertEqual(status, STYLE)
        self.assertIn("the same", out[-2])
