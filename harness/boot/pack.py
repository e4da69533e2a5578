# SPDX-License-Identifier: GPL-2.0-only
"""Kernels that boot on another machine: what their cells take, without source and
compiler. DIR/KERNEL/ holds the image, its configuration, the archives of guest/ and
kunit.py."""

import dataclasses
import shutil
from collections.abc import Iterable
from pathlib import Path

from .. import model, paths, process
from ..errors import BUILD, ENVIRONMENT, LabError
from . import guest
from .kernel import Build

_KUNIT = "tools/testing/kunit"
_FILES = (".config", "include/config/kernel.release")


@dataclasses.dataclass
class Packed(Build):
    """A kernel that was built elsewhere."""

    packed = True

    @property
    def commit(self) -> str:
        """The commit that it was built from, as Build.commit says it."""
        return (self.dir / "commit").read_text("utf-8").strip()


def pack(build: Build, cells: Iterable[model.Cell], top: Path) -> Path:
    """Put into `top`/KERNEL what it takes to boot `cells`; that directory.

    LabError BUILD if guest/ does not compile.
    """
    made = [build.image, *(build.dir / name for name in _FILES)]
    for cell in cells:
        archive = guest.archive(build, cell)
        if archive:
            made.append(archive)
        if cell.realm:
            made.append(guest.monitor(build).flash)
    where = _at(build.kernel, build.source.name, top)
    with paths.guard(where.dir):
        paths.remove(where.dir.parent)
        for path in dict.fromkeys(made):
            target = where.dir / path.relative_to(build.dir)
            target.parent.mkdir(parents=True, exist_ok=True)
            # What has holes, such as flash memory, keeps them.
            process.run(["cp", "--sparse=always", path, target],
                        check_status=ENVIRONMENT)
        shutil.copytree(build.source / _KUNIT, where.source / _KUNIT,
                        ignore=shutil.ignore_patterns("__pycache__", "test_data"))
        (where.dir / "commit").write_text(f"{build.commit}\n", "utf-8")
    return where.dir.parent


def packed(kernel: model.Kernel, tree: str, top: Path) -> Packed:
    """The `kernel`, made from `tree`, that is packed below `top`; LabError BUILD if
    there is none."""
    found = _at(kernel, tree, top)
    if not found.image.exists():
        raise LabError(f"{top} does not have kernel {kernel.name}: ./lab build "
                       f"{kernel.name} --pack {top}", BUILD)
    return found


def _at(kernel, tree, top):
    return Packed(kernel, top / kernel.name / tree, top / kernel.name / "build")
