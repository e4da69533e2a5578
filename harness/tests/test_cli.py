# SPDX-License-Identifier: GPL-2.0-only
"""The command line: one line for an error, one status for all."""

import contextlib
import fcntl
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

from harness import check, cli, doctor, errors, model, paths, results, ui
from harness.source import mails, trees
from harness.errors import (APPLY, BOOT, BUILD, ENVIRONMENT, FAILED, FETCH, PASS,
                            STYLE, USAGE, LabError)
from harness.tests.lab import Lab

CHECKOUT = Path(__file__).resolve().parents[2]


class Usage(Lab):
    def commands(self, parser=None):
        parser = parser or cli._parser()
        return next(action.choices for action in parser._actions if action.choices)

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
        words, command, parser = line.split(), mock.Mock(return_value=PASS), cli._parser()
        self.commands(parser)[words[0]].set_defaults(function=command)
        with mock.patch.object(cli, "_parser", return_value=parser):
            self.assertEqual(self.lab(*words), (PASS, [], []))
        return command.call_args.args[0]

    def test_options(self):
        for name in ("demo", "check", "boot c", "kunit", "compare", "bisect", "bench"):
            args = self.parsed(f"{name} -j 3 --dry-run -v")
            self.assertEqual((args.jobs, args.dry_run, args.verbose, ui.verbose),
                             (3, True, True, True))
            args = self.parsed(name)
            self.assertEqual((args.jobs, args.dry_run, args.verbose, ui.verbose),
                             (None, False, False, False))
        for line in ("demo", "check", "boot c", "kunit", "again"):
            self.assertEqual((self.parsed(f"{line} --repeat 2").repeat,
                              self.parsed(line).repeat), (2, 1))
        for line in ("boot c", "kunit", "again"):
            self.assertTrue(self.parsed(f"{line} --json").json)
            self.assertFalse(self.parsed(line).json)
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
                            ("demo --tree nosuch", ["nosuch", "stock, base, series;"]),
                            ("kunit --tree nosuch-suites", ["no tree 'nosuch-suites'"]),
                            ("demo --beside nosuch", ["no tree 'nosuch'"]),
                            ("refresh stock", ["'stock'", "base, series"]),
                            ("boot", ["cell"]), ("check one", ["one"]),
                            ("build one", ["one", "./lab list"]),
                            ("boot nosuch", ["nosuch", "./lab list"]),
                            ("kunit one nosuch", ["nosuch"]),
                            ("kunit two", ["./lab boot"]),
                            ("again", ["nothing to repeat"])):
            status, out, err = self.lab(*line.split())
            self.assertEqual((status, out, len(err)), (USAGE, [], 1), (line, err))
            self.assertTrue(err[0].startswith("lab: "))
            for word in words:
                self.assertIn(word, err[0])
        self.assertEqual((self.built(), self.boots()), ([], []))

    def test_broken_matrix(self):
        (self.root / "matrix.toml").write_text("[cell\n")
        for line in ("list", "check", "demo", "build", "boot x"):
            status, out, err = self.lab(*line.split())
            self.assertEqual((status, out, len(err)), (USAGE, [], 1), line)

    def test_status_of_an_error(self):
        for status in (FAILED, USAGE, FETCH, APPLY, STYLE, BUILD, BOOT, ENVIRONMENT):
            with mock.patch.object(check, "run", side_effect=LabError("a\nb", status)):
                self.assertEqual(self.lab("check"), (status, [], ["lab: a b"]))

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
            "  bench  count  4", "  bench  four   " + "many words " * 5 + "many",
            "kernel other (x86_64):", "  full   three  3", "kernel bare (arm64):"])
        self.assertLessEqual(max(map(len, out)), 80)
        plan = json.loads("\n".join(self.lab("list", "--json")[1]))
        self.assertEqual(plan["cells"]["three"]["kernel"], "other")
        self.assertEqual(plan["kernels"]["k"]["arch"], "x86_64")

    def cached(self, sizes):
        for name, kibibytes in sizes.items():
            where = paths.cache() / name
            where.mkdir(parents=True)
            with open(where / "file", "wb") as file:
                os.posix_fallocate(file.fileno(), 0, kibibytes << 10 or 1)

    def test_clean(self):
        self.enter(mock.patch.object(paths, "GIB", 1 << 20))
        self.cached({"trees/a/.build-k": 110, "trees/b/.build-k": 100, "results": 120, "x": 90})
        (paths.trees() / "series").mkdir()
        for size in ("0.2", "0.0"):
            self.assertEqual(self.lab("clean", "builds")[:2],
                             (PASS, [f"clean: {size} GiB freed"]))
        self.assertFalse(list(paths.cache().glob("trees/*/.build-*")))
        self.assertTrue((paths.cache() / "results/file").exists())
        self.assertEqual(self.lab("clean", "results")[1], ["clean: 0.1 GiB freed"])
        self.assertFalse(list(paths.results().iterdir()))
        with mock.patch.object(mails, "outdated", return_value=["0001-x.patch"]):
            status, _, err = self.lab("clean", "all")
            self.assertEqual(status, USAGE)
            self.assertIn("./lab refresh", err[0])
            self.assertTrue((paths.cache() / "x").exists())
        paths.replace(self.root / "mainline/mainline.toml",
                      b'[topic]\ntitle = "x"\nfor = "y"\n')
        (paths.trees() / "topic").mkdir()
        with mock.patch.object(mails, "outdated", lambda series: (
                ["0001-x.patch"] if series.name == "topic" else [])):
            status, _, err = self.lab("clean", "all")
        self.assertEqual((status, err), (USAGE, [
            "lab: the topic tree has commits that mainline/topic/ lacks: ./lab refresh "
            "topic, or ./lab tree topic --reset"]))
        with mock.patch.object(mails, "outdated", return_value=[]):
            self.assertEqual(self.lab("clean", "all")[1], ["clean: 0.1 GiB freed"])
        self.assertFalse((self.top / "cache/dma-require-coherent").exists())

    def test_clean_in_use(self):
        self.cached({"trees/stock/.build-k": 0})
        with paths.lock("other"):
            pass
        held = open(paths.cache() / "k-series.lock", "w", encoding="ascii")
        self.addCleanup(held.close)
        fcntl.flock(held, fcntl.LOCK_EX)
        print(1234, file=held, flush=True)
        for what in ("builds", "all"):
            status, out, err = self.lab("clean", what)
            self.assertEqual((status, out), (ENVIRONMENT, []))
            self.assertIn("process 1234 holds", err[0])
        self.assertTrue((paths.cache() / "trees/stock/.build-k").exists())

    def test_clean_while_a_run_is_going_on(self):
        """Its results stay, and its kernels; those of earlier runs can go."""
        old = results.new_run()
        other = subprocess.Popen(
            [sys.executable, "-c", "from harness import results\n"
             "print(results.new_run(), flush=True)\ninput()"], cwd=CHECKOUT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        new = Path(other.stdout.readline().strip())
        (new / "outcome.json").write_text("{}")
        for what in ("builds", "all"):
            status, _, err = self.lab("clean", what)
            self.assertEqual(status, ENVIRONMENT)
            self.assertIn(f"process {other.pid} holds {new}/", err[0])
        status, _, err = self.lab("clean", "results")
        self.assertEqual((status, err), (
            PASS, [f"left as it is: {new}, of a run that is going on"]))
        self.assertEqual((old.exists(), (new / "outcome.json").exists()), (False, True))
        with mock.patch.object(results, "KEEP", 0):
            results.new_run()
        self.assertTrue(new.exists())
        other.communicate("\n")
        self.lab("clean", "results")
        self.assertFalse(new.exists())

    def test_doctor(self):
        good = [("ok", "git", "2.39"), ("get", "packages: a", "missing: b")]
        for rows, status, last in (
                (good, PASS, "nothing is missing that ./lab cannot install"),
                ([*good, ("WANT", "disk", "9")], ENVIRONMENT,
                 "1 thing is missing: disk"),
                ([*good, ("WANT", "c", ""), ("WANT", "d", "")], ENVIRONMENT,
                 "2 things are missing: c, d")):
            with mock.patch.object(doctor, "rows", return_value=rows):
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

    def test_build(self):
        status, out, _ = self.lab("build", "--tree", "base")
        self.assertEqual((status, self.built()), (PASS, [("base", "k"),
                                                         ("base", "other")]))
        self.assertEqual(out[0], str(paths.build("base", "k") / "arch/x86/boot/bzImage"))

    def test_refresh(self):
        for changed, last in (([], "nothing to write"), (["a", "b"], "2 files written")):
            for argv, name in (([], "series"), (["base"], "base")):
                with mock.patch.object(mails, "refresh", return_value=changed) as made:
                    status, out, _ = self.lab("refresh", *argv)
                made.assert_called_once_with(model.SERIES[name])
                self.assertEqual((status, out[:-1]), (PASS, changed))
                self.assertIn(last, out[-1])
