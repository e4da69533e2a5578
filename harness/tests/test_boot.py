# SPDX-License-Identifier: GPL-2.0-only
"""Building, and booting what was built: with kunit.py, QEMU and make played by
scripts."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path
from unittest import mock

from harness import paths, process
from harness.boot import cells, events, guest, kernel, qemu
from harness.source import trees
from harness.errors import BOOT, BUILD, ENVIRONMENT, INTERRUPTED
from harness.model import Cell, Kernel
from harness.tests import Sandbox, hear_interrupts
from harness.tests.test_process import running, until

CHECKOUT = Path(__file__).resolve().parents[2]
DATA = Path(__file__).parent / "data"

# What we use of kunit.py. REPORT stands for what its parser makes of the console.
KUNIT = '''
import os, shlex, shutil, subprocess, sys

def option(name):
    return [arg.split("=", 1)[1] for arg in sys.argv if arg.startswith(f"--{name}=")]

if sys.argv[1] == "exec":
    cmd = ["qemu-system-x86_64", "-accel", "kvm", "-accel", "hvf", "-accel", "tcg",
           "-append", " ".join(option("kernel_args"))]
    for arg in option("qemu_args"):
        cmd += shlex.split(arg)
    with subprocess.Popen(cmd, stdout=subprocess.PIPE, text=True) as child:
        try:
            console = child.communicate(timeout=float(*option("timeout")))[0]
        except subprocess.TimeoutExpired as late:
            print(late)
            child.terminate()
            console = child.communicate()[0]
    with open(os.path.join(*option("build_dir"), "test.log"), "w") as log:
        log.write(console)
if option("json"):
    shutil.copy(os.environ["REPORT"], *option("json"))
if option("raw_output"):
    print("KTAP version 1")
'''


def script(where, text):
    """Make `text` the kunit.py of the kernel tree `where`."""
    path = where / "tools/testing/kunit/kunit.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


class Machine(Sandbox):
    """A kernel that has been built and a QEMU that prints a recorded console."""

    def setUp(self):
        super().setUp()
        self.built = kernel.Build(Kernel("k", "x86_64"), self.top / "source",
                                  self.top / "build")
        self.built.image.parent.mkdir(parents=True)
        self.built.image.write_text("")
        (self.built.dir / ".config").write_text("CONFIG_KUNIT=y\n")
        script(self.built.source, KUNIT)

    def qemu(self, console="/dev/null", then="", version="7.2.0"):
        """QEMU prints its arguments to qemu.args, then `console`, then does `then`."""
        self.program("qemu-system-x86_64", f"""
            if [ "$*" = --version ]; then echo 'QEMU emulator version {version}'; exit; fi
            echo $$ >> {self.top}/pids
            for arg; do echo "$arg"; done > {self.top}/qemu.args
            cat {console}
            {then}""")

    def args(self):
        return (self.top / "qemu.args").read_text().splitlines()

    def pids(self):
        path = self.top / "pids"
        return [int(n) for n in path.read_text().split()] if path.exists() else []

    def nothing_runs(self):
        self.assertTrue(self.pids())
        self.assertEqual([pid for pid in self.pids() if running(pid)], [])


class Cells(Machine):
    def setUp(self):
        super().setUp()
        self.accelerator = self.enter(mock.patch.object(qemu, "accelerator",
                                                        return_value="tcg"))
        self.enter(mock.patch.object(guest, "initramfs", return_value="initramfs"))

    def boot(self, name="pass", then="", **cell):
        os.environ["REPORT"] = str(DATA / f"{name}.json")
        self.qemu(DATA / f"{name}.log", then)
        cell = Cell("cell", "", "k", **{"suites": "dma*", **cell})
        return cells.run(cell, self.built, self.top)

    def kept(self, name):
        return (self.top / "cell" / name).read_text(encoding="utf-8")

    def test_suites(self):
        outcome = self.boot(memory="5G", args=["swiotlb=force,track_hiwater", "b"],
                            devices=["edu,dma_mask=1"])
        self.assertEqual(str(outcome), "4 passed, 0 failed, 2 skipped")
        self.assertEqual(self.args(),
                         ["-accel", "tcg", "-append",
                          "panic=-1 swiotlb=force,track_hiwater b", "-m", "5G",
                          "-device", "edu,dma_mask=1"])
        self.assertEqual(self.kept("console.log"), (DATA / "pass.log").read_text())
        self.assertEqual(self.kept("results.json"), (DATA / "pass.json").read_text())
        self.assertEqual(self.kept("config"), "CONFIG_KUNIT=y\n")
        self.assertEqual(self.kept("ktap.log"), "KTAP version 1\n")
        self.assertEqual(json.loads(self.kept("outcome.json"))["passed"], 4)

    def test_command_repeats_the_boot(self):
        """Also outside of ./lab, where kunit.py would take KVM."""
        self.boot()
        first = self.args()
        (self.top / "qemu.args").unlink()
        subprocess.run(["sh", "-c", self.kept("command")], check=True)
        self.assertEqual(self.args(), first)

    def test_with_kvm(self):
        self.accelerator.return_value = "kvm"
        self.boot()
        self.assertEqual(self.args()[:6],
                         ["-accel", "kvm", "-accel", "hvf", "-accel", "tcg"])

    def test_failures(self):
        self.assertEqual(self.boot("fail").failed, 1)

    def test_hang(self):
        outcome = self.boot(then="exec sleep 60", timeout=0.5)
        self.assertEqual((outcome.problem, outcome.hung), ("the boot hung", True))
        self.nothing_runs()
        self.assertTrue(json.loads(self.kept("outcome.json"))["hung"])

    def test_kunit_hangs(self):
        """QEMU is deaf to what kunit.py sends it."""
        with mock.patch.object(cells, "_GRACE", 0.8):
            with mock.patch.object(process, "_PATIENCE", 0.1):
                outcome = self.boot(then="trap '' TERM; while :; do sleep 0.1; done",
                                    timeout=0.2)
        self.assertEqual((outcome.problem, outcome.hung), ("the boot hung", True))
        self.nothing_runs()

    def test_old_console(self):
        """kunit.py fails: what the last boot left in the build is not the result."""
        self.boot()
        paths.remove(self.top / "cell")
        script(self.built.source, "raise SystemExit('no such option')")
        outcome = self.boot()
        self.assertEqual((outcome.problem, outcome.hung), ("no test has run", True))
        self.assertEqual(self.kept("console.log"), "")

    def test_demo(self):
        outcome = self.boot("demo-force", suites="", demo="force", args=["swiotlb=force"])
        self.assertEqual(str(outcome), "3 passed, 0 failed, 0 skipped")
        append = self.args()[self.args().index("-append") + 1]
        for word in ("demo=force", "kunit.enable=0", "swiotlb=force", "panic=-1"):
            self.assertIn(word, append.split())
        self.assertEqual(self.args()[self.args().index("-initrd") + 1], "initramfs")
        self.assertEqual(shlex.split(self.kept("command"))[1:], self.args())

    def test_events(self):
        outcome = self.boot("demo-force", suites="", demo="virtio", events=True)
        self.assertEqual(str(outcome), "3 passed, 0 failed, 0 skipped")
        self.assertEqual(self.args()[-4:-3] + self.args()[-2:],
                         ["-chardev", "-mon", "chardev=monitor,mode=control"])
        words = shlex.split(self.kept("command"))
        self.assertEqual(words[:2], [sys.executable, events.__file__])
        self.assertEqual(words[3:], self.args()[:-4])

    def test_bench(self):
        """kunit.py could not have instructions counted, and KVM cannot count them."""
        self.accelerator.return_value = "kvm"
        self.enter(mock.patch.object(guest, "witness", return_value="witness"))
        outcome = self.boot("pass", suites="", bench="suite", machine="q35")
        self.assertTrue(outcome.ok, outcome)
        for option, value in (("-accel", "tcg"), ("-icount", "shift=0,sleep=off"),
                              ("-machine", "q35"), ("-initrd", "witness")):
            self.assertEqual(self.args()[self.args().index(option) + 1], value)
        append = self.args()[self.args().index("-append") + 1]
        self.assertIn("kunit.filter_glob=suite", append.split())
        self.boot()
        self.assertNotIn("-icount", self.args())

    def test_demo_that_fails(self):
        self.assertEqual(self.boot("demo-without", suites="", demo="force").failed, 2)

    def test_demo_hangs(self):
        outcome = self.boot("demo-force", "exec sleep 60", suites="", demo="force",
                            timeout=0.5)
        self.assertEqual((outcome.problem, outcome.hung), ("the boot hung", True))
        self.nothing_runs()

    def test_not_built(self):
        self.built.image.unlink()
        with self.fails(BUILD, "./lab build k"):
            self.boot()


class Qemu(Machine):
    def setUp(self):
        super().setUp()
        access = os.access
        self.enter(mock.patch("os.access", lambda path, *args, **kw: (
            self.kvm if path == "/dev/kvm" else access(path, *args, **kw))))
        self.enter(mock.patch("os.uname", return_value=mock.Mock(machine="x86_64")))
        self.enter(mock.patch.object(qemu, "_PROBE", 1))
        self.kvm = True
        self.said = self.top / "said"
        self.said.write_text("Linux version 7.3.4\n")

    def accelerator(self):
        return qemu.accelerator("x86_64", self.built.image)

    def test_no_kvm(self):
        self.kvm = False
        self.qemu(self.said)
        self.assertEqual(self.accelerator(), "tcg")
        self.assertEqual(self.pids(), [])

    def test_another_arch(self):
        os.uname.return_value.machine = "aarch64"
        self.qemu(self.said)
        self.assertEqual(self.accelerator(), "tcg")
        self.assertEqual(self.pids(), [])

    def test_kvm_that_hangs(self):
        self.said.write_text("Decompressing Linux...")
        self.enter(mock.patch.object(qemu, "_PROBE", 0.5))
        self.qemu(self.said, "exec sleep 60")
        start = time.monotonic()
        self.assertEqual(self.accelerator(), "tcg")
        self.assertLess(time.monotonic() - start, 30)
        self.nothing_runs()
        self.assertIn("using TCG", self.stderr.getvalue())
        self.assertEqual((self.accelerator(), len(self.pids())), ("tcg", 1))
        self.assertEqual(self.args()[self.args().index("-accel") + 1], "kvm")

    def test_kvm_that_works(self):
        for then in ("exec sleep 60", "exit 0"):
            paths.remove(paths.cache() / "accelerator.json")
            self.qemu(self.said, then)
            self.assertEqual(self.accelerator(), "kvm")
            self.nothing_runs()
        self.assertEqual(qemu.environment("x86_64", self.built.image), {})
        self.assertEqual(len(self.pids()), 2)

    def test_another_qemu_is_tried_again(self):
        self.qemu(self.said)
        self.assertEqual(self.accelerator(), "kvm")
        self.qemu("/dev/null", version="11.0")
        self.assertEqual(self.accelerator(), "tcg")

    def test_broken_answer(self):
        paths.replace(paths.cache() / "accelerator.json", b"{")
        self.qemu(self.said)
        self.assertEqual(self.accelerator(), "kvm")

    def test_shim(self):
        self.kvm = False
        self.qemu()
        env = qemu.environment("x86_64", self.built.image)
        given = ["-nodefaults", "-accel", "kvm", "-append", "a 'b' \"c\"  d * $HOME", "",
                 "-accel", "hvf", "-accel", "tcg", "-device", "kvm", "-accel", "kvm"]
        process.run(["qemu-system-x86_64", *given], env=env, check_status=BOOT)
        self.assertEqual(self.args(),
                         ["-nodefaults", "-append", "a 'b' \"c\"  d * $HOME", "",
                          "-accel", "tcg", "-device", "kvm"])
        process.run(["qemu-system-x86_64"], env=env, check_status=BOOT)
        self.assertEqual(self.args(), [])

    def test_boot(self):
        log = self.top / "console.log"
        log.write_text("old\n")
        self.qemu(self.said)
        cmd = qemu.command("x86_64", self.built.image, args=["a=b", "c"],
                           machine=["-m", "1G", "-device", "d"])
        self.assertEqual(qemu.boot(cmd, timeout=5, log=log), self.said.read_text())
        self.assertEqual(log.read_text(), self.said.read_text())
        self.assertEqual(self.args(), cmd[1:])
        self.assertIn("console=ttyS0 panic=-1 a=b c", cmd)
        self.assertNotIn("-initrd", cmd)

    def test_boot_fails(self):
        self.qemu(then="echo 'qemu-system-x86_64: -device edu: no such device' >&2\n"
                  "exit 1")
        with self.fails(BOOT, "-device edu: no such device", self.top / "log"):
            qemu.boot([qemu.binary("x86_64")], timeout=5, log=self.top / "log")

    def test_no_qemu(self):
        os.environ["PATH"] = str(self.bin)
        with self.fails(ENVIRONMENT, "sudo apt-get install qemu-system-x86"):
            qemu.binary("x86_64")


class Build(Sandbox):
    def setUp(self):
        super().setUp()
        self.enter(mock.patch.object(trees, "tree"))
        self.which = Kernel("k", "x86_64", ["one", "two"])
        (self.root / "configs").mkdir(exist_ok=True)
        for config in self.which.configs():
            config.write_text("CONFIG_A=y\n")

    def build(self, *output, status=0):
        """Build with a kunit.py that prints `output`."""
        script(paths.trees() / "series", f"import sys\nsys.stdout.write("
               f"{chr(10).join(output)!r})\nopen({str(self.top / 'args')!r}, 'w').write("
               f"'\\n'.join(sys.argv[1:]))\nsys.exit({status})\n")
        return kernel.build(self.which)

    def configs(self):
        """The kunitconfigs that kunit.py was given."""
        return [arg.removeprefix("--kunitconfig=") for arg in
                (self.top / "args").read_text().splitlines() if "kunitconfig" in arg]

    def test_good(self):
        suites = [paths.trees() / "series" / name for name in
                  ("kernel/dma/.kunitconfig", "drivers/infiniband/core/tests/.kunitconfig")]
        for config in suites:
            config.parent.mkdir(parents=True)
            config.write_text("")
        made = self.build("Building with:", "ERROR:root:a.c:1:2: warning: unused")
        trees.tree.assert_called_once_with("series")
        self.need.assert_called_once_with("build", "x86_64")
        self.assertEqual((made.source, made.dir), (paths.trees() / "series",
                                                   paths.builds("series") / "k"))
        args = (self.top / "args").read_text().splitlines()
        self.assertEqual(args[0], "build")
        self.assertEqual(self.configs(), [str(path) for path in
                                          (*suites, self.root / "configs/one.config",
                                           self.root / "configs/two.config")])
        self.assertIn(f"--build_dir={made.dir}", args)

    def test_no_suites(self):
        """A tree without the suites lacks their .kunitconfig."""
        self.build("Building with:")
        self.assertEqual(self.configs()[0],
                         str(self.root / "configs/untested.config"))

    def test_suites_that_the_tree_does_not_have(self):
        one, two = self.which.configs()
        one.write_text("CONFIG_A=y\nCONFIG_B_KUNIT_TEST=y\nCONFIG_C_KUNIT_TEST=m\n")
        two.write_text("CONFIG_B_KUNIT_TEST=y\n")
        for path, text in (("kernel/dma", "config B_KUNIT_TEST\n"),
                           ("drivers/infiniband", "config C_KUNIT_TEST_TOO\n")):
            (paths.trees() / "series" / path).mkdir(parents=True)
            (paths.trees() / "series" / path / "Kconfig").write_text(text)
        self.build("Building with:")
        changed, same = self.configs()[1:]
        self.assertEqual(Path(changed).read_text(), "CONFIG_A=y\nCONFIG_B_KUNIT_TEST=y\n")
        self.assertEqual(same, str(two))

    def test_alone(self):
        self.which.alone = True
        self.build()
        args = (self.top / "args").read_text().splitlines()
        self.assertEqual([arg for arg in args if "kunitconfig" in arg],
                         [f"--kunitconfig={self.root / 'configs' / name}.config"
                          for name in ("one", "two")])

    def test_first_error(self):
        """kunit.py gives all that make wrote to stderr to logging.error()."""
        for lines, first in (
                (["Building with:", "$ make all",
                  "ERROR:root:../kernel/dma/direct.c: In function 'dma_direct_map_sg':",
                  "../kernel/dma/direct.c:42:9: error: 'x' undeclared",
                  "../kernel/dma/direct.c:43:9: error: 'y' undeclared",
                  "make[4]: *** [../scripts/Makefile.build:289: direct.o] Error 1"],
                 "../kernel/dma/direct.c:42:9: error: 'x' undeclared"),
                (["ERROR:root:Not all Kconfig options selected in kunitconfig were in "
                  "the generated .config.", "Missing: CONFIG_X=y, CONFIG_Y=y"],
                 "Missing: CONFIG_X=y, CONFIG_Y=y"),
                (["ERROR:root:Provided kunitconfig is bad"],
                 "Provided kunitconfig is bad"),
                ([""], "no output")):
            with self.fails(BUILD, f": {first} (log: ",
                            paths.builds("series") / "k/lab-build.log"):
                self.build(*lines, status=1)

    def test_log_is_of_this_build(self):
        for _ in range(2):
            made = self.build("said")
        self.assertEqual((made.dir / "lab-build.log").read_text(), "said")

    def test_full_disk(self):
        with self.fails(ENVIRONMENT, paths.builds("series") / "k", "GiB free",
                        "XDG_CACHE_HOME"):
            self.build("ERROR:root:/tmp/ccX.s: error: No space left on device", status=1)

    def test_interrupt(self):
        """Ctrl-C ends ./lab build, make and the compilers; kunit.py catches it."""
        pids = self.top / "pids"
        pids.write_text("")
        tarball = self.kernel(**{"tools/testing/kunit/kunit.py": f"""
