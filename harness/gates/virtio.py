# SPDX-License-Identifier: GPL-2.0-only
"""What the series does to virtio, as far as it takes no boot to see it."""

import shutil

from .. import packages, paths, process
from ..source import trees
from ..errors import ENVIRONMENT, LabError

OLD_NAME = "CPU_CACHE_CLEAN"    # of DMA_ATTR_DEBUGGING_IGNORE_CACHELINES


def leftovers() -> str:
    """The first place where the series tree still has OLD_NAME, or ''."""
    done = process.git("grep", "-n", OLD_NAME, cwd=trees.tree("series"))
    if done.returncode > 1:     # 1 is that there is none
        raise LabError(f"git grep: {process.last_line(done.stderr)}", ENVIRONMENT)
    return done.stdout.split("\n", 1)[0]


def userspace() -> str:
    """Why the test programs of tools/virtio cannot be built from the series, or ''.

    They are built in the cache, among links into the tree, which stays as it is.
    The module of tools/virtio is left out: it takes a kernel with vhost. Linux 7.3
    lacks a header there, whose content is in an older one.
    """
    packages.need("build")
    top = trees.tree("series")
    work = paths.build("series", "tools-virtio")
    log = work / "lab-build.log"
    paths.remove(work)
    with paths.guard(work):
        (work / "tools").mkdir(parents=True)
        for link in ("include", "drivers", "tools/include"):
            (work / link).symlink_to(top / link)
        tracked = trees.git("ls-files", "tools/virtio", cwd=top).splitlines()
        for file in tracked:
            (work / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(top / file, work / file)
        moved = work / "tools/virtio/linux"
        if (moved / "mod_devicetable.h").exists():
            (moved / "device-id").mkdir(exist_ok=True)
            (moved / "device-id/virtio.h").symlink_to("../mod_devicetable.h")
    done = process.run(["make", "-k", "-C", work / "tools/virtio", "test"], log=log,
                       env={"MAKEFLAGS": None, "LC_ALL": "C"})
    if not done.returncode:
        return ""
    errors = [line for line in done.stdout.splitlines() if "error: " in line]
    return f"{(errors or [process.last_line(done.stdout)])[0]} (log: {log})"
