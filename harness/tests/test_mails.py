# SPDX-License-Identifier: GPL-2.0-only
"""refresh: the mails say what the commits say, byte for byte each time."""

import os
import shutil

from harness import model, process, toml
from harness.source import mails, trees
from harness.errors import APPLY, USAGE
from harness.tests import DIRECT, HMM, Sandbox, edited

BASE, SERIES = model.SERIES["base"], model.SERIES["series"]
BASED = edited(DIRECT, 5, "based")


class Refresh(Sandbox):
    def setUp(self):
        super().setUp()
        os.environ["LINUX_TARBALL"] = str(self.kernel())
        self.mails(self.root / "base", ("base", {"kernel/dma/direct.c": BASED}))
        self.mails(SERIES.path,
                   ("dma: one\n\nWhy it is so.\n\nDétails.",
                    {"kernel/dma/direct.c": edited(BASED, 20, "one")}),
                   ("mm: two", {"mm/hmm.c": edited(HMM, 20, "two"), "mm/new.c": "n\n"}))
        self.where = self.made("series")

    def git(self, *args, **kw):
        return process.git(*args, cwd=self.where, check_status=1, **kw).stdout.strip()

    def commit(self, message, *options, text="dev\n", **kw):
        (self.where / "COPYING").write_text(text)
        self.git("commit", "-q", "-a", "-m", message, *options, **kw)

    def contents(self):
        return {path.name: path.read_bytes() for path in SERIES.path.iterdir()}

    def test_idempotent(self):
        self.assertIn(model.COVER, mails.refresh(SERIES))
        first, toml_first = self.contents(), (self.root / "base/base.toml").read_bytes()
        self.assertEqual(mails.refresh(SERIES), [])
        self.assertEqual(self.contents(), first)
        self.assertEqual((self.root / "base/base.toml").read_bytes(), toml_first)
        head = self.git("rev-parse", "HEAD")
        os.environ["XDG_CACHE_HOME"] = str(self.top / "other")
        self.where = trees.tree("series")
        self.assertEqual(self.git("rev-parse", "HEAD"), head)
        self.assertEqual(mails.refresh(SERIES), [])
        self.assertEqual(self.contents(), first)

    def test_new_cover_letter(self):
        mails.refresh(SERIES)
        text = (SERIES.path / model.COVER).read_text()
        self.assertIn(f"Subject: [PATCH 0/2] {SERIES.title}\n", text)
        self.assertIn("\n\nEDITME\n\n", text)
        self.assertIn("From 0000000000000000000000000000000000000000 ", text)

    def test_cover_text_is_kept(self):
        mails.refresh(SERIES)
        path = SERIES.path / model.COVER
        long = "dma-mapping: " + "a long subject that git has to fold " * 4
        body = ("First.\n\nSecond, with a list:\n  - ä\n\n\n    indented\n"
                "dma-require-coherent is a name\n---\nafter a dash")
        text = path.read_text().replace(SERIES.title, long.strip())
        path.write_text(text.replace("EDITME", body))
        self.commit("doc: three")
        mails.refresh(SERIES)
        text = path.read_text()
        self.assertIn(f"\n\n{body}\n\n{process.NAME} (3):\n", text)
        self.assertEqual(mails._cover(SERIES), (long.strip(), body))
        self.assertIn("  doc: three\n", text)
        self.assertEqual(mails.refresh(SERIES), [])

    def test_commits_become_mails(self):
        mails.refresh(SERIES)
        self.commit("doc: three")
        changed = mails.refresh(SERIES)
        self.assertIn("0003-doc-three.patch", changed)
        self.assertTrue(all("PATCH" in p.read_text() for p in SERIES.path.iterdir()))
        trees.tree("series")
        self.assertNotIn("work of its own", self.stderr.getvalue())

    def test_base(self):
        """A series without a cover letter comes out as it went in."""
        before = BASE.mails()[0].read_bytes()
        self.assertEqual(mails.refresh(BASE), ["0001-base.patch", "base.toml"])
        self.assertEqual(mails.refresh(BASE), [])
        self.assertEqual(mails.outdated(BASE), [])
        self.assertIn(b"Subject: [PATCH] base\n", BASE.mails()[0].read_bytes())
        self.assertEqual(BASE.mails()[0].read_bytes().partition(b"\n---\n")[0],
                         before.partition(b"\n---\n")[0])

    def test_both_changed(self):
        """What the message says is the way out: refresh keeps the tree's commits."""
        mails.refresh(SERIES)
        self.commit("doc: three")
        path = SERIES.mails()[1]
        path.write_text(path.read_text().replace("+two", "+zwei"))
        with self.fails(APPLY, "`./lab refresh series`"):
            trees.tree("series")
        self.assertEqual(mails.refresh(SERIES)[1:],
                         ["0001-dma-one.patch", "0002-mm-two.patch",
                          "0003-doc-three.patch", "base.toml"])
        self.assertIn("+two", path.read_text())

    def test_mails_that_are_newer(self):
        """Without own work in the tree, a mail corrected by hand is taken over."""
        mails.refresh(SERIES)
        path = SERIES.mails()[1]
        path.write_text(path.read_text().replace("+two", "+zwei"))
        self.assertEqual(mails.refresh(SERIES), ["0002-mm-two.patch"])  # its index line
        self.assertIn("zwei", (self.where / "mm/hmm.c").read_text())
        self.assertIn("+zwei", path.read_text())

    def test_own_kernel_is_not_the_known_one(self):
        mails.refresh(SERIES)
        where, before = self.top / "linux", (self.root / "base/base.toml").read_bytes()
        shutil.copytree(trees.tree("stock"), where)
        (where / "mm/hmm.c").write_text(edited(HMM, 1, "mine"))
        os.environ.update(LINUX_TREE=str(where), LINUX_REF="HEAD")
        self.assertNotIn("base.toml", mails.refresh(SERIES))
        self.assertIn("mine\n", (self.where / "mm/hmm.c").read_text())
        self.assertEqual((self.root / "base/base.toml").read_bytes(), before)

    def test_old_mails_go(self):
        mails.refresh(SERIES)
        self.git("reset", "-q", "--hard", "HEAD~1")
        self.assertIn("0002-mm-two.patch", mails.refresh(SERIES))
        self.assertEqual(sorted(self.contents()), ["0001-dma-one.patch"])

    def test_files_keep_their_times(self):
        mails.refresh(SERIES)
        first = SERIES.path / "0001-dma-one.patch"
        (self.where / "mm/hmm.c").write_text(edited(HMM, 20, "zwei"))
        self.git("commit", "-q", "-a", "--amend", "--no-edit")
        os.utime(first, (1e9, 1e9))
        os.utime(self.where / "mm/hmm.c", (1e9, 1e9))
        self.assertEqual(mails.refresh(SERIES), ["0002-mm-two.patch"])
        self.assertEqual(first.stat().st_mtime, 1e9)
        self.assertEqual((self.where / "mm/hmm.c").stat().st_mtime, 1e9)

    def test_known_files(self):
        mails.refresh(SERIES)
        config = toml.load(self.root / "base/base.toml")
        self.assertEqual(config["stock"]["version"], "7.3.4")
        self.assertEqual(config["package"], "linux-source-7.3")
        self.assertEqual(list(config["files"]), ["kernel/dma/direct.c", "mm/hmm.c"])
        self.assertEqual(config["files"]["mm/hmm.c"],
                         self.git("rev-parse", "stock:mm/hmm.c"))
        self.assertIn("files match 7.3.4", trees.provenance())
        os.environ["LINUX_TARBALL"] = str(self.kernel(
            "7.3.5", **{"mm/hmm.c": HMM + "more\n"}))
        trees.tree("series")
        self.assertIn("1 of 2 files differ from 7.3.4", trees.provenance())


