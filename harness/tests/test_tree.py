# SPDX-License-Identifier: GPL-2.0-only
"""The trees: made on demand, moved with care, never half."""

import os
import shutil
from unittest import mock

from harness import model, paths, process
from harness.source import fetch, trees
from harness.errors import APPLY, USAGE
from harness.tests import DIRECT, FILES, HMM, Sandbox, edited

BASE, SERIES = model.SERIES["base"], model.SERIES["series"]
BASED = edited(DIRECT, 5, "based")
ONE = edited(BASED, 20, "one")
TWO = edited(HMM, 20, "two")
COMPAT = "#ifndef HAVE_X /* x.h: x */\n"
# What else comes with the suites.
SUITES = ("include/kunit/dma.h", "kernel/dma/Kconfig", "kernel/dma/Makefile",
          "drivers/infiniband/Kconfig", "drivers/infiniband/core/Makefile",
          "drivers/infiniband/core/tests/suite.c")


class Trees(Sandbox):
    def setUp(self):
        super().setUp()
        os.environ["LINUX_TARBALL"] = str(self.kernel())
        self.mails(self.root / "base", ("base", {"kernel/dma/direct.c": BASED}))
        self.mails(SERIES.path,
                   ("dma: one", {"kernel/dma/direct.c": ONE}),
                   ("mm: two", {"mm/hmm.c": TWO, "mm/new.c": "new\n"}))

    def git(self, *args):
        return process.git(*args, cwd=paths.trees() / "series",
                           check_status=1).stdout.strip()

    def edit(self, commit="dev: more"):
        """Somebody works in the series tree."""
        path = paths.trees() / "series" / "COPYING"
        path.write_text(f"{commit}\n")
        if commit:
            self.git("commit", "-q", "-a", "-m", commit)

    def change_mail(self, number=2, old="+two", new="+zwei"):
        path = SERIES.mails()[number - 1]
        path.write_text(path.read_text().replace(old, new))

    def ageing(self, name="series"):
        """Give every file an old time; returns a function that names those that
        have another one since."""
        top = paths.trees() / name
        files = [p for p in top.rglob("*") if p.is_file()
                 and ".git" not in p.relative_to(top).parts]
        for path in files:
            os.utime(path, (1e9, 1e9))
        return lambda: sorted(str(p.relative_to(top)) for p in files
                              if not p.exists() or p.stat().st_mtime != 1e9)

    def lose_refs(self):
        for ref in self.git("for-each-ref", "--format=%(refname)", "refs/lab").split():
            self.git("update-ref", "-d", ref)


class Making(Trees):
    def test_three_trees(self):
        where = trees.tree("stock")
        self.assertFalse((paths.trees() / "base").exists())
        for name, text in FILES.items():
            self.assertEqual((where / name).read_text(), text)
        self.assertTrue(os.access(where / "scripts/check", os.X_OK))
        self.assertEqual((trees.tree("base") / "kernel/dma/direct.c").read_text(), BASED)
        where = trees.tree("series")
        self.assertEqual((where / "kernel/dma/direct.c").read_text(), ONE)
        self.assertEqual((where / "mm/new.c").read_text(), "new\n")
        self.assertEqual([subject for _, subject in trees.commits()],
                         ["dma: one", "mm: two"])
        self.assertEqual(trees.touched("series"),
                         ["kernel/dma/direct.c", "mm/hmm.c", "mm/new.c"])
        self.assertIn("stock is Linux 7.3.4", trees.provenance())
        self.assertFalse((paths.trees() / "apply").exists())

    def test_series_alone(self):
        trees.tree("series")
        self.assertFalse((paths.trees() / "base").exists())

    def test_same_ids_in_another_cache(self):
        trees.tree("series")
        first = self.git("rev-parse", "HEAD")
        self.assertEqual(self.git("log", "-1", "--format=%cn %ce %ci"),
                         f"{process.NAME} {process.EMAIL} 2026-11-20 12:00:00 +0100")
        os.environ["XDG_CACHE_HOME"] = str(self.top / "other")
        trees.tree("series")
        self.assertEqual(self.git("rev-parse", "HEAD"), first)

    def test_nothing_to_do(self):
        self.made("series")
        changed = self.ageing()
        with mock.patch.object(trees, "_am", side_effect=AssertionError):
            trees.tree("series")
        self.assertEqual(changed(), [])

    def test_unknown(self):
        with self.fails(USAGE, "no tree 'mainline': stock, base, series; NAME-suites"):
            trees.tree("mainline")

    def test_package_that_hides_all_files_from_git(self):
        ignore = ".*\n\n#\n# Debian packaging: all of the source\n*\n"
        os.environ["LINUX_TARBALL"] = str(self.kernel("7.3.6", **{".gitignore": ignore}))
        where = trees.tree("stock")
        (where / "mm/own.c").write_text("own\n")
        self.assertEqual(process.git("add", "mm/own.c", cwd=where).returncode, 0)

    def test_no_mails(self):
        for path in SERIES.mails():
            path.unlink()
        trees.tree("series")
        self.assertEqual(trees.commits(), [])

    def test_half_a_work_tree_is_made_again(self):
        where = self.made("series")
        (where / "COPYING").unlink()
        admin = paths.trees() / "stock/.git/worktrees/series"
        (admin / "locked").write_text("initializing\n")
        trees.tree("series")
        self.assertTrue((where / "COPYING").exists())
        self.assertFalse((admin / "locked").exists())

    def test_lost_refs_keep_own_work(self):
        trees.tree("series")
        self.lose_refs()
        self.edit()
        head = self.git("rev-parse", "HEAD")
        self.change_mail()
        with self.fails(APPLY, "series tree has work", "has changed"):
            trees.tree("series")
        self.assertEqual(self.git("rev-parse", "HEAD"), head)

    def test_lost_repository(self):
        trees.tree("stock")
        os.environ["LINUX_TARBALL"] = str(self.kernel("7.3.5"))
        shutil.rmtree(paths.trees() / "stock")
        trees.tree("stock")
        os.environ["LINUX_TARBALL"] = str(self.top / "linux-7.3.4.tar.xz")
        self.assertIn("= 4\n", (trees.tree("stock") / "Makefile").read_text())

    def test_lost_refs(self):
        trees.tree("series")
        head = self.git("rev-parse", "HEAD")
        self.lose_refs()
        self.edit(commit="")
        trees.tree("series")
        self.assertEqual(self.git("rev-parse", "HEAD"), head)
        self.assertIn("the series tree has work of its own: `./lab refresh",
                      self.stderr.getvalue())
        self.change_mail()
        with self.fails(APPLY, "series tree has work", "has changed"):
            trees.tree("series")


