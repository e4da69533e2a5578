# SPDX-License-Identifier: GPL-2.0-only
"""What runs in a guest: initramfs archives with a program of guest/ as /init.

That of the demo is guest/*.c, with the modules that it loads; that of a benchmark
guest/benchmark/, with the kernel's own benchmark of tools/dma; that of suites which
are modules guest/modules/, with these. guest/realm/ runs beneath a guest, as the
firmware of its machine.
"""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from .. import model, packages, paths, process, ui
from ..source import fetch
from . import kernel
from ..errors import BUILD

SOURCE = paths.ROOT / "guest"
MODULES = ("edu_dma", "edu_rdma")
SUITE = "bookworm"
# {scenario: packages whose programs it runs, with the libraries of those}
PROGRAMS = {"shell": ["busybox-static"],
            "pingpong": ["ibverbs-utils", "ibverbs-providers", "libibverbs1",
                         "libnl-3-200", "libnl-route-3-200", "libc6"]}

# What runs without a C library and without a memory manager, from address 0.
_BARE = ("-nostdlib", "-static", "-ffreestanding", "-fno-pic", "-O2", "-Wall", "-Wextra",
         "-Werror", "-mgeneral-regs-only", "-mstrict-align", "-Wl,--build-id=none",
         "-Wl,-Ttext=0")
_FLASH = 64 << 20               # bytes of a bank of flash memory of QEMU's virt machine


def archive(built: kernel.Build, cell: model.Cell) -> Optional[Path]:
    """Build what runs in the guest of `cell` on the kernel `built`: its demo, what
    benchmarks from user space, or what loads suites that are modules. The path of the
    archive; None for suites that are in the kernel.

    For some demos it also holds programs of Debian's. LabError BUILD if guest/ or
    tools/dma of the kernel does not compile, FETCH if the programs cannot be had.
    """
    if cell.demo:
        return _archive(built, cell.demo if cell.demo in PROGRAMS else "initramfs", _demo)
    if cell.bench:
        return _archive(built, "bench", _witness)
    if cell.modules:
        return _archive(built, "suites", _modules,
                        *([] if built.packed else _suites(built)))
    return None


@dataclass(frozen=True)
class Monitor:
    """What a realm is booted with: an image of flash memory, and the addresses at
    which it looks for a kernel and an initrd."""

    flash: Path
    kernel: int
    initrd: int


def monitor(built: kernel.Build) -> Monitor:
    """Build guest/realm for the arm64 kernel `built`. LabError BUILD if it does not
    compile."""
    source, flash = SOURCE / "realm", built.dir / "guest" / "realm.img"
    if not built.packed:
        _flash(built, source, flash)
    where = dict(re.findall(r"^#define (\w+)\s+(0x\w+)$",
                            (source / "realm.h").read_text("utf-8"), re.M))
    return Monitor(flash, int(where["KERNEL"], 16), int(where["INITRD"], 16))


def _flash(built, source, flash):
    target, log = built.kernel.target, built.dir / "lab-guest.log"
    packages.need("build", "guest")
    with paths.lock(built.name), paths.guard(flash):
        flash.parent.mkdir(parents=True, exist_ok=True)
        program, partial = flash.with_suffix(".elf"), flash.with_suffix(".partial")
        _run([target.compiler, *_BARE, "-o", program, source / "start.S",
              source / "monitor.c"], log)
        _run([f"{target.cross}objcopy", "-O", "binary", program, partial], log)
        os.truncate(partial, _FLASH)
        partial.replace(flash)


def _archive(built, name, fill, *made):
    work, log = built.dir / "guest", built.dir / "lab-guest.log"
    archive, root = work / f"{name}.cpio", work / name
    if built.packed:
        return archive
    packages.need("build", "guest")
    with paths.lock(built.name):
        inputs = [built.image, *made]
        for source in sorted(path for path in SOURCE.rglob("*") if path.is_file()):
            inputs.append(work / source.relative_to(SOURCE))
            paths.replace(inputs[-1], source.read_bytes())
        if archive.exists() and archive.stat().st_mtime >= max(
                path.stat().st_mtime for path in inputs):
            return archive
        with ui.step("build guest/"), paths.guard(root):
            paths.remove(log)
            for directory in ("dev", "proc", "sys", "bin"):
                (root / directory).mkdir(parents=True, exist_ok=True)
            fill(built, work, root, log)
            for package in PROGRAMS.get(name, ()):
                _install(package, built.kernel.target, root)
            _pack(root, archive, log)
    return archive


def _compile(built, sources, program, log, *options):
    _run([built.kernel.target.compiler, "-static", "-O2", "-Wall", *options,
          "-o", program, *sources], log)


def _demo(built, work, root, log):
    target = built.kernel.target
    _compile(built, [work / source.name for source in sorted(SOURCE.glob("*.c"))],
             root / "init", log, "-Wextra", "-Werror")
    for name in MODULES:
        _run(["make", "-C", built.source, f"O={built.dir}",
              f"ARCH={target.name}", f"CROSS_COMPILE={target.cross}",
              f"M={work / name}", *kernel.make_options(built.kernel), "modules"], log)
        shutil.copyfile(work / name / f"{name}.ko", root / f"{name}.ko")


def _witness(built, work, root, log):
    header = "linux/map_benchmark.h"        # newer than what the C library has of it
    paths.replace(work / "include" / header,
                  (built.source / "include/uapi" / header).read_bytes())
    _compile(built, [work / "benchmark/bench.c"], root / "init", log, "-Wextra", "-Werror")
    _compile(built, [built.source / "tools/dma/dma_map_benchmark.c"],
             root / "dma_map_benchmark", log, f"-I{work / 'include'}")


def _suites(built):
    """The modules of KUnit and the suites."""
    return [(built.dir / name).with_suffix(".ko")
            for name in (built.dir / "modules.order").read_text("utf-8").split()
            if name.endswith("kunit.o")]


def _modules(built, work, root, log):
    _compile(built, [work / "modules/load.c"], root / "init", log, "-Wextra", "-Werror")
    for module in _suites(built):
        shutil.copyfile(module, root / module.name)


def _run(cmd, log):
    process.run(cmd, env=kernel.environment(), log=log, check_status=BUILD,
                what="build guest/")


def _pack(root, archive, log):
    names = "\n".join(sorted(str(path.relative_to(root)) for path in root.rglob("*")))
    partial = archive.with_suffix(".partial")
    process.run(["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0", "-F", partial],
                cwd=root, input=names + "\n", log=log, check_status=BUILD)
    partial.replace(archive)


def _install(package, arch, root):
    """Put the programs of a Debian package for the architecture `arch` into `root`."""
    if package == "busybox-static" and arch.native:
        shutil.copy(str(shutil.which("busybox")), root / "bin/busybox")
        return
    with paths.lock("trees"):
        deb = fetch.package({"package": package, "arch": arch.debian, "suite": SUITE,
                             "out": "no other boot needs it"})
    fetch.extract(deb, root)
    paths.remove(root / "usr/share")
