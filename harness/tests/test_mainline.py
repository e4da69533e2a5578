# SPDX-License-Identifier: GPL-2.0-only
"""mainline/: topics on stock, which together end where base and the series end."""

import os
import shutil
import unittest
from unittest import mock

from harness import model, paths, process
from harness.errors import APPLY, STYLE, USAGE
from harness.gates import checkpatch, series, virtio
from harness.source import mails, trees
from harness.tests import DIRECT, HMM, Sandbox, edited
from harness.tests.test_tree import BASED, ONE, TWO

TOML = """
[fix]
title = "dma: repair"
for = "DMA MAPPING HELPERS"
[mm]
title = "mm: two things"
for = "HMM"
cc = ["a@example.org"]
[one]
title = "dma: one"
for = "DMA MAPPING HELPERS"
needs = ["fix"]
[doc]
title = "doc: three"
for = "DMA MAPPING HELPERS"
needs = ["one", "mm"]
"""
FIX = ("dma: repair", {"kernel/dma/direct.c": BASED})
MM = (("mm: two", {"mm/hmm.c": TWO}), ("mm: new", {"mm/new.c": "new\n"}))
THREE = ("doc: three", {"COPYING": "three\n"})
EVENT = ("trace: event", {"include/trace.h": "EVENT(x)\n",
                          "kernel/dma/tests/s.c": "old\n",
                          "kernel/dma/tests/gone.c": "old\n"})


class Reader(Sandbox):
    def topics(self, text):
        paths.replace(self.root / "mainline/mainline.toml", text.encode())
        return model.topics()

    def test_good(self):
        fix, mm, one, doc = self.topics(TOML).values()
        self.assertEqual((mm.name, mm.directory, mm.title, mm.target, mm.cc, mm.needs),
                         ("mm", "mainline/mm", "mm: two things", "HMM",
                          ("a@example.org",), ()))
        self.assertEqual([topic.below for topic in (fix, mm, one, doc)],
                         [(), (), (fix,), (fix, mm, one)])
        self.assertEqual([topic.span for topic in (fix, mm, one, doc)],
                         ["stock..fix", "stock..mm", "fix..one", "doc-needs..doc"])
        self.assertEqual(trees.names(), ["stock", "base", "series", "fix", "mm", "one",
                                         "doc", "mainline"])

    def test_absent(self):
        self.assertEqual(model.topics(), {})
        self.assertEqual(trees.names(), ["stock", "base", "series"])

    def test_refused(self):
        for old, new, *words in (
                ('for = "HMM"', '', "mm: missing: for"),
                ('for = "HMM"', 'for = 1', "mm: for is a string, not 1"),
                ('for = "HMM"', 'for = "HMM"\nto = ""', "mm: to is none of title, for"),
                ('["fix"]', '"fix"', "one: needs is a list of strings"),
                ('["fix"]', '["doc"]', "one: needs: no topic before it is 'doc'"),
                ('["fix"]', '["one"]', "one: needs: no topic before it is 'one'"),
                ('["a@example.org"]', '[1]', "mm: cc is a list of strings"),
                ('[fix]', 'x = 1\n[fix]', "x: not a table"),
                ('[mm]', '["../mm"]', "../mm: no name for a topic"),
                ('[mm]', '[mm-suites]', "mm-suites: no name for a topic"),
                ('[mm]', '[mm-needs]', "mm-needs: no name for a topic"),
                ('[mm]', '[visited]', "visited: a tree of another kind"),
                ('[mm]', '[mm', "line")):
            with self.subTest(new), self.fails(USAGE, "mainline.toml", *words):
                self.topics(TOML.replace(old, new, 1))


