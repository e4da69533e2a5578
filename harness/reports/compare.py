# SPDX-License-Identifier: GPL-2.0-only
"""./lab compare: the suites on stock and on the series, side by side."""

from typing import Sequence

from .. import model, paths, runner, ui
from . import routes
from ..source import trees
from ..errors import BOOT, FAILED, PASS

STOCK = "stock-suites"
PAGE = "docs/routes.md"


def run(patterns: Sequence[str], options: runner.Options) -> int:
    """Boot the cells that `patterns` names, or all that have suites, on both kernels;
    print the table, and write the page if it is of all cells.

    Returns PASS if the series did in every row what it has to, else FAILED, or what
    runner.status() says of a kernel or a boot that could not be had; that a boot of
    stock fails, hangs or crashes is a result like any other.
    """
    plan = model.load()
    chosen = [cell for cell in runner.choose(plan, patterns, lambda cell: cell.suites,
                                             "run KUnit suites")
              if plan.kernel_of(cell).compare]
    routes.untested()           # to hear of a mistake there before it all boots
    outcomes = boot(plan, chosen, (STOCK, "series"), options)
    if not outcomes:
        return PASS
    boots = pairs(outcomes)
    rows, text = routes.rows(boots), routes.page(plan, boots, trees.provenance())
    ui.say(text)
    wrong = [row for row in rows if not row.right]
    for row in wrong:
        ui.note(f"{row.suite}.{row.case} ({row.request}) in {', '.join(row.boots)}: "
                f"{row.series}")
    broken = runner.status(outcome for outcome in outcomes if outcome.tree == "series" or
                           outcome.status not in (PASS, FAILED, BOOT))
    if not broken and (wrong or not rows or
                       not all(series.results for _, series in boots.values())):
        broken = FAILED
    if broken or patterns:
        end = "not written" if broken else "not written: this is not all of it"
    else:
        end = "written" if paths.replace(paths.ROOT / PAGE, text) else "as it was"
    ui.conclusion(f"compare: {len(rows)} rows, stock differs in "
                  f"{sum(row.stock != routes.SAME for row in rows)}, the series is wrong "
                  f"in {len(wrong)}; {PAGE} {end}")
    return broken


def boot(plan, cells, names, options) -> list:
    """The Outcomes of `cells` on the trees `names`, each said as it comes."""
    outcomes = []
    for outcome in runner.run(plan, [runner.Job(cell, name) for name in names
                                     for cell in cells], options):
        ui.note(f"      {outcome.cell} on {outcome.tree}: {outcome}")
        outcomes.append(outcome)
    return outcomes


def pairs(outcomes) -> dict:
    """{cell name: (routes.Boot of stock, of the series)} of `outcomes` of both."""
    made: dict = {}
    for outcome in outcomes:
        made.setdefault(outcome.cell, {})[outcome.tree] = routes.read(outcome)
    return {name: (both[STOCK], both["series"]) for name, both in made.items()
            if len(both) == 2}


def outdated(plan, series, options) -> str:
    """Why the page is not what run() would write after the boots `series` (Outcomes),
    for which stock is booted; "" if it is."""
    names = {outcome.cell for outcome in series}
    stock = boot(plan, [cell for name, cell in plan.cells.items() if name in names],
                 (STOCK,), options)
    text = routes.page(plan, pairs([*stock, *series]), trees.provenance())
    page = paths.ROOT / PAGE
    old = page.read_text("utf-8") if page.exists() else ""
    changed = [new for new, kept in zip(text.splitlines(), old.splitlines())
               if new != kept]
    first = f", from: {changed[0]}" if changed else ""
    return "" if text == old else f"./lab compare writes it anew{first}"
