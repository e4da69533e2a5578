# SPDX-License-Identifier: GPL-2.0-only
"""Series of patches as mails, written from the commits of their trees."""

import contextlib
import email
import email.policy
import os
import re
import tempfile
from pathlib import Path

from .. import model, paths, process
from . import fetch, trees
from ..errors import APPLY, LabError, USAGE

MOST = 15                       # patches; more is too much for one review
BODY = "EDITME"
MARKER = "# Below this line: written by `./lab refresh`, do not edit.\n"

_FORMAT = ("--zero-commit", "--no-signature", "--no-thread", "--no-base", "--abbrev=12",
           "--no-renames", "--stat-width=72")
_COVER = ("--cover-letter", "--numbered", "--cover-from-description=subject")


def refresh(series: model.Series) -> "list[str]":
    """Write the mails of a series from its commits, and, unless it is a topic, the
    tables of base.toml.

    Returns the names of the files that changed; none the second time.  The
    subject and text of the cover letter are kept.  LabError USAGE if the tree is
    not in a state to be sent, and those of trees.tree().
    """
    if series.parts:
        raise LabError(f"{series.name} has no mails of its own: work in the tree of a "
                       f"topic ({', '.join(part.name for part in series.parts)}), and "
                       "./lab refresh that", USAGE)
    with paths.lock("trees"):
        parent = trees.update(series.parent)
        if not trees.own_work(series.name):
            trees.update(series.name)
        _presentable(series, parent)
        with _written(series) as (new, changed, gone):
            _rehearse(series, parent, new)
            for path in new:
                paths.replace(series.path / path.name, path.read_bytes())
            for name in gone:
                paths.remove(series.path / name)
        trees.update(series.name)
        if (series.name in model.SERIES and not os.environ.get("LINUX_REF")
                and write_known()):
            changed.append("base.toml")
        return changed + gone


def outdated(series: model.Series) -> "list[str]":
    """The names of the mails that refresh() would change; writes nothing."""
    with paths.lock("trees"), _written(series) as (_, changed, gone):
        return changed + gone


@contextlib.contextmanager
def _written(series):
    """The mails as they have to be, in a scratch directory: all their paths, the
    names of those that differ from the present ones, and of those too many."""
    with tempfile.TemporaryDirectory(dir=paths.trees(), prefix="mails.") as scratch:
        dates = trees.git("log", "--format=%aI", series.span).splitlines()
        new = _format(series.span, _cover(series) if len(dates) > 1 else (), Path(scratch),
                      {"GIT_COMMITTER_DATE": max(dates, default="")})
        old = {path.name: path.read_bytes() for path in series.letters()}
        changed = [path.name for path in new if old.get(path.name) != path.read_bytes()]
        yield new, changed, sorted(set(old) - {path.name for path in new})


def _rehearse(series, parent, new):
    """LabError APPLY unless the mails `new` give the files of the tree."""
    patches = [path for path in new if path.name != model.COVER]
    commit = trees.apply(series, parent, patches)
    if trees.git("diff", "--name-only", commit, series.name):
        raise LabError("the mails do not give the tree they were made from: something "
                       "in their text confuses git am", APPLY)


def _presentable(series, parent):
    """LabError USAGE if the tree of a series cannot become mails as it is."""
    where = paths.trees() / series.name
    rebase = f"git -C {where} rebase {series.parent}"
    if trees.dirty(series.name, untracked=True):
        on = trees.git("branch", "--show-current", cwd=where)
        raise LabError(f"{where} has changes that are not committed: commit them, or add "
                       "to a patch with git commit --fixup" if on == series.name else
                       f"{where} is not on branch {series.name}: finish the rebase, or "
                       f"git -C {where} switch {series.name}", USAGE)
    if trees.git("merge-base", parent, series.name) != parent:
        raise LabError(f"the {series.name} tree is not based on the present "
                       f"{series.parent}: {rebase} --fork-point", USAGE)
    out = trees.git("log", "--reverse", "--format=%h%x1f%p%x1f%an <%ae>%x1f%B%x1e",
                    series.span)
    entries = [entry.strip("\n").split("\x1f") for entry in out.split("\x1e")
               if entry.strip()]
    if not entries:
        raise LabError(f"{where} has no commits on {series.parent}: make some, or "
                       f"`./lab tree {series.name} --reset` takes the mails'", USAGE)
    if len(entries) > MOST:
        raise LabError(f"{len(entries)} patches, {MOST} are the most for one series: "
                       f"{rebase} --interactive", USAGE)
    for sha, parents, author, message in entries:
        _sendable(sha, parents, author, message, rebase)