class Moving(Trees):
    def test_only_changed_files_are_written(self):
        self.made("series")
        changed = self.ageing()
        self.change_mail()
        self.assertIn("zwei\n", (trees.tree("series") / "mm/hmm.c").read_text())
        self.assertEqual(changed(), ["mm/hmm.c"])

    def test_base_changes(self):
        self.made("series"), trees.tree("base")
        changed = {name: self.ageing(name) for name in trees.names()}
        path = BASE.mails()[0]
        path.write_text(path.read_text().replace("+based", "+rebased"))
        trees.tree("series"), trees.tree("base")
        self.assertEqual([changed[name]() for name in trees.names()],
                         [[], ["kernel/dma/direct.c"], ["kernel/dma/direct.c"]])

    def test_another_stock(self):
        self.made("series")
        changed = {name: self.ageing(name) for name in ("stock", "series")}
        os.environ["LINUX_TARBALL"] = str(self.kernel("7.3.5", COPYING="GPL\n"))
        trees.tree("series")
        self.assertEqual(changed["stock"](), ["COPYING", "Makefile"])
        self.assertEqual(changed["series"](), ["COPYING", "Makefile"])
        self.assertIn("7.3.5", trees.provenance())
        changed = self.ageing("series")
        os.environ["LINUX_TARBALL"] = str(self.top / "linux-7.3.4.tar.xz")
        with mock.patch.object(fetch, "_tar", side_effect=AssertionError):
            trees.tree("series")        # it is known, and need not be unpacked again
        self.assertIn("7.3.4", trees.provenance())
        self.assertEqual(changed(), ["COPYING", "Makefile"])

    def test_does_not_apply(self):
        self.made("series")
        head, changed = self.git("rev-parse", "HEAD"), self.ageing()
        self.change_mail(2, "-hmm 20\n", "-hmm twenty\n")
        with self.fails(APPLY, "series/0002-mm-two.patch", "mm/hmm.c", "line 17"):
            trees.tree("series")
        self.assertEqual((self.git("rev-parse", "HEAD"), changed()), (head, []))
        self.assertEqual(self.git("status", "--porcelain"), "")
        self.assertFalse((paths.trees() / "apply").exists())
        self.change_mail(2, "-hmm twenty\n", "-hmm 20\n")
        trees.tree("series")

    def test_no_fuzz(self):
        self.change_mail(1, " direct 17\n", " direct seventeen\n")
        with self.fails(APPLY, "series/0001-dma-one.patch", "kernel/dma/direct.c"):
            trees.tree("series")

    def test_file_that_is_not_there(self):
        self.change_mail(2, "mm/hmm.c", "mm/gone.c")
        with self.fails(APPLY, "series/0002-mm-two.patch", "mm/gone.c"):
            trees.tree("series")

    def test_not_a_mail(self):
        SERIES.mails()[0].write_text("rubbish\n")
        with self.fails(APPLY, "series"):
            trees.tree("series")


