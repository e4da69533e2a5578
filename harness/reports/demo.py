# SPDX-License-Identifier: GPL-2.0-only
"""The main job: pinned user pages, real DMA, and what the process gets to see."""

import contextlib
import json
import re
from typing import Sequence

from .. import commands, model, runner, ui
from . import tables
from ..errors import PASS

_ROW = re.compile(r"# row: (\{.*\})")
_HEAD = ("scenario", "mapping request", "page", "answer", "device wrote", "process sees",
         "what happened")


def run(tree: str, patterns: Sequence[str], beside: str, repeat: int,
        options: runner.Options) -> int:
    """Boot the demo's scenarios on `tree`, and on the tree `beside` if one is named,
    `repeat` times; print the table.

    The scenarios are those that `patterns` names, or the quick ones. Returns an exit
    status: FAILED if a row of `tree` is not as it has to be, BOOT if a boot hung or
    panicked; what is wrong with the tree beside is what it is there to show.
    """
    plan = model.load()
    chosen = [cell for cell in runner.choose(
        plan, patterns, lambda cell: cell.demo in model.ROWS, "are of the demo")
        if patterns or cell.quick]
    jobs = [job for cell in chosen for name in dict.fromkeys(filter(None, (beside, tree)))
            for job in runner.jobs_of([cell], name, repeat)]
    outcomes = list(runner.run(plan, jobs, options))
    if not outcomes:
        return PASS
    rows = [{**row, "tree": outcome.tree} for outcome in outcomes
            for row in parse(outcome.console)]
    ui.say(table(rows, bool(beside)))
    mine = [outcome for outcome in outcomes if outcome.tree == tree]
    for outcome in mine:
        commands.explain(outcome)
    ui.conclusion(conclude([row for row in rows if row["tree"] == tree], mine))
    return runner.status(mine)


def parse(console):
    """The rows that guest/demo.c printed on `console`, as dicts.

    A row into which the kernel printed something is left out.
    """
    rows = []
    for found in _ROW.findall(console):
        with contextlib.suppress(ValueError):
            rows.append(json.loads(found))
    return rows


def table(rows, trees=False):
    """The rows as text, a line each, under a heading; with their `trees` first."""
    lines = [("tree", *_HEAD)] + [(row.get("tree"), *_cells(row)) for row in rows]
    return f"\n{tables.text(lines if trees else [line[1:] for line in lines])}\n"


def _cells(row):
    answer = "mapped" if row["map"] == 0 else f"-{row['map']}"
    if row.get("reason"):
        answer += f" ({row['reason']})"
    return (row["boot"], row["request"], row["page"] or "-", answer,
            row["wrote"] or "-", row["sees"] or "-", row["verdict"])


def conclude(rows, outcomes):
    """The last line: what the rows amount to."""
    stale = sum(1 for row in rows if row["sees"] and row["sees"] != row["wrote"])
    refused = sum(1 for row in rows if row["request"] != "plain" and row["map"])
    unexpected = sum(outcome.failed for outcome in outcomes)
    bad = [outcome.cell for outcome in outcomes if not outcome.ok]
    if bad:
        return f"demo: not as it has to be: {unexpected} rows, in {', '.join(bad)}"
    return (f"demo: {len(rows)} rows as expected: {stale} plain mappings corrupt data "
            f"silently, {refused} that have to stay coherent are refused instead")
