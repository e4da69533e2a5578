# SPDX-License-Identifier: GPL-2.0-only
"""./lab mutate: which decisions there are, kernels that are every mutant, who notices."""

import shutil
import subprocess
import unittest
from unittest import mock

from harness import model, paths, process
from harness.boot import cell as boots
from harness.boot import guest, kernel, qemu
from harness.errors import BOOT, FAILED, PASS, USAGE, LabError
from harness.mutate import judge, mutants, objects, rounds, trials
from harness.mutate import run as mutate
from harness.source import trees
from harness.tests import Sandbox
from harness.tests.lab import Lab, ktap

ROOT = paths.ROOT
FILE = "kernel/dma/direct.c"
SOURCE = """\
#define EIO 5
#define EOPNOTSUPP 95
#define DMA_ATTR_X 1

int trace(int *log, int n);

int map(int *log, int attrs, int coherent, int size)
{
	int ret = 0;

	if (attrs & DMA_ATTR_X && !coherent) {
		trace(log, size);
		return -EOPNOTSUPP;
	}
	ret = size ? size + 1 : -EIO;
	return ret | (attrs & 2);
}
"""
# What the rules find in lines 11 to 16, one a line: kind, text, wrong text.
FOUND = """\
condition|attrs & DMA_ATTR_X && !coherent|0
condition|attrs & DMA_ATTR_X && !coherent|1
and|attrs & DMA_ATTR_X|1
constant|DMA_ATTR_X|0
and|!coherent|1
statement|trace(log, size)|
argument|log|0 & (log)
argument|size|0 & (size)
constant|EOPNOTSUPP|EIO
statement|ret = size ? size + 1 : -EIO|
choice|size + 1|-EIO
sum|size + 1|size
constant|1|0
choice|-EIO|size + 1
constant|EIO|EOPNOTSUPP
or|ret|0
result|ret \\| (attrs & 2)|0 & (ret \\| (attrs & 2))
or|(attrs & 2)|0
"""
# Prints what each of `maps` does, a line each; the first with each number of a mutant.
MAIN = """
#include <stdio.h>
int trace(int *log, int n) { *log = *log * 7 + n; return 0; }
int main(void)
{
	for (int n = 0; n < 2 * COUNT; n++, puts(""))
		for (int i = 0; i < 16; i++) {
			int log = 1;

			which = n < COUNT ? n : 0;
			printf("%d ", maps[n < COUNT ? 0 : n - COUNT + 1](
				&log, i & 3, i & 4, (i & 8) * 2));
			printf("%d ", log);
		}
}
"""


def decisions(text=SOURCE, lines=range(11, 17)):
    """The Mutants of the C file `text`."""
    path = paths.ROOT / "a.c"
    path.write_text(text)
    return mutants.decisions(path, FILE, lines)


