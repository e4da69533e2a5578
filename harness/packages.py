# SPDX-License-Identifier: GPL-2.0-only
"""Debian packages: which ones a task needs, and getting them."""

import os
import shutil
from typing import Collection, Iterable

from . import paths, process, ui
from .model import ARCHES, COMPILERS, Cell, Kernel, Matrix
from .errors import ENVIRONMENT, LabError

# {group: {package: its programs that the lab calls}}
GROUPS = {
    "source": {"git": "git", "xz-utils": "xz", "dpkg": "dpkg-deb dpkg-query",
               "apt": "apt-get", "ca-certificates": ""},
    "build": {"gcc": "gcc", "make": "make", "flex": "flex", "bison": "bison",
              "bc": "bc", "libelf-dev": "", "libssl-dev": "", "ccache": "ccache",
              "kmod": "depmod", "cpio": "cpio", "python3": "python3"},
    **{arch.name: {package: program for package, program in arch.packages().items()
                   if package != arch.emulator} for arch in ARCHES.values()},
    **{f"qemu-{arch.name}": {arch.emulator: arch.qemu} for arch in ARCHES.values()
       if arch.qemu},
    **{name: {name: name} for name in COMPILERS},
    "guest": {"libc6-dev": "", "busybox-static": "busybox"},
    "overlay": {"device-tree-compiler": "dtc fdtoverlay"},
    "sparse": {"sparse": "sparse"},
    "mutate": {"coccinelle": "spatch"},
    "diagram": {"graphviz": "dot"},
    "report": {"python3": "python3", "python3-jinja2": "", "python3-matplotlib": ""},
    "style": {"perl": "perl", "codespell": "codespell", "python3-ply": "",
              "python3-git": "", "python3-pyflakes": "", "mypy": "mypy"},
    "send": {"git-email": "", "perl": "perl", "libauthen-sasl-perl": "",
             "libio-socket-ssl-perl": "", "libmailtools-perl": ""},
    "smtp": {"python3-aiosmtpd": ""},           # for the tests of sending
}
_PROGRAMS = {program: package for group in GROUPS.values()
             for package, programs in group.items() for program in programs.split()}
_updated = False


def compilers(kernel: Kernel) -> list[str]:
    """The groups of packages that compile `kernel`."""
    return [kernel.arch, *filter(None, [kernel.compiler])]


def for_cells(cells: Iterable[Cell], matrix: Matrix, packed: bool = False) -> tuple[str, ...]:
    """The groups of packages that it takes to boot `cells`, and to build what they boot
    unless that is `packed`."""
    groups = ["source"] if packed else ["source", "build"]
    for cell in cells:
        kernel = matrix.kernel_of(cell)
        if not packed:
            groups += compilers(kernel)
        groups += [f"qemu-{kernel.arch}"] * bool(kernel.target.qemu)
        if not packed and (cell.demo or cell.bench or cell.modules):
            groups.append("guest")
        groups += ["overlay"] * bool(cell.overlay)
    return tuple(dict.fromkeys(groups))


def memory() -> float:
    """The GiB of memory that this machine has."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / paths.GIB


def jobs(cells: Collection[Cell] = ()) -> int:
    """How many programs, or boots of `cells`, go side by side: one a CPU, and one more
    boot, since a guest is idle for a third of its time; fewer if memory has no room."""
    largest = max((cell.mebibytes for cell in cells), default=1024)
    most = len(os.sched_getaffinity(0)) + bool(cells)
    return max(1, min(most, int(memory() * 1024) // largest))


def missing(*groups: str) -> list[str]:
    """The packages of `groups` that are not installed.

    Without dpkg: the programs of them that are not in PATH.
    """
    wanted = list(dict.fromkeys(name for group in groups for name in GROUPS[group]))
    if not shutil.which("dpkg-query"):
        return [program for program, package in _PROGRAMS.items()
                if package in wanted and package not in ("dpkg", "apt")
                and not shutil.which(program)]
    out = process.run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\n",
                       *wanted]).stdout
    have = {line.split()[1] for line in out.splitlines()
            if line.startswith("installed ")}
    return [package for package in wanted if package not in have]


def installer() -> tuple[list[str], str]:
    """What to put before apt-get to run it as root, or why nothing can be installed."""
    if not shutil.which("dpkg-query") or not shutil.which("apt-get"):
        return [], "install with this system's package manager"
    if os.environ.get("LAB_INSTALL") == "no":
        return [], "LAB_INSTALL=no forbids installing packages"
    if os.geteuid() == 0:
        return [], ""
    if shutil.which("sudo") and process.run(["sudo", "-n", "true"]).returncode == 0:
        return ["sudo", "-n"], ""
    return [], "only root can install packages"


def need(*groups: str) -> None:
    """Make sure that the packages of `groups` are there; install what is not.

    Installs, and says so before, as root or through sudo where that asks nothing.
    Otherwise, and with LAB_INSTALL=no, LabError ENVIRONMENT says what to install.
    """
    global _updated
    lacking = missing(*groups)
    if not lacking:
        return
    prefix, obstacle = installer()
    by_hand = f"sudo apt-get install {' '.join(lacking)}"
    if obstacle:
        raise LabError(f"missing: {' '.join(lacking)}; {obstacle}"
                       + (f": {by_hand}" if shutil.which("apt-get") else ""),
                       ENVIRONMENT)
    log = paths.cache() / "install.log"
    apt = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q",
           "-o", "DPkg::Lock::Timeout=120"]
    with paths.lock("install"):
        ui.note(f"installing Debian packages for {', '.join(groups)}: "
                f"{' '.join(lacking)} (LAB_INSTALL=no forbids it)")
        with ui.step("install packages"):
            if not _updated:
                # One archive out of several that fails is not our problem yet.
                process.run(apt + ["update"], log=log, timeout=600)
                _updated = True
            process.run(apt + ["install", "-y", "--no-install-recommends", *lacking],
                        log=log, timeout=1800, check_status=ENVIRONMENT, what=by_hand)
