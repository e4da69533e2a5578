# SPDX-License-Identifier: GPL-2.0-only
"""./lab report: the results of any runs as one page, one JUnit, one KTAP and one JSON."""

import collections
import hashlib
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Optional

from .. import model, packages, paths, process, results, ui
from ..errors import FAILED, INTERNAL, PASS, USAGE, LabError
from ..gates.lint import PYTHON
from . import compare, routes, tables

_RENDER = Path(__file__).with_name("render.py")
_TEMPLATE = Path(__file__).with_name("report.html.in")
_TREES = ("series", compare.STOCK, "stock")
_EXCERPT = 40                   # lines of console around a failure
_ORIGIN = "dma_require_coherent"        # who KCIDB is told that this comes from


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
    ours = [boot for boot in boots if boot.tree == "series"]
    ui.conclusion(f"report: {len(boots)} boots, {total(ours)}; {top / 'report.html'}")
    return PASS if all(outcome.ok for outcome in ours) else FAILED


def gather(directories: Iterable[Path]) -> list[results.Outcome]:
    """The Outcomes kept below `directories`, of each cell and tree the last one, in the
    order of their names."""
    found = {(outcome.cell, outcome.tree): outcome for outcome in results.below(directories)
             if outcome.tree in _TREES}
    return [found[key] for key in sorted(found)]


def total(outcomes: Sequence[results.Outcome]) -> str:
    """What all these came to, like the last line of ./lab check."""
    counts = [sum(getattr(outcome, name) for outcome in outcomes)
              for name in ("passed", "failed", "skipped")]
    broken = sum(not outcome.ok and not outcome.failed for outcome in outcomes)
    text = "{} passed, {} failed, {} skipped".format(*counts)
    return f"{text}, {broken} boots without results" if broken else text


# -- for other programs -------------------------------------------------------

def junit(boots: Sequence[results.Outcome]) -> str:
    """One JUnit of all that kunit.py wrote, each suite under the name of its boot."""
    root = ElementTree.Element("testsuites")
    for boot in boots:
        path = Path(boot.directory) / "junit.xml"
        for suite in ElementTree.parse(path).iter("testsuite") if path.exists() else ():
            if suite.find("testcase") is not None:
                suite.set("name", f"{boot.name}.{suite.get('name', '')}")
                root.append(suite)
        if boot.problem:
            suite = ElementTree.SubElement(root, "testsuite", name=boot.name, tests="1",
                                           errors="1")
            case = ElementTree.SubElement(suite, "testcase", name="boot")
            ElementTree.SubElement(case, "error", message=boot.problem)
    ElementTree.indent(root)
    return ElementTree.tostring(root, "unicode", xml_declaration=True) + "\n"


def ktap(boots: Sequence[results.Outcome]) -> str:
    """One KTAP in which each boot is a test."""
    lines = ["KTAP version 1", f"1..{len(boots)}"]
    for number, boot in enumerate(boots, 1):
        said = boot.ktap.splitlines()
        begin = next((at for at, line in enumerate(said) if line.startswith("KTAP")),
                     len(said))
        lines += [f"    {line}" for line in said[begin:]]
        problem = f" # {boot.problem}" if boot.problem else ""
        lines.append(f"{'ok' if boot.ok else 'not ok'} {number} {boot.name}{problem}")
    return "\n".join([*lines, ""])


def kcidb(boots: Sequence[results.Outcome], plan: model.Matrix) -> dict[str, Any]:
    """The results as KCIDB takes them, version 5.3 of its schema: a checkout for each
    commit, a build for each image, a test for each case."""
    checkouts, builds, tests = {}, {}, []
    for boot in boots:
        cell = plan.cells.get(boot.cell)
        checkout = f"{_ORIGIN}:{boot.tree}-{boot.commit or 'unknown'}"
        checkouts[checkout] = {"id": checkout, "origin": _ORIGIN,
                               "tree_name": boot.tree, "valid": True,
                               "comment": f"Linux {boot.version}"}
        build = f"{_ORIGIN}:{boot.image or 'none-' + boot.name}"
        builds[build] = {"id": build, "origin": _ORIGIN, "checkout_id": checkout,
                         "status": "PASS" if boot.image else "FAIL",
                         "config_name": cell.kernel if cell else "",
                         **({"architecture": plan.kernel_of(cell).arch} if cell else {})}
        head = {"origin": _ORIGIN, "build_id": build, "environment": {
            "comment": boot.name, "misc": {"accelerator": boot.accelerator}}}
        tests.append({**head, "id": _id(boot), "path": "boot",
                      "duration": boot.seconds,
                      "status": "PASS" if boot.ok else "FAIL",
                      **({"comment": boot.problem} if boot.problem else {})})
        for names, status in results.cases(boot).items():
            path = ".".join(re.sub(r"[^\w-]", "_", name, flags=re.A) for name in names[:2])
            tests.append({**head, "id": _id(boot, *names), "path": path,
                          "status": status,
                          **({"misc": {"parameter": names[2]}} if names[2:] else {})})
    return {"version": {"major": 5, "minor": 3}, "checkouts": list(checkouts.values()),
            "builds": list(builds.values()), "tests": tests}


