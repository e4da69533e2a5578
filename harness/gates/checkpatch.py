# SPDX-License-Identifier: GPL-2.0-only
"""checkpatch --strict and codespell, for every mail of a series."""

import fnmatch
import hashlib
import os
import re
from pathlib import Path

from .. import model, packages, paths, process
from ..source import trees

# Signed-off-by is added when the series is sent.
_OPTIONS = ("--strict", "--codespell", "--no-signoff", "--no-summary", "--terse",
            "--show-types", "--showfile")
# The Python that Debian's modules for checkpatch are installed for comes first.
_PATH = f"/usr/bin:/bin:{os.environ.get('PATH', '')}"

# (file, type, why checkpatch is not followed there)
EXCEPTIONS = (
    ("*", "FILE_PATH_CHANGES", "kernel/dma/ in MAINTAINERS covers the new files"),
    ("*", "UNKNOWN_COMMIT_ID", "the tree has no history to look a Fixes: tag up in"),
    ("*dma-mapping.h", "BIT_MACRO", "all attributes beside it are (1UL << n)"),
    ("include/trace/events/*", "OPEN_ENDED_LINE", "TRACE_EVENT() is laid out as in "
     "all other events"),
    ("include/trace/events/*", "PARENTHESIS_ALIGNMENT", "the same"),
    ("drivers/iommu/dma-iommu.c", "PARENTHESIS_ALIGNMENT", "heads of functions that "
     "change in one word are not laid out anew"),
)

_LINE = re.compile(r"^(?P<file>[^:]*):\d+: [A-Z]+:(?P<type>[A-Z_]+): ")


def complaints(mail: Path, top: Path) -> "list[str]":
    """What checkpatch has to say of a mail, a line each, without EXCEPTIONS; of a cover
    letter, what is misspelled or unwritten. The checkpatch is that of the tree `top`."""
    packages.need("style")
    if mail.name == model.COVER:
        done = process.run(["codespell", mail], env={"PATH": _PATH})
        lines = (done.stdout + done.stderr).splitlines()
        return ["EDITME stands in it yet"] * ("EDITME" in mail.read_text("utf-8")) + lines
    script = top / "scripts/checkpatch.pl"
    # It takes seconds for a long patch, and has nothing new to say of an old one.
    parts = (mail.name, mail.read_bytes(), script.read_bytes(), _OPTIONS, EXCEPTIONS)
    good = paths.cache() / "checkpatch" / hashlib.sha256(repr(parts).encode()).hexdigest()
    if good.exists():
        return []
    done = process.run([script, *_OPTIONS, mail], cwd=top, env={"PATH": _PATH})
    lines = filtered(done.stdout + done.stderr)
    if not lines and done.returncode in (0, 1):
        paths.replace(good, b"")
    return lines


def unnoticed_caller() -> str:
    """Why a new caller of the attribute is not noticed by those who have to be asked,
    or ''."""
    packages.need("style")
    top = trees.tree("series")
    mail = paths.ROOT / "harness/tests/data/new-caller.patch"
    found = process.run([top / "scripts/get_maintainer.pl", "--no-git",
                         "--no-git-fallback", mail], cwd=top).stdout
    if "DMA MAPPING HELPERS" not in found:
        return "get_maintainer does not bring in the DMA mapping maintainers"
    return ""


def filtered(output: str) -> "list[str]":
    """The lines of checkpatch's `output` that no exception covers."""
    return [line for line in output.splitlines() if line.strip() and not _excepted(line)]


def _excepted(line):
    found = _LINE.match(line)
    return found and any(fnmatch.fnmatch(found["file"], pattern) and found["type"] == kind
                         for pattern, kind, _ in EXCEPTIONS)
