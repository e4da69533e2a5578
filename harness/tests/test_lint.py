# SPDX-License-Identifier: GPL-2.0-only
"""The linters see what is wrong in a harness, and a linter that fails is no silence."""

import shutil
import subprocess
import unittest
from pathlib import Path
from unittest import mock

from harness.gates import lint
from harness.tests import Sandbox

HERE = Path(__file__).resolve().parents[1]


class Complaints(Sandbox):
    def setUp(self):
        super().setUp()
        (self.root / "harness/gates").mkdir(parents=True)
        (self.root / "harness/__init__.py").write_text("")
        shutil.copy(HERE / "gates/mypy.ini", self.root / "harness/gates")

    def test_real(self):
        for module in ("pyflakes", "mypy"):
            if subprocess.run([lint.PYTHON, "-c", f"import {module}"], check=False,
                              stderr=subprocess.DEVNULL).returncode:
                raise unittest.SkipTest(f"there is no {module}")
        (self.root / "harness/x.py").write_text(
            "import os\n\n\ndef f():\n    text: str = 1 + 1\n    return text\n")
        unused, wrong = lint.complaints()
        self.assertIn("harness/x.py:1", unused)
        self.assertIn("'os' imported but unused", unused)
        self.assertIn("harness/x.py:5: error: Incompatible types", wrong)
        self.need.assert_called_with("style")

    def test_linter_that_fails(self):
        broken = self.program("broken", "exit 3")
        with mock.patch.object(lint, "PYTHON", broken):
            self.assertEqual(lint.complaints(), ["pyflakes failed", "mypy failed"])
