# SPDX-License-Identifier: GPL-2.0-only
"""The git trees: stock, made from a source, and on it those of the series of mails.

They are work trees of one repository, trees()/stock.  Mails are applied aside, in a
work tree that holds only the files concerned; the real one is then moved there, so
that a file that does not change keeps its time and a build stays warm.

    refs/lab/applied/DIGEST   the commit that the mails of this digest gave
    refs/lab/made/NAME        where the lab left the branch NAME: elsewhere is own work
    refs/lab/saved/N          own work that --reset took away
    refs/lab/stock/COMMIT     a source that was imported
"""

import hashlib
import re
import shutil
from pathlib import Path
from typing import Any, Iterable, Optional

from .. import model, paths, process, ui
from . import fetch
from ..errors import APPLY, ENVIRONMENT, LabError, USAGE

TESTED = model.SERIES["series"]         # whose suites those are
SUITES = "-suites"              # trees with these, and with guest/benchmark
VISITED = "visited"             # the tree in which visit() goes from patch to patch
_SUITE_PATHS = ("include/kunit/dma.h", "kernel/dma/tests", "kernel/dma/.kunitconfig",
                "kernel/dma/Kconfig", "kernel/dma/Makefile",
                "drivers/infiniband/core/tests", "drivers/infiniband/Kconfig",
                "drivers/infiniband/core/Makefile")
_COMPAT = "kernel/dma/tests/compat.h"
# What compat.h yields to: a macro, and the file and text that it stands for.
_HAVE = re.compile(r"^#ifndef (HAVE_\w+)\s+/\* (\S+): (.+) \*/$", re.M)
_BENCHMARKS = paths.ROOT / "guest" / "benchmark"
# What the suites use of dma-debug, which only the series shows to KUnit.
_HIDDEN = "kernel/dma/debug.c"
_VISIBLE = ((r'(?<!")\berror_count\b(?!")', "dma_debug_error_count"),
            (r"^static (u32 (dma_debug_error_count|num_free_entries);)", r"\1"))
# Of the commits of stock and of suites: equal trees, equal ids.
_DATES = {key: "2026-01-01T00:00:00+00:00"
          for key in ("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE")}


def _stock():
    return paths.trees() / "stock"


def git(*args: "str | Path", cwd: Optional[Path] = None, **kw: Any) -> str:
    """stdout of git in the repository of the trees; LabError ENVIRONMENT if it fails."""
    kw.setdefault("check_status", ENVIRONMENT)
    kw.setdefault("what", f"git {args[0]}")
    return process.git(*args, cwd=cwd or _stock(), **kw).stdout.strip()


def resolve(ref: str) -> Optional[str]:
    """The commit id of `ref`, or None."""
    if not _stock().is_dir():
        return None
    return git("rev-parse", "--quiet", "--verify", f"{ref}^{{commit}}",
               check_status=None) or None


def commits(series: model.Series = TESTED) -> "list[tuple[str, ...]]":
    """[(sha, subject)] of the branch of a model.Series, oldest first."""
    out = git("log", "--reverse", "--format=%H%x09%s", series.span)
    return [tuple(line.split("\t", 1)) for line in out.splitlines()]


def touched(branch: str) -> "list[str]":
    """Sorted paths of all files that a commit between stock and `branch` touches."""
    return sorted(set(git("log", "--format=", "--name-only", "--no-renames",
                          f"stock..{branch}").splitlines()))


def provenance() -> str:
    """One line: which stock kernel this is, and how well it is known."""
    stock, config = fetch.current(), fetch.known()
    files, known = config.get("files", {}), config.get("stock", {}).get("version")
    blobs = stock_blobs(files)
    differ = sum(blobs.get(path) != blob for path, blob in files.items())
    remark = f"files match {known}" if files and not differ else (
        f"{differ} of {len(files)} files differ from {known}, the patches have to apply "
        "with no fuzz")
    return f"stock is Linux {stock.version} ({stock.origin}); {remark}"


