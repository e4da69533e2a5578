# SPDX-License-Identifier: GPL-2.0-only
"""The versions of a series that went, and the one that is under way.

    refs/lab/sent/NAME/vN    the commits of version N, as they went
    cache()/sent/NAME-vN/    its mails, and a journal of what became of each
"""

import os
import re
from pathlib import Path
from typing import Optional

from .. import model, paths
from . import trees

SENDING, SENT, REFUSED = "sending", "sent", "refused"


class Version:
    """A version of a series: its mails in the cache, and what became of them."""

    def __init__(self, series: model.Series, number: int) -> None:
        self.series, self.number = series, number
        self.ref = f"refs/lab/sent/{series.name}/v{number}"
        self.directory = paths.cache() / "sent" / f"{series.name}-v{number}"

    def mails(self) -> "list[Path]":
        """The mails in the order in which they go."""
        return sorted(self.directory.glob("*.patch"))

    def record(self, what: str, verb: str) -> None:
        """Write into the journal, for good before this returns."""
        with open(self.directory / "journal", "a", encoding="utf-8") as journal:
            journal.write(f"\n{what} {verb}")   # a line that was cut off ends here
            journal.flush()
            os.fsync(journal.fileno())

    def journal(self) -> "dict[str, str]":
        """{name of a mail: what was last recorded of it}; head and digest of all."""
        path = self.directory / "journal"
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        return dict(re.findall(r"^(\S+) (sending|sent|refused|[0-9a-f]{40,})$", text,
                               re.M))

    def fated(self, *fates: str) -> "list[Path]":
        """The mails of which one of `fates` is recorded."""
        journal = self.journal()
        return [mail for mail in self.mails() if journal.get(mail.name) in fates]

    def __str__(self) -> str:
        return f"{len(self.fated(SENT))} of {len(self.mails())} mails went"


def last(series: model.Series) -> int:
    """The number of the version that went last; 0 if none did."""
    refs = trees.git("for-each-ref", "--format=%(refname)",
                     f"refs/lab/sent/{series.name}").split()
    return max((int(ref.rpartition("/v")[2]) for ref in refs), default=0)


def begun(series: model.Series) -> "Optional[Version]":
    """The Version of which some mails may have gone, and some not, or None."""
    for directory in (paths.cache() / "sent").glob(f"{series.name}-v*"):
        number = directory.name[len(series.name) + 2:]
        version = number.isdigit() and Version(series, int(number))
        if version and not trees.resolve(version.ref) and version.fated(SENDING, SENT):
            return version
    return None


def kept() -> "list[str]":
    """The directories of versions of which mails went, or may have gone."""
    journals = (paths.cache() / "sent").glob("*/journal")
    return [journal.parent.name for journal in journals
            if re.search(r" (sending|sent)$", journal.read_text("utf-8"), re.M)]
