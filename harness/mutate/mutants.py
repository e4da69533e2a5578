# SPDX-License-Identifier: GPL-2.0-only
"""Mutants: what the series decides in C, each decision wrong in one way, and each hunk
undone."""

import bisect
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Union

from .. import process
from ..errors import ENVIRONMENT
from ..source import trees

_RULES = Path(__file__).with_name("decisions.cocci")
# Not production code: tests, what shows things to them, and what is not C.
_OTHER = re.compile(r"^(?!.*\.[ch]$)|^include/kunit/|^tools/|/tests/")
_HUNK = re.compile(r"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@.*\n(?:^[-+ \\].*\n)*", re.M)
_NEAR = 3                       # unchanged lines between those of one hunk
_NUMBERS = {"0": "1", "1": "0", "true": "false", "false": "true", "EIO": "EOPNOTSUPP",
            "EOPNOTSUPP": "EIO", "DMA_MAPPING_ERROR": "0",
            "DMA_REFUSED_BOUNCE": "DMA_REFUSED_UNTRUSTED"}
_KINDS = {"DMA_ATTR_": "0", "DMA_REFUSED_": "DMA_REFUSED_BOUNCE"}
_BEFORE = re.compile(r"^$|^#|^}|\*/$|;$")         # a line before a function
_SIGNATURE = re.compile(r"(?P<static>static )?[\w\s*]*?(?P<name>\w+)"
                        r"\((?P<parameters>[^()]*)\)\s*")
_LAST_WORD = re.compile(r"(\w+)\s*(?:\[\w*\])?\s*$")
_FIXED = re.compile(r"-?\w+|[\"&].*", re.S)     # what has no other value to take


@dataclass(frozen=True)
class Hunk:
    """A hunk of the series, without context around it: lines `first` to `end` - 1 of the file
    (from 1) are `new`, and were `old` before."""

    file: str
    first: int
    end: int
    old: str
    new: str
    kind = "hunk"

    @property
    def line(self) -> int:
        """The first line."""
        return self.first

    @property
    def name(self) -> str:
        """What it does, as Mutant.name."""
        lines = [" ".join(line.split()) for line in (self.new or self.old).splitlines()]
        words = max(lines, key=len, default="")
        return f"hunk undone: {words}" + (f" ({len(lines)} lines)" if lines[1:] else "")

    @property
    def last(self) -> int:
        """The last line."""
        return self.end - 1

    def switched(self, text: str, number: int) -> "list[Mutant]":
        """What has to go into `text` for MUTANT(number) to undo the hunk: a copy of the
        function without it, and a call of that. Nothing if it is not in a function."""
        lines = text.splitlines(keepends=True)
        begin, end = (next((at for at in where if lines[at] in ("{\n", "}\n")), 0)
                      for where in (range(min(self.first, len(lines)) - 2, -1, -1),
                                    range(self.end - 1, len(lines))))
        if (lines[begin] != "{\n" or lines[end] != "}\n"
                or re.search("^[{}#]", self.old + self.new, re.M)):
            return []
        head = next(at + 1 for at in range(begin - 1, -1, -1)
                    if _BEFORE.search(lines[at]) or not at)
        found = _SIGNATURE.fullmatch("".join(lines[head:begin]))
        if not found:
            return []
        made = self.made(text).splitlines(keepends=True)
        copy = "".join(made[head:end + 1 + len(made) - len(lines)])
        other = f"{found['name']}_{number}"
        copy = ("" if found["static"] else "static ") + copy[:found.start("name")] + other + (
            copy[found.end("name"):])
        words = [_LAST_WORD.search(word) for word in found["parameters"].split(",")]
        given = ", ".join(word[1] for word in words if word and word[1] != "void")
        call = f" if (MUTANT({number})) return {other}({given});"
        return [Mutant(self.file, found["name"], self.line, "insertion", at, at, "", new)
                for at, new in (
                    (len("".join(lines[:head])), f"{copy}#line {head + 1}\n"),
                    (len("".join(lines[:begin])) + 1, call))]

    def made(self, text: str) -> str:
        """`text` of the file, without the hunk, and with as many lines, or said to have: a
        WARN() has the number of its line."""
        lines = text.splitlines(keepends=True)
        before, after = lines[:self.first - 1], lines[self.end - 1:]
        gone = self.new.count("\n") - self.old.count("\n")
        if "".join([*before, self.old]).endswith("\\\n"):         # in a macro
            return "".join([*before, self.old, *after])
        return "".join([*before, self.old, "\n" * gone, *(
            [f"#line {self.end}\n"] if gone < 0 else []), *after])


@dataclass(frozen=True)
class Mutant:
    """One wrong decision: characters `start` to `end` - 1 of the file, which are in
    `line` (from 1) of `function`, are `new` instead."""

    file: str
    function: str
    line: int
    kind: str                   # as decisions.cocci calls it
    start: int
    end: int
    old: str
    new: str

    @property
    def last(self) -> int:
        """The last line that it is in."""
        return self.line + self.old.count("\n")

    def made(self, text: str) -> str:
        """`text` of the file, with the mutant, and as many lines as before."""
        end = "\\\n" if "\\\n" in self.old else "\n"        # in a macro
        gone = end * (self.old.count("\n") - self.new.count("\n"))
        return text[:self.start] + self.new + gone + text[self.end:]

    def switched(self, _text: str, _number: int) -> "list[Mutant]":
        """Like Hunk.switched()."""
        return [self]

    @property
    def name(self) -> str:
        """What it does, in words that a change of other lines leaves alone."""
        old, new = (" ".join(words.split()) for words in (self.old, self.new))
        return f"{self.function}: {old}" + (f" -> {new}" if new else " removed")


