# SPDX-License-Identifier: GPL-2.0-only
"""The architectures: all that a build, QEMU and Debian have to know of each."""

import os
from dataclasses import dataclass


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
