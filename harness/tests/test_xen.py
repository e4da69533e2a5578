# SPDX-License-Identifier: GPL-2.0-only
"""Booting under Xen: getting the hypervisor, and the command line for QEMU."""

import gzip
import os
import shutil
import subprocess
import unittest
from unittest import mock

from harness import paths
from harness.boot import cells, kernel, qemu, xen
from harness.errors import FETCH
from harness.model import Cell, Kernel
from harness.tests import Sandbox

DEB = "xen-hypervisor-4.17-amd64_4.17.5_amd64.deb"


class Hypervisor(Sandbox):
    def setUp(self):
        super().setUp()
        os.environ.pop("XEN", None)

    def apt(self, then):
        self.program("apt-config", "")
        self.program("apt-get", f'''
            case "$*" in
            *indextargets*) echo "http://a.example/debian/|Debian|Debian|main|x|";;
            *download*) {then};;
            esac''')

    def deb(self, *content):
        top = self.top / "content"
        (top / "DEBIAN").mkdir(parents=True)
        (top / "boot").mkdir()
        (top / "DEBIAN/control").write_text(
            "Package: xen-hypervisor-4.17-amd64\nArchitecture: amd64\n"
            "Version: 4.17.5\nMaintainer: x <x@example.org>\nDescription: x\n")
        for name in content:
            (top / "boot" / name).write_bytes(gzip.compress(b"\x7fELF xen"))
        subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "-b", top,
                        self.top / DEB], check=True, stdout=subprocess.DEVNULL)
        self.apt(f'cp "{self.top / DEB}" .')

    @unittest.skipUnless(shutil.which("dpkg-deb"), "needs dpkg-deb")
    def test_fetched_once(self):
        self.deb("xen-4.17-amd64.gz", "xen-4.17-amd64.efi")
        image = xen.hypervisor()
        self.assertEqual(image.read_bytes(), b"\x7fELF xen")
        sources = paths.downloads() / "apt/sources/debian.sources"
        self.assertIn("Suites: bookworm\n", sources.read_text())
        self.apt("exit 100")
        self.assertEqual(xen.hypervisor(), image)

    @unittest.skipUnless(shutil.which("dpkg-deb"), "needs dpkg-deb")
    def test_package_without_xen(self):
        self.deb("config")
        with self.fails(FETCH, DEB, "holds no boot/xen-*.gz", "set XEN"):
            xen.hypervisor()

    def test_gone(self):
        self.apt("echo 'E: Unable to locate package xen'; exit 100")
        with self.fails(FETCH, "no longer in bookworm", "set XEN"):
            xen.hypervisor()

    def test_given(self):
        for data in (b"\x7fELF", gzip.compress(b"\x7fELF")):
            given = self.top / "given"
            given.write_bytes(data)
            os.environ["XEN"] = str(given)
            self.assertEqual(xen.hypervisor().read_bytes(), b"\x7fELF")
        given.write_bytes(gzip.compress(b"\x7fELF")[:-9])
        with self.fails(FETCH, f"XEN={given} cannot be read"):
            xen.hypervisor()


class Command(Sandbox):
    def test_command(self):
        self.program("qemu-system-x86_64", "")
        (self.top / "xen").write_bytes(b"\x7fELF")
        os.environ["XEN"] = str(self.top / "xen")
        built = kernel.Build(Kernel("k", "x86_64"), self.top, self.top / "build")
        cell = Cell("c", "", "k", memory="5G", xen=["dom0_mem=1G,max:1G"],
                    args=["swiotlb=force,track_hiwater"], devices=["edu"])
        cmd = cells.command(cell, built, self.top, ["demo=xen"], self.top / "initramfs")
        # One word of QEMU's: modules with their arguments, separated by commas.
        self.assertEqual(cmd[cmd.index("-initrd") + 1],
                         f"{built.image} console=hvc0 panic=-1 demo=xen "
                         f"swiotlb=force,,track_hiwater,{self.top / 'initramfs'}")
        self.assertEqual(cmd[cmd.index("-append") + 1],
                         " ".join([*qemu.XEN, "dom0_mem=1G,max:1G"]))
        self.assertEqual(cmd[cmd.index("-m") + 1], "5G")
        self.assertEqual(cmd[cmd.index("-kernel") + 1],
                         str(paths.downloads() / "xen"))
        self.assertNotIn("qboot.rom", cmd)
        self.assertEqual(cmd[cmd.index("-device") + 1], "edu")

    def test_console(self):
        """What kunit.py is given has one CR a line, so no empty lines."""
        self.program("qemu-system-x86_64", r"printf 'KTAP version 1\r\r\n1..1\r\r\n'")
        self.enter(mock.patch.object(xen, "hypervisor", return_value="xen"))
        built = kernel.Build(Kernel("k", "x86_64"), self.top, self.top / "build")
        built.image.parent.mkdir(parents=True)
        built.image.write_text("")
        (built.dir / ".config").write_text("")
        cell = Cell("c", "", "k", xen=["dom0_mem=1G"], suites="dma*")
        outcome = cells.run(cell, built, self.top)
        self.assertTrue(outcome.hung)
        self.assertEqual((self.top / "c/console.log").read_bytes(),
                         b"KTAP version 1\r\n1..1\r\n")
        command = (self.top / "c/command").read_text()
        self.assertIn("kunit.filter_glob=dma* kunit_shutdown=reboot", command)