def files(base: str, tip: str) -> list[str]:
    """The C files that change from `base` to `tip` and are not for tests."""
    changed = trees.git("diff", "--name-only", "--no-renames", base, tip).splitlines()
    return [file for file in changed if not _OTHER.search(file)]


def hunks(base: str, tip: str, file: str) -> list[Hunk]:
    """What changes in `file` from commit `base` to `tip`."""
    found = []
    text = trees.git("diff", "-U0", f"--inter-hunk-context={_NEAR}", "--no-renames", base,
                     tip, "--", file) + "\n"
    for hunk in _HUNK.finditer(text):
        first, count = int(hunk[3]), int(hunk[4] or 1)
        old, new = ("".join(line[1:] for line in hunk[0].splitlines(keepends=True)[1:]
                            if line[0] in signs) for signs in ("- ", "+ "))
        first += not count      # git names the line before those that go
        found.append(Hunk(file, first, first + count, old, new))
    return found


def commits(base: str, tip: str, file: str) -> dict[int, str]:
    """{number of a line of `file` in `tip`: the commit since `base` that made it what it
    is}: not those that were only moved or indented."""
    said = trees.git("blame", "-s", "-l", "-w", "-M", "--no-progress", f"{base}..{tip}", "--",
                     file)
    return {number: line.split()[0] for number, line in enumerate(said.splitlines(), 1)
            if not line.startswith("^")}


def decisions(path: Path, file: str, lines: Iterable[int]) -> list[Mutant]:
    """The Mutants of the C file at `path`, called `file`, that change any of `lines`.

    LabError ENVIRONMENT if spatch cannot read the file.
    """
    text = path.read_text("utf-8")
    begins = list(itertools.accumulate(map(len, text.splitlines(keepends=True)), initial=0))
    said = process.run(["spatch", "--very-quiet", "--sp-file", _RULES, path],
                       check_status=ENVIRONMENT, what=f"spatch {file}").stdout
    wanted, found = set(lines), {}
    for words in map(str.split, sorted(set(re.findall(r"^decision (.*)$", said, re.M)))):
        kind, function = words[0], words[-1]
        places = [begins[int(line) - 1] + int(column) for line, column in
                  zip(words[1:-1:2], words[2:-1:2])]
        if not wanted.isdisjoint(range(int(words[1]), int(words[3]) + 1)):
            for start, end, new in _wrong(kind, text, *places):
                old = text[start:end]
                line = bisect.bisect_right(begins, start)
                found[start, end, new] = Mutant(file, function, line, kind, start, end,
                                                old, new)
    return [found[place] for place in sorted(found)]


def _wrong(kind: str, text: str, start: int, end: int, begin: int,
           stop: int) -> Iterator[tuple[int, int, str]]:
    """The wrong texts for one decision: (start, end, text)."""
    old, mate = text[start:end], text[begin:stop]
    if kind == "condition":
        yield start, end, "0"
        yield start, end, "1"
    elif kind in ("and", "or"):
        yield start, end, "1" if kind == "and" else "0"
    elif kind == "choice":
        yield start, end, mate
    elif kind == "sum":
        yield start, stop, old
    elif kind == "statement":
        yield start, end, ""
    elif kind == "constant":
        others = [_NUMBERS.get(old), *(new for prefix, new in _KINDS.items()
                                       if old.startswith(prefix))]
        yield from ((start, end, new) for new in filter(None, others[:1 + (not others[0])]))
    elif kind == "result" and old in ("true", "false"):
        yield start, end, _NUMBERS[old]
    elif kind == "result" and old.startswith("ERR_PTR("):
        yield start, end, "NULL"
    elif not _FIXED.fullmatch(old) or kind == "argument" and re.fullmatch(
            "[a-z]\\w*", old) and old not in _NUMBERS:
        yield start, end, f"0 & ({old})"        # of a pointer, that does not compile


def all_in_one(text: str, chosen: Sequence[tuple[int, Union[Mutant, Hunk]]]) -> str:
    """`text` of a file with all numbered changes `chosen`: MUTANT(number) says which of
    them the kernel is to be."""
    ranges: dict[tuple[int, int], list[tuple[int, Mutant]]] = {}
    for number, change in chosen:
        for mutant in change.switched(text, number):
            ranges.setdefault((mutant.start, mutant.end), []).append((number, mutant))
    # Outer before inner ones: expressions nest.
    order = sorted(ranges, key=lambda place: (place[0], -place[1]))

    def compose(start, end, inner):
        made, at = [], start
        while inner:
            place = inner.pop(0)
            within = [other for other in inner if other[1] <= place[1]]
            inner = inner[len(within):]
            made += [text[at:place[0]],
                     _either(compose(place[0], place[1], within), ranges[place])]
            at = place[1]
        return "".join([*made, text[at:end]])

    return compose(0, len(text), order)


def _either(right: str, wrong: Sequence[tuple[int, Mutant]]) -> str:
    """C that is `right`, or what one of the Mutants in its place would be."""
    for number, mutant in wrong:
        if mutant.kind == "insertion":
            right += mutant.new
        elif mutant.kind == "statement":
            right = f"do {{ if (!MUTANT({number})) {{ {right}; }} }} while (0)"
        else:
            right = f"(MUTANT({number}) ? ({mutant.new}) : ({right}))"
    return right
