#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Draws the page of ./lab report: data on stdin, the template as the argument, HTML on
stdout. A program of its own, for the Python that Debian's jinja2 and matplotlib are
installed for."""

import io
import json
import re
import sys
from pathlib import Path

import jinja2
import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot       # noqa: E402  pylint: disable=wrong-import-position

# Of Okabe and Ito, which a colour-blind reader tells apart, in the light and the dark.
BLUE, ORANGE = "#0072b2", "#d55e00"
WIDTH = 7.2                     # inches, of 72 points


def picture(figure, words):
    """`figure` as SVG that takes the colour of the text around it; `words` for those
    who cannot see it."""
    with io.StringIO() as made:
        figure.savefig(made, format="svg", transparent=True, bbox_inches="tight",
                       metadata={"Date": None, "Creator": None})
        text = made.getvalue()
    pyplot.close(figure)
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg"):], flags=re.S)
    text = text.replace("#000000", "currentColor")
    # Text without a colour of its own is black.
    return jinja2.utils.markupsafe.Markup(text.replace(
        "<svg ", f'<svg role="img" aria-label="{words}" fill="currentColor" ', 1))


def number(word):
    """The number that `word` is, or None."""
    found = re.fullmatch(r"[+-]?\d+", word)
    return int(found[0]) if found else None


def cost(table):
    """Bars of what the series costs more than base and than stock, in instructions."""
    head, *rows = table["rows"]
    columns = [(name, head.index(name), colour) for name, colour in
               (("series - base", BLUE), ("series - stock", ORANGE)) if name in head]
    rows = [row for row in rows if all(number(row[at]) is not None for _, at, _ in columns)]
    if not columns or not rows:
        return ""
    figure, axes = pyplot.subplots(figsize=(WIDTH, 0.6 + 0.3 * len(rows)))
    height = 0.8 / len(columns)
    for index, (name, at, colour) in enumerate(columns):
        values = [number(row[at]) for row in rows]
        axes.barh([place + index * height for place in range(len(rows))], values, height,
                  color=colour, label=name, hatch="//" * index, edgecolor="white",
                  linewidth=0)
    first = next(at for at, word in enumerate(rows[0]) if number(word) is not None
                 and head[at] != "attribute")
    axes.set_yticks([place + height / 2 for place in range(len(rows))],
                    [", ".join(row[:first]) for row in rows], fontsize=7)
    axes.invert_yaxis()
    axes.axvline(0, color="#000000", linewidth=0.8)
    axes.set_xscale("symlog", linthresh=10)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:+.0f}")
    axes.tick_params(axis="x", labelsize=7)
    axes.set_xlabel("instructions of a pair of calls; left of 0: fewer", fontsize=7)
    axes.legend(fontsize=7, frameon=False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    return picture(figure, f"{table['title']}: instructions more than base and stock")


def wrong(table):
    """Steps of how many rows are wrong after each patch for mainline."""
    head, *rows = table["rows"]
    if "rows wrong" not in head:
        return ""
    values = [number(row[head.index("rows wrong")]) or 0 for row in rows]
    figure, axes = pyplot.subplots(figsize=(WIDTH, 2.2))
    axes.step(range(len(values)), values, where="post", color=BLUE)
    axes.fill_between(range(len(values)), values, step="post", color=BLUE, alpha=0.25)
    axes.set_xlabel("patches of mainline/ on stock", fontsize=7)
    axes.set_ylabel("rows wrong", fontsize=7)
    axes.tick_params(labelsize=7)
    axes.set_ylim(bottom=0)
    axes.margins(x=0)
    axes.spines[["top", "right"]].set_visible(False)
    return picture(figure, f"rows wrong after each patch: {values[0]} on stock, "
                           f"{values[-1]} at the end")


def routes(suites):
    """Squares for the lines of the route table, [[suite, [whether stock does the same]]]:
    what stock does above what the series does, which is right in all."""
    suites = [(name, same) for name, same in suites if same]
    figure, axes = pyplot.subplots(figsize=(WIDTH, 0.35 + 0.42 * len(suites)))
    for row, (_, same) in enumerate(suites):
        for lift, colours in ((0.2, [BLUE if right else ORANGE for right in same]),
                              (-0.2, [BLUE] * len(same))):
            axes.scatter(range(len(same)), [-row + lift] * len(same), c=colours, marker="s",
                         s=[20 if colour == BLUE else 9 for colour in colours],
                         linewidths=0)
    axes.set_yticks([-row + lift for row in range(len(suites)) for lift in (0.2, -0.2)],
                    [f"{name}: {kernel}" for name, _ in suites
                     for kernel in ("stock", "series")], fontsize=6)
    axes.set_xticks([])
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(-1, max(len(same) for _, same in suites))
    axes.spines[:].set_visible(False)
    wrong = sum(not right for _, same in suites for right in same)
    count = sum(len(same) for _, same in suites)
    axes.set_xlabel(f"lines of the route table: large and blue is right; stock is wrong in "
                    f"{wrong} of {count}", fontsize=7)
    drawn = picture(figure, f"stock is wrong in {wrong} of {count} lines of the route table")
    return str(drawn).replace("<svg ", '<svg style="background: white" ', 1)


def main(template):
    """The page as text; without a template, the picture of the route table."""
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "lab",
                                "font.family": "sans-serif"})
    if not template:
        return routes(json.load(sys.stdin))
    path = Path(template)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(path.parent), autoescape=True, trim_blocks=True,
        lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    return environment.get_template(path.name).render(
        json.load(sys.stdin), draw_cost=cost, draw_wrong=wrong)


if __name__ == "__main__":
    print(main("".join(sys.argv[1:])))
