# SPDX-License-Identifier: GPL-2.0-only
"""./lab report: results merged for people and for programs."""

import html.parser
import json
import shutil
import subprocess
import unittest
import xml.etree.ElementTree as ElementTree
from unittest import mock

from harness import paths, results
from harness.errors import ENVIRONMENT, FAILED, PASS, USAGE, LabError
from harness.gates.lint import PYTHON
from harness.reports import report, tables
from harness.tests.lab import Lab, ktap

DRAWS = not subprocess.run([PYTHON, "-c", "import jinja2, matplotlib"],
                           capture_output=True, check=False).returncode
JUNIT = """<testsuites><testsuite name="dma_direct"><testcase name="a"/></testsuite>
<testsuite name="none"/></testsuites>"""
COST = """# Cost
x86_64:

| device | calls | attribute | base | series - base | series - stock |
|--------|-------|-----------|-----:|--------------:|---------------:|
| direct | map   | `A \\| B` |   10 |            -2 |             +1 |

Words.
"""


def answers(case, *said, route="mapped=1"):
    """ktap() of one case with the lines that suites print."""
    lines = [f"    # a: answer: {words}" for words in said] + [f"    # a: route: {route}"]
    head, _, end = ktap(case).rpartition("    ok 1" if case[0] == "o" else "    not ok 1")
    return "\n".join([head.rstrip("\n"), *lines,
                      ("    ok 1" if case[0] == "o" else "    not ok 1") + end])


