# SPDX-License-Identifier: GPL-2.0-only
"""./lab mainline: what each patch of mainline/ mends, as the suites of the series see it."""

import dataclasses
import email.utils
import hashlib
import json
import re
import string
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from .. import model, packages, paths, process, results, runner, ui
from . import routes, tables
from ..boot import kernel
from ..errors import FAILED, PASS, STYLE, USAGE, LabError
from ..source import fetch, outgoing, trees

PAGE = "docs/mainline.md"
_TEMPLATE = paths.ROOT / "docs" / "mainline.md.in"
_HARM = {"maps", "bounces", "WARNs"}     # as routes.differences() calls it
_FAST = "kunit.filter=speed>slow"       # without 100,000 requests of any kind


@dataclass
class Step:
    """Stock, or mainline after a patch: what the suites of the series see there."""

    subject: str
    mail: Optional[Path] = None
    boots: dict = field(default_factory=dict)       # {cell: routes.Boot}
    complaints: set = field(default_factory=set)    # of make W=1 C=1
    wrong: set = field(default_factory=set)         # as wrong() says


@paths.lock(trees.VISITED)
def run(options: runner.Options) -> int:
    """Build and boot stock and each patch of mainline/, the suites of the series laid
    over; write the page. Returns an exit status.

    FAILED if a patch makes wrong what was right before it, STYLE if a compiler or
    sparse has more to say after it; LabError for what is not the fault of a patch. What
    was booted before is not booted again.
    """
    plan = model.load()
    cells = [dataclasses.replace(cell, args=[*cell.args, _FAST])
             for cell in plan.cells.values() if cell.suites and plan.kernel_of(cell).compare]
    topics = model.topics()
    if not topics:
        raise LabError("there are no topics in mainline/", USAGE)
    trees.tree("series")
    trees.update("mainline")
    series = model.all_series()["mainline"]
    commits = trees.commits(series)
    steps = [Step("stock"), *(Step(subject, mail) for (_, subject), mail in
                              zip(commits, series.mails()))]
    if options.dry_run:
        ui.say(f"would build {len(steps)} trees, and boot "
               f"{', '.join(cell.name for cell in cells)} on each")
        return PASS
    packages.need("sparse", *packages.for_cells(cells, plan))
    at = ["stock", *(commit for commit, _ in commits)]
    for number, (commit, step) in enumerate(zip(at, steps)):
        ui.note(f"{number}/{len(commits)} {step.subject}")
        _look(plan, cells, commit, step, options)
    return _conclude(steps, topics)


def _look(plan, cells, commit, step, options):
    """Fill in what the suites, gcc and sparse see on `commit`, of what was kept or by
    building and booting."""
    source = trees.visit(commit, suites=True)
    kernels = [plan.kernels[name] for name in dict.fromkeys(cell.kernel for cell in cells)]
    kept = _key(cells, kernels, *(config.read_bytes() for made in kernels
                                  for config in made.configs()),
                trees.git("rev-parse", "HEAD^{tree}", cwd=source)).with_suffix(".json")
    if kept.exists():
        images, said = json.loads(kept.read_text("utf-8"))
    else:
        images, said = _build(kernels)
    # Equal images, equal results: many a patch changes nothing that is compiled here.
    where = _key(cells, images)
    known = [outcome for outcome in results.outcomes(where) if _came_through(outcome)]
    names = {outcome.cell for outcome in known}
    booted = list(runner.run(plan, runner.jobs_of(
        [cell for cell in cells if cell.name not in names], trees.VISITED),
        dataclasses.replace(options, rebuild=False), where))
    for outcome in (*known, *booted):
        step.boots[outcome.cell] = routes.read(outcome)
    step.complaints = set(said)
    # What is kept is not built again, so there has to be nothing left to boot.
    if all(map(_came_through, booted)):
        paths.replace(kept, json.dumps([images, said]))


def _came_through(outcome):
    """Whether a boot came to its end: another that did not may have been unlucky."""
    return outcome.status in (PASS, FAILED)


def _key(*parts: object) -> Path:
    """The path, in the cache, of what was seen of something that these parts make up."""
    digest = hashlib.sha256(repr(parts).encode()).hexdigest()
    return paths.cache() / "mainline" / digest[:16]


def _build(kernels):
    """Build `kernels` from the visited tree; (digests of the images, complaints)."""
    images, said = [], []
    files = trees.touched("mainline")
    for made in kernels:
        build = kernel.build(made, trees.VISITED)
        said += sorted(f"{made.name}: {line}" for line in kernel.complaints(build, files))
        # Those objects were compiled with other options.
        images.append(kernel.build(made, trees.VISITED).digest)
    return images, said


