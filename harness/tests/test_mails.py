# SPDX-License-Identifier: GPL-2.0-only
"""refresh: the mails say what the commits say, byte for byte each time."""

import os

from harness import paths, process, toml
from harness.source import mails, trees
from harness.errors import USAGE
from harness.tests import DIRECT, HMM, Sandbox, edited

BASED = edited(DIRECT, 5, "based")
COVER = paths.Path("0000-cover-letter.patch")


class Refresh(Sandbox):
    def setUp(self):
        super().setUp()
        os.environ["LINUX_TARBALL"] = str(self.kernel())
        self.mails(paths.BASE, ("base", {"kernel/dma/direct.c": BASED}))
        self.mails(paths.SERIES,
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
        return {path.name: path.read_bytes() for path in paths.SERIES.iterdir()}

    def test_idempotent(self):
        self.assertIn(str(COVER), mails.refresh())
        first, toml_first = self.contents(), (paths.BASE / "base.toml").read_bytes()
        self.assertEqual(mails.refresh(), [])
        self.assertEqual(self.contents(), first)
        self.assertEqual((paths.BASE / "base.toml").read_bytes(), toml_first)
        head = self.git("rev-parse", "HEAD")
        os.environ["XDG_CACHE_HOME"] = str(self.top / "other")
        self.where = trees.tree("series")
        self.assertEqual(self.git("rev-parse", "HEAD"), head)
        self.assertEqual(mails.refresh(), [])
        self.assertEqual(self.contents(), first)

    def test_new_cover_letter(self):
        mails.refresh()
        text = (paths.SERIES / COVER).read_text()
        self.assertIn(f"Subject: [PATCH 0/2] {mails.SUBJECT}\n", text)
        self.assertIn("\n\nEDITME\n\n", text)
        self.assertIn("From 0000000000000000000000000000000000000000 ", text)

    def test_cover_text_is_kept(self):
        mails.refresh()
        path = paths.SERIES / COVER
        long = "dma-mapping: " + "a long subject that git has to fold " * 4
        body = ("First.\n\nSecond, with a list:\n  - ä\n\n\n    indented\n"
                "dma-require-coherent is a name\n---\nafter a dash")
        text = path.read_text().replace(mails.SUBJECT, long.strip())
        path.write_text(text.replace("EDITME", body))
        self.commit("doc: three")
        mails.refresh()
        text = path.read_text()
        self.assertIn(f"\n\n{body}\n\n{process.NAME} (3):\n", text)
        self.assertEqual(mails._cover(), (long.strip(), body))
        self.assertIn("  doc: three\n", text)
        self.assertEqual(mails.refresh(), [])

    def test_commits_become_mails(self):
        mails.refresh()
        self.commit("doc: three")
        changed = mails.refresh()
        self.assertIn("0003-doc-three.patch", changed)
        self.assertTrue(all("PATCH" in p.read_text() for p in paths.SERIES.iterdir()))
        self.assertFalse(trees.stale("series"))
        trees.tree("series")
        self.assertNotIn("ahead", self.stderr.getvalue())

    def test_old_mails_go(self):
        mails.refresh()
        self.git("reset", "-q", "--hard", "HEAD~1")
        self.assertIn("0002-mm-two.patch", mails.refresh())
        self.assertEqual(sorted(self.contents()),
                         [str(COVER), "0001-dma-one.patch"])

    def test_files_keep_their_times(self):
        mails.refresh()
        first = paths.SERIES / "0001-dma-one.patch"
        (self.where / "mm/hmm.c").write_text(edited(HMM, 20, "zwei"))
        self.git("commit", "-q", "-a", "--amend", "--no-edit")
        os.utime(first, (1e9, 1e9))
        os.utime(self.where / "mm/hmm.c", (1e9, 1e9))
        self.assertEqual(mails.refresh(), ["0002-mm-two.patch"])
        self.assertEqual(first.stat().st_mtime, 1e9)
        self.assertEqual((self.where / "mm/hmm.c").stat().st_mtime, 1e9)

    def test_known_files(self):
        mails.refresh()
        config = toml.load(paths.BASE / "base.toml")
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
            mails.refresh()
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

    def test_merge(self):
        self.git("merge", "-q", "--no-ff", "-m", "join", "-s", "ours",
                 self.git("commit-tree", "-p", "HEAD", "-m", "side", "HEAD^{tree}"))
        self.refused("merge")

    def test_series_is_newer(self):
        path = trees.mails("series")[1]
        path.write_text(path.read_text().replace("+two", "+zwei"))
        self.refused("./lab tree series")

    def test_old_base(self):
        self.commit("doc: three")
        path = trees.mails("base")[0]
        path.write_text(path.read_text().replace("+based", "+rebased"))
        trees.tree("base")
        self.refused("rebase --onto base")

    def test_no_commits(self):
        self.git("reset", "-q", "--hard", "base")
        self.refused("no commits")

    def test_no_tree(self):
        os.environ["XDG_CACHE_HOME"] = str(self.top / "empty")
        self.refused("./lab tree series")


for _name in [name for name in vars(Refresh) if name.startswith("test_")]:
    setattr(Refused, _name, None)       # inherited for its setUp only
