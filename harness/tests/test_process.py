# SPDX-License-Identifier: GPL-2.0-only
"""Programs that are run leave nothing behind."""

import fcntl
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import unittest
from pathlib import Path
from unittest import mock

from harness import paths, process
from harness.errors import BUILD, ENVIRONMENT, INTERRUPTED
from harness.tests import Sandbox, hear_interrupts

CHECKOUT = Path(__file__).resolve().parents[2]


def running(pid):
    """Whether the process is there and not a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(condition, seconds=5):
    """Wait for `condition`; returns whether it came true."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


class Run(Sandbox):
    def pids(self):
        return [int(n) for n in (self.top / "pids").read_text().split()]

    def test_output(self):
        done = process.run(["sh", "-c", "cat; echo err >&2; exit 3"], input="in\r\n")
        self.assertEqual((done.stdout, done.stderr, done.returncode),
                         ("in\r\n", "err\n", 3))

    def test_environment(self):
        with mock.patch.dict(os.environ, A="1", B="2"):
            done = process.run(["sh", "-c", "echo $A-$B-$C"], env={"A": None, "C": "3"})
        self.assertEqual(done.stdout, "-2-3\n")

    def test_log_is_appended_to(self):
        log = self.top / "logs" / "x.log"
        process.run(["echo", "one"], log=log)
        done = process.run(["sh", "-c", "echo two; echo three >&2"], log=log)
        self.assertEqual(done.stdout, "two\nthree\n")
        self.assertEqual(log.read_text(), "one\ntwo\nthree\n")

    def test_failure(self):
        script = "echo 'a.c:1: error: no such thing'; echo 'make: *** [x] Error 1'; exit 2"
        with self.fails(BUILD, "kernel: a.c:1: error: no such thing", "x.log"):
            process.run(["sh", "-c", script], log=self.top / "x.log",
                        check_status=BUILD, what="kernel")

    def test_missing_program(self):
        with self.fails(ENVIRONMENT, "is missing", "./lab doctor"):
            process.run(["qemu-system-x86_64"], env={"PATH": "/nonexistent"})

    def test_missing_directory(self):
        with self.fails(ENVIRONMENT, "/nonexistent is not a directory"):
            process.run(["true"], cwd="/nonexistent")

    def test_full_disk(self):
        with self.fails(ENVIRONMENT, self.top, "GiB free"):
            process.run(["sh", "-c", "echo 'cc: No space left on device'; exit 1"],
                        cwd=self.top, check_status=BUILD)
        with mock.patch("builtins.open", side_effect=OSError(28, "No space left")):
            with self.fails(ENVIRONMENT, self.top / "log", "GiB free"):
                process.run(["true"], log=self.top / "log")

    def test_timeout_ends_the_group(self):
        script = f"sleep 60 & echo $$ $! > {self.top}/pids; echo partial; wait"
        with self.assertRaises(subprocess.TimeoutExpired) as caught:
            process.run(["sh", "-c", script], timeout=0.3)
        self.assertEqual(caught.exception.output, "partial\n")
        self.assertFalse(any(running(pid) for pid in self.pids()))
        with self.fails(BUILD, "kernel: took longer than 0.2 s"):
            process.run(["sleep", "60"], timeout=0.2, check_status=BUILD, what="kernel")

    def test_silence(self):
        """That it talks keeps it alive, but not for longer than it may take."""
        talks = "for i in 1 2 3 4 5 6; do echo $i; sleep 0.1; done"
        self.assertEqual(process.run(["sh", "-c", talks], silence=0.4).stdout,
                         "1\n2\n3\n4\n5\n6\n")
        for script, limits in ((f"{talks}; sleep 60", {"silence": 0.4}),
                               (talks, {"silence": 0.4, "timeout": 0.3})):
            with self.assertRaises(subprocess.TimeoutExpired) as caught:
                process.run(["sh", "-c", script], **limits)
            self.assertTrue(caught.exception.output.startswith("1\n2\n"))

    def test_a_deaf_group_is_killed(self):
        script = f"trap '' TERM; echo $$ > {self.top}/pids; while :; do sleep 0.1; done"
        with mock.patch.object(process, "_PATIENCE", 0.3):
            with self.assertRaises(subprocess.TimeoutExpired):
                process.run(["sh", "-c", script], timeout=0.2)
        self.assertFalse(any(running(pid) for pid in self.pids()))

    def test_interrupt_ends_the_group(self):
        """Ctrl-C, and TERM: both end the children first."""
        for number in (signal.SIGINT, signal.SIGTERM):
            pids = self.top / "pids"
            pids.write_text("")
            script = textwrap.dedent(f"""
                import sys
                from harness import process
                process.catch_termination()
                try:
                    process.run(["sh", "-c", "sleep 60 & echo $$ $! > {pids}; wait"])
                except KeyboardInterrupt:
                    sys.exit({INTERRUPTED})
                """)
            child = subprocess.Popen([sys.executable, "-c", script],
                                     cwd=CHECKOUT, preexec_fn=hear_interrupts)
            self.assertTrue(until(lambda: len(pids.read_text().split()) == 2))
            child.send_signal(number)
            self.assertEqual(child.wait(10), INTERRUPTED)
            self.assertFalse(any(running(pid) for pid in self.pids()))

    def test_interrupt_while_it_starts(self):
        start = subprocess.Popen
        # A shell starts programs in the background with this signal ignored.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGINT, before)

        def interrupted(*args, **kw):
            child = start(*args, **kw)
            self.addCleanup(child.kill)
            (self.top / "pids").write_text(str(child.pid))
            signal.raise_signal(signal.SIGINT)
            return child

        with mock.patch("subprocess.Popen", interrupted):
            with self.assertRaises(KeyboardInterrupt):
                process.run(["sleep", "60"])
        self.assertFalse(any(running(pid) for pid in self.pids()))
        self.assertEqual(signal.getsignal(signal.SIGINT), signal.default_int_handler)

    def test_last_line(self):
        for text, line in (("", ""), ("a\nb\n\n", "b"),
                           ("x: error: e\nmake[2]: *** [y] Error 1\n", "x: error: e"),
                           ("make: *** No rule\n", "make: *** No rule"),
                           ("fatal: bad\nhint: do\n", "fatal: bad")):
            self.assertEqual(process.last_line(text), line)


