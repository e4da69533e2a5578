# SPDX-License-Identifier: GPL-2.0-only
"""The route table: what two kernels do with the requests that the suites make.

A row is a test case, a kind of request and the boots in which it came out alike. Its
words are made of what the suites print of each case: a line of numbers.
"""

import errno
import re
import string
from collections import Counter
from dataclasses import dataclass, field

from .. import model, paths, results, toml
from . import tables

REFUSED = "refused cleanly"
MAPPED = "mapped as before"
EARLY = "answered early"
SAME = "the same"
WITH = "with the attribute"
WITHOUT = "without"

_TEMPLATE = paths.ROOT / "docs" / "routes.md.in"
_HEAD = ("test", "request", "boots", "stock", "series")
_UNTESTED = ("route", "stock", "series", "why")
# Fields of struct dma_route (include/kunit/dma.h), in the order in which a row names
# them: (field, what a kernel does that counts more of it, or none where others do).
_WORDS = (
    ("mapped", "maps", ""),
    ("bounced", "bounces", ""),
    ("warned", "WARNs", "does not WARN"),
    ("cache_ops", "maintains caches", ""),
    ("refused", "refusal traced without need", "no trace event"),
    ("list_errors", "", "no trace event"),
    ("marks", "SG_DMA_SWIOTLB stays set", ""),
    ("cannot", "", "cannot be asked early"),
    ("reports", "false dma-debug reports", "dma-debug reports missing"),
)


@dataclass
class Result:
    """What came out of a test case, or of one parameter of it, in one boot."""

    status: str                 # PASS, FAIL or SKIP
    route: Counter = field(default_factory=Counter)     # the numbers that it printed
    reason: str = ""            # why it was skipped


@dataclass
class Boot:
    """A boot of one kernel: {(suite, case): {parameter: Result}}, and how it ended."""

    results: dict = field(default_factory=dict)
    problem: str = ""
    counts: str = ""


@dataclass
class Row:
    """A line of the table; `right` is whether the series did what it has to."""

    suite: str
    case: str
    request: str
    boots: list
    stock: str
    series: str
    right: bool


# {cell name: what it did with (stock, the series)}
Boots = dict[str, tuple[Boot, Boot]]


# -- what the suites printed --------------------------------------------------

_ROUTE = re.compile(r" *# \w+: route: (.+)")


def read(outcome: results.Outcome) -> Boot:
    """The Boot of an Outcome, from the KTAP of that.

    Not from what kunit.py makes of the KTAP: there, the lines of a case's first
    parameter are those of the case.
    """
    boot = Boot(problem=outcome.problem, counts=str(outcome).partition(":")[0])
    for case in results.ktap(outcome.ktap):
        suite, name, parameter = (*case.names, "")[:3]
        boot.results.setdefault((suite, name), {})[parameter] = _result(case)
    return boot


def _result(case):
    if case.skipped is not None:
        return Result("SKIP", reason=case.skipped)
    printed = [found[1] for found in map(_ROUTE.fullmatch, case.said) if found]
    numbers = re.findall(r"(\w+)=(-?\d+)", printed[-1] if printed else "")
    return Result("PASS" if case.ok else "FAIL",
                  Counter({name: int(number) for name, number in numbers}))


# -- in words -----------------------------------------------------------------

def answer(route: Counter) -> str:
    """Words for what the series did in a case with the numbers `route`."""
    if not route:
        return "prints no route"
    if route["refused"]:
        return REFUSED
    if route["mapped"] or route["failed"] and route["errno"] != -errno.EOPNOTSUPP:
        return MAPPED
    return EARLY


def differences(theirs: Counter, ours: Counter) -> set:
    """Words for what a kernel with the numbers `theirs` did in a case that failed,
    where it had to do what one with the numbers `ours` did."""
    if not theirs or not ours:
        return {"fails"}
    words = {more for name, more, _ in _WORDS if theirs[name] > ours[name]}
    number, wanted = theirs["errno"], ours["errno"]
    if theirs["failed"] >= ours["failed"] and theirs["mapped"] < ours["mapped"]:
        words.add(f"refuses ({_name(number)})" if number else "refuses")
    else:
        words |= {none for name, _, none in _WORDS if not theirs[name] and ours[name]}
        if number and wanted and number != wanted:
            words.add(f"{_name(number)} instead of {_name(wanted)}")
    if "bounces" in words:
        words -= {"maps"}
    return words - {""} or {"fails"}


def _name(number):
    if -number == errno.EOPNOTSUPP:     # which Python calls by its other name
        return "-EOPNOTSUPP"
    return f"-{errno.errorcode.get(-number, -number)}"


def _join(words):
    order = [word for _, *both in _WORDS for word in both]
    return ", ".join(sorted(words, key=lambda word: (
        order.index(word) if word in order else len(order), word)))


# -- rows ---------------------------------------------------------------------