def _sendable(sha, parents, author, message, rebase):
    """LabError USAGE if a commit cannot become a mail, with the rebase that helps."""
    neutral = f"{process.NAME} <{process.EMAIL}>"
    for wrong, what, way in (
            (" " in parents, "is a merge", ""),
            (re.match(r"(fixup|squash|amend)! ", message), "remains",
             "--interactive --autosquash"),
            (author != neutral, f"is by {author}, not by {neutral}",
             "--exec 'git commit --amend --no-edit --reset-author'"),
            (re.search(r"^Signed-off-by:", message, re.M | re.I),
             "is signed off, which is for who sends it to do",
             "--interactive and reword")):
        if wrong:
            title = message.strip().partition("\n")[0]
            raise LabError(f'{sha} ("{title}") {what}: {rebase} {way}', USAGE)


def _cover(series):
    """(subject, text) of the present cover letter, or of a new one."""
    path = series.path / model.COVER
    if not path.exists():
        return series.title or BODY, BODY
    head, _, text = path.read_bytes().partition(b"\n\n")
    message = email.message_from_bytes(head + b"\n\n", policy=email.policy.default)
    subject = re.sub(r"^(\[[^]]*\]\s*)+", "", " ".join(str(message["Subject"]).split()))
    text = text.decode("utf-8", "replace")
    # The shortlog that follows has one author.
    text = re.split(rf"^{re.escape(process.NAME)} \(\d+\):$", text, flags=re.M)[0]
    return subject or series.title, text.strip("\n") or BODY


def _format(span, cover, directory, env, options=()):
    """Write the commits `span` into `directory` as mails, the first of them a cover
    letter with the lines `cover` if there are any; their paths, in order."""
    branch = span.partition("..")[2]            # format-patch asks for its description
    words = [*_FORMAT, *(_COVER if cover else ()), *options]
    description = "\n\n".join(filter(None, cover))
    trees.git("-c", f"branch.{branch}.description={description}\n", "format-patch",
              "--quiet", *words, "--output-directory", directory, span, env=env,
              what="git format-patch")
    return sorted(directory.iterdir())


def write_known() -> bool:
    """Write into base.toml what the touched files of stock hash to.

    Returns whether that changed it.
    """
    path = paths.ROOT / "base/base.toml"
    head = path.read_text(encoding="utf-8").split(MARKER)[0].rstrip("\n")
    last = "series" if trees.resolve("series") else "base"
    blobs = trees.stock_blobs(trees.touched(last))
    lines = [f"{head}\n\n{MARKER}[stock]", f'version = "{fetch.current().version}"', "",
             "[files]", *(f'"{name}" = "{blob}"' for name, blob in sorted(blobs.items()))]
    return paths.replace(path, "\n".join(lines) + "\n")


# -- sending -----------------------------------------------------------------

def settle(series: model.Series) -> None:
    """Bring the tree of a series up to date; LabError unless it can be sent as it is
    and its mails are what refresh() would write, with the errors of refresh()."""
    with paths.lock("trees"):
        trees.update(series.name)
        _presentable(series, trees.update(series.parent))
        changes = outdated(series)
        if changes:
            raise LabError(f"{', '.join(changes)}: not what the commits say: ./lab "
                           f"refresh {series.name}", USAGE)


def write(series: model.Series, head: str, directory: Path, changes: str,
          options: "list[str]", env: "dict[str, str]") -> None:
    """Write the commits from a series' parent to `head` into `directory` as mails to be
    sent; `changes` go below the text of the cover letter, or of a single patch."""
    branch = f"lab-send-{series.name}"
    cover = (series.path / model.COVER).exists()
    try:
        trees.git("update-ref", f"refs/heads/{branch}", head)
        first, *_ = _format(f"{series.parent}..{branch}",
                            (*_cover(series), changes) if cover else (), directory, env,
                            options)
    finally:
        trees.git("update-ref", "-d", f"refs/heads/{branch}", check_status=None)
    if changes and not cover:
        head, mark, rest = first.read_text(encoding="utf-8").partition("\n---\n")
        paths.replace(first, f"{head}{mark}{changes}\n\n{rest}")