@unittest.skipUnless(shutil.which("spatch"), "needs Debian's coccinelle")
class Decisions(Sandbox):
    def test_found(self):
        found = [f"{made.kind}|{made.old.replace('|', chr(92) + '|')}|"
                 f"{made.new.replace('|', chr(92) + '|')}" for made in decisions()]
        self.assertEqual(sorted(found), sorted(FOUND.splitlines()))
        self.assertEqual({made.function for made in decisions()}, {"map"})

    def test_lines(self):
        """Only what the series adds, or part of which it adds."""
        self.assertEqual([made.new for made in decisions(lines=[13])], ["EIO"])
        self.assertEqual(decisions(lines=[7, 10]), [])
        two = SOURCE.replace("&& !", "&&\n\t    !")
        self.assertIn("attrs & DMA_ATTR_X && !coherent -> 0", " ".join(
            made.name for made in decisions(two, [12])))

    def test_kernel_of_all(self):
        """It does what each of them does, and without a number what the source does."""
        lines = SOURCE.splitlines(keepends=True)
        made = [*(mutant for mutant in decisions() if mutant.old != "log"),
                mutants.Hunk(FILE, 11, 15, "\tret = 3;\n", "".join(lines[10:14])),
                mutants.Hunk(FILE, 16, 16, "\tret++;\n\tret++;\n", "")]
        numbered = dict(enumerate(made, 1))

        texts = [mutants.all_in_one(SOURCE, list(numbered.items())), SOURCE, *(
            mutant.made(SOURCE) for mutant in made)]
        path = paths.ROOT / "all.c"
        path.write_text("\n".join([
            "int which;", "#define MUTANT(n) ((n) == which)", f"#define COUNT {len(made) + 1}",
            *(text.replace("int map(", f"int map{number}(")
              for number, text in enumerate(texts)),
            f"int (*maps[])() = {{ {', '.join(f'map{n}' for n in range(len(texts)))} }};",
            MAIN]))
        subprocess.run(["gcc", "-w", "-o", path.with_suffix(""), path], check=True)
        said = subprocess.run([path.with_suffix("")], capture_output=True, check=True,
                              text=True).stdout.splitlines()
        ours, theirs = said[:len(made) + 1], said[len(made) + 1:]
        for number, (mine, alone) in enumerate(zip(ours, theirs)):
            with self.subTest(number and numbered[number].name):
                self.assertEqual(mine, alone)
                self.assertEqual(alone == theirs[0], not number)

    def test_hunk_alone(self):
        """What is not in a function, or in more than one, takes a kernel of its own."""
        for first, end, new in ((3, 4, "#define DMA_ATTR_X 1\n"), (16, 18, "r;\n}\n"),
                                (5, 5, ""), (18, 18, "")):
            hunk = mutants.Hunk(FILE, first, end, "x\n", new)
            self.assertEqual(hunk.switched(SOURCE, 1), [])
        macro = mutants.Hunk(FILE, 16, 16, "#define EIO 6\n", "")
        self.assertEqual(macro.switched(SOURCE, 1), [])

    def test_results(self):
        text = SOURCE.replace("return ret | (attrs & 2);",
                              "if (size) return true; return ERR_PTR(-EIO);")
        self.assertEqual([(made.old, made.new) for made in decisions(text, [16])
                          if made.kind == "result"],
                         [("true", "false"), ("ERR_PTR(-EIO)", "NULL")])

    def test_macro(self):
        mutant = mutants.Mutant(FILE, "f", 1, "or", 12, 19, "A | \\\nB", "0")
        self.assertEqual(mutant.made("#define F \\\nA | \\\nB\n"),
                         "#define F \\\n0\\\n\n")

    def test_as_many_lines(self):
        two = SOURCE.replace("&& !", "&&\n\t    !")
        for mutant in decisions(two, range(11, 18)):
            self.assertEqual(mutant.made(two).count("\n"), two.count("\n"))


class Hunks(Sandbox):
    def setUp(self):
        super().setUp()
        self.repo = self.top / "repo"
        self.repo.mkdir()
        self.enter(mock.patch.object(trees, "_stock", lambda: self.repo))
        self.git("init", "-q")
        self.commits = [self.commit(text) for text in (
            "a\nb\nc\nd\ne\n", "a\nB\nc\nd\ne\n", "a\nB\nc\ne\nf\nf\n")]

    def git(self, *args):
        return process.git(*args, cwd=self.repo, check_status=1).stdout.strip()

    def commit(self, text):
        for name in (FILE, "kernel/dma/tests/x.c", "include/kunit/dma.h", "Makefile"):
            paths.replace(self.repo / name, text.encode())
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "x")
        return self.git("rev-parse", "HEAD")

    def test_hunks(self):
        base, one, tip = self.commits
        self.assertEqual(mutants.files(base, tip), [FILE])
        joined, = mutants.hunks(base, tip, FILE)
        self.assertEqual((joined.old, joined.new), ("b\nc\nd\ne\n", "B\nc\ne\nf\nf\n"))
        self.enter(mock.patch.object(mutants, "_NEAR", 0))
        found = mutants.hunks(base, tip, FILE)
        self.assertEqual([(hunk.first, hunk.last, hunk.old, hunk.new) for hunk in found],
                         [(2, 2, "b\n", "B\n"), (4, 3, "d\n", ""), (5, 6, "", "f\nf\n")])
        text = (self.repo / FILE).read_text()
        self.assertEqual([hunk.made(text) for hunk in found], [
            "a\nb\nc\ne\nf\nf\n", "a\nB\nc\nd\n#line 4\ne\nf\nf\n",
            "a\nB\nc\ne\n\n\n"])
        macro = mutants.Hunk(FILE, 2, 4, "", "b \\\nc \\\n")
        self.assertEqual(macro.made("#define a \\\nb \\\nc \\\nd\n"), "#define a \\\nd\n")
        self.assertEqual(found[2].name, "hunk undone: f (2 lines)")
        self.assertEqual(mutants.commits(base, tip, FILE), {2: one, 5: tip, 6: tip})

    def test_commit(self):
        """Other files, and the tree that is checked out, stay as they are."""
        made = trees.edited(self.commits[-1], {FILE: "new\n"}, "mutants\n")
        self.assertEqual(self.git("diff", "--name-only", self.commits[-1], made), FILE)
        self.assertEqual(self.git("show", f"{made}:{FILE}"), "new")
        self.assertEqual(self.git("status", "--porcelain"), "")


