# SPDX-License-Identifier: GPL-2.0-only
"""pyflakes and mypy over the harness."""

from .. import packages, paths, process

PYTHON = "/usr/bin/python3"     # the one that Debian's modules are installed for


def complaints() -> list[str]:
    """What the linters have to say of the harness, a line each.

    LabError ENVIRONMENT if they are missing and cannot be installed.
    """
    packages.need("style")
    lines: list[str] = []
    for words in (["pyflakes", "harness"],
                  ["mypy", "--no-error-summary", "--config-file=harness/gates/mypy.ini",
                   f"--cache-dir={paths.cache() / 'mypy'}", "harness"]):
        done = process.run([PYTHON, "-m", *words], cwd=paths.ROOT)
        said = (done.stdout + done.stderr).splitlines()
        lines += said or [f"{words[0]} failed"] * bool(done.returncode)
    return lines
