# SPDX-License-Identifier: GPL-2.0-only
"""Kernels that are every mutant: a word of the command line says which."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Union

from .. import results
from .mutants import Hunk, Mutant, all_in_one

WORD = "dma_mutant"             # the kernel argument; 0, or none: no mutant
ROUNDS = "dma_mutants"          # for several, in rounds of test cases
_SAYS = re.compile(rf"\b{WORD}: reached (\d+)")
_HOME = "kernel/dma/mapping.c"  # which every kernel with DMA has
_KUNIT = "lib/kunit/executor.c"
_RUNS = "\t__kunit_test_suites_init(suite_set->start, num_suites, autorun);\n"

_HEAD = f"""\
#ifndef MUTANT
extern unsigned int {WORD};
extern unsigned char {WORD}_reached[];
#define MUTANT(n) ({WORD}_reached[n] = 1, {WORD} == (n))
#endif
#line 1
"""
_ROUNDS = f"""\
#if IS_BUILTIN(CONFIG_KUNIT)
	extern bool {WORD}_rounds(struct kunit_suite * const *suites, size_t count);

	if ({WORD}_rounds(suite_set->start, num_suites))
		return;
#endif
"""


def texts(source: Path, numbered: Mapping[int, Union[Mutant, Hunk]]) -> dict[str, str]:
    """{path: new text} of the files of the tree `source` that make up a kernel with all
    these changes."""
    found = {}
    for file in dict.fromkeys([*(mutant.file for mutant in numbered.values()), _HOME]):
        chosen = [(number, mutant) for number, mutant in numbered.items()
                  if mutant.file == file]
        found[file] = _HEAD + all_in_one((source / file).read_text("utf-8"), chosen)
    found[_HOME] += (f"#define DMA_MUTANTS {max(numbered, default=0)}\n"
                     + Path(__file__).with_name("rounds.c").read_text("utf-8"))
    found[_KUNIT] = (source / _KUNIT).read_text("utf-8").replace(_RUNS, _ROUNDS + _RUNS)
    return found


def reached(outcome: results.Outcome) -> set[int]:
    """The numbers of the mutants whose place was reached in a boot."""
    return {int(number) for number in _SAYS.findall(outcome.console)}