class Objects(Sandbox):
    """Real objects of two small files, one of which includes a header."""

    def setUp(self):
        super().setUp()
        source, build = self.top / "tree", self.top / "build"
        for name, text in (("d/a.c", '#include "a.h"\nint a(void) { return A; }\n'),
                           ("d/b.c", "int b(int x) { return x + 1; }\n"),
                           ("d/a.h", "#define A 1\n/* words */\n")):
            paths.replace(source / name, text.encode())
        for name, more in (("a", "d/a.h"), ("b", "")):
            paths.replace(build / f"d/.{name}.o.cmd", (
                f"savedcmd_d/{name}.o := gcc -Wp,-MMD,x.d -O2 -I{source}/d -c "
                f"-o d/{name}.o {source}/d/{name}.c ; objtool x\ndeps := {more}\n").encode())
        paths.replace(build / ".config", b"")
        made = kernel.Build(mock.Mock(), source, build)
        self.memory = objects.Memory(self.top / "memory.json")
        self.compiler = objects.Compiler(made, ["d/a.c", "d/b.c", "d/a.h", "d/no.c"],
                                         self.top / "scratch", self.memory)
        self.texts = {name: (source / name).read_text() for name in ("d/a.h", "d/b.c")}

    def compare(self, file, old, new):
        made, = objects.compare([self.compiler], self.texts,
                                [(file, self.texts[file].replace(old, new))])
        return made

    def test_compare(self):
        self.assertEqual(self.compare("d/b.c", "x + 1", "1 + x"), ())
        self.assertIsNone(self.compare("d/b.c", "x + 1", "x +"))
        self.assertTrue(self.compare("d/b.c", "x + 1", "x + 2"))
        self.assertEqual(self.compare("d/b.c", "x + 1", "x - 1"),
                         self.compare("d/b.c", "x + 1", "-1 + x"))

    def test_header(self):
        self.assertEqual(self.compiler.uses("d/a.h"), ("d/a.c",))
        self.assertEqual(self.compare("d/a.h", "words", "others"), ())
        self.assertTrue(self.compare("d/a.h", "A 1", "A 2"))

    def test_not_compiled(self):
        self.assertEqual(self.compiler.digest("d/no.c", "x"), "")

    def test_kernels(self):
        """Each is asked for what those before it cannot tell apart."""
        asked = []

        class Other:
            """A kernel that knows a difference which the first does not."""

            def digest(self, file, text):
                asked.append(text)
                return text

        texts = [self.texts["d/b.c"].replace("x + 1", new)
                 for new in ("1 + x", "x + 2", "2 + x", "x + 3", "x +")]
        found = objects.compare([self.compiler, Other()], self.texts,
                                [("d/b.c", text) for text in texts])
        self.assertIsNone(found[4])
        self.assertEqual(len(set(found[:4])), 4)
        self.assertEqual(sorted(asked), sorted([self.texts["d/b.c"], *texts[:3]]))

    def test_memory(self):
        """The same text is not compiled again; another one is, or with other headers."""
        memory, made = objects.Memory(self.top / "memory.json", "right"), []
        for text in ("a", "b", "a", None):
            self.assertEqual(memory.recall(lambda text=text: made.append(text), str(text)), None)
        memory.keep()
        for word in ("right", "wrong"):
            memory = objects.Memory(self.top / "memory.json", word)
            memory.recall(lambda word=word: made.append(word), "a")
        self.assertEqual(made, ["a", "b", None, "wrong"])

    def test_compiled(self):
        good, bad = self.texts["d/b.c"], "int b(int x) { return x +; }\n"
        self.assertEqual(objects.compiled([self.compiler] * 2,
                                          [("d/b.c", good), ("d/b.c", bad)]), [True, False])


