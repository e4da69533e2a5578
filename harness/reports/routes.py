# SPDX-License-Identifier: GPL-2.0-only
"""The route table: what two kernels do with the requests that the suites make.

A row is a test case, a kind of request and the boots in which it came out alike.
"""

import errno
import json
import re
import xml.etree.ElementTree
from dataclasses import dataclass, field

from .. import paths, toml
from ..errors import USAGE, LabError

REFUSED = "refused cleanly"
MAPPED = "mapped as before"
EARLY = "answered early"
SAME = "the same"
WITH = "with the attribute"
WITHOUT = "without"
CALLS = ("calls without an errno", "dma_map_sgtable()")

_HEAD = ("test", "request", "boots", "stock", "series")


@dataclass
class Result:
    """What came out of a test case, or of one parameter of it, in one boot."""

    status: str                 # of kunit.py: PASS, FAIL, SKIP, ERROR
    log: str = ""
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


# -- what kunit.py wrote ------------------------------------------------------

def read(where, outcome):
    """The Boot whose results are in the directory `where`, with its Outcome.

    The statuses are those of kunit.py's JSON, the texts those of its JUnit file.
    """
    boot = Boot(problem=outcome.problem, counts=str(outcome).partition(":")[0])
    texts = _texts(where / "junit.xml")
    report = where / "results.json"
    if not report.exists():
        return boot
    statuses = dict(_statuses(json.loads(report.read_text("utf-8")), ()))
    first = _before_first(where / "ktap.log")
    for path in {**texts, **statuses}:      # JSON has not the order of the suites
        suite, case = (*path, "")[:2]
        result = Result(statuses.get(path, "ERROR"), *texts.get(path, ("", "")))
        made = boot.results.setdefault((suite, case), {})
        if len(path) > 2 and not made:
            result.log = result.log or first.get(case, "")
        made["/".join(path[2:])] = result
    return boot


def _statuses(group, path):
    for case in group.get("test_cases", []):
        yield (*path, case["name"]), case["status"]
    for sub in group.get("sub_groups", []):
        yield from _statuses(sub, (*path, sub["name"]))


def _texts(path):
    """{names: (log, why skipped)} of a JUnit file; empty without one."""
    if not path.exists():
        return {}
    text = path.read_text(encoding="utf-8", errors="replace")
    text = re.sub(r"[\x00-\x08\x0b-\x1f]", "", text)    # no XML, but a console has it
    found = {}

    def walk(element, names):
        for child in element:
            path = (*names, child.get("name"))
            if child.tag == "testsuite":
                walk(child, path)
            elif child.tag == "testcase":
                found[path] = (child.findtext("system-out") or "",
                               child.findtext("skipped") or "")

    walk(xml.etree.ElementTree.fromstring(text), ())
    return found


def _before_first(path):
    """{case: log of its first parameter}: kunit.py takes it for the case's own, which
    its JUnit file leaves out."""
    if not path.exists():
        return {}
    return dict(re.findall(r"^ +# Subtest: (\w+)\n((?:(?! +(?:not )?ok ).*\n)*?)"
                           r" +(?:not )?ok 1 ", path.read_text(encoding="utf-8"), re.M))


# -- in words -----------------------------------------------------------------

_EXPECTATION = re.compile(r"(?:EXPECTATION|ASSERTION) FAILED at .*\n"
                          r"\s*Expected (.+)(?:\n|$)"
                          r"((?:\s+.+ == -?\d+ \(0x[0-9a-f]+\)\n?)*)")
_COMPARED = re.compile(r"(.+?) (==|!=|>|<|>=|<=) (.+), but$")

