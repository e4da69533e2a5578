# SPDX-License-Identifier: GPL-2.0-only
"""QEMU: which accelerator boots Linux here, and booting with it."""

import json
import os
import subprocess
from pathlib import Path

from .. import paths, process, ui
from ..model import ARCHES
from ..errors import BOOT, ENVIRONMENT, USAGE, LabError

XEN = ["com1=115200,8n1", "console=com1", "loglvl=error", "guest_loglvl=error"]

# One CPU, whose clock advances by 1 ns for each instruction and, while it idles, at
# once to the next timer. The time of day is the same in every boot.
COUNTING = ["-icount", "shift=0,sleep=off", "-rtc", "base=2026-01-01,clock=vm"]

_PROBE = 15                     # seconds for a kernel to say its first word


def hardware(cell, built, where):
    """The arguments of QEMU that make up the machine of `cell`.

    An overlay is applied to the device tree that QEMU itself would give such a
    machine; the result is kept in the directory `where`.
    """
    made = ["-m", cell.memory]
    if cell.machine:
        made += ["-machine", cell.machine]
    if cell.cpu:
        made += ["-cpu", cell.cpu]
    if cell.cpus > 1:
        made += ["-smp", str(cell.cpus)]
    for device in cell.devices:
        made += ["-device", device]
    made += cell.options
    if cell.bench:
        made += COUNTING
    if cell.overlay:
        made += ["-dtb", os.fspath(_device_tree(cell, built.kernel.arch, made, where))]
    return made


def _device_tree(cell, arch, machine, where):
    plain, overlay, result = (where / name for name in
                              ("qemu.dtb", "overlay.dtbo", "machine.dtb"))
    for cmd in ([ARCHES[arch].qemu, *ARCHES[arch].options, *machine,
                 "-machine", f"dumpdtb={plain}", "-display", "none"],
                ["dtc", "-q", "-o", overlay, cell.overlay_source()],
                ["fdtoverlay", "-i", plain, "-o", result, overlay]):
        process.run(cmd, check_status=ENVIRONMENT,
                    what=f"the device tree of {cell.name}")
    return result


def command(arch, image, *, machine=("-m", "1G"), args=(), initrd=None,
            accelerator="tcg"):
    """The argv that boots `image` with its console on stdout."""
    cmd = [*_machine(arch, (*ARCHES[arch].options, *machine), accelerator),
           "-kernel", os.fspath(image),
           "-append", " ".join([ARCHES[arch].console, "panic=-1", *args])]
    if initrd:
        cmd += ["-initrd", os.fspath(initrd)]
    return cmd


def realm_command(monitor, image, *, machine, args, initrd):
    """The argv that boots `image` beneath `monitor` (a guest.Monitor).

    That is the firmware, which QEMU leaves to find kernel and initrd by itself: both
    are put where it says. -kernel is for -append, which QEMU takes only with one.
    """
    parts = [(image, monitor.kernel)]
    if initrd:
        parts.append((initrd, monitor.initrd))
        args = [*args, f"initrdmem={monitor.initrd:#x},{Path(initrd).stat().st_size}"]
    cmd = command("arm64", image, machine=machine, args=args)
    for file, address in parts:
        cmd += ["-device", f"loader,file={file},addr={address:#x},force-raw=on"]
    return [*cmd, "-drive", f"if=pflash,format=raw,readonly=on,file={monitor.flash}"]


def program(arch, image, memory, args):
    """The argv that runs `image`, which is User Mode Linux, with its console on stdout."""
    return [os.fspath(image), f"mem={memory}", arch.console, *args, *arch.options]


def xen_command(hypervisor, xen_args, image, *, machine, args, initrd):
    """The argv that boots `image` as dom0 of Xen.

    Emulated, since Xen has been seen to boot that way only, with the firmware that
    loads Xen and has ACPI tables, and with the CPU that does not crash Xen.
    """
    dom0 = [os.fspath(image), "console=hvc0", "panic=-1", *args]
    modules = [" ".join(dom0).replace(",", ",,")]       # a comma ends a module
    if initrd:
        modules.append(os.fspath(initrd).replace(",", ",,"))
    return [*_machine("x86_64", machine, "tcg"), "-cpu", "qemu64",
            "-kernel", os.fspath(hypervisor), "-append", " ".join([*XEN, *xen_args]),
            "-initrd", ",".join(modules)]


def _machine(arch, machine, accelerator):
    return [ARCHES[arch].qemu, "-nodefaults", "-nographic", "-no-reboot", "-serial", "stdio",
            "-accel", accelerator, *machine]


def accelerator(arch, image):
    """'kvm' if a kernel boots with it here, else 'tcg'.

    /dev/kvm may open and still hang Linux, so `image` is booted once to find out;
    the answer is kept until the host reboots or QEMU changes.
    """
    if not has_kvm(arch):
        return "tcg"
    with paths.lock("accelerator"):
        answer = tried(arch)
        if not answer:
            with ui.step("try whether KVM boots Linux here"):
                answer = "kvm" if _speaks(arch, image) else "tcg"
            paths.replace(_answers(), json.dumps({_host(arch): answer}))
            if answer == "tcg":
                ui.note("/dev/kvm is there but does not boot Linux: using TCG")
        return answer


def has_kvm(arch):
    """Whether this machine may run kernels for `arch` without emulating them."""
    return ARCHES[arch].native and os.access("/dev/kvm", os.R_OK | os.W_OK)


def tried(arch):
    """What accelerator() has found out of KVM here: 'kvm' or 'tcg', '' for nothing."""
    try:
        return json.loads(_answers().read_text("utf-8"))[_host(arch)]
    except (LabError, OSError, ValueError, KeyError):
        return ""


def _answers():
    return paths.cache() / "accelerator.json"


def _host(arch):
    """What such an answer holds for: this boot of this machine, and this QEMU."""
    version = process.run([ARCHES[arch].qemu, "--version"]).stdout.split("\n", 1)[0]
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    return f"{boot_id} {version}"


def _speaks(arch, image):
    cmd = command(arch, image, args=["kunit.enable=0"], accelerator="kvm")
    try:
        return "Linux version" in process.run(cmd, timeout=_PROBE).stdout
    except subprocess.TimeoutExpired as late:
        return "Linux version" in (late.output or "")


def boot(cmd, *, timeout, log, silence=None):
    """Run QEMU until it ends; returns the console, which `log` keeps too.

    LabError BOOT if it takes longer than `timeout` seconds or says nothing for `silence`
    seconds, both of which TIMEOUT_FACTOR in the environment stretches, or if QEMU fails.
    """
    paths.remove(log)
    timeout *= factor()
    try:
        done = process.run(cmd, log=log, timeout=timeout,
                           silence=silence and silence * factor())
    except subprocess.TimeoutExpired:
        raise LabError(f"the boot hung: timed out after {timeout:g} s (on a slow machine "
                       "set TIMEOUT_FACTOR)", BOOT) from None
    if done.returncode:
        why = process.last_line(done.stdout) or f"exit status {done.returncode}"
        raise LabError(f"QEMU: {why}", BOOT)
    return done.stdout


def factor() -> float:
    """By what TIMEOUT_FACTOR stretches the time that a boot may take: 1 or more."""
    given = os.environ.get("TIMEOUT_FACTOR", "1")
    try:
        number = float(given)
    except ValueError:
        number = 0
    if not 1 <= number <= 1000:
        raise LabError(f"TIMEOUT_FACTOR={given}: a number from 1 to 1000 is wanted",
                       USAGE)
    return number
