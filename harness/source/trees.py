# SPDX-License-Identifier: GPL-2.0-only
"""The git trees stock, base and series, made from a source and the mails.

They are work trees of one repository, trees()/stock.  What base/ or series/ give
is applied aside, in a work tree that holds only the files concerned; the real one
is then moved there, so that a file that does not change keeps its time and a
build stays warm.
"""

import hashlib
import json
import re

from .. import paths, process, ui
from . import fetch
from ..errors import APPLY, ENVIRONMENT, LabError, USAGE

NAMES = ("stock", "base", "series")
# Trees with the suites of the series, and with the benchmarks of guest/benchmark.
SUITES = {"stock-suites": "stock", "base-suites": "base", "series-suites": "series"}
VISITED = "visited"             # the tree in which visit() goes from patch to patch
_SUITE_PATHS = ("include/kunit/dma.h", "kernel/dma/tests", "kernel/dma/.kunitconfig", "kernel/dma/Kconfig",
                "kernel/dma/Makefile", "drivers/infiniband/core/tests",
                "drivers/infiniband/Kconfig", "drivers/infiniband/core/Makefile")
_COMPAT = "kernel/dma/tests/compat.h"
_BENCHMARKS = paths.ROOT / "guest" / "benchmark"
# What the suites use of dma-debug, which only the series shows to KUnit.
_HIDDEN = "kernel/dma/debug.c"
_VISIBLE = ((r'(?<!")\berror_count\b(?!")', "dma_debug_error_count"),
            (r"^static (u32 (dma_debug_error_count|num_free_entries);)", r"\1"))
_DATE = "2026-01-01T00:00:00+00:00"     # of the stock commit: equal trees, equal ids


def _stock():
    return paths.trees() / "stock"


def git(*args, cwd=None, **kw):
    """stdout of git in the repository of the trees; LabError ENVIRONMENT if it fails."""
    kw.setdefault("check_status", ENVIRONMENT)
    kw.setdefault("what", f"git {args[0]}")
    return process.git(*args, cwd=cwd or _stock(), **kw).stdout.strip()


def resolve(ref):
    """The commit id of `ref`, or None."""
    done = process.git("rev-parse", "--quiet", "--verify", f"{ref}^{{commit}}",
                       cwd=_stock())
    return done.stdout.strip() or None


def mails(name):
    """The mails of tree `name` in order, without the cover letter."""
    where = {"base": paths.BASE, "series": paths.SERIES}.get(name)
    if where is None:
        return []
    return sorted(path for path in where.glob("[0-9]*.patch")
                  if not path.name.startswith("0000-"))


def commits():
    """[(sha, subject)] of base..series, oldest first."""
    out = git("log", "--reverse", "--format=%H%x09%s", "base..series")
    return [tuple(line.split("\t", 1)) for line in out.splitlines()]


def touched(span="stock..series"):
    """Sorted paths of all files that a commit of `span` touches."""
    return sorted(set(git("log", "--format=", "--name-only", "--no-renames",
                          span).splitlines()))


def provenance():
    """One line: which stock kernel this is and what proves that it fits."""
    stock = fetch.current()
    config = fetch.known()
    files = config.get("files", {})
    blobs = stock_blobs(files)
    changed = [path for path, blob in files.items() if blobs.get(path) != blob]
    version = config.get("stock", {}).get("version", "the known version")
    if not files:
        proof = "that the patches apply without fuzz is the proof that it fits"
    elif not changed:
        proof = f"files match {version}"
    else:
        proof = (f"{len(changed)} of {len(files)} files differ from {version}, that the "
                 "patches apply without fuzz is the proof that it fits")
    return f"stock is Linux {stock.version} ({stock.origin}); {proof}"


def stock_blobs(files):
    """{path: blob id} in stock, for those of `files` that it has."""
    if not files:
        return {}
    out = git("ls-tree", "-z", "stock", "--", *files)
    entries = (entry.split("\t", 1) for entry in out.split("\0") if entry)
    return {path: meta.split()[2] for meta, path in entries}


# -- what was made from what -------------------------------------------------

