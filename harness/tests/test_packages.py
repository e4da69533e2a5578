# SPDX-License-Identifier: GPL-2.0-only
"""Missing packages are installed where that is possible, and named where not."""

import os
from unittest import mock

from harness import packages, paths, toml, ui
from harness.errors import ENVIRONMENT, LabError, USAGE
from harness.tests import Sandbox

NEED = packages.need


class Need(Sandbox):
    def setUp(self):
        super().setUp()
        packages._updated = False
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

    def test_unknown_group(self):
        with self.assertRaises(LabError):
            packages.missing("arm32")

    def test_doctor(self):
        rows = {name: (ok, remark) for name, ok, remark in packages.doctor()}
        self.assertEqual(rows["packages: source"],
                         (False, "missing: ca-certificates"))
        for name in ("python", "git", "cache", "disk", "cores", "memory", "/dev/kvm"):
            self.assertIn(name, rows)


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


class Ui(Sandbox):
    def test_step_without_terminal(self):
        with ui.step("work"):
            pass
        with self.assertRaises(ValueError), ui.step("fail"):
            raise ValueError
        self.assertEqual(self.stderr.getvalue(),
                         "work ... 0.0 s\nfail ... stopped after 0.0 s\n")

    def test_seconds(self):
        self.assertEqual([ui.seconds(n) for n in (0.44, 9.96, 12.3, 119, 200)],
                         ["0.4 s", "10 s", "12 s", "119 s", "3 min 20 s"])
