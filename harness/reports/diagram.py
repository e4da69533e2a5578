# SPDX-License-Identifier: GPL-2.0-only
"""./lab diagram: docs/refused.dot as docs/refused.svg, and what it says."""

import hashlib
import re

from .. import packages, paths, process, ui
from ..errors import ENVIRONMENT, PASS

SOURCE, PICTURE = (paths.ROOT / "docs" / name for name in ("refused.dot", "refused.svg"))
# The beginning of the names of its questions, for each implementation of the DMA API.
ROUTES = {"direct_": "dma-direct", "iommu_": "dma-iommu", "xen_": "xen-swiotlb",
          "ops_": "dma_map_ops"}


def run() -> int:
    """Draw the picture; an exit status. LabError ENVIRONMENT without graphviz."""
    packages.need("diagram")
    drawn = process.run(["dot", "-Tsvg", SOURCE], check_status=ENVIRONMENT).stdout
    drawn = re.sub(r"^.*?(?=<svg)", "", drawn, flags=re.S)
    changed = paths.replace(PICTURE, f"<!-- {mark()} -->\n{drawn}".encode())
    ui.conclusion(f"diagram: {PICTURE.relative_to(paths.ROOT)} "
                  f"{'written' if changed else 'as it was'}")
    return PASS


def mark() -> str:
    """What a picture of the present source begins with."""
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()
    return (f"SPDX-License-Identifier: GPL-2.0-only. Drawn by ./lab diagram from "
            f"{SOURCE.name}, sha256 {digest}")


def exits() -> set[tuple[str, str]]:
    """{(implementation, reason)} of the refusals that the picture shows."""
    return {(ROUTES[lane], reason) for lane, reason in re.findall(
        r"^\s*([a-z]+_)\w+ -> ([A-Z_]+)\b", SOURCE.read_text("utf-8"), re.M)}
