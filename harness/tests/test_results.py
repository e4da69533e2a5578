# SPDX-License-Identifier: GPL-2.0-only
"""Results: a boot is judged by what it ran and by what its kernel said."""

import dataclasses
import json
import shlex
import shutil
from pathlib import Path
from unittest import mock

from harness import results
from harness.errors import BOOT, USAGE
from harness.tests import Sandbox

DATA = Path(__file__).parent / "data"
CUT = "------------[ cut here ]------------\n"
WARNING = ("WARNING: kernel/dma/debug.c:1042 at check_unmap+0x5cd/0x8f0, CPU#0: "
           "kunit_try_catch/31")


class Judge(Sandbox):
    """The logs are of real boots, shortened; the reports are kunit.py's of them."""

    def judge(self, name, console=None, error=""):
        if console is None:
            console = (DATA / f"{name}.log").read_text(encoding="utf-8")
        (self.top / "console.log").write_text(console)
        (self.top / "ktap.log").write_text(console.partition("KTAP version 1\n")[2])
        if (DATA / f"{name}.json").exists():
            shutil.copy(DATA / f"{name}.json", self.top / "results.json")
        outcome = results.Outcome("cell", directory=str(self.top))
        results.judge(outcome, error)
        return outcome

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
        self.assertEqual((str(outcome), outcome.failures),
                         ("4 passed, 0 failed, 2 skipped", []))

    def test_failures(self):
        """Only the first expectation of a case is told, and its parameter is."""
        outcome = self.judge("fail")
        self.assertEqual((outcome.ok, outcome.hung, str(outcome)),
                         (False, False, "5 passed, 1 failed, 0 skipped"))
        self.assertEqual(outcome.failures, [
            "dma_direct.dma_map_beyond_mask (dma_map_phys, DMA_ATTR_REQUIRE_COHERENT): "
            "Expected kunit_suppressed_warning_count(__kunit_suppress) == 0, but "
            "kunit_suppressed_warning_count(__kunit_suppress) == 1 (0x1) at "
            "kernel/dma/tests/dma_direct_kunit.c:253"])

    def test_what_else_a_case_logs(self):
        self.assertEqual(results.failures(
            "    # Subtest: a\n    # b: EXPECTATION FAILED at ../c.c:1\n"
            "    Expected d == 0, but\n        d == 1 (0x1)\n"
            "    # b: route: mapped=1\n    not ok 1 b\n"),
            {"a.b": "Expected d == 0, but d == 1 (0x1) at ../c.c:1"})

    def test_failures_of_a_demo(self):
        console = (DATA / "demo-without.log").read_text(encoding="utf-8")
        self.assertEqual(results.failures(console),
                         {"demo_force.with_attribute_refused": "",
                          "demo_force.verbs_refused": ""})

    def test_a_crashed_case_is_a_failure(self):
        """The console ends in the middle of a case."""
        outcome = self.judge("cut")
        self.assertEqual((outcome.failed, outcome.ok), (1, False))
        self.assertEqual(outcome.failures,
                         ["dma_direct.dma_unmap_wrong_attrs: did not end"])

    def test_all_skipped(self):
        outcome = self.judge("skip")
        self.assertFalse(outcome.ok)
        self.assertFalse(outcome.hung)
        self.assertEqual(str(outcome), "0 passed, 0 failed, 2 skipped")

    def test_splats(self):
        """Whatever a healthy kernel never says, each by itself."""
        oops = ("BUG: kernel NULL pointer dereference, address: 0000000000000008\n"
                "#PF: supervisor read access in kernel mode\n"
                "Oops: Oops: 0000 [#1] SMP PTI")
        message = ("DMA-API: dma_direct dma_direct: device driver frees DMA memory with "
                   "different CPU address")
        for text, line in ((CUT + WARNING, WARNING),
                           (f"{CUT}{WARNING}\n{message}", WARNING),
                           (f"{CUT}{message}\n{WARNING}", message),
                           (f"[    1.5] {WARNING}\r", WARNING),
                           (oops, oops.partition("\n")[0]),
                           *((line, line) for line in (
                               message,
                               "DMA-API: exceeded 7 overlapping mappings of cacheline",
                               "DMA-API: cacheline tracking EEXIST, overlapping",
                               "BUG: sleeping function called from invalid context",
                               "KASAN: null-ptr-deref in range [0x0-0x7]",
                               "KMSAN: uninit-value in dma_map_phys",
                               "UBSAN: array-index-out-of-bounds in kernel/dma/direct.c:5",
                               "Oops: general protection fault",
                               "INFO: task kunit_try_catch:31 blocked for more than 120",
                               "INFO: rcu_preempt detected stalls on CPUs/tasks:",
                               "INFO: possible recursive locking detected",
                               "INFO: trying to register non-static key."))):
            for name in ("pass", "fail"):
                outcome = self.after(name, text)
                self.assertFalse(outcome.ok, text)
                self.assertFalse(outcome.hung)
                self.assertIn(": the kernel complained: ", str(outcome), text)
                self.assertTrue(outcome.problem.endswith(line), outcome.problem)

    def test_harmless(self):
        """What also has the words but is no complaint."""
        for text in ("mitigations: Enabled attack vectors: SMT mitigations: off",
                     "# dma_map_reachable: warning: none", "DEBUG: x", "INFO: lab",
                     "DMA-API: dma_debug_entry pool grown to 131072"):
            self.assertTrue(self.after("pass", text).ok, text)

    def test_panic(self):
        for outcome in (self.judge("panic"), self.judge("panic", error="it hung"),
                        self.after("pass", f"{CUT}{WARNING}\n"
                                   "Kernel panic - not syncing: Fatal exception")):
            self.assertEqual((outcome.problem, outcome.hung, outcome.ok),
                             ("the kernel panicked", True, False))

    def test_qemu_fails(self):
        outcome = self.judge("pass", error="the boot hung")
        self.assertEqual((outcome.problem, outcome.hung, outcome.ok),
                         ("the boot hung", True, False))

    def test_nothing(self):
        for name in ("panic", "no-such"):       # an empty report, and none
            outcome = self.judge(name, console="")
            self.assertEqual((outcome.problem, outcome.status, outcome.ok),
                             ("no test has run", BOOT, False))