@unittest.skipUnless(shutil.which("spatch"), "needs Debian's coccinelle")
class Judge(Sandbox):
    def test_tried(self):
        """Those of the demo's verdicts: with the sharp test, and with one that is weak."""
        for path in ("guest", "harness"):
            (paths.ROOT / path).symlink_to(ROOT / path)
        for test, fate in (("test_judge.Judge.test_rows", trials.NOTICED),
                           ("test_judge.Judge.test_errno_names", trials.SURVIVED)):
            with mock.patch.object(judge, "_TEST", f"harness.tests.{test}"), \
                    mock.patch.object(mutants, "decisions", self.first):
                trial, = judge.tried(self.top)
            self.assertEqual((trial.fate, trial.cases),
                             (fate, ["test_rows"] * (fate == trials.NOTICED)))

    def first(self, path, file, lines, decisions=mutants.decisions):
        """One of those that decide."""
        return [made for made in decisions(path, file, lines)
                if made.name == "judge: got = REFUSED removed"]


FAILED_AT = "    # case: EXPECTATION FAILED at a.c:1\n"
NOTICED = FAILED_AT + "dma_mutant: {} noticed by suite.case\n"
MATRIX = """
[kernel.x86_64]
arch = "x86_64"
[cell.one]
what = "1"
kernel = "x86_64"
args = ["cell=one"]
suites = "dma*"
[cell.two]
what = "2"
kernel = "x86_64"
args = ["cell=two"]
suites = "dma*"
"""


class Rounds(Sandbox):
    """The mutants of one cell, in boots that say what a test lets them say."""

    def rounds(self, *consoles, numbers=(1, 2, 3), seconds=1):
        """(what comes of each of `numbers`, those that each boot was asked for), where
        the right boot took `seconds`."""
        asked, left = [], list(consoles)

        def boot(words, log, silence, **_):
            self.silence = silence
            asked.append(next(word[12:] for word in words if word.startswith("dma_mutants=")))
            log.write_text(left.pop(0))

        cell = model.Cell("one", "1", "x86_64", suites="dma*", args=["a"])
        with mock.patch.object(qemu, "boot", boot), \
                mock.patch.object(boots, "argv", lambda cell, *_: cell.args):
            made = trials.Boot(cell, mock.Mock(), {}, seconds, set())
            return [*rounds.rounds(made, numbers, self.top)], asked

    def test_ends(self):
        self.assertEqual(
            self.rounds(said(1, "NOTICED") + said(2) + said(3, end="is not reached")),
            ([(1, trials.NOTICED, "suite.case"), (2, trials.SURVIVED, ""),
              (3, trials.EQUAL, "")], ["1,2,3"]))

    def test_crash_that_a_case_survives(self):
        oops = NOTICED.replace(FAILED_AT, "BUG: x\n    # case: try faulted\n").format(2)
        self.assertEqual(self.rounds(said(1) + said(2, oops) + said(3)), (
            [(1, trials.SURVIVED, ""), (2, trials.CRASHED, "BUG: x"),
             (3, trials.SURVIVED, "")], ["1,2,3"]))

    def test_first(self):
        """What may be the doing of a mutant before is tried first in another boot."""
        for text in (said(2, "WARNING: x\n"), said(2, "Kernel panic - not syncing: x\n", ""),
                     said(2, "NOTICED", "leaves its traces"), said(2, end="")):
            ends = said(3) if "2 ends" in text else ""
            with self.subTest(text):
                found, asked = self.rounds(said(1) + text + ends,
                                           said(2) + ("" if ends else said(3)))
                self.assertEqual(sorted(found), [(n, trials.SURVIVED, "") for n in (1, 2, 3)])
                self.assertEqual(asked, ["1,2,3", "2" if ends else "2,3"])
                found, _ = self.rounds(text + ends, numbers=(2, 3)[:1 + bool(ends)])
                self.assertEqual(found[0][:2], (
                    2, trials.NOTICED if "noticed" in text else trials.CRASHED))

    def test_hangs_at_once(self):
        """Lines are printed by a thread, which a mutant may leave no time."""
        self.assertEqual(
            self.rounds("dma_mutant: rounds of 3 test cases\n", said(2) + said(3)),
            ([(1, trials.CRASHED, "hung"), (2, trials.SURVIVED, ""),
              (3, trials.SURVIVED, "")], ["1,2,3", "2,3"]))

    def test_slow(self):
        """A boot that takes long may be silent for longer."""
        for seconds, silence in ((1, 20), (270, 135)):
            self.rounds(said(1), numbers=(1,), seconds=seconds)
            self.assertEqual(self.silence, silence)

    def test_no_rounds(self):
        for console in ("", said(2)):
            with self.assertRaisesRegex(LabError, "^one tries no mutant: see /.*/console.log$"):
                self.rounds(console)


