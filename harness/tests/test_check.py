# SPDX-License-Identifier: GPL-2.0-only
"""./lab check: what it says of each gate, and the status of all."""

from unittest import mock

from harness import packages, paths, results
from harness.errors import (APPLY, BOOT, BUILD, ENVIRONMENT, FAILED, PASS, STYLE, USAGE,
                            LabError)
from harness.gates import lint
from harness.reports import compare
from harness.source import mails, trees
from harness.tests.lab import MATRIX, Lab, ktap


class Check(Lab):
    """One mail, two quick cells, all of it good."""

    MATRIX = MATRIX + '[kernel.alone]\narch = "x86_64"\n'

    def setUp(self):
        super().setUp()
        (self.root / "series/0001-x.patch").write_text("")
        (self.top / "unittest").write_text("Ran 5 tests in 1s\n\nOK (skipped=2)\n")
        self.lint, self.outdated = [], []
        self.enter(mock.patch.object(lint, "complaints", lambda: self.lint))
        self.enter(mock.patch.object(mails, "outdated", lambda *_: self.outdated))
        self.says("checkpatch.pl", "exit 0")
        self.says("get_maintainer.pl", "echo 'x (DMA MAPPING HELPERS)'")

    def says(self, name, script):
        """Make a script of the series tree."""
        path = trees.tree("series") / "scripts" / name
        paths.replace(path, f"#!/bin/sh\n{script}\n".encode())
        path.chmod(0o755)
        trees.tree.reset_mock()

    def check(self, *argv):
        status, out, _ = self.lab("check", *argv)
        return status, out

    def failed(self, *argv):
        """(status, lines of what failed) of ./lab check."""
        status, out = self.check(*argv)
        return status, [line for line in out if line.startswith("FAIL")]

    def test_good(self):
        status, out, err = self.lab("check")
        self.assertEqual((status, out), (PASS, [
            "ok    harness: 6 passed, 0 failed, 4 skipped",
            "ok    the linter has nothing to say of the harness",
            "ok    the series applies with no fuzz: 1 patches",
            "ok    series/ is what ./lab refresh writes",
            "ok    checkpatch and codespell: 0001-x.patch",
            "ok    a new caller of the attribute is noticed",
            "ok    nothing is called CPU_CACHE_CLEAN any more",
            "ok    tools/virtio builds from the series",
            "ok    one: 2 passed, 0 failed, 1 skipped",
            "ok    two: 2 passed, 0 failed, 1 skipped",
            "17 passed, 0 failed, 6 skipped"]))
        self.assertIn("stock is Linux 7.3.4", err)
        self.assertEqual((self.built(), self.booted()),
                         ([("series", "k")], [("series", "one"), ("series", "two")]))

    def test_full(self):
        """All cells but those that count, and kernels that nothing boots."""
        with mock.patch.object(compare, "outdated", return_value="") as outdated:
            status, out = self.check("--full", "--only", "boots", "--repeat", "2")
        self.assertEqual((status, out[0]), (PASS, "ok    kernel alone builds from the "
                                            "series"))
        self.assertEqual(self.booted(), [("series", "one")] * 2 + [("series", "three")] * 2
                         + [("series", "two")] * 2)
        self.assertEqual({outcome.cell for outcome in outdated.call_args.args[1]},
                         {"one", "three"})
        self.broken("alone")
        with mock.patch.object(compare, "outdated", return_value="it differs"):
            status, failed = self.failed("--full", "--only", "boots")
        self.assertEqual(status, BUILD)
        self.assertTrue(failed[0].startswith("FAIL  kernel alone: build "
                                             "alone from series: a.c:1:2: error: no such thing"))
        self.assertEqual(failed[1:], ["FAIL  docs/routes.md is what ./lab compare writes: "
                                      "it differs"])

    def test_soak(self):
        """It is part of --full, and fails it."""
        (self.root / "matrix.toml").write_text(self.MATRIX.replace(
            'suites = "dma*"', 'suites = "dma*"\nsoak = 5'))
        self.console("one", ktap("ok a", "not ok b"))
        with mock.patch.object(compare, "outdated", return_value=""):
            status, failed = self.failed("--full", "--only", "boots")
        self.assertEqual(status, FAILED)
        self.assertIn("FAIL  soak: 0 requests, 1 violations, 0 leaks, 1 cells, 1 kernels, "
                      "0 min: not what they promise", failed)

    def test_only(self):
        status, out = self.check("--only", "lint, mails")
        self.assertEqual((status, out[-1]), (PASS, "7 passed, 0 failed"))
        self.assertTrue(out[0].startswith("ok    the linter"))
        self.assertEqual((self.built(), self.boots()), ([], []))
        status, out = self.check("--only", "boots")
        self.assertEqual((status, out[-1]), (PASS, "4 passed, 0 failed, 2 skipped"))
        status, _, err = self.lab("check", "--only", "mail")
        self.assertEqual((status, err), (USAGE, [
            "lab: no gate 'mail': harness, lint, mails, boots"]))

    def test_packages(self):
        """All are asked for before anything is built."""
        packages.need.side_effect = LabError("install dtc", ENVIRONMENT)
        self.assertEqual(self.lab("check"), (ENVIRONMENT, [], ["lab: install dtc"]))
        self.assertEqual(packages.need.call_args.args, ("source", "style", "cells"))

    def test_style(self):
        """The status is that of the first failure."""
        self.says("checkpatch.pl", "echo 'a.c:1: ERROR:X: y'; echo another")
        self.outdated = ["0001-x.patch"]
        self.lint = ["a.py:1: unused", "b.py"]
        self.console("one", ktap("not ok a"))
        status, failed = self.failed()
        self.assertEqual((status, failed[:4]), (STYLE, [
            "FAIL  the linter has nothing to say of the harness: 2 complaints, the first: "
            "a.py:1: unused",
            "FAIL  series/ is what ./lab refresh writes: 0001-x.patch would change",
            "FAIL  checkpatch and codespell: 0001-x.patch: 2 complaints, the first: "
            "a.c:1: ERROR:X: y",
            "FAIL  one: 0 passed, 1 failed, 0 skipped"]))
        self.says("get_maintainer.pl", "echo nobody")
        self.assertIn("get_maintainer does not", self.failed("--only", "mails")[1][-1])

    def test_virtio(self):
        (self.top / "grep").write_text("a.h:1:DMA_ATTR_CPU_CACHE_CLEAN\n")
        (self.top / "make").write_text("CC a.o\na.c:1:2: error: x\n")
        status, failed = self.failed("--only", "mails")
        self.assertEqual((status, failed[0]), (
            FAILED, "FAIL  nothing is called CPU_CACHE_CLEAN any more: "
            "a.h:1:DMA_ATTR_CPU_CACHE_CLEAN"))
        self.assertTrue(failed[1].startswith(
            "FAIL  tools/virtio builds from the series: a.c:1:2: error: x (log: "))

    def test_does_not_apply(self):
        """There is nothing left to check then."""
        trees.tree.side_effect = LabError("0001 does not apply", APPLY)
        status, out = self.check()
        self.assertEqual((status, out[-2:]), (
            APPLY, ["FAIL  the series applies: 0001 does not apply",
                    "7 passed, 1 failed, 4 skipped"]))
        self.assertEqual((self.built(), self.boots()), ([], []))

    def test_not_the_fault_of_the_series(self):
        trees.tree.side_effect = LabError("no source", ENVIRONMENT)
        status, _, err = self.lab("check", "--only", "mails")
        self.assertEqual((status, err[-1]), (ENVIRONMENT, "lab: no source"))

    def test_boots(self):
        """One that hangs or splats does not keep the others from being made."""
        self.console("one", "", "exit 1")
        status, out = self.check("--only", "boots")
        self.assertEqual((status, out[0], out[1], out[-1]), (
            BOOT, "FAIL  one: 0 passed, 0 failed, 0 skipped: QEMU: exit "
            "status 1",
            "      again: ./lab kunit one", "2 passed, 1 failed, 1 skipped"))
        self.assertIn(f"      files: {results.runs()[0]}/one", out)
        self.console("one", ktap("ok a", "ok b") + "BUG: x\n")
        status, failed = self.failed("--only", "boots")
        self.assertEqual((status, failed), (FAILED, [
            "FAIL  one: 2 passed, 0 failed, 0 skipped: the kernel complained: BUG: x"]))
        self.console("one", ktap("ok a # SKIP none"))
        self.assertEqual(self.failed("--only", "boots")[0], FAILED)
        self.broken("k")
        status, failed = self.failed("--only", "boots")
        self.assertEqual((status, len(failed)), (BUILD, 2))

    def test_dry_run(self):
        status, out = self.check("--dry-run")
        self.assertEqual((status, out), (PASS, [
            "would check: harness, lint, mails, boots",
            "would boot one: kernel k from series",
            "would boot two: kernel k from series"]))
        self.assertEqual((self.built(), self.boots(), results.runs()), ([], [], []))


