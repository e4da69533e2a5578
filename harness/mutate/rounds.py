# SPDX-License-Identifier: GPL-2.0-only
"""Rounds of test cases: a boot is many mutants, one after the other."""

import dataclasses
import itertools
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from .. import results, soak
from ..boot import cell as boots
from ..boot import qemu
from ..errors import BOOT, LabError
from . import kernels, trials

_MOST = 100                     # mutants of a boot: the command line is short
_SECONDS = 5                    # for one of them, on average
_SILENCE = 20                   # seconds: interrupts are off, or it would say that it hangs;
                                # but where all boots are slow, half of one
_ARGS = ["loglevel=5", *(
    f"{module}.random_requests=300" for module in soak.MODULES)]
_READY = re.compile(rf"{kernels.WORD}: rounds of \d+ test cases\r?\n")
_BEGINS = re.compile(rf"{kernels.WORD}: (\d+) begins\r?\n")
_NOTICED = re.compile(rf"{kernels.WORD}: \d+ noticed by (\S+)")
_ASSERTED = re.compile(r"# .*: (?:EXPECTATION|ASSERTION) FAILED at ")
_ENDS = re.compile(rf"{kernels.WORD}: \d+ (?:ends|is not reached)\b")
_UNREACHED = re.compile(rf"{kernels.WORD}: \d+ is not reached\b")
_number = itertools.count()


def rounds(boot: trials.Boot, numbers: Sequence[int],
           top: Path) -> Iterator[tuple[int, str, str]]:
    """Try the mutants `numbers` of the kernel of `boot` in its cell.

    Yields (number, NOTICED, the test case), (number, CRASHED, why) or (number, SURVIVED,
    ''), and (number, EQUAL, '') where no test case comes to its place. What fails no case
    that passes again without the mutant counts for the first mutant of a boot only: it may
    be what one before has left behind. LabError BOOT if a boot does not get as far as the
    first.
    """
    waiting, again = list(numbers), list[int]()
    while waiting or again:
        first = again.pop(0) if again else waiting.pop(0)
        asked = [first, *waiting[:_MOST]]
        begun = set()
        for number, text, complete in _boot(boot, asked, top):
            begun.add(number)
            fate, what, sure = _judge(text, complete)
            if sure or number == first:
                yield number, fate, what
            else:
                again.append(number)
        waiting = [number for number in waiting if number not in begun]


def _boot(boot, numbers, top):
    """(number, what the kernel said then, whether it came to the end) of each that has
    begun."""
    cell = dataclasses.replace(boot.cell, args=[
        *boot.cell.args, *_ARGS, f"{kernels.ROUNDS}={','.join(map(str, numbers))}"])
    directory = top / f"{cell.name}.rounds{next(_number)}"
    directory.mkdir()
    console = directory / "console.log"
    try:
        qemu.boot(boots.argv(cell, boot.build, directory), log=console,
                  silence=max(_SILENCE, boot.seconds / 2),
                  timeout=cell.timeout + _SECONDS * len(numbers))
    except LabError as err:
        if err.status != BOOT:
            raise
    ready, *said = _BEGINS.split(console.read_text("utf-8", errors="replace"))
    if not said and _READY.search(ready):       # it hung before that it begins was printed
        said = [str(numbers[0]), ""]
    if said[:1] != [str(numbers[0])]:
        raise LabError(f"{cell.name} tries no mutant: see {console}", BOOT)
    shutil.rmtree(directory)
    for number, text in zip(map(int, said[::2]), said[1::2]):
        yield number, text, bool(_ENDS.search(text))


def _judge(text, complete):
    """(fate, what noticed, whether that is no doing of those before) of one mutant."""
    noticed, complaint = _NOTICED.search(text), results.complaint(text)
    if noticed and _ASSERTED.search(text):
        return trials.NOTICED, noticed[1], complete
    if noticed or complaint or not complete:
        return trials.CRASHED, complaint or "hung", complete and bool(noticed)
    return trials.EQUAL if _UNREACHED.search(text) else trials.SURVIVED, "", True