# What an expectation of the suites is about: (in its text, what the kernel did if it
# was not met). In the order in which a row names them.
_MEANINGS = (
    (r"->bounces == 0|->bounces, 0", "bounces"),
    (r"->bounces", "does not bounce"),
    (r"warning_count\(.*\) == 0", "WARNs"),
    (r"warning_count", "does not WARN"),
    (r"->cache_ops == 0", "maintains caches"),
    (r"->cache_ops", "maintains no caches"),
    (r"->refusals == 0", "refusal traced without need"),
    (r"->refusals", "no trace event"),
    (r"->refused\.", "wrong trace event"),
    (r"dma_observe_(slots|hiwater)", "takes bounce slots"),
    (r"skip_sync", "the device has to sync from then on"),
    (r"sg_dma_is_swiotlb", "SG_DMA_SWIOTLB stays set"),
    (r"sg_dma_is_bus_address", "SG_DMA_BUS_ADDRESS stays set"),
    (r"free_entries", "dma-debug tracks a mapping for ever"),
    (r"dma_can_map_coherent", "cannot be asked early"),
    (r"iommu_iova_to_phys|phys_to_dma", "maps other memory"),
    (r"->allocs", "holds memory"),
    (r"^cpu ==", "allocates"),
)
# Cases that are about an answer before a mapping is requested.
_EARLY = re.compile(r"alloc_(?!coherent)|can_map_coherent|_odp_get|cc_dma_bounce")
_CALLS = re.compile(r"\b(map_buf|do_map|dma_mapping_error|dma_map_\w+|dma_iova_link|"
                    r"hmm_dma_map_alloc|alloc_implicit|PTR_ERR_OR_ZERO|ret)\b")


def explain(log):
    """What the failed expectations in `log` say about the kernel, a set of words."""
    return {_meaning(text.strip(), values)
            for text, values in _EXPECTATION.findall(log)} or {"fails"}


def _meaning(text, values):
    compared = _COMPARED.match(text)
    if not compared:
        return next((words for pattern, words in _MEANINGS
                     if re.search(pattern, text)), f"not: {text}")
    left, operator, right = compared.groups()
    # A side that is a number is what was wanted; KUnit gives no value for it.
    if re.fullmatch(r"-?\d+", left):
        left, right = right, left
    found, wanted = (_value(side, values) for side in (left, right))
    if "errors_before" in left + right and None not in (found, wanted):
        return ("false dma-debug reports" if found > wanted else
                "dma-debug reports missing")
    if _CALLS.match(left) and found is not None:
        return _answer(left, operator, found, wanted)
    plain = f"{left} {operator} {right}"
    return next((words for pattern, words in _MEANINGS if re.search(pattern, plain)),
                f"not: {plain}")


def _value(side, values):
    if re.fullmatch(r"-?\d+", side):
        return int(side)
    value = re.search(rf"^\s*{re.escape(side)} == (-?\d+) ", values, re.M)
    return int(value[1]) if value else None


def _answer(call, operator, found, wanted):
    """What a mapping call said instead of what it has to."""
    if operator == "!=" or found > 0 or wanted and not found:
        return "maps"
    if not wanted:
        return "refuses" if "mapping_error" in call else f"refuses ({_name(found)})"
    return f"{_name(found)} instead of {_name(wanted)}"


def _name(number):
    if -number == errno.EOPNOTSUPP:     # which Python calls by its other name
        return "-EOPNOTSUPP"
    return f"-{errno.errorcode.get(-number, -number)}"


def _join(words):
    """`words` in one order, without what others of them imply."""
    if "no trace event" in words:
        words = words - {"wrong trace event"}
    if "bounces" in words:
        words = words - {"maps", "takes bounce slots",
                         "the device has to sync from then on"}
        words = {word for word in words if not re.fullmatch(r"0 instead of .*", word)}
    if any(word.startswith("refuses") for word in words):
        words = words - {"maps other memory"}
    order = ["maps", "refuses", *(meaning for _, meaning in _MEANINGS)]
    return ", ".join(sorted(words, key=lambda word: (
        order.index(word) if word in order else len(order), word)))


# -- rows ---------------------------------------------------------------------

