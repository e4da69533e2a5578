# SPDX-License-Identifier: GPL-2.0-only
"""QEMU: which accelerator boots Linux here, and booting with it."""

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path

from . import paths, process, ui
from .errors import BOOT, ENVIRONMENT, LabError

BINARY = {"x86_64": "qemu-system-x86_64"}
CONSOLE = {"x86_64": "console=ttyS0"}
MACHINE = {"x86_64": ["-bios", "qboot.rom"]}
XEN = ["com1=115200,8n1", "console=com1", "loglvl=error", "guest_loglvl=error"]

_PROBE = 15                     # seconds for a kernel to say its first word

# kunit.py asks QEMU for kvm, hvf and tcg in turn, and QEMU takes kvm as soon as
# the device opens. Where that hangs, this stands in front of QEMU in PATH.
_SHIM = """#!/bin/sh
n=$#
while [ $n -gt 0 ]; do
	if [ "$1" = -accel ] && [ "$2" != tcg ]; then
		shift 2
		n=$((n - 2))
	else
		set -- "$@" "$1"
		shift
		n=$((n - 1))
	fi
done
exec {qemu} "$@"
"""


def binary(arch):
    """The path of QEMU for `arch`; LabError ENVIRONMENT if there is none."""
    found = shutil.which(BINARY[arch])
    if not found:
        from . import packages
        raise LabError(f"{BINARY[arch]} is missing: {packages.advice(BINARY[arch])}",
                       ENVIRONMENT)
    return found


def command(arch, image, *, memory="1G", args=(), devices=(), initrd=None,
            accelerator="tcg"):
    """The argv that boots `image` with its console on stdout."""
    cmd = [*_machine(arch, memory, accelerator), *MACHINE[arch],
           "-kernel", os.fspath(image),
           "-append", " ".join([CONSOLE[arch], "panic=-1", *args])]
    if initrd:
        cmd += ["-initrd", os.fspath(initrd)]
    return cmd + _devices(devices)


def xen_command(hypervisor, xen_args, image, *, memory="1G", args=(), devices=(),
                initrd=None):
    """The argv that boots `image` as dom0 of Xen.

    Emulated, since Xen has been seen to boot that way only, with the firmware that
    loads Xen and has ACPI tables, and with the CPU that does not crash Xen.
    """
    dom0 = [os.fspath(image), "console=hvc0", "panic=-1", *args]
    modules = [" ".join(dom0).replace(",", ",,")]       # a comma ends a module
    if initrd:
        modules.append(os.fspath(initrd).replace(",", ",,"))
    return [*_machine("x86_64", memory, "tcg"), "-cpu", "qemu64",
            "-kernel", os.fspath(hypervisor), "-append", " ".join([*XEN, *xen_args]),
            "-initrd", ",".join(modules), *_devices(devices)]


def _machine(arch, memory, accelerator):
    return [binary(arch), "-nodefaults", "-nographic", "-no-reboot", "-serial", "stdio",
            "-accel", accelerator, "-m", memory]


def _devices(devices):
    cmd = []
    for device in devices:
        cmd += ["-device", device]
    return cmd


def accelerator(arch, image):
    """'kvm' if a kernel boots with it here, else 'tcg'.

    /dev/kvm may open and still hang Linux, so `image` is booted once to find out;
    the answer is kept until the host reboots or QEMU changes.
    """
    if os.uname().machine != arch or not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    version = process.run([binary(arch), "--version"]).stdout.split("\n", 1)[0]
    host = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    known = paths.cache() / "accelerator.json"
    key = f"{host} {version}"
    try:
        answer = json.loads(known.read_text(encoding="utf-8"))[key]
    except (OSError, ValueError, KeyError):
        with ui.step("try whether KVM boots Linux here"):
            answer = "kvm" if _speaks(arch, image) else "tcg"
        paths.replace(known, json.dumps({key: answer}).encode())
        if answer == "tcg":
            ui.note("/dev/kvm is there but does not boot Linux: using TCG")
    return answer


def _speaks(arch, image):
    cmd = command(arch, image, args=["kunit.enable=0"], accelerator="kvm")
    try:
        return "Linux version" in process.run(cmd, timeout=_PROBE).stdout
    except subprocess.TimeoutExpired as late:
        return "Linux version" in (late.output or "")


def environment(arch, image):
    """The environment in which kunit.py starts QEMU with the right accelerator."""
    if accelerator(arch, image) == "kvm":
        return {}
    shims = paths.cache() / "tcg"
    shim = shims / BINARY[arch]
    paths.replace(shim, _SHIM.replace("{qemu}", shlex.quote(binary(arch))).encode())
    shim.chmod(0o755)
    return {"PATH": f"{shims}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}


def boot(cmd, *, timeout, log):
    """Run QEMU until it ends; returns the console, which `log` keeps too.

    LabError BOOT if it takes longer than `timeout` seconds or fails to start.
    """
    paths.remove(log)
    try:
        done = process.run(cmd, log=log, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise LabError(f"the boot hung: no end after {timeout} s, see {log}",
                       BOOT) from None
    if done.returncode:
        raise LabError(f"QEMU: {process.last_line(done.stdout)} (log: {log})", BOOT)
    return done.stdout