class Mainline(Sandbox):
    def setUp(self):
        super().setUp()
        os.environ["LINUX_TARBALL"] = str(self.kernel(**{
            "scripts/checkpatch.pl": "#!/bin/sh\nfor mail; do :; done\n"
            "! grep -H -o BAD $mail\n",
            "scripts/get_maintainer.pl": "#!/bin/sh\necho DMA MAPPING HELPERS\n"}))
        paths.replace(self.root / "mainline/mainline.toml", TOML.encode())
        paths.replace(self.root / "base/compat.h",
                      b"#ifndef HAVE_EVENT /* include/trace.h: EVENT(x) */\n"
                      b"#ifndef HAVE_OTHER /* include/trace.h: other */\n")
        self.write("mainline/mm", [], *MM)
        self.write("mainline/fix", [], FIX)
        self.write("mainline/one", [FIX], ("dma: one", {"kernel/dma/direct.c": ONE}))
        self.write("mainline/doc", [], THREE)
        self.write("base", [], ("base", {"kernel/dma/direct.c": BASED}))
        self.write("series", self.history, ("dma: one", {"kernel/dma/direct.c": ONE}),
                   *MM, THREE)

    def write(self, where, history, *patches):
        """Write the mails of patches on top of `history`, instead of others."""
        (self.root / where).mkdir(parents=True, exist_ok=True)
        for path in (self.root / where).glob("*.patch"):
            path.unlink()
        self.history = list(history)
        self.mails(self.root / where, *patches)

    def change(self, mail, old, new):
        path, = self.root.glob(f"mainline/{mail}*")
        text = path.read_text()
        self.assertIn(old, text)
        path.write_text(text.replace(old, new))

    def git(self, *args, name="mainline"):
        return process.git(*args, cwd=paths.trees() / name,
                           check_status=1).stdout.strip()

    def subjects(self, name):
        """The subjects of the commits of a topic, or of mainline."""
        return [subject for _, subject in trees.commits(model.find(name))]

    def commit(self, name, message="dev: more", path="lib/made.o"):
        """Somebody works in a tree; the commit."""
        (paths.trees() / name / path).write_text(f"{message}\n")
        self.git("add", "--force", path, name=name)
        self.git("commit", "-q", "-m", message, name=name)
        return self.git("rev-parse", "HEAD", name=name)


class Making(Mainline):
    def test_topics(self):
        for name, direct, hmm, subjects in (
                ("mm", DIRECT, TWO, ["mm: two", "mm: new"]),
                ("one", ONE, HMM, ["dma: one"]), ("doc", ONE, TWO, ["doc: three"])):
            where = trees.tree(name)
            self.assertEqual((where / "kernel/dma/direct.c").read_text(), direct)
            self.assertEqual((where / "mm/hmm.c").read_text(), hmm)
            self.assertEqual(self.subjects(name), subjects)
        self.assertFalse((paths.trees() / "fix").exists())

    def test_all_end_where_the_series_ends(self):
        trees.update("series")
        trees.tree("mainline")
        self.assertEqual(self.git("rev-parse", "mainline^{tree}"),
                         self.git("rev-parse", "series^{tree}"))
        self.assertEqual(self.subjects("mainline"), [
            "dma: repair", "mm: two", "mm: new", "dma: one", "doc: three"])

    def test_what_changes_below_is_taken_over(self):
        trees.tree("one")
        self.change("fix/0001", "+based", "+better")
        self.assertIn("better", (trees.tree("one") / "kernel/dma/direct.c").read_text())
        self.assertIn("better", self.git("show", f"{trees.update('doc')}:"
                                         "kernel/dma/direct.c", name="one"))

    def test_does_not_apply(self):
        head = trees.update("mainline")
        self.change("one/0001", " direct 17", " direct seventeen")
        for name in ("one", "doc", "mainline"):
            with self.fails(APPLY, "mainline/one/0001-dma-one.patch does not apply",
                            "kernel/dma/direct.c"):
                trees.tree(name)
        self.assertEqual(trees.resolve("mainline"), head)

    def test_own_work(self):
        trees.tree("one"), trees.tree("mainline")
        for name in ("one", "mainline"):
            head = self.commit(name)
            trees.tree(name)
            self.assertEqual(self.git("rev-parse", "HEAD", name=name), head)
        self.assertIn("`./lab refresh one` writes it", self.stderr.getvalue())
        self.assertNotIn("refresh mainline", self.stderr.getvalue())
        self.git("update-ref", "-d", "refs/lab/made/one")
        self.change("fix/0001", "Subject: ", "Subject: again ")
        with self.fails(APPLY, "the one tree has work of its own", "./lab refresh one"):
            trees.tree("one")
        with self.fails(APPLY, "mainline tree has work", "./lab tree mainline --reset"):
            trees.tree("mainline")
        trees.tree("one", reset=True)
        self.assertEqual(self.git("log", "-1", "--format=%s", "refs/lab/saved/1"),
                         "dev: more")

    def test_unknown(self):
        for name in ("nosuch", "nosuch-suites", "fix-suites-suites"):
            with self.fails(USAGE, f"no tree '{name}': stock, base, series, fix, mm, "
                            "one, doc, mainline; NAME-suites"):
                trees.tree(name)


