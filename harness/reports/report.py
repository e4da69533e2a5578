# SPDX-License-Identifier: GPL-2.0-only
"""./lab report: the results of any runs as one page, one JUnit, one KTAP and one JSON."""

import collections
import hashlib
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from .. import model, packages, paths, process, results, ui
from ..errors import FAILED, INTERNAL, PASS, USAGE, LabError
from ..gates.lint import PYTHON
from . import compare, coverage, routes, tables

_RENDER = Path(__file__).with_name("render.py")
_TEMPLATE = Path(__file__).with_name("report.html.in")
_TREES = ("series", compare.STOCK, "stock")
_EXCERPT = 40                   # lines of console around a failure
_ORIGIN = "dma_require_coherent"        # who KCIDB is told that this comes from


@dataclass
class Boot:
    """A boot that is reported: what came out, and every case of it."""

    outcome: results.Outcome
    cases: dict[tuple[str, ...], str]           # {names: status}
    ktap: list[results.Case] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What tells it from all others."""
        tree = "" if self.outcome.tree == "series" else f"@{self.outcome.tree}"
        return f"{self.outcome.cell}{tree}"


def run(directories: Sequence[str], output: Optional[str]) -> int:
    """Write report.html, junit.xml, results.ktap and kcidb.json into the directory
    `output`, of the newest boot of each cell in the results below `directories`, or of
    all that are kept. Returns an exit status: FAILED if any of the series failed.

    LabError USAGE if there is nothing to report, ENVIRONMENT without what draws it.
    """
    boots = gather([Path(name) for name in directories] or results.runs()[::-1])
    if not boots:
        raise LabError("no results there: ./lab check or ./lab kunit first", USAGE)
    packages.need("report")
    top = Path(output or paths.cache() / "report")
    with paths.guard(top):
        top.mkdir(parents=True, exist_ok=True)
    plan = model.load()
    for name, text in (("junit.xml", junit(boots)), ("results.ktap", ktap(boots)),
                       ("kcidb.json", json.dumps(kcidb(boots, plan), indent=1))):
        paths.replace(top / name, text)
    page = process.run([PYTHON, _RENDER, _TEMPLATE], input=json.dumps(data(boots, plan)),
                       check_status=INTERNAL, what="drawing the report").stdout
    paths.replace(top / "report.html", page)
    ours = [boot.outcome for boot in boots if boot.outcome.tree == "series"]
    ui.conclusion(f"report: {len(boots)} boots, {total(ours)}; {top / 'report.html'}")
    return PASS if all(outcome.ok for outcome in ours) else FAILED


def gather(directories: Iterable[Path]) -> list[Boot]:
    """The Boots kept below `directories`, of each cell and tree the last one, in the
    order of their names."""
    found: dict[tuple[str, str], results.Outcome] = {}
    for directory in directories:
        if not directory.is_dir():
            raise LabError(f"{directory} is not a directory", USAGE)
        for outcome in results.outcomes(directory):
            if outcome.tree in _TREES:
                found[outcome.cell, outcome.tree] = outcome
    return [Boot(outcome, results.cases(outcome), list(results.ktap(outcome.ktap)))
            for _, outcome in sorted(found.items())]


def total(outcomes: Sequence[results.Outcome]) -> str:
    """What all these came to, like the last line of ./lab check."""
    counts = [sum(getattr(outcome, name) for outcome in outcomes)
              for name in ("passed", "failed", "skipped")]
    broken = sum(not outcome.ok and not outcome.failed for outcome in outcomes)
    text = "{} passed, {} failed, {} skipped".format(*counts)
    return f"{text}, {broken} boots without results" if broken else text


# -- for other programs -------------------------------------------------------

def junit(boots: Sequence[Boot]) -> str:
    """One JUnit of all that kunit.py wrote, each suite under the name of its boot."""
    root = ElementTree.Element("testsuites")
    for boot in boots:
        path = Path(boot.outcome.directory) / "junit.xml"
        for suite in ElementTree.parse(path).iter("testsuite") if path.exists() else ():
            if suite.find("testcase") is not None:
                suite.set("name", f"{boot.name}.{suite.get('name', '')}")
                root.append(suite)
        if boot.outcome.problem:
            suite = ElementTree.SubElement(root, "testsuite", name=boot.name, tests="1",
                                           errors="1")
            case = ElementTree.SubElement(suite, "testcase", name="boot")
            ElementTree.SubElement(case, "error", message=boot.outcome.problem)
    ElementTree.indent(root)
    return ElementTree.tostring(root, "unicode", xml_declaration=True) + "\n"


def ktap(boots: Sequence[Boot]) -> str:
    """One KTAP in which each boot is a test."""
    lines = ["KTAP version 1", f"1..{len(boots)}"]
    for number, boot in enumerate(boots, 1):
        said = boot.outcome.ktap.splitlines()
        begin = next((at for at, line in enumerate(said) if line.startswith("KTAP")),
                     len(said))
        lines += [f"    {line}" for line in said[begin:]]
        problem = f" # {boot.outcome.problem}" if boot.outcome.problem else ""
        lines.append(f"{'ok' if boot.outcome.ok else 'not ok'} {number} {boot.name}{problem}")
    return "\n".join([*lines, ""])


def kcidb(boots: Sequence[Boot], plan: model.Matrix) -> dict[str, Any]:
    """The results as KCIDB takes them, version 5.3 of its schema: a checkout for each
    commit, a build for each image, a test for each case."""
    checkouts, builds, tests = {}, {}, []
    for boot in boots:
        outcome = boot.outcome
        cell = plan.cells.get(outcome.cell)
        checkout = f"{_ORIGIN}:{outcome.tree}-{outcome.commit or 'unknown'}"
        checkouts[checkout] = {"id": checkout, "origin": _ORIGIN,
                               "tree_name": outcome.tree, "valid": True,
                               "comment": f"Linux {outcome.version}"}
        build = f"{_ORIGIN}:{outcome.image or 'none-' + boot.name}"
        builds[build] = {"id": build, "origin": _ORIGIN, "checkout_id": checkout,
                         "status": "PASS" if outcome.image else "FAIL",
                         "config_name": cell.kernel if cell else "",
                         **({"architecture": plan.kernel_of(cell).arch} if cell else {})}
        head = {"origin": _ORIGIN, "build_id": build, "environment": {
            "comment": boot.name, "misc": {"accelerator": outcome.accelerator}}}
        tests.append({**head, "id": _id(boot), "path": "boot",
                      "duration": outcome.seconds,
                      "status": "PASS" if outcome.ok else "FAIL",
                      **({"comment": outcome.problem} if outcome.problem else {})})
        for names, status in boot.cases.items():
            path = ".".join(re.sub(r"[^\w-]", "_", name, flags=re.A) for name in names[:2])
            tests.append({**head, "id": _id(boot, *names), "path": path,
                          "status": status,
                          **({"misc": {"parameter": names[2]}} if names[2:] else {})})
    return {"version": {"major": 5, "minor": 3}, "checkouts": list(checkouts.values()),
            "builds": list(builds.values()), "tests": tests}


def _id(boot, *names):
    words = repr((boot.name, boot.outcome.image, *names))
    return f"{_ORIGIN}:{hashlib.sha256(words.encode()).hexdigest()[:24]}"


# -- for people ---------------------------------------------------------------

def data(boots: Sequence[Boot], plan: model.Matrix) -> dict[str, Any]:
    """All that the page shows, as the template wants it."""
    ours = [boot for boot in boots if boot.outcome.tree == "series"]
    commits = sorted({boot.outcome.commit for boot in ours if boot.outcome.commit})
    return {
        "ok": all(boot.outcome.ok for boot in ours),
        "total": total([boot.outcome for boot in ours]),
        "version": ", ".join(sorted({boot.outcome.version for boot in boots} - {""})),
        "commits": commits,
        "failures": [failure for boot in ours for failure in _failures(boot)],
        **_matrix(ours, plan),
        "routes": _routes(boots),
        "cost": _tables("performance.md"), "topics": _tables("mainline.md"),
        "mutants": _tables("mutants.md")[:1],
    }


def _failures(boot):
    """What is shown of each failure of a boot."""
    outcome = boot.outcome
    console = outcome.console.splitlines()
    found = []
    for failure in outcome.failures or [outcome.problem] * (not outcome.ok):
        case, _, said = failure.partition(": ")
        name = re.split(r"[.( ]", case.partition(".")[2])[0] if "." in case else ""
        at = max((number for number, line in enumerate(console)
                  if name and name in line and "FAILED at" in line), default=len(console))
        found.append({
            "boot": boot.name, "case": case, "said": said or outcome.problem,
            "console": "\n".join(console[max(0, at - _EXCERPT // 2):][:_EXCERPT]),
            "again": outcome.repeat([failure] * bool(outcome.failures))})
    return found


def _matrix(boots, plan):
    """The cells with what each suite came to in each, and why cases were skipped."""
    def column(boot, names):
        return names[0] if boot.outcome.suites else "demo"

    suites = sorted({column(boot, names) for boot in boots for names in boot.cases})
    cells = []
    for boot in boots:
        counts: dict = collections.defaultdict(collections.Counter)
        for names, status in boot.cases.items():
            counts[column(boot, names)][status if status in ("PASS", "SKIP") else "FAIL"] += 1
        reasons = collections.Counter(case.skipped for case in boot.ktap if case.skipped)
        cell = plan.cells.get(boot.outcome.cell)
        cells.append({
            "name": boot.name, "what": cell.what if cell else "",
            "kernel": cell.kernel if cell else "", "ok": boot.outcome.ok,
            "problem": boot.outcome.problem, "seconds": boot.outcome.seconds,
            "accelerator": boot.outcome.accelerator,
            "suites": [[counts[suite][status] for status in ("PASS", "FAIL", "SKIP")]
                       for suite in suites],
            "skipped": reasons.most_common()})
    return {"suites": suites, "cells": cells}


def _routes(boots):
    """The rows of the route table, stock beside the series where both were booted."""
    read = {boot.name: routes.read(boot.outcome) for boot in boots if boot.outcome.suites}
    both: dict = {True: {}, False: {}}
    for boot in boots:
        if boot.outcome.suites and boot.outcome.tree == "series":
            theirs = read.get(f"{boot.name}@{compare.STOCK}")
            both[bool(theirs)][boot.name] = (theirs or routes.Boot(), read[boot.name])
    answers = _answers(boots)
    rows = []
    for row, stock in [(row, stock) for stock, pairs in both.items()
                       for row in routes.rows(pairs)]:
        seen = {answer for boot in row.boots
                for answer in answers.get((boot, row.suite, row.case), ())}
        rows.append({
            "suite": row.suite, "case": row.case, "request": row.request,
            "boots": row.boots, "right": row.right, "series": row.series,
            "stock": row.stock if stock else "",
            "same": row.stock == routes.SAME if stock else None,
            "by": sorted({by for by, _, _ in seen}),
            "calls": sorted({call for _, call, _ in seen}),
            "reasons": sorted({answer for _, _, answer in seen} - {"mapped"})})
    return sorted(rows, key=lambda row: (row["suite"], row["case"]))


def _answers(boots):
    """{(boot, suite, case): its answers, as coverage.answers() has them}."""
    found: dict = {}
    for boot in boots:
        for case in boot.ktap:
            found.setdefault((boot.name, *case.names[:2]), set()).update(
                coverage.answers(case.said))
    return found


def _tables(name):
    """The tables of a page in docs/: [{title, head, rows}]; none without that page."""
    path = paths.ROOT / "docs" / name
    return tables.parse(path.read_text("utf-8")) if path.exists() else []
