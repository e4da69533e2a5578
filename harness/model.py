# SPDX-License-Identifier: GPL-2.0-only
"""What the lab works on: architectures, series of patches, and the kernels and cells
of matrix.toml."""

import fnmatch
import os
import re
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Iterable, Optional

from . import paths, toml
from .errors import USAGE, LabError

DEMOS = ("plain", "force", "beyond", "xen", "realm", "virtio", "pingpong", "busy", "shell")
COMPILERS = ("clang-19",)       # that a kernel may ask for, packages of Debian
COVER = "0000-cover-letter.patch"
ROWS = DEMOS[:5]                # those with rows for the table of ./lab demo


@dataclass(frozen=True)
class Arch:
    """An architecture under the name that make and kunit.py have for it. The kernel of
    one without QEMU is a program of this machine.

    qemu, image, console and options repeat tools/testing/kunit/qemu_configs/, for list
    and doctor have no tree to ask; a test compares them with those of a tree.
    """

    name: str
    uname: str                  # what uname -m says on such a machine
    debian: str                 # Debian's name of it
    prefix: str                 # of the cross compiler
    qemu: str                   # the program that emulates it
    emulator: str               # the package of that
    image: str                  # what QEMU boots, in the build directory
    console: str                # the kernel argument that names it
    options: tuple[str, ...]    # of QEMU, or of the program
    libc: str = "libc6"         # Debian's name of the C library there
    firmware: str = ""          # the package of a file without which kunit.py gives up

    @property
    def native(self) -> bool:
        """Whether this machine is one."""
        return not self.qemu or os.uname().machine == self.uname

    @property
    def cross(self) -> str:
        """The prefix of the compiler: empty on the architecture itself."""
        return "" if self.native else self.prefix

    @property
    def compiler(self) -> str:
        """The C compiler for it."""
        return f"{self.cross}gcc"

    def packages(self) -> dict[str, str]:
        """{package: program} of what it takes and others do not; '' for a library."""
        firmware = {self.firmware: ""} if self.firmware else {}
        if self.native:
            return {self.emulator: self.qemu, **firmware} if self.qemu else {}
        return {self.emulator: self.qemu, **firmware,
                f"gcc-{self.prefix[:-1].replace('_', '-')}": self.compiler,
                f"{self.libc}-dev-{self.debian}-cross": ""}


ARCHES = {arch.name: arch for arch in (
    Arch(name="x86_64", uname="x86_64", debian="amd64", prefix="x86_64-linux-gnu-",
         qemu="qemu-system-x86_64", emulator="qemu-system-x86",
         image="arch/x86/boot/bzImage", console="console=ttyS0",
         options=("-bios", "qboot.rom")),
    Arch(name="arm64", uname="aarch64", debian="arm64", prefix="aarch64-linux-gnu-",
         qemu="qemu-system-aarch64", emulator="qemu-system-arm",
         image="arch/arm64/boot/Image", console="console=ttyAMA0",
         options=("-machine", "virt", "-cpu", "max")),
    Arch(name="i386", uname="i686", debian="i386", prefix="i686-linux-gnu-",
         qemu="qemu-system-i386", emulator="qemu-system-x86",
         image="arch/x86/boot/bzImage", console="console=ttyS0", options=()),
    Arch(name="arm", uname="armv7l", debian="armhf", prefix="arm-linux-gnueabihf-",
         qemu="qemu-system-arm", emulator="qemu-system-arm",
         image="arch/arm/boot/zImage", console="console=ttyAMA0",
         options=("-machine", "virt")),
    Arch(name="sparc64", uname="sparc64", debian="sparc64", prefix="sparc64-linux-gnu-",
         qemu="qemu-system-sparc64", emulator="qemu-system-sparc",
         image="arch/sparc/boot/image", console="console=ttyS0", options=()),
    Arch(name="s390", uname="s390x", debian="s390x", prefix="s390x-linux-gnu-",
         qemu="qemu-system-s390x", emulator="qemu-system-misc",
         image="arch/s390/boot/bzImage", console="console=ttyS0",
         options=("-machine", "s390-ccw-virtio", "-cpu", "qemu")),
    Arch(name="powerpc", uname="ppc64", debian="ppc64", prefix="powerpc64-linux-gnu-",
         qemu="qemu-system-ppc64", emulator="qemu-system-ppc",
         image="vmlinux", console="console=ttyS0",
         options=("-M", "pseries", "-cpu", "power8")),
    Arch(name="riscv", uname="riscv64", debian="riscv64", prefix="riscv64-linux-gnu-",
         qemu="qemu-system-riscv64", emulator="qemu-system-misc",
         image="arch/riscv/boot/Image", console="console=ttyS0",
         options=("-machine", "virt", "-cpu", "rv64", "-bios",
                  "/usr/share/qemu/opensbi-riscv64-generic-fw_dynamic.bin"),
         firmware="qemu-system-data"),
    Arch(name="mips64", uname="mips64", debian="mips64", prefix="mips64-linux-gnuabi64-",
         qemu="qemu-system-mips64", emulator="qemu-system-mips",
         image="vmlinuz", console="console=ttyS0",
         options=("-M", "malta", "-cpu", "5KEc")),
    Arch(name="alpha", uname="alpha", debian="alpha", prefix="alpha-linux-gnu-",
         qemu="qemu-system-alpha", emulator="qemu-system-misc",
         image="arch/alpha/boot/vmlinux", console="console=ttyS0", options=(),
         libc="libc6.1"),
    Arch(name="um", uname="", debian="", prefix="", qemu="", emulator="",
         image="linux", console="console=tty", options=("kunit_shutdown=halt",)),
)}


