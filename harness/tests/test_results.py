# SPDX-License-Identifier: GPL-2.0-only
"""Results: a boot is judged by what it ran and by what its kernel said."""

import shlex
from pathlib import Path
from unittest import mock

from harness import results
from harness.errors import USAGE
from harness.tests import Sandbox

DATA = Path(__file__).parent / "data"
CUT = "------------[ cut here ]------------\n"
WARNING = ("WARNING: kernel/dma/debug.c:1042 at check_unmap+0x5cd/0x8f0, CPU#0: "
           "kunit_try_catch/31")


class Judge(Sandbox):
    """The logs are of real boots, shortened; the reports are kunit.py's of them."""

    def judge(self, name, console=None, ran=""):
        if console is None:
            console = (DATA / f"{name}.log").read_text(encoding="utf-8")
        return results.judge("cell", DATA / f"{name}.json", console, ran)

    def after(self, name, text):
        """Judge the log `name` with `text` said amid its tests."""
        console = (DATA / f"{name}.log").read_text(encoding="utf-8")
        head, mark, tail = console.partition("        # Subtest: dma_map_reachable\n")
        return self.judge(name, f"{head}{mark}{text}\n{tail}")

    def test_pass(self):
        """Also that messages of a healthy dma-debug are no complaint."""
        console = (DATA / "pass.log").read_text(encoding="utf-8")
        for line in ("DMA-API: preallocated 65536 debug entries\n",
                     "DMA-API: debugging enabled by kernel config\n",
                     "DMA-API: Mapped at:\n"):
            self.assertIn(line, console)
        outcome = self.judge("pass")
        self.assertTrue(outcome.ok)
        self.assertFalse(outcome.hung)
        self.assertEqual(str(outcome), "4 passed, 0 failed, 2 skipped")

    def test_failures_are_counted(self):
        outcome = self.judge("fail")
        self.assertFalse(outcome.ok)
        self.assertFalse(outcome.hung)
        self.assertEqual(str(outcome), "5 passed, 1 failed, 0 skipped")

    def test_a_crashed_case_is_a_failure(self):
        """The console ends in the middle of a case."""
        self.assertEqual(self.judge("cut").failed, 1)
        self.assertFalse(self.judge("cut").ok)

    def test_all_skipped(self):
        outcome = self.judge("skip")
        self.assertFalse(outcome.ok)
        self.assertFalse(outcome.hung)
        self.assertEqual(str(outcome), "0 passed, 0 failed, 2 skipped")

    def test_why_skipped(self):
        text = (DATA / "pass.log").read_text(encoding="utf-8")
        self.assertEqual(results.skips(text), {"needs a boot with swiotlb=force": 2})

    def test_splats(self):
        oops = ("BUG: kernel NULL pointer dereference, address: 0000000000000008\n"
                "#PF: supervisor read access in kernel mode\n"
                "Oops: Oops: 0000 [#1] SMP PTI")
        message = ("DMA-API: dma_direct dma_direct: device driver frees DMA memory with "
                   "different CPU address")
        hung = "INFO: task kunit_try_catch:31 blocked for more than 120 seconds."
        ubsan = "UBSAN: array-index-out-of-bounds in kernel/dma/direct.c:5:1"
        for text, line in ((CUT + WARNING, WARNING),
                           (f"{CUT}{WARNING}\n{message}", WARNING),
                           (f"{CUT}{message}\n{WARNING}", message),
                           (message, message), (hung, hung), (ubsan, ubsan),
                           (f"[    1.5] {WARNING}\r", WARNING),
                           (oops, oops.partition("\n")[0])):
            for name in ("pass", "fail"):
                outcome = self.after(name, text)
                self.assertFalse(outcome.ok, text)
                self.assertFalse(outcome.hung)
                self.assertEqual(outcome.problem, f"the kernel complained: {line}")
        self.assertIn("4 passed, 0 failed, 2 skipped: the kernel complained: ",
                      str(self.after("pass", WARNING)))

    def test_harmless(self):
        """What also has the words but is no complaint."""
        for text in ("mitigations: Enabled attack vectors: SMT mitigations: off",
                     "# dma_map_reachable: warning: none", "DEBUG: x", "INFO: lab",
                     "DMA-API: dma_debug_entry pool grown to 131072"):
            self.assertTrue(self.after("pass", text).ok, text)

    def test_panic(self):
        self.assertEqual(self.judge("panic").problem, "the kernel panicked")
        self.assertTrue(self.judge("panic").hung)
        outcome = self.after("pass", f"{CUT}{WARNING}\n"
                             "Kernel panic - not syncing: Fatal exception")
        self.assertEqual((outcome.problem, outcome.hung), ("the kernel panicked", True))
        self.assertFalse(outcome.ok)

    def test_timeout(self):
        outcome = self.judge("pass", ran="Command '['qemu-system-x86_64', '-m', '1G']' "
                             "timed out after 120 seconds\n")
        self.assertEqual((outcome.problem, outcome.hung), ("the boot hung", True))
        self.assertFalse(outcome.ok)

    def test_nothing(self):
        for name in ("panic", "no-such"):       # an empty report, and none
            outcome = self.judge(name, console="")
            self.assertEqual((outcome.problem, outcome.hung),
                             ("no test has run", True))
            self.assertFalse(outcome.ok)


class Kept(Sandbox):
    def test_save_and_latest(self):
        with self.fails(USAGE, "nothing to repeat"):
            results.latest()
        old = results.new_run()
        bad = results.Outcome("a", 1, 2, 3, "a problem", True)
        results.save(old / "a", bad, "base", ["qemu", "-append", "a 'b'", Path("/x")])
        words = shlex.split((old / "a/command").read_text(encoding="utf-8"))
        self.assertEqual(words, ["qemu", "-append", "a 'b'", "/x"])
        self.assertEqual(results.latest(), ({"a": bad}, "base"))
        new = results.new_run()
        self.assertNotEqual(old, new)
        self.assertEqual(results.latest(), ({"a": bad}, "base"))      # the new one is empty
        results.save(new / "b", results.Outcome("b", 1), "series", ["x"])
        self.assertEqual(results.latest(), ({"b": results.Outcome("b", 1)}, "series"))

    def test_old_runs_go(self):
        with mock.patch.object(results, "KEEP", 3):
            made = []
            for second in range(5):
                with mock.patch("time.strftime", return_value=f"20261121-00000{second}"):
                    made.append(results.new_run())
        self.assertEqual(results.runs(), made[:1:-1])