import os, signal, subprocess, time
signal.signal(signal.SIGINT, lambda *_: None)
child = subprocess.Popen(["sleep", "60"])
with open("{pids}", "w") as file:
    file.write(f"{{os.getpid()}} {{child.pid}}")
while True:
    time.sleep(1)
"""})
        os.environ.update(LAB_ROOT=str(self.root), LINUX_TARBALL=str(tarball),
                          TERM="xterm")
        (self.root / "matrix.toml").write_text('[kernel.k]\narch = "x86_64"\n')
        self.program("dpkg-query", "for name; do echo \"installed $name\"; done")
        # ./lab, with a disk that is large enough.
        start = ("import runpy\nfrom harness import paths\n"
                 "paths.want_free = lambda *_: None\n"
                 "runpy.run_path('lab', run_name='__main__')")
        child = subprocess.Popen([sys.executable, "-c", start, "build"], cwd=CHECKOUT,
                                 text=True, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, preexec_fn=hear_interrupts)
        began = until(lambda: len(pids.read_text().split()) == 2, 20)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=10)
        self.assertTrue(began, err)
        self.assertEqual((child.returncode, out), (INTERRUPTED, ""), err)
        self.assertEqual(err.splitlines()[-1],
                         "lab: interrupted; the next call goes on from here")
        self.assertIn("build k from series ... stopped after", err.splitlines()[-2])
        for text in ("Traceback", "\033", "\r"):
            self.assertNotIn(text, err)
        self.assertFalse(any(running(int(pid)) for pid in pids.read_text().split()))


@unittest.skipUnless(shutil.which("cpio"), "needs cpio")
class Guest(Machine):
    def setUp(self):
        super().setUp()
        self.program("gcc", 'while [ "$1" != -o ]; do shift; done\necho init > "$2"')
        self.program("make", 'for arg; do case $arg in\n'
                     'M=*) dir=${arg#M=}; echo module > "$dir/${dir##*/}.ko"\n'
                     'esac; done')
        self.program("busybox", "")

    def files(self, make=guest.initramfs, **kw):
        with open(make(self.built, **kw), "rb") as archive:
            done = subprocess.run(["cpio", "--quiet", "-t"], stdin=archive, check=True,
                                  stdout=subprocess.PIPE, text=True)
        return done.stdout.split()

    def test_archive(self):
        self.assertEqual(self.files(), ["bin", "dev", "edu_dma.ko", "edu_rdma.ko",
                                        "init", "proc", "sys"])
        self.assertIn("bin/busybox", self.files(shell=True))

    def test_witness(self):
        """The tool and its header are those of the kernel."""
        header = self.built.source / "include/uapi/linux/map_benchmark.h"
        header.parent.mkdir(parents=True)
        header.write_text("/* of this kernel */\n")
        self.assertEqual(self.files(guest.witness),
                         ["bin", "dev", "dma_map_benchmark", "init", "proc", "sys"])
        self.assertEqual((self.built.dir / "guest/include/linux/map_benchmark.h")
                         .read_text(), header.read_text())

    def test_made_only_when_it_has_to_be(self):
        self.files()
        gcc = (self.bin / "gcc").read_text()
        self.program("gcc", "echo 'gcc: error: called'; exit 1")
        self.files()
        os.utime(self.built.image, (3e9, 3e9))
        with self.fails(BUILD, "called"):
            self.files()
        (self.bin / "gcc").write_text(gcc)
        self.files()

    def test_half_an_archive(self):
        """cpio is interrupted: the next call does not boot what it left."""
        cpio = f'exec {shutil.which("cpio")} "$@"'
        self.program("cpio", 'while [ "$1" != -F ]; do shift; done\necho half > "$2"\n'
                     'kill $$')
        with self.fails(BUILD, "cpio"):
            self.files()
        self.program("cpio", cpio)
        self.assertIn("init", self.files())

    def test_does_not_compile(self):
        self.program("gcc", "echo \"demo.c:3:1: error: unknown type name 'x'\"; exit 1")
        with self.fails(BUILD, "guest/", "demo.c:3:1: error: unknown type name 'x'",
                        self.built.dir / "lab-guest.log"):
            self.files()
