# SPDX-License-Identifier: GPL-2.0-only
"""expected.toml: a case that starts to skip in a boot is noticed."""

from harness.errors import FAILED, PASS
from harness.tests.lab import Lab, ktap

PINNED = """
[skipped]
one = 1
three = 1
two = 1

[passed]
"dma_direct.a" = { one = 1, three = 1, two = 1 }
"dma_direct.b" = { one = 1, three = 1, two = 1 }

[unknown]
"""


class Expected(Lab):
    """Three cells that run suites, of which two are quick."""

    MATRIX = "[kernel.k]\narch = 'x86_64'\n" + "".join(
        f"[cell.{name}]\nwhat = ''\nkernel = 'k'\nargs = ['cell={name}']\n"
        f"{kind}\nquick = true\n" for name, kind in (
            ("one", "suites = 'x'"), ("two", "suites = 'x'"), ("three", "suites = 'x'"),
            ("demo", "demo = 'plain'")))

    def setUp(self):
        super().setUp()
        (self.root / "expected.toml").write_text(PINNED)

    def check(self, *argv):
        """(status, lines of what failed) of ./lab check."""
        status, out, _ = self.lab("check", "--only", "boots", *argv)
        return status, [line for line in out if line.startswith("FAIL")]

    def pinned(self):
        """What is pinned, below the head of the file."""
        text = (self.root / "expected.toml").read_text()
        return text[text.index("\n[skipped]"):]

    def test_as_before(self):
        self.assertEqual(self.check(), (PASS, []))

    def test_case_that_starts_to_skip(self):
        self.console("one", ktap("ok a", "ok b # SKIP why", "ok c # SKIP none"))
        self.assertEqual(self.check(), (FAILED, [
            "FAIL  one tests what it did before: dma_direct.b: 0 passed, 1 expected "
            "(if that is right: ./lab check --pin)"]))

    def test_case_that_is_gone(self):
        self.console("one", ktap("ok a", "ok c # SKIP none"))
        self.assertIn("dma_direct.b: 0 passed, 1 expected", self.check()[1][0])

    def test_skip_that_is_gone(self):
        self.console("one", ktap("ok a", "ok b"))
        self.assertIn("before: 0 skipped, 1 expected (", self.check()[1][0])

    def test_new_case(self):
        """Neither one that passes nor one that skips is a failure."""
        self.console("one", ktap("ok a", "ok b", "ok c # SKIP none", "ok d"))
        self.console("two", ktap("ok a", "ok b", "ok c # SKIP none", "ok e # SKIP none"))
        self.assertEqual(self.check(), (PASS, []))

    def test_nothing_is_pinned(self):
        """Of one cell, or of any."""
        (self.root / "expected.toml").write_text(
            PINNED.replace("three = 1\n", "").replace("three = 1, ", ""))
        self.assertEqual(self.check(), (PASS, []))
        (self.root / "expected.toml").unlink()
        self.assertEqual(self.check(), (PASS, []))

    def test_pin(self):
        (self.root / "expected.toml").unlink()
        status, _, err = self.lab("check", "--only", "boots", "--pin")
        self.assertEqual((status, self.pinned()), (PASS, PINNED))
        self.assertIn("expected.toml has been written", err)
        _, _, err = self.lab("check", "--only", "boots", "--pin")
        self.assertNotIn("expected.toml has been written", err)

    def test_pin_what_has_run_and_passed(self):
        """Neither what failed nor what was not booted is pinned anew."""
        text = ktap("ok a", "ok d", "ok c # SKIP none", "ok e # SKIP none")
        self.console("one", text)
        self.console("two", text.replace("ok 2 d", "not ok 2 d"))
        self.console("three", text)
        (self.root / "matrix.toml").write_text(
            self.MATRIX.replace("cell=three']\nsuites = 'x'\nquick = true",
                                "cell=three']\nsuites = 'x'\nquick = false"))
        status, failed = self.check("--pin")
        self.assertEqual((status, len(failed), len(self.boots())), (FAILED, 1, 3))
        self.assertEqual(self.pinned(), """
[skipped]
one = 2
three = 1
two = 1

[passed]
"dma_direct.a" = { one = 1, three = 1, two = 1 }
"dma_direct.b" = { three = 1, two = 1 }
"dma_direct.d" = { one = 1 }

[unknown]
"dma_direct.d" = ["three", "two"]
""")

        # Until they are booted again.
        self.console("two", ktap("ok a", "ok b", "ok d", "ok c # SKIP none"))
        self.assertEqual(self.check(), (PASS, []))
        self.check("--pin")
        self.assertTrue(self.pinned().endswith(
            '"dma_direct.d" = { one = 1, two = 1 }\n\n[unknown]\n"dma_direct.d" = ["three"]\n'))
        self.console("two", ktap("ok a", "ok b", "ok c # SKIP none"))
        self.assertIn("dma_direct.d: 0 passed, 1 expected", self.check()[1][0])
