# SPDX-License-Identifier: GPL-2.0-only
"""The exit statuses of ./lab and the one exception that carries them."""

PASS = 0
FAILED = 1
USAGE = 2
FETCH = 3
APPLY = 4
STYLE = 5
BUILD = 6
BOOT = 7
ENVIRONMENT = 8
SEND = 9
INTERNAL = 70                   # a bug in the lab itself
INTERRUPTED = 130


class LabError(Exception):
    """An expected failure: one line for the user that names the way out.

    ``status`` is what ./lab exits with.
    """

    def __init__(self, message: object, status: int = FAILED) -> None:
        super().__init__(" ".join(str(message).split()))
        self.status = status
