# SPDX-License-Identifier: GPL-2.0-only
"""virtio: tools/virtio as a fake, QEMU and its sockets as scripts."""

import json
import socket
import struct
import threading
import unittest
from unittest import mock

from harness import process
from harness.boot import events
from harness.gates import virtio
from harness.source import trees
from harness.errors import ENVIRONMENT
from harness.tests import Sandbox

MAKEFILE = """test:
	@cat linux/new.h ../include/a.h ../../include/b.h ../../drivers/c.c > built
	@if grep -n broken built; then echo 'x.c:1:2: error: broken' >&2; exit 1; fi
"""


class Tree(Sandbox):
    def setUp(self):
        super().setUp()
        self.tree = self.top / "tree"
        for name in ("tools/virtio/linux/new.h", "tools/include/a.h", "include/b.h",
                     "drivers/c.c", "tools/virtio/Makefile"):
            (self.tree / name).parent.mkdir(parents=True, exist_ok=True)
            (self.tree / name).write_text(f"{name}\n")
        (self.tree / "tools/virtio/Makefile").write_text(MAKEFILE)
        self.enter(mock.patch.object(trees, "tree", return_value=self.tree))
        self.enter(mock.patch.object(trees, "_stock", return_value=self.tree))
        process.git("init", "--quiet", cwd=self.tree, check_status=ENVIRONMENT)
        process.git("add", ".", cwd=self.tree, check_status=ENVIRONMENT)

    def status(self):
        return process.git("status", "--short", "--untracked-files", "--ignored",
                           cwd=self.tree).stdout

    def test_builds(self):
        before = self.status()
        for _ in range(2):
            self.assertEqual(virtio.userspace(), "")
        self.assertEqual(self.status(), before)
        self.assertNotIn("built", before)

    def test_does_not_build(self):
        (self.tree / "include/b.h").write_text("broken\n")
        self.assertRegex(virtio.userspace(),
                         r"^x\.c:1:2: error: broken \(log: .*tools-virtio/")
        (self.tree / "tools/include/a.h").unlink()
        self.assertIn("a.h: No such file", virtio.userspace())

    def test_leftovers(self):
        self.assertEqual(virtio.leftovers(), "")
        (self.tree / "drivers/c.c").write_text("\nDMA_ATTR_CPU_CACHE_CLEAN\n")
        self.assertEqual(virtio.leftovers(), "drivers/c.c:2:DMA_ATTR_CPU_CACHE_CLEAN")

    def test_no_git(self):
        with mock.patch.object(trees, "tree", return_value=self.top):
            with self.fails(ENVIRONMENT, "git grep"):
                virtio.leftovers()


class Vsock(unittest.TestCase):
    def setUp(self):
        self.end, self.served = socket.socketpair()
        self.end.settimeout(10)
        self.thread = threading.Thread(target=events.serve_vsock, args=(self.served,))
        self.thread.start()

    def tearDown(self):
        self.end.close()
        self.thread.join(10)
        self.served.close()
        self.assertFalse(self.thread.is_alive())

    def ask(self, request, payload=b"", flags=1, fds=()):
        socket.send_fds(self.end, [struct.pack("<III", request, flags, len(payload))
                                   + payload], fds)

    def reply(self, request):
        got, flags, size = struct.unpack("<III", self.end.recv(12))
        self.assertEqual((got, flags), (request, 5))
        return self.end.recv(size)

    def test_features(self):
        self.ask(1)
        features = struct.unpack("<Q", self.reply(1))[0]
        for bit in (30, 32, 33):        # those of the protocol, version 1, platform
            self.assertTrue(features >> bit & 1)
        self.ask(15)
        self.assertEqual(self.reply(15), struct.pack("<Q", 1 << 3 | 1 << 5 | 1 << 9))

    def test_config(self):
        for offset, size, want in ((0, 8, struct.pack("<Q", 3)), (4, 4, bytes(4))):
            asked = struct.pack("<III", offset, size, 0) + bytes(size)
            self.ask(24, asked)
            self.assertEqual(self.reply(24), asked[:12] + want)

    def test_the_rest(self):
        """What needs no reply gets none, what wants an acknowledgement gets one."""
        ours, theirs = socket.socketpair()
        self.ask(2, bytes(8))
        self.ask(13, bytes(8), fds=[theirs.fileno()])
        self.ask(5, bytes(40), flags=9)
        self.assertEqual(self.reply(5), bytes(8))
        self.ask(11, struct.pack("<II", 1, 7))
        self.assertEqual(self.reply(11), struct.pack("<II", 1, 0))
        theirs.close()
        ours.settimeout(10)
        self.assertEqual(ours.recv(1), b"")     # nobody keeps what was sent along
        ours.close()


class Events(Sandbox):
    def test_commands(self):
        names = [command["execute"] for number in range(12)
                 for command in events.commands(True, number)
                 if command["execute"] != "input-send-event"]
        self.assertEqual(names, ["device_add", "device_del"] * 2)
        self.assertEqual(len(list(events.commands(False, 0))), 2)

    def test_send(self):
        self.enter(mock.patch.object(events, "_PAUSE", 0.01))
        ours, theirs = socket.socketpair()
        ours.settimeout(10)
        thread = threading.Thread(target=events.send_events, args=(theirs, False))
        thread.start()
        with ours.makefile() as lines:
            said = [json.loads(lines.readline())["execute"] for _ in range(5)]
        ours.close()
        thread.join(10)
        theirs.close()
        self.assertFalse(thread.is_alive())
        self.assertEqual(said, ["qmp_capabilities"] + ["input-send-event"] * 4)

    def test_qemu(self):
        self.program("qemu", f'for arg; do echo "$arg"; done > {self.top}/args\nexit 7')
        self.assertEqual(events.main(["qemu", "-m", "2G", "-device", "x,chardev=vsock",
                                      "-device", "virtio-scsi-pci,id=scsi"]), 7)
        args = (self.top / "args").read_text()
        for text in ("socket,id=vsock,fd=", "memory-backend-memfd,id=ram,size=2G,share=on",
                     "memory-backend=ram", "null-co,node-name=nothing",
                     "chardev=monitor,mode=control"):
            self.assertIn(text, args)
        events.main(["qemu", "-m", "2G"])
        args = (self.top / "args").read_text()
        self.assertNotIn("vsock", args)
        self.assertNotIn("nothing", args)
