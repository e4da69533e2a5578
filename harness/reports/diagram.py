# SPDX-License-Identifier: GPL-2.0-only
"""./lab diagram: the pictures of README, and what they are drawn from."""

import hashlib
import json
import re
from pathlib import Path

from .. import packages, paths, process, ui
from ..errors import ENVIRONMENT, PASS
from ..gates.lint import PYTHON
from . import routes, tables

SOURCE, PICTURE = (paths.ROOT / "docs" / name for name in ("refused.dot", "refused.svg"))
TABLE, SQUARES = (paths.ROOT / "docs" / name for name in ("routes.md", "routes.svg"))
_RENDER = Path(__file__).with_name("render.py")


def run() -> int:
    """Draw both; an exit status. LabError ENVIRONMENT without what draws."""
    packages.need("diagram", "report")
    for source, picture, command, words in (
            (SOURCE, PICTURE, ["dot", "-Tsvg", SOURCE], ""),
            (TABLE, SQUARES, [PYTHON, _RENDER], json.dumps(squares()))):
        drawn = process.run(command, input=words, check_status=ENVIRONMENT).stdout
        drawn = re.sub(r"^.*?(?=<svg)", "", drawn, flags=re.S)
        changed = paths.replace(picture, f"<!-- {mark(source)} -->\n{drawn}")
        ui.conclusion(f"diagram: {picture.relative_to(paths.ROOT)} "
                      f"{'written' if changed else 'as it was'}")
    return PASS


def mark(source: Path) -> str:
    """What a picture of the present `source` begins with."""
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    return (f"SPDX-License-Identifier: GPL-2.0-only. Drawn by ./lab diagram from "
            f"{source.name}, sha256 {digest}")


def squares() -> list[tuple[str, list[bool]]]:
    """[(suite, whether stock does what the series does, for each line)] of the route
    table."""
    return [(table["title"], [dict(zip(table["rows"][0], row))["stock"] == routes.SAME
                              for row in table["rows"][1:]])
            for table in tables.parse(TABLE.read_text("utf-8"))
            if table["rows"][0][:2] == ["test", "request"]]
