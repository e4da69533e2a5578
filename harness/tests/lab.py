# SPDX-License-Identifier: GPL-2.0-only
"""A whole ./lab whose programs are scripts: QEMU, kunit.py, git, compilers."""

import contextlib
import io
import os
import sys
from pathlib import Path
from unittest import mock

from harness import cli, packages, paths, process
from harness.boot import guest
from harness.source import fetch, trees
from harness.tests import Sandbox

CHECKOUT = Path(__file__).resolve().parents[2]
MATRIX = """
[kernel.k]
arch = "x86_64"
[kernel.other]
arch = "x86_64"
[cell.one]
what = "1"
kernel = "k"
args = ["cell=one"]
suites = "dma*"
quick = true
[cell.two]
what = "2"
kernel = "k"
args = ["cell=two"]
demo = "force"
quick = true
[cell.three]
what = "3"
kernel = "other"
args = ["cell=three"]
suites = "dma*"
[cell.count]
what = "4"
kernel = "k"
args = ["cell=count"]
bench = "bench"
quick = true
"""

# sys.executable: runs kunit.py, of which it makes the build and a report on KTAP.
PYTHON = r"""
top=%(top)s
case $1 in
*/kunit.py) ;;
*) [ "$2" = unittest ] && [ -e $top/unittest ] && cat $top/unittest >&2 && exit
   exec "$REAL" "$@";;
esac
tree=${1%%/tools/testing/*} command=$2
tree=${tree##*/}
shift 2
for arg; do case $arg in
--json=*) json=${arg#*=};;
--raw_output=*) raw=1;;
--build_dir=*) dir=${arg#*=} kernel=${arg##*/.build-};;
esac; console=$arg; done
if [ $command = build ]; then
    echo "$tree $kernel" >> $top/built
    echo "$*" > $top/build.args
    env > $top/build.env
    for name in "$kernel@$tree" "$kernel"; do
        if [ -e "$top/broken/$name" ]; then cat "$top/broken/$name"; exit 1; fi
    done
    [ -e $top/says ] && cat $top/says
    mkdir -p $dir/arch/x86/boot $dir/include/config
    { echo "$tree $kernel"; [ -e $top/salt ] && cat $top/salt; } > $dir/arch/x86/boot/bzImage
    echo CONFIG_KUNIT=y > $dir/.config
    echo 7.3.4-lab > $dir/include/config/kernel.release
elif [ "$raw" ]; then
    cat $console
else
    awk 'BEGIN { printf "{\"sub_groups\": [" }
    { match($0, /^ */); indent = RLENGTH; name = $0
      sub(/.*(# Subtest: |ok [0-9]+ )/, "", name); sub(/ # SKIP.*/, "", name) }
    /# Subtest: / { while (n && at[n] >= indent) n--; at[++n] = indent; group[n] = name }
    /^ *(not )?ok [0-9]/ {
        ended = n && at[n] > indent
        while (n && at[n] > indent) n--
        if (!ended) {
            made = sprintf("\"test_cases\": [{\"name\": \"%%s\", \"status\": \"%%s\"}]",
                           name, /not ok/ ? "FAIL" : /# SKIP/ ? "SKIP" : "PASS")
            if (n > 1) made = sprintf("\"sub_groups\": [{\"name\": \"%%s\", %%s}]",
                                      group[2], made)
            printf "%%s{\"name\": \"%%s\", %%s}", comma, group[1], made
            comma = ", " } }
    END { print "]}" }' $console > $json
fi
"""

QEMU = r"""
if [ "$*" = --version ]; then echo 'QEMU emulator version 7.2.0'; exit; fi
top=%(top)s cell=default
for arg; do
    case $arg in *cell=*) cell=${arg##*cell=}; cell=${cell%%%%[ ,]*};; esac
    [ "$before" = -kernel ] && tree=${arg%%/.build-*} && tree=${tree##*/}
    before=$arg
done
echo "$$" >> $top/pids
{ printf '%%s\037' "$@"; echo; } > $top/argv.$$
cat $top/argv.$$ >> $top/qemu           # at once: boots go side by side
for name in "$cell@$tree" "$cell" default; do
    [ -f "$top/consoles/$name" ] || continue
    . "$top/consoles/$name"
    exit
done
"""
REAL = sys.executable


def ktap(*cases, suite="dma_direct"):
    """The console of a boot: `cases` are like 'ok a', 'not ok b', 'ok c # SKIP why'."""
    lines = ["KTAP version 1", "1..1", "    KTAP version 1", f"    # Subtest: {suite}",
             f"    1..{len(cases)}"]
    for number, case in enumerate(cases, 1):
        good, _, name = case.partition("ok ")
        if good:
            lines += [f"    # {name}: EXPECTATION FAILED at kernel/dma/a.c:1",
                      "    Expected x == 1, but", "        x == 0 (0x0)"]
        lines.append(f"    {good}ok {number} {name}")
    return "\n".join([*lines, f"ok 1 {suite}", ""])