def request(parameter):
    """(attributes, call) of the requests that a test with `parameter` makes."""
    if not parameter:
        return "", ""
    if "REQUIRE_COHERENT" in parameter:
        attributes = WITH
    elif re.search(r", 0$|DMA_ATTR_|IGNORE_CACHELINES", parameter):
        attributes = WITHOUT
    else:
        return parameter, ""
    return attributes, CALLS["sgtable" in parameter]


def rows(boots):
    """The Rows for `boots`, {cell name: (Boot of stock, Boot of the series)}.

    In the order of the suites' names and of the cases in them.
    """
    made, cases = {}, {}
    for name, (stock, series) in boots.items():
        for suite, case in series.results:
            cases.setdefault(suite, {}).setdefault(case, len(cases.get(suite, {})))
            for label, words in _case(stock, series, (suite, case)).items():
                made.setdefault((suite, case, label, *words), []).append(name)
    return [Row(*key[:3], names, *key[3:]) for key, names in
            sorted(made.items(), key=lambda item: (item[0][0], cases[item[0][0]]
                                                   [item[0][1]]))]


def _case(stock, series, key):
    """{label of requests: (stock, series, right)} of a case in one boot."""
    theirs, ours = (_kinds(boot.results.get(key, {})) for boot in (stock, series))
    found = {}
    for kind, results in ours.items():
        words, right = _ours(key[1], results)
        what = _theirs(theirs.get(kind), stock)
        if words or what:
            found.setdefault((what or "skipped", words or "skipped",
                              right and bool(words)), set()).add(kind)
    every = set().union(*found.values())
    return {_label(kinds, every): words for words, kinds in found.items()}


def _kinds(results):
    """The Results of a case's parameters by what request() says of them."""
    kinds = {}
    for parameter, result in results.items():
        kinds.setdefault(request(parameter), []).append(result)
    return kinds


def _label(kinds, every):
    """Words for a set of kinds of requests, where `every` is all there are."""
    if kinds == every:
        return "all" if len(every) > 1 else next(iter(every))[0] or "-"
    words = []
    for attributes in sorted({kind[0] for kind in kinds}):
        mine = sorted(kind for kind in kinds if kind[0] == attributes)
        if mine == sorted(kind for kind in every if kind[0] == attributes):
            words.append(attributes)
        else:
            words += [f"{attributes}, {call}" for _, call in mine]
    return "; ".join(words)


def _ours(case, results):
    """(words, right) for what the series did; no words if it skipped."""
    words, bad = set(), set()
    for result in results:
        if result.status == "PASS":
            words.add(REFUSED if re.search(r": \d+ refused$", result.log, re.M)
                      else EARLY if _EARLY.search(case) else MAPPED)
        elif result.status != "SKIP":
            bad |= explain(result.log)
    if bad:
        return f"FAILS: {_join(bad)}", False
    return ", ".join(sorted(words)), True


def _theirs(results, boot):
    """Words for what stock did; none if it skipped."""
    if results is None:         # the boot broke off
        return f"not reached{_because(boot)}"
    ran = [result for result in results if result.status != "SKIP"]
    bad = [result for result in ran if result.status != "PASS"]
    if not bad:
        return SAME if ran else ""
    if any(result.status == "ERROR" for result in bad):
        return f"crashes{_because(boot)}"
    return _join(set().union(*(explain(result.log) for result in bad)))


def _because(boot):
    return f": {stable(boot.problem)}" if boot.problem else ""


def stable(text):
    """`text` of a kernel without what differs from boot to boot."""
    text = re.sub(r"\+0x[0-9a-f]+/0x[0-9a-f]+|, CPU#\d+: .*", "", text)
    text = re.sub(r"\b(0x)?[0-9a-f]{6,}\b(\+\d+)?", "...", text)
    return " ".join(text.split())


# -- what no test takes -------------------------------------------------------

@dataclass
class Untested:
    """A route that no test takes: what stock and the series do, by reading them."""

    route: str
    stock: str
    series: str
    why: str


