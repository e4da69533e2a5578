# SPDX-License-Identifier: GPL-2.0-only
"""Xen, under which a kernel can be booted as dom0: fetched from Debian, not installed."""

import gzip
import os
from pathlib import Path

from .. import paths
from ..source import fetch
from ..errors import FETCH, LabError

# A suite of its own, whatever this machine has: that Xen is known to boot in QEMU.
PACKAGE = {"package": "xen-hypervisor-4.17-amd64", "suite": "bookworm",
           "out": "set XEN to a file like boot/xen-4.17-amd64.gz of that package"}


def hypervisor():
    """The path of Xen as QEMU loads it, that is not compressed.

    It comes from XEN, the cache or Debian's package. LabError FETCH if none of
    them has it.
    """
    given = os.environ.get("XEN")
    if given:
        return _open(Path(given), paths.downloads() / "xen", f"XEN={given}")
    with paths.lock("trees"):
        deb = fetch.package(PACKAGE)
        image = paths.downloads() / f"{deb.stem}.xen"
        if not image.exists():
            with fetch.member(deb, "boot/xen-*.gz", PACKAGE) as packed:
                _open(packed, image, deb.name)
    return image


def _open(packed, image, name):
    """QEMU wants an ELF file, packages have it compressed."""
    try:
        data = packed.read_bytes()
        paths.replace(image, gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
    except (OSError, EOFError, ValueError) as err:
        raise LabError(f"{name} cannot be read: {err}; {PACKAGE['out']}",
                       FETCH) from None
    return image
