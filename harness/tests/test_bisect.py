# SPDX-License-Identifier: GPL-2.0-only
"""./lab bisect: what it builds and boots after each patch, and what it says."""

import contextlib
import io
from unittest import mock

from harness import bisect, model, paths, results
from harness.boot import cells, kernel
from harness.source import trees
from harness.errors import BOOT, BUILD, ENVIRONMENT, FAILED, PASS, USAGE, LabError
from harness.tests import Sandbox

PLAN = model.Matrix(
    {name: model.Kernel(name, name) for name in ("x86_64", "arm64")},
    {name: model.Cell(name, "", name.partition("-")[0], suites=suites, quick=quick)
     for name, suites, quick in (("x86_64", "dma*", True), ("x86_64-5g", "dma*", True),
                                 ("x86_64-slow", "dma*", False), ("x86_64-demo", "", True),
                                 ("arm64", "dma*", True))})


class Bisect(Sandbox):
    """Two patches; the second brings the suites."""

    def setUp(self):
        super().setUp()
        self.at, self.log, self.bad = 0, "", {}
        for module, name, fake in (
                (model, "load", lambda: PLAN), (trees, "tree", mock.Mock()),
                (trees, "commits", lambda: [("1", "prepare"), ("2", "test")]),
                (trees, "visit", self.visit), (kernel, "build", self.build),
                (kernel, "log", lambda built: self.log), (cells, "run", self.boot)):
            self.enter(mock.patch.object(module, name, fake))

    def visit(self, commit):
        self.at = int(commit)
        where = self.top / commit
        if self.at == 2:
            (where / "kernel/dma/tests").mkdir(parents=True, exist_ok=True)
        return where

    def build(self, which, name):
        self.assertEqual(name, trees.VISITED)
        if (self.at, which.name) in self.bad:
            raise self.bad[self.at, which.name]
        return kernel.Build(which, self.top, self.top)

    def boot(self, cell, built, directory):
        self.assertEqual((built.kernel.name, directory.name), (cell.kernel, "0002"))
        found = self.bad.get(cell.name, results.Outcome(cell.name, passed=3, skipped=1))
        if isinstance(found, LabError):
            raise found
        return found

    def bisect(self, *args):
        """(status, lines) of a run."""
        with contextlib.redirect_stdout(io.StringIO()) as out:
            status = bisect.run(*args)
        return status, out.getvalue().splitlines()

    def test_good(self):
        status, lines = self.bisect()
        self.assertEqual(status, PASS)
        self.assertEqual(lines, [
            "ok     1 x86_64 builds", "ok     1 arm64 builds",
            "ok     2 x86_64 builds",
            "ok     2 x86_64: 3 passed, 0 failed, 1 skipped",
            "ok     2 x86_64-5g: 3 passed, 0 failed, 1 skipped",
            "ok     2 arm64 builds", "ok     2 arm64: 3 passed, 0 failed, 1 skipped",
            "bisect: 2 patches, 13 passed, 0 failed, 3 skipped"])

    def test_chosen(self):
        status, lines = self.bisect(["arm64"], 2)
        self.assertEqual((status, len(lines)), (PASS, 3))
        self.assertIn("bisect: 1 patches, 4 passed", lines[-1])

    def test_all_may_skip(self):
        self.bad["arm64"] = results.Outcome("arm64", skipped=4)
        self.assertEqual(self.bisect(["arm64"])[0], PASS)

    def test_build_fails(self):
        """The other kernels and patches are tried all the same."""
        self.bad[1, "x86_64"] = LabError("build x86_64: a.c:1: error: no", BUILD)
        status, lines = self.bisect()
        self.assertEqual(status, BUILD)
        self.assertEqual(lines[0],
                         "FAIL   1 x86_64 builds: build x86_64: a.c:1: error: no")
        self.assertIn("ok     2 x86_64 builds", lines)

    def test_warning(self):
        self.log = "CC a.o\na.c:1:2: warning: unused\n"
        status, lines = self.bisect(["arm64"], 2)
        self.assertEqual(status, BUILD)
        self.assertIn("a.c:1:2: warning: unused", lines[0])

    def test_suites_fail(self):
        self.bad["x86_64"] = results.Outcome("x86_64", passed=1, failed=2)
        self.bad["x86_64-5g"] = LabError("the boot hung", BOOT)
        status, lines = self.bisect(["x86_64"], 2)
        self.assertEqual(status, FAILED)
        self.assertEqual(sum(line.startswith("FAIL") for line in lines), 2)

    def test_not_the_series(self):
        self.bad[1, "x86_64"] = LabError("no space", ENVIRONMENT)
        with self.fails(ENVIRONMENT, "no space"):
            bisect.run()

    def test_usage(self):
        with self.fails(USAGE, "no kernel 'x'", "./lab list"):
            bisect.run(["x"])
        for number in (0, 3):
            with self.fails(USAGE, f"no patch {number}", "there are 2"):
                bisect.run([], number)
        self.assertFalse(list(paths.results().glob("*/*")))
