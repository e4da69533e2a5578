# SPDX-License-Identifier: GPL-2.0-only
"""A boot: QEMU is started, kunit.py reads what comes out, and all of it is kept."""

import itertools
import re
import shlex
import shutil
import sys
import time
from pathlib import Path

from .. import paths, process, results
from ..errors import BOOT, BUILD, LabError
from ..model import Cell
from . import events, guest, qemu, xen
from .kernel import Build


def boot(cell: Cell, build: Build, directory: Path) -> results.Outcome:
    """Boot `cell` on the kernel `build`; the Outcome, also kept in `directory`.

    LabError BUILD if the kernel has not been built, and those of what the machine
    takes besides: Xen, a device tree, the programs of guest/.
    """
    if not build.image.exists():
        raise LabError(f"kernel {cell.kernel} has not been built: ./lab build "
                       f"{cell.kernel}", BUILD)
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(build.dir / ".config", directory / "config")
    command = argv(cell, build, directory)
    outcome = results.Outcome(
        cell.name, build.source.name, cell.suites, commit=build.commit,
        version=build.version, image=build.digest, directory=str(directory),
        accelerator=command[command.index("-accel") + 1] if "-accel" in command else "")
    console, error = directory / "console.log", ""
    start = time.monotonic()
    try:
        qemu.boot(command, timeout=cell.timeout, log=console)
    except LabError as err:
        if err.status != BOOT:
            raise
        error = str(err)
    outcome.seconds = round(time.monotonic() - start, 1)
    if cell.xen:
        # Dom0 and Xen both put CR before LF. kunit.py takes the first for the end of
        # a line and the empty line that follows for the end of a subtest.
        paths.replace(console, console.read_bytes().replace(b"\r\r\n", b"\r\n"))
    if cell.modules and console.exists():
        paths.replace(console, _joined(console.read_bytes()))
    _parse(build, directory)
    results.judge(outcome, error)
    results.save(outcome, command)
    if outcome.problem:
        _decode(build, directory)
    return outcome


def argv(cell: Cell, build: Build, directory: Path) -> list:
    """The argv of QEMU for a boot of `cell`, with what it boots built. What QEMU needs
    besides is made in `directory`."""
    initrd = guest.archive(build, cell)
    if cell.demo:
        args = ["kunit.enable=0", f"demo={cell.demo}"]
    else:
        args = [f"kunit.filter_glob={cell.bench or cell.suites}"]
    if not initrd:
        args.append("kunit_shutdown=reboot")
    args += cell.args
    if not build.kernel.target.qemu:
        return qemu.program(build.kernel.target, build.image, cell.memory, args)
    given = {"machine": qemu.hardware(cell, build, directory), "args": args,
             "initrd": initrd}
    if cell.xen:
        return qemu.xen_command(xen.hypervisor(), cell.xen, build.image, **given)
    if cell.realm:
        return qemu.realm_command(guest.monitor(build), build.image, **given)
    arch = build.kernel.arch
    accelerator = "tcg" if cell.bench else qemu.accelerator(arch, build.image)
    command = qemu.command(arch, build.image, accelerator=accelerator, **given)
    return [sys.executable, events.__file__, *command] if cell.events else command


def _joined(console: bytes) -> bytes:
    """The `console` with all its KTAP reports made one: kunit.py reads no more."""
    begin, *reports = re.split(rb"^KTAP version 1\r?\n1\.\.(\d+)\r?\n", console,
                               flags=re.M)
    plan, numbers = sum(map(int, reports[::2])), itertools.count(1)
    return begin + b"KTAP version 1\n1..%d\n" % plan + re.sub(
        rb"^(ok|not ok) \d+ ", lambda found: b"%b %d " % (found[1], next(numbers)),
        b"".join(reports[1::2]), flags=re.M)


def _parse(build: Build, directory: Path) -> None:
    """Let kunit.py write results.json, junit.xml and ktap.log from the console."""
    console = directory / "console.log"
    process.run(build.kunit("parse", f"--json={directory / 'results.json'}",
                            f"--junit={directory / 'junit.xml'}", console),
                log=directory / "kunit.log")
    ktap = process.run(build.kunit("parse", "--raw_output=kunit", console)).stdout
    paths.replace(directory / "ktap.log", ktap)


def _decode(build: Build, directory: Path) -> None:
    """Keep the console with its stack traces decoded, where the kernel has symbols."""
    vmlinux, script = build.dir / "vmlinux", "scripts/decode_stacktrace.sh"
    console = directory / "console.log"
    if vmlinux.exists() and b"Call Trace" in console.read_bytes():
        process.run(["sh", "-c", f"{script} {shlex.quote(str(vmlinux))} "
                     f"< {shlex.quote(str(console))}"], cwd=build.source,
                    log=directory / "decoded.log", timeout=60)
