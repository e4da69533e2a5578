# SPDX-License-Identifier: GPL-2.0-only
"""Running other programs so that nothing of them is left behind."""

import concurrent.futures
import contextlib
import errno
import io
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import paths, ui
from .errors import ENVIRONMENT, INTERRUPTED, LabError

NAME = "dma-require-coherent"
EMAIL = "noreply@example.org"

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE = 5.0                 # seconds between TERM and KILL
_NOISE = re.compile(r"^\s*$|^make(\[\d+\])?: |^hint: |compilation terminated|"
                    r"^[WN]: |^tar: Exiting|^tar: Child returned")
_ERROR = re.compile(r"(^|\s)(fatal |internal )?error: |^(E|fatal|xz|tar): ", re.I)


def catch_termination():
    """Let SIGTERM and SIGHUP end this process the way Ctrl-C does.

    Without it they would end it at once and leave its children running.
    """
    for number in _SIGNALS:
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


_running: set = set()                # what run() has started, in any thread
_ending = False
_starting = threading.Lock()    # what is started is in _running before ending() looks


@contextlib.contextmanager
def ending():
    """End whatever run() has started in any thread; nothing more starts meanwhile."""
    global _ending
    with _starting:
        _ending = True
        children = list(_running)
    try:
        for child in children:
            _kill(child)
        yield
    finally:
        _ending = False


@contextlib.contextmanager
def pool(threads: int) -> Iterator[concurrent.futures.Executor]:
    """An executor of so many threads. Interrupted, or left by an exception, it starts
    nothing more, and what its threads run is ended."""
    with concurrent.futures.ThreadPoolExecutor(threads) as executor:
        try:
            yield executor
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            with ending():
                executor.shutdown()
            raise


class Places:
    """So many places: whoever wants several waits for them, and nobody gets ahead."""

    def __init__(self, number: int) -> None:
        self.number = self.free = number
        self.waiting: list = []
        self.changed = threading.Condition()

    @contextlib.contextmanager
    def take(self, wanted: int) -> Iterator[None]:
        """Have that many of them, or all."""
        wanted, me = min(wanted, self.number), object()
        with self.changed:
            self.waiting.append(me)
            self.changed.wait_for(lambda: self.waiting[0] is me and self.free >= wanted)
            self.waiting.remove(me)
            self.free -= wanted
            self.changed.notify_all()
        try:
            yield
        finally:
            with self.changed:
                self.free += wanted
                self.changed.notify_all()


def last_line(text):
    """The line of `text` that says most about a failure, or ''."""
    lines = [line.strip() for line in text.splitlines()]
    useful = [line for line in lines if not _NOISE.match(line)]
    errors = [line for line in useful if _ERROR.search(line)]
    return (errors or useful or [line for line in lines if line] or [""])[-1]


def _environment(changes):
    env = dict(os.environ, LC_ALL="C.UTF-8")    # we read what programs say
    env.pop("LANGUAGE", None)
    for key, value in (changes or {}).items():
        if value is None:
            env.pop(key, None)
        else:
            env[key] = os.fspath(value)
    return env


def _alive(group):
    """Whether a process of the group still runs; a zombie, which a container's
    first process may never wait for, does not."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, number = stat.read_text().rpartition(")")[2].split()[:3]
            if int(number) == group and state not in "ZX":
                return True
    return False


def _await_end(child):
    """Wait until the process group of `child` is gone, _PATIENCE at the most."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        child.poll()
        if not _alive(child.pid):
            break
        time.sleep(0.02)


