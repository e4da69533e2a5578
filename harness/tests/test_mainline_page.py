# SPDX-License-Identifier: GPL-2.0-only
"""./lab mainline: what the suites of the series see after each patch."""

from unittest import mock

from harness import model, paths
from harness.errors import BUILD, FAILED, PASS, STYLE, USAGE
from harness.reports import mainline
from harness.source import fetch, trees
from harness.tests.lab import Lab, ktap

TOML = """
[fix]
title = "repair"
for = "DMA"
[more]
title = "go on"
for = "MM"
needs = ["fix"]
"""
MAILS = ("fix/0001-a.patch", "more/0001-b.patch", "more/0002-c.patch")
# What the suite says on stock, and after each patch.
GOOD = ["not ok a", "not ok b"], ["ok a", "not ok b"], ["ok a", "not ok b"], ["ok a", "ok b"]


def console(*cases):
    """ktap() in which the second case bounces what it has to refuse, if it fails."""
    did = "bounced" if cases[1].startswith("not") else "refused"
    bad, name = cases[1].split("ok ")
    return ktap(*cases).replace(f"    {bad}ok 2", f"    # {name}: route: {did}=1\n"
                                f"    {bad}ok 2")


class Mainline(Lab):
    def setUp(self):
        super().setUp()
        self.seen, self.gcc, self.images = [console(*cases) for cases in GOOD], {}, "0123"
        paths.replace(self.root / "mainline/mainline.toml", TOML.encode())
        for name in MAILS:
            stable = "Cc: stable@x.org\n" * ("b.patch" in name)
            paths.replace(self.root / "mainline" / name, stable.encode())
        self.enter(mock.patch.object(trees, "visit", self.visit))
        self.enter(mock.patch.object(trees, "update"))
        self.enter(mock.patch.object(trees, "touched", lambda _: ["kernel/dma/a.c"]))
        self.enter(mock.patch.object(trees, "commits", lambda _: [
            (str(number), f"patch {number}") for number in (1, 2, 3)]))
        self.enter(mock.patch.object(trees, "git", self.git))
        self.enter(mock.patch.object(fetch, "older"))
        self.enter(mock.patch.object(fetch, "known", lambda: {"stable": {"package": "7.2"}}))
        self.enter(mock.patch.object(mainline, "recipients", lambda _: ["l@example.org"]))
        self.program("make", f"cat {self.top}/gcc 2>/dev/null; exit 0")

    def git(self, command, *_args, **_kw):
        return {"diff": " 1 file changed, 3 insertions(+), 2 deletions(-)",
                "rev-parse": f"tree {self.at}"}.get(command, "")

    def visit(self, commit, suites=False):
        self.assertTrue(suites)
        self.at = 0 if commit == "stock" else int(commit)
        self.console("default", self.seen[self.at])
        (self.top / "salt").write_text(self.images[self.at])
        (self.top / "gcc").write_text(self.gcc.get(self.at, ""))
        return trees.tree(trees.VISITED)

    def mainline(self):
        """(status, lines of FAIL, last line) of ./lab mainline."""
        status, out, _ = self.lab("mainline")
        return status, [line for line in out if line.startswith("FAIL")], out[-1]

    def test_good(self):
        status, bad, last = self.mainline()
        self.assertEqual((status, bad, last), (
            PASS, [], "mainline: 2 topics, 3 patches, 2 rows wrong on stock, 0 at the end; "
            "docs/mainline.md written"))
        text = " ".join((paths.ROOT / mainline.PAGE).read_text().split())
        for words in ("| [`fix`](../mainline/fix) | repair | DMA | - | 1 | +3 -2 | 2 | "
                      "l@example.org |",
                      "| [`more`](../mainline/more) | go on | MM | `fix` | 2 | +3 -2 | 2 |",
                      "| stock | 2 | 4 | 2 | - |", "| patch 1 | 1 | 2 | 2 | - |",
                      "| patch 2 | 1 | 2 | 2 | yes |", "| patch 3 | 0 | 0 | 0 | - |"):
            self.assertIn(words, text)
        boots = self.boots()
        self.assertEqual(len(boots), 8)
        self.assertIn("kunit.filter=speed>slow", " ".join(boots[0]))
        self.assertTrue(self.built())
        # Nothing is done again for trees that were seen.
        self.assertEqual(self.mainline(), (PASS, [], last.replace("written", "as it was")))
        self.assertEqual((self.boots(), self.built()), ([], []))

    def test_equal_images(self):
        self.images = "0112"
        self.mainline()
        self.assertEqual(len(self.boots()), 6)

    def test_worse(self):
        for number, cases, words in (
                (2, ("not ok a", "ok b"), "patch 2: one dma_direct a"),
                (3, ("not ok a", "ok b"), "at the end: one dma_direct a")):
            with self.subTest(words):
                paths.remove(paths.cache() / "mainline")
                self.seen = [console(*cases) for cases in GOOD]
                self.seen[number] = console(*cases)
                status, bad, _ = self.mainline()
                self.assertEqual((status, bad[0].strip()), (FAILED, f"FAIL  {words} "
                                                            .strip()))
                self.assertFalse((paths.ROOT / mainline.PAGE).exists())

    def test_complaints(self):
        """A warning that was there before is none of the patch; its line may move."""
        self.gcc = {number: f"kernel/dma/a.c:{number}:9: warning: x\n" for number in range(4)}
        self.assertEqual(self.mainline()[:2], (PASS, []))
        paths.remove(paths.cache() / "mainline")
        paths.remove(paths.ROOT / mainline.PAGE)
        self.gcc[2] += "kernel/dma/a.c:7:9: warning: y\n"
        self.assertEqual(self.mainline()[:2], (
            STYLE, ["FAIL  patch 2: k: kernel/dma/a.c: warning: y",
                    "FAIL  patch 2: other: kernel/dma/a.c: warning: y"]))
        self.assertFalse((paths.ROOT / mainline.PAGE).exists())

    def test_boots_that_did_not_come_through(self):
        """They say nothing of the end, and are made again by the next call."""
        for text, why in (("", "no test has run"),
                          (console("ok a", "ok b") + "Kernel panic - not syncing: x\n",
                           "the kernel panicked"),
                          ("BUG: x\n" + console("ok a", "ok b"),
                           "the kernel complained: BUG: x")):
            with self.subTest(why):
                paths.remove(paths.cache() / "mainline")
                self.seen = [*(console(*cases) for cases in GOOD[:3]), text]
                self.assertEqual(self.mainline()[:2], (FAILED, [
                    f"FAIL  at the end: {cell} {why}" for cell in ("one", "three")]))
                self.assertFalse((paths.ROOT / mainline.PAGE).exists())
        paths.remove(paths.cache() / "mainline")
        self.seen[3] = ""
        self.mainline()
        self.seen[3] = console("ok a", "ok b")
        self.boots(), self.built()
        self.assertEqual(self.mainline()[:2], (PASS, []))
        self.assertEqual((len(self.boots()), set(self.built())),
                         (2, {("visited", "k"), ("visited", "other")}))

    def test_broken(self):
        self.broken("k@visited")
        self.assertEqual(self.lab("mainline")[0], BUILD)

    def test_no_topics(self):
        paths.remove(self.root / "mainline/mainline.toml")
        self.assertEqual((self.lab("mainline")[0], model.topics()), (USAGE, {}))

    def test_dry_run(self):
        status, out, _ = self.lab("mainline", "--dry-run")
        self.assertEqual((status, out, self.boots()), (
            PASS, ["would build 4 trees, and boot one, three on each"], []))
