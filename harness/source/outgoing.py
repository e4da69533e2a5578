# SPDX-License-Identifier: GPL-2.0-only
"""A series as mails of who sends it, addressed to those who have to see it."""

import email.utils
import os
import re
from pathlib import Path

from .. import model, packages, paths, process, ui
from ..errors import ENVIRONMENT, USAGE, LabError
from . import fetch, mails, trees


def sender() -> str:
    """'NAME <ADDRESS>' of the user's own git configuration; LabError USAGE without."""
    done = process.run(["git", "-c", "user.useConfigOnly=true", "var",
                        "GIT_AUTHOR_IDENT"], cwd=paths.ROOT)
    if done.returncode or f"<{process.EMAIL}>" in done.stdout:
        raise LabError("git does not know who sends: git config --global user.name "
                       "NAME, and user.email ADDRESS", USAGE)
    return done.stdout.rpartition(">")[0] + ">"


def base() -> str:
    """The commit of LINUX_TREE that stock is, or ''."""
    where = os.environ.get("LINUX_TREE")
    if not where:
        return ""
    ref = os.environ.get("LINUX_REF") or fetch.current().origin.split()[1]
    commit, content = (process.git(
        "-c", "safe.directory=*", "rev-parse", "--verify", f"{ref}^{{{kind}}}",
        cwd=where).stdout.strip() for kind in ("commit", "tree"))
    return commit if content == trees.git("rev-parse", "stock^{tree}") else ""


def _as(who):
    """The environment in which git commits as 'NAME <ADDRESS>'."""
    name, _, address = who[:-1].rpartition(" <")
    return {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER")
            for key, value in (("NAME", name), ("EMAIL", address))}


def signed(series: model.Series, who: str) -> str:
    """The head of the commits of a series as those of `who`, who signs them off.

    The same commits have the same head each time.
    """
    head = trees.git("rev-parse", series.parent)
    for sha, _ in trees.commits(series):
        date, _, text = trees.git("log", "-1", "--format=%aI%n%B", sha).partition("\n")
        message = trees.git("interpret-trailers", "--no-divider", "--trailer",
                            f"Signed-off-by: {who}", input=f"{text}\n")
        head = trees.git("commit-tree", f"{sha}^{{tree}}", "-p", head,
                         input=f"{message}\n", env={
                             **_as(who), "GIT_AUTHOR_DATE": date,
                             "GIT_COMMITTER_DATE": date})
    return head


def prepare(series: model.Series, head: str, who: str, directory: Path, changes: str,
            options: "list[str]") -> None:
    """Write the mails of the commits up to `head` into `directory`, which is emptied:
    sent by `who`, to maintainers, reviewers and lists.

    LabError USAGE names a mail that nobody would get.
    """
    paths.remove(directory)
    directory.mkdir(parents=True)
    mails.write(series, head, directory, changes,
                ["--thread=shallow", "--base=stock", *options], _as(who))
    letters = sorted(directory.iterdir())
    with ui.step("ask get_maintainer.pl"), process.pool(packages.jobs()) as pool:
        people = [*pool.map(lambda mail: recipients(series, mail), letters)]
    own, public = f"base-commit: {trees.resolve('stock')}\n", base()
    for mail, (to, cc) in zip(letters, people):
        if mail.name.endswith(model.COVER):
            to, cc = ([who for group in groups for who in group]
                      for groups in zip(*people))
        _address(mail, to, cc)
        # The lab's stock has an id that nobody else knows.
        text = mail.read_text(encoding="utf-8").replace(
            own, f"base-commit: {public}\n" if public else "")
        paths.replace(mail, text)


def recipients(series: model.Series, mail: Path) -> "tuple[list[str], list[str]]":
    """([To], [Cc]) of a patch: maintainers and reviewers; lists, who its message names,
    and who is to see all of a topic. Of a cover letter: nobody.

    For callers of trees.tree() of the series, whose MAINTAINERS say whom to ask.
    """
    if mail.name.endswith(model.COVER):
        return [], []
    top = paths.trees() / trees.TESTED.name
    out = process.run([top / "scripts/get_maintainer.pl", "--no-git",
                       "--no-git-fallback", "--no-fixes", mail], cwd=top,
                      check_status=ENVIRONMENT).stdout
    roles = re.findall(r"^(.*?<[^>]*>|\S+) \(([^:)]*)", out, re.M)
    message = mail.read_text(encoding="utf-8").partition("\n---\n")[0]
    return ([who for who, role in roles if "list" not in role],
            [*(who for who, role in roles if "list" in role),
             *re.findall(r"^Cc: *([^#\n]+)", message, re.M | re.I),
             *(series.cc if isinstance(series, model.Topic) else ())])


def _address(mail, to, cc):
    """Write the recipients into the head of a mail, each once."""
    seen: set = set()
    to, cc = _once(to, seen), _once(cc, seen)
    if not to:
        to, cc = cc, []
    if not to:
        raise LabError(f"{mail.name} goes to nobody: MAINTAINERS names none, and "
                       "mainline.toml no cc", USAGE)
    head, _, body = mail.read_text(encoding="utf-8").partition("\n\n")
    for field, people in (("To", to), ("Cc", cc)):
        head += f"\n{field}: " * bool(people) + ",\n    ".join(people)
    paths.replace(mail, f"{head}\n\n{body}")


def _once(people, seen):
    """The addresses that are not in `seen`, as a header has them."""
    found = []
    for name, address in email.utils.getaddresses(people):
        if address.lower() not in seen:
            seen.add(address.lower())
            found.append(email.utils.formataddr((name, address)))
    return found
