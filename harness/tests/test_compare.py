# SPDX-License-Identifier: GPL-2.0-only
"""The route table: what two kernels did, in words that are the same every time."""

import tempfile
import unittest
from collections import Counter
from pathlib import Path
from unittest import mock

from harness.reports import routes
from harness.errors import USAGE
from harness.results import Outcome
from harness.reports.routes import EARLY, MAPPED, REFUSED, SAME, Boot, Result
from harness.tests import Sandbox

CHECKOUT = Path(__file__).resolve().parents[2]
DATA = Path(__file__).parent / "data" / "compare"


def route(**numbers):
    """The numbers that a test case prints; 0 for those that are not named."""
    return Counter({"mapped": 0, **numbers})


PASSED = Result("PASS", route(mapped=1))
SKIPPED = Result("SKIP", reason="needs luck")
REFUSAL = Result("PASS", route(failed=1, refused=1))
UNTRACED = Result("FAIL", route(failed=1))


class Words(unittest.TestCase):
    def test_answer(self):
        for words, numbers in (
                (MAPPED, route(mapped=1)),
                (MAPPED, route(failed=1, warned=1)),
                (MAPPED, route(failed=1, errno=-5)),
                (REFUSED, route(mapped=1, failed=1, errno=-95, refused=1)),
                (EARLY, route(failed=1, errno=-95)),
                (EARLY, route(cannot=1)),
                ("prints no route", {})):
            self.assertEqual(routes.answer(numbers), words, numbers)

    def test_differences(self):
        refused = route(failed=1, refused=1, list_errors=1)
        errno = route(failed=1, errno=-95, refused=1)
        for words, theirs, ours in (
                ("no trace event", route(failed=1), refused),
                ("no trace event", route(failed=1), route(failed=1, list_errors=1)),
                ("no trace event, -EIO instead of -EOPNOTSUPP",
                 route(failed=1, errno=-5), errno),
                ("WARNs, no trace event", route(failed=1, warned=1), refused),
                ("does not WARN", route(), route(warned=1)),
                ("maps, no trace event", route(mapped=1), errno),
                ("bounces, no trace event", route(mapped=1, bounced=1), errno),
                ("maintains caches", route(mapped=1, cache_ops=2), route(mapped=1)),
                ("refuses", route(mapped=1, failed=1), route(mapped=2)),
                ("refuses (-EOPNOTSUPP)", route(failed=1, errno=-95),
                 route(mapped=1, failed=1, errno=-95, refused=1)),
                ("cannot be asked early", route(), route(cannot=1)),
                ("SG_DMA_SWIOTLB stays set", route(mapped=1, marks=1), route(mapped=1)),
                ("false dma-debug reports", route(reports=1), route()),
                ("dma-debug reports missing", route(), route(reports=2)),
                # it broke off early in a case of many requests
                ("-EIO instead of -EOPNOTSUPP",
                 route(mapped=3, failed=2, errno=-5, refused=1),
                 route(mapped=500, failed=500, errno=-95, refused=500)),
                ("fails", route(mapped=1), route(mapped=1)),
                ("fails", route(mapped=1), route(mapped=1, marks=1)),
                ("fails", {}, route(mapped=1))):
            self.assertEqual(routes._join(routes.differences(theirs, ours)), words,
                             (theirs, ours))

    def test_request(self):
        for parameter, words in (
                ("", "-"), ("dma_map_phys, 0", routes.WITHOUT),
                ("dma_map_sgtable, DMA_ATTR_REQUIRE_COHERENT | DMA_ATTR_NO_WARN",
                 routes.WITH),
                ("IGNORE_CACHELINES", routes.WITHOUT),
                ("three segments", "three segments")):
            self.assertEqual(routes.request(parameter), words)

    def test_stable(self):
        self.assertEqual(
            routes.stable("the kernel complained: WARNING: kernel/dma/debug.c:1042 at "
                          "check_unmap+0x5cd/0x8f0, CPU#0: kunit_try_catch/31"),
            "the kernel complained: WARNING: kernel/dma/debug.c:1042 at check_unmap")
        self.assertEqual(
            routes.stable("DMA addr 0x0000000002f1824f+397 overflow (mask "
                          "ffffffffffffffff, bus limit 2f11800)."),
            "DMA addr ... overflow (mask ..., bus limit ...).")


