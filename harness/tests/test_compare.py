# SPDX-License-Identifier: GPL-2.0-only
"""The route table: what two kernels did, in words that are the same every time."""

import unittest
from pathlib import Path
from unittest import mock

from harness.reports import routes
from harness.errors import USAGE
from harness.results import Outcome
from harness.reports.routes import MAPPED, REFUSED, SAME, Boot, Result
from harness.tests import Sandbox

CHECKOUT = Path(__file__).resolve().parents[2]
DATA = Path(__file__).parent / "data" / "compare"


def expectation(text, *values):
    """The log of a failed expectation, as KUnit writes it."""
    lines = ["# a: EXPECTATION FAILED at kernel/dma/tests/a.c:1", f"Expected {text}, but"]
    return "\n    ".join(["", *lines, *(f"    {value}" for value in values)])


def failed(text, *values):
    return Result("FAIL", expectation(text, *values))


def equal(left, value, wanted):
    return failed(f"{left} == {wanted}", f"{left} == {value} (0x0)")


PASSED = Result("PASS")
SKIPPED = Result("SKIP", reason="needs luck")
REFUSAL = Result("PASS", "    # a: 1 refused")
UNTRACED = equal("t->obs->refusals", 0, 1)


class Words(unittest.TestCase):
    def test_expectations(self):
        for words, log in (
                ("no trace event", UNTRACED.log),
                ("WARNs", equal("kunit_suppressed_warning_count(__kunit_suppress)", 1,
                                0).log),
                ("bounces", equal("t->obs->bounces", 1, 0).log),
                ("does not bounce", equal("t->obs->bounces", 0, 1).log),
                ("-EIO instead of -EOPNOTSUPP", expectation(
                    "ret == map_refusal(param)", "ret == -5 (0xfffffffffffffffb)",
                    "map_refusal(param) == -95 (0xffffffffffffffa1)")),
                ("-EPERM instead of -EOPNOTSUPP", expectation(
                    "-95 == dma_iova_link(dev, &state)",
                    "dma_iova_link(dev, &state) == -1 (0xffffffffffffffff)")),
                ("maps", expectation(
                    "-95 == dma_map_sgtable(a, b)", "dma_map_sgtable(a, b) == 0 (0x0)")),
                ("maps", expectation(
                    "0 == dma_map_sg_attrs(a, b)", "dma_map_sg_attrs(a, b) == 2 (0x2)")),
                ("maps", expectation(
                    "0 != dma_mapping_error(d, a)",
                    "dma_mapping_error(d, a) == 0 (0x0)")),
                ("refuses", expectation(
                    "0 == dma_mapping_error(d, a)",
                    "dma_mapping_error(d, a) == -12 (0xfffffffffffffff4)")),
                ("refuses (-EIO)", equal("map_buf(&t->buf, param)", -5, 0).log),
                ("SG_DMA_SWIOTLB stays set",
                 expectation("sg_dma_is_swiotlb(sg) to be false").replace(
                     ", but", ", but is true")),
                ("false dma-debug reports", expectation(
                    "*t->errors - t->errors_before == reports",
                    "*t->errors - t->errors_before == 2 (0x2)",
                    "reports == 0 (0x0)")),
                ("not: a == b", expectation("a == b", "a == 18446744 (0x1)",
                                            "b == 2 (0x2)")),
                ("fails", "")):
            self.assertEqual(routes.explain(log), {words}, log)

    def test_several(self):
        log = UNTRACED.log + "\nclocksource: tsc\n" + equal("t->obs->bounces", 1, 0).log
        self.assertEqual(routes.explain(log), {"no trace event", "bounces"})

    def test_join(self):
        words = {"no trace event", "WARNs", "zz", "-EIO instead of -EOPNOTSUPP"}
        self.assertEqual(routes._join(words), "WARNs, no trace event, "
                         "-EIO instead of -EOPNOTSUPP, zz")
        self.assertEqual(routes._join({"maps", "bounces", "takes bounce slots",
                                       "no trace event"}), "bounces, no trace event")

    def test_request(self):
        for parameter, found in (
                ("", ("", "")),
                ("dma_map_phys, 0", (routes.WITHOUT, "calls without an errno")),
                ("dma_map_sgtable, DMA_ATTR_REQUIRE_COHERENT | DMA_ATTR_NO_WARN",
                 (routes.WITH, "dma_map_sgtable()")),
                ("IGNORE_CACHELINES", (routes.WITHOUT, "calls without an errno")),
                ("three segments", ("three segments", ""))):
            self.assertEqual(routes.request(parameter), found)

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
                         [("-", SAME, "FAILS: no trace event", False)])
        self.assertEqual(self.rows({"": PASSED}, {"": SKIPPED}),
                         [("-", SAME, "skipped", False)])
        self.assertEqual(self.rows({"": PASSED}, {"": Result("ERROR")}),
                         [("-", SAME, "FAILS: fails", False)])

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
        errno = equal("map_buf()", -5, -95)
        self.assertEqual(
            self.rows(self.params(PASSED, PASSED, UNTRACED, errno),
                      self.params(PASSED, PASSED, REFUSAL, REFUSAL)),
            [("without", SAME, MAPPED, True),
             ("with the attribute, calls without an errno", "no trace event", REFUSED,
              True),
             ("with the attribute, dma_map_sgtable()", "-EIO instead of -EOPNOTSUPP",
              REFUSED, True)])

    def test_stock_breaks_off(self):
        found = [("-", "not reached: the kernel panicked", REFUSED, True)]
        self.assertEqual(self.rows(None, {"": REFUSAL}, problem="the kernel panicked"),
                         found)
        self.assertEqual(
            self.rows({"": Result("ERROR")}, {"": REFUSAL}, problem="the boot hung"),
            [("-", "crashes: the boot hung", REFUSED, True)])

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
    """A boot of stock as kunit.py reported it, with one suite left."""

    def setUp(self):
        self.boot = routes.read(DATA, Outcome(
            "x86_64", passed=64, failed=65, skipped=248, problem="a problem"))

    def words(self, case):
        """{parameter: (status, words)} of a case."""
        return {parameter: (result.status, "; ".join(routes.explain(result.log)))
                for parameter, result in self.boot.results["dma_debug", case].items()}

    def test_all(self):
        self.assertEqual((self.boot.problem, self.boot.counts),
                         ("a problem", "64 passed, 65 failed, 248 skipped"))
        self.assertEqual([case for _, case in self.boot.results],
                         ["debug_many_marked_overlap", "debug_plain_after_many_marked",
                          "debug_marked_after_first_is_gone", "debug_plain_among_marked",
                          "debug_unmap_same_attrs", "debug_unmap_other_attrs"])
        self.assertEqual(self.words("debug_unmap_same_attrs"),
                         {"": ("FAIL", "false dma-debug reports")})

    def test_first_parameter(self):
        """Its log is in none of the reports, but in the KTAP."""
        self.assertEqual(self.words("debug_plain_after_many_marked"),
                         {"IGNORE_CACHELINES": ("FAIL", "WARNs"),
                          "REQUIRE_COHERENT": ("FAIL", "WARNs")})

    def test_skipped(self):
        made = self.boot.results["dma_debug", "debug_plain_among_marked"]
        self.assertEqual({(result.status, result.reason) for result in made.values()},
                         {("SKIP", "the architecture lets buffers share cache lines")})

    def test_nothing(self):
        boot = routes.read(DATA / "none", Outcome("x86_64", problem="the boot hung"))
        self.assertEqual((boot.results, boot.problem), ({}, "the boot hung"))


class Untested(Sandbox):
    def test_that_of_the_project(self):
        with mock.patch("harness.paths.ROOT", CHECKOUT):
            for one in routes.untested():
                self.assertTrue(all(vars(one).values()), one)

    def test_mistakes(self):
        for text, words in (("[[untested]]\nroute = 'a'\n", ["entry 1", "missing"]),
                            ("[[untested]]\nroad = 'a'\n", ["entry 1", "road"])):
            (self.root / "routes.toml").write_text(text)
            with self.fails(USAGE, "routes.toml", *words):
                routes.untested()