class Suites(Mainline):
    def setUp(self):
        """The series has suites; the first topic has one too, and an event."""
        super().setUp()
        self.write("mainline/fix", [], FIX, EVENT)
        self.write("mainline/one", [FIX, EVENT],
                   ("dma: one", {"kernel/dma/direct.c": ONE}))
        self.write("series", [("base", {"kernel/dma/direct.c": BASED})], THREE,
                   ("tests", {"kernel/dma/debug.c": "/* d */\nu32 error_count;\n",
                              "kernel/dma/tests/Makefile": "obj-y += s.o\n",
                              "kernel/dma/tests/s.c": "new\n"}))
        self.enter(mock.patch.object(trees, "_BENCHMARKS", self.root / "none"))

    def laid_over(self, where, yields):
        """Expect the suites in the tree, and nothing that it has declared twice."""
        tests = where / "kernel/dma/tests"
        self.assertEqual((tests / "s.c").read_text(), "new\n")
        self.assertFalse((tests / "gone.c").exists())
        self.assertEqual((tests / "compat.h").read_text(), yields
                         + (self.root / "base/compat.h").read_text())
        self.assertIn("compat.h\n", (tests / "Makefile").read_text())
        self.assertEqual((where / "kernel/dma/debug.c").read_text(),
                         "/* c */\nu32 dma_debug_error_count;\n")

    def test_over_topics(self):
        for name, yields in (("mm", ""), ("one", "#define HAVE_EVENT\n"),
                             ("mainline", "#define HAVE_EVENT\n")):
            self.laid_over(trees.tree(f"{name}-suites"), yields)
        self.assertEqual(self.git("log", "-2", "--format=%s", name="one-suites"),
                         "the suites of the series\ndma: one")

    def test_over_one_patch(self):
        trees.update("mainline")
        (repair, _), (event, _), *_ = trees.commits(model.find("mainline"))
        self.laid_over(trees.visit(repair, suites=True), "")
        self.laid_over(trees.visit(event, suites=True), "#define HAVE_EVENT\n")
        where = trees.visit(event)
        self.assertEqual((where / "kernel/dma/tests/s.c").read_text(), "old\n")
        self.assertFalse((where / "kernel/dma/tests/compat.h").exists())

    def test_nothing_to_add(self):
        """A tree that declares all of it does not need compat.h."""
        compat = self.root / "base/compat.h"
        compat.write_text("#ifndef HAVE_EVENT /* include/trace.h: EVENT(x) */\n")
        where = trees.tree("one-suites")
        self.assertFalse((where / "kernel/dma/tests/compat.h").exists())
        self.assertEqual((where / "kernel/dma/tests/Makefile").read_text(),
                         "obj-y += s.o\n")
        self.assertEqual((where / "kernel/dma/debug.c").read_text(),
                         "/* c */\nstatic u32 error_count;\n")


