# SPDX-License-Identifier: GPL-2.0-only
"""Where the stock kernel comes from, and what is not accepted as one."""

import hashlib
import os
import re
import shutil
import subprocess
import unittest
from unittest import mock

from harness import paths, process
from harness.source import fetch, trees
from harness.errors import APPLY, ENVIRONMENT, FETCH, USAGE
from harness.tests import BASE_TOML, DIRECT, FILES, HMM, Sandbox, edited

DEB = "linux-source-7.3_7.3.4-1~bpo13+1_all.deb"
VERSION = "7.3.4-1~bpo13+1"


def flip(path, where):
    """Alter one byte of a file."""
    data = bytearray(path.read_bytes())
    data[where] ^= 0x55
    path.write_bytes(data)


class Tarball(Sandbox):
    def use(self, path):
        os.environ["LINUX_TARBALL"] = str(path)

    def nothing_left(self):
        self.assertEqual([p.name for p in paths.trees().iterdir()], [])

    def test_good(self):
        self.use(self.kernel())
        src = fetch.ensure_stock()
        self.assertEqual((src.version, src.origin), ("7.3.4", "linux-7.3.4.tar.xz"))
        self.assertTrue((src.unpacked / "Makefile").exists())

    def test_truncated_and_altered(self):
        for spoil in (os.truncate, flip):
            path = self.kernel(**{"drivers/big.c": os.urandom(200000).hex()})
            spoil(path, path.stat().st_size // 2)
            self.use(path)
            with self.fails(FETCH, path, "truncated or altered"):
                fetch.ensure_stock()
            self.nothing_left()

    def test_no_kernel_of_the_series(self):
        for path, *words in ((self.kernel("7.2.9"), "7.2.9, not 7.3.N", "LINUX_TREE"),
                             (self.kernel(Makefile="all:\n"), "no kernel"),
                             ("/nonexistent/x", "/nonexistent/x is not a file")):
            self.use(path)
            with self.fails(FETCH, *words):
                fetch.ensure_stock()

    def test_interrupted_unpacking_is_not_taken_for_whole(self):
        self.use(self.kernel())
        (paths.trees() / "stock.partial").mkdir()
        (paths.trees() / "stock.partial" / "rubbish").write_text("of one that was killed")
        self.program("tar", 'exec /bin/tar "$@" --exclude=Makefile; kill -9 $$')
        with self.fails(FETCH):
            fetch.ensure_stock()
        self.nothing_left()
        with self.fails(FETCH, "no kernel source yet", "./lab tree stock"):
            fetch.current()
        (self.bin / "tar").unlink()
        (paths.trees() / "stock.partial").mkdir()
        (paths.trees() / "stock.partial" / "rubbish").write_text("of one that was killed")
        self.assertFalse((fetch.ensure_stock().unpacked / "rubbish").exists())

    def test_no_room(self):
        self.use(self.kernel())
        with mock.patch.object(paths, "want_free", side_effect=paths.full("/the/cache")):
            with self.fails(ENVIRONMENT, "/the/cache", "GiB free"):
                fetch.ensure_stock()

    def test_disk_fills_up(self):
        self.use(self.kernel())
        self.program("tar", 'echo "tar: x: Cannot write: No space left on device" >&2\n'
                            "exit 2")
        with self.fails(ENVIRONMENT, "no space left", "GiB free"):
            fetch.ensure_stock()
        self.nothing_left()


class Tree(Sandbox):
    def repository(self, *tags):
        where = self.top / "linux"
        where.mkdir()
        for name, text in FILES.items():
            (where / name).parent.mkdir(parents=True, exist_ok=True)
            (where / name).write_text(text)
        process.git("init", "-q", cwd=where)
        for tag in tags:
            (where / "Makefile").write_text(
                "VERSION = {}\nPATCHLEVEL = {}\nSUBLEVEL = {}\n".format(
                    *(tag[1:].split(".") + ["0"])[:3]))
            process.git("add", "--force", ".", cwd=where)
            process.git("commit", "-q", "-m", tag, cwd=where)
            process.git("tag", tag, cwd=where)
        os.environ["LINUX_TREE"] = str(where)
        return where

    def test_newest_tag(self):
        self.repository("v7.3", "v7.3.9", "v7.3.10", "v7.4")
        where = trees.tree("stock")
        self.assertIn("SUBLEVEL = 10\n", (where / "Makefile").read_text())
        self.assertIn("stock is Linux 7.3.10 (tag v7.3.10 of ", trees.provenance())
        self.assertEqual((where / "lib/made.o").read_text(), "kept\n")
        shutil.rmtree(self.top / "linux")       # nothing is borrowed from it
        process.git("fsck", "--full", cwd=where, check_status=1)

    def objects(self):
        """How many objects the packs of the lab's repository hold."""
        done = process.git("count-objects", "-v", cwd=paths.trees() / "stock")
        return int(re.search(r"^in-pack: (\d+)", done.stdout, re.M)[1])

    def test_own_branch(self):
        where = self.repository("v7.3.4", "v7.4.1")
        self.mails(self.root / "base",
                   ("base", {"kernel/dma/direct.c": edited(DIRECT, 5, "based")}))
        os.environ["LINUX_REF"] = "HEAD"
        trees.tree("base")
        self.assertIn(f"stock is Linux 7.4.1 (HEAD of {where});", self.stderr.getvalue())
        before = self.objects()
        (where / "mm/hmm.c").write_text("mine\n")
        self.assertEqual((trees.tree("base") / "mm/hmm.c").read_text(), "mine\n")
        self.assertIn("with local changes", trees.provenance())
        self.assertEqual(self.objects() - before, 3)    # file, mm, top: no copy of all
        process.git("fsck", "--full", cwd=paths.trees() / "stock", check_status=1)
        self.assertEqual((where / "mm/hmm.c").read_text(), "mine\n")
        (where / "kernel/dma/direct.c").write_text(edited(DIRECT, 3, "mine"))
        (self.root / "base/base.toml").write_text(
            f'{BASE_TOML}[stock]\nversion = "7.3.4"\n')
        with self.fails(APPLY, "base/0001-base.patch", "direct.c", "this is Linux 7.4.1",
                        "LINUX_TARBALL with 7.3.4"):
            trees.tree("base")
        os.environ["LINUX_REF"] = "v7.3.4"
        self.assertEqual((trees.tree("base") / "mm/hmm.c").read_text(), HMM)
        del os.environ["LINUX_REF"]
        self.assertIn("SUBLEVEL = 4\n", (trees.tree("stock") / "Makefile").read_text())

    def test_own_branch_that_is_not_there(self):
        self.repository("v7.3.4")
        os.environ["LINUX_REF"] = "topic"
        with self.fails(FETCH, "LINUX_TREE=", "topic"):
            fetch.ensure_stock()
        del os.environ["LINUX_TREE"]
        with self.fails(USAGE, "LINUX_REF names a commit of LINUX_TREE"):
            fetch.ensure_stock()

    def test_no_tag_of_the_series(self):
        where = self.repository("v7.2.1", "v7.4")
        with self.fails(FETCH, where, "no tag v7.3.N", "LINUX_REF"):
            fetch.ensure_stock()

    def test_not_a_tree(self):
        os.environ["LINUX_TREE"] = str(self.top)
        with self.fails(FETCH, "is not a git tree", "LINUX_TARBALL"):
            fetch.ensure_stock()


@unittest.skipUnless(shutil.which("dpkg-deb"), "needs dpkg-deb")
class Package(Sandbox):
    def apt(self, update="exit 0", download='cp "$DEB" .'):
        os.environ["DEB"] = str(self.top / "archive" / DEB)
        self.program("apt-get", f'''
            case "$*" in
            *indextargets*)
                echo "Debian|Debian-Security|http://a.example/debian-security/"
                echo "Other|Other|http://b.example/apt/"
                echo "Debian|Debian|http://c.example/debian/";;
            *" update"*) {update};;
            *--print-uris*) echo "'http://x/' ${{DEB##*/}} 1 SHA256:0";;
            *" download "*) {download};;
            esac''')

    def deb(self, tarball=None, version=VERSION, name=DEB):
        """Make the package; returns its path in the make-believe archive."""
        content = self.top / "content"
        (content / "DEBIAN").mkdir(parents=True, exist_ok=True)
        (content / "usr/src").mkdir(parents=True, exist_ok=True)
        (content / "DEBIAN/control").write_text(
            "Package: linux-source-7.3\nArchitecture: all\n"
            f"Version: {version}\nMaintainer: x <x@example.org>\nDescription: x\n")
        shutil.copy(tarball or self.kernel(), content / "usr/src/linux-source-7.3.tar.xz")
        path = self.top / "archive" / name
        path.parent.mkdir(exist_ok=True)
        subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "-b", content, path],
                       check=True, stdout=subprocess.DEVNULL)
        return path

    def know(self, digest):
        (self.root / "base/base.toml").write_text(
            BASE_TOML + f'[versions."{VERSION}"]\nsha256 = "{digest}"\n')

    def test_fetched_once(self):
        self.deb()
        self.apt()
        src = fetch.ensure_stock()
        self.assertEqual(src.origin, f"Debian linux-source-7.3 {VERSION}")
        self.assertIn("base.toml does not know", self.stderr.getvalue())
        self.assertRegex((paths.downloads() / "apt/sources.list").read_text(),
                         r"^deb .* http://c\.example/debian/ trixie-backports main$")
        self.apt(update="exit 100", download="exit 100")
        self.assertEqual(fetch.ensure_stock().key, src.key)

    def test_back_to_the_package(self):
        """LINUX_TARBALL is what it says, as long as it says it, and no longer."""
        self.deb()
        self.apt()
        trees.tree("stock")
        os.environ["LINUX_TARBALL"] = str(self.kernel("7.3.5"))
        self.assertIn("= 5\n", (trees.tree("stock") / "Makefile").read_text())
        self.assertIn("7.3.5 (linux-7.3.5.tar.xz)", trees.provenance())
        del os.environ["LINUX_TARBALL"]
        with mock.patch.object(fetch, "_tar", side_effect=AssertionError):
            self.assertIn("= 4\n", (trees.tree("stock") / "Makefile").read_text())
        self.assertIn("7.3.4 (Debian", trees.provenance())

    def test_newer_package(self):
        self.deb()
        self.apt(download='touch "$DEB.fetched"; cp "$DEB" .')
        trees.tree("stock")
        fetched = self.top / "archive" / f"{DEB}.fetched"
        fetched.unlink()
        trees.newer_stock()
        self.assertIn(f"nothing newer than {DEB} in trixie-backports",
                      self.stderr.getvalue())
        self.assertFalse(fetched.exists())
        name = DEB.replace("7.3.4", "7.3.5")
        self.deb(self.kernel("7.3.5"), VERSION.replace("7.3.4", "7.3.5"), name)
        self.apt()
        os.environ["DEB"] = str(self.top / "archive" / name)
        trees.newer_stock()
        self.assertIn("= 5\n", (trees.tree("stock") / "Makefile").read_text())
        self.assertIn("7.3.5 (Debian", trees.provenance())
        os.environ["LINUX_TARBALL"] = str(self.kernel())
        with self.fails(USAGE, "LINUX_TARBALL is set", "unset"):
            trees.newer_stock()

    def test_altered_in_the_cache(self):
        deb = self.deb()
        self.apt()
        self.know(hashlib.sha256(deb.read_bytes()).hexdigest())
        fetch.ensure_stock()
        flip(paths.downloads() / DEB, -10)
        with self.fails(FETCH, "altered", f"{DEB}.bad", "LINUX_TARBALL"):
            fetch.ensure_stock()
        self.assertFalse((paths.downloads() / DEB).exists())
        fetch.ensure_stock()

    def test_version_that_is_not_known_altered_in_the_cache(self):
        deb = self.deb()
        self.apt()
        fetch.ensure_stock()
        flip(paths.downloads() / DEB, deb.read_bytes().index(b"7zXZ") + 60)
        with self.fails(FETCH, "altered", DEB):
            fetch.ensure_stock()

    def test_known_version_is_verified(self):
        deb = self.deb()
        self.apt()
        self.know("0" * 64)
        with self.fails(FETCH, "truncated or altered"):
            fetch.ensure_stock()
        self.know(hashlib.sha256(deb.read_bytes()).hexdigest())
        self.assertEqual(fetch.ensure_stock().version, "7.3.4")
        self.assertNotIn("does not know", self.stderr.getvalue())

    def test_cannot_be_had(self):
        self.apt(update="echo 'E: Failed to fetch http://c.example/  Temporary failure "
                        "resolving' >&2; exit 100")
        with self.fails(FETCH, "network", "LINUX_TREE", "LINUX_TARBALL"):
            fetch.ensure_stock()
        self.apt(download="echo 'E: Unable to locate package linux-source-7.3' >&2; "
                          "exit 100")
        with self.fails(FETCH, "no longer in trixie-backports", "LINUX_TARBALL"):
            fetch.ensure_stock()
        self.program("apt-get", "echo 'Other|Other|http://b.example/apt/'")
        with self.fails(FETCH, "archive of Debian", "LINUX_TREE"):
            fetch.ensure_stock()