def stock_blobs(files: Iterable[str]) -> "dict[str, str]":
    """{path: blob id} in stock, for those of `files` that it has."""
    if not files:
        return {}
    out = git("ls-tree", "-z", fetch.current().commit or "stock", "--", *files)
    entries = (entry.split("\t", 1) for entry in out.split("\0") if entry)
    return {path: meta.split()[2] for meta, path in entries}


def has_mails(name: str) -> bool:
    """Whether the commits of the tree `name` become the mails of one directory."""
    series = model.find(name)
    return bool(series and not series.parts)


# -- own work ----------------------------------------------------------------

def _heads(name):
    """The commit that branch `name` is at, and that at which the lab left it; None if
    there is none."""
    refs = f"refs/heads/{name}", f"refs/lab/made/{name}"
    out = _stock().is_dir() and git("for-each-ref", "--format=%(refname) %(objectname)",
                                    *refs)
    found = dict(line.split() for line in (out or "").splitlines())
    head, made = map(found.get, refs)
    return head, made or (None if has_mails(name) else head)


def own_work(name: str) -> bool:
    """Whether the branch or the work tree `name` has what the lab did not make."""
    head, made = _heads(name)
    return bool(head) and (head != made or dirty(name))


def _save(name):
    """Keep the branch `name`, what its work tree is at and what is not committed
    there under refs/lab/saved/; returns the names of the refs."""
    where, index = paths.trees() / name, paths.trees() / "saved.index"
    heads: list = [resolve(f"refs/heads/{name}")]
    if where.exists():
        at = git("rev-parse", "HEAD", cwd=where)
        # Unlike git stash, this works in the middle of a conflict, and takes new files.
        shutil.copy(where / git("rev-parse", "--git-path", "index", cwd=where), index)
        git("add", "--all", cwd=where, env={"GIT_INDEX_FILE": index})
        content = git("write-tree", cwd=where, env={"GIT_INDEX_FILE": index})
        paths.remove(index)
        if content != git("rev-parse", f"{at}^{{tree}}"):
            at = git("commit-tree", content, "-p", at, input="not committed\n")
        heads.append(at)
        if git("merge-base", *heads, check_status=None) == heads[0]:
            heads = heads[1:]           # which the branch is part of
    numbers = [int(ref.rsplit("/", 1)[1]) for ref in
               git("for-each-ref", "--format=%(refname)", "refs/lab/saved").split()]
    refs = []
    for number, head in enumerate(heads, max(numbers, default=0) + 1):
        refs.append(f"refs/lab/saved/{number}")
        git("update-ref", refs[-1], head)
    return " and ".join(refs)


def dirty(name: str, untracked: bool = False) -> bool:
    """Whether the work tree `name`, if there is one, has changes that are not committed,
    or is not on its branch (in the middle of a rebase, say)."""
    if not _sound(name):
        return False
    out = git("status", "--porcelain", "--branch",
              f"--untracked-files={'normal' if untracked else 'no'}",
              cwd=paths.trees() / name)
    return out != f"## {name}"


# -- making them -------------------------------------------------------------

def tree(name: str, reset: bool = False) -> Path:
    """The path of the git tree `name`, made or brought up to date with what it is
    made of: a source, mails, the trees below it.

    Own work is left alone, unless `reset`: then it is saved under refs/lab/saved/
    first.  LabError: USAGE for an unknown name, FETCH if there is no source, APPLY if
    a mail does not apply or if both the tree and what it is made of have changed; the
    trees are then as they were.
    """
    with paths.lock("trees"):
        update(name, reset)
        return _place(name)


def known(name: str) -> str:
    """`name`, which a tree has; LabError USAGE otherwise."""
    plain = name[:-len(SUITES)] if name.endswith(SUITES) else name
    if plain != "stock" and not model.find(plain):
        raise LabError(f"no tree {name!r}: {', '.join(names())}; NAME{SUITES} has the "
                       "suites of the series as well", USAGE)
    return name


def names() -> "list[str]":
    """The names of the trees to work in and to compare."""
    return ["stock", *(name for name in model.all_series() if name[-6:] != "-needs")]


