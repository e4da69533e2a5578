# SPDX-License-Identifier: GPL-2.0-only
"""./lab compare: the suites on stock and on the series, side by side."""

from .. import model, packages, paths, results, ui
from ..boot import cells, kernel
from . import routes
from ..source import trees
from ..errors import FAILED, PASS, USAGE, LabError

STOCK = "stock-suites"


def page():
    """The path of the page that compare writes."""
    return paths.ROOT / "docs" / "routes.md"


def run(patterns=()):
    """Boot the cells that `patterns` names, or all that have suites, on both kernels;
    print the table, and write the page if it is of all cells.

    Returns PASS if the series did in every row what it has to, else FAILED. Raises
    what kernel.build() and cells.run() raise; that stock fails, hangs or crashes is
    a result like any other.
    """
    plan = model.load()
    chosen = plan.pick(patterns or ["*"])
    if patterns and any(not cell.suites for cell in chosen):
        raise LabError("not all of these cells run KUnit suites", USAGE)
    chosen = [cell for cell in chosen if cell.suites and plan.kernel_of(cell).compare]
    routes.untested()           # to hear of a mistake there before it all boots
    packages.need("build", *{plan.kernel_of(cell).arch for cell in chosen})
    stock = boot_all(plan, chosen, STOCK)
    series = boot_all(plan, chosen, "series")
    boots = {name: (stock[name], series[name]) for name in series}
    text = routes.page(plan, boots, trees.provenance())
    ui.say(text)
    sound = all(boot.results and not boot.problem for boot in series.values())
    return _conclude(routes.rows(boots), sound, text, not patterns)


def boot_all(plan, chosen, name):
    """{cell name: routes.Boot} of the cells `chosen` on the tree `name`."""
    built = {cell.kernel: None for cell in chosen}
    for which in built:
        built[which] = kernel.build(plan.kernels[which], name)
    directory = results.new_run()
    made = {}
    for cell in chosen:
        outcome = cells.run(cell, built[cell.kernel], directory)
        made[cell.name] = routes.read(directory / cell.name, outcome)
        ui.note(f"      {cell.name} on {name}: {outcome}")
    return made


def _conclude(rows, sound, text, whole):
    wrong = [row for row in rows if not row.right]
    differ = sum(1 for row in rows if row.stock != routes.SAME)
    for row in wrong:
        ui.note(f"{row.suite}.{row.case} ({row.request}) in {', '.join(row.boots)}: "
                f"{row.series}")
    if wrong or not sound or not rows:
        what = "not written"
    elif not whole:
        what = "not written: this is not all of it"
    else:
        what = "written" if paths.replace(page(), text.encode()) else "as it was"
    ui.conclusion(f"compare: {len(rows)} rows, stock differs in {differ}, the series is "
                  f"wrong in {len(wrong)}; docs/routes.md {what}")
    return PASS if rows and sound and not wrong else FAILED


def outdated(plan, series):
    """Why the page is not what run() would write after the boots `series` ({cell
    name: routes.Boot}), for which stock is booted; "" if it is."""
    stock = boot_all(plan, [cell for cell in plan.cells.values()
                            if cell.name in series], STOCK)
    boots = {name: (stock[name], series[name]) for name in stock}
    text = routes.page(plan, boots, trees.provenance())
    old = page().read_text(encoding="utf-8") if page().exists() else ""
    changed = [new for new, kept in zip(text.splitlines(), old.splitlines())
               if new != kept]
    return "" if text == old else f"./lab compare writes it anew{_first(changed)}"


def _first(lines):
    return f", from: {lines[0]}" if lines else ""


def gaps(series):
    """The same without booting stock: which tests and boots of `series` the page does
    not name, or names in vain."""
    text = page().read_text(encoding="utf-8") if page().exists() else ""
    found = routes.gaps(text, {name: set(boot.results)
                               for name, boot in series.items()})
    return f"{'; '.join(found)}: ./lab compare writes it anew" if found else ""
