# SPDX-License-Identifier: GPL-2.0-only
"""The main job: pinned user pages, real DMA, and what the process gets to see."""

import contextlib
import json
import re

from .. import model, packages, results, ui
from ..boot import cells, kernel
from ..errors import BOOT, FAILED, PASS, USAGE, LabError

_ROW = re.compile(r"# row: (\{.*\})")
_HEAD = ("boot", "mapping request", "page", "answer", "device wrote", "process sees",
         "what happened")


def run(name="series", patterns=()):
    """Build tree `name`, boot the demo's scenarios, print the table.

    The scenarios are those that `patterns` names, or the quick ones.

    Returns an exit status: FAILED if a row is not as it has to be, BOOT if a boot
    hung or panicked. Raises what kernel.build() and cells.run() raise.
    """
    plan = model.load()
    chosen = plan.pick(patterns or ["*"])
    if patterns and any(cell.demo not in model.ROWS for cell in chosen):
        raise LabError("not all of these cells are of the demo: ./lab boot runs any",
                       USAGE)
    chosen = [cell for cell in chosen
              if cell.demo in model.ROWS and (patterns or cell.quick)]
    packages.need("build", "guest", *{plan.kernel_of(cell).arch for cell in chosen})
    built = {cell.kernel: None for cell in chosen}
    for which in built:
        built[which] = kernel.build(plan.kernels[which], name)
    directory = results.new_run()
    outcomes = [cells.run(cell, built[cell.kernel], directory) for cell in chosen]
    rows = []
    for outcome in outcomes:
        console = directory / outcome.cell / "console.log"
        rows += parse(console.read_text(encoding="utf-8", errors="replace"))
    ui.say(table(rows))
    for outcome in outcomes:
        if not outcome.ok:
            ui.note(f"{outcome.cell}: {outcome}, see {directory / outcome.cell}")
    ui.conclusion(conclude(rows, outcomes))
    if all(outcome.ok for outcome in outcomes):
        return PASS
    return BOOT if any(outcome.hung for outcome in outcomes) else FAILED


def parse(console):
    """The rows that guest/demo.c printed on `console`, as dicts.

    A row into which the kernel printed something is left out.
    """
    rows = []
    for found in _ROW.findall(console):
        with contextlib.suppress(ValueError):
            rows.append(json.loads(found))
    return rows


def table(rows):
    """The rows as text, a line each, under a heading."""
    lines = [_HEAD] + [_cells(row) for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(_HEAD))]
    text = ["  ".join(word.ljust(width) for word, width in zip(line, widths)).rstrip()
            for line in lines]
    text.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(["", *text, ""])


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
