# SPDX-License-Identifier: GPL-2.0-only
"""The command line: one line for an error, one status for all."""

import contextlib
import io
import os
import subprocess
from pathlib import Path
from unittest import mock

from harness import check, cli, errors, packages, ui
from harness.source import mails, trees
from harness.errors import (APPLY, BOOT, BUILD, ENVIRONMENT, FAILED, FETCH, INTERRUPTED,
                            PASS, STYLE, USAGE, LabError)
from harness.tests.lab import Lab

CHECKOUT = Path(__file__).resolve().parents[2]


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

    def test_help_names_all(self):
        text = cli._parser().format_help()
        for name in self.commands():
            self.assertIn(f"    {name} ", text)
        for name, status in vars(errors).items():
            if isinstance(status, int):
                self.assertIn(f"{status} ", text, name)

    def test_errors(self):
        for line, words in (("", ["COMMAND"]), ("frobnicate", ["frobnicate"]),
                            ("check --fast", ["--fast"]), ("--fast", []),
                            ("demo --tree mainline", ["mainline", "./lab demo --help"]),
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
        self.assertIn("kernel k: x86_64", done.stdout)
        self.assertNotIn("\033", done.stdout)
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run([CHECKOUT / "lab", "list"], env=env, text=True,
                              stdout=write, stderr=subprocess.PIPE)
        os.close(write)
        self.assertEqual((done.returncode, done.stderr), (FAILED, ""))

    def test_steps_without_a_terminal(self):
        with mock.patch.dict(os.environ, TERM="xterm-256color"):
            with contextlib.redirect_stderr(io.StringIO()) as err, ui.step("work"):
                ui.note("said")
        self.assertRegex(err.getvalue(), r"\Asaid\nwork \.\.\. 0\.\d s\n\Z")


class Commands(Lab):
    def test_list(self):
        status, out, err = self.lab("list")
        self.assertEqual((status, err), (PASS, []))
        self.assertEqual(len(out), 6)
        self.assertNotIn("--full", out[2])
        self.assertIn("(--full)", out[4])

    def test_doctor(self):
        for good, status, last in ((True, PASS, "everything is there"),
                                   (False, ENVIRONMENT, "1 things are wanted")):
            rows = [("git", True, "2.39"), ("disk", good, "9 GiB free")]
            with mock.patch.object(packages, "doctor", return_value=rows):
                found, out, _ = self.lab("doctor")
            self.assertEqual(found, status)
            self.assertIn(last, out[-1])
            self.assertEqual(out[1][:4], "ok  " if good else "WANT")

    def test_refresh(self):
        for changed, last in (([], "nothing to write"), (["a", "b"], "2 files written")):
            with mock.patch.object(trees, "tree"):
                with mock.patch.object(mails, "refresh", return_value=changed):
                    status, out, _ = self.lab("refresh")
            self.assertEqual((status, out[:-1]), (PASS, changed))
            self.assertIn(last, out[-1])