class OwnWork(Trees):
    def setUp(self):
        super().setUp()
        self.made("series")
        self.old = self.git("rev-parse", "HEAD")

    def test_commits_are_left_alone(self):
        self.edit()
        head = self.git("rev-parse", "HEAD")
        trees.tree("series")
        self.assertEqual(self.git("rev-parse", "HEAD"), head)
        self.assertIn("the series tree has work of its own: `./lab refresh",
                      self.stderr.getvalue())

    def test_changes_are_left_alone(self):
        self.edit(commit="")
        trees.tree("series")
        self.assertIn("the series tree has work of its own: `./lab refresh",
                      self.stderr.getvalue())
        self.assertEqual(self.git("status", "--porcelain"), "M COPYING")

    def test_both_changed(self):
        for commit in ("", "dev: more"):
            self.edit(commit)
            self.change_mail(new=f"+{len(commit)}")
            head = self.git("rev-parse", "HEAD")
            with self.fails(APPLY, "./lab refresh", "--reset"):
                trees.tree("series")
            self.assertEqual(self.git("rev-parse", "HEAD"), head)

    def test_both_changed_alike(self):
        (paths.trees() / "series/mm/hmm.c").write_text(TWO.replace("two", "zwei"))
        self.git("commit", "-q", "-a", "--amend", "--no-edit")
        self.change_mail()
        trees.tree("series")
        self.assertEqual(len(trees.commits()), 2)

    def test_reset_keeps_the_old_head(self):
        self.edit()
        head = self.git("rev-parse", "HEAD")
        self.edit(commit="")
        trees.tree("series", reset=True)
        self.assertEqual(self.git("rev-parse", "HEAD"), self.old)
        self.assertEqual(self.git("status", "--porcelain"), "")
        self.assertEqual(self.git("rev-parse", "refs/lab/saved/1^1"), head)
        self.assertEqual(self.git("show", "refs/lab/saved/1:COPYING"), "")
        self.edit()
        trees.tree("series", reset=True)
        self.assertEqual(self.git("show", "refs/lab/saved/2:COPYING"), "dev: more")
        self.assertEqual(len(self.git("for-each-ref", "refs/lab/saved").splitlines()), 2)

    def test_reset_in_a_conflict(self):
        """What is saved then is what the files look like, new ones too."""
        self.git("switch", "-q", "-c", "side", "HEAD~2")
        self.edit("side: one")
        self.git("switch", "-q", "series")
        (paths.trees() / "series/COPYING").write_text("mine\n")
        self.git("commit", "-q", "-a", "-m", "mine")
        process.git("merge", "side", cwd=paths.trees() / "series")
        self.assertIn("UU COPYING", self.git("status", "--porcelain"))
        (paths.trees() / "series/COPYING").write_text("both\n")
        (paths.trees() / "series/mm/extra.c").write_text("extra\n")
        trees.tree("series", reset=True)
        self.assertEqual(self.git("rev-parse", "HEAD"), self.old)
        self.assertEqual(self.git("show", "refs/lab/saved/1:COPYING"), "both")
        self.assertEqual(self.git("show", "refs/lab/saved/1:mm/extra.c"), "extra")
        self.assertEqual(self.git("log", "-1", "--format=%s", "refs/lab/saved/1^1"),
                         "mine")

    def test_rebase_under_way(self):
        self.git("checkout", "-q", "--detach", "HEAD~1")
        self.edit()
        detached = self.git("rev-parse", "HEAD")
        self.change_mail()
        with self.fails(APPLY, "--reset"):
            trees.tree("series")
        where = trees.tree("series", reset=True)
        self.assertEqual(self.git("symbolic-ref", "--short", "HEAD"), "series")
        self.assertIn("zwei", (where / "mm/hmm.c").read_text())
        self.assertEqual([self.git("rev-parse", f"refs/lab/saved/{n}") for n in (1, 2)],
                         [self.old, detached])

    def test_untracked_files_are_never_overwritten(self):
        (paths.trees() / "series/mm/zwei.c").write_text("mine\n")
        self.change_mail(old="mm/new.c", new="mm/zwei.c")
        for reset in (False, True):
            with self.fails(APPLY, "zwei.c", "move what is in the way"):
                trees.tree("series", reset)
        self.assertEqual(self.git("rev-parse", "HEAD"), self.old)


