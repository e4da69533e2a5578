# SPDX-License-Identifier: GPL-2.0-only
"""The mails of the series: they apply, are what refresh writes, and have good style."""

from collections.abc import Iterator

from .. import model, packages, process, ui
from ..errors import APPLY, BUILD, STYLE, LabError
from ..source import mails, trees
from . import Finding, checkpatch, complaints, virtio


def findings() -> Iterator[Finding]:
    """All that is said of the mails; ends with APPLY if there is no tree to go on with."""
    try:
        trees.tree("series")
    except LabError as err:
        if err.status != APPLY:
            raise
        yield Finding("the series applies", str(err), APPLY)
        return
    ui.note(trees.provenance())
    series = model.SERIES["series"]
    count = len(series.mails())
    yield Finding(f"the series applies with no fuzz: {count} patches")
    changes = mails.outdated(series)
    yield Finding("series/ is what ./lab refresh writes",
                  f"{', '.join(changes)} would change" if changes else "", STYLE)
    letters = series.letters()
    with process.pool(packages.jobs()) as pool:
        for mail, said in zip(letters, pool.map(checkpatch.complaints, letters)):
            yield complaints(f"checkpatch and codespell: {mail.name}", said)
    yield Finding("a new caller of the attribute is noticed",
                  checkpatch.unnoticed_caller(), STYLE)
    yield Finding(f"nothing is called {virtio.OLD_NAME} any more", virtio.leftovers())
    yield Finding("tools/virtio builds from the series", virtio.userspace(), BUILD)
