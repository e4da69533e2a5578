# SPDX-License-Identifier: GPL-2.0-only
"""Debian packages: which ones a task needs, and getting them."""

import os
import platform
import re
import shutil
import sys
from pathlib import Path

from . import paths, process, ui
from .model import ARCHES
from .errors import ENVIRONMENT, LabError

GROUPS = {
    "source": ["git", "xz-utils", "dpkg", "apt", "ca-certificates"],
    "build": ["gcc", "make", "flex", "bison", "bc", "libelf-dev", "libssl-dev",
              "ccache", "kmod", "cpio", "python3"],
    **{arch.name: arch.packages() for arch in ARCHES.values()},
    "guest": ["libc6-dev", "busybox-static"],
    "overlay": ["device-tree-compiler"],
    "style": ["perl", "codespell", "python3-ply", "python3-git"],
}

# Which package has a program.
PROGRAMS = {
    "git": "git", "xz": "xz-utils", "dpkg-deb": "dpkg", "dpkg-query": "dpkg",
    "apt-get": "apt", "apt-config": "apt",
    "gcc": "gcc", "make": "make", "flex": "flex", "bison": "bison", "bc": "bc",
    "ccache": "ccache", "depmod": "kmod", "cpio": "cpio", "python3": "python3",
    "busybox": "busybox-static",
    "perl": "perl", "codespell": "codespell",
    "dtc": "device-tree-compiler", "fdtoverlay": "device-tree-compiler",
    **{program: package for arch in ARCHES.values()
       for program, package in arch.programs().items()},
}

_updated = False


def advice(program):
    """How to get a missing program, for the end of an error message."""
    name = os.path.basename(program)
    return f"sudo apt-get install {PROGRAMS.get(name, name)}"


def _packages(groups):
    try:
        return list(dict.fromkeys(p for group in groups for p in GROUPS[group]))
    except KeyError as err:
        raise LabError(f"no package group {err}: {', '.join(GROUPS)}") from None


def _installed(packages):
    """The subset of `packages` that dpkg says is installed."""
    out = process.run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\n",
                       *packages]).stdout
    return {line.split()[1] for line in out.splitlines()
            if line.startswith("installed ")}


def missing(*groups):
    """The packages of `groups` that are not installed.

    Without dpkg: the programs of them that are not in PATH.
    """
    wanted = _packages(groups)
    if shutil.which("dpkg-query"):
        have = _installed(wanted)
        return [package for package in wanted if package not in have]
    return [program for program, package in PROGRAMS.items()
            if package in wanted and package not in ("dpkg", "apt")
            and not shutil.which(program)]


def _root_prefix():
    """What to put before a command to run it as root, or None."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and process.run(["sudo", "-n", "true"]).returncode == 0:
        return ["sudo", "-n"]
    return None


def need(*groups):
    """Make sure that the packages of `groups` are there; install what is not.

    Installs as root, or through sudo where that asks nothing.  Otherwise, and
    without dpkg, LabError ENVIRONMENT says what to install.
    """
    global _updated
    lacking = missing(*groups)
    if not lacking:
        return
    if not shutil.which("dpkg-query"):
        raise LabError(f"missing: {' '.join(lacking)}; install them with this "
                       "system's package manager", ENVIRONMENT)
    by_hand = f"sudo apt-get install {' '.join(lacking)}"
    prefix = _root_prefix()
    if prefix is None or not shutil.which("apt-get"):
        raise LabError(f"packages are missing: {by_hand}", ENVIRONMENT)
    log = paths.cache() / "install.log"
    apt = prefix + ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get",
                    "-q", "-o", "DPkg::Lock::Timeout=120"]
    with paths.lock("install"), ui.step(f"install {' '.join(lacking)}"):
        if not _updated:
            # One archive out of several that fails is not our problem yet.
            process.run(apt + ["update"], log=log, timeout=600)
            _updated = True
        process.run(apt + ["install", "-y", "--no-install-recommends", *lacking],
                    log=log, timeout=1800, check_status=ENVIRONMENT, what=by_hand)


def _memory():
    with open("/proc/meminfo", encoding="ascii") as info:
        return int(re.search(r"MemTotal:\s+(\d+)", info.read()).group(1)) / (1 << 20)


def doctor():
    """What this machine has, as rows (name, ok, remark) for ./lab doctor."""
    rows = [("python", sys.version_info >= (3, 9), platform.python_version())]
    try:
        version = process.run(["git", "--version"]).stdout.split()[2]
        numbers = tuple(int(n) for n in re.findall(r"\d+", version)[:2])
        rows.append(("git", numbers >= (2, 32), f"{version}, 2.32 or later wanted"))
    except LabError as err:
        rows.append(("git", False, str(err)))
    for group in GROUPS:
        lacking = missing(group)
        rows.append((f"packages: {group}", not lacking,
                     f"missing: {' '.join(lacking)}" if lacking
                     else " ".join(GROUPS[group])))
    try:
        where = paths.cache()
        space = paths.free(where) / paths.GIB
        rows.append(("cache", True, str(where)))
        rows.append(("disk", space >= 12, f"{space:.0f} GiB free, 12 wanted"))
    except LabError as err:
        rows.append(("cache", False, str(err)))
    rows.append(("cores", True, str(len(os.sched_getaffinity(0)))))
    memory = _memory()
    rows.append(("memory", memory >= 6, f"{memory:.0f} GiB, 6 wanted"))
    kvm = Path("/dev/kvm").exists()
    rows.append(("/dev/kvm", True, "present (whether it boots is another question)"
                 if kvm else "absent: QEMU emulates the CPU"))
    return rows
