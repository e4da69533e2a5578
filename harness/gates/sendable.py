# SPDX-License-Identifier: GPL-2.0-only
"""What has to hold of a series that is to be sent."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from .. import model, packages, paths, process, ui
from ..errors import PASS, STYLE, USAGE, LabError
from ..source import fetch, mails, outgoing, sent, trees
from . import checkpatch


def _committed(series):
    mails.settle(series)
    done = process.git("-c", "safe.directory=*", "status", "--porcelain", "--",
                       series.directory, cwd=paths.ROOT)
    if done.returncode or done.stdout:
        raise LabError(f"{series.directory}/ has what is not committed: git -C "
                       f"{paths.ROOT} commit {series.directory}", USAGE)


def _written(series):
    for mail in series.letters():
        if "EDITME" in mail.read_text(encoding="utf-8"):
            raise LabError(f"EDITME in {series.directory}/{mail.name}: write what it "
                           "stands for", USAGE)


def _style(series):
    letters, top = series.letters(), trees.tree(trees.TESTED.name)
    with ui.step("ask checkpatch.pl"), process.pool(packages.jobs()) as pool:
        said = [*pool.map(lambda mail: checkpatch.complaints(mail, top), letters)]
    for mail, lines in zip(letters, said):
        if lines:
            raise LabError(f"{mail.name}: {lines[0]}", STYLE)


def _based(series):
    below = trees.git("rev-list", f"stock..{series.parent}").split()
    base = outgoing.base()
    if not base and not below:
        raise LabError("no commit that others have, and no prerequisite-patch-id: "
                       "LINUX_TREE=/path/to/linux.git with the tag "
                       f"v{fetch.current().version}", USAGE)
    return base or f"{len(below)} prerequisite-patch-id, as LINUX_TREE is not set"


def changes(series: model.Series, number: int, file: str) -> str:
    """What goes below the text of version `number`: what `file` says is new in it.

    LabError USAGE if it says nothing, or if what went before is not known.
    """
    if number == 1:
        return ""
    last, text = sent.last(series), Path(file).read_text("utf-8") if file else ""
    if not last:
        raise LabError(f"v{number - 1} is not known here: git -C {paths.trees()}/stock "
                       f"update-ref {sent.Version(series, number - 1).ref} COMMIT",
                       USAGE)
    if not text.strip():
        raise LabError(f"--changes FILE says what is new in v{number}", USAGE)
    return f"Changes since v{last}:\n{text.strip()}"


def configured() -> None:
    """LabError USAGE unless git send-email is told what to send with."""
    done = process.run(["git", "config", "--get-regexp",
                        r"^sendemail\.(.*\.)?(smtpserver|sendmailcmd)$"],
                       cwd=paths.ROOT)
    if not done.stdout and not shutil.which(
            "sendmail", path=f"/usr/sbin:/usr/lib:{os.environ.get('PATH', '')}"):
        raise LabError("git send-email knows no server: git config --global "
                       "sendemail.smtpServer HOST, and see git help send-email", USAGE)


def check(version: sent.Version, file: str, really: bool) -> int:
    """Say of each thing that has to hold whether it does; the status of the first that
    does not. Without `really`, what only that needs is said with WANT."""
    series = version.series
    checks: "tuple[tuple[str, Callable, bool], ...]" = (
        ("sender", outgoing.sender, True),
        (f"{series.directory}/ is the tree, and committed",
         lambda: _committed(series), True),
        ("nothing is left to write", lambda: _written(series), True),
        ("checkpatch --strict and codespell", lambda: _style(series), True),
        (f"version {version.number}",
         lambda: changes(series, version.number, file), True),
        ("base-commit", lambda: _based(series), really),
        ("server", configured, really))
    status = PASS
    for text, check, needed in checks:
        try:
            said = (check() or "").partition("\n")[0]
            ui.say(f"ok    {text}" + f": {said.rstrip(':')}" * bool(said))
        except LabError as err:
            ui.say(f"{'FAIL' if needed else 'WANT'}  {text}: {err}")
            status = status or err.status * needed
    return status