class Kept(Sandbox):
    def test_save_and_latest(self):
        with self.fails(USAGE, "nothing to repeat"):
            results.latest()
        old = results.new_run()
        bad = results.Outcome("a", "base", "x*", 1, 2, 3, "a problem", BOOT, ["s.c"],
                              directory=str(old / "0001/a"))
        results.save(bad, ["qemu", "-append", "a 'b'", Path("/x")])
        command = old / "0001/a/command"
        self.assertEqual(shlex.split(command.read_text(encoding="utf-8"))[2:],
                         ["qemu", "-append", "a 'b'", "/x"])
        self.assertEqual(json.loads((old / "0001/a/outcome.json").read_text()),
                         dataclasses.asdict(bad))
        self.assertEqual(results.latest(), [bad])
        new = results.new_run()
        self.assertNotEqual(old, new)
        self.assertEqual(results.latest(), [bad])       # the new one is empty
        good = results.Outcome("b", passed=1, directory=str(new / "b"))
        results.save(good)
        self.assertEqual(results.latest(), [good])
        self.assertFalse((new / "b/command").exists())

    def test_another_version(self):
        directory = results.new_run()
        for text in ("{", '{"cell": "a", "hung": true}'):
            (directory / "outcome.json").write_text(text)
            with self.fails(USAGE, directory / "outcome.json", "another version"):
                results.latest()

    def test_old_runs_go(self):
        with mock.patch.object(results, "KEEP", 3):
            made = []
            for _ in range(5):
                made.append(results.new_run())
        self.assertEqual(results.runs(), made[:1:-1])
