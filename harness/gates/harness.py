# SPDX-License-Identifier: GPL-2.0-only
"""The harness's own tests, on recorded logs and small fakes."""

import re
import sys
from collections.abc import Iterator

from .. import packages, paths, process, ui
from ..errors import LabError
from . import Finding


_PARTS = ("test_[!r-u]*.py", "test_[r-u]*.py")     # which take about as long


def findings() -> Iterator[Finding]:
    """Run the tests; what they print is shown if one fails."""
    try:
        packages.need("send", "smtp")
    except LabError as err:
        ui.note(f"the tests of ./lab send are skipped: {err}")
    with ui.step("test the harness"), process.pool(len(_PARTS)) as pool:
        counts = [*pool.map(_run, _PARTS)]
    passed, failed, skipped = map(sum, zip(*counts))
    failed = failed or int(not passed + skipped)
    yield Finding(f"harness: {passed} passed, {failed} failed, {skipped} skipped",
                  passed=passed, failed=failed, skipped=skipped)


def _run(pattern):
    """(passed, failed, skipped) of the tests in files like `pattern`."""
    done = process.run([sys.executable, "-m", "unittest", "discover", "-t", paths.ROOT,
                        "-s", "harness/tests", "-p", pattern], cwd=paths.ROOT)
    ran = re.search(r"^Ran (\d+) tests? in .*\n\n(.*)$", done.stderr, re.M)
    total, summary = (int(ran[1]), ran[2]) if ran else (1, "")
    failed = sum(int(n) for n in re.findall(r"(?:failures|errors)=(\d+)", summary))
    skipped = sum(int(n) for n in re.findall(r"skipped=(\d+)", summary))
    if not ran or done.returncode and total:
        failed = failed or 1
    if failed:
        ui.note(done.stdout + done.stderr)
    return max(total - failed - skipped, 0), failed, skipped
