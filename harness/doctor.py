# SPDX-License-Identifier: GPL-2.0-only
"""./lab doctor: what this machine has and lacks."""

import os
import platform
import re
import shutil

from . import model, packages, paths, process, ui
from .boot import qemu
from .errors import ENVIRONMENT, PASS, LabError


def run() -> int:
    """Print rows(), and what is missing; an exit status."""
    wanted = []
    for verdict, name, remark in rows():
        ui.say(f"{verdict:4}  {name:22}  {remark}")
        wanted += [name] * (verdict == "WANT")
    ui.conclusion(f"doctor: {len(wanted)} {'things are' if wanted[1:] else 'thing is'} "
                  f"missing: {', '.join(wanted)}" if wanted
                  else "doctor: nothing is missing that ./lab cannot install")
    return ENVIRONMENT if wanted else PASS


def rows() -> list[tuple[str, str, str]]:
    """What this machine has: (verdict, name, remark).

    The verdict is "ok", "get" for packages that are installed when they are needed, or
    "WANT" for what the lab cannot help.
    """
    table = [("ok", "python", platform.python_version()), *_packages()]

    def judge(good: bool, name: str, remark: str) -> None:
        table.append(("ok" if good else "WANT", name, remark))

    if shutil.which("git"):
        version = process.run(["git", "--version"]).stdout.split()[2]
        judge([*map(int, re.findall(r"\d+", version)[:2])] >= [2, 32], "git",
              f"{version}, 2.32 or later wanted")
    try:
        used, space = paths.size(paths.cache()), paths.free(paths.cache())
        judge(True, "cache", f"{used / paths.GIB:.1f} GiB in {paths.cache()}")
        judge(used + space >= 12 * paths.GIB, "disk",
              f"{space / paths.GIB:.0f} GiB free, 12 wanted with what the cache has")
    except LabError as err:
        judge(False, "cache", str(err))
    judge(True, "cores", str(len(os.sched_getaffinity(0))))
    judge(packages.memory() >= 5.5, "memory", f"{packages.memory():.0f} GiB, 6 wanted")
    judge(True, "accelerator", _accelerator())
    return table


def _packages():
    """A row for each group of packages that kernels and cells of matrix.toml take."""
    plan, obstacle = model.load(), packages.installer()[1]
    used = {"style", *packages.for_cells(plan.cells.values(), plan),
            *(group for kernel in plan.kernels.values()
              for group in packages.compilers(kernel))}
    for group, wanted in packages.GROUPS.items():
        if group not in used or not wanted:     # this machine's compiler is in "build"
            continue
        lacking = " ".join(packages.missing(group))
        yield ("WANT" if lacking and obstacle else "get" if lacking else "ok",
               f"packages: {group}", f"missing: {lacking}; "
               f"{obstacle or 'installed when first needed'}" if lacking
               else " ".join(wanted))


def _accelerator():
    native = next((arch.name for arch in model.ARCHES.values() if arch.native), None)
    if not native or not qemu.has_kvm(native):
        return "no /dev/kvm that can be opened: TCG"
    return {"kvm": "KVM boots", "tcg": "KVM is there but hangs: TCG",
            "": "KVM is there, not tried yet"}[qemu.tried(native)]