@dataclass(frozen=True)
class Series:
    """Patches as mails, and the tree that they make."""

    name: str                   # of the tree and of its branch
    directory: str              # of the mails, in the checkout
    parent: str                 # the tree that they apply to
    title: str = ""             # the subject of a new cover letter
    parts: "tuple[Series, ...]" = ()    # which have the mails, if it has none itself

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
        return sorted(self.path.glob("[0-9]*.patch")) + [
            mail for part in self.parts for mail in part.letters()]

    def mails(self) -> "list[Path]":
        """The patches in order, without cover letters."""
        return [path for path in self.letters() if path.name != COVER]


@dataclass(frozen=True)
class Topic(Series):
    """A series of mainline/, which applies to stock and the topics it needs."""

    target: str = ""            # the section of MAINTAINERS that it is for
    needs: "tuple[str, ...]" = ()       # topics, as mainline.toml names them
    cc: "tuple[str, ...]" = ()  # addresses beside those of get_maintainer.pl
    below: "tuple[Topic, ...]" = ()     # all that it needs, as they apply


SERIES = {series.name: series for series in (
    Series("base", "base", "stock"),
    Series("series", "series", "base", "dma-mapping: refuse what cannot be coherent"),
)}


@dataclass
class Kernel:
    """A kernel to build: the .kunitconfig files of the suites, and fragments of
    configs/."""

    name: str
    arch: str
    fragments: list[str] = field(default_factory=list)
    alone: bool = False                         # without those of the suites
    compare: bool = True                        # part of ./lab compare
    make: list[str] = field(default_factory=list)       # more options of make
    compiler: str = ""                          # another one than its Arch's gcc

    @property
    def target(self) -> Arch:
        """The Arch that it is built for."""
        return ARCHES[self.arch]

    def configs(self) -> list[Path]:
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
    cpus: int = 1                               # QEMU's -smp
    overlay: str = ""                           # of its device tree: configs/*.dtso
    args: list[str] = field(default_factory=list)       # kernel command line
    devices: list[str] = field(default_factory=list)    # QEMU's -device
    options: list[str] = field(default_factory=list)    # more of QEMU, for those
    xen: list[str] = field(default_factory=list)        # of a Xen with this as dom0
    realm: bool = False                         # beneath the monitor of guest/realm
    suites: str = ""                            # kunit.filter_glob
    modules: bool = False                       # which load and unload these
    demo: str = ""                              # demo= of guest/demo.c
    events: bool = False                        # QEMU under harness/boot/events.py
    bench: str = ""                             # kunit.filter_glob, instructions counted
    timeout: int = 120                          # seconds
    quick: bool = False                         # part of ./lab check and demo
    soak: int = 0                               # requests of a case in ./lab soak

    @property
    def mebibytes(self) -> int:
        """The memory of the machine."""
        return int(self.memory[:-1]) * (1024 if self.memory[-1] == "G" else 1)

    def overlay_source(self) -> Path:
        """The path of the overlay's source."""
        return paths.ROOT / "configs" / f"{self.overlay}.dtso"


@dataclass
class Matrix:
    """All of matrix.toml."""

    kernels: dict[str, Kernel]
    cells: dict[str, Cell]

    def pick(self, patterns: Iterable[str]) -> list[Cell]:
        """The cells that any of `patterns` (shell globs) names, in file order.

        LabError USAGE for a pattern that names none.
        """
        for pattern in patterns:
            if not fnmatch.filter(self.cells, pattern):
                raise LabError(f"no cell {pattern!r}: ./lab list shows them", USAGE)
        return [cell for name, cell in self.cells.items()
                if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]

    def kernel_of(self, cell: Cell) -> Kernel:
        """The Kernel that `cell` boots."""
        return self.kernels[cell.kernel]


_TYPES = {str: "a string", int: "a whole number", bool: "true or false",
          list[str]: "a list of strings"}


def _misfit(types: dict[str, Any], optional: Iterable[str], values: Any) -> str:
    """Why `values` are not a table with keys of these `types`, or ''."""
    if not isinstance(values, dict):
        return "not a table"
    for key, value in values.items():
        if key not in types:
            return f"{key} is none of {', '.join(types)}"
        many = types[key] == list[str] and isinstance(value, list)
        if any(type(word) is not (str if many else types[key])
               for word in (value if many else [value])):
            return f"{key} is {_TYPES[types[key]]}, not {value!r}"
    lacking = set(types) - {*optional, *values}
    return f"missing: {', '.join(sorted(lacking))}" if lacking else ""


