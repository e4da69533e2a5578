# SPDX-License-Identifier: GPL-2.0-only
"""guest/judge.c: what the demo makes of what it has measured. A row that shows lost data
has to say so, whatever was expected."""

import errno
import os
from pathlib import Path

from harness import paths, process
from harness.tests import Sandbox

GUEST = paths.ROOT / "guest"
SOURCE = Path(os.environ.get("JUDGE_SOURCE", GUEST / "judge.c"))     # ./lab mutate sets it
MAIN = """
#include <errno.h>
#include "judge.h"
#include "observe.h"
bool have_trace_event;
static struct { struct test_case c; struct row row; } all[] = { %s };
int main(void)
{
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		have_trace_event = all[i].row.events >= 0;
		judge(&all[i].c, &all[i].row);
		puts(verdict(&all[i].c, &all[i].row));
	}
	for (int err = 0; err < 140; err++)
		puts(errno_name(err));
}
"""
# What is measured where all is well. The first of two values of a field counts, in C the
# last does.
AT_ONCE = ".done = 1, .mapped = 1, .wrote = 7, .sees = 7, .sees_after_unmap = 7"
STALE = (".done = 1, .mapped = 1, .bounced = 1, .wrote = 7, .sees = OLD_PATTERN, "
         ".sees_after_unmap = 7")
REFUSED = ".done = 1, .wrote = 7, .map_errno = EOPNOTSUPP, .events = 1"

COHERENT_SAYS = "coherent: the process sees the device's write at once"
STALE_SAYS = "corrupt: the process reads old data until unmap"
REFUSED_SAYS = "refused: nothing mapped, nothing left behind"
NAMES = ("EOPNOTSUPP", "ENOPROTOOPT", "EIO", "ENOMEM", "EINVAL", "EFAULT", "EREMOTEIO",
         "ENODEV", "ETIMEDOUT")

# (request, what is expected, what is measured and what differs, what the row says)
ROWS = [
    ("PLAIN", "COHERENT", AT_ONCE, "", COHERENT_SAYS),
    ("ATTRIBUTE", "COHERENT", AT_ONCE, "", COHERENT_SAYS),
    *((request, "COHERENT", AT_ONCE, "",
       "coherent: the process polls and sees the device's write")
      for request in ("REG_MR", "REG_ODP")),
    ("PLAIN", "STALE", STALE, "", STALE_SAYS),
    ("PLAIN", "STALE", STALE, '.log = "x: system is using DMA bounce buffers"', STALE_SAYS),
    ("ATTRIBUTE", "REFUSED", REFUSED, "", REFUSED_SAYS),
    ("ATTRIBUTE", "REFUSED", REFUSED, ".events = -1", REFUSED_SAYS),
    *(("REG_MR", "REFUSED", REFUSED, differs,
       "refused: nothing left behind, the process goes on")
      for differs in (".listed = 1", '.reason = "ENCRYPTED"', ".events = -1")),
    ("REG_ODP", "REFUSED", REFUSED, "", "refused: nothing left behind, the process goes on"),
    ("REG_MR", "REFUSED", REFUSED, "", "no trace event has the list that was refused"),
    # Data is lost where the process was to see it, or the mapping to be refused.
    *(("ATTRIBUTE", expected, STALE, "", "mapped, but the process reads stale data")
      for expected in ("COHERENT", "REFUSED")),
    ("ATTRIBUTE", "COHERENT", STALE, ".sees = 8", "mapped, but the process reads wrong data"),
    ("PLAIN", "STALE", STALE, ".sees = 8", "the process reads neither old nor new data"),
    ("PLAIN", "STALE", STALE, ".bounced = 0", "stale without a bounce buffer"),
    *(("PLAIN", expected, measured, ".sees_after_unmap = 8",
       "the device's write is lost after unmap")
      for expected, measured in (("COHERENT", AT_ONCE), ("STALE", STALE))),
    # What was to be lost or refused is not.
    *(("PLAIN", expected, AT_ONCE, "", "the process sees the device's write")
      for expected in ("STALE", "REFUSED")),
    # Not mapped.
    *(("ATTRIBUTE", expected, REFUSED, "", "not mapped: Operation not supported")
      for expected in ("COHERENT", "STALE")),
    ("ATTRIBUTE", "REFUSED", REFUSED, ".map_errno = EIO", "refused with EIO, not EOPNOTSUPP"),
    ("ATTRIBUTE", "REFUSED", REFUSED, ".map_errno = ENOPROTOOPT",
     "this kernel does not have the attribute"),
    *(("ATTRIBUTE", "REFUSED", REFUSED, f".events = {events}",
       f"{events} trace events for one refusal") for events in (0, 2)),
    # Something stays behind.
    ("PLAIN", "STALE", STALE, ".pool_mapped = 2", STALE_SAYS),
    *(("ATTRIBUTE", "REFUSED", REFUSED, differs, "the bounce pool is not as it was")
      for differs in (".pool_mapped = 2", ".pool_after = 2", ".pool_before = 2")),
    ("PLAIN", "STALE", STALE, ".pool_after = 2", "the bounce pool is not as it was"),
    ("ATTRIBUTE", "REFUSED", REFUSED, ".pins_before = 1, .pins_after = 4",
     "3 pages stay pinned"),
    ("PLAIN", "COHERENT", AT_ONCE, ".pins_before = 3, .pins_after = 3", COHERENT_SAYS),
    ("ATTRIBUTE", "REFUSED", REFUSED, ".warns = 2", "2 warnings in the kernel log"),
    *(("PLAIN", expected, measured, f'.log = "{log}"', f"the kernel log has: {log}")
      for expected, measured, log in (
          ("STALE", STALE, "oops"), ("REFUSED", REFUSED, "!"),
          ("COHERENT", AT_ONCE, "x: system is using DMA bounce buffers"))),
    # What was noted before counts, and so does a process that was killed.
    ("PLAIN", "COHERENT", AT_ONCE, '.sees = 8, .problem = "1"', "1"),
    ("PLAIN", "COHERENT", AT_ONCE, ".done = 0", "the process did not come to its end"),
]


class Judge(Sandbox):
    def said(self, rows):
        """What each of `rows` says, and the names of the errnos from 0."""
        path = self.top / "main.c"
        path.write_text(MAIN % ",\n".join(
            f'{{ {{ "", {request}, {expected} }}, {{ {measured}, {differs} }} }}'
            for request, expected, measured, differs, _ in rows))
        process.run(["gcc", "-O1", "-Wall", "-Wno-override-init", f"-I{GUEST}",
                     "-o", path.with_suffix(""), path, SOURCE], check_status=1)
        return process.run([path.with_suffix("")], check_status=1).stdout.splitlines()

    def test_rows(self):
        said = self.said(ROWS)
        for row, verdict in zip(ROWS, said):
            with self.subTest(row):
                self.assertEqual(verdict, row[-1])

    def test_errno_names(self):
        names, known = self.said([]), {getattr(errno, name): name for name in NAMES}
        for number, name in enumerate(names):
            with self.subTest(number):
                self.assertEqual(name, known.get(number, f"errno {number}"))
