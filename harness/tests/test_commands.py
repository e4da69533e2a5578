# SPDX-License-Identifier: GPL-2.0-only
"""kunit, boot, again and shell: what the user sees of boots, one by one."""

import json
import os
import pty
import signal
import subprocess
import termios
from pathlib import Path
from unittest import mock

from harness import results
from harness.boot import qemu
from harness.errors import BOOT, BUILD, FAILED, INTERRUPTED, PASS, USAGE
from harness.source import trees
from harness.tests.lab import REAL, Lab, ktap, option
from harness.tests.test_process import running, until

CHECKOUT = Path(__file__).resolve().parents[2]


class Boot(Lab):
    def test_good(self):
        status, out, _ = self.lab("boot", "t*", "one")
        self.assertEqual((status, out), (PASS, [
            "ok    one: 2 passed, 0 failed, 1 skipped",
            "ok    two: 2 passed, 0 failed, 1 skipped",
            "ok    three: 2 passed, 0 failed, 1 skipped", "3 of 3 boots passed"]))
        self.assertEqual(self.booted(),
                         [("series", "one"), ("series", "three"), ("series", "two")])

    def test_tree(self):
        self.lab("boot", "one", "--tree", "stock")
        self.assertEqual((self.built(), self.booted()),
                         ([("stock", "k")], [("stock", "one")]))

    def test_case_that_fails(self):
        """It is named, with its expectation and place, and a line that repeats it."""
        self.console("one", ktap("ok a", "not ok b"))
        self.console("two", ktap("not ok c", "not ok d", suite="demo"))
        status, out, _ = self.lab("boot", "*", "--tree", "stock")
        run = results.runs()[0]
        self.assertEqual(status, FAILED)
        self.assertEqual(out[:9], [
            "FAIL  one: 1 passed, 1 failed, 0 skipped",
            "      dma_direct.b: Expected x == 1, but x == 0 (0x0) at kernel/dma/a.c:1",
            "      again: ./lab kunit one --tree stock --filter dma_direct.b",
            f"      files: {run}/one@stock",
            "FAIL  two: 0 passed, 2 failed, 0 skipped",
            "      demo.c: Expected x == 1, but x == 0 (0x0) at kernel/dma/a.c:1",
            "      demo.d: Expected x == 1, but x == 0 (0x0) at kernel/dma/a.c:1",
            "      again: ./lab boot two --tree stock",
            f"      files: {run}/two@stock"])
        self.assertEqual(out[-1], "2 of 4 boots passed")
        self.assertTrue((run / "one@stock/console.log").exists())

    def test_line_that_repeats(self):
        """It is a command line that repeats what it says."""
        self.console("one", ktap("ok a", "not ok b"))
        self.console("two", ktap("not ok c", suite="demo"))
        for cell, glob in (("one", "dma_direct.b"), ("two", "")):
            _, out, _ = self.lab("boot", cell, "--tree", "base")
            words = out[2].split("./lab ")[1].split()
            self.boots()
            status, _, _ = self.lab(*words)
            self.assertEqual(status, FAILED)
            self.assertIn(f"kunit.filter_glob={glob}" if glob else "demo=force",
                          " ".join(self.boots()[0]))

    def test_many_failures(self):
        self.console("one", ktap(*(f"not ok c{number}" for number in range(7))))
        _, out, _ = self.lab("boot", "one")
        self.assertEqual(out[6], "      and 2 more")
        self.assertEqual(out[7], "      again: ./lab kunit one")

    def test_no_test_that_passes(self):
        self.console("one", "", "exit 1")
        self.assertEqual(self.lab("boot", "one", "three")[0], BOOT)
        self.console("one", ktap("ok a # SKIP none"))
        self.assertEqual(self.lab("boot", "one")[0], FAILED)

    def test_kernel_that_does_not_build(self):
        self.broken("k")
        status, out, _ = self.lab("boot", "one", "three")
        self.assertEqual((status, out[-1]), (BUILD, "1 of 2 boots passed"))
        self.assertIn("build k from series: a.c:1:2: error: no such thing", out[0])

    def test_json(self):
        self.console("one", ktap("ok a", "not ok b"))
        status, out, _ = self.lab("boot", "one", "two", "--json", "--tree", "base")
        one, two = json.loads("\n".join(out))
        self.assertEqual((status, one["cell"], one["failed"], one["tree"]),
                         (FAILED, "one", 1, "base"))
        self.assertEqual((two["cell"], two["passed"], two["status"]), ("two", 2, PASS))

    def test_kunit(self):
        self.assertEqual(self.lab("kunit", "--filter", "a.b*")[0], PASS)
        self.assertEqual([option(argv, "-append").split()[2:4] for argv in self.boots()],
                         [["kunit.filter_glob=a.b*", "kunit_shutdown=reboot"]] * 2)
        self.assertEqual(self.lab("kunit", "one")[0], PASS)
        self.assertIn("kunit.filter_glob=dma*", option(self.boots()[0], "-append"))
        status, _, err = self.lab("kunit", "two")
        self.assertEqual(status, USAGE)
        self.assertIn("./lab boot", err[0])