def fakes(top):
    """What is replaced in the harness itself, also in a child of a test."""
    def tree(name="series", *_args, **_kw):
        for path in ("tools/testing/kunit", "kernel/dma", "drivers/infiniband"):
            (paths.trees() / name / path).mkdir(parents=True, exist_ok=True)
        for path in ("include/uapi/linux/map_benchmark.h", "tools/dma/x.c"):
            paths.replace(paths.trees() / name / path, b"/* of this kernel */\n")
        return paths.trees() / name

    access = os.access
    return (mock.patch.object(sys, "executable", str(top / "bin/python")),
            mock.patch.object(trees, "tree", side_effect=tree),
            mock.patch.object(trees, "provenance", lambda: "stock is Linux 7.3.4"),
            mock.patch.object(fetch, "current", lambda: mock.Mock(version="7.3.4")),
            mock.patch.object(packages, "need"),
            mock.patch.object(paths, "want_free"),
            mock.patch.object(guest, "SOURCE", CHECKOUT / "guest"),
            mock.patch.object(packages, "for_cells", lambda *_: ("cells",),
                              create=True),
            mock.patch("os.uname", lambda: mock.Mock(machine="x86_64")),
            mock.patch("os.access", lambda path, *args, **kw: (
                path != "/dev/kvm" and access(path, *args, **kw))))


def child(top, *argv):
    """Run ./lab in a process of its own; ends it."""
    with contextlib.ExitStack() as stack:
        for fake in fakes(top):
            stack.enter_context(fake)
        sys.exit(cli.main(argv))


class Lab(Sandbox):
    """Runs ./lab with scripts for all programs."""

    MATRIX = MATRIX

    def setUp(self):
        super().setUp()
        (self.root / "matrix.toml").write_text(self.MATRIX)
        for name in ("consoles", "broken"):
            (self.top / name).mkdir()
        (paths.trees() / "stock").mkdir(parents=True)
        os.environ["REAL"] = REAL
        for fake in fakes(self.top):
            self.enter(fake)
        self.enter(mock.patch.object(process, "catch_termination"))
        self.program("python", PYTHON % {"top": self.top})
        self.program("qemu-system-x86_64", QEMU % {"top": self.top})
        self.program("git", f"""case "$*" in
            *rev-parse*) echo "commit of ${{PWD##*/}}";;
            *" grep "*) cat {self.top}/grep 2>/dev/null;; esac""")
        self.program("gcc", '[ "$1" = --version ] && echo "gcc 12" && exit\n'
                     'while [ "$1" != -o ]; do shift; done\necho init > "$2"')
        self.program("make", f"""for arg; do case $arg in
            M=*) dir=${{arg#M=}}; echo module > "$dir/${{dir##*/}}.ko";;
            test) cat {self.top}/make 2>/dev/null && exit 2; exit 0;; esac; done""")
        self.program("cpio", f'echo "$*" > {self.top}/cpio.args\n'
                     'while [ "$1" != -F ]; do shift; done\ncat > "$2"')
        self.console("default", ktap("ok a", "ok b", "ok c # SKIP none"))

    def console(self, cell, text="", then=""):
        """What QEMU prints in a boot of `cell` (NAME, or NAME@TREE), and does then."""
        path = self.top / "consoles" / cell
        path.with_name(f"{cell}.text").write_text(text)
        path.write_text(f"cat {path}.text\n{then}\n")

    def broken(self, name, text="a.c:1:2: error: no such thing"):
        """Let kernel `name` (NAME, or NAME@TREE) fail to build."""
        (self.top / "broken" / name).write_text(text + "\n")

    def lab(self, *argv):
        """Run ./lab; returns the status and the lines of stdout and of stderr."""
        with contextlib.redirect_stdout(io.StringIO()) as out:
            with contextlib.redirect_stderr(io.StringIO()) as err:
                status = cli.main([str(word) for word in argv])
        return status, out.getvalue().splitlines(), err.getvalue().splitlines()

    def lines(self, name):
        """The lines that the scripts wrote into a file, which is emptied."""
        path = self.top / name
        text = path.read_text() if path.exists() else ""
        path.write_text("")
        return text.splitlines()

    def boots(self):
        """The argv of each QEMU that was started since the last call."""
        return [line.split("\037")[:-1] for line in self.lines("qemu")]

    def booted(self):
        """(tree, cell) of each boot since the last call, in no order."""
        def place(argv):
            tree = option(argv, "-kernel").partition("/.build-")[0].rpartition("/")[2]
            words = " ".join(argv).split("cell=")[1]
            return tree, words.split()[0].split(",")[0]

        return sorted(place(argv) for argv in self.boots())

    def built(self):
        """(tree, kernel) of each build since the last call."""
        return [tuple(line.split()) for line in self.lines("built")]

    def kept(self, name, cell="one"):
        """The text of a file that is kept of the newest boot of `cell`."""
        return sorted(paths.results().glob(f"*/{cell}/{name}"))[-1].read_text()


def option(argv, name):
    """The value of an option of QEMU."""
    return argv[argv.index(name) + 1]
