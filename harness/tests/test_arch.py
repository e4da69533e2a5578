# SPDX-License-Identifier: GPL-2.0-only
"""What differs between architectures, and the machine that a cell asks for."""

import os
import unittest
from types import SimpleNamespace
from unittest import mock

from harness import model, packages
from harness.boot import kernel, qemu
from harness.model import ARCHES
from harness.errors import ENVIRONMENT, USAGE
from harness.tests import Sandbox


def host(machine):
    """Pretend to run on a `machine`."""
    return mock.patch("os.uname", return_value=SimpleNamespace(machine=machine))


class Arches(unittest.TestCase):
    def test_at_home(self):
        with host("aarch64"):
            arm = ARCHES["arm64"]
            self.assertEqual((arm.compiler, arm.packages()), ("gcc", ["qemu-system-arm"]))
            self.assertEqual(kernel.make_options(arm), ["CC=ccache gcc"])

    def test_abroad(self):
        with host("x86_64"):
            arm = ARCHES["arm64"]
            self.assertEqual(kernel.make_options(arm),
                             ["CC=ccache aarch64-linux-gnu-gcc"])
            self.assertEqual(arm.packages(), ["qemu-system-arm", "gcc-aarch64-linux-gnu",
                                              "libc6-dev-arm64-cross"])
        with host("aarch64"):
            self.assertEqual(ARCHES["x86_64"].packages()[1:],
                             ["gcc-x86-64-linux-gnu", "libc6-dev-amd64-cross"])

    def test_each_has_its_packages(self):
        for arch in ARCHES.values():
            self.assertIn(arch.name, packages.GROUPS)
            self.assertIn(arch.qemu, packages.PROGRAMS)


class Hardware(Sandbox):
    def setUp(self):
        super().setUp()
        (self.root / "configs").mkdir()
        (self.root / "configs/pool.dtso").write_text("")
        for name in ("qemu-system-aarch64", "dtc", "fdtoverlay"):
            self.program(name, f'echo "{name} $@" >> {self.top}/ran')
        self.built = kernel.Build(model.Kernel("k", "arm64"), self.top, self.top)

    def made(self, **cell):
        return qemu.hardware(model.Cell("cell", "", "k", **cell), self.built, self.top)

    def test_machine_and_devices(self):
        self.assertEqual(self.made(memory="5G", machine="iommu=smmuv3", devices=["edu"]),
                         ["-m", "5G", "-machine", "iommu=smmuv3", "-device", "edu"])
        self.assertEqual(self.made(cpu="qemu64", devices=["iommu", "edu"]),
                         ["-m", "1G", "-cpu", "qemu64", "-device", "iommu",
                          "-device", "edu"])
        self.assertFalse((self.top / "ran").exists())

    def test_overlay(self):
        self.assertEqual(self.made(overlay="pool", machine="a=b"),
                         ["-m", "1G", "-machine", "a=b",
                          "-dtb", os.fspath(self.top / "machine.dtb")])
        dump, compile_, apply = (self.top / "ran").read_text().splitlines()
        for word in ("-machine virt", "-m 1G", "-machine a=b", "dumpdtb="):
            self.assertIn(word, dump)
        self.assertIn("configs/pool.dtso", compile_)
        self.assertIn("machine.dtb", apply)
        self.need.assert_called_with("overlay")

    def test_overlay_does_not_fit(self):
        self.program("fdtoverlay", "echo 'no such target'; exit 1")
        with self.fails(ENVIRONMENT, "device tree of cell"):
            self.made(overlay="pool")

    def test_no_such_overlay(self):
        (self.root / "matrix.toml").write_text(
            '[kernel.k]\narch = "arm64"\n'
            '[cell.c]\nwhat = "a"\nkernel = "k"\nsuites = "s"\noverlay = "none"\n')
        with self.fails(USAGE, "cell.c", "configs/none.dtso"):
            model.load()


if __name__ == "__main__":
    unittest.main()