class Again(Lab):
    def test_what_failed(self):
        """On its tree, with its filter, without building; else all."""
        self.console("one", ktap("not ok a"))
        self.lab("kunit", "--tree", "stock", "--filter", "x*")
        self.built(), self.boots()
        for _ in range(2):
            self.console("one", ktap("ok a"))
            self.assertEqual(self.lab("again")[0], PASS)
            boot, = self.boots()
            self.assertIn("kunit.filter_glob=x*", option(boot, "-append"))
            self.assertIn("/trees/stock/", option(boot, "-kernel"))
        self.assertEqual(self.built(), [])

    def test_named(self):
        self.lab("boot", "one", "two")
        self.boots()
        self.lab("again", "t*", "--repeat", "2")
        self.assertEqual(self.booted(), [("series", "two")] * 2)
        status, _, err = self.lab("again", "three")
        self.assertEqual((status, self.boots()), (USAGE, []))
        self.assertIn("./lab boot", err[0])

    def test_other_commands(self):
        """compare and bench boot a cell on several trees."""
        self.console("one@stock-suites", ktap("not ok a"))
        self.lab("boot", "one", "--tree", "stock-suites")
        first = results.runs()[0]
        self.lab("boot", "two")
        self.boots()
        self.lab("again", "--run", first)
        self.assertEqual(self.booted(), [("stock-suites", "one")])

    def test_repeated_boots_are_one(self):
        self.console("one", ktap("not ok a"))
        self.lab("boot", "one", "--repeat", "3")
        self.boots()
        self.lab("again")
        self.assertEqual(self.booted(), [("series", "one")])

    def test_refused(self):
        status, _, err = self.lab("again")
        self.assertEqual((status, "nothing to repeat" in err[0]), (USAGE, True))
        results.save(results.Outcome("one", trees.VISITED,
                                     directory=str(results.new_run() / "0001/one")))
        status, _, err = self.lab("again")
        self.assertEqual((status, "--first" in err[0]), (USAGE, True))


class Shell(Lab):
    def test_command(self):
        self.console("two", "said\r\nlab: the command ends with 3\r\nreboot\r\n")
        status, out, _ = self.lab("shell", "two", "--", "ls", "/proc")
        self.assertEqual((status, out), (3, ["said"]))
        boot, = self.boots()
        self.assertIn("demo=shell", option(boot, "-append").split())
        self.assertIn('lab_command="ls /proc"', option(boot, "-append"))
        self.assertNotIn("demo=force", option(boot, "-append"))
        self.assertEqual(option(boot, "-serial"), "stdio")
        self.assertTrue(option(boot, "-initrd").endswith("shell.cpio"))

    def test_command_without_an_answer(self):
        self.console("two", "Kernel panic\n")
        status, _, err = self.lab("shell", "two", "--", "ls")
        self.assertEqual((status, err[-1]), (BOOT, "lab: two: no answer: Kernel panic"))
        self.assertEqual(self.lab("shell", "two", "--", 'echo "a"')[0], USAGE)
        self.console("two", "VFS: no root\n", "exec sleep 60")
        with mock.patch.object(qemu, "factor", return_value=0.002):
            status, _, err = self.lab("shell", "two", "--", "ls")
        self.assertEqual(status, BOOT)
        self.assertIn("timed out after 0.24 s", err[-1])

    def test_interactive(self):
        self.console("one")
        self.assertEqual(self.lab("shell", "one", "--gdb", "--tree", "stock")[0], PASS)
        boot, = self.boots()
        self.assertEqual((option(boot, "-serial"), boot[-2:]), ("mon:stdio", ["-s", "-S"]))
        self.assertIn("/trees/stock/", option(boot, "-kernel"))
        self.console("one", "", "exit 1")
        self.assertEqual(self.lab("shell", "one")[0], BOOT)

    def test_usage(self):
        for cell, words in (("nosuch", "nosuch"), ("t*", "2 cells")):
            status, _, err = self.lab("shell", cell)
            self.assertEqual((status, len(err)), (USAGE, 1))
            self.assertIn(words, err[0])

    def test_terminal(self):
        """TERM leaves the terminal as it was, and no QEMU."""
        self.console("one", "", f"stty raw; touch {self.top}/raw; exec sleep 60")
        os.environ["LAB_ROOT"] = str(self.root)
        ours, theirs = pty.openpty()
        before = termios.tcgetattr(theirs)
        start = ("import sys\nfrom pathlib import Path\nfrom harness.tests import lab\n"
                 "lab.child(Path(sys.argv[1]), 'shell', 'one')")
        with open(ours, "rb"), open(theirs, "rb") as terminal:
            lab = subprocess.Popen([REAL, "-c", start, self.top], cwd=CHECKOUT,
                                   stdin=terminal, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
            began = until((self.top / "raw").exists, 20)
            lab.send_signal(signal.SIGTERM)
            _, err = lab.communicate(timeout=20)
            self.assertTrue(began, err)
            self.assertEqual(lab.returncode, INTERRUPTED)
            self.assertEqual(termios.tcgetattr(terminal), before)
        self.assertFalse(any(running(int(pid)) for pid in self.lines("pids")))
