# SPDX-License-Identifier: GPL-2.0-only
"""The runner: each kernel once, boots side by side, one that fails stops no other."""

import os
import signal
import subprocess
from pathlib import Path
from unittest import mock

from harness import model, packages, process, results, runner
from harness.boot import xen
from harness.errors import (BOOT, BUILD, ENVIRONMENT, FAILED, FETCH, INTERRUPTED, PASS,
                            LabError)
from harness.results import Outcome
from harness.tests import hear_interrupts
from harness.tests.lab import REAL, Lab, ktap
from harness.tests.test_process import running, until

CHECKOUT = Path(__file__).resolve().parents[2]


class Run(Lab):
    def run_jobs(self, cells=("*",), trees=("series",), **options):
        """The Outcomes of runner.run()."""
        plan = model.load()
        jobs = [job for tree in trees for job in
                runner.jobs_of(plan.pick(cells), tree, options.pop("repeat", 1))]
        return list(runner.run(plan, jobs, runner.Options(**options)))

    def test_each_kernel_is_built_once(self):
        self.run_jobs(["one", "two", "three"], ["stock", "series"])
        self.assertEqual(self.built(), [("stock", "k"), ("stock", "other"),
                                        ("series", "k"), ("series", "other")])

    def test_side_by_side(self):
        """Each of two boots waits for the other, but not for ever."""
        meet = (f'touch {self.top}/here.$cell; n=$(cat {self.top}/patience)\n'
                f'while [ $n != 0 ]; do n=$((n - 1)); [ -e {self.top}/here.$1 ] && '
                f'cat {self.top}/consoles/default.text && exit\nsleep 0.05; done')
        self.console("one", "", f"set -- three\n{meet}")
        self.console("three", "", f"set -- one\n{meet}")
        for capacity, option, status in ((1, ["-j2"], PASS), (2, ["-j1"], BOOT),
                                         (2, [], PASS), (1, [], BOOT)):
            (self.top / "patience").write_text("5" if status else "200")
            with mock.patch.object(packages, "jobs", return_value=capacity):
                self.assertEqual(self.lab("boot", "one", "three", *option)[0], status)
            for name in ("one", "three"):
                (self.top / f"here.{name}").unlink()

    def test_guests_with_several_cpus(self):
        """One after the other where there are no CPUs for both."""
        path = self.root / "matrix.toml"
        path.write_text(self.MATRIX.replace("suites =", "cpus = 3\nsuites ="))
        alone = f"{self.top}/alone"
        for name in ("one", "three"):
            self.console(name, ktap("ok a"), f"mkdir {alone} && sleep 0.3 && rmdir {alone}")
        for cpus, status in ((range(2), PASS), (range(5), BOOT)):
            with mock.patch("os.sched_getaffinity", return_value=cpus), \
                    mock.patch.object(packages, "memory", return_value=100):
                self.assertEqual(self.lab("boot", "one", "three", "two")[0], status)

    def test_order_is_that_of_the_jobs(self):
        self.console("one", ktap("ok a"), "sleep 0.2")
        for jobs in (1, 3):
            self.assertEqual([outcome.cell for outcome in
                              self.run_jobs(["one", "two", "three"], jobs=jobs)],
                             ["one", "two", "three"])

    def test_repeat(self):
        outcomes = self.run_jobs(["one"], repeat=3)
        self.assertEqual(self.booted(), [("series", "one")] * 3)
        self.assertEqual([Path(outcome.directory).name for outcome in outcomes],
                         ["one", "one.2", "one.3"])
        self.assertEqual(self.built(), [("series", "k")])

    def test_kernel_that_does_not_build(self):
        self.broken("k")
        one, three = self.run_jobs(["one", "three"])
        self.assertEqual((one.ok, one.status), (False, BUILD))
        self.assertIn("a.c:1:2: error: no such thing", one.problem)
        self.assertTrue(three.ok)
        self.assertEqual(self.booted(), [("series", "three")])
        self.assertEqual([outcome.status for outcome in results.latest()], [BUILD, PASS])

    def test_kernel_of_one_tree(self):
        self.broken("k@stock")
        self.assertEqual([(outcome.tree, outcome.status) for outcome in
                          self.run_jobs(["one"], ["stock", "series"])],
                         [("stock", BUILD), ("series", PASS)])

    def test_machine_that_cannot_be_had(self):
        """Xen is gone from where it came from; the boots without it are made."""
        (self.root / "matrix.toml").write_text(
            self.MATRIX + '[cell.xen]\nwhat = ""\nkernel = "k"\nxen = ["x"]\n'
            'args = ["cell=xen"]\nsuites = "dma*"\n')
        with mock.patch.object(xen, "hypervisor", side_effect=LabError("no Xen", FETCH)):
            one, gone = self.run_jobs(["one", "xen"])
            self.assertEqual((one.ok, gone.problem, gone.status), (True, "no Xen", FETCH))
            with self.fails(FETCH, "no Xen"):
                self.run_jobs(["one", "xen"], keep_going=False)

    def test_not_going_on(self):
        self.broken("other")
        with self.fails(BUILD, "no such thing"):
            self.run_jobs(["one", "three"], keep_going=False)
        self.assertEqual(self.boots(), [])

    def test_dry_run(self):
        status, out, _ = self.lab("boot", "one", "three", "--dry-run", "--tree", "stock",
                                  "--repeat", "2")
        self.assertEqual((status, self.boots(), self.built()), (PASS, [], []))
        self.assertEqual(out, [
            "would boot one@stock: kernel k from stock",
            "would boot one@stock.2: kernel k from stock",
            "would boot three@stock: kernel other from stock",
            "would boot three@stock.2: kernel other from stock"])
        self.assertEqual(results.runs(), [])

    def test_not_wanted_any_more(self):
        """Whoever asked stops listening: what boots is ended, the rest never begins."""
        self.console("two", "", "sleep 60")
        plan = model.load()
        wanted = runner.run(plan, runner.jobs_of(plan.pick(["one", "two", "three"])),
                            runner.Options(1))
        self.assertEqual(next(wanted).cell, "one")
        self.assertTrue(until(lambda: len((self.top / "pids").read_text().split()) == 2))
        wanted.close()
        self.assertFalse(any(running(int(pid)) for pid in self.lines("pids")))
        begun = [path.name for path in results.runs()[0].iterdir() if path.is_dir()]
        self.assertEqual(sorted(begun), ["one", "two"])

    def test_interrupt(self):
        """Ctrl-C and TERM while two boots run: nothing is left, one line says so."""
        os.environ["LAB_ROOT"] = str(self.root)
        for number in (signal.SIGINT, signal.SIGTERM):
            self.lines("pids")
            self.console("default", "", f"sleep 60 & echo $! >> {self.top}/pids; wait")
            start = ("import sys\nfrom pathlib import Path\nfrom harness.tests import lab\n"
                     "lab.child(Path(sys.argv[1]), *sys.argv[2:])")
            lab = subprocess.Popen(
                [REAL, "-c", start, self.top, "boot", "one", "three", "-j2"],
                cwd=CHECKOUT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                preexec_fn=hear_interrupts)
            pids = self.top / "pids"
            began = until(lambda: len(pids.read_text().split()) == 4, 20)
            lab.send_signal(number)
            out, err = lab.communicate(timeout=20)
            self.assertTrue(began, err)
            self.assertEqual((lab.returncode, out), (INTERRUPTED, ""), err)
            self.assertEqual(err.splitlines()[-1],
                             "lab: interrupted; the next call goes on from here")
            self.assertNotIn("Traceback", err)
            self.assertFalse(any(running(int(pid)) for pid in self.lines("pids")))


class Ending(Lab):
    def test_nothing_starts_meanwhile(self):
        with process.ending():
            with self.fails(INTERRUPTED, "true"):
                process.run(["true"])
        self.assertEqual(process.run(["true"]).returncode, 0)


class Numbers(Lab):
    def test_status(self):
        def status(*outcomes):
            return runner.status(Outcome("c", passed=passed, status=status)
                                 for passed, status in outcomes)

        self.assertEqual(status(), PASS)
        self.assertEqual(status((1, PASS)), PASS)
        self.assertEqual(status((1, PASS), (0, PASS)), FAILED)
        self.assertEqual(status((1, FAILED), (1, PASS)), FAILED)
        self.assertEqual(status((1, FAILED), (0, BUILD)), BUILD)
        self.assertEqual(status((0, BUILD), (0, ENVIRONMENT), (0, BOOT)), ENVIRONMENT)
