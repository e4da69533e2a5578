# SPDX-License-Identifier: GPL-2.0-only
"""Running cells: boot, have kunit.py read what comes out, keep the results."""

import shlex
import shutil
import subprocess
import sys

from .. import paths, process, results, ui
from . import events, guest, qemu, xen
from ..errors import BOOT, BUILD, LabError

_GRACE = 60                     # seconds for kunit.py to end a boot that takes too long


def run(cell, built, run_dir):
    """Boot `cell` on the kernel `built`; the Outcome, also kept in `run_dir`.

    LabError BUILD if the kernel has not been built.
    """
    if not built.image.exists():
        raise LabError(f"kernel {cell.kernel} has not been built: ./lab build "
                       f"{cell.kernel}", BUILD)
    where = run_dir / cell.name
    where.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(built.dir / ".config", where / "config")
    with ui.step(f"boot {cell.name}"):
        outcome, cmd = (_suites if cell.by_kunit else _direct)(cell, built, where)
        ktap = _ktap(built, where)
    for reason, times in results.skips(ktap).items():
        ui.note(f"      {times} skipped: {reason}")
    results.save(where, outcome, built.source.name, cmd)
    return outcome


def _suites(cell, built, where):
    """Boots into KUnit: kunit.py starts QEMU itself."""
    report = where / "results.json"
    machine = shlex.join(qemu.hardware(cell, built, where))
    options = [f"--qemu_args={machine}", f"--timeout={cell.timeout}",
               *(f"--kernel_args={arg}" for arg in ["panic=-1", *cell.args]),
               f"--json={report}", f"--junit={where / 'junit.xml'}", cell.suites]
    cmd = built.kunit("exec", *options)
    env = qemu.environment(built.kernel.arch, built.image)
    console = built.dir / "test.log"
    console.write_text("", encoding="utf-8")    # what is there is of another boot
    try:
        ran = process.run(cmd, cwd=built.source, log=where / "kunit.log", env=env,
                          timeout=cell.timeout + _GRACE).stdout
    except subprocess.TimeoutExpired as late:
        ran = str(late)
    shutil.copyfile(console, where / "console.log")
    text = console.read_text(encoding="utf-8", errors="replace")
    return (results.judge(cell.name, report, text, ran),
            ["env", *(f"{key}={value}" for key, value in env.items()), *cmd])


def command(cell, built, where, args, initrd=None):
    """The argv of QEMU for a boot of `cell` with the further kernel arguments `args`.

    What it needs besides is made in the directory `where`.
    """
    options = {"machine": qemu.hardware(cell, built, where), "initrd": initrd,
               "args": [*args, *cell.args]}
    if cell.xen:
        return qemu.xen_command(xen.hypervisor(), cell.xen, built.image, **options)
    arch = built.kernel.arch
    if not cell.bench:
        options["accelerator"] = qemu.accelerator(arch, built.image)
    cmd = qemu.command(arch, built.image, **options)
    return [sys.executable, events.__file__, *cmd] if cell.events else cmd


def _direct(cell, built, where):
    """Boots into guest/, under Xen or with a clock that counts instructions, which
    kunit.py cannot start: it reads the KTAP from the console."""
    console = where / "console.log"
    report = where / "results.json"
    if cell.demo:
        cmd = command(cell, built, where, ["kunit.enable=0", f"demo={cell.demo}"],
                      guest.initramfs(built))
    elif cell.bench:
        cmd = command(cell, built, where, [f"kunit.filter_glob={cell.bench}"],
                      guest.witness(built))
    else:
        cmd = command(cell, built, where, [f"kunit.filter_glob={cell.suites}",
                                           "kunit_shutdown=reboot"])
    ran = ""
    try:
        qemu.boot(cmd, timeout=cell.timeout, log=console)
    except LabError as err:
        if err.status != BOOT:
            raise
        ran = str(err)
    if cell.xen:
        # Dom0 and Xen both put CR before LF. kunit.py takes the first for the end of
        # a line and the empty line that follows for the end of a subtest.
        paths.replace(console, console.read_bytes().replace(b"\r\r\n", b"\r\n"))
    process.run(built.parse(f"--json={report}", f"--junit={where / 'junit.xml'}",
                            console), log=where / "kunit.log")
    text = console.read_text(encoding="utf-8", errors="replace")
    return results.judge(cell.name, report, text, ran), cmd


def _ktap(built, where):
    """The KTAP of the console by itself, which is kept too."""
    done = process.run(built.parse("--raw_output=kunit", where / "console.log"))
    (where / "ktap.log").write_text(done.stdout, encoding="utf-8")
    return done.stdout