class Refresh(Mainline):
    def refresh(self, name):
        return mails.refresh(model.find(name))

    def test_new_topic(self):
        """From nothing to one patch, which needs no cover letter, to two and back."""
        with open(self.root / "mainline/mainline.toml", "a", encoding="ascii") as file:
            file.write('[new]\ntitle = "new: title"\nfor = "X"\nneeds = ["doc"]\n')
        trees.tree("new")
        with self.fails(USAGE, "no commits on doc: make some"):
            self.refresh("new")
        where, known = self.root / "mainline/new", self.root / "base/base.toml"
        before = known.read_bytes()
        self.commit("new", "dev: 1")
        self.assertEqual(self.refresh("new"), ["0001-dev-1.patch"])
        self.commit("new", "dev: 2")
        self.assertEqual(self.refresh("new"),
                         [model.COVER, "0001-dev-1.patch", "0002-dev-2.patch"])
        cover = where / model.COVER
        self.assertIn("Subject: [PATCH 0/2] new: title\n", cover.read_text())
        cover.write_text(cover.read_text().replace("EDITME", "Why.")
                         .replace("new: title", "another title"))
        self.assertEqual(self.refresh("new"), [])
        self.assertEqual(mails.outdated(model.find("new")), [])
        self.assertIn("Subject: [PATCH 0/2] another title\n", cover.read_text())
        self.git("reset", "-q", "--hard", "HEAD~1", name="new")
        self.assertEqual(self.refresh("new"),
                         ["0001-dev-1.patch", model.COVER, "0002-dev-2.patch"])
        self.assertEqual(known.read_bytes(), before)

    def test_no_work_tree(self):
        """One takes gigabytes, and the branch is enough to write mails from."""
        self.refresh("one")
        self.assertFalse((paths.trees() / "one").exists())

    def test_own_commits_only(self):
        trees.tree("one")
        self.commit("one")
        self.assertIn("0002-dev-more.patch", self.refresh("one"))
        self.assertEqual(len(model.find("one").mails()), 2)
        trees.tree("mainline")
        self.assertEqual(self.git("show", "HEAD:lib/made.o"), "dev: more")

    def test_no_mails_of_its_own(self):
        for name in ("mainline", "doc-needs"):
            with self.fails(USAGE, f"{name} has no mails of its own", "fix, mm, one",
                            "./lab refresh"):
                self.refresh(name)