def untested():
    """The Untested of routes.toml; LabError USAGE if it makes no sense."""
    path = paths.ROOT / "routes.toml"
    made = []
    for number, entry in enumerate(toml.load(path).get("untested", []), 1):
        try:
            made.append(Untested(**entry))
        except TypeError as err:
            raise LabError(f"{path.name}: untested, entry {number}: "
                           f"{str(err).partition(' ')[2]}", USAGE) from None
    return made


def skipped(boots):
    """{(suite, case): reasons} of the cases that the series skips in all boots."""
    reasons, ran = {}, set()
    for _, boot in boots.values():
        for key, results in boot.results.items():
            for result in results.values():
                if result.status == "SKIP":
                    reasons.setdefault(key, set()).add(result.reason)
                else:
                    ran.add(key)
    return {key: sorted(said) for key, said in reasons.items() if key not in ran}


# -- the page -----------------------------------------------------------------

def page(plan, boots, source):
    """docs/routes.md for `boots`: text that depends on nothing else.

    plan     the Matrix, which says what each boot is
    source   a line that says what stock is
    """
    found = rows(boots)
    lines = ["<!-- SPDX-License-Identifier: GPL-2.0-only -->",
             "<!-- Made by ./lab compare. Do not edit. -->",
             "# Routes: what stock does, and what the series does", ""]
    lines += [f"`./lab compare` made this page: {source}. It boots the suites of the "
              "series on both kernels.", "",
              f"*{REFUSED}* is the errno of the [contract](contract.md), a trace event "
              "with the right reason, no WARN, and nothing left behind. "
              f"*{MAPPED}* is what the request gets without the series: its own memory, "
              "or, without the attribute, a bounce buffer or a WARN if there is none. "
              f"*{EARLY}* is what a test gets that requests no mapping. "
              "Stock's column says in what it differs; *the same* means that the test "
              "passes there too. *With the attribute* is `DMA_ATTR_REQUIRE_COHERENT`, "
              "alone or with others.", ""]
    for suite in dict.fromkeys(row.suite for row in found):
        lines += [f"## {suite}", ""]
        lines += _table(_HEAD, [(f"`{row.case}`", row.request,
                                 _names(row.boots, boots), row.stock, row.series)
                                for row in found if row.suite == suite])
    lines += ["## Routes that no test takes", "",
              "What is said of them is from reading the code.", ""]
    lines += _table(("route", "stock", "series", "why there is no test"),
                    [(one.route, one.stock, one.series, one.why)
                     for one in untested()])
    never = skipped(boots)
    if never:
        lines += ["Test cases that skip in every boot:", ""]
        lines += _table(("test", "why"), [(f"`{suite}.{case}`", "; ".join(said))
                                          for (suite, case), said in never.items()])
    lines += ["## Boots", ""]
    lines += _table(("boot", "what it is", "stock", "series"),
                    [(name, plan.cells[name].what, _end(stock), _end(series))
                     for name, (stock, series) in boots.items()])
    return "\n".join(lines).rstrip() + "\n"


def _names(names, boots):
    return f"all {len(boots)}" if len(names) == len(boots) > 1 else ", ".join(names)


def _end(boot):
    return boot.counts + (f": {stable(boot.problem)}" if boot.problem else "")


def _table(head, lines):
    def line(words):
        return "| " + " | ".join(word.replace("|", r"\|") for word in words) + " |"

    return [line(head), line(["---"] * len(head)), *map(line, lines), ""]


def gaps(text, boots):
    """What the page `text` should name after `boots`, {cell: {(suite, case), ...}},
    and does not, or names and should not: a list of lines."""
    named = set(re.findall(r"^\| `([\w.]+)` \|", text, re.M))
    cases = {case for ran in boots.values() for _, case in ran}
    known = {name.rpartition(".")[2] for name in named}
    return ([f"{case} is missing" for case in sorted(cases - known)] +
            [f"there is no {case}" for case in sorted(known - cases)] +
            [f"boot {name} is missing" for name in boots
             if not re.search(rf"^\| {re.escape(name)} \|", text, re.M)])
