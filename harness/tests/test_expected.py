# SPDX-License-Identifier: GPL-2.0-only
"""expected.toml: a case that starts to skip in a boot is noticed, or another answer."""

from harness import paths
from harness.errors import FAILED, PASS, USAGE
from harness.reports import coverage
from harness.tests.lab import Lab, ktap

ANSWERS = "".join(f"    # a: answer: dma-direct dma_map_phys {reason}\n"
                  for reason in coverage.REASONS)
RULES = "".join(f"[[never]]\nroute = '*'\ncall = '{call}'\nanswer = '{answer}'\n"
                "why = 'because'\n" for call, answer in (
                    ("dma_map_phys", "mapped"),
                    ("[!d]*|dma_[!m]*|dma_map_[!p]*|dma_map_pa*", "*")))

PINNED = """
[skipped]
one = 1
three = 1
two = 1

[passed]
"dma_direct.a" = { one = 1, three = 1, two = 1 }
"dma_direct.b" = { one = 1, three = 1, two = 1 }

[unknown]

[answers]
""" + "".join(f'"dma-direct dma_map_phys {reason}" = ["one", "three", "two"]\n'
              for reason in sorted(coverage.REASONS))


def answering(*cases, answers=ANSWERS):
    """ktap() with the answers that the suites print."""
    return ktap(*cases).replace("    ok 1", f"{answers}    ok 1", 1)


