# SPDX-License-Identifier: GPL-2.0-only
"""What the user sees: results on stdout, progress on stderr."""

import contextlib
import os
import sys
import threading
import time

_ERASE = "\r\033[K"
_write = threading.RLock()
_steps = []                     # the texts of the steps that are under way


def _live():
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _print(text, stream):
    with _write:
        if _steps and _live():
            sys.stderr.write(_ERASE)
            sys.stderr.flush()
        stream.write(f"{text}\n")
        stream.flush()


def say(text):
    """Print a line of result on stdout, at once."""
    _print(text, sys.stdout)


def note(text):
    """Print a line worth knowing on stderr, at once."""
    _print(text, sys.stderr)


def conclusion(text):
    """Print the one last line of a command on stdout."""
    _print(text, sys.stdout)


def seconds(elapsed):
    """`elapsed` seconds as text: '0.4 s', '12 s', '3 min 20 s'."""
    if elapsed < 9.95:
        return f"{elapsed:.1f} s"
    whole = round(elapsed)
    if whole < 120:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s"


@contextlib.contextmanager
def step(text):
    """Show that `text` is being done and, at the end, how long it took.

    On a terminal the line counts the seconds; otherwise one line is printed at
    the end.  Steps may nest: the innermost is the one shown.
    """
    start = time.monotonic()
    me = object()
    over = threading.Event()

    def tick():
        while True:
            with _write:
                if _steps and _steps[-1] is me:
                    elapsed = time.monotonic() - start
                    sys.stderr.write(f"{_ERASE}{text} ... {elapsed:.0f} s")
                    sys.stderr.flush()
            if over.wait(1):
                return

    with _write:
        _steps.append(me)
    ticker = None
    if _live():
        ticker = threading.Thread(target=tick, daemon=True)
        ticker.start()
    end = "stopped after "
    try:
        yield
        end = ""
    finally:
        over.set()
        if ticker:
            ticker.join()
        _print(f"{text} ... {end}{seconds(time.monotonic() - start)}", sys.stderr)
        with _write:
            _steps.remove(me)