def request(parameter: str) -> str:
    """Words for the requests that a test with `parameter` makes."""
    if "REQUIRE_COHERENT" in parameter:
        return WITH
    if re.search(r", 0$|DMA_ATTR_|IGNORE_CACHELINES", parameter):
        return WITHOUT
    return parameter or "-"


def rows(boots: Boots) -> "list[Row]":
    """The Rows for `boots`, in the order of the suites' names and of their cases."""
    keys = sorted({key: None for _, series in boots.values() for key in series.results},
                  key=lambda key: key[0])
    table = []
    for key in keys:
        alike: dict = {}
        for name, (stock, series) in boots.items():
            for label, words in _case(stock, series, key).items():
                alike.setdefault((label, *words), []).append(name)
        table += [Row(key[0], key[1], label, names, *words)
                  for (label, *words), names in alike.items()]
    return table


def _case(stock, series, key):
    """{requests: (stock, series, right)} of a case in one boot."""
    pairs: dict = {}
    alike: dict = {}
    theirs = stock.results.get(key, {})
    for parameter, ours in series.results.get(key, {}).items():
        pairs.setdefault(request(parameter), []).append((theirs.get(parameter), ours))
    for requests, both in pairs.items():
        # Which of several threads is the first to fail is chance.
        words = _words(both, stock, key[1].endswith("_at_once"))
        if words:
            alike.setdefault(words, []).append(requests)
    if len(alike) == 1 and len(*alike.values()) > 1:
        return {"all": next(iter(alike))}
    return {"; ".join(requests): words for words, requests in alike.items()}


def _words(pairs, boot, chance):
    """(stock, series, right) for pairs of Results of `boot`, stock, and of the series;
    None if both skipped. What fails by `chance` is not told apart."""
    stock, series = set(), set()
    for theirs, ours in pairs:
        if ours.status != "SKIP":
            series.add("FAILS" if ours.status == "FAIL" else answer(ours.route))
            if not theirs:
                stock.add(f"not reached{_because(boot)}")
        if theirs and theirs.status == "FAIL":
            stock |= {"fails"} if chance else differences(theirs.route, ours.route)
    ran = stock or any(theirs and theirs.status == "PASS" for theirs, _ in pairs)
    if not ran and not series:
        return None
    return (_join(stock) or (SAME if ran else "skipped"),
            ", ".join(sorted(series)) or "skipped",
            bool(series) and series <= {REFUSED, MAPPED, EARLY})


def _because(boot):
    return boot.problem and f": {stable(boot.problem)}"


def stable(text: str) -> str:
    """`text` of a kernel without what differs from boot to boot."""
    text = re.sub(r"\+0x[0-9a-f]+/0x[0-9a-f]+|, CPU#\d+: .*", "", text)
    text = re.sub(r"\b(0x)?[0-9a-f]{6,}\b(\+\d+)?", "...", text)
    return " ".join(text.split())


# -- what no test takes -------------------------------------------------------

def untested() -> "list[list[str]]":
    """What stock and the series do where no test goes, by reading them: the lines of
    routes.toml; LabError USAGE if one is not as it has to be."""
    return [[entry[name] for name in _UNTESTED] for entry in
            toml.entries(paths.ROOT / "routes.toml", "untested", _UNTESTED)]


def skipped(boots: Boots) -> "dict[tuple[str, str], list[str]]":
    """{(suite, case): reasons} of the cases that the series skips in all boots."""
    reasons: dict = {}
    for _, boot in boots.values():
        for key, parameters in boot.results.items():
            reasons.setdefault(key, set()).update(
                result.reason if result.status == "SKIP" else None
                for result in parameters.values())
    return {key: sorted(said) for key, said in reasons.items() if None not in said}


# -- the page -----------------------------------------------------------------

def page(plan: model.Matrix, boots: Boots, source: str) -> str:
    """docs/routes.md for `boots`: text that depends on nothing else.

    plan     says what each boot is
    source   a line that says what stock is
    """
    suites: dict = {}
    for row in rows(boots):
        names = (f"all {len(boots)}" if len(row.boots) == len(boots) > 1 else
                 ", ".join(row.boots))
        suites.setdefault(row.suite, []).append(
            (f"`{row.case}`", row.request, names, row.stock, row.series))
    never = [(f"`{suite}.{case}`", "; ".join(said))
             for (suite, case), said in skipped(boots).items()]
    ends = [(name, plan.cells[name].what,
             *(boot.counts + _because(boot) for boot in both))
            for name, both in boots.items()]
    return string.Template(_TEMPLATE.read_text("utf-8")).substitute(
        source=source,
        suites="\n\n".join(f"## {suite}\n\n{_table(_HEAD, lines)}"
                           for suite, lines in suites.items()),
        untested=_table(_UNTESTED, untested()), skipped=_table(("test", "why"), never),
        boots=_table(("boot", "what it is", "stock", "series"), ends))


def _table(head, lines):
    return "\n".join(f"| {' | '.join(words)} |" for words in
                     tables.escaped([head, ["---"] * len(head), *lines]))
