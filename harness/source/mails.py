# SPDX-License-Identifier: GPL-2.0-only
"""series/: the patches as mails, written from the commits of the series tree."""

import contextlib
import email
import email.policy
import re
import tempfile
from pathlib import Path

from .. import paths, process
from . import fetch, trees
from ..errors import LabError, USAGE

MOST = 15                       # patches; more is too much for one review
SUBJECT = "dma-mapping: refuse what cannot be coherent"
BODY = "EDITME"
MARKER = "# Below this line: written by `./lab refresh`, do not edit.\n"

_FORMAT = ("--zero-commit", "--no-signature", "--cover-letter", "--numbered",
           "--no-thread", "--no-base", "--abbrev=12", "--no-renames",
           "--stat-width=72", "--cover-from-description=subject")


def refresh():
    """Write series/ and the tables of base.toml from the commits base..series.

    Returns the names of the files that changed; none the second time.  The
    subject and text of the cover letter are kept.  LabError USAGE if the tree is
    not in a state to be sent.
    """
    with paths.lock("trees"):
        where = paths.trees() / "series"
        if not (where / ".git").exists():
            raise LabError("there is no series tree yet: `./lab tree series`", USAGE)
        head = trees.git("rev-parse", "refs/heads/series")
        _presentable(where, head)
        with _written(where) as (new, changed, gone):
            if changed or gone or trees.stale("series"):
                commit = trees.rehearse(new[1:], head)
                for path in new:
                    paths.replace(paths.SERIES / path.name, path.read_bytes())
                for name in gone:
                    paths.remove(paths.SERIES / name)
                trees.adopt(commit)
        if write_known():
            changed.append("base.toml")
        return changed + gone


def outdated():
    """The names of the files in series/ that refresh() would change; writes nothing."""
    with paths.lock("trees"), _written(paths.trees() / "series") as (_, changed, gone):
        return changed + gone


@contextlib.contextmanager
def _written(where):
    """The mails as they have to be, in a scratch directory: all their paths, the
    names of those that differ from series/, and what series/ has too many."""
    with tempfile.TemporaryDirectory(dir=paths.trees(), prefix="mails.") as scratch:
        new = _format(where, Path(scratch) / "series")
        changed = [path.name for path in new if not _same(path)]
        old = {path.name for path in paths.SERIES.glob("[0-9]*.patch")}
        yield new, changed, sorted(old - {path.name for path in new})


def _same(path):
    present = paths.SERIES / path.name
    return present.exists() and present.read_bytes() == path.read_bytes()


def _presentable(where, head):
    """LabError USAGE if the series tree cannot become mails as it is."""
    made = trees.state("series")
    redo = f"git -C {where} rebase --interactive base"
    on = trees.git("symbolic-ref", "--short", "HEAD", cwd=where, check_status=None)
    if on != "series":
        raise LabError(f"{where} is not on branch series: finish the rebase, or "
                       f"git -C {where} switch series", USAGE)
    if trees.dirty("series", untracked=True):
        raise LabError(f"{where} has changes that are not committed: commit them, or "
                       f"add to a patch with git commit --fixup", USAGE)
    base = trees.git("rev-parse", "base")
    if trees.git("merge-base", "base", "series") != base:
        old = made.get("parent", "stock")
        raise LabError("the series tree is not based on the present base: "
                       f"git -C {where} rebase --onto base {old[:12]}", USAGE)
    if head == made.get("commit") and trees.stale("series"):
        raise LabError("series/ has changed and the tree has not: `./lab tree series` "
                       "first", USAGE)
    out = trees.git("log", "--reverse", "--format=%h%x1f%p%x1f%an <%ae>%x1f%B%x1e",
                   "base..series")
    entries = [entry.strip("\n").split("\x1f") for entry in out.split("\x1e")
               if entry.strip()]
    if not entries:
        raise LabError(f"{where} has no commits on base: `./lab tree series --reset` "
                       "takes those of series/", USAGE)
    if len(entries) > MOST:
        raise LabError(f"{len(entries)} patches, {MOST} are the most for one series: "
                       f"{redo}", USAGE)
    neutral = f"{process.NAME} <{process.EMAIL}>"
    for sha, parents, author, message in entries:
        title = f'{sha} ("{message.strip().partition(chr(10))[0]}")'
        if " " in parents:
            raise LabError(f"{title} is a merge: git -C {where} rebase base", USAGE)
        if re.match(r"(fixup|squash|amend)! ", message):
            raise LabError(f"{title} remains: git -C {where} rebase --interactive "
                           "--autosquash base", USAGE)
        if author != neutral:
            raise LabError(f"{title} is by {author}, not by {neutral}: git -C {where} "
                           "rebase base --exec 'git commit --amend --no-edit "
                           "--reset-author'", USAGE)
        if re.search(r"^Signed-off-by:", message, re.M | re.I):
            raise LabError(f"{title} is signed off, which is for who sends it to do: "
                           f"{redo} and reword", USAGE)


def _cover():
    """(subject, text) of the present cover letter, or of a new one."""
    path = paths.SERIES / "0000-cover-letter.patch"
    if not path.exists():
        return SUBJECT, BODY
    head, _, text = path.read_bytes().partition(b"\n\n")
    message = email.message_from_bytes(head + b"\n\n", policy=email.policy.default)
    subject = re.sub(r"^(\[[^]]*\]\s*)+", "", " ".join(str(message["Subject"]).split()))
    text = text.decode("utf-8", "replace")
    # The shortlog that follows has one author.
    text = re.split(rf"^{re.escape(process.NAME)} \(\d+\):$", text, flags=re.M)[0]
    return subject or SUBJECT, text.strip("\n") or BODY


def _format(where, scratch):
    """Write the mails of base..series into `scratch`; their paths, in order."""
    subject, text = _cover()
    date = max(trees.git("log", "--format=%aI", "base..series").splitlines())
    trees.git("-c", f"branch.series.description={subject}\n\n{text}\n",
             "format-patch", "--quiet", *_FORMAT, "--output-directory", scratch,
             "base..series", cwd=where, env={"GIT_COMMITTER_DATE": date},
             what="git format-patch")
    return sorted(scratch.iterdir())


def write_known():
    """Write into base.toml what the touched files of stock hash to.

    Returns whether that changed it.
    """
    path = paths.BASE / "base.toml"
    head = path.read_text(encoding="utf-8").split(MARKER)[0].rstrip("\n")
    last = "series" if trees.resolve("series") else "base"
    blobs = trees.stock_blobs(trees.touched(f"stock..{last}"))
    lines = [f"{head}\n\n{MARKER}[stock]", f'version = "{fetch.current().version}"', "",
             "[files]", *(f'"{name}" = "{blob}"' for name, blob in sorted(blobs.items()))]
    return paths.replace(path, ("\n".join(lines) + "\n").encode())
