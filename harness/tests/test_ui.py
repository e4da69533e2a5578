# SPDX-License-Identifier: GPL-2.0-only
"""Progress is seen with and without a terminal, and never on stdout."""

import contextlib
import io
import os
import re
import time
from unittest import mock

from harness import process, ui
from harness.tests import Sandbox


class Step(Sandbox):
    def setUp(self):
        super().setUp()
        self.out = self.enter(contextlib.redirect_stdout(io.StringIO()))

    def said(self):
        """stderr, with all times as T."""
        self.assertEqual(self.out.getvalue(), "")
        return re.sub(r"(\d+ min )?\d[\d.]* s\b", "T", self.stderr.getvalue())

    def until(self, text):
        deadline = time.monotonic() + 5
        while text not in self.stderr.getvalue() and time.monotonic() < deadline:
            time.sleep(0.001)

    def test_begin_and_end(self):
        with mock.patch.dict(os.environ, TERM="xterm-256color"):
            with ui.step("work"):
                self.assertEqual(self.said(), "work ...\n")
                ui.note("said")
            with self.assertRaises(ValueError), ui.step("fail", 2, 3):
                raise ValueError
        self.assertEqual(self.said(), "work ...\nsaid\nwork ... T (T in all)\n"
                         "2 of 3: fail ...\n"
                         "2 of 3: fail ... stopped after T (T in all)\n")

    def test_signs_of_life(self):
        self.assertLessEqual(ui._QUIET, 30)
        with mock.patch.object(ui, "_QUIET", 0.001), ui.step("work", 1, 2):
            self.until("so far")
        self.assertIn("1 of 2: work ... T so far\n", self.said())

    def test_terminal(self):
        """One line that counts, which others that are printed do not mix with."""
        with mock.patch.object(ui, "_live", return_value=True), \
                mock.patch.object(ui, "_LIVE", 0.001), ui.step("work"):
            self.until("so far")
            with ui._write:
                ui.note("said")
        self.assertRegex(self.said(), r"\A(\r\033\[Kwork \.\.\.( T so far)?)+"
                         r"\r\033\[Ksaid\n"
                         r"(\r\033\[Kwork \.\.\. T so far)*"
                         r"\r\033\[Kwork \.\.\. T \(T in all\)\n\Z")

    def test_commands(self):
        process.run(["true"])
        with mock.patch.object(ui, "verbose", True):
            process.run(["true", "a b"])
        self.assertEqual(self.said(), "$ true 'a b'\n")

    def test_seconds(self):
        self.assertEqual([ui.seconds(n) for n in (0.44, 9.96, 12.3, 119, 200)],
                         ["0.4 s", "10 s", "12 s", "119 s", "3 min 20 s"])
