# SPDX-License-Identifier: GPL-2.0-only
"""The command line and ./lab check: one line for an error, one status for all."""

import contextlib
import fcntl
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

from harness import check, cli, errors, packages, paths, process, results, ui
from harness.boot import cells, kernel
from harness.gates import checkpatch, virtio
from harness.reports import compare
from harness.source import mails, trees
from harness.errors import (APPLY, BOOT, BUILD, ENVIRONMENT, FAILED, FETCH, INTERRUPTED,
                            PASS, STYLE, USAGE, LabError)
from harness.results import Outcome
from harness.tests import Sandbox

CHECKOUT = Path(__file__).resolve().parents[2]
MATRIX = '''
[kernel.k]
arch = "x86_64"
[kernel.other]
arch = "x86_64"
[cell.one]
what = "1"
kernel = "k"
suites = "dma*"
quick = true
[cell.two]
what = "2"
kernel = "k"
demo = "plain"
quick = true
[cell.three]
what = "3"
kernel = "other"
suites = "dma*"
'''


class Lab(Sandbox):
    """Calls main() with what it would do for minutes replaced."""

    def setUp(self):
        super().setUp()
        (self.root / "matrix.toml").write_text(MATRIX)
        self.enter(mock.patch.object(process, "catch_termination"))
        self.build = self.enter(mock.patch.object(
            kernel, "build", side_effect=lambda which, name="series": kernel.at(which)))
        self.outcomes = {}
        self.run_cell = self.enter(mock.patch.object(cells, "run", side_effect=self.boot))

    def boot(self, cell, _built, directory):
        """cells.run() with what `outcomes` has for the cell: (passed, failed, ...)."""
        outcome = Outcome(cell.name, *self.outcomes.get(cell.name, (3,)))
        results.save(directory / cell.name, outcome, "series", ["true"])
        return outcome

    def lab(self, *argv):
        """Run ./lab; returns the status and the lines of stdout and of stderr."""
        with contextlib.redirect_stdout(io.StringIO()) as out:
            with contextlib.redirect_stderr(io.StringIO()) as err:
                status = cli.main(argv)
        return status, out.getvalue().splitlines(), err.getvalue().splitlines()

    def booted(self):
        return [call.args[0].name for call in self.run_cell.call_args_list]