class Reported(Lab):
    """Two cells of the series and one of stock."""

    def setUp(self):
        super().setUp()
        self.console("one", answers("ok a", "dma-direct dma_map_phys UNREACHABLE",
                                    route="refused=1 failed=1"))
        self.console("one@stock-suites", answers("not ok a"))
        self.console("two", ktap("ok row", suite="demo_force"))
        self.lab("boot", "one", "two")
        self.lab("boot", "one", "--tree", "stock-suites")
        for path in paths.results().glob("*/*/ktap.log"):
            path.with_name("junit.xml").write_text(JUNIT)
        (self.root / "docs").mkdir(exist_ok=True)
        (self.root / "docs/performance.md").write_text(COST)
        self.top_ = self.top / "out"

    def boots(self, *directories):
        return report.gather(directories or results.runs()[::-1])

    def test_gather(self):
        """The last boot of each cell and tree, wherever the directory was moved."""
        self.assertEqual([boot.name for boot in self.boots()],
                         ["one", "one@stock-suites", "two"])
        self.console("one", answers("not ok a"))
        self.lab("boot", "one")
        moved = self.top / "elsewhere"
        shutil.copytree(results.runs()[0], moved)
        boots = self.boots(*results.runs()[::-1])
        self.assertEqual([boot.failed for boot in boots], [1, 1, 0])
        for run in results.runs():
            shutil.rmtree(run)
        self.assertEqual([boot.failed for boot in self.boots(moved)], [1])
        self.assertIn("EXPECTATION", self.boots(moved)[0].console)
        with self.fails(USAGE, "not a directory"):
            self.boots(self.top / "nowhere")

    def test_shards(self):
        """Merged from two directories it is what one run of all gives."""
        whole = self.boots()
        shards = self.boots(*results.runs())
        for made in (report.junit, report.ktap):
            self.assertEqual(made(whole), made(shards))
        self.lab("boot", "one", "two")
        again = self.boots(results.runs()[0], results.runs()[1])
        self.assertEqual(report.ktap(whole), report.ktap(again))

    def test_junit(self):
        self.console("two", "Kernel panic - not syncing: x\n")
        self.lab("boot", "two")
        root = ElementTree.fromstring(report.junit(self.boots()).split("\n", 1)[1])
        self.assertEqual([suite.get("name") for suite in root],
                         ["one.dma_direct", "one@stock-suites.dma_direct", "two"])
        self.assertEqual(root[2].find("testcase/error").get("message"),
                         "the kernel panicked")

    def test_ktap(self):
        """It is KTAP, which says what each boot said."""
        text = report.ktap(self.boots())
        self.assertEqual([line for line in text.splitlines() if line[0] != " "], [
            "KTAP version 1", "1..3", "ok 1 one", "not ok 2 one@stock-suites", "ok 3 two"])
        self.assertIn("        not ok 1 a", text)

    def test_kcidb(self):
        with mock.patch.object(report.model, "load", return_value=report.model.load()):
            made = report.kcidb(self.boots(), report.model.load())
        self.assertEqual(made["version"], {"major": 5, "minor": 3})
        tests = {(test["environment"]["comment"], test["path"]): test["status"]
                 for test in made["tests"]}
        self.assertEqual(tests, {
            ("one", "boot"): "PASS", ("one", "dma_direct.a"): "PASS",
            ("one@stock-suites", "boot"): "FAIL", ("two", "boot"): "PASS",
            ("one@stock-suites", "dma_direct.a"): "FAIL", ("two", "demo_force.row"): "PASS"})
        builds = {build["id"]: build["checkout_id"] for build in made["builds"]}
        checkouts = {checkout["id"] for checkout in made["checkouts"]}
        self.assertEqual(set(builds.values()), checkouts)
        self.assertEqual({test["build_id"] for test in made["tests"]}, set(builds))
        self.assertEqual(len({test["id"] for test in made["tests"]}), len(made["tests"]))

    def test_routes(self):
        row, = report.data(self.boots(), report.model.load())["routes"]
        self.assertEqual(row, {
            "suite": "dma_direct", "case": "a", "request": "-", "boots": ["one"],
            "right": True, "series": "refused cleanly", "stock": "maps, no trace event",
            "same": False,
            "by": ["dma-direct"], "calls": ["dma_map_phys"], "reasons": ["UNREACHABLE"]})

    def test_stock_not_booted(self):
        """Of a cell that only the series booted, nothing is said of stock."""
        self.console("three", answers("ok b"))
        self.lab("boot", "three")
        rows = {row["case"]: (row["stock"], row["same"])
                for row in report.data(self.boots(), report.model.load())["routes"]}
        self.assertEqual(rows, {"a": ("maps, no trace event", False), "b": ("", None)})

    def test_failure(self):
        self.console("one", answers("not ok a"))
        self.lab("boot", "one")
        found, = report.data(self.boots(), report.model.load())["failures"]
        self.assertEqual((found["boot"], found["case"], found["again"]), (
            "one", "dma_direct.a", "./lab kunit one --filter dma_direct.a"))
        self.assertIn("Expected x == 1", found["said"])
        self.assertIn("EXPECTATION FAILED", found["console"])

    def test_nothing(self):
        for run in results.runs():
            shutil.rmtree(run)
        self.assertEqual(self.lab("report")[0], USAGE)

    def test_without_packages(self):
        with mock.patch.object(report.packages, "need",
                               side_effect=LabError("missing: python3-jinja2", ENVIRONMENT)):
            status, _, err = self.lab("report", "--output", self.top_)
        self.assertEqual((status, err[-1]), (ENVIRONMENT, "lab: missing: python3-jinja2"))

    @unittest.skipUnless(DRAWS, "needs Debian's python3-jinja2 and python3-matplotlib")
    def test_page(self):
        status, out, _ = self.lab("report", "--output", self.top_)
        self.assertEqual((status, out[-1]), (PASS, (
            f"report: 3 boots, 2 passed, 0 failed, 0 skipped; {self.top_}/report.html")))
        page = (self.top_ / "report.html").read_text()
        read = Reader(page)
        self.assertEqual(read.broken(), [])
        self.assertEqual(page.count("2 passed, 0 failed, 0 skipped"), 1)
        self.assertEqual(page.count('class="bad">maps, no trace event</td>'), 1)
        self.assertEqual(page.count("<svg"), 1)
        self.assertEqual(sorted(path.name for path in self.top_.iterdir()),
                         ["junit.xml", "kcidb.json", "report.html", "results.ktap"])
        json.loads((self.top_ / "kcidb.json").read_text())
        self.console("one", answers("not ok a").replace("x == 1", "<b> & x"))
        self.lab("boot", "one")
        status, out, _ = self.lab("report", "--output", self.top_)
        page = (self.top_ / "report.html").read_text()
        self.assertEqual(status, FAILED)
        self.assertEqual(Reader(page).broken(), [])
        self.assertGreater(page.count("&lt;b&gt; &amp; x"), 0)

    @unittest.skipUnless(DRAWS and shutil.which("chromium"), "needs Debian's chromium")
    def test_browser(self):
        """What a browser makes of it: the script has run, nothing is wider than a phone."""
        self.lab("report", "--output", self.top_)
        page = self.top_ / "report.html"
        page.write_text(page.read_text().replace("show();\n</script>", """show();
document.body.dataset.wide = document.documentElement.scrollWidth <= innerWidth;
filters[0].value = "dma_direct"; filters[0].dispatchEvent(new Event("change"));
</script>"""))
        done = subprocess.run(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom",
             "--enable-logging=stderr", "--window-size=500,900", f"--user-data-dir={self.top}/c",
             f"file://{page}"], capture_output=True, text=True, check=True, timeout=120)
        self.assertEqual([words for words in ("1 of 1 lines", 'data-wide="true"')
                          if words not in done.stdout], [])
        self.assertNotIn(":CONSOLE", done.stderr)


class Reader(html.parser.HTMLParser):
    """The links of a page, and what they point to."""

    def __init__(self, page):
        super().__init__()
        self.ids, self.links, self.open, self.wrong = set(), [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.ids.add(found.get("id"))
        self.links += [found[name] for name in ("href", "src", "xlink:href") if name in found]

    def broken(self):
        """Links to other pages, or to what is not there."""
        return [link for link in self.links
                if not link.startswith("#") or link[1:] not in self.ids]


class Tables(unittest.TestCase):
    def test_parse(self):
        """What is written can be read."""
        made, = tables.parse(COST)
        self.assertEqual(made["title"], "x86_64")
        self.assertEqual(made["rows"][1], ["direct", "map", "`A | B`", "10", "-2", "+1"])
        rows = [("a", "b"), ("x", "1"), ("y", "22")]
        self.assertEqual(tables.parse("## t\n" + tables.markdown(rows)),
                         [{"title": "t", "rows": [list(row) for row in rows]}])