class Rows(unittest.TestCase):
    def rows(self, stock, series, **boot):
        """The rows of one case in one boot, as (request, stock, series, right)."""
        key = ("suite", "case")
        stock = Boot({key: stock} if stock else {}, **boot)
        found = routes.rows({"cell": (stock, Boot({key: series}))})
        return [(row.request, row.stock, row.series, row.right) for row in found]

    def params(self, *made):
        """Parameters of all kinds: without and with the attribute, in each call."""
        names = [f"{call}, {attributes}" for attributes in
                 ("0", "DMA_ATTR_REQUIRE_COHERENT")
                 for call in ("dma_map_phys", "dma_map_sgtable")]
        return dict(zip(names, made))

    def test_case(self):
        self.assertEqual(self.rows({"": PASSED}, {"": PASSED}),
                         [("-", SAME, MAPPED, True)])
        self.assertEqual(self.rows({"": UNTRACED}, {"": REFUSAL}),
                         [("-", "no trace event", REFUSED, True)])
        self.assertEqual(self.rows({"": SKIPPED}, {"": SKIPPED}), [])

    def test_wrong(self):
        self.assertEqual(self.rows({"": PASSED}, {"": UNTRACED}),
                         [("-", SAME, "FAILS", False)])
        self.assertEqual(self.rows({"": PASSED}, {"": SKIPPED}),
                         [("-", SAME, "skipped", False)])
        self.assertEqual(self.rows({"": PASSED}, {"": Result("PASS")}),
                         [("-", SAME, "prints no route", False)])

    def test_all_kinds(self):
        one = self.params(PASSED, PASSED, PASSED, PASSED)
        self.assertEqual(self.rows(one, one), [("all", SAME, MAPPED, True)])

    def test_with_and_without(self):
        self.assertEqual(
            self.rows(self.params(PASSED, PASSED, UNTRACED, UNTRACED),
                      self.params(PASSED, PASSED, REFUSAL, REFUSAL)),
            [("without", SAME, MAPPED, True),
             ("with the attribute", "no trace event", REFUSED, True)])

    def test_calls(self):
        """Those with an errno and those without are one row."""
        errno = Result("FAIL", route(failed=1, errno=-5))
        refusal = Result("PASS", route(failed=1, errno=-95, refused=1))
        self.assertEqual(
            self.rows(self.params(SKIPPED, SKIPPED, UNTRACED, errno),
                      self.params(SKIPPED, SKIPPED, REFUSAL, refusal)),
            [("with the attribute", "no trace event, -EIO instead of -EOPNOTSUPP",
              REFUSED, True)])

    def test_stock_breaks_off(self):
        self.assertEqual(self.rows(None, {"": REFUSAL}, problem="the kernel panicked"),
                         [("-", "not reached: the kernel panicked", REFUSED, True)])
        self.assertEqual(self.rows(None, {"": SKIPPED}, problem="the boot hung"), [])

    def test_boots_alike_are_one_row(self):
        key = ("suite", "case")
        one = (Boot({key: {"": UNTRACED}}), Boot({key: {"": REFUSAL}}))
        other = (Boot({key: {"": PASSED}}), Boot({key: {"": REFUSAL}}))
        found = routes.rows({"a": one, "b": other, "c": one})
        self.assertEqual([row.boots for row in found], [["a", "c"], ["b"]])

    def test_order(self):
        """That of the suites, also if a later boot has more."""
        boots = [Boot({("b", case): {"": PASSED} for case in cases} |
                      {("a", "z"): {"": PASSED}}) for cases in ("xy", "xwy")]
        found = routes.rows({str(n): (boot, boot) for n, boot in enumerate(boots)})
        self.assertEqual([(row.suite, row.case) for row in found],
                         [("a", "z"), ("b", "x"), ("b", "y"), ("b", "w")])

    def test_skipped(self):
        key, other = ("suite", "case"), ("suite", "other")
        boots = {"a": (Boot(), Boot({key: {"": SKIPPED}, other: {"": SKIPPED}})),
                 "b": (Boot(), Boot({key: {"": SKIPPED}, other: {"": PASSED}}))}
        self.assertEqual(routes.skipped(boots), {key: ["needs luck"]})


