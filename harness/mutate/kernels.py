# SPDX-License-Identifier: GPL-2.0-only
"""Kernels that are every mutant: a word of the command line says which."""

import re
from collections.abc import Mapping
from pathlib import Path

from .. import results
from ..source import trees
from .mutants import Mutant, all_in_one

WORD = "dma_mutant"             # the kernel argument; 0, or none: no mutant
_SAYS = re.compile(rf"\b{WORD}: reached((?: \d+)+)")
_HOME = "kernel/dma/mapping.c"  # which every kernel with DMA has

_HEAD = f"""\
#ifndef MUTANT
extern unsigned int {WORD};
extern unsigned char {WORD}_reached[];
#define MUTANT(n) ({WORD}_reached[n] = 1, {WORD} == (n))
#endif
#line 1
"""
_BODY = f"""
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/notifier.h>
#include <linux/reboot.h>

unsigned int {WORD};
EXPORT_SYMBOL({WORD});
unsigned char {WORD}_reached[%(count)d];
EXPORT_SYMBOL({WORD}_reached);

static int __init {WORD}_choose(char *word)
{{
	return kstrtouint(word, 10, &{WORD});
}}
early_param("{WORD}", {WORD}_choose);

static int {WORD}_report(struct notifier_block *nb, unsigned long event, void *data)
{{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE({WORD}_reached); i++)
		if ({WORD}_reached[i])
			pr_emerg("{WORD}: reached %%u\\n", i);
	return NOTIFY_DONE;
}}

static struct notifier_block {WORD}_at_reboot = {{ .notifier_call = {WORD}_report }};

static int __init {WORD}_init(void)
{{
	return register_reboot_notifier(&{WORD}_at_reboot);
}}
late_initcall({WORD}_init);
"""


def texts(source: Path, numbered: Mapping[int, Mutant]) -> dict[str, str]:
    """{path: new text} of the files of the tree `source` that make up a kernel with all
    these Mutants."""
    found = {}
    for file in dict.fromkeys([*(mutant.file for mutant in numbered.values()), _HOME]):
        chosen = [(number, mutant) for number, mutant in numbered.items()
                  if mutant.file == file]
        found[file] = _HEAD + all_in_one((source / file).read_text("utf-8"), chosen)
    found[_HOME] += _BODY % {"count": max(numbered, default=0) + 1}
    return found


def commit(parent: str, changed: dict[str, str]) -> str:
    """A commit on `parent` in which the files `changed` have these texts."""
    return trees.edited(parent, changed, "mutants\n")


def reached(outcome: results.Outcome) -> set[int]:
    """The numbers of the mutants whose place was reached in a boot."""
    return {int(number) for words in _SAYS.findall(outcome.console)
            for number in words.split()}
