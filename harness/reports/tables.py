# SPDX-License-Identifier: GPL-2.0-only
"""Rows of words and figures, the heading first, as tables whose columns are aligned."""

import re


def text(rows):
    """The table for a terminal."""
    widths, words = _columns(rows)
    lines = ["  ".join(row).rstrip() for row in words]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def markdown(rows):
    """The table for a document."""
    rows = escaped(rows)
    widths, words = _columns(rows)
    lines = [f"| {' | '.join(row)} |" for row in words]
    lines.insert(1, "|" + "|".join("-" * (width + 1) + (":" if _right(column) else "-")
                                   for width, column in zip(widths, zip(*rows))) + "|")
    return "\n".join(lines)


def escaped(rows):
    """The same as words for a document, in which | ends a column."""
    return [[str(word).replace("|", "\\|") for word in row] for row in rows]


def parse(document):
    """The tables of a markdown `document`: [{"title": of the section, "rows": the lines
    of the table as lists of words, the heading first}]."""
    found, title, rows = [], "", []
    for line in [*document.splitlines(), ""]:
        if line.startswith("|"):
            rows.append([word.strip().replace("\\|", "|") for word in
                         re.split(r"(?<!\\)\|", line.strip())[1:-1]])
        elif rows:
            found.append({"title": title, "rows": [rows[0], *rows[2:]]})
            rows = []
        if line.startswith("#") or line.endswith(":") and not line.startswith("|"):
            title = line.strip("#: ")
    return found


def _columns(rows):
    """(width of each column, rows of words as wide as that)."""
    columns = list(zip(*rows))
    widths = [max(len(str(word)) for word in column) for column in columns]
    return widths, [[f"{word!s:{'>' if _right(column) else '<'}{width}}"
                     for word, width, column in zip(row, widths, columns)]
                    for row in rows]


def _right(column):
    """Whether a column has figures, which are aligned on the right."""
    words = [str(word) for word in column[1:] if word != "-"]
    return bool(words) and not any(re.search("[A-Za-z]", word) for word in words)
