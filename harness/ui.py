# SPDX-License-Identifier: GPL-2.0-only
"""What the user sees: results on stdout, progress on stderr."""

import contextlib
import os
import shlex
import sys
import threading
import time
from typing import Iterator, Sequence, TextIO

verbose = False                 # show the commands that are run, too
_ERASE = "\r\033[K"
_LIVE, _QUIET = 1, 30           # seconds between signs of life on a terminal, or not
_START = time.monotonic()
_write = threading.RLock()
_steps: list[object] = []       # the steps that are under way


def _live() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _print(text: object, stream: TextIO) -> None:
    with _write:
        if _steps and _live():
            sys.stderr.write(_ERASE)
            sys.stderr.flush()
        stream.write(f"{text}\n")
        stream.flush()


def say(text: object) -> None:
    """Print a line of result on stdout, at once."""
    _print(text, sys.stdout)


conclusion = say                # the one last line of a command


def note(text: object) -> None:
    """Print a line worth knowing on stderr, at once."""
    _print(text, sys.stderr)


def command(words: Sequence) -> None:
    """Print a command that is about to be run, if the user wants to see them."""
    if verbose:
        note(f"$ {shlex.join(map(str, words))}")


def seconds(elapsed: float) -> str:
    """`elapsed` seconds as text: '0.4 s', '12 s', '3 min 20 s'."""
    if elapsed < 9.95:
        return f"{elapsed:.1f} s"
    whole = round(elapsed)
    if whole < 120:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s"


@contextlib.contextmanager
def step(text: str, number: int = 0, count: int = 0) -> Iterator[None]:
    """Show that `text` is being done, as step `number` of `count` if there are several,
    and at the end how long it took, and the whole command until then.

    On a terminal one line counts the seconds; otherwise a line says that the step
    begins, and every 30 s that it goes on.  Of nested steps a terminal shows the
    innermost.
    """
    start = time.monotonic()
    me = object()
    over = threading.Event()
    live = _live()
    if count:
        text = f"{number} of {count}: {text}"

    def tick() -> None:
        while not over.wait(_LIVE if live else _QUIET):
            show(f"{text} ... {seconds(time.monotonic() - start)} so far")

    def show(line: str) -> None:
        with _write:
            if not live:
                note(line)
            elif _steps[-1] is me:
                sys.stderr.write(_ERASE + line)
                sys.stderr.flush()

    with _write:
        _steps.append(me)
    show(f"{text} ...")
    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    end = "stopped after "
    try:
        yield
        end = ""
    finally:
        over.set()
        ticker.join()
        now = time.monotonic()
        note(f"{text} ... {end}{seconds(now - start)} ({seconds(now - _START)} in all)")
        with _write:
            _steps.remove(me)
