# SPDX-License-Identifier: GPL-2.0-only
"""./lab bisect: what it builds and boots after each patch, and what it says."""

from unittest import mock

from harness import paths, results
from harness.errors import BUILD, ENVIRONMENT, FAILED, PASS, USAGE
from harness.source import trees
from harness.tests.lab import Lab, ktap


class Bisect(Lab):
    """Two patches; the second brings the suites."""

    MATRIX = "".join(f"""
[kernel.{name}]
arch = "x86_64"
""" for name in ("x86_64", "arm64", "other")) + "".join(f"""
[cell.{name}]
what = ""
kernel = "{name.partition("-")[0]}"
args = ["cell={name}"]
{kind}
quick = {quick}
""" for name, kind, quick in (
    ("x86_64", "suites = 'dma*'", "true"), ("x86_64-5g", "suites = 'dma*'", "true"),
    ("x86_64-slow", "suites = 'dma*'", "false"), ("x86_64-demo", "demo = 'plain'", "true"),
    ("arm64", "suites = 'dma*'", "true"), ("other", "suites = 'dma*'", "true")))

    def setUp(self):
        super().setUp()
        self.bad = ""
        self.enter(mock.patch.object(trees, "visit", self.visit))
        self.enter(mock.patch.object(trees, "commits",
                                     lambda *_: [("1", "prepare"), ("2", "test")]))

    def visit(self, commit):
        """Of this commit, kernel x86_64 fails to build if it is the bad one."""
        paths.remove(self.top / "broken/x86_64")
        if commit == self.bad:
            self.broken("x86_64")
        where = trees.tree(trees.VISITED)
        paths.remove(where / "kernel/dma/tests")
        if commit == "2":
            (where / "kernel/dma/tests").mkdir()
        return where

    def bisect(self, *argv):
        """(status, lines of stdout) of ./lab bisect."""
        return self.lab("bisect", *argv)[:2]

    def test_good(self):
        status, lines = self.bisect()
        self.assertEqual((status, lines), (PASS, [
            "ok     1 x86_64 builds", "ok     1 arm64 builds",
            "ok     2 x86_64 builds", "ok     2 arm64 builds",
            "ok     2 x86_64: 2 passed, 0 failed, 1 skipped",
            "ok     2 x86_64-5g: 2 passed, 0 failed, 1 skipped",
            "ok     2 arm64: 2 passed, 0 failed, 1 skipped",
            "bisect: 2 patches, 10 passed, 0 failed, 3 skipped"]))
        self.assertEqual(self.built(), [("visited", "x86_64"), ("visited", "arm64")] * 2)
        self.assertEqual(self.booted(), [("visited", "arm64"), ("visited", "x86_64"),
                                         ("visited", "x86_64-5g")])
        self.assertTrue((results.runs()[0] / "0002/arm64@visited/console.log").exists())

    def test_chosen(self):
        status, lines = self.bisect("arm64", "--first", "2")
        self.assertEqual((status, lines), (PASS, [
            "ok     2 arm64 builds", "ok     2 arm64: 2 passed, 0 failed, 1 skipped",
            "bisect: 1 patches, 3 passed, 0 failed, 1 skipped"]))

    def test_all_may_skip(self):
        self.console("arm64", ktap("ok a # SKIP none"))
        self.assertEqual(self.bisect("arm64")[0], PASS)

    def test_build_fails(self):
        """The other kernels and patches are tried all the same."""
        self.bad = "1"
        status, lines = self.bisect()
        self.assertEqual(status, BUILD)
        self.assertTrue(lines[0].startswith("FAIL   1 x86_64 builds: build x86_64 from "
                                            "visited: a.c:1:2: error: no such thing"))
        self.assertIn("ok     2 x86_64 builds", lines)
        self.bad = "2"
        status, lines = self.bisect()
        self.assertEqual((status, lines[-1]),
                         (BUILD, "bisect: 2 patches, 5 passed, 1 failed, 1 skipped"))

    def test_warning(self):
        (self.top / "says").write_text("CC a.o\na.c:1:2: warning: unused\n")
        status, lines = self.bisect("arm64", "--first", "2")
        self.assertEqual((status, lines[0]),
                         (BUILD, "FAIL   2 arm64 builds: a.c:1:2: warning: unused"))

    def test_suites_fail(self):
        """The line that repeats it is one of bisect: ./lab boot has no such tree."""
        self.console("x86_64", ktap("ok a", "not ok b"))
        self.console("x86_64-5g", "", "exit 1")
        status, lines = self.bisect("x86_64", "--first", "2")
        self.assertEqual(status, FAILED)
        self.assertEqual(sum(line.startswith("FAIL") for line in lines), 2)
        self.assertIn("      dma_direct.b: Expected x == 1, but x == 0 (0x0) at "
                      "kernel/dma/a.c:1", lines)
        self.assertIn("      again: ./lab bisect x86_64 --first 2", lines)

    def test_not_the_series(self):
        self.broken("arm64", "No space left on device")
        status, _, err = self.lab("bisect")
        self.assertEqual((status, "GiB free" in err[-1]), (ENVIRONMENT, True))

    def test_dry_run(self):
        status, lines = self.bisect("--dry-run")
        self.assertEqual((status, self.built(), results.runs()), (PASS, [], []))
        self.assertEqual(lines, ["would build x86_64, arm64 after each of 2 patches, and "
                                 "boot x86_64, x86_64-5g, arm64"])

    def test_usage(self):
        for argv, words in ((["x"], "no kernel 'x': ./lab list"),
                            (["--first", "0"], "no patch 0: there are 2"),
                            (["--first", "3"], "no patch 3: there are 2")):
            status, _, err = self.lab("bisect", *argv)
            self.assertEqual(status, USAGE)
            self.assertIn(words, err[0])
        self.assertEqual(results.runs(), [])
