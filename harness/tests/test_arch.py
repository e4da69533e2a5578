# SPDX-License-Identifier: GPL-2.0-only
"""What differs between architectures, and the machine that a cell asks for."""

import os
import sys
import unittest
from types import SimpleNamespace
from unittest import mock

from harness import model, paths, process
from harness.boot import kernel, qemu
from harness.model import ARCHES
from harness.errors import ENVIRONMENT, FAILED
from harness.tests import Sandbox


def host(machine):
    """Pretend to run on a `machine`."""
    return mock.patch("os.uname", return_value=SimpleNamespace(machine=machine))


class Arches(Sandbox):
    def test_at_home_and_abroad(self):
        arm, arm_kernel = ARCHES["arm64"], model.Kernel("k", "arm64")
        with host("aarch64"):
            self.assertEqual((arm.compiler, [*arm.packages()]),
                             ("gcc", ["qemu-system-arm"]))
            self.assertEqual(kernel.make_options(arm_kernel), ["CC=ccache-c gcc"])
        with host("x86_64"):
            self.assertEqual(kernel.make_options(arm_kernel),
                             ["CC=ccache-c aarch64-linux-gnu-gcc"])
            self.assertEqual([*arm.packages()], [
                "qemu-system-arm", "gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"])
        arm_kernel.compiler = "clang-19"
        self.assertEqual(kernel.make_options(arm_kernel), ["CC=ccache-c clang-19"])
        with host("aarch64"):
            self.assertEqual([*ARCHES["x86_64"].packages()][1:],
                             ["gcc-x86-64-linux-gnu", "libc6-dev-amd64-cross"])

    def test_another(self):
        """i386 has four names: of make, of uname, of the compiler and of QEMU."""
        i386 = ARCHES["i386"]
        with host("x86_64"):
            self.assertEqual(i386.packages(), {
                "qemu-system-x86": "qemu-system-i386",
                "gcc-i686-linux-gnu": "i686-linux-gnu-gcc", "libc6-dev-i386-cross": ""})
            self.assertEqual(qemu.command("i386", "bzImage")[0], "qemu-system-i386")
        with host("i686"):
            self.assertEqual(i386.compiler, "gcc")

    def test_packages_of_other_names(self):
        """Alpha's C library, and what kunit.py wants to see before it compiles."""
        self.assertIn("libc6.1-dev-alpha-cross", ARCHES["alpha"].packages())
        for machine in ("x86_64", "riscv64"):
            with host(machine):
                self.assertIn("qemu-system-data", ARCHES["riscv"].packages())


class Kunit(unittest.TestCase):
    def test_as_in_the_kernel(self):
        """What kunit.py knows of an architecture in the trees that are there."""
        # Not one that wants to see a firmware which is not here.
        emulated = [arch for arch in ARCHES.values() if arch.qemu and all(
            os.path.exists(word) for word in arch.options if word.startswith("/"))]
        # One of those that are the same.
        trees = {tuple((tree / f"{arch.name}.py").read_text() for arch in emulated): tree
                 for tree in paths.trees().glob("*/tools/testing/kunit/qemu_configs")}
        if not trees:
            self.skipTest("there is no kernel tree yet")
        for tree in trees.values():
            text = process.run(
                [sys.executable, "-B", "-c", "".join(
                    f"from kunit.qemu_configs.{arch.name} import QEMU_ARCH as it\n"
                    "print(it.qemu_arch, it.kernel_path, it.kernel_command_line,"
                    "*it.extra_qemu_params)\n" for arch in emulated)],
                env={"PYTHONPATH": tree.parents[1]}, check_status=FAILED).stdout
            self.assertEqual(text.count("\n"), len(emulated), tree)
            for arch, line in zip(emulated, text.splitlines()):
                machine, image, *rest = line.replace(" kunit_shutdown=poweroff",
                                                     "").split()
                self.assertEqual(
                    (f"qemu-system-{machine}", image.removesuffix(".gz"), rest),
                    (arch.qemu, arch.image, [arch.console, *arch.options]), tree)


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
        self.assertEqual(self.made(cpu="qemu64", devices=["iommu", "edu"],
                                   options=["-netdev", "user,id=net"]),
                         ["-m", "1G", "-cpu", "qemu64", "-device", "iommu",
                          "-device", "edu", "-netdev", "user,id=net"])
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

    def test_overlay_does_not_fit(self):
        self.program("fdtoverlay", "echo 'no such target'; exit 1")
        with self.fails(ENVIRONMENT, "device tree of cell"):
            self.made(overlay="pool")