class Suites(Trees):
    """Trees without the series, but with its tests."""

    def setUp(self):
        super().setUp()
        (self.root / "base/compat.h").write_text(COMPAT)
        self.mails(SERIES.path, ("dma: three", {
            "kernel/dma/tests/Makefile": "obj-y += suite.o\n",
            "kernel/dma/tests/suite.c": "suite\n",
            "kernel/dma/.kunitconfig": "CONFIG_KUNIT=y\n",
            **{path: "tests\n" for path in SUITES}}))
        benchmarks = self.root / "guest/benchmark"
        benchmarks.mkdir(parents=True)
        (benchmarks / "b_kunit.c").write_text("benchmark\n")
        self.enter(mock.patch.object(trees, "_BENCHMARKS", benchmarks))
        for path, number in zip(SERIES.path.glob("0001-dma-three*"), "3"):
            path.rename(SERIES.path / f"000{number}-dma-three.patch")

    def test_changes_elsewhere(self):
        """Other trees keep what was changed there until --reset, which works."""
        trees.tree("series")
        trees.visit(trees.commits()[0][0])
        for number, name in enumerate(("base", "stock", "stock-suites", "visited"), 1):
            where = trees.tree(name)
            (where / "COPYING").write_text("changed\n")
            if name != "stock":
                process.git("commit", "-q", "-a", "-m", "x", cwd=where, check_status=1)
            trees.tree(name)
            self.assertIn(f"`./lab tree {name} --reset`", self.stderr.getvalue())
            self.assertEqual((where / "COPYING").read_text(), "changed\n")
            trees.tree(name, reset=True)
            self.assertEqual((where / "COPYING").read_text(), FILES["COPYING"])
            self.assertEqual(self.git("show", f"refs/lab/saved/{number}:COPYING"),
                             "changed")

    def test_suites_that_changed_on_both_sides(self):
        where = trees.tree("series-suites")
        (where / "COPYING").write_text("changed\n")
        self.change_mail()
        with self.fails(APPLY, "./lab tree series-suites --reset"):
            trees.tree("series-suites")
        trees.tree("series-suites", reset=True)
        self.assertIn("zwei\n", (where / "mm/hmm.c").read_text())

    def test_suites_alone(self):
        for name, direct in (("stock-suites", DIRECT), ("base-suites", BASED)):
            where = trees.tree(name)
            self.assertEqual((where / "kernel/dma/direct.c").read_text(), direct)
            self.assertEqual((where / "mm/hmm.c").read_text(), FILES["mm/hmm.c"])
            tests = where / "kernel/dma/tests"
            self.assertEqual((tests / "suite.c").read_text(), "suite\n")
            self.assertEqual((tests / "compat.h").read_text(), COMPAT)
            self.assertEqual((tests / "Makefile").read_text(), "obj-y += suite.o\n\n"
                             "ccflags-y += -include $(srctree)/"
                             "kernel/dma/tests/compat.h\n"
                             "obj-$(CONFIG_DMA_MAP_BENCHMARK) += b_kunit.o\n")
            self.assertEqual((tests / "b_kunit.c").read_text(), "benchmark\n")
            self.assertIn("\nu32 dma_debug_error_count;\n",
                          (where / "kernel/dma/debug.c").read_text())
            self.assertTrue((where / "kernel/dma/.kunitconfig").exists())
            for path in SUITES:
                self.assertEqual((where / path).read_text(), "tests\n")

    def test_benchmarks_with_the_series(self):
        (self.root / "base/compat.h").write_text("#ifndef HAVE_X /* mm/new.c: new */\n")
        where = trees.tree("series-suites")
        self.assertEqual((where / "kernel/dma/direct.c").read_text(), ONE)
        self.assertEqual((where / "kernel/dma/debug.c").read_text(),
                         FILES["kernel/dma/debug.c"])
        self.assertEqual((where / "kernel/dma/tests/Makefile").read_text(),
                         "obj-y += suite.o\n"
                         "obj-$(CONFIG_DMA_MAP_BENCHMARK) += b_kunit.o\n")
        self.assertFalse((where / "kernel/dma/tests/compat.h").exists())

    def test_again(self):
        """What has not changed keeps its time, what has is taken over."""
        where = trees.tree("stock-suites")
        newer = self.ageing("stock-suites")
        trees.tree("stock-suites")
        self.assertEqual(newer(), [])
        (self.root / "base/compat.h").write_text(f"{COMPAT}/* more */\n")
        self.assertEqual(trees.tree("stock-suites"), where)
        self.assertEqual(newer(), ["kernel/dma/tests/compat.h"])


class Visit(Trees):
    def test_patch_by_patch(self):
        self.made("series")
        (one, _), (two, _) = trees.commits()
        where = trees.visit(one)
        self.assertEqual((where / "kernel/dma/direct.c").read_text(), ONE)
        self.assertFalse((where / "mm/new.c").exists())
        newer = self.ageing(trees.VISITED)
        self.assertEqual(trees.visit(two), where)
        self.assertEqual(newer(), ["mm/hmm.c"])
        self.assertEqual(trees.tree(trees.VISITED), where)

    def test_never_made(self):
        for _ in range(2):
            with self.fails(USAGE, "no tree 'visited' yet", "./lab bisect"):
                trees.tree(trees.VISITED)
            trees.tree("series")
