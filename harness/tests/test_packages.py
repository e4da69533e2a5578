# SPDX-License-Identifier: GPL-2.0-only
"""Missing packages are installed where that is possible, and named where not."""

import os
from unittest import mock

from harness import doctor, model, packages, paths, toml
from harness.errors import ENVIRONMENT, USAGE
from harness.tests import Sandbox

NEED = packages.need


class Need(Sandbox):
    def setUp(self):
        super().setUp()
        packages._updated = False
        (self.root / "matrix.toml").write_text(
            "[kernel.k]\narch = 'arm64'\n[kernel.compiled]\narch = 'sparc64'\n"
            "[cell.c]\nkernel = 'k'\nwhat = ''\nsuites = '*'\n")
        self.installed("git xz-utils dpkg apt")
        self.program("apt-get", f'echo "$DEBIAN_FRONTEND $@" >> {self.top}/apt')
        self.program("sudo", "exit 1")

    def installed(self, names):
        self.program("dpkg-query", "\n".join(
            f"echo 'installed {name}'" for name in names.split())
            + "\necho 'config-files bc'\nexit 1")

    def user(self, uid):
        self.enter(mock.patch("os.geteuid", return_value=uid))

    def test_nothing_missing(self):
        self.installed("git xz-utils dpkg apt ca-certificates")
        NEED("source")
        self.assertFalse((self.top / "apt").exists())

    def test_root_installs(self):
        self.user(0)
        NEED("source", "guest")
        NEED("source")
        update, install, again = (self.top / "apt").read_text().splitlines()
        self.assertIn("update", update)
        self.assertIn("noninteractive", install)
        self.assertTrue(install.endswith("install -y --no-install-recommends "
                                         "ca-certificates libc6-dev busybox-static"))
        self.assertTrue(again.endswith("ca-certificates"))
        said = self.stderr.getvalue().splitlines()[0]
        for word in ("ca-certificates libc6-dev busybox-static", "source, guest",
                     "LAB_INSTALL=no"):
            self.assertIn(word, said)

    def test_forbidden(self):
        self.user(0)
        with mock.patch.dict(os.environ, LAB_INSTALL="no"):
            with self.fails(ENVIRONMENT, "LAB_INSTALL=no",
                            "sudo apt-get install ca-certificates"):
                NEED("source")
            self.assertEqual(self.doctor()["packages: source"][0], "WANT")
        self.assertFalse((self.top / "apt").exists())

    def test_sudo_that_asks_nothing(self):
        self.user(1000)
        self.program("sudo", 'shift; exec "$@"')
        NEED("source")
        self.assertIn("ca-certificates", (self.top / "apt").read_text())

    def test_user_is_told(self):
        self.user(1000)
        with self.fails(ENVIRONMENT, "sudo apt-get install ca-certificates libc6-dev"):
            NEED("source", "guest")
        self.assertFalse((self.top / "apt").exists())

    def test_installation_fails(self):
        self.user(0)
        self.program("apt-get", "echo 'E: Unable to fetch some archives'; exit 100")
        with self.fails(ENVIRONMENT, "sudo apt-get install ca-certificates",
                        "Unable to fetch", paths.cache() / "install.log"):
            NEED("source")

    def test_no_dpkg(self):
        os.environ["PATH"] = str(self.bin)
        (self.bin / "dpkg-query").unlink()
        for name in ("gcc", "make", "flex"):
            self.program(name, "")
        with self.fails(ENVIRONMENT, "missing: bison bc ccache depmod"):
            NEED("build")

    def doctor(self):
        return {name: (verdict, remark) for verdict, name, remark in doctor.rows()}

    def test_doctor(self):
        self.user(0)
        rows = self.doctor()
        self.assertEqual(rows["packages: source"], (
            "get", "missing: ca-certificates; installed when first needed"))
        for name in ("python", "git", "cache", "cores"):
            self.assertEqual(rows[name][0], "ok")
        self.assertRegex(rows["cache"][1], r"^0\.0 GiB in /")
        self.assertEqual([name for name in rows if name.startswith("packages: ")], [
            f"packages: {name}" for name in ("source", "build", "arm64", "sparc64",
                                             "qemu-arm64", "style")
            if packages.GROUPS[name]])  # a compiler of its own, say

    def test_doctor_who_cannot_help(self):
        self.user(1000)
        with mock.patch.object(paths, "free", return_value=4 * paths.GIB), \
                mock.patch.object(packages, "memory", return_value=2):
            rows = self.doctor()
        self.assertEqual({name for name, row in rows.items() if row[0] == "WANT"}
                         & {"packages: source", "disk", "memory"},
                         {"packages: source", "disk", "memory"})
        with mock.patch.object(paths, "free", return_value=4 * paths.GIB), \
                mock.patch.object(paths, "size", return_value=9 * paths.GIB):
            self.assertEqual(self.doctor()["disk"][0], "ok")

    def test_accelerator(self):
        """As boot.qemu.accelerator() writes it down; of an earlier boot it is void."""
        self.program(next(arch.qemu for arch in model.ARCHES.values() if arch.native),
                     "echo QEMU 7")
        known = paths.cache() / "accelerator.json"
        host = open("/proc/sys/kernel/random/boot_id", encoding="ascii").read().strip()
        for kept, said in (("", "not tried yet"), ('{"%s QEMU 7": "kvm"}', "KVM boots"),
                           ('{"%s QEMU 7": "tcg"}', "hangs: TCG"),
                           ('{"another-%s QEMU 7": "tcg"}', "not tried yet"),
                           ('{"%s QEMU 6": "tcg"}', "not tried yet")):
            known.write_text(kept.replace("%s", host))
            with mock.patch("os.access", return_value=True):
                self.assertIn(said, self.doctor()["accelerator"][1])
        with mock.patch("os.access", side_effect=lambda name, _: name != "/dev/kvm"):
            self.assertIn("no /dev/kvm", self.doctor()["accelerator"][1])

    def test_for_cells(self):
        kernels = {name: model.Kernel(name, name) for name in model.ARCHES}
        plan = model.Matrix(kernels, {})

        def groups(kernel, **cell):
            return packages.for_cells([model.Cell("c", "", kernel, **cell)], plan)
        self.assertEqual(groups("arm64", suites="*"),
                         ("source", "build", "arm64", "qemu-arm64"))
        self.assertEqual(groups("arm64", suites="*", overlay="pool")[4:], ("overlay",))
        self.assertEqual(groups("x86_64", demo="plain")[4:], ("guest",))
        self.assertEqual(groups("x86_64", bench="*")[4:], ("guest",))
        self.assertEqual(groups("x86_64", suites="*", modules=True)[4:], ("guest",))
        self.assertEqual(groups("um", suites="*"), ("source", "build", "um"))
        kernels["arm64"].compiler = "clang-19"
        self.assertEqual(groups("arm64")[2:], ("arm64", "clang-19", "qemu-arm64"))
        self.assertTrue({*packages.GROUPS} > {*groups("arm64", demo="x", overlay="y")})

    def test_kernel_that_is_only_compiled(self):
        """It needs a compiler and no QEMU."""
        self.assertIn("gcc-sparc64-linux-gnu", packages.GROUPS["sparc64"])
        self.assertEqual(packages.GROUPS["um"], {})         # nor does it need one
        for arch in filter(lambda arch: arch.qemu, model.ARCHES.values()):
            self.assertNotIn(arch.emulator, packages.GROUPS[arch.name])
            self.assertEqual([*packages.GROUPS[f"qemu-{arch.name}"]], [arch.emulator])

    def test_jobs(self):
        cells = [model.Cell("c", "", "k", memory=memory) for memory in ("512M", "5G")]
        self.assertEqual([cell.mebibytes for cell in cells], [512, 5120])
        with mock.patch("os.sched_getaffinity", return_value=range(4)):
            for memory, jobs, programs in ((1, 1, 1), (11, 2, 4), (100, 5, 4)):
                with mock.patch.object(packages, "memory", return_value=memory):
                    self.assertEqual(packages.jobs(cells), jobs)
                    self.assertEqual(packages.jobs(), programs)


class Toml(Sandbox):
    def test_broken(self):
        path = self.top / "x.toml"
        path.write_text("a = 1\nb =\n")
        with self.fails(USAGE, path, "line 2"):
            toml.load(path)
        with self.fails(USAGE, "No such file"):
            toml.load(self.top / "none.toml")

    def test_no_parser(self):
        with mock.patch.dict("sys.modules", tomllib=None, tomli=None):
            with self.fails(ENVIRONMENT, "Python 3.11", "python3-tomli"):
                toml.load(self.top / "x.toml")