def _id(boot, *names):
    words = repr((boot.name, boot.image, *names))
    return f"{_ORIGIN}:{hashlib.sha256(words.encode()).hexdigest()[:24]}"


# -- for people ---------------------------------------------------------------

def data(boots: Sequence[results.Outcome], plan: model.Matrix) -> dict[str, Any]:
    """All that the page shows, as the template wants it."""
    ours = [boot for boot in boots if boot.tree == "series"]
    said = {boot.name: [*results.ktap(boot.ktap)] for boot in boots}
    commits = sorted({boot.commit for boot in ours if boot.commit})
    return {
        "ok": all(boot.ok for boot in ours),
        "total": total(ours),
        "version": ", ".join(sorted({boot.version for boot in boots} - {""})),
        "commits": commits,
        "failures": [failure for boot in ours for failure in _failures(boot)],
        **_matrix(ours, said, plan),
        "routes": _routes(boots, said),
        "cost": _tables("performance.md"), "topics": _tables("mainline.md"),
        "mutants": _tables("mutants.md")[:1],
    }


def _failures(boot):
    """What is shown of each failure of a boot."""
    console = boot.console.splitlines()
    found = []
    for failure in boot.failures or [boot.problem] * (not boot.ok):
        case, _, said = failure.partition(": ")
        name = re.split(r"[.( ]", case.partition(".")[2])[0] if "." in case else ""
        at = max((number for number, line in enumerate(console)
                  if name and name in line and "FAILED at" in line), default=len(console))
        found.append({
            "boot": boot.name, "case": case, "said": said or boot.problem,
            "console": "\n".join(console[max(0, at - _EXCERPT // 2):][:_EXCERPT]),
            "again": boot.repeat([failure] * bool(boot.failures))})
    return found


def _matrix(boots, said, plan):
    """The cells with what each suite came to in each, and why cases were skipped."""
    def column(boot, names):
        return names[0] if boot.suites else "demo"

    cases = [results.cases(boot) for boot in boots]
    suites = sorted({column(boot, names) for boot, named in zip(boots, cases)
                     for names in named})
    cells = []
    for boot, named in zip(boots, cases):
        counts: dict = collections.defaultdict(collections.Counter)
        for names, status in named.items():
            counts[column(boot, names)][status if status in ("PASS", "SKIP") else "FAIL"] += 1
        reasons = collections.Counter(case.skipped for case in said[boot.name]
                                      if case.skipped)
        cell = plan.cells.get(boot.cell)
        cells.append({
            "name": boot.name, "what": cell.what if cell else "", "ok": boot.ok,
            "problem": boot.problem, "seconds": boot.seconds,
            "suites": [[counts[suite][status] for status in ("PASS", "FAIL", "SKIP")]
                       for suite in suites],
            "skipped": reasons.most_common()})
    return {"suites": suites, "cells": cells}


def _routes(boots, said):
    """The rows of the route table, stock beside the series where both were booted."""
    read = {boot.name: routes.read(boot) for boot in boots if boot.suites}
    both: dict = {True: {}, False: {}}
    for boot in boots:
        if boot.suites and boot.tree == "series":
            theirs = read.get(f"{boot.name}@{compare.STOCK}")
            both[bool(theirs)][boot.name] = (theirs or routes.Boot(), read[boot.name])
    answers = _answers(said)
    rows = []
    for row, stock in [(row, stock) for stock, pairs in both.items()
                       for row in routes.rows(pairs)]:
        seen = {answer for boot in row.boots
                for answer in answers.get((boot, row.suite, row.case), ())}
        rows.append({
            **vars(row), "stock": row.stock if stock else "",
            "same": row.stock == routes.SAME if stock else None,
            "by": sorted({by for by, _, _ in seen}),
            "calls": sorted({call for _, call, _ in seen}),
            "reasons": sorted({answer for _, _, answer in seen} - {"mapped"})})
    return sorted(rows, key=lambda row: (row["suite"], row["case"]))


def _answers(said):
    """{(boot, suite, case): its answers, as results.answers() has them}."""
    found: dict = {}
    for boot, ended in said.items():
        for case in ended:
            found.setdefault((boot, *case.names[:2]), set()).update(
                results.answers(case.said))
    return found


def _tables(name):
    """The tables of a page in docs/: [{title, head, rows}]; none without that page."""
    path = paths.ROOT / "docs" / name
    return tables.parse(path.read_text("utf-8")) if path.exists() else []
