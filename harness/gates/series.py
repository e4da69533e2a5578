# SPDX-License-Identifier: GPL-2.0-only
"""The mails of the series and of the topics of mainline/: they apply, are what refresh
writes and have good style, and both end in the same tree."""

from collections.abc import Iterator

from .. import model, packages, process, ui
from ..errors import APPLY, BUILD, STYLE, LabError
from ..source import mails, trees
from . import Finding, checkpatch, complaints, virtio

MOST = 4                        # files that a line names


def findings() -> Iterator[Finding]:
    """What is said of the mails; ends with APPLY if there is no tree to go on with."""
    problem = _refused(trees.tree, "series")
    if problem:
        yield Finding("the series applies", problem, APPLY)
        return
    ui.note(trees.provenance())
    series, topics = model.SERIES["series"], model.topics().values()
    yield Finding(f"the series applies with no fuzz: {len(series.mails())} patches")
    yield Finding("series/ is what ./lab refresh writes", _changes(series), STYLE)
    top = trees.tree("series")
    with process.pool(packages.jobs()) as pool:
        said = {mail: pool.submit(checkpatch.complaints, mail, top)
                for written in (series, *topics) for mail in written.letters()}
        for mail in series.letters():
            yield complaints(f"checkpatch and codespell: {mail.name}",
                             said[mail].result())
        for topic in topics:
            yield _topic(topic, [f"{mail.name}: {line}" for mail in topic.letters()
                                 for line in said[mail].result()])
    if topics:
        yield _end()
    yield Finding("a new caller of the attribute is noticed",
                  checkpatch.unnoticed_caller(), STYLE)
    yield Finding(f"nothing is called {virtio.OLD_NAME} any more", virtio.leftovers())
    yield Finding("tools/virtio builds from the series", virtio.userspace(), BUILD)


def _refused(make, name):
    """Why the mails of tree `name` do not apply, or ''."""
    try:
        make(name)
    except LabError as err:
        if err.status != APPLY:
            raise
        return str(err)
    return ""


def _changes(series):
    """What is wrong if the mails are not what refresh would write, or ''."""
    changes = mails.outdated(series)
    return f"{', '.join(changes)} would change" if changes else ""


def _topic(topic, style):
    """The Finding of a topic; `style` is what checkpatch says of its mails."""
    count = len(topic.mails())
    below = " and what it needs" * bool(topic.below)
    text = (f"{topic.directory}/ applies to stock{below} with no fuzz, is what ./lab "
            f"refresh {topic.name} writes, has good style: {count} patches")
    problem = _refused(trees.update, topic.name) if count else (
        f"commit some in the tree of ./lab tree {topic.name}, and refresh")
    if problem:
        return Finding(text, problem, APPLY)
    problems = _changes(topic), complaints("", style).problem
    return Finding(text, "; ".join(filter(None, problems)), STYLE)


def _end():
    """The Finding that all topics together give the files that the series gives."""
    text = "mainline/ ends in the tree that series/ ends in"
    problem = _refused(trees.update, "mainline")
    if problem:
        return Finding(text, problem, APPLY)
    differ = trees.git("diff", "--name-only", "series", "mainline").splitlines()
    more = f" and {len(differ) - MOST} more" if len(differ) > MOST else ""
    return Finding(text, f"{', '.join(differ[:MOST])}{more} differ" if differ else "")