class Expected(Lab):
    """Three cells that run suites, of which two are quick."""

    MATRIX = "[kernel.k]\narch = 'x86_64'\n" + "".join(
        f"[cell.{name}]\nwhat = ''\nkernel = 'k'\nargs = ['cell={name}']\n"
        f"{kind}\nquick = true\n" for name, kind in (
            ("one", "suites = 'x'"), ("two", "suites = 'x'"), ("three", "suites = 'x'"),
            ("demo", "demo = 'plain'")))

    def setUp(self):
        super().setUp()
        (self.root / "expected.toml").write_text(PINNED)
        (self.root / "coverage.toml").write_text(RULES)
        paths.replace(self.root / "docs/coverage.md.in", b"$routes\n$notes\n$boots\n")
        self.console("default", answering("ok a", "ok b", "ok c # SKIP none"))

    def check(self, *argv):
        """(status, lines of what failed) of ./lab check."""
        status, out, _ = self.lab("check", "--only", "boots", *argv)
        return status, [line for line in out if line.startswith("FAIL")]

    def pinned(self):
        """What is pinned, below the head of the file."""
        text = (self.root / "expected.toml").read_text()
        return text[text.index("\n[skipped]"):]

    def test_as_before(self):
        self.assertEqual(self.check(), (PASS, []))

    def test_case_that_starts_to_skip(self):
        self.console("one", answering("ok a", "ok b # SKIP why", "ok c # SKIP none"))
        self.assertEqual(self.check(), (FAILED, [
            "FAIL  one tests what it did before: dma_direct.b: 0 passed, 1 expected "
            "(if that is right: ./lab pin)"]))

    def test_case_that_is_gone(self):
        self.console("one", answering("ok a", "ok c # SKIP none"))
        self.assertIn("dma_direct.b: 0 passed, 1 expected", self.check()[1][0])

    def test_skip_that_is_gone(self):
        self.console("one", answering("ok a", "ok b"))
        self.assertIn("before: 0 skipped, 1 expected (", self.check()[1][0])

    def test_new_case(self):
        """Neither one that passes nor one that skips is a failure."""
        self.console("one", answering("ok a", "ok b", "ok c # SKIP none", "ok d"))
        self.console("two", answering("ok a", "ok b", "ok c # SKIP none", "ok e # SKIP none"))
        self.assertEqual(self.check(), (PASS, []))

    def test_nothing_is_pinned(self):
        """Of one cell, or of any."""
        (self.root / "expected.toml").write_text(
            PINNED.replace("three = 1\n", "").replace("three = 1, ", ""))
        self.assertEqual(self.check(), (PASS, []))
        (self.root / "expected.toml").unlink()
        self.assertEqual(self.check(), (PASS, []))

    def test_answers(self):
        """One that is missing and one that is new, but not of a case that is new."""
        self.console("one", answering("ok a", "ok b", "ok c # SKIP none", "ok d", answers=(
            ANSWERS + ANSWERS.replace("direct", "iommu"))))
        self.assertEqual(self.check(), (PASS, []))
        self.console("one", answering("ok a", "ok b", "ok c # SKIP none", answers=(
            ANSWERS.replace(" BOUNCE", " mapped"))))
        self.assertEqual(self.check(), (FAILED, [
            "FAIL  one tests what it did before: no answer dma-direct dma_map_phys BOUNCE "
            "any more; a new answer dma-direct dma_map_phys mapped (if that is right: "
            "./lab pin)"]))
        self.pin()
        self.assertEqual(self.check(), (PASS, []))

    def test_run(self):
        """It holds boots against what is pinned as well, for machines of a fleet."""
        self.console("one", answering("ok a", "ok b # SKIP why", "ok c # SKIP none"))
        self.assertEqual(self.lab("run", "one", "two")[:2], (FAILED, [
            "ok    one: 1 passed, 0 failed, 2 skipped",
            "FAIL  one tests what it did before: dma_direct.b: 0 passed, 1 expected "
            "(if that is right: ./lab pin)",
            "ok    two: 2 passed, 0 failed, 1 skipped", "1 of 2 boots passed"]))
        self.assertEqual(self.lab("run", "one", "--json")[0], FAILED)
        self.assertEqual(self.lab("kunit", "one")[0], PASS)

    def pin(self, *argv):
        """(status, last line) of ./lab pin."""
        status, out, _ = self.lab("pin", *argv)
        return status, out[-1]

    def test_pin(self):
        (self.root / "expected.toml").unlink()
        self.check()
        self.assertEqual(self.pin(), (PASS, "pin: 3 boots, 0 mistakes; expected.toml written, "
                                      "docs/coverage.md written"))
        self.assertEqual(self.pinned(), PINNED)
        (self.root / "expected.toml").write_text(
            PINNED.replace("one = 1", "gone = 1\none = 1", 1).replace('["one"', '["gone", "one"')
            .replace("{ one", "{ gone = 1, one"))
        self.pin()
        self.assertEqual(self.pinned(), PINNED)     # a cell that is gone goes
        self.assertIn("| `dma_map_phys` | a      |         1-3 |           1-3 |",
                      (self.root / "docs/coverage.md").read_text())
        self.assertEqual(self.pin()[1].partition("; ")[2],
                         "expected.toml as it was, docs/coverage.md as it was")

    def test_pin_from_elsewhere(self):
        """Of results of another machine, which are in a directory."""
        self.lab("run", "one", "--output", str(self.top / "there"))
        self.console("one", answering("ok a", "ok b"))
        self.check()
        status, _, err = self.lab("pin", str(self.top / "there"))
        self.assertEqual((status, self.pinned()), (PASS, PINNED))
        self.assertIn("pinned as before, since there is no good boot of this series: "
                      "three two", err[-1])
        status, _, err = self.lab("pin", "nowhere")
        self.assertEqual((status, err), (USAGE, ["lab: nowhere is not a directory"]))

    def test_pin_not_what_is_old_or_in_part(self):
        """Neither a boot of another commit or tree, nor one of some suites."""
        self.console("default", answering("ok a", "ok b"))
        self.lab("run", "one", "--output", str(self.top / "there"))
        saved = self.top / "there/one/outcome.json"
        text = saved.read_text()
        for now, old in (("commit of series", "another"), ('"suites": "x"', '"suites": "y"'),
                         ('"tree": "series"', '"tree": "visited"')):
            self.assertIn(now, text)
            saved.write_text(text.replace(now, old))
            self.assertTrue(self.pin(str(self.top / "there"))[1].startswith("pin: 0 boots"))
        self.assertEqual(self.pinned(), PINNED)
        saved.write_text(text)
        self.assertTrue(self.pin(str(self.top / "there"))[1].startswith("pin: 1 boots"))

    def test_mistakes(self):
        """What is seen and said not to be, and what is neither."""
        self.console("default", answering("ok a", answers=ANSWERS.replace(" BOUNCE",
                                                                          " mapped")))
        self.check()
        place = "dma-direct dma_map_phys"
        status, out, _ = self.lab("pin")
        self.assertEqual((status, out[:-1]), (FAILED, [
            f"{place} mapped: seen in one, and coverage.toml says why not: because",
            f"{place} BOUNCE: no boot shows it, and coverage.toml does not say why",
            "coverage.toml: no answer is missing for this reason: because",
            "no boot shows the reason BOUNCE"]))
        self.assertTrue(out[-1].startswith("pin: 3 boots, 4 mistakes; "))

    def test_pin_what_has_run_and_passed(self):
        """Neither what failed nor what was not booted is pinned anew."""
        text = answering("ok a", "ok d", "ok c # SKIP none", "ok e # SKIP none")
        self.console("one", text)
        self.console("two", text.replace("ok 2 d", "not ok 2 d"))
        self.lab("kunit", "one", "two")
        self.assertEqual(self.pin()[0], PASS)
        self.assertEqual(self.pinned(), PINNED.replace("one = 1\nthree", "one = 2\nthree", 1)
                         .replace('b" = { one = 1, ', 'b" = { ').replace("""
[unknown]
""", """"dma_direct.d" = { one = 1 }

[unknown]
"dma_direct.d" = ["three", "two"]
"""))

        # Until they are booted again.
        self.console("two", answering("ok a", "ok b", "ok d", "ok c # SKIP none"))
        self.assertEqual(self.check(), (PASS, []))
        self.pin()
        self.assertIn('"dma_direct.d" = { one = 1, two = 1 }\n\n[unknown]\n\n',
                      self.pinned())
        self.console("two", answering("ok a", "ok b", "ok c # SKIP none"))
        self.assertIn("dma_direct.d: 0 passed, 1 expected", self.check()[1][0])