def update(name: str, reset: bool = False) -> str:
    """Bring the branch `name`, and its work tree if there is one, up to date; the
    commit id of the branch.  Like tree() otherwise."""
    with paths.lock("trees"):
        if name == VISITED:
            _, commit = _heads(name)
            if not commit:
                raise LabError(f"there is no tree {name!r} yet: ./lab bisect makes it",
                               USAGE)
        elif known(name) == "stock":
            commit = _stock_commit()
        elif name.endswith(SUITES):
            commit = _with_suites(update(name[:-len(SUITES)]))
        else:
            series: Any = model.find(name)
            commit = update(series.parent)
            for part in series.parts or [series]:
                commit = apply(part, commit, part.mails())
        return _settle(name, commit, reset)


def newer_stock() -> None:
    """Import a newer point release of the package, if there is one, as stock."""
    with paths.lock("trees"):
        source = fetch.newer()
        if source:
            _import(source)


def visit(commit: str, suites: bool = False) -> Path:
    """The path of a tree of its own, moved to `commit`, or to one on it that has the
    suites of the series; its builds stay warm."""
    with paths.lock("trees"):
        _settle(VISITED, _with_suites(commit) if suites else commit)
        return _place(VISITED)


def _settle(name, commit, reset=False):
    """Bring branch and work tree `name` to `commit`, which is what it is made of now,
    unless there is own work; returns the commit id of the branch."""
    (head, last), changed = _heads(name), dirty(name)
    own = changed or head not in (None, commit, last)
    ahead = own and not reset and commit in (head, last)
    mails = has_mails(name) and f"`./lab refresh {name}` writes it to the mails, "
    way = f"{mails or ''}`./lab tree {name} --reset` saves it under refs/lab/saved"
    if ahead:
        ui.note(f"the {name} tree has work of its own: {way}")
    elif own and reset:
        _discard(name)
    elif own and (changed or git("diff", "--name-only", head, commit)):
        raise LabError(f"the {name} tree has work of its own, and what it is made of has "
                       f"changed: {way} and takes what has changed", APPLY)
    if not ahead and (own or head != commit):
        _move(name, commit)
    if last != commit:
        git("update-ref", f"refs/lab/made/{name}", commit)
    return head if ahead else commit


def _discard(name):
    """Save own work in the tree `name`, and take it out of the work tree."""
    where = paths.trees() / name
    ui.note(f"the old {name} tree is kept as {_save(name)}")
    if _sound(name):
        git("rebase", "--quit", cwd=where, check_status=None)
        git("reset", "--quiet", "--hard", cwd=where)
        git("switch", "--quiet", "-C", name, cwd=where)


def _with_suites(commit):
    """A commit on `commit` with the suites of the series, and with benchmarks.

    To a tree without the series that adds the bare minimum for them to compile: what
    makes kbuild find their directories, and base/compat.h for what it does not declare.
    """
    tested = update(TESTED.name)
    return edited(commit, _compat(commit, tested), "the suites of the series\n", tested)


def edited(parent: str, texts: "dict[str, str]", message: str, tested: str = "") -> str:
    """A commit on `parent` in which the files `texts` have these, and the suites are
    those of the commit `tested`, if it is given."""
    with paths.lock("trees"):
        index = paths.trees() / "edited.index"
        env = {"GIT_INDEX_FILE": index}
        git("read-tree", parent, env=env)
        if tested:
            git("rm", "-r", "--quiet", "--force", "--cached", "--ignore-unmatch", "--",
                *_SUITE_PATHS, env=env)
            git("update-index", "--index-info", env=env,
                input=git("ls-tree", "-r", tested, "--", *_SUITE_PATHS) + "\n")
        for path, text in texts.items():
            blob = git("hash-object", "-w", "--stdin", input=text)
            git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", env=env)
        content = git("write-tree", env=env)
        paths.remove(index)
        return git("commit-tree", content, "-p", parent, input=message, env=_DATES)


