# SPDX-License-Identifier: GPL-2.0-only
"""Building, and booting what was built: with kunit.py, QEMU and make played by
scripts."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path
from unittest import mock

from harness import paths, process
from harness.boot import cell as boots
from harness.boot import events, guest, kernel, qemu
from harness.source import trees
from harness.errors import BOOT, BUILD, ENVIRONMENT, INTERRUPTED, USAGE
from harness.model import Cell, Kernel
from harness.tests import Sandbox, hear_interrupts
from harness.tests.lab import Lab, ktap, option
from harness.tests.test_process import running, until

CHECKOUT = Path(__file__).resolve().parents[2]
DATA = Path(__file__).parent / "data"


def script(where, text):
    """Make `text` the kunit.py of the kernel tree `where`."""
    path = where / "tools/testing/kunit/kunit.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


class Machine(Lab):
    """A kernel that has been built and a QEMU that prints a recorded console."""

    def setUp(self):
        super().setUp()
        self.built = kernel.build(Kernel("k", "x86_64"), "stock")
        self.where = self.top / "kept"

    def boot(self, name="pass", then="", **cell):
        """The Outcome of a cell, with the log `name` for its console."""
        self.console("default", (DATA / f"{name}.log").read_text(), then)
        cell = Cell("cell", "", "k", **{"suites": "dma*", **cell})
        return boots.boot(cell, self.built, self.where)

    def args(self):
        """The argv of the newest QEMU."""
        return self.boots()[-1]

    def nothing_runs(self):
        pids = [int(line) for line in self.lines("pids")]
        self.assertTrue(pids)
        self.assertEqual([pid for pid in pids if running(pid)], [])


class Cells(Machine):
    def test_suites(self):
        outcome = self.boot(memory="5G", args=["swiotlb=force,track_hiwater", "b"],
                            machine="q35", cpu="max", devices=["edu,dma_mask=1", "d"])
        self.assertEqual(str(outcome), "4 passed, 0 failed, 2 skipped")
        self.assertEqual(self.args(), [
            "-nodefaults", "-nographic", "-no-reboot", "-serial", "stdio", "-accel",
            "tcg", "-bios", "qboot.rom", "-m", "5G", "-machine", "q35", "-cpu", "max",
            "-device", "edu,dma_mask=1", "-device", "d", "-kernel",
            str(self.built.image), "-append",
            "console=ttyS0 panic=-1 kunit.filter_glob=dma* kunit_shutdown=reboot "
            "swiotlb=force,track_hiwater b"])

    def test_kept(self):
        outcome = self.boot(then="sleep 0.1", timeout=30)
        for name, text in (("console.log", (DATA / "pass.log").read_text()),
                           ("config", "CONFIG_KUNIT=y\n"),
                           ("ktap.log", (DATA / "pass.log").read_text())):
            self.assertEqual((self.where / name).read_text(), text)
        self.assertIn("sub_groups", (self.where / "results.json").read_text())
        kept = json.loads((self.where / "outcome.json").read_text())
        self.assertTrue(0.1 <= kept.pop("seconds") < 20)
        self.assertEqual(kept, {
            "cell": "cell", "tree": "stock", "suites": "dma*", "passed": 4, "failed": 0,
            "skipped": 2, "problem": "", "status": 0, "failures": [],
            "commit": "commit of stock", "version": "7.3.4-lab", "accelerator": "tcg",
            "image": "9ecdcabca5ccf28bc26dda52871f4b5d1a595b56542a49cf7b12645973e98ad6",
            "directory": str(self.where)})
        self.assertEqual(outcome.cell, "cell")

    def test_commit_with_changes_besides(self):
        self.program("git", 'case "$*" in *rev-parse*) echo 1234;; *) echo " M a.c";; esac')
        self.assertEqual(self.boot().commit, "1234+")

    def test_command_repeats_the_boot(self):
        """By itself, and what is kept stays as it is."""
        self.boot()
        first = self.args()
        before = {path: path.read_bytes() for path in self.where.iterdir()}
        done = subprocess.run([self.where / "command"], check=True, cwd=self.where,
                              stdout=subprocess.PIPE, text=True)
        self.assertEqual(done.stdout, (DATA / "pass.log").read_text())
        self.assertEqual(self.args(), first)
        self.assertEqual({path: path.read_bytes() for path in self.where.iterdir()}, before)

    def test_with_kvm(self):
        with mock.patch.object(qemu, "accelerator", return_value="kvm"):
            self.assertEqual(self.boot().accelerator, "kvm")
        self.assertEqual(option(self.args(), "-accel"), "kvm")

    def test_hang(self):
        """After the time that the cell has, or more on a slow machine."""
        for factor, seconds in (("1", "0.2"), ("1.5", "0.3")):
            os.environ["TIMEOUT_FACTOR"] = factor
            outcome = self.boot(then="exec sleep 60", timeout=0.2)
            self.assertEqual((outcome.problem, outcome.hung), (
                f"the boot hung: timed out after {seconds} s (on a slow machine set "
                "TIMEOUT_FACTOR)", True))
            self.nothing_runs()
        for factor in ("x", "0", "nan"):
            os.environ["TIMEOUT_FACTOR"] = factor
            with self.fails(USAGE, f"TIMEOUT_FACTOR={factor}"):
                self.boot()

    def test_qemu_is_deaf(self):
        with mock.patch.object(process, "_PATIENCE", 0.1):
            outcome = self.boot(then="trap '' TERM; while :; do sleep 0.1; done",
                                timeout=0.2)
        self.assertTrue(outcome.hung)
        self.nothing_runs()

    def test_error_of_qemu(self):
        """It is what the user reads, not that no test has run."""
        outcome = self.boot("panic", "echo 'qemu: -device edu: no such device' >&2; exit 1")
        self.assertEqual(outcome.problem, "the kernel panicked")
        self.console("default", "", "echo 'qemu: -device edu: no such device' >&2; exit 1")
        outcome = boots.boot(Cell("c", "", "k", suites="a"), self.built, self.where)
        self.assertEqual((outcome.problem, outcome.status),
                         ("QEMU: qemu: -device edu: no such device", BOOT))

    def test_stack_is_decoded(self):
        decode = self.built.source / "scripts/decode_stacktrace.sh"
        paths.replace(decode, b'#!/bin/sh\necho "decoded with $1"; grep Call\n')
        decode.chmod(0o755)
        (self.built.dir / "vmlinux").write_text("")
        self.boot()
        self.assertFalse((self.where / "decoded.log").exists())
        self.boot("panic")
        self.assertEqual((self.where / "decoded.log").read_text(),
                         f"decoded with {self.built.dir}/vmlinux\nCall Trace:\n")

    def test_demo(self):
        outcome = self.boot("demo-force", suites="", demo="force", args=["swiotlb=force"])
        self.assertEqual(str(outcome), "3 passed, 0 failed, 0 skipped")
        args = self.args()
        self.assertEqual(option(args, "-append"), "console=ttyS0 panic=-1 kunit.enable=0 "
                         "demo=force swiotlb=force")
        self.assertEqual(option(args, "-initrd"),
                         str(self.built.dir / "guest/initramfs.cpio"))
        self.assertEqual(self.boot("demo-without", suites="", demo="force").failed, 2)

    def test_events(self):
        outcome = self.boot("demo-force", suites="", demo="virtio", events=True)
        self.assertEqual(str(outcome), "3 passed, 0 failed, 0 skipped")
        args = self.args()
        self.assertEqual(args[-4:-3] + args[-2:],
                         ["-chardev", "-mon", "chardev=monitor,mode=control"])
        self.assertIn(f"{sys.executable} {events.__file__} qemu-system-x86_64 ",
                      (self.where / "command").read_text())

    def test_modules(self):
        """Their reports are judged as one, and of a case that ran twice the worst."""
        paths.replace(self.built.dir / "modules.order", b"")
        self.console("default", "KTAP version 1\n1..1\n" + ktap("not ok a", "ok b # SKIP no")
                     + ktap("ok a", "ok b") + ktap("ok x_kunit", suite="modules")[22:])
        outcome = boots.boot(Cell("c", "", "k", suites="dma*", modules=True), self.built,
                             self.where)
        self.assertEqual((str(outcome), outcome.failures), (
            "1 passed, 1 failed, 1 skipped",
            ["dma_direct.a: Expected x == 1, but x == 0 (0x0) at kernel/dma/a.c:1"]))
        console = outcome.console
        self.assertEqual(console.count("\nKTAP version"), 0)
        self.assertTrue(console.startswith("KTAP version 1\n1..3\n"))
        for line in ("ok 1 dma_direct", "ok 2 dma_direct", "ok 3 modules"):
            self.assertIn(f"\n{line}\n", console)
        self.assertEqual(option(self.args(), "-initrd"),
                         str(self.built.dir / "guest/suites.cpio"))

    def test_a_program(self):
        """User Mode Linux is run as it is."""
        self.built = kernel.build(Kernel("uml", "um"), "stock")
        cell = Cell("c", "", "uml", suites="dma*", args=["a=1"])
        self.assertEqual(boots.argv(cell, self.built, self.where), [
            str(self.built.dir / "linux"), "mem=1G", "console=tty",
            "kunit.filter_glob=dma*", "kunit_shutdown=reboot", "a=1",
            "kunit_shutdown=halt"])

    def test_bench(self):
        """KVM cannot count instructions."""
        with mock.patch.object(qemu, "accelerator", return_value="kvm"):
            outcome = self.boot(suites="", bench="suite", machine="q35")
        self.assertTrue(outcome.ok, outcome)
        args = self.args()
        for name, value in (("-accel", "tcg"), ("-icount", "shift=0,sleep=off"),
                            ("-rtc", "base=2026-01-01,clock=vm"), ("-machine", "q35"),
                            ("-initrd", str(self.built.dir / "guest/bench.cpio"))):
            self.assertEqual(option(args, name), value)
        self.assertIn("kunit.filter_glob=suite", option(args, "-append").split())
        self.boot()
        self.assertNotIn("-icount", self.args())

    def test_not_built(self):
        self.built.image.unlink()
        with self.fails(BUILD, "./lab build k"):
            self.boot()


class Qemu(Lab):
    def setUp(self):
        super().setUp()
        self.enter(mock.patch("os.access", lambda *_args, **_kw: self.kvm))
        self.enter(mock.patch.object(qemu, "_PROBE", 1))
        self.kvm = True

    def accelerator(self, console="Linux version 7.3.4\n", then=""):
        """What boots a kernel that says this, and how often QEMU was started for that."""
        self.console("default", console, then)
        answer = qemu.accelerator("x86_64", self.top / "bzImage")
        return answer, len(self.boots())

    def test_no_kvm(self):
        with mock.patch("os.uname", lambda: mock.Mock(machine="aarch64")):
            self.assertEqual(self.accelerator(), ("tcg", 0))
        self.kvm = False
        self.assertEqual(self.accelerator(), ("tcg", 0))

    def test_kvm_that_hangs(self):
        self.enter(mock.patch.object(qemu, "_PROBE", 0.3))
        start = time.monotonic()
        self.assertEqual(self.accelerator("Decompressing Linux...", "exec sleep 60"),
                         ("tcg", 1))
        self.assertLess(time.monotonic() - start, 30)
        self.assertEqual([pid for pid in self.lines("pids") if running(int(pid))], [])
        self.assertIn("using TCG", self.stderr.getvalue())
        self.assertEqual(self.accelerator(), ("tcg", 0))

    def test_kvm_that_works(self):
        self.enter(mock.patch.object(qemu, "_PROBE", 0.3))
        for then in ("exec sleep 60", "exit 0"):
            paths.remove(paths.cache() / "accelerator.json")
            self.assertEqual(self.accelerator(then=then), ("kvm", 1))
            self.assertEqual(self.accelerator(), ("kvm", 0))

    def test_another_qemu_is_tried_again(self):
        self.assertEqual(self.accelerator(), ("kvm", 1))
        path = self.bin / "qemu-system-x86_64"
        path.write_text(path.read_text().replace("7.2.0", "11.0"))
        self.assertEqual(self.accelerator(""), ("tcg", 1))

    def test_broken_answer(self):
        paths.replace(paths.cache() / "accelerator.json", b"{")
        self.assertEqual(self.accelerator(), ("kvm", 1))

    def test_no_qemu(self):
        os.environ["PATH"] = str(self.top)
        with self.fails(ENVIRONMENT, "qemu-system-x86_64 is missing", "./lab doctor"):
            self.accelerator()


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
                                                   paths.build("series", "k")))
        args = (self.top / "args").read_text().splitlines()
        self.assertEqual(args[0], "build")
        self.assertEqual(self.configs(), [str(path) for path in
                                          (*suites, self.root / "configs/one.config",
                                           self.root / "configs/two.config")])
        self.assertIn(f"--build_dir={made.dir}", args)

    def test_environment(self):
        """Neither user, host nor time gets into a kernel, nor what make was told."""
        os.environ.update(MAKEFLAGS="-B", ARCH="um", CROSS_COMPILE="x-", KBUILD_OUTPUT="/")
        script(paths.trees() / "series",
               f"import json, os\njson.dump(dict(os.environ), open('{self.top}/env', 'w'))")
        kernel.build(self.which)
        env = json.loads((self.top / "env").read_text())
        self.assertEqual({name: value for name, value in env.items() if name.startswith(
            ("KBUILD", "CCACHE", "MAKE", "ARCH", "CROSS"))}, {
                "KBUILD_BUILD_TIMESTAMP": "2026-01-01", "KBUILD_BUILD_USER": "lab",
                "KBUILD_BUILD_HOST": "lab", "KBUILD_BUILD_VERSION": "1", "CCACHE_DIR": str(paths.ccache()),
                "CCACHE_DEPEND": "1", "CCACHE_NOHASHDIR": "1", "CCACHE_MAXSIZE": "5G"})

    def test_compiler_cache(self):
        """It has no assembler, whose .incbin it would not see."""
        self.program("ccache", 'echo "ccache $*"')
        self.program("cc", 'echo "cc $*"')
        for source, said in (("a.c", "ccache cc -c a.c"), ("a.S", "cc -c a.S")):
            self.assertEqual(process.run(["ccache-c", "cc", "-c", source], env={
                "PATH": kernel.environment()["PATH"]}).stdout, f"{said}\n")

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
                            paths.build("series", "k") / "lab-build.log"):
                self.build(*lines, status=1)

    def test_log_is_of_this_build(self):
        for _ in range(2):
            made = self.build("said")
        self.assertEqual((made.dir / "lab-build.log").read_text(), "said")

    def test_full_disk(self):
        with self.fails(ENVIRONMENT, paths.build("series", "k"), "GiB free",
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
        self.cpio = shutil.which("cpio", path=os.environ["PATH"].partition(":")[2])
        self.program("cpio", f'echo "$*" > {self.top}/cpio.args; exec {self.cpio} "$@"')
        self.program("busybox", "")

    def files(self, **kw):
        cell = Cell("cell", "", "k", **(kw or {"demo": "plain"}))
        with open(guest.archive(self.built, cell), "rb") as archive:
            done = subprocess.run([self.cpio, "--quiet", "-t"], stdin=archive, check=True,
                                  stdout=subprocess.PIPE, text=True)
        return done.stdout.split()

    def test_archive(self):
        self.assertEqual(self.files(), ["bin", "dev", "edu_dma.ko", "edu_rdma.ko",
                                        "init", "proc", "sys"])
        self.assertIn("-R 0:0", (self.top / "cpio.args").read_text())
        self.assertIn("bin/busybox", self.files(demo="shell"))

    def test_programs(self):
        """A scenario gets its packages, without what only people read."""
        def extract(deb, root):
            for name in ("usr/bin", "usr/share/doc"):
                paths.replace(root / name / deb.name, b"")
        self.enter(mock.patch("harness.source.fetch.extract", extract))
        self.enter(mock.patch("harness.source.fetch.package",
                              lambda base: Path(base["package"] + base["arch"])))
        self.enter(mock.patch.dict(guest.PROGRAMS, pingpong=["one", "two"]))
        files = self.files(demo="pingpong")
        self.assertEqual([name for name in files if name.startswith("usr")],
                         ["usr", "usr/bin", "usr/bin/oneamd64", "usr/bin/twoamd64"])
        self.assertNotIn("usr", self.files(demo="force"))

    def test_witness(self):
        """The tool and its header are those of the kernel."""
        self.assertEqual(self.files(bench="*"),
                         ["bin", "dev", "dma_map_benchmark", "init", "proc", "sys"])
        self.assertEqual((self.built.dir / "guest/include/linux/map_benchmark.h")
                         .read_text(), "/* of this kernel */\n")

    def test_realm(self):
        """Kernel and initrd lie where the monitor and the kernel look for them."""
        self.program("objcopy", 'echo flash > "$4"')
        cell = Cell("cell", "", "k", realm=True, demo="realm", args=["mem=1G"])
        with mock.patch.object(qemu, "accelerator", lambda *_: "kvm"):
            argv = list(map(str, boots.argv(cell, self.built, self.top)))
        archive, flash = (self.built.dir / "guest" / name
                          for name in ("initramfs.cpio", "realm.img"))
        self.assertNotIn("kvm", argv)
        self.assertNotIn("-initrd", argv)
        for words in (f"loader,file={self.built.image},addr=0x40200000,force-raw=on",
                       f"loader,file={archive},addr=0x48000000,force-raw=on",
                       f"if=pflash,format=raw,readonly=on,file={flash}"):
            self.assertIn(words, argv)
        self.assertIn(f"kunit.enable=0 demo=realm mem=1G initrdmem=0x48000000,"
                      f"{archive.stat().st_size}", argv[argv.index("-append") + 1])
        self.assertEqual(flash.stat().st_size, 64 << 20)
        self.assertTrue(flash.read_bytes().startswith(b"flash\n"))

    def test_modules(self):
        """They are those of the last build, though it made no new kernel."""
        paths.replace(self.built.dir / "modules.order", b"a/kunit.o\na/x_kunit.o\na/b.o\n")
        for name in ("kunit", "x_kunit", "b", "old_kunit"):
            paths.replace(self.built.dir / f"a/{name}.ko", b"")
        self.assertEqual(self.files(suites="*", modules=True), [
            "bin", "dev", "init", "kunit.ko", "proc", "sys", "x_kunit.ko"])
        paths.replace(self.built.dir / "a/x_kunit.ko", b"new")
        os.utime(self.built.dir / "a/x_kunit.ko", (3e9, 3e9))
        self.files(suites="*", modules=True)
        self.assertEqual((self.built.dir / "guest/suites/x_kunit.ko").read_bytes(), b"new")

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
        self.program("cpio", 'while [ "$1" != -F ]; do shift; done\necho half > "$2"\n'
                     'kill $$')
        with self.fails(BUILD, "cpio"):
            self.files()
        self.program("cpio", f'exec {self.cpio} "$@"')
        self.assertIn("init", self.files())

    def test_does_not_compile(self):
        self.program("gcc", "echo \"demo.c:3:1: error: unknown type name 'x'\"; exit 1")
        with self.fails(BUILD, "guest/", "demo.c:3:1: error: unknown type name 'x'",
                        self.built.dir / "lab-guest.log"):
            self.files()
