# SPDX-License-Identifier: GPL-2.0-only
"""The harness's own tests, on recorded logs and small fakes."""

import re
import sys
from collections.abc import Iterator

from .. import packages, paths, process, ui
from ..errors import LabError
from . import Finding


def findings() -> Iterator[Finding]:
    """Run the tests; what they print is shown if one fails."""
    try:
        packages.need("send", "smtp")
    except LabError as err:
        ui.note(f"the tests of ./lab send are skipped: {err}")
    with ui.step("test the harness"):
        done = process.run([sys.executable, "-m", "unittest", "discover",
                            "-t", paths.ROOT, "-s", "harness/tests"], cwd=paths.ROOT)
    ran = re.search(r"^Ran (\d+) tests? in .*\n\n(.*)$", done.stderr, re.M)
    total, summary = (int(ran[1]), ran[2]) if ran else (0, "")
    bad = sum(int(n) for n in re.findall(r"(?:failures|errors)=(\d+)", summary))
    skipped = sum(int(n) for n in re.findall(r"skipped=(\d+)", summary))
    if done.returncode and not bad or not total:
        bad = 1
    passed = max(total - bad - skipped, 0)
    yield Finding(f"harness: {passed} passed, {bad} failed, {skipped} skipped",
                  passed=passed, failed=bad, skipped=skipped)
    if bad:
        ui.note(done.stdout + done.stderr)
