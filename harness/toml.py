# SPDX-License-Identifier: GPL-2.0-only
"""Reading TOML, with what this Python offers."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .errors import ENVIRONMENT, LabError, USAGE


def _parser() -> Any:
    for name in ("tomllib", "tomli"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise LabError("TOML cannot be read: needs Python 3.11, or the package "
                   "python3-tomli", ENVIRONMENT)


def load(path: Path) -> dict[str, Any]:
    """The contents of the TOML file `path` as a dict.

    LabError USAGE if it is missing or broken (with the line), LabError
    ENVIRONMENT if this Python has no TOML parser.
    """
    parser = _parser()
    try:
        with open(path, "rb") as file:
            return parser.load(file)
    except (parser.TOMLDecodeError, UnicodeDecodeError) as err:
        raise LabError(f"{path}: {err}", USAGE) from err
    except OSError as err:
        raise LabError(f"{path}: {err.strerror}", USAGE) from err


def entries(path: Path, name: str, keys: Sequence[str]) -> list[dict[str, str]]:
    """The tables [[name]] of the TOML file `path`, each with just these `keys`.

    LabError as of load(), and USAGE for one with other keys.
    """
    found = load(path).get(name, [])
    for number, entry in enumerate(found, 1):
        if sorted(entry) != sorted(keys):
            raise LabError(f"{path.name}: {name}, entry {number} has {', '.join(entry)}: "
                           f"needs {', '.join(keys)}", USAGE)
    return found