class Usage(Lab):
    def commands(self):
        return next(action.choices for action in cli._parser()._actions if action.choices)

    def test_help(self):
        for argv in [[], *([name] for name in self.commands())]:
            with contextlib.redirect_stdout(io.StringIO()) as out:
                with self.assertRaises(SystemExit) as caught:
                    cli.main([*argv, "--help"])
            self.assertEqual(caught.exception.code, PASS, argv)
            self.assertIn(" ".join(["usage: ./lab", *argv]), out.getvalue())

    def test_lab_alone(self):
        """Prints the help, with all statuses and the environment."""
        status, out, err = self.lab()
        self.assertEqual((status, err), (PASS, []))
        for name in self.commands():
            self.assertTrue(any(line.startswith(f"    {name} ") for line in out), name)
        for name, value in vars(errors).items():
            if isinstance(value, int):
                self.assertRegex(" ".join(out), rf"\b{value} [a-z]", name)
        for name in ("XDG_CACHE_HOME", "LINUX_TREE", "LINUX_TARBALL", "LINUX_REF",
                     "XEN", "LAB_INSTALL", "TIMEOUT_FACTOR"):
            self.assertRegex("\n".join(out), rf"\n  {name} +\w")

    def test_version(self):
        with open(self.root / "base/base.toml", "a", encoding="utf-8") as file:
            file.write('[stock]\nversion = "7.3.9"\n')
        for name in ("0000-cover-letter", "0001-a", "0002-b"):
            (self.root / f"series/{name}.patch").write_text("")
        self.assertEqual(self.lab("--version")[1], ["2 patches on Linux 7.3.9"])

    def parsed(self, line):
        """What the command of `line` gets to see."""
        name = f"_{line.split()[0]}"
        with mock.patch.object(cli, name, return_value=PASS) as command:
            command.__name__ = name
            self.assertEqual(self.lab(*line.split()), (PASS, [], []))
        return command.call_args.args[0]

    def test_options(self):
        for name in ("demo", "check", "boot c", "kunit", "compare", "bisect", "bench"):
            args = self.parsed(f"{name} -j 3 --repeat 2 --dry-run --json -v")
            self.assertEqual((args.jobs, args.repeat, args.dry_run, args.json,
                              args.verbose, ui.verbose), (3, 2, True, True, True, True))
            args = self.parsed(name)
            self.assertEqual((args.jobs, args.repeat, args.dry_run, args.json,
                              args.verbose, ui.verbose), (None, 1, False, False, False,
                                                          False))
        self.assertEqual(self.parsed("check --only mails,lint").only, "mails,lint")
        self.assertTrue(self.parsed("tree stock --update").update)
        self.assertEqual(self.parsed("again --run a/b").run, "a/b")

    def test_shell_command(self):
        args = self.parsed("shell --gdb one -- ls -l -- x")
        self.assertEqual((args.cell, args.gdb, args.words),
                         ("one", True, ["ls", "-l", "--", "x"]))
        args = self.parsed("shell one --tree stock -- ls")
        self.assertEqual((args.tree, args.words), ("stock", ["ls"]))
        self.assertEqual(self.parsed("shell one").words, [])

    def test_errors(self):
        for line, words in (("frobnicate", ["frobnicate"]),
                            ("boot one -j 0", ["--jobs"]),
                            ("demo --repeat x", ["--repeat"]),
                            ("clean", ["what"]), ("clean trees", ["trees", "builds"]),
                            ("check --fast", ["--fast"]), ("--fast", []),
                            ("demo --tree mainline", ["mainline", "./lab demo --help"]),
                            ("boot", ["cell"]), ("check one", ["one"]),
                            ("tree mainline", ["mainline"]),
                            ("build one", ["one", "./lab list"]),
                            ("boot nosuch", ["nosuch", "./lab list"]),
                            ("kunit one nosuch", ["nosuch"]),
                            ("kunit two", ["./lab boot"]),
                            ("shell nosuch", ["nosuch"]), ("shell t*", ["2 cells"]),
                            ("again", ["nothing to repeat"])):
            status, out, err = self.lab(*line.split())
            self.assertEqual((status, out, len(err)), (USAGE, [], 1), (line, err))
            self.assertTrue(err[0].startswith("lab: "))
            for word in words:
                self.assertIn(word, err[0])
        self.build.assert_not_called()
        self.run_cell.assert_not_called()

    def test_broken_matrix(self):
        (self.root / "matrix.toml").write_text("[cell\n")
        for line in ("list", "check", "demo", "build", "boot x"):
            status, out, err = self.lab(*line.split())
            self.assertEqual((status, out, len(err)), (USAGE, [], 1), line)

    def test_status_of_an_error(self):
        for status in (FAILED, USAGE, FETCH, APPLY, STYLE, BUILD, BOOT, ENVIRONMENT):
            with mock.patch.object(check, "run", side_effect=LabError("a\nb", status)):
                self.assertEqual(self.lab("check"), (status, [], ["lab: a b"]))

    def test_interrupted(self):
        with mock.patch.object(check, "run", side_effect=KeyboardInterrupt):
            status, out, err = self.lab("check")
        self.assertEqual((status, out, len(err)), (INTERRUPTED, [], 1))

    def test_plain_output(self):
        """A program that reads the output sees no escape sequences, and a reader
        that goes away ends it quietly."""
        env = {**os.environ, "TERM": "xterm-256color", "LAB_ROOT": str(self.root)}
        done = subprocess.run([CHECKOUT / "lab", "list"], env=env, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual((done.returncode, done.stderr), (PASS, ""))
        self.assertIn("kernel k (x86_64)", done.stdout)
        self.assertNotIn("\033", done.stdout)
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run([CHECKOUT / "lab", "list"], env=env, text=True,
                              stdout=write, stderr=subprocess.PIPE)
        os.close(write)
        self.assertEqual((done.returncode, done.stderr), (FAILED, ""))

    def test_bug(self):
        """A bug in the lab is no test that failed: its own status, one line, and the
        traceback in a file."""
        bug = ValueError("some\nthing")
        with mock.patch.object(check, "run", side_effect=bug), \
                mock.patch("tempfile.tempdir", str(self.top)):
            status, out, err = self.lab("check")
        self.assertEqual((status, out, len(err)), (70, [], 1))
        self.assertRegex(err[0], r"^lab: a bug in the lab: ValueError: some thing "
                         r"\(.*mock\.py:\d+\); the traceback is /")
        kept = Path(err[0].rpartition(" ")[2])
        self.assertIn("cli.py", kept.read_text(encoding="utf-8"))
        self.assertEqual(kept.parent, self.top)

    def test_old_python(self):
        text = (CHECKOUT / "lab").read_text(encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-c", "import sys\nsys.version_info = (3, 8)\n" + text],
            stderr=subprocess.PIPE, text=True)
        self.assertEqual((done.returncode, done.stderr),
                         (ENVIRONMENT, "lab: Python 3.9 or later is needed\n"))


class Commands(Lab):
    def test_list(self):
        with open(self.root / "matrix.toml", "a", encoding="utf-8") as file:
            file.write('[cell.four]\nwhat = "%s"\nkernel = "k"\nbench = "b*"\n'
                       '[kernel.bare]\narch = "arm64"\n' % ("many words " * 20))
        status, out, err = self.lab("list")
        self.assertEqual((status, err), (PASS, []))
        self.assertEqual([line for line in out if line[:3] != "   "], [
            "kernel k (x86_64):", "  quick  one    1", "  quick  two    2",
            "  bench  four   " + "many words " * 5 + "many",
            "kernel other (x86_64):", "  full   three  3", "kernel bare (arm64):"])
        self.assertLessEqual(max(map(len, out)), 80)
        plan = json.loads("\n".join(self.lab("list", "--json")[1]))
        self.assertEqual(plan["cells"]["three"]["kernel"], "other")
        self.assertEqual(plan["kernels"]["k"]["arch"], "x86_64")

    def cached(self, **sizes):
        for name, mebibytes in sizes.items():
            where = paths.cache() / name.replace("__", "/.").replace("_", "/")
            where.mkdir(parents=True)
            (where / "file").write_bytes(b"x" * (mebibytes << 20))

    def test_clean(self):
        self.cached(trees_a__builds=110, trees_b__builds=100, results=120, x=90)
        (paths.trees() / "series").mkdir()
        self.assertEqual(self.lab("clean", "builds")[:2],
                         (PASS, ["clean: 0.2 GiB freed"]))
        self.assertFalse(list(paths.cache().glob("trees/*/.builds")))
        self.assertTrue((paths.cache() / "results").exists())
        self.assertEqual(self.lab("clean", "results")[1], ["clean: 0.1 GiB freed"])
        self.assertFalse((paths.cache() / "results").exists())
        with mock.patch.object(mails, "outdated", return_value=["0001-x.patch"]):
            status, _, err = self.lab("clean", "all")
            self.assertEqual(status, USAGE)
            self.assertIn("./lab refresh", err[0])
            self.assertTrue((paths.cache() / "x").exists())
        with mock.patch.object(mails, "outdated", return_value=[]):
            self.assertEqual(self.lab("clean", "all")[1], ["clean: 0.1 GiB freed"])
        self.assertFalse((self.top / "cache/dma-require-coherent").exists())

    def test_clean_in_use(self):
        self.cached(trees_stock__builds=0)
        with paths.lock("other"):
            pass
        held = open(paths.cache() / "k-series.lock", "w", encoding="ascii")
        self.addCleanup(held.close)
        fcntl.flock(held, fcntl.LOCK_EX)
        print(1234, file=held, flush=True)
        for what in ("builds", "results", "all"):
            status, out, err = self.lab("clean", what)
            self.assertEqual((status, out), (ENVIRONMENT, []))
            self.assertIn("process 1234 holds", err[0])
        self.assertTrue((paths.cache() / "trees/stock/.builds").exists())

    def test_boot(self):
        status, out, _ = self.lab("boot", "t*", "one")
        self.assertEqual((status, self.booted()), (PASS, ["one", "two", "three"]))
        self.assertEqual(self.build.call_count, 2)
        self.assertTrue(out[-1].startswith("3 of 3 cells passed; results: "))

    def test_boot_that_fails(self):
        self.outcomes = {"one": (2, 1)}
        status, out, err = self.lab("boot", "*")
        self.assertEqual(status, FAILED)
        self.assertIn("FAIL  one: 2 passed, 1 failed, 0 skipped", out)
        self.assertIn("ok    two: 3 passed, 0 failed, 0 skipped", out)
        self.assertTrue(out[-1].startswith("2 of 3 cells passed; results: "))
        self.assertTrue(err[0].endswith("/one"))

    def test_boot_that_hangs(self):
        self.outcomes = {"one": (2, 1), "two": (0, 0, 0, "the boot hung", True)}
        self.assertEqual(self.lab("boot", "*")[0], BOOT)

    def test_nothing_has_run(self):
        self.outcomes = {"one": (0, 0, 9)}
        self.assertEqual(self.lab("boot", "one")[0], FAILED)

    def test_kunit(self):
        self.assertEqual(self.lab("kunit")[0], PASS)
        self.assertEqual(self.booted(), ["one", "three"])

    def test_again(self):
        self.outcomes = {"one": (2, 1)}
        self.lab("boot", "one", "two")
        self.build.reset_mock()
        for outcomes, again in (({}, ["one"]), ({}, ["one"])):
            self.run_cell.reset_mock()
            self.outcomes = outcomes
            self.assertEqual(self.lab("again")[0], PASS)
            self.assertEqual(self.booted(), again)
        self.build.assert_not_called()

    def test_build(self):
        status, out, _ = self.lab("build", "--tree", "base")
        self.assertEqual(status, PASS)
        self.assertEqual([call.args[1] for call in self.build.call_args_list],
                         ["base", "base"])
        self.assertEqual(len(out), 2)

    def test_doctor(self):
        good = [("ok", "git", "2.39"), ("get", "packages: a", "missing: b")]
        for rows, status, last in (
                (good, PASS, "nothing is missing that ./lab cannot install"),
                ([*good, ("WANT", "disk", "9")], ENVIRONMENT,
                 "1 thing is missing: disk"),
                ([*good, ("WANT", "c", ""), ("WANT", "d", "")], ENVIRONMENT,
                 "2 things are missing: c, d")):
            with mock.patch.object(packages, "doctor", return_value=rows):
                found, out, _ = self.lab("doctor")
            self.assertEqual((found, out[-1]), (status, f"doctor: {last}"))
            self.assertEqual([line.split()[:2] for line in out[:-1]],
                             [[verdict, name.split()[0]] for verdict, name, _ in rows])

    def test_tree(self):
        with mock.patch.multiple(trees, tree=mock.DEFAULT, newer_stock=mock.DEFAULT) as to:
            to["tree"].return_value = "/the/tree"
            self.assertEqual(self.lab("tree", "base", "--reset")[:2],
                             (PASS, ["/the/tree"]))
            to["tree"].assert_called_once_with("base", True)
            to["newer_stock"].assert_not_called()
            self.lab("tree", "stock", "--update")
            to["tree"].assert_called_with("stock", False)
            to["newer_stock"].assert_called_once_with()

    def test_refresh(self):
        for changed, last in (([], "nothing to write"), (["a", "b"], "2 files written")):
            for argv, name in (([], "series"), (["base"], "base")):
                with mock.patch.object(mails, "refresh", return_value=changed) as made:
                    status, out, _ = self.lab("refresh", *argv)
                made.assert_called_once_with(model.SERIES[name])
                self.assertEqual((status, out[:-1]), (PASS, changed))
                self.assertIn(last, out[-1])


class Tally(Sandbox):
    def setUp(self):
        super().setUp()
        self.out = self.enter(contextlib.redirect_stdout(io.StringIO()))
        self.tally = check.Tally()

    def test_last_line(self):
        self.tally.one("a")
        self.assertEqual(str(self.tally), "1 passed, 0 failed")
        self.tally.add("b", 20, 3)
        self.assertEqual(str(self.tally), "21 passed, 3 failed")
        self.tally.add("c", skipped=4)
        self.assertEqual(str(self.tally), "21 passed, 3 failed, 4 skipped")
        self.assertEqual(self.out.getvalue(), "ok    a\nFAIL  b\nok    c\n")

    def test_first_failure(self):
        self.tally.one("a", "", STYLE)
        self.assertEqual(self.tally.status, PASS)
        self.tally.one("b", "is bad", BUILD)
        self.tally.one("c", "is worse", BOOT)
        self.tally.one("d")
        self.assertEqual(self.tally.status, BUILD)
        self.assertIn("FAIL  b: is bad\n", self.out.getvalue())

    def harness(self, tests):
        """Count what the harness of another checkout has for tests."""
        where = self.root / "harness/tests"
        where.mkdir(parents=True)
        for name in (where.parent, where):
            (name / "__init__.py").write_text("")
        (where / "test_x.py").write_text(f"import unittest\n{tests}")
        check._harness(self.tally)
        return str(self.tally)

    def test_harness(self):
        self.assertEqual(self.harness(
            "class X(unittest.TestCase):\n"
            "    def test_a(self): pass\n    def test_b(self): self.fail('why')\n"
            "    def test_c(self): 1 / 0\n    def test_d(self): self.skipTest('x')\n"),
            "1 passed, 2 failed, 1 skipped")
        self.assertEqual(self.tally.status, FAILED)
        self.assertIn("AssertionError: why", self.stderr.getvalue())

    def test_harness_passes(self):
        text = "class X(unittest.TestCase):\n    def test_a(self): print('failures=7')\n"
        self.assertEqual(self.harness(text), "1 passed, 0 failed")
        self.assertEqual(self.tally.status, PASS)

    def test_harness_without_tests(self):
        self.assertEqual(self.harness(""), "0 passed, 1 failed")

    def test_harness_that_is_broken(self):
        self.assertEqual(self.harness("this is no Python"), "0 passed, 1 failed")


PAGE = check._page


class Check(Lab):
    def setUp(self):
        super().setUp()
        (self.root / "series/0001-x.patch").write_text("")
        self.enter(mock.patch.object(check, "_harness"))
        self.enter(mock.patch.multiple(trees, tree=mock.DEFAULT,
                                       provenance=lambda: "stock is Linux"))
        self.outdated = self.enter(mock.patch.object(mails, "outdated", return_value=[]))
        self.style = self.enter(mock.patch.object(checkpatch, "complaints", return_value=[]))
        self.enter(mock.patch.object(checkpatch, "unnoticed_caller", return_value=""))
        self.leftovers = self.enter(mock.patch.object(virtio, "leftovers",
                                                      return_value=""))
        self.userspace = self.enter(mock.patch.object(virtio, "userspace",
                                                      return_value=""))
        self.page = self.enter(mock.patch.object(check, "_page"))

    def check(self, *argv):
        status, out, _ = self.lab("check", *argv)
        return status, out

    def test_good(self):
        status, out = self.check()
        self.assertEqual((status, out[-1]), (PASS, "13 passed, 0 failed"))
        self.assertEqual(self.booted(), ["one", "two"])
        self.assertEqual(self.build.call_count, 1)

    def test_full(self):
        self.outcomes = {"three": (1, 0, 5)}
        status, out = self.check("--full")
        self.assertEqual((status, out[-1]), (PASS, "15 passed, 0 failed, 5 skipped"))

    def test_page(self):
        """docs/routes.md is held against the boots, and against stock with --full."""
        self.page.side_effect = PAGE
        for argv, gaps, outdated, asked, last in (
                ([], "", "", 0, (PASS, "14 passed, 0 failed")),
                ([], "a is missing", "", 0, (STYLE, "13 passed, 1 failed")),
                (["--full"], "", "", 1, (PASS, "19 passed, 0 failed")),
                (["--full"], "", "it differs", 1, (STYLE, "18 passed, 1 failed")),
                (["--full"], "a is missing", "", 0, (STYLE, "17 passed, 1 failed"))):
            with mock.patch.multiple(compare, gaps=lambda boots, said=gaps: said,
                                     outdated=mock.DEFAULT) as made:
                made["outdated"].return_value = outdated
                status, out = self.check(*argv)
            self.assertEqual((status, out[-1]), last)
            self.assertEqual(made["outdated"].call_count, asked)

    def test_style(self):
        self.style.return_value = ["a.c:1: ERROR:X: y", "another"]
        self.outdated.return_value = ["0001-x.patch"]
        self.outcomes = {"one": (1, 2)}
        status, out = self.check()
        self.assertEqual((status, out[-1]), (STYLE, "9 passed, 4 failed"))
        self.assertIn("0001-x.patch: 2 complaints, the first: a.c:1: ERROR:X: y",
                      "\n".join(out))
        self.assertIn("0001-x.patch would change", "\n".join(out))

    def test_cover_letter(self):
        (self.root / "series" / model.COVER).write_text("EDITME\n")
        self.style.side_effect = lambda mail: ["EDITME"] * (mail.name == model.COVER)
        status, out = self.check()
        self.assertEqual((status, out[-1]), (STYLE, "13 passed, 1 failed"))
        self.assertIn(f"{model.COVER}: 1 complaints, the first: EDITME", "\n".join(out))

    def test_virtio(self):
        self.leftovers.return_value = "a.h:1:DMA_ATTR_CPU_CACHE_CLEAN"
        self.userspace.return_value = "a.c:1:2: error: x"
        status, out = self.check()
        self.assertEqual((status, out[-1]), (FAILED, "11 passed, 2 failed"))
        self.assertIn("FAIL  tools/virtio builds from the series: a.c:1:2: error: x", out)

    def test_does_not_apply(self):
        trees.tree.side_effect = LabError("0001 does not apply", APPLY)
        status, out = self.check()
        self.assertEqual((status, out[-1]), (APPLY, "0 passed, 1 failed"))
        self.build.assert_not_called()

    def test_does_not_build(self):
        good = self.build.side_effect
        self.build.side_effect = lambda which, name="series": (
            good(which) if which.name == "other" else self.fail_with(BUILD))
        status, out = self.check("--full")
        self.assertEqual((status, self.booted()), (BUILD, ["three"]))
        self.assertEqual(out[-1], "10 passed, 1 failed")

    def fail_with(self, status):
        raise LabError("a.c:1: error: x", status)

    def test_hangs(self):
        """One boot that hangs does not keep the others from being made."""
        self.outcomes = {"one": (0, 0, 0, "the boot hung", True)}
        status, out = self.check()
        self.assertEqual((status, self.booted()), (BOOT, ["one", "two"]))
        self.assertIn("FAIL  one: 0 passed, 0 failed, 0 skipped: the boot hung", out)
        self.run_cell.side_effect = lambda *_: self.fail_with(BOOT)
        status, out = self.check()
        self.assertEqual((status, out[-1]), (BOOT, "7 passed, 2 failed"))

    def test_a_splat_fails_the_check(self):
        self.outcomes = {"two": (3, 0, 0, "the kernel complained: WARNING: x")}
        status, out = self.check()
        self.assertEqual((status, out[-1]), (FAILED, "13 passed, 1 failed"))

    def test_all_skipped(self):
        self.outcomes = {"two": (0, 0, 3)}
        status, out = self.check()
        self.assertEqual((status, out[-1]), (FAILED, "10 passed, 1 failed, 3 skipped"))

    def test_not_the_fault_of_the_series(self):
        for place in (self.run_cell, self.build, self.style, trees.tree):
            for status in (FETCH, ENVIRONMENT):
                place.side_effect = LabError("no", status)
                status_of_all, _, err = self.lab("check")
                self.assertEqual((status_of_all, err[-1]), (status, "lab: no"))