def _kill(child):
    """End the process group of `child`: TERM, then KILL; wait for it."""
    try:
        with contextlib.suppress(OSError):
            os.killpg(child.pid, signal.SIGTERM)
        _await_end(child)
    finally:
        with contextlib.suppress(OSError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        _await_end(child)


def _start(cmd, **popen):
    try:
        with _starting:
            if _ending:
                raise LabError(f"{cmd[0]}: interrupted", INTERRUPTED)
            child = subprocess.Popen(cmd, start_new_session=True, **popen)
            _running.add(child)
            return child
    except FileNotFoundError as err:
        if popen["cwd"] and not os.path.isdir(popen["cwd"]):
            raise LabError(f"{popen['cwd']} is not a directory", ENVIRONMENT) from err
        raise LabError(f"{cmd[0]} is missing: ./lab doctor names its package",
                       ENVIRONMENT) from err
    except OSError as err:
        if err.errno == errno.ENOSPC:
            raise paths.full(popen["cwd"] or os.getcwd()) from err
        raise LabError(f"{cmd[0]} cannot be started: {err.strerror}",
                       ENVIRONMENT) from err


def run(cmd, *, cwd=None, env=None, log=None, timeout=None, silence=None, input=None,
        check_status=None, what=None):
    """Run `cmd` (a list) in its own process group and wait for it.

    cwd           directory to run in
    env           changes to the environment, which is in English otherwise; a value
                  of None removes a variable
    log           file to which stdout and stderr are appended
    timeout       seconds
    silence       seconds without output, after which it is as late as after timeout
    input         text for stdin; without it stdin is empty
    check_status  LabError status for a failure; None lets the caller judge
    what          the words for the command in an error message

    Returns a subprocess.CompletedProcess; `stdout` is text, with `log` it is
    what this command added to the log, and `stderr` is empty then.

    On a timeout, Ctrl-C or any exception the whole group is ended first.  Raises
    LabError: ENVIRONMENT for a missing program or a full disk, `check_status`
    for a non-zero exit or a timeout.  Without check_status a timeout raises
    subprocess.TimeoutExpired, with the output so far, and a full disk is the
    caller's to see.
    """
    cmd = [os.fspath(word) for word in cmd]
    ui.command(cmd)
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(_appended(log) if log else tempfile.TemporaryFile())
        err = out if log else stack.enter_context(tempfile.TemporaryFile())
        stdin: Any = subprocess.DEVNULL
        if input is not None:
            stdin = stack.enter_context(tempfile.TemporaryFile())
            stdin.write(input.encode("utf-8", "replace"))
            stdin.seek(0)
        begin = out.tell()
        status, late = _finish(cmd, timeout, silence, cwd=cwd, env=_environment(env),
                               stdin=stdin, stdout=out, stderr=err)
        stdout, stderr = _text(out, begin), "" if log else _text(err)
    if late and check_status is None:
        raise subprocess.TimeoutExpired(cmd, timeout, stdout, stderr)
    if check_status is not None and (late or status):
        output = stdout + stderr
        if "No space left on device" in output:
            raise paths.full(cwd or log or os.getcwd())
        why = f"took longer than {timeout:g} s" if late else (
            last_line(output) or f"exit status {status}")
        raise LabError(f"{what or Path(cmd[0]).name}: {why}"
                       + (f" (log: {log})" if log else ""), check_status)
    return subprocess.CompletedProcess(cmd, status, stdout, stderr)


def _appended(log):
    with paths.guard(log):
        Path(log).parent.mkdir(parents=True, exist_ok=True)
        return open(log, "ab+")


@contextlib.contextmanager
def _undisturbed():
    """Signals that are caught wait until the end: Popen() forgets a child that it has
    started when one comes."""
    came: list = []
    kept: dict = {}
    if threading.current_thread() is threading.main_thread():
        kept = {number: signal.getsignal(number) for number in _SIGNALS
                if callable(signal.getsignal(number))}
    for number in kept:
        signal.signal(number, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
        for number in came[:1]:
            signal.raise_signal(number)


def _finish(cmd, timeout, silence, **popen):
    """Start `cmd` and wait for it: (its exit status, whether it took too long). Then,
    as at any exception, its group is ended."""
    child: Any = None
    try:
        with _undisturbed():
            child = _start(cmd, **popen)
        return _wait(child, timeout, silence, popen["stdout"]), False
    except subprocess.TimeoutExpired:
        _kill(child)
        return child.returncode, True
    except BaseException:
        if child:
            _kill(child)
        raise
    finally:
        _running.discard(child)


def _wait(child, timeout, silence, output):
    """The exit status of `child`; TimeoutExpired if it does not end, or says nothing for
    `silence` seconds."""
    end = time.monotonic() + timeout if timeout else None
    while silence:
        size = os.fstat(output.fileno()).st_size
        left = silence if end is None else min(silence, end - time.monotonic())
        try:
            return child.wait(left)
        except subprocess.TimeoutExpired:
            if left < silence or os.fstat(output.fileno()).st_size == size:
                raise
    return child.wait(timeout)


def _text(file, begin=0):
    """What is in `file` from `begin` on; closes it."""
    file.seek(begin)
    with io.TextIOWrapper(file, "utf-8", errors="replace", newline="") as text:
        return text.read()


# What the user configured for git must not change what we make with it.
_GIT_OPTIONS = ("gc.auto=0", "maintenance.auto=false", "core.hooksPath=/dev/null",
                "core.autocrlf=false", "core.quotePath=false", "commit.gpgSign=false",
                "advice.detachedHead=false")
_GIT_ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0", "GIT_PAGER": "cat", "LC_ALL": "C", "TZ": "UTC",
    "GIT_AUTHOR_NAME": NAME, "GIT_AUTHOR_EMAIL": EMAIL,
    "GIT_COMMITTER_NAME": NAME, "GIT_COMMITTER_EMAIL": EMAIL}


def git(*args, cwd, env=None, **kw):
    """Run git with `args` in `cwd`: no user configuration, hooks or gc, neutral
    identity.  Keywords, result and errors are those of run().
    """
    options = [word for option in _GIT_OPTIONS for word in ("-c", option)]
    inherited = {key: None for key in os.environ if key.startswith("GIT_")}
    return run(["git", *options, *args], cwd=cwd,
               env={**inherited, **_GIT_ENVIRONMENT, **(env or {})}, **kw)