class Harness(Lab):
    def harness(self, tests):
        """What the tests of another checkout come to."""
        where = self.root / "harness/tests"
        where.mkdir(parents=True, exist_ok=True)
        for name in (where.parent, where):
            (name / "__init__.py").write_text("")
        (where / "test_x.py").write_text(f"import unittest\n{tests}")
        status, out, err = self.lab("check", "--only", "harness")
        return status, out[-1], "\n".join(err)

    def test_all_kinds(self):
        status, last, err = self.harness(
            "class X(unittest.TestCase):\n"
            "    def test_a(self): pass\n    def test_b(self): self.fail('why')\n"
            "    def test_c(self): 1 / 0\n    def test_d(self): self.skipTest('x')\n")
        self.assertEqual((status, last), (FAILED, "1 passed, 2 failed, 1 skipped"))
        self.assertIn("AssertionError: why", err)

    def test_passes(self):
        text = "class X(unittest.TestCase):\n    def test_a(self): print('failures=7')\n"
        self.assertEqual(self.harness(text)[:2], (PASS, "1 passed, 0 failed"))

    def test_halves(self):
        """Two processes run the tests; what one of them says does not hide the other."""
        good = "class X(unittest.TestCase):\n    def test_a(self): pass\n"
        where = self.root / "harness/tests"
        where.mkdir(parents=True)
        for other, found in ((good, (PASS, "2 passed, 0 failed")),
                             (good.replace("pass", "self.fail()"),
                              (FAILED, "1 passed, 1 failed")),
                             ("import os\nos._exit(0)", (FAILED, "1 passed, 1 failed"))):
            (where / "test_s.py").write_text(f"import unittest\n{other}")
            with self.subTest(other):
                self.assertEqual(self.harness(good)[:2], found)

    def test_none(self):
        for text in ("", "this is no Python"):
            self.assertEqual(self.harness(text)[:2], (FAILED, "0 passed, 1 failed"))