class Refused(Refresh):
    def refused(self, *words):
        before = self.contents()
        with self.fails(USAGE, *words):
            mails.refresh(SERIES)
        self.assertEqual(self.contents(), before)

    def test_uncommitted(self):
        (self.where / "COPYING").write_text("changed\n")
        self.refused("not committed")

    def test_untracked(self):
        (self.where / "mm/forgotten.c").write_text("new\n")
        self.refused("not committed")

    def test_fixup(self):
        self.commit("fixup! dma: one")
        self.refused("fixup! dma: one", "--autosquash")

    def test_author(self):
        self.commit("x: y", env={"GIT_AUTHOR_EMAIL": "me@example.com"})
        self.refused("me@example.com", "--reset-author")

    def test_sign_off(self):
        self.commit("x: y", "--signoff")
        self.refused("signed off")

    def test_too_many(self):
        for number in range(mails.MOST - 1):
            self.commit(f"x: {number}", text=f"{number}\n")
        self.refused("16 patches", "15")

    def test_message_that_git_am_takes_for_a_patch(self):
        self.commit("x: y\n\ndiff --git a/mm/new.c b/mm/new.c\n--- a/mm/new.c\n"
                    "+++ b/mm/new.c\n@@ -1 +1 @@\n-n\n+x\n", "--cleanup=verbatim")
        before = self.contents()
        with self.fails(APPLY, "confuses git am"):
            mails.refresh(SERIES)
        self.assertEqual(self.contents(), before)

    def test_merge(self):
        self.git("merge", "-q", "--no-ff", "-m", "join", "-s", "ours",
                 self.git("commit-tree", "-p", "HEAD", "-m", "side", "HEAD^{tree}"))
        self.refused("merge")

    def test_old_base(self):
        self.commit("doc: three")
        path = BASE.mails()[0]
        path.write_text(path.read_text().replace("+based", "+rebased"))
        trees.tree("base")
        self.refused("not based on the present base")
        self.git("rebase", "-q", "--fork-point", "base")    # as it says
        self.assertIn("0003-doc-three.patch", mails.refresh(SERIES))

    def test_no_commits(self):
        self.git("reset", "-q", "--hard", "base")
        self.refused("no commits")


for _name in [name for name in vars(Refresh) if name.startswith("test_")]:
    setattr(Refused, _name, None)       # inherited for its setUp only