def _state():
    try:
        return json.loads((paths.trees() / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def state(name):
    """What tree `name` was last made of: a dict of digest, commit, parent, or {}."""
    return _state().get(name, {})


def stale(name):
    """Whether the mails of `name` are not the ones that its tree was made of."""
    made = state(name)
    return made.get("digest") != _digest(made.get("parent", ""), mails(name))


def _remember(name, **fields):
    everything = _state()
    everything[name] = fields
    paths.replace(paths.trees() / "state.json",
                  (json.dumps(everything, indent=1) + "\n").encode())


def _digest(parent, files):
    digest = hashlib.sha256(parent.encode())
    for path in files:
        digest.update(b"\0" + path.read_bytes())
    return digest.hexdigest()


def _saved(name):
    """Keep the branch `name`, what its work tree is at and what is not committed
    there under refs/lab/saved/; returns the names of the refs."""
    where = paths.trees() / name
    heads = [resolve(name)]
    if where.exists():
        at = git("rev-parse", "HEAD", cwd=where)
        # Fails in the middle of a conflict.
        heads.append(git("stash", "create", cwd=where, check_status=None) or at)
        if git("merge-base", *heads) == heads[0]:
            heads = heads[1:]           # which the branch is part of
    numbers = [int(ref.rsplit("/", 1)[1]) for ref in
               git("for-each-ref", "--format=%(refname)", "refs/lab/saved").split()]
    refs = []
    for number, head in enumerate(heads, max(numbers, default=0) + 1):
        refs.append(f"refs/lab/saved/{number}")
        git("update-ref", refs[-1], head)
    return " and ".join(refs)


def dirty(name, untracked=False):
    """Whether the work tree `name` has changes that are not committed, or is not on
    its branch (in the middle of a rebase, say)."""
    out = git("status", "--porcelain", "--branch",
              f"--untracked-files={'normal' if untracked else 'no'}",
              cwd=paths.trees() / name)
    return out != f"## {name}"


# -- making them -------------------------------------------------------------

def tree(name, reset=False):
    """The path of the git tree `name` (stock, base or series), made or brought up
    to date with base/ and series/.

    Own work in the series tree is left alone, unless `reset`: then the head is
    saved under refs/lab/saved/ first.  LabError: USAGE for an unknown name, FETCH
    if there is no source, APPLY if a mail does not apply or if both the tree and
    series/ have changed; the trees are then as they were.
    """
    if name in SUITES:
        return _with_suites(name)
    if name == VISITED:
        return paths.trees() / name
    if name not in NAMES:
        raise LabError(f"no tree {name!r}: {', '.join(NAMES)}", USAGE)
    with paths.lock("trees"):
        parent = _make_stock()
        for step in NAMES[1:NAMES.index(name) + 1]:
            parent = _derive(step, parent, reset and step == name,
                             want_tree=step == name)
        if name == "stock":
            if reset:
                git("reset", "--quiet", "--hard", "stock")
            elif dirty("stock"):
                ui.note("the stock tree has changes of its own: `./lab tree stock "
                        "--reset` drops them")
        return paths.trees() / name


def _with_suites(name):
    """The path of the tree `name`: with the suites of the series and the benchmarks.

    For a tree without the series it is the bare minimum for them to compile: their
    directories, what makes kbuild find those, and base/compat.h for what the series
    declares elsewhere.
    """
    tree("series")
    tree(SUITES[name])
    with paths.lock("trees"):
        index = paths.trees() / f"{name}.index"
        env = {"GIT_INDEX_FILE": index}
        git("read-tree", SUITES[name], env=env)
        if SUITES[name] != "series":
            patch = process.git("diff", "base", "series", "--", *_SUITE_PATHS,
                                cwd=_stock()).stdout
            git("apply", "--cached", "-", env=env, input=patch, check_status=APPLY,
                what=f"the suites on {SUITES[name]}")
        for path, text in _compat(SUITES[name]).items():
            blob = git("hash-object", "-w", "--stdin", input=text)
            git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", env=env)
        commit = git("commit-tree", git("write-tree", env=env), "-p", SUITES[name],
                     input="the suites of the series\n",
                     env={"GIT_AUTHOR_DATE": _DATE, "GIT_COMMITTER_DATE": _DATE})
        paths.remove(index)
        return _put(name, commit)


def visit(commit):
    """The path of a tree of its own, moved to `commit`; its builds stay warm."""
    with paths.lock("trees"):
        return _put(VISITED, commit)


def _put(name, commit):
    """The path of the work tree `name`, made or moved to be at `commit`."""
    if _sound(name):
        _move(name, commit)
    else:
        git("update-ref", f"refs/heads/{name}", commit)
        _place(name)
    return paths.trees() / name


def _compat(parent):
    """{path: content} of the benchmarks, and of what the suites need besides in a tree
    without the series."""
    made = {}
    for makefile in git("ls-tree", "-r", "--name-only", "series", "--",
                        *(f"{path}/Makefile" for path in _SUITE_PATHS
                          if path.endswith("/tests"))).splitlines():
        made[makefile] = _show("series", makefile)
    if parent != "series":
        made = {path: f"{text}\nccflags-y += -include $(srctree)/{_COMPAT}\n"
                for path, text in made.items()}
        made[_COMPAT] = (paths.BASE / "compat.h").read_text(encoding="utf-8")
        made[_HIDDEN] = _show(parent, _HIDDEN)
        for hidden, visible in _VISIBLE:
            made[_HIDDEN] = re.sub(hidden, visible, made[_HIDDEN], flags=re.M)
    for suite in sorted(_BENCHMARKS.glob("*_kunit.c")):
        made[f"kernel/dma/tests/{suite.name}"] = suite.read_text(encoding="utf-8")
        made["kernel/dma/tests/Makefile"] += \
            f"obj-$(CONFIG_DMA_MAP_BENCHMARK) += {suite.stem}.o\n"
    return made


def _show(commit, path):
    return process.git("show", f"{commit}:{path}", cwd=_stock()).stdout


def _make_stock():
    """Commit id of stock; the repository is made, or moved to another source."""
    src = fetch.ensure_stock()
    if src.unpacked:
        with ui.step(f"make a git tree of Linux {src.version}"):
            _import(src)
        src.save()
        ui.note(provenance())
    return resolve("stock")


def _unhide(ignore):
    """Drop what the Debian package adds to .gitignore: it hides the whole tree from
    git, and `git add` would then refuse what a developer changes."""
    if ignore.exists():
        text = ignore.read_text(encoding="utf-8")
        paths.replace(ignore, re.sub(r"\n#\n# Debian packaging: .*\Z", "\n", text,
                                     flags=re.S).encode())


def _import(src):
    """Turn the unpacked source into the commit and the work tree `stock`."""
    top = src.unpacked
    _unhide(top / ".gitignore")
    new = not (_stock() / ".git").is_dir()
    if new:
        git("init", "--quiet", "--initial-branch=stock", cwd=top)
        for key, value in (("user.name", process.NAME), ("user.email", process.EMAIL),
                           ("gc.auto", "0"), ("commit.gpgSign", "false"),
                           ("feature.manyFiles", "true")):
            git("config", key, value, cwd=top)
        env = {}
    else:
        index = paths.trees() / "stock.index"
        paths.remove(index)
        env = {"GIT_DIR": _stock() / ".git", "GIT_WORK_TREE": top,
               "GIT_INDEX_FILE": index}
    # One pack of everything, not 95,000 loose objects.
    git("-c", "core.bigFileThreshold=1", "-c", "core.compression=1",
        "add", "--all", "--force", cwd=top, env=env, what="git add")
    commit = git("commit-tree", git("write-tree", cwd=top, env=env), cwd=top,
                 input=f"Linux {src.version}\n",
                 env={**env, "GIT_AUTHOR_DATE": _DATE, "GIT_COMMITTER_DATE": _DATE})
    if new:
        git("update-ref", "refs/heads/stock", commit, cwd=top)
        paths.remove(_stock())
        with paths.guard(_stock()):
            top.rename(_stock())
    else:
        _move("stock", commit)
        paths.remove(index)
        paths.remove(top)


def _derive(name, parent, reset, want_tree):
    """Bring branch `name`, and its work tree if there is or should be one, to
    what the mails on top of `parent` give; returns the commit id of the branch."""
    where = paths.trees() / name
    files = mails(name)
    digest = _digest(parent, files)
    made = state(name)
    head = resolve(f"refs/heads/{name}")
    exists = _sound(name)
    changed = exists and dirty(name)
    own = name == "series" and bool(head) and (changed or head != made.get("commit"))

    if made.get("digest") == digest and head and not reset:
        if own:
            ui.note("the series tree is ahead of series/ (`./lab refresh` writes it "
                    "back)")
        elif changed:
            ui.note(f"the {name} tree has changes of its own: `./lab tree {name} "
                    "--reset` drops them")
        if own or head == made.get("commit"):
            if want_tree and not exists:
                _place(name)
            return head

    commit = made.get("commit") if made.get("digest") == digest else None
    if not commit or not resolve(commit):
        commit = _apply(name, parent, files)
    if own and not reset and (changed or git("rev-parse", f"{head}^{{tree}}") !=
                              git("rev-parse", f"{commit}^{{tree}}")):
        raise LabError("series/ and the series tree have both changed: `./lab refresh` "
                       "to keep the tree's commits, or `./lab tree series --reset` to "
                       "take series/ (the old head is kept under refs/lab/saved)",
                       APPLY)
    if reset and head and (changed or head != commit):
        ui.note(f"the old {name} tree is kept as {_saved(name)}")
    if reset and exists:
        git("rebase", "--quit", cwd=where, check_status=None)
        git("switch", "--quiet", "--discard-changes", "-C", name, commit, cwd=where)
    elif exists:
        _move(name, commit)
    else:
        git("update-ref", f"refs/heads/{name}", commit)
    _remember(name, digest=digest, commit=commit, parent=parent)
    if want_tree and not exists:
        _place(name)
    return commit


def _sound(name):
    """Whether the work tree `name` is there; half of one is removed."""
    where = paths.trees() / name
    if (where / ".git").exists() and not (_stock() / ".git/worktrees" / name).exists():
        raise LabError(f"{where} belongs to a repository that is gone: save what you "
                       "need of it and remove it", ENVIRONMENT)
    # git keeps this file while it fills a new work tree.
    if (_stock() / ".git" / "worktrees" / name / "locked").exists():
        git("worktree", "remove", "--force", "--force", where, check_status=None)
        paths.remove(where)
        git("worktree", "prune")
    return (where / ".git").exists()


def _move(name, commit):
    """Move the work tree `name` to `commit`, writing only files that differ."""
    where = paths.trees() / name
    git("update-index", "-q", "--refresh", cwd=where, check_status=None)
    git("reset", "--quiet", "--keep", commit, cwd=where, check_status=APPLY,
        what=f"the {name} tree cannot be moved, its own changes are in the way "
             f"(`./lab tree {name} --reset`)")


def _place(name):
    paths.want_free(2, paths.trees())
    with ui.step(f"make the {name} tree"):
        git("worktree", "prune")
        git("worktree", "add", "--quiet", "--force", paths.trees() / name, name)


def _apply(name, parent, files):
    """The commit that `git am` of `files` gives on `parent`; LabError APPLY.

    Committer and dates are fixed by the mails, so the id is reproducible.
    """
    if not files:
        return parent
    aside = paths.trees() / "apply"
    try:
        _aside(aside, parent, files)
        with ui.step(f"apply {files[0].parent.name}/ "
                     f"({len(files)} patch{'es' * (len(files) > 1)})"):
            done = process.git("-c", "core.sparseCheckout=true", "am", "--quiet",
                               "--no-3way", "--keep-non-patch", "--no-scissors",
                               "--whitespace=nowarn", "--committer-date-is-author-date",
                               *files, cwd=aside)
            if done.returncode:
                raise _refused(name, files, done.stdout + done.stderr)
        return git("rev-parse", "HEAD", cwd=aside)
    finally:
        paths.remove(aside)
        git("worktree", "prune", check_status=None)


def _aside(aside, parent, files):
    """A detached work tree at `parent` that holds only what the mails touch."""
    paths.remove(aside)
    git("worktree", "prune")
    git("worktree", "add", "--quiet", "--no-checkout", "--detach", aside, parent)
    wanted = set()
    for path in files:
        text = path.read_text(encoding="utf-8", errors="replace")
        for pair in re.findall(r"^diff --git a/(\S+) b/(\S+)$", text, re.M):
            wanted.update(pair)
    sparse = aside / git("rev-parse", "--git-path", "info/sparse-checkout", cwd=aside)
    paths.replace(sparse, "".join(f"/{path}\n" for path in sorted(wanted)).encode())
    git("-c", "core.sparseCheckout=true", "-c", "core.sparseCheckoutCone=false",
        "read-tree", "-mu", "HEAD", cwd=aside, what="git read-tree")


def _refused(name, files, output):
    """The LabError APPLY for what `git am` printed: the mail, the file, the hunk."""
    if "No space left on device" in output:
        return paths.full(paths.trees())
    number = re.search(r"^Patch failed at (\d+)", output, re.M)
    mail = files[int(number.group(1)) - 1] if number else files[0].parent
    hunk = re.search(r"patch failed: (.+):(\d+)$", output, re.M)
    why = (f"{hunk.group(1)}, hunk at line {hunk.group(2)}" if hunk
           else process.last_line(re.sub(r"^Patch failed at .*$", "", output, flags=re.M)))
    known = fetch.known().get("stock", {}).get("version")
    mine = fetch.current().version
    if known and mine != known:
        way = f"this is Linux {mine}, try LINUX_TARBALL with {known}"
    else:
        way = f"correct the mail; the {name} tree is as it was"
    what = f"{mail.parent.name}/{mail.name}" if number else f"{mail.name}/"
    return LabError(f"{what} does not apply: {why}; {way}", APPLY)


def rehearse(files, head):
    """The commit that the mails `files` give on base.

    LabError APPLY unless its files are those of commit `head`.
    """
    commit = _apply("series", resolve("base"), files)
    if git("diff", "--name-only", commit, head):
        raise LabError("the mails do not give the tree they were made from: something "
                       "in their text confuses git am", APPLY)
    return commit


def adopt(commit):
    """Move the series tree to `commit`, which series/ gives and which has the same
    files, and remember that."""
    base = resolve("base")
    _move("series", commit)
    _remember("series", digest=_digest(base, mails("series")), commit=commit, parent=base)
