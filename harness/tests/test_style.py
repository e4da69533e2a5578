# SPDX-License-Identifier: GPL-2.0-only
"""checkpatch: an exception covers its type in its files and nothing else."""

import os
import unittest
from unittest import mock

from harness import model
from harness.gates import checkpatch
from harness.tests import Sandbox

# As checkpatch prints them.
EXCEPTED = """\
include/linux/dma-mapping.h:95: CHECK:BIT_MACRO: Prefer using the BIT macro
tools/virtio/linux/dma-mapping.h:63: CHECK:BIT_MACRO: Prefer using the BIT macro
include/trace/events/dma.h:98: CHECK:PARENTHESIS_ALIGNMENT: Alignment should match open parenthesis
include/trace/events/dma.h:103: CHECK:OPEN_ENDED_LINE: Lines should not end with a '('
:255: WARNING:UNKNOWN_COMMIT_ID: Unknown commit id '68b6dbf1f441', maybe rebased or not pulled?
kernel/dma/.kunitconfig:13: WARNING:FILE_PATH_CHANGES: added, moved or deleted file(s), does MAINTAINERS need updating?
"""
COMPLAINTS = """\
:63: WARNING:COMMIT_LOG_LONG_LINE: Prefer a maximum 75 chars per line (possible unwrapped commit description?)
:63: WARNING:TYPO_SPELLING: 'teh' may be misspelled - perhaps 'the'?
kernel/dma/direct.c:95: CHECK:BIT_MACRO: Prefer using the BIT macro
kernel/dma/direct.c:98: CHECK:PARENTHESIS_ALIGNMENT: Alignment should match open parenthesis
include/trace/events/dma.h:95: CHECK:BIT_MACRO: Prefer using the BIT macro
include/linux/dma-mapping.h:103: CHECK:OPEN_ENDED_LINE: Lines should not end with a '('
No codespell typos will be found - file '/usr/share/codespell/dictionary.txt': No such file or directory
Traceback (most recent call last):
  File "<string>", line 1, in <module>
ModuleNotFoundError: No module named 'ply'
"""


class Filtered(unittest.TestCase):
    def test_exceptions(self):
        self.assertEqual(checkpatch.filtered(EXCEPTED + "\n"), [])

    def test_the_rest(self):
        text = EXCEPTED + COMPLAINTS + "\n" + EXCEPTED
        self.assertEqual(checkpatch.filtered(text), COMPLAINTS.splitlines())


class Complaints(Sandbox):
    def test_cover_letter(self):
        """Not a patch for checkpatch, but text: spelled right, and written at all."""
        self.program("codespell", "sed -n 's/.*teh/teh ==> the/p' \"$@\"")
        cover = self.top / model.COVER
        with mock.patch.object(checkpatch, "_PATH", os.environ["PATH"]):
            for text, found in (("Good.\n", []), ("Of teh\n", ["teh ==> the"]),
                                ("EDITME\n", ["EDITME stands in it yet"])):
                cover.write_text(text)
                self.assertEqual(checkpatch.complaints(cover, self.top), found)

    def test_mail(self):
        script = self.top / "tree/scripts/checkpatch.pl"
        script.parent.mkdir(parents=True)
        script.write_text(f"#!/bin/sh\necho \"$*\" > {self.top}/args\n"
                          "echo 'a.c:1: ERROR:TRAILING_WHITESPACE: x'\necho oops >&2\n"
                          "exit 1\n")
        script.chmod(0o755)
        mail = self.top / "0001-x.patch"
        mail.write_text("x")
        found = checkpatch.complaints(mail, self.top / "tree")
        self.assertEqual(found, ["a.c:1: ERROR:TRAILING_WHITESPACE: x", "oops"])
        args = (self.top / "args").read_text().split()
        self.assertIn("--strict", args)
        self.assertEqual(args[-1], str(mail))

    def test_again(self):
        """A mail that is as it was when it was fine is not asked for again."""
        script = self.top / "tree/scripts/checkpatch.pl"
        script.parent.mkdir(parents=True)
        script.write_text(f"#!/bin/sh\necho >> {self.top}/asked\ncat {self.top}/said\n"
                          f"exit $(cat {self.top}/status)\n")
        script.chmod(0o755)
        mail, asked = self.top / "0001-x.patch", 0
        for text, said, status, found, more in (
                ("one", "", 139, [], 1), ("one", "bad", 1, ["bad"], 1), ("one", "", 0, [], 1),
                ("one", "bad", 1, [], 0), ("two", "bad", 1, ["bad"], 1)):
            mail.write_text(text)
            (self.top / "said").write_text(said)
            (self.top / "status").write_text(str(status))
            asked += more
            with self.subTest(text=text, said=said, status=status):
                self.assertEqual(checkpatch.complaints(mail, self.top / "tree"), found)
                self.assertEqual(len((self.top / "asked").read_text()), asked)
        mail.write_text("one")
        script.write_text(script.read_text() + "# of another kernel\n")
        self.assertEqual(checkpatch.complaints(mail, self.top / "tree"), ["bad"])
