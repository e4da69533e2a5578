# SPDX-License-Identifier: GPL-2.0-only
"""What the lab works on: architectures, series of patches, and the kernels and cells
of matrix.toml."""

import fnmatch
import os
from dataclasses import dataclass, field
from pathlib import Path

from . import paths, toml
from .errors import USAGE, LabError

DEMOS = ("plain", "force", "beyond", "xen", "virtio", "shell")
COVER = "0000-cover-letter.patch"
ROWS = DEMOS[:4]                # those with rows for the table of ./lab demo


@dataclass(frozen=True)
class Arch:
    """An architecture under the name that make and kunit.py have for it."""

    name: str
    machine: str                # of uname; Debian's tools and QEMU have it too
    debian: str                 # Debian's name of it
    image: str                  # what QEMU boots, in the build directory
    console: str                # the kernel argument that names it
    options: tuple              # of QEMU, those of kunit.py among them
    emulator: str               # the package of QEMU

    @property
    def native(self):
        """Whether this machine is one."""
        return os.uname().machine == self.machine

    @property
    def qemu(self):
        """The program that emulates it."""
        return f"qemu-system-{self.machine}"

    @property
    def cross(self):
        """The prefix of the compiler: empty on the architecture itself."""
        return "" if self.native else f"{self.machine}-linux-gnu-"

    @property
    def compiler(self):
        """The C compiler for it."""
        return f"{self.cross}gcc"

    def programs(self):
        """{program: package} of what the others do without."""
        found = {self.qemu: self.emulator}
        if not self.native:
            found[self.compiler] = f"gcc-{self.cross[:-1].replace('_', '-')}"
        return found

    def packages(self):
        """The names of all packages that it takes and others do not."""
        libc = [] if self.native else [f"libc6-dev-{self.debian}-cross"]
        return [*self.programs().values(), *libc]


ARCHES = {arch.name: arch for arch in (
    Arch("x86_64", "x86_64", "amd64", "arch/x86/boot/bzImage", "console=ttyS0",
         ("-bios", "qboot.rom"), "qemu-system-x86"),
    Arch("arm64", "aarch64", "arm64", "arch/arm64/boot/Image", "console=ttyAMA0",
         ("-machine", "virt", "-cpu", "max"), "qemu-system-arm"),
)}


@dataclass(frozen=True)
class Series:
    """Patches as mails, and the tree that they make."""

    name: str                   # of the tree and of its branch
    directory: str              # of the mails, in the checkout
    parent: str                 # the tree that they apply to
    cover: bool = False         # whether there is a cover letter

    @property
    def path(self) -> Path:
        """The directory of the mails."""
        return paths.ROOT / self.directory

    @property
    def span(self) -> str:
        """Its commits, as git log wants them."""
        return f"{self.parent}..{self.name}"

    def letters(self) -> "list[Path]":
        """All mails in order, the cover letter first."""
        return sorted(self.path.glob("[0-9]*.patch"))

    def mails(self) -> "list[Path]":
        """The patches in order, without the cover letter."""
        return [path for path in self.letters() if path.name != COVER]


SERIES = {series.name: series for series in (
    Series("base", "base", "stock"),
    Series("series", "series", "base", cover=True),
)}


@dataclass
class Kernel:
    """A kernel to build: the .kunitconfig files of the suites, and fragments of
    configs/."""

    name: str
    arch: str
    fragments: list = field(default_factory=list)
    alone: bool = False                         # without those of the suites
    compare: bool = True                        # part of ./lab compare

    @property
    def target(self):
        """The Arch that it is built for."""
        return ARCHES[self.arch]

    def configs(self):
        """The paths of the fragments."""
        return [paths.ROOT / "configs" / f"{name}.config" for name in self.fragments]


@dataclass
class Cell:
    """One boot of a kernel: KUnit suites, or a scenario of the demo."""

    name: str
    what: str
    kernel: str
    memory: str = "1G"                          # QEMU's -m
    machine: str = ""                           # QEMU's -machine
    cpu: str = ""                               # QEMU's -cpu
    overlay: str = ""                           # of its device tree: configs/*.dtso
    args: list = field(default_factory=list)    # kernel command line
    devices: list = field(default_factory=list)  # QEMU's -device
    xen: list = field(default_factory=list)     # boot as dom0 of Xen, with its arguments
    suites: str = ""                            # kunit.filter_glob
    demo: str = ""                              # demo= of guest/demo.c
    events: bool = False                        # QEMU under harness/events.py
    bench: str = ""                             # kunit.filter_glob, instructions counted
    timeout: int = 120                          # seconds
    quick: bool = False                         # part of ./lab check and demo

    @property
    def by_kunit(self):
        """Whether kunit.py can start it."""
        return bool(self.suites and not self.xen)

    def overlay_source(self):
        """The path of the overlay's source."""
        return paths.ROOT / "configs" / f"{self.overlay}.dtso"


@dataclass
class Matrix:
    """All of matrix.toml."""

    kernels: dict
    cells: dict

    def pick(self, patterns):
        """The cells that any of `patterns` (shell globs) names, in file order.

        LabError USAGE for a pattern that names none.
        """
        for pattern in patterns:
            if not fnmatch.filter(self.cells, pattern):
                raise LabError(f"no cell {pattern!r}: ./lab list shows them", USAGE)
        return [cell for name, cell in self.cells.items()
                if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]

    def kernel_of(self, cell):
        """The Kernel that `cell` boots."""
        return self.kernels[cell.kernel]


def load(path=None):
    """Read matrix.toml; LabError USAGE names the entry that makes no sense."""
    path = path or paths.ROOT / "matrix.toml"
    data = toml.load(path)
    for kind in data:
        if kind not in ("kernel", "cell"):
            raise LabError(f"{path.name}: {kind}: neither a kernel nor a cell", USAGE)

    def entries(kind, make):
        made = {}
        for name, values in data.get(kind, {}).items():
            try:
                made[name] = make(name=name, **values)
            except TypeError as err:
                reason = str(err).partition(" ")[2]
                raise LabError(f"{path.name}: {kind}.{name}: {reason}", USAGE) from None
        return made

    matrix = Matrix(entries("kernel", Kernel), entries("cell", Cell))
    for kernel in matrix.kernels.values():
        if kernel.arch not in ARCHES:
            raise LabError(f"{path.name}: kernel.{kernel.name}: arch is one of "
                           f"{', '.join(ARCHES)}", USAGE)
        for config in kernel.configs():
            if not config.exists():
                raise LabError(f"{path.name}: kernel.{kernel.name}: there is no "
                               f"configs/{config.name}", USAGE)
    for cell in matrix.cells.values():
        if cell.kernel not in matrix.kernels:
            raise LabError(f"{path.name}: cell.{cell.name}: there is no "
                           f"kernel.{cell.kernel}", USAGE)
        if cell.overlay and not cell.overlay_source().exists():
            raise LabError(f"{path.name}: cell.{cell.name}: there is no "
                           f"configs/{cell.overlay_source().name}", USAGE)
        kinds = [cell.suites, cell.demo, cell.bench]
        if len(list(filter(None, kinds))) != 1 or cell.demo not in ("", *DEMOS):
            raise LabError(f"{path.name}: cell.{cell.name}: wants either suites, bench "
                           f"or demo (one of {', '.join(DEMOS)})", USAGE)
        if cell.events and not cell.demo:
            raise LabError(f"{path.name}: cell.{cell.name}: events want demo, since "
                           "kunit.py starts QEMU itself", USAGE)
    return matrix
