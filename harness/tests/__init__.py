# SPDX-License-Identifier: GPL-2.0-only
"""Tests of the harness itself: no network, no kernel, a few seconds."""

import contextlib
import io
import os
import shutil
import signal
import stat
import tarfile
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from harness import packages, paths, process
from harness.errors import LabError
from harness.source import trees

DIRECT = "".join(f"direct {n}\n" for n in range(1, 41))
HMM = "".join(f"hmm {n}\n" for n in range(1, 41))
FILES = {"kernel/dma/direct.c": DIRECT, "mm/hmm.c": HMM, "COPYING": "GPL-2.0\n",
         "kernel/dma/debug.c": "/* c */\nstatic u32 error_count;\n",
         "scripts/check": "#!/bin/sh\n", ".gitignore": ".*\n*.o\n", "lib/made.o": "kept\n"}

BASE_TOML = '''# head
package = "linux-source-7.3"
suite = "trixie-backports"
series = "7.3"
'''


class Sandbox(unittest.TestCase):
    """A test with a cache, a checkout and a PATH of its own."""

    def setUp(self):
        # The same path in each test: git keeps the paths of work trees.
        self.top = Path(_scratch.name).resolve() / "test"
        self.top.mkdir()
        self.addCleanup(shutil.rmtree, self.top)
        self.bin = self.top / "bin"
        self.root = self.top / "checkout"
        self.history = []
        for path in (self.bin, self.root / "series", self.root / "base"):
            path.mkdir(parents=True)
        (self.root / "base" / "base.toml").write_text(BASE_TOML)
        environment = {"XDG_CACHE_HOME": str(self.top / "cache"),
                       "PATH": f"{self.bin}:{os.environ['PATH']}",
                       "HOME": str(self.top)}
        self.enter(mock.patch.dict(os.environ, environment))
        for name in ("LINUX_TREE", "LINUX_TARBALL", "LINUX_REF", "LAB_INSTALL"):
            os.environ.pop(name, None)
        self.enter(mock.patch.object(paths, "ROOT", self.root))
        self.enter(mock.patch.object(paths, "want_free"))
        self.enter(mock.patch.object(process, "_GIT_OPTIONS", process._GIT_OPTIONS
                                     + ("core.fsync=none",)))
        self.need = self.enter(mock.patch.object(packages, "need"))
        self.stderr = self.enter(contextlib.redirect_stderr(io.StringIO()))

    def enter(self, context):
        """Enter a context manager until the end of the test."""
        value = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        return value

    def program(self, name, script):
        """Put a shell script first in PATH."""
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    @contextlib.contextmanager
    def fails(self, status, *words):
        """Expect a LabError of one line with `status` whose text has all `words`."""
        with self.assertRaises(LabError) as caught:
            yield
        text = str(caught.exception)
        self.assertEqual(caught.exception.status, status, text)
        self.assertNotIn("\n", text)
        for word in words:
            self.assertIn(str(word), text)

    def kernel(self, version="7.3.4", name=None, **changes):
        """Make a tarball of a very small kernel; returns its path."""
        numbers = (version.split(".") + ["0"])[:3]
        makefile = "# SPDX\n" + "".join(
            f"{key} = {n}\n" for key, n in zip(("VERSION", "PATCHLEVEL", "SUBLEVEL"),
                                               numbers))
        path = self.top / (name or f"linux-{version}.tar.xz")
        with tarfile.open(path, "w:xz", preset=0) as tar:
            for file, text in {**FILES, "Makefile": makefile, **changes}.items():
                info = tarfile.TarInfo(f"linux-{version}/{file}")
                info.size = len(text.encode())
                info.mode = 0o755 if text.startswith("#!") else 0o644
                tar.addfile(info, io.BytesIO(text.encode()))
        os.utime(path, (1e9, 1e9))      # the same one for made() in each test
        return path

    def mails(self, where, *patches):
        """Write mails to `where`: each patch is (subject, {file: text}), on top of
        FILES and of the patches of earlier calls."""
        self.history += patches
        key = repr((self.history, len(patches)))
        if key not in _mails:
            _mails[key] = author(self.top / f"author{len(_mails)}", self.history,
                                 len(patches))
        for name, data in _mails[key].items():
            (Path(where) / name).write_bytes(data)

    def made(self, name):
        """The path of tree `name`."""
        self.once(name, lambda: trees.tree(name))
        return paths.trees() / name

    def once(self, key, make):
        """Call `make`, or copy the files that it has made in the first test with the
        same key and mails."""
        key = repr((key, self.history))
        if key in _made:
            shutil.copytree(_made[key], self.top, symlinks=True, dirs_exist_ok=True)
        else:
            make()
            _made[key] = Path(_scratch.name) / f"made{len(_made)}"
            shutil.copytree(self.top, _made[key], symlinks=True)


def hear_interrupts():
    """For the preexec_fn of a child: a shell's background jobs do not hear Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def memory():
    """A directory in memory, where git costs half, or None."""
    path = Path("/dev/shm")
    if not os.access(path, os.W_OK) or os.statvfs(path).f_flag & os.ST_NOEXEC:
        return None
    return path if shutil.disk_usage(path).free > paths.GIB else None


_scratch = tempfile.TemporaryDirectory(prefix="lab-test.", dir=memory())
_mails, _made = {}, {}


def author(repo, history, count):
    """Commit `history` on FILES in a new repository; {name: bytes} of the last
    `count` mails."""
    def git(*args):
        return process.git(*args, cwd=repo, check_status=1,
                           env={"GIT_AUTHOR_DATE": "2026-11-20T12:00:00+0100"})

    repo.mkdir()
    git("init", "-q")
    for message, files in [("stock", FILES), *history]:
        for file, text in files.items():
            (repo / file).parent.mkdir(parents=True, exist_ok=True)
            (repo / file).write_text(text)
        git("add", "-A", "-f")
        git("commit", "-q", "-m", message)
    git("format-patch", "-q", "--zero-commit", "--no-signature", f"-{count}", "-o", "out")
    return {path.name: path.read_bytes() for path in (repo / "out").iterdir()}


def edited(text, line, new):
    """`text` with line number `line` replaced by `new`."""
    lines = text.splitlines(keepends=True)
    lines[line - 1] = new + "\n"
    return "".join(lines)