class Gate(Mainline):
    """The lines of ./lab check --only mails."""

    def setUp(self):
        super().setUp()
        self.program("codespell", "exit 0")
        for name in ("leftovers", "userspace"):
            self.enter(mock.patch.object(virtio, name, return_value=""))
        self.enter(mock.patch.object(checkpatch, "_PATH", os.environ["PATH"]))
        self.once("gate", lambda: [self.fresh(name) for name in model.topics()])

    def fresh(self, name):
        """Write the mails that refresh would write, without a work tree."""
        trees.update(name)
        topic = model.find(name)
        with mails._written(topic) as (new, _, _):
            for path in new:
                text = path.read_text().replace("EDITME", "Good.")
                (topic.path / path.name).write_text(text)

    def lines(self):
        return [str(finding) for finding in series.findings()
                if "mainline" in finding.text]

    def failed(self):
        """[(status, topic, problem)] of what is wrong with mainline/."""
        return [(found.status, found.text.split()[0], found.problem)
                for found in series.findings() if found.failed
                and "mainline/" in found.text]

    def test_good(self):
        self.assertEqual(self.lines(), [
            *(f"ok    mainline/{name}/ applies to stock{below} with no fuzz, is what "
              f"./lab refresh {name} writes, has good style: {count} patches"
              for name, count, below in (
                  ("fix", 1, ""), ("mm", 2, ""), ("one", 1, " and what it needs"),
                  ("doc", 1, " and what it needs"))),
            "ok    mainline/ ends in the tree that series/ ends in"])

    def test_without_topics(self):
        (self.root / "mainline/mainline.toml").write_text("")
        self.assertEqual(self.lines(), [])
        shutil.rmtree(self.root / "mainline")
        self.assertEqual(self.lines(), [])

    def test_does_not_apply(self):
        self.change("one/0001", " direct 17", " direct seventeen")
        failed = self.failed()
        self.assertEqual([line[:2] for line in failed], [
            (APPLY, "mainline/one/"), (APPLY, "mainline/doc/"), (APPLY, "mainline/")])
        self.assertEqual({problem.partition(";")[0] for _, _, problem in failed}, {
            "mainline/one/0001-dma-one.patch does not apply: kernel/dma/direct.c, hunk "
            "at line 17"})

    def test_topics_in_the_same_place(self):
        """Each applies to stock, but not all of them do."""
        text = edited(HMM, 20, "drei")
        self.write("mainline/doc", [], ("doc: three", {"mm/hmm.c": text}))
        path = self.root / "mainline/mainline.toml"
        path.write_text(TOML.replace('needs = ["one", "mm"]', ""))
        self.fresh("doc")
        (status, topic, problem), = self.failed()
        self.assertEqual((status, topic), (APPLY, "mainline/"))
        self.assertIn("mainline/doc/0001-doc-three.patch does not apply: mm/hmm.c",
                      problem)

    def test_own_work_is_left_alone(self):
        trees.tree("mm")
        head = self.commit("mm")
        (paths.trees() / "mm/COPYING").write_text("not committed\n")
        (status, topic, problem), = self.failed()
        self.assertEqual((status, topic), (STYLE, "mainline/mm/"))
        self.assertIn("0003-dev-more.patch would change", problem)
        self.assertEqual(self.git("rev-parse", "HEAD", name="mm"), head)
        self.assertEqual(self.git("status", "--short", name="mm"), "M COPYING")

    def test_style(self):
        """The mail is named; what else is wrong with the topic is said as well."""
        self.change("mm/0002", "Subject: [PATCH 2/2] mm: new", "Subject: BAD")
        (status, topic, problem), = self.failed()
        self.assertEqual((status, topic), (STYLE, "mainline/mm/"))
        self.assertIn("0002-mm-new.patch would change", problem)
        self.assertIn("complaints, the first: 0002-mm-new.patch: ", problem)
        self.assertIn("BAD", problem)

    def test_another_end(self):
        self.change("doc/0001", "+three", "+four")
        self.fresh("doc")
        self.assertEqual(self.failed()[0][1:], ("mainline/", "COPYING differ"))
        shutil.rmtree(self.root / "mainline/doc")
        self.change("fix/0001", "+based", "+basic")
        for name in ("fix", "one"):
            self.fresh(name)
        self.assertEqual(self.failed(), [
            (APPLY, "mainline/doc/", "commit some in the tree of ./lab tree doc, and "
             "refresh"),
            (1, "mainline/", "COPYING, kernel/dma/direct.c differ")])
        with mock.patch.object(series, "MOST", 1):
            self.assertIn("COPYING and 1 more differ", self.failed()[1][2])


class Ours(unittest.TestCase):
    def test_topics(self):
        for topic in model.topics().values():
            self.assertTrue(topic.mails(), topic.directory)

    def test_compat(self):
        """The series has all that compat.h yields to, so that its tree needs none."""
        compat = (paths.ROOT / "base/compat.h").read_text()
        text = "".join(path.read_text() for path in model.SERIES["series"].mails())
        entries = trees._HAVE.findall(compat)
        self.assertEqual(len(entries), compat.count("#ifndef HAVE_"))
        for _, path, declaration in entries:
            self.assertIn(f"\n+++ b/{path}\n", text)
            self.assertIn(f"\n+{declaration}", text)