def _conflict(entry: Any, matrix: Matrix) -> str:
    """What a kernel or cell names that is not there or makes no sense, or ''."""
    if isinstance(entry, Kernel):
        if entry.arch not in ARCHES:
            return f"arch is one of {', '.join(ARCHES)}"
        if entry.compiler not in ("", *COMPILERS):
            return f"compiler is one of {', '.join(COMPILERS)}, or left out"
        files = entry.configs()
    else:
        if entry.kernel not in matrix.kernels:
            return f"there is no kernel.{entry.kernel}"
        if (min(entry.timeout, entry.cpus) < 1
                or not re.fullmatch(r"[1-9]\d*[MG]", entry.memory)):
            return "memory is like 512M or 5G, cpus and timeout above 0"
        if entry.soak and not entry.suites or entry.soak < 0:
            return "soak, above 0, is for cells with suites"
        purposes = map(bool, (entry.suites, entry.demo, entry.bench))
        if sum(purposes) != 1 or entry.demo not in ("", *DEMOS):
            return f"wants either suites, bench or demo (one of {', '.join(DEMOS)})"
        if not entry.suites and (entry.modules or not matrix.kernel_of(entry).target.qemu):
            return "modules, and a kernel that runs without QEMU, are for suites"
        files = [entry.overlay_source()] if entry.overlay else []
    return next((f"there is no configs/{file.name}" for file in files
                 if not file.exists()), "")


def load(path: Optional[Path] = None) -> Matrix:
    """Read matrix.toml; LabError USAGE names the entry and field that make no sense."""
    path = path or paths.ROOT / "matrix.toml"
    matrix = Matrix({}, {})
    known: dict[str, tuple] = {"kernel": (Kernel, matrix.kernels),
                               "cell": (Cell, matrix.cells)}
    data = toml.load(path)
    for kind in sorted(data, key="cell".__eq__):        # a cell names a kernel
        make, made = known.get(kind, (None, {}))
        if not make or not isinstance(data[kind], dict):
            raise LabError(f"{path.name}: {kind}: neither kernels nor cells", USAGE)
        for name, values in data[kind].items():
            keys = [entry for entry in fields(make) if entry.name != "name"]
            problem = _misfit({entry.name: entry.type for entry in keys},
                              {entry.name for entry in keys if entry.default
                               is not MISSING or entry.default_factory is not MISSING},
                              values)
            if not problem:
                made[name] = make(name=name, **values)
                problem = _conflict(made[name], matrix)
            if problem:
                raise LabError(f"{path.name}: {kind}.{name}: {problem}", USAGE)
    return matrix


_TOPIC = {"title": str, "for": str, "needs": list[str], "cc": list[str]}


def topics() -> dict[str, Topic]:
    """The topics of mainline/mainline.toml as they apply; none without that file.

    LabError USAGE names the entry and field that make no sense.
    """
    path = paths.ROOT / "mainline/mainline.toml"
    known: dict[str, Topic] = {}
    for name, values in (toml.load(path) if path.exists() else {}).items():
        problem = _misfit(_TOPIC, ("needs", "cc"), values)
        if not re.fullmatch(r"(?!.*-(suites|needs)$)[a-z0-9][a-z0-9-]*", name):
            problem = "no name for a topic: small letters, digits and -"
        if not problem and name in ("stock", *SERIES, "mainline", "visited"):
            problem = "a tree of another kind has this name"
        for need in () if problem else values.get("needs", ()):
            if need not in known:
                problem = f"needs: no topic before it is {need!r}"
        if problem:
            raise LabError(f"{path.name}: {name}: {problem}", USAGE)
        known[name] = _topic(name, values, known)
    return known


def _topic(name: str, values: dict[str, Any], known: dict[str, Topic]) -> Topic:
    needs = values.get("needs", ())
    names = {topic.name for need in needs
             for topic in (*known[need].below, known[need])}
    below = tuple(topic for topic in known.values() if topic.name in names)
    parent = "stock"
    if below:                   # the topic that needs all the others, if there is one
        last = below[-1]
        parent = last.name if (*last.below, last) == below else f"{name}-needs"
    return Topic(name, f"mainline/{name}", parent, values["title"], (), values["for"],
                 tuple(needs), tuple(values.get("cc", ())), below)


def find(name: str) -> Optional[Series]:
    """The series whose tree is `name`, if there is one. LabError as of topics()."""
    return SERIES.get(name) or all_series().get(name)


def all_series() -> dict[str, Series]:
    """Every series by the name of its tree: SERIES, the topics, mainline, and what is
    below a topic where that is no topic's tree. LabError as of topics()."""
    known = topics()
    found: dict[str, Series] = {**SERIES, **known}
    for topic in known.values():
        if topic.parent not in ("stock", *known):
            found[topic.parent] = Series(topic.parent, "mainline", "stock",
                                         parts=topic.below)
    if known:
        found["mainline"] = Series("mainline", "mainline", "stock",
                                   parts=tuple(known.values()))
    return found