def _compat(commit, tested):
    """{path: content} of the benchmarks, and of what the suites of the commit `tested`
    need besides in a tree without all of the series."""
    made = {}
    for makefile in git("ls-tree", "-r", "--name-only", tested, "--",
                        *(f"{path}/Makefile" for path in _SUITE_PATHS
                          if path.endswith("/tests"))).splitlines():
        made[makefile] = _show(tested, makefile)
    compat = (paths.ROOT / "base/compat.h").read_text(encoding="utf-8")
    entries = _HAVE.findall(compat)
    there = [name for name, path, text in entries if text in _show(commit, path)]
    if len(there) < len(entries):
        made = {path: f"{text}\nccflags-y += -include $(srctree)/{_COMPAT}\n"
                for path, text in made.items()}
        made[_COMPAT] = "".join(f"#define {name}\n" for name in there) + compat
        made[_HIDDEN] = _show(commit, _HIDDEN)
        for hidden, visible in _VISIBLE:
            made[_HIDDEN] = re.sub(hidden, visible, made[_HIDDEN], flags=re.M)
    for suite in sorted(_BENCHMARKS.glob("*_kunit.c")):
        made[f"kernel/dma/tests/{suite.name}"] = suite.read_text(encoding="utf-8")
        made["kernel/dma/tests/Makefile"] += \
            f"obj-$(CONFIG_DMA_MAP_BENCHMARK) += {suite.stem}.o\n"
    return made


def _show(commit, path):
    return process.git("show", f"{commit}:{path}", cwd=_stock()).stdout


def _stock_commit():
    """Commit id of the stock kernel; imported first, if it is another source."""
    source = fetch.ensure_stock()
    if not source.commit:
        _import(source)
    elif source != fetch.current():
        source.save()
        ui.note(provenance())
    return source.commit


def _import(source):
    """Make a commit of a source that is not in the repository yet, and the repository
    and the work tree `stock` if they are not there."""
    with ui.step(f"make a git tree of Linux {source.version}"):
        top = source.unpacked or fetch.fresh("stock.new")
        new = not (_stock() / ".git").is_dir()
        repository = top if new else _stock()
        if new:
            git("init", "--quiet", "--initial-branch=stock", cwd=top)
            for key, value in (("user.name", process.NAME), ("user.email", process.EMAIL),
                               ("gc.auto", "0"), ("commit.gpgSign", "false"),
                               ("feature.manyFiles", "true")):
                git("config", key, value, cwd=top)
        content = source.objects(repository) if source.objects else _add(top, repository)
        source.commit = git("commit-tree", content, cwd=repository, env=_DATES,
                            input=f"Linux {source.version}\n")
        for ref in (f"refs/lab/stock/{source.commit}", *["refs/heads/stock"] * new):
            git("update-ref", ref, source.commit, cwd=repository)
        if new:
            git("reset", "--quiet", "--hard", "stock", cwd=top)
            paths.remove(_stock())
            paths.remove(paths.trees() / "stock.json")      # of a repository that is gone
            with paths.guard(_stock()):
                top.rename(_stock())
        else:
            paths.remove(top)
    source.save()
    ui.note(provenance())


def _add(top, repository):
    """Id of the git tree that has the files in the directory `top`."""
    ignore = top / ".gitignore"
    if ignore.exists():
        # What the package adds there hides the whole tree from git, and `git add` would
        # then refuse what a developer changes.
        paths.replace(ignore, re.sub(rb"\n#\n# Debian packaging: .*\Z", b"\n",
                                     ignore.read_bytes(), flags=re.S))
    env = {}
    if top != repository:
        index = paths.trees() / "stock.index"
        paths.remove(index)
        env = {"GIT_DIR": repository / ".git", "GIT_WORK_TREE": top,
               "GIT_INDEX_FILE": index}
    # One pack of everything, not 95,000 loose objects.
    git("-c", "core.bigFileThreshold=1", "-c", "core.compression=1",
        "add", "--all", "--force", cwd=top, env=env, what="git add")
    content = git("write-tree", cwd=top, env=env)
    if env:
        paths.remove(index)
    return content


def _sound(name):
    """Whether the work tree `name` is there; half of one is removed."""
    where = paths.trees() / name
    if (where / ".git").is_file() and not (_stock() / ".git/worktrees" / name).exists():
        raise LabError(f"{where} belongs to a repository that is gone: save what you "
                       "need of it and remove it", ENVIRONMENT)
    # git keeps this file while it fills a new work tree.
    if (_stock() / ".git" / "worktrees" / name / "locked").exists():
        git("worktree", "remove", "--force", "--force", where, check_status=None)
        paths.remove(where)
        git("worktree", "prune")
    return (where / ".git").exists()


