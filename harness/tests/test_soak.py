# SPDX-License-Identifier: GPL-2.0-only
"""./lab soak: what it boots, when it ends, and how it shrinks what fails."""

import unittest

from harness import soak
from harness.errors import FAILED, PASS, USAGE
from harness.tests.lab import MATRIX, Lab, ktap

# A case that makes the requests it is told to, and fails at those of $bad that it
# makes, if it makes them all.
GUEST = r"""
set -- $(echo "$*" | grep -o 'dma_direct_kunit.random_[a-z]*=[0-9]*' | sed 's/.*=//')
seed=$1 first=$2 end=$3 last=
for n in $bad; do
    if [ $n -ge $first ] && [ $n -lt $end ]; then last=$n; else last=; break; fi
done
echo "KTAP version 1
1..1
    KTAP version 1
    # Subtest: dma_direct
    1..1"
if [ "$last" ]; then
    echo "    # dma_map_random: segment 0: 0x1000 + 8
    # dma_map_random: EXPECTATION FAILED at kernel/dma/a.h:1
    refusals is 0, not 1: random_seed=$seed random_first=$last random_requests=$((last + 1))
    not ok 1 dma_map_random"
else
    echo "    # dma_map_random: random: $((end - first)) made, 0 refused
    ok 1 dma_map_random"
fi
echo ok 1 dma_direct
"""


class Shrink(unittest.TestCase):
    def shrink(self, *bad, end=1000):
        """What is left of requests that fail if all of `bad` are among them."""
        self.boots = []

        def fails(first, end):
            self.boots.append((first, end))
            made = bad and first <= min(bad) and max(bad) < end
            return max(bad) + 1 if made else None
        return soak.shrink(fails, end, True)

    def test_one_request(self):
        """It takes a boot to see that it fails again, and one to see it by itself."""
        self.assertEqual(self.shrink(123), (123, 124))
        self.assertEqual(self.boots, [(0, 1000), (123, 124)])
        self.assertEqual(self.shrink(0), (0, 1))
        self.assertEqual(self.shrink(999), (999, 1000))

    def test_several(self):
        for bad in ((3, 9), (0, 999), (998, 999), (500, 501, 777), (0, 1)):
            self.assertEqual(self.shrink(*bad), (min(bad), max(bad) + 1))
            self.assertLess(len(self.boots), 14)

    def test_never_again(self):
        self.assertEqual((self.shrink(), self.boots), ((0, 0), [(0, 1000)]))

    def test_not_named(self):
        """What leaks or panics says no number, so the end is looked for as well."""
        for bad in ((7, 31), (0, 0), (63, 99)):
            def fails(first, end):
                return end if first <= bad[0] and bad[1] < end else None
            self.assertEqual(soak.shrink(fails, 100, False), (bad[0], bad[1] + 1))


class Soak(Lab):
    MATRIX = MATRIX.replace('suites = "dma*"', 'suites = "dma*"\nsoak = 400')

    def guest(self, cell, *bad):
        self.console(cell, "", f"bad='{' '.join(map(str, bad))}'\n{GUEST}")

    def test_good(self):
        """Each boot has a seed of its own, until there are enough requests. They are not
        used up before each cell has been booted."""
        for cell in ("one", "three"):
            self.guest(cell)
        status, out, err = self.lab("soak", "--requests", "2000", "--seed", "7", "-j1")
        self.assertEqual((status, out), (PASS, [
            "soak: 2130 requests, 0 violations, 0 leaks, 2 cells, 2 kernels, 0 min"]))
        self.assertIn("soak: 284 of 2000 requests", "\n".join(err))
        boots = [" ".join(argv) for argv in self.boots()]
        for seed, boot in zip(range(7, 22), boots):
            for module in soak.MODULES:
                self.assertIn(f"{module}.random_seed={seed} {module}.random_first=0 "
                              f"{module}.random_requests=142", boot)
            self.assertIn(f"kunit.filter_glob={soak.CASES} ", boot)
            self.assertIn("-smp 4 ", boot)
        self.assertEqual(self.built(), [("series", "k"), ("series", "other")])

    def test_failure(self):
        """One line repeats it, one repeats the shortest sequence, and both do."""
        self.guest("one", 100, 102)
        status, out, _ = self.lab("soak", "one", "--seed", "5", "--requests", "1000")
        self.assertEqual((status, out[0], out[2], out[4:]), (
            FAILED, "FAIL  one, seed 5: 0 passed, 1 failed, 0 skipped",
            "      again: ./lab soak one --seed 5 --requests 103", [
                "      shortest sequence: 3 requests: ./lab soak one --seed 5 --first 100 "
                "--requests 103",
                "        segment 0: 0x1000 + 8",
                "        refusals is 0, not 1: random_seed=5 random_first=102 "
                "random_requests=103",
                "soak: 0 requests, 1 violations, 0 leaks, 1 cells, 1 kernels, 0 min"]))
        for line in (out[2], out[4]):
            words = line.split("./lab ")[1].split()
            self.assertEqual(self.lab(*words)[0], FAILED)
        self.assertEqual(self.lab(*words[:-1], "102")[0], PASS)

    def test_leak(self):
        self.console("one", ktap("not ok a").replace("Expected", "leak: a slot\nExpected"))
        status, out, _ = self.lab("soak", "one")
        self.assertEqual((status, out[-1].split(", ")[1:3]),
                         (FAILED, ["0 violations", "1 leaks"]))

    def test_nothing_made(self):
        """A boot that passes but makes no request would go on for ever."""
        self.console("one", ktap("ok a"))
        status, out, _ = self.lab("soak", "one")
        self.assertEqual(status, FAILED)
        self.assertIn("no request was made", out[0])

    def test_arguments(self):
        for words, said in ((("two",), "suites"), (("none",), "no cell"),
                            (("--requests", "0"), "--requests"),
                            (("--first", "9", "--requests", "9"), "--first 9")):
            status, _, err = self.lab("soak", *words)
            self.assertEqual(status, USAGE)
            self.assertIn(said, err[-1])
        self.assertEqual(self.lab("soak", "--dry-run")[:2], (PASS, [
            "would boot one: kernel k from series",
            "would boot three: kernel other from series"]))
