# SPDX-License-Identifier: GPL-2.0-only
"""Cells on other machines: packed kernels, parts of a run, and GitLab's pipeline."""

import json

from harness import model, paths, results
from harness.errors import BUILD, PASS, USAGE
from harness.tests.lab import Lab, ktap


class Packed(Lab):
    """./lab build --pack here, ./lab run --packed there."""

    def setUp(self):
        super().setUp()
        self.pack = self.top / "pack"
        status, out, _ = self.lab("build", "k", "other", "--pack", self.pack)
        self.assertEqual((status, out), (PASS, [f"{self.pack}/k", f"{self.pack}/other"]))

    def run_packed(self, *argv):
        return self.lab("run", *argv, "--packed", self.pack, "--output", self.top / "out")

    def test_boots_without_source(self):
        paths.remove(paths.trees())
        self.lines("built")
        self.broken("k")
        status, out, _ = self.run_packed()
        self.assertEqual((status, out[-1]), (PASS, "3 of 3 boots passed"))
        self.assertEqual(self.built(), [])
        found = {outcome.cell: outcome for outcome in results.outcomes(self.top / "out")}
        self.assertEqual(sorted(found), ["one", "three", "two"])
        self.assertEqual((found["one"].commit, found["one"].tree, found["one"].version),
                         ("commit of series", "series", "7.3.4-lab"))
        for argv in self.boots():
            self.assertIn(str(self.pack), " ".join(argv))

    def test_not_packed(self):
        paths.remove(self.pack / "other")
        status, out, _ = self.run_packed()
        self.assertEqual(status, BUILD)
        self.assertIn("./lab build other --pack", "\n".join(out))

    def test_packed_again(self):
        """Nothing of an older kernel stays."""
        stray = self.pack / "k/build/stray"
        stray.write_text("")
        self.lab("build", "k", "--pack", self.pack)
        self.assertFalse(stray.exists())


class Parts(Lab):
    def test_shards(self):
        """Together they are all cells, and no kernel is in two of them."""
        self.assertEqual(self.lab("run")[0], PASS)
        everything = self.booted()
        self.assertEqual(everything, [("series", "one"), ("series", "three"),
                                      ("series", "two")])
        self.lines("built")
        parts, kernels = [], []
        for part in ("1/2", "2/2"):
            self.lab("run", "--shard", part)
            parts += self.booted()
            kernels.append({name for _, name in self.built()})
        self.assertEqual((sorted(parts), kernels), (everything, [{"k"}, {"other"}]))

    def test_more_parts_than_kernels(self):
        self.assertEqual(self.lab("run", "--shard", "3/3")[:2], (PASS, []))

    def test_usage(self):
        for word in ("0/2", "3/2", "2", "a/b", "1/0"):
            with self.subTest(word):
                self.assertEqual(self.lab("run", "--shard", word)[0], USAGE)


class Pipeline(Lab):
    def jobs(self, *argv):
        """{name: job} of ./lab ci; hidden jobs are those of the template."""
        status, out, _ = self.lab("ci", *argv)
        self.assertEqual(status, PASS)
        lines = [line for line in out if line.startswith('"')]
        return {json.loads(name): json.loads(job) for name, job in
                (line.split(": ", 1) for line in lines)}, "\n".join(out)

    def test_all(self):
        jobs, text = self.jobs()
        self.assertEqual(list(jobs), ["kernel k", "kernel other", "one", "two", "three",
                                      "report"])
        self.assertEqual(jobs["three"]["needs"], ["kernel other"])
        self.assertEqual(jobs["report"]["dependencies"], ["one", "two", "three"])
        for job in jobs.values():
            self.assertIn(f"\n{job['extends']}:\n", text)
        for variable in ("CELL", "KERNEL", "CI_PROJECT_DIR"):
            self.assertIn(f"${variable}", text)

    def test_some(self):
        jobs, _ = self.jobs("th*")
        self.assertEqual(list(jobs), ["kernel other", "three", "report"])
        self.assertEqual(self.lab("ci", "nothing")[0], USAGE)

    def test_kernels_without_cells(self):
        with open(self.root / "matrix.toml", "a", encoding="utf-8") as file:
            file.write('[kernel.alone]\narch = "x86_64"\n')
        self.assertIn("kernel alone", self.jobs()[0])
        self.assertIn("alone", model.load().kernels)

    def test_its_commands_are_the_labs(self):
        """What the jobs call is understood, with what they are given."""
        self.console("default", ktap("ok a"))
        pack, out = self.top / "p", self.top / "o"
        for argv in (["build", "k", "--pack", pack], ["run", "one", "--packed", pack,
                                                      "--output", out]):
            self.assertEqual(self.lab(*argv)[0], PASS)
        _, text = self.jobs()
        for words in ('./lab build "$KERNEL" --pack packed',
                      './lab run "$CELL" --packed packed --output results',
                      "./lab report results --output report"):
            self.assertIn(words, text)