def _move(name, commit):
    """Move the branch `name`, and its work tree if there is one, to `commit`, writing
    only files that differ."""
    where = paths.trees() / name
    if not _sound(name):
        git("update-ref", f"refs/heads/{name}", commit)
        return
    git("update-index", "-q", "--refresh", cwd=where, check_status=None)
    done = process.git("reset", "--quiet", "--keep", commit, cwd=where)
    if done.returncode:
        raise LabError(f"the {name} tree cannot be moved ({done.stderr.splitlines()[0]}):"
                       " move what is in the way", APPLY)


def _place(name):
    """The path of the work tree `name`, which is made if it is not there."""
    where = paths.trees() / name
    if not _sound(name):
        paths.want_free(2, paths.trees())
        with ui.step(f"make the {name} tree"):
            git("worktree", "prune")
            git("worktree", "add", "--quiet", "--force", where, name)
    return where


def apply(series: model.Series, parent: str, files: "list[Path]") -> str:
    """The commit that `git am` of the mails `files` gives on the commit `parent`.

    Committer and dates are fixed by the mails, so the id is reproducible. LabError
    APPLY names the mail, the file and the hunk.
    """
    if not files:
        return parent
    digest = hashlib.sha256(parent.encode())
    for path in files:
        digest.update(b"\0" + path.read_bytes())
    ref = f"refs/lab/applied/{digest.hexdigest()}"
    return resolve(ref) or _am(series, parent, files, ref)


def _am(series, parent, files, ref):
    aside = paths.trees() / "apply"
    try:
        _aside(aside, parent, files)
        with ui.step(f"apply {series.directory}/ "
                     f"({len(files)} patch{'es' * (len(files) > 1)})"):
            done = process.git("-c", "core.sparseCheckout=true", "am", "--quiet",
                               "--no-3way", "--keep-non-patch", "--no-scissors",
                               "--whitespace=nowarn", "--committer-date-is-author-date",
                               *files, cwd=aside)
            if done.returncode:
                raise _refused(series, files, done.stdout + done.stderr)
        git("update-ref", ref, "HEAD", cwd=aside)
        return resolve(ref)
    finally:
        paths.remove(aside)
        git("worktree", "prune", check_status=None)


def _aside(aside, parent, files):
    """A detached work tree at `parent` that holds only what the mails touch."""
    paths.remove(aside)
    git("worktree", "add", "--quiet", "--force", "--no-checkout", "--detach", aside,
        parent)
    wanted = set()
    for path in files:
        text = path.read_text(encoding="utf-8", errors="replace")
        for pair in re.findall(r"^diff --git a/(\S+) b/(\S+)$", text, re.M):
            wanted.update(pair)
    sparse = aside / git("rev-parse", "--git-path", "info/sparse-checkout", cwd=aside)
    paths.replace(sparse, "".join(f"/{path}\n" for path in sorted(wanted)))
    git("-c", "core.sparseCheckout=true", "-c", "core.sparseCheckoutCone=false",
        "read-tree", "-mu", "HEAD", cwd=aside, what="git read-tree")


def _refused(series, files, output):
    """The LabError APPLY for what `git am` printed: the mail, the file, the hunk."""
    if "No space left on device" in output:
        return paths.full(paths.trees())
    number = re.search(r"^Patch failed at (\d+)", output, re.M)
    mail = files[int(number.group(1)) - 1].name if number else ""
    hunk = re.search(r"patch failed: (.+):(\d+)$", output, re.M)
    why = (f"{hunk.group(1)}, hunk at line {hunk.group(2)}" if hunk
           else process.last_line(re.sub(r"^Patch failed at .*$", "", output, flags=re.M)))
    known = fetch.known().get("stock", {}).get("version")
    mine = fetch.current().version
    way = (f"this is Linux {mine}, try LINUX_TARBALL with {known}"
           if known and mine != known
           else f"correct the mail; the {series.name} tree is as it was")
    return LabError(f"{series.directory}/{mail} does not apply: {why}; {way}", APPLY)
