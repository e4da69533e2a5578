# SPDX-License-Identifier: GPL-2.0-only
"""What runs in a guest: initramfs archives with a program of guest/ as /init.

That of the demo is guest/*.c, with the modules that it loads; that of a benchmark
guest/benchmark/, with the kernel's own benchmark of tools/dma.
"""

import shutil

from .. import packages, paths, process, ui
from . import kernel
from ..errors import BUILD, LabError

SOURCE = paths.ROOT / "guest"
MODULES = ("edu_dma", "edu_rdma")
_DIRECTORIES = ("dev", "proc", "sys", "bin")


def initramfs(built, shell=False):
    """Build what runs in the guest for the kernel `built`; the path of the archive.

    With `shell` it also holds busybox. LabError BUILD if guest/ does not compile.
    """
    return _initramfs(built, "shell" if shell else "initramfs",
                      lambda work, root, log: _demo(built, work, root, log, shell))


def witness(built):
    """Build what benchmarks the kernel `built` from user space; the path of the
    archive.

    LabError BUILD if guest/ or tools/dma of the kernel does not compile.
    """
    return _initramfs(built, "bench",
                      lambda work, root, log: _witness(built, work, root, log))


def _initramfs(built, name, build):
    packages.need("build", "guest")
    work = built.dir / "guest"
    archive = work / f"{name}.cpio"
    with paths.lock(built.name):
        sources = []
        for source in sorted(SOURCE.rglob("*")):
            if source.is_file():
                sources.append(work / source.relative_to(SOURCE))
                paths.replace(sources[-1], source.read_bytes())
        if not _newer(archive, [built.image, *sources]):
            with ui.step("build guest/"):
                _build(built, work, archive, build)
    return archive


def _newer(path, inputs):
    return path.exists() and all(path.stat().st_mtime >= made.stat().st_mtime
                                 for made in inputs)


def _build(built, work, archive, build):
    root = work / archive.stem
    log = built.dir / "lab-guest.log"
    paths.remove(log)
    for name in _DIRECTORIES:
        (root / name).mkdir(parents=True, exist_ok=True)
    build(work, root, log)
    _pack(root, archive, log)


def _compile(built, sources, program, log, *options):
    _run([built.kernel.target.compiler, "-static", "-O2", "-Wall", *options,
          "-o", program, *sources], log)


def _demo(built, work, root, log, shell):
    target = built.kernel.target
    _compile(built, [work / source.name for source in sorted(SOURCE.glob("*.c"))],
             root / "init", log, "-Wextra", "-Werror")
    for name in MODULES:
        _run(["make", "-C", built.source, f"O={built.dir}",
              f"ARCH={target.name}", f"CROSS_COMPILE={target.cross}",
              f"M={work / name}", *kernel.make_options(target), "modules"], log)
        with paths.guard(root):
            shutil.copyfile(work / name / f"{name}.ko", root / f"{name}.ko")
    if shell:
        with paths.guard(root):
            shutil.copy(shutil.which("busybox"), root / "bin" / "busybox")


def _witness(built, work, root, log):
    header = "linux/map_benchmark.h"        # newer than what the C library has of it
    paths.replace(work / "include" / header,
                  (built.source / "include/uapi" / header).read_bytes())
    _compile(built, [work / "benchmark/bench.c"], root / "init", log, "-Wextra", "-Werror")
    _compile(built, [built.source / "tools/dma/dma_map_benchmark.c"],
             root / "dma_map_benchmark", log, f"-I{work / 'include'}")


def _run(cmd, log, **kw):
    process.run(cmd, env=kernel.environment(), log=log, check_status=BUILD,
                what="build guest/", **kw)


def _pack(root, archive, log):
    names = "\n".join(sorted(str(path.relative_to(root)) for path in root.rglob("*")))
    partial = archive.with_suffix(".partial")
    done = process.run(["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0",
                        "-F", partial], cwd=root, input=names + "\n", log=log)
    if done.returncode:
        raise LabError(f"cpio: {process.last_line(done.stdout)} (log: {log})", BUILD)
    partial.replace(archive)