def said(number, text="", end="ends"):
    """What the kernel says while it is a mutant."""
    text = text.replace("NOTICED", NOTICED.format(number))
    return (f"dma_mutant: {number} begins\n{text}"
            + (f"dma_mutant: {number} {end}\n" if end else ""))


class Command(Lab):
    """A series of one file with the planted mutants of a test."""

    MATRIX = MATRIX

    def setUp(self):
        super().setUp()
        self.enter(mock.patch.object(mutate, "KERNELS", ("x86_64",)))
        self.enter(mock.patch.object(mutate, "OTHERS", ()))
        self.enter(mock.patch.object(trees, "commits", lambda *_: [("1", "only")]))
        self.enter(mock.patch.object(mutants, "files", lambda *_: [FILE]))
        self.enter(mock.patch.object(trees, "visit", self.visit))
        self.enter(mock.patch.object(trees, "edited", lambda _, changed, __: changed))
        self.enter(mock.patch.object(objects, "compare", self.compare))
        self.enter(mock.patch.object(objects, "compiled", lambda _, texts: [True] * len(texts)))
        self.enter(mock.patch.object(judge, "tried", lambda _: []))
        self.enter(mock.patch.object(objects, "code", lambda text: text))
        for name, text in (("docs/mutants.md.in", "$counts\n$files\n"), ("mutants.toml", "")):
            paths.replace(self.root / name, text.encode())
        for name in (FILE, "kernel/dma/mapping.c", "lib/kunit/executor.c"):
            paths.replace(trees.tree("series") / name, b"abcdefg\n")
        self.plant("b", "c", "d")
        self.fates = {}         # {text: what compare() finds}
        self.notice({})

    def plant(self, *letters, hunks=()):
        """Let the series have mutants that replace these letters, and hunks."""
        made = [mutants.Mutant(FILE, "f", 1, "condition", at, at + 1, letter, "0")
                for letter in letters for at in ["abcdefg".index(letter)]]
        self.enter(mock.patch.object(mutants, "decisions", lambda *_: made))
        self.enter(mock.patch.object(mutants, "hunks", lambda *_: list(hunks)))
        self.enter(mock.patch.object(mutants, "commits", lambda *_: {1: "1"}))

    def compare(self, _compilers, _right, changed):
        return [self.fates.get(text, (text,)) for _, text in changed]

    def visit(self, changed):
        self.visited = changed
        return trees.tree(trees.VISITED)

    def notice(self, bad, rounds=(), reached=(1, 2, 3), seen=(1, 2, 3)):
        """Let whole boots print `bad`, and rounds `rounds`: {(cell, mutant): text}; others
        pass. Boots come to the mutants `reached`, test cases to those `seen`."""
        said = "".join(f"dma_mutant: reached {number}\n" for number in reached)
        for cell in ("one", "two"):
            cases = ""
            for (where, number), text in bad.items():
                if where == cell:
                    (self.top / f"{cell}.{number}").write_text(text)
                    cases += f"*dma_mutant={number}*) cat {self.top}/{cell}.{number};; "
            for (where, number), text in dict(rounds).items():
                (self.top / f"{where}.round.{number}").write_text(text)
            (self.top / f"{cell}.good").write_text(ktap("ok a", "ok b") + said)
            (self.top / "consoles" / cell).write_text(f"""words="$*"; case $words in {cases}
                *dma_mutants=*) list=${{words##*dma_mutants=}}
                for n in $(echo "${{list%% *}}" | tr , ' '); do
                    echo "dma_mutant: $n begins"
                    file={self.top}/{cell}.round.$n
                    if [ -e $file ]; then cat $file; [ -s $file ] || exit; fi
                    case " {' '.join(map(str, seen))} " in
                    *" $n "*) echo "dma_mutant: $n ends";;
                    *) echo "dma_mutant: $n is not reached";; esac
                done;;
                *) cat {self.top}/{cell}.good;; esac
                """)

    def mutate(self, *argv):
        """(status, lines of stdout) of ./lab mutate."""
        return self.lab("mutate", *argv)[:2]

    def numbers(self):
        """(cell, mutant) of each boot since the last call that was of a mutant."""
        found = []
        for argv in self.boots():
            words = " ".join(argv).split()
            cell = next(word[5:] for word in words if word.startswith("cell="))
            found += [(cell, word[11:]) for word in words if word.startswith("dma_mutant=")]
        return sorted(set(found))

    def test_noticed(self):
        """By an assertion, by a crash, and only in the second cell."""
        self.notice({("one", 1): ktap("not ok a", "ok b"), ("two", 1): ktap("not ok a", "ok b"),
                     **{(cell, 2): "BUG: x\n" + ktap("ok a", "ok b")
                        for cell in ("one", "two")},
                     ("two", 3): ktap("ok a")}, seen=())
        status, out = self.mutate()
        self.assertEqual((status, out[-1]), (PASS, (
            "mutate: 3 mutants: 1 noticed, 2 crashed, 0 the same as another, 0 changes no "
            "instruction, 0 does not compile, 0 survived; 0 of these without a reason")))
        text = (self.root / "docs/mutants.md").read_text()
        self.assertRegex(text, r"`f: b -> 0` *\| noticed *\| \w+: dma_direct.a ")
        self.assertRegex(text, r"`f: c -> 0` *\| crashed *\| \w+: the kernel complained: BUG: x")
        self.assertRegex(text, r"`f: d -> 0` *\| crashed *\| two: dma_direct.b ")

    def test_rounds(self):
        """By a test case, by a crash that ends the boot, and by a warning."""
        for cell in ("one", "two"):
            self.notice({}, {(cell, 1): NOTICED.format(1), (cell, 2): "",
                             (cell, 3): "WARNING: x\n"})
            status, out = self.mutate()
            self.assertEqual((status, out[-1].partition(", 0 the same")[0]),
                             (PASS, "mutate: 3 mutants: 1 noticed, 2 crashed"))
            text = (self.root / "docs/mutants.md").read_text()
            self.assertRegex(text, r"`f: b -> 0` *\| noticed *\| \w+: suite.case ")
            self.assertRegex(text, r"`f: c -> 0` *\| crashed *\| \w+: hung")
            self.assertRegex(text, r"`f: d -> 0` *\| crashed *\| \w+: WARNING: x")

    def test_suites_that_are_modules(self):
        """They are not there yet when KUnit would run them in rounds."""
        (self.root / "matrix.toml").write_text(MATRIX + "modules = true\n")
        self.enter(mock.patch.object(guest, "archive", lambda *_: self.top / "initrd"))
        self.notice({("two", number): ktap("not ok a", "ok b") for number in (1, 2, 3)})
        self.assertEqual(self.mutate()[0], PASS)
        self.assertEqual({next(word for word in " ".join(argv).split() if "cell=" in word)
                          for argv in self.boots() if "dma_mutants=" in " ".join(argv)},
                         {"cell=one"})

    def test_hangs_once(self):
        """What hung is booted once more: the machine may have been busy."""
        self.notice({}, seen=())
        once = self.top / "once"
        for cell in ("one", "two"):
            path = self.top / "consoles" / cell
            path.write_text(
                f'case "$*" in *dma_mutant=1*) [ -e {once} ] || {{ touch {once}; '
                f'echo "Kernel panic - not syncing"; exit; }};; esac\n' + path.read_text())
        status, out = self.mutate()
        self.assertEqual((status, out[-2:]), (FAILED, [
            f"SURVIVED  {FILE}: f: d -> 0", "mutate: 3 mutants: 0 noticed, 0 crashed, 0 the "
            "same as another, 0 changes no instruction, 0 does not compile, 3 survived; 3 of "
            "these without a reason"]))

    def test_weak_test(self):
        """That nothing notices is said, unless there is a reason for it."""
        status, out = self.mutate()
        self.assertEqual((status, out[-4:-1]), (FAILED, [
            f"SURVIVED  {FILE}: f: {letter} -> 0" for letter in "bcd"]))
        self.assertEqual(len(self.numbers()), 3)    # in one cell each, after the rounds
        reason = "[[equivalent]]\nfile = '*'\nname = 'f: *'\nwhy = 'no difference'\n"
        (self.root / "mutants.toml").write_text(reason + reason)
        status, out = self.mutate()
        self.assertEqual((status, self.boots()), (PASS, []))
        self.assertIn("mutants.toml: needed by nothing: f: *", out)
        self.assertIn("| no difference", (self.root / "docs/mutants.md").read_text())

    def test_kernel_that_sees_no_difference(self):
        """What has survived one kernel is no less a survivor for another."""
        (self.root / "matrix.toml").write_text(
            MATRIX + "[kernel.other]\narch = 'x86_64'\n")
        self.enter(mock.patch.object(mutate, "OTHERS", ("other",)))
        seen = []
        self.enter(mock.patch.object(objects, "compare", lambda *args: (
            [()] * 3 if seen else seen.append(1) or self.compare(*args))))
        status, out = self.mutate()
        self.assertEqual((status, out[-1].count("0 changes no instruction"),
                          out[-1].count("3 survived")), (FAILED, 1, 1))

    def test_reason(self):
        """What has one is not compiled for another kernel."""
        (self.root / "matrix.toml").write_text(
            MATRIX + "[kernel.other]\narch = 'x86_64'\n")
        self.enter(mock.patch.object(mutate, "OTHERS", ("other",)))
        for name, built in (("f: [cd] *", {"x86_64", "other"}), ("f: *", {"x86_64"})):
            (self.root / "mutants.toml").write_text(
                f"[[equivalent]]\nfile = '*'\nname = '{name}'\nwhy = 'no difference'\n")
            shutil.rmtree(paths.cache() / "mutate", ignore_errors=True)
            (self.root / "docs/mutants.json").unlink(missing_ok=True)
            self.mutate()
            self.assertEqual({kernel for _, kernel in self.built()}, built)

    def test_boot_without_mutant_fails(self):
        (self.top / "two.good").write_text(ktap("not ok a", "ok b"))
        status, _, err = self.lab("mutate")
        self.assertEqual(status, BOOT)
        self.assertIn("lab: two does not pass without a mutant: 1 passed, 1 failed, 0 skipped",
                      err)

    def test_same_name(self):
        """A reason is for the one of those that have the same name."""
        at = "abcdefg".index
        self.enter(mock.patch.object(mutants, "decisions", lambda *_: [
            mutants.Mutant(FILE, "f", 1, "condition", at(letter), at(letter) + 1, "x", "0")
            for letter in "bc"]))
        (self.root / "mutants.toml").write_text(
            "[[equivalent]]\nfile = '*'\nname = 'f: x -> 0 (2)'\nwhy = 'second'\n")
        status, out = self.mutate()
        self.assertEqual((status, out[-2]), (FAILED, f"SURVIVED  {FILE}: f: x -> 0"))
        self.assertIn("| second", (self.root / "docs/mutants.md").read_text())

    def test_not_reached(self):
        """No cell is booted that does not come to the place."""
        self.notice({}, reached=(2,), seen=())
        status, _ = self.mutate()
        self.assertEqual((status, self.numbers()), (FAILED, [("one", "2"), ("two", "2")]))

    def test_compiled(self):
        self.fates = {"a0cdefg\n": None, "ab0defg\n": (), "abc0efg\n": ("same",),
                      "abcd0fg\n": ("same",)}
        self.plant("b", "c", "d", "e")
        self.notice({("one", 1): ktap("not ok a"), ("two", 1): ktap("not ok a")}, seen=())
        status, out = self.mutate()
        self.assertEqual((status, out[-1]), (PASS, (
            "mutate: 4 mutants: 1 noticed, 0 crashed, 1 the same as another, 1 changes no "
            "instruction, 1 does not compile, 0 survived; 0 of these without a reason")))
        self.assertIn("as `f: d -> 0`", (self.root / "docs/mutants.md").read_text())

    def test_useless_hunk(self):
        """A hunk is undone in a kernel of its own."""
        self.plant("b", hunks=[mutants.Hunk(FILE, 1, 2, "old\n", "abcdefg\n")])
        self.notice({}, {(cell, 1): NOTICED.format(1) for cell in ("one", "two")})
        status, out = self.mutate()
        self.assertEqual((status, out[-2]),
                         (FAILED, f"SURVIVED  {FILE}: hunk undone: abcdefg"))
        self.assertEqual(self.visited, {FILE: "old\n"})

    def test_goes_on(self):
        """What was tried is not tried again until the code of its file changes; but for
        survivors, which another test may notice."""
        self.notice({("one", 1): ktap("not ok a"), ("two", 1): ktap("not ok a")}, seen=())
        self.program("git", 'echo "$*"')
        self.mutate()
        self.boots()
        self.mutate()
        self.assertEqual(self.boots(), [])
        self.program("git", 'echo "$*" | sed "s/series^{tree}/other tests/"')
        self.mutate()
        self.assertEqual({number for _, number in self.numbers()}, {"1", "2"})
        (trees.tree("series") / FILE).write_text("abcdef!\n")
        self.mutate()
        self.assertEqual({number for _, number in self.numbers()}, {"1", "2", "3"})

    def test_goes_on_elsewhere(self):
        """What was tried before it stopped is not tried again with an empty cache."""
        on = mutate.Trying.on

        def stopped(*args):
            on(*args)
            raise KeyboardInterrupt

        self.notice({("one", 1): ktap("not ok a"), ("two", 1): ktap("not ok a")}, seen=())
        with mock.patch.object(mutate.Trying, "on", stopped):
            self.mutate()
        self.assertEqual({number for _, number in self.numbers()}, {"1", "2", "3"})
        shutil.rmtree(paths.cache() / "mutate")
        status, out = self.mutate()
        self.assertEqual((status, self.boots()), (FAILED, []))
        self.assertRegex(out[-1], "^mutate: 3 mutants: 1 noticed, .* 2 survived")

    def test_usage(self):
        for argv in (["2"], ["-1"]):
            self.assertEqual(self.mutate(*argv)[0], USAGE)
        (self.root / "mutants.toml").write_text("[[equivalent]]\nname = 'x'\n")
        self.assertEqual(self.mutate()[0], USAGE)
        (self.root / "mutants.toml").write_text("")
        self.assertEqual(self.mutate("--dry-run"), (PASS, ["would try 3 mutants"]))
        self.assertEqual(self.boots(), [])
