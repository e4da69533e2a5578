# SPDX-License-Identifier: GPL-2.0-only
"""Reading TOML, with what this Python offers."""

from .errors import ENVIRONMENT, LabError, USAGE


def _parser():
    try:
        import tomllib as parser
    except ImportError:
        try:
            import tomli as parser
        except ImportError:
            raise LabError("TOML cannot be read: needs Python 3.11, or the "
                           "package python3-tomli", ENVIRONMENT) from None
    return parser


def load(path):
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