class Git(Sandbox):
    def test_isolated(self):
        (self.top / ".gitconfig").write_text("[user]\nname = Me\n[alias]\nx = version\n")
        with mock.patch.dict(os.environ, GIT_DIR="/nonexistent", GIT_AUTHOR_NAME="Me"):
            process.git("init", "-q", cwd=self.top, check_status=1)
            process.git("commit", "-q", "--allow-empty", "-m", "x", cwd=self.top,
                        check_status=1)
            out = process.git("log", "--format=%an %ae %cn", cwd=self.top).stdout
            self.assertEqual(out, f"{process.NAME} {process.EMAIL} {process.NAME}\n")
            self.assertNotEqual(process.git("x", cwd=self.top).returncode, 0)


class Paths(Sandbox):
    def test_cache(self):
        self.assertEqual(paths.cache(), self.top / "cache/dma-require-coherent")
        self.assertTrue(paths.results().is_dir())
        os.environ["XDG_CACHE_HOME"] = "relative"
        self.assertEqual(paths.cache(), self.top / ".cache/dma-require-coherent")

    def test_unwritable(self):
        (self.top / "file").write_text("")
        os.environ["XDG_CACHE_HOME"] = str(self.top / "file")
        with self.fails(ENVIRONMENT, "XDG_CACHE_HOME"):
            paths.cache()
        os.environ["XDG_CACHE_HOME"] = str(self.top)
        with mock.patch("os.access", return_value=False):
            with self.fails(ENVIRONMENT, "Permission denied"):
                paths.cache()

    def test_full(self):
        with mock.patch("shutil.disk_usage", return_value=mock.Mock(free=0)):
            with self.fails(ENVIRONMENT, "0.0 GiB free"):
                paths.cache()
        with mock.patch("os.replace", side_effect=OSError(28, "No space left")):
            with self.fails(ENVIRONMENT, self.top / "x"):
                paths.replace(self.top / "x", b"data")
        self.assertEqual([p for p in self.top.iterdir() if "x" in p.name], [])

    def waits(self, who):
        """Another process says for whom it waits, and gets the lock afterwards."""
        script = "from harness import paths\nwith paths.lock('a'): print('held')"
        child = subprocess.Popen([sys.executable, "-c", script], text=True, cwd=CHECKOUT,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertIn(f"waiting for {who}, which holds", child.stderr.readline())
        self.assertIsNone(child.poll())
        return child

    def test_lock(self):
        with paths.lock("a"), paths.lock("a"):
            child = self.waits(f"process {os.getpid()}")
        self.assertEqual(child.communicate(timeout=10)[0], "held\n")

    def test_lock_whose_owner_is_not_known_yet(self):
        with paths.lock("a"):
            pass
        with open(paths.cache() / "a.lock", "a", encoding="ascii") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            child = self.waits("another process")
        self.assertEqual(child.communicate(timeout=10)[0], "held\n")


class Places(unittest.TestCase):
    def test_nobody_gets_ahead(self):
        """Who wants few waits for who wants many, and came before."""
        places, order = process.Places(2), []

        def take(wanted):
            with places.take(wanted):
                order.append(wanted)

        with places.take(1):
            threads = [threading.Thread(target=take, args=[wanted]) for wanted in (5, 1)]
            for number, thread in enumerate(threads, 1):
                thread.start()
                self.assertTrue(until(lambda: len(places.waiting) == number))
            self.assertEqual(order, [])
        for thread in threads:
            thread.join()
        self.assertEqual(order, [5, 1])