def wrong(step: Step, last: Step) -> set:
    """{(cell, suite, case, parameter)} of what passes at the end and not after `step`."""
    found = set()
    for cell, boot in last.boots.items():
        for (suite, case), parameters in boot.results.items():
            theirs = step.boots[cell].results.get((suite, case), {})
            found |= {(cell, suite, case, parameter)
                      for parameter, result in parameters.items()
                      if result.status == "PASS" and
                      (parameter not in theirs or theirs[parameter].status != "PASS")}
    return found


def harmful(step: Step, last: Step) -> int:
    """How many cases map, bounce or WARN after `step` where they must not."""
    found = 0
    for cell, suite, case, parameter in step.wrong:
        theirs, ours = (boots[cell].results.get((suite, case), {}).get(parameter)
                        for boots in (step.boots, last.boots))
        found += bool(theirs and ours and
                      _HARM & routes.differences(theirs.route, ours.route))
    return found


def rows(step: Step, last: Step) -> int:
    """How many rows of the route table are wrong after `step`."""
    boots = {cell: (step.boots[cell], boot) for cell, boot in last.boots.items()}
    return sum(row.stock != routes.SAME for row in routes.rows(boots))


def _conclude(steps, topics):
    """Write the page; say what is worse after a patch than before, an exit status."""
    last, status = steps[-1], PASS
    for step in steps:
        step.wrong = wrong(step, last)
    for before, step in zip(steps, steps[1:]):
        for line in sorted(step.complaints - before.complaints):
            ui.say(f"FAIL  {step.subject}: {line}")
            status = status or STYLE
        for case in sorted(step.wrong - before.wrong):
            ui.say(f"FAIL  {step.subject}: {' '.join(case)}")
            status = FAILED
    for cell, boot in last.boots.items():
        bad = {f"{suite} {case}" for (suite, case), parameters in boot.results.items()
               if "FAIL" in {result.status for result in parameters.values()}}
        problem = boot.problem if boot.results else "no test has run"
        for line in sorted({*bad, problem} - {""}):
            ui.say(f"FAIL  at the end: {cell} {line}")
            status = FAILED
    written = not status and paths.replace(paths.ROOT / PAGE, _page(steps, topics))
    ui.conclusion(f"mainline: {len(topics)} topics, {len(steps) - 1} patches, "
                  f"{rows(steps[0], last)} rows wrong on stock, {rows(last, last)} at the "
                  f"end; {PAGE} {'written' if written else 'as it was'}")
    return status


def recipients(topic: model.Topic) -> "list[str]":
    """The names of all who get the mails of a topic, without one the address."""
    with process.pool(packages.jobs()) as pool:
        everybody = [who for both in pool.map(lambda mail: outgoing.recipients(topic, mail),
                                              topic.mails()) for who in sum(both, [])]
    return sorted({name or address for name, address in
                   email.utils.getaddresses(everybody)}, key=lambda who: ("@" in who, who))


# -- the page -----------------------------------------------------------------

def _page(steps, topics):
    last, number = steps[-1], 0
    lines: list = [("topic", "what it does", "for", "needs", "patches", "lines",
                    "cases it rights", "recipients")]
    patches: list = [("after", "rows wrong", "cases wrong", "harmful", "for stable")]
    older = _stable(topics)
    for topic in topics.values():
        before = steps[number]
        number += len(topic.mails())
        after = steps[number]
        stat = trees.git("diff", "--shortstat", topic.parent, topic.name)
        counts = [(re.search(rf"(\d+) {word}", stat) or ["", "0"])[1]
                  for word in ("insertion", "deletion")]
        lines.append((f"[`{topic.name}`](../{topic.directory})", topic.title, topic.target,
                      ", ".join(f"`{need}`" for need in topic.needs) or "-",
                      len(topic.mails()), "+{} -{}".format(*counts),
                      len(before.wrong) - len(after.wrong),
                      ", ".join(recipients(topic))))
    for step in steps:
        stable = older.get(step.mail, "-") if step.mail else "-"
        patches.append((step.subject, rows(step, last), len(step.wrong),
                        harmful(step, last), stable))
    return string.Template(_TEMPLATE.read_text("utf-8")).substitute(
        source=trees.provenance(), boots=", ".join(last.boots),
        older=fetch.known()["stable"]["package"], topics=tables.markdown(lines),
        patches=tables.markdown(patches))


def _stable(topics):
    """{mail for stable: whether it applies to the older release of base.toml}."""
    found = {}
    with paths.lock("trees"), fetch.scratch("older") as top:
        fetch.older(top, trees.touched("mainline"))
        for mail in (mail for topic in topics.values() for mail in topic.mails()):
            if not re.search(r"^Cc: stable@", mail.read_text("utf-8"), re.M):
                continue
            done = process.git("apply", mail, cwd=top,
                               env={"GIT_CEILING_DIRECTORIES": paths.trees()})
            found[mail] = "yes" if not done.returncode else (
                f"no: {process.last_line(done.stderr).partition(': ')[2]}")
    return found
