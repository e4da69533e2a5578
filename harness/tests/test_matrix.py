# SPDX-License-Identifier: GPL-2.0-only
"""matrix.toml: what makes no sense is named, and ours makes sense."""

import unittest

from harness import model, paths
from harness.errors import USAGE
from harness.tests import Sandbox

GOOD = '''
[kernel.x86_64]
arch = "x86_64"
fragments = ["slim"]

[cell.plain]
what = "a"
kernel = "x86_64"
suites = "dma*"

[cell.demo-plain]
what = "b"
kernel = "x86_64"
memory = "5G"
demo = "plain"
quick = true

[cell.demo-force]
what = "c"
kernel = "x86_64"
demo = "force"
'''


class Matrix(Sandbox):
    def setUp(self):
        super().setUp()
        (self.root / "configs").mkdir()
        (self.root / "configs/slim.config").write_text("")

    def load(self, old="", new=""):
        self.assertIn(old, GOOD)
        (self.root / "matrix.toml").write_text(GOOD.replace(old, new, 1))
        return model.load()

    def refused(self, old, new, *words):
        with self.fails(USAGE, "matrix.toml", *words):
            self.load(old, new)

    def test_good(self):
        plan = self.load()
        cell = plan.cells["demo-plain"]
        self.assertEqual((cell.memory, cell.demo, cell.suites, cell.quick, cell.args),
                         ("5G", "plain", "", True, []))
        self.assertEqual(plan.cells["plain"].memory, "1G")
        self.assertEqual(plan.kernel_of(cell).configs(),
                         [self.root / "configs/slim.config"])

    def test_what_is_not_there(self):
        self.refused('arch = "x86_64"', 'arch = "vax"', "kernel.x86_64", "x86_64")
        self.refused('kernel = "x86_64"', 'kernel = "riscv"', "cell.plain",
                     "no kernel.riscv")
        self.refused('["slim"]', '["slim", "fat"]', "kernel.x86_64", "configs/fat.config")
        self.refused('arch = "x86_64"', 'arch = "x86_64"\ncompiler = "tcc"', "kernel.x86_64",
                     "compiler is one of clang-19")
        self.refused('what = "a"', 'what = "a"\noverlay = "none"', "cell.plain",
                     "configs/none.dtso")

    def test_keys(self):
        self.refused('what = "b"', 'what = "b"\ncolour = 1', "cell.demo-plain", "colour")
        self.refused('arch =', 'size = 1\narch =', "kernel.x86_64", "size")
        self.refused('what = "c"\n', '', "cell.demo-force", "missing: what")

    def test_types(self):
        for old, new, *words in (
                ('what = "b"', 'what = ["b"]', "cell.demo-plain: what is a string"),
                ('memory = "5G"', 'memory = 1', "memory is a string, not 1"),
                ('memory = "5G"', 'memory = "lots"', "demo-plain", "512M or 5G"),
                ('memory = "5G"', 'timeout = "9"', "timeout is a whole number"),
                ('memory = "5G"', 'timeout = true', "timeout is a whole number"),
                ('memory = "5G"', 'timeout = 0', "demo-plain", "timeout above 0"),
                ('memory = "5G"', 'args = "swiotlb=force"',
                 "args is a list of strings, not 'swiotlb=force'"),
                ('memory = "5G"', 'args = ["a", 1]', "args is a list of strings"),
                ('quick = true', 'quick = "no"', "quick is true or false, not 'no'"),
                ('quick = true', 'quick = 0', "quick is true or false"),
                ('"dma*"', '["dma*"]', "cell.plain: suites is a string"),
                ('["slim"]', '"slim"', "kernel.x86_64: fragments is a list of strings"),
                ('["slim"]', '[]\nalone = 1', "kernel.x86_64: alone is true or false"),
                ('what = "c"', 'name = "c"', "cell.demo-force: name is none of"),
                ('[cell.plain]', '[cell]\nx = 1\n[cell.plain]', "cell.x: not a table"),
                ('[kernel.x86_64]', 'cell = 1\n[kernel.x86_64]', "")):
            with self.subTest(new):
                self.refused(old, new, *words)

    def test_one_purpose(self):
        both = 'suites = "dma*"\ndemo = "plain"'
        for text in (both, both.replace("demo", "bench"), "", 'demo = "unheard-of"'):
            self.refused('suites = "dma*"', text, "cell.plain",
                         "either suites, bench or demo")
        self.refused('what = "c"', 'what = "c"\nmodules = true', "demo-force", "for suites")
        self.refused('arch = "x86_64"', 'arch = "um"', "demo-plain", "for suites")

    def test_pick(self):
        plan = self.load()

        def names(*patterns):
            return [cell.name for cell in plan.pick(patterns)]
        self.assertEqual(names("demo-force", "pl*"), ["plain", "demo-force"])
        self.assertEqual(names("*plain", "plain"), ["plain", "demo-plain"])
        for unknown in ("force", "arm64*"):
            with self.fails(USAGE, unknown, "./lab list"):
                names("plain", unknown)


class Ours(unittest.TestCase):
    def test_ours(self):
        plan = model.load()
        self.assertTrue(any(cell.quick and cell.suites for cell in plan.cells.values()))
        demos = {cell.demo for cell in plan.cells.values() if cell.demo}
        self.assertEqual(demos, set(model.DEMOS) - {"shell"})
        text = (paths.ROOT / "guest/demo.c").read_text(encoding="utf-8")
        for name in demos:
            self.assertRegex(text, f'"{name}"[,)]')