class Read(unittest.TestCase):
    """The KTAP of a boot of stock, of which one suite is left."""

    def setUp(self):
        self.boot = routes.read(Outcome("x86_64", passed=64, failed=65, skipped=248,
                                        problem="a problem", directory=str(DATA)))

    def case(self, name):
        return self.boot.results["dma_debug", name]

    def test_all(self):
        self.assertEqual((self.boot.problem, self.boot.counts),
                         ("a problem", "64 passed, 65 failed, 248 skipped"))
        self.assertEqual([case for _, case in self.boot.results],
                         [f"debug_{name}" for name in (
                             "many_marked_overlap", "plain_after_many_marked",
                             "marked_after_first_is_gone", "plain_among_marked",
                             "unmap_same_attrs", "unmap_other_attrs", "refused")])
        result, = self.case("debug_refused").values()
        self.assertEqual((result.status, result.route["failed"]), ("FAIL", 24))

    def test_parameters(self):
        """Each has the line before its own result."""
        self.assertEqual([(parameter, result.status, result.route["warned"]) for
                          parameter, result in
                          self.case("debug_plain_after_many_marked").items()],
                         [("IGNORE_CACHELINES", "FAIL", 1),
                          ("REQUIRE_COHERENT", "FAIL", 2)])

    def test_skipped(self):
        self.assertEqual({(result.status, result.reason) for result in
                          self.case("debug_plain_among_marked").values()},
                         {("SKIP", "the architecture lets buffers share cache lines")})

    def read(self, text):
        with tempfile.TemporaryDirectory() as scratch:
            (Path(scratch) / "ktap.log").write_text(text)
            return routes.read(Outcome("x86_64", directory=scratch)).results

    def test_expressions(self):
        """What the source of the suites looks like is not in the results."""
        text = (DATA / "ktap.log").read_text()
        renamed = text.replace("warnings", "n").replace("errors_before", "e")
        self.assertNotEqual(text, renamed)
        self.assertEqual(self.read(renamed), self.boot.results)

    def test_no_line(self):
        """A case without a line does not get that of another."""
        found = self.read("    ok 1 lost\n    # Subtest: s\n    # a: route: mapped=1\n"
                          "    ok 1 a\n    ok 2 b\nok 1 s\n")
        self.assertEqual({case: result[""].route for (_, case), result in found.items()},
                         {"a": {"mapped": 1}, "b": {}})

    def test_no_parameters(self):
        """A case that could have some is a case itself."""
        found = self.read("    # Subtest: s\n        # Subtest: a\n        1..0\n"
                          "    ok 1 a # SKIP none\nok 1 s\n")
        self.assertEqual(found, {("s", "a"): {"": Result("SKIP", reason="none")}})

    def test_nothing(self):
        boot = routes.read(Outcome("x86_64", problem="the boot hung", directory="none"))
        self.assertEqual((boot.results, boot.problem), ({}, "the boot hung"))


class Untested(Sandbox):
    def test_that_of_the_project(self):
        with mock.patch("harness.paths.ROOT", CHECKOUT):
            for line in routes.untested():
                self.assertTrue(all(line), line)

    def test_mistakes(self):
        for text, words in (("[[untested]]\nroute = 'a'\n", ["entry 1", "why"]),
                            ("[[untested]]\nroad = 'a'\n", ["entry 1", "road"])):
            (self.root / "routes.toml").write_text(text)
            with self.fails(USAGE, "routes.toml", *words):
                routes.untested()
