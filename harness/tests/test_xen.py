# SPDX-License-Identifier: GPL-2.0-only
"""Booting under Xen: getting the hypervisor, and the command line for QEMU."""

import gzip
import os
import shutil
import subprocess
import unittest

from harness import paths
from harness.boot import xen
from harness.errors import BOOT, FETCH, PASS
from harness.tests import Sandbox
from harness.tests.lab import Lab, option

DEB = "xen-hypervisor-4.17-amd64_4.17.5_amd64.deb"


class Hypervisor(Sandbox):
    def setUp(self):
        super().setUp()
        os.environ.pop("XEN", None)

    def apt(self, then):
        self.program("apt-get", f'''
            case "$*" in
            *indextargets*) echo "Debian|Debian|http://a.example/debian/";;
            *--print-uris*) echo "'http://x/' {DEB} 1 SHA256:0";;
            *" download "*) {then};;
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
        sources = paths.downloads() / "apt/sources.list"
        self.assertIn("/debian/ bookworm main\n", sources.read_text())
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


class Boot(Lab):
    """A cell that boots as dom0."""

    MATRIX = """
[kernel.k]
arch = "x86_64"
[cell.one]
what = ""
kernel = "k"
memory = "5G"
xen = ["dom0_mem=1G,max:1G"]
args = ["cell=one", "swiotlb=force,track_hiwater"]
devices = ["edu"]
suites = "dma*"
[cell.two]
what = ""
kernel = "k"
xen = ["dom0_mem=1G"]
args = ["cell=two"]
demo = "xen"
"""

    def setUp(self):
        super().setUp()
        (self.top / "xen").write_bytes(b"\x7fELF")
        os.environ["XEN"] = str(self.top / "xen")

    def test_command(self):
        self.assertEqual(self.lab("boot", "one")[0], PASS)
        argv, = self.boots()
        image = paths.build("series", "k") / "arch/x86/boot/bzImage"
        # One word of QEMU's: modules with their arguments, separated by commas.
        self.assertEqual(option(argv, "-initrd"),
                         f"{image} console=hvc0 panic=-1 kunit.filter_glob=dma* "
                         "kunit_shutdown=reboot cell=one swiotlb=force,,track_hiwater")
        for name, value in (("-append", "com1=115200,8n1 console=com1 loglvl=error "
                             "guest_loglvl=error dom0_mem=1G,max:1G"), ("-m", "5G"),
                            ("-kernel", str(paths.downloads() / "xen")),
                            ("-device", "edu"), ("-accel", "tcg"), ("-cpu", "qemu64")):
            self.assertEqual(option(argv, name), value)
        self.assertNotIn("qboot.rom", argv)
        self.lab("boot", "two")
        argv, = self.boots()
        self.assertTrue(option(argv, "-initrd").endswith(
            f"demo=xen cell=two,{paths.build('series', 'k')}/guest/initramfs.cpio"))

    def test_console(self):
        """What kunit.py is given has one CR a line, so no empty lines."""
        self.console("one", "KTAP version 1\r\r\n1..1\r\r\n")
        self.assertEqual(self.lab("boot", "one")[0], BOOT)
        console, = paths.results().glob("*/one/console.log")
        self.assertEqual(console.read_bytes(), b"KTAP version 1\r\n1..1\r\n")

    def test_no_xen(self):
        """It fails what needs it, and says what to do."""
        (self.top / "xen").unlink()
        status, out, _ = self.lab("boot", "one")
        self.assertEqual((status, "XEN=" in out[0]), (FETCH, True))
