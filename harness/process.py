# SPDX-License-Identifier: GPL-2.0-only
"""Running other programs so that nothing of them is left behind."""

import concurrent.futures
import contextlib
import errno
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import paths, ui
from .errors import ENVIRONMENT, INTERRUPTED, LabError

NAME = "dma-require-coherent"
EMAIL = "noreply@example.org"

_PATIENCE = 5.0                 # seconds between TERM and KILL
_NOISE = re.compile(r"^\s*$|^make(\[\d+\])?: |^hint: |compilation terminated|"
                    r"^[WN]: |^tar: Exiting|^tar: Child returned")
_ERROR = re.compile(r"(^|\s)(fatal |internal )?error: |^(E|fatal|xz|tar): ", re.I)


def catch_termination():
    """Let SIGTERM and SIGHUP end this process the way Ctrl-C does.

    Without it they would end it at once and leave its children running.
    """
    def interrupt(_number, _frame):
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, interrupt)


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
    try:
        os.killpg(group, 0)
    except OSError:
        return False
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, number = stat.read_text().rpartition(")")[2].split()[:3]
            if int(number) == group and state not in "ZX":
                return True
    return not Path("/proc/self/stat").exists()


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
        for pipe in (child.stdin, child.stdout, child.stderr):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()


def _start(cmd, **popen):
    try:
        with _starting:
            if _ending:
                raise LabError(f"{cmd[0]}: interrupted", INTERRUPTED)
            child = subprocess.Popen(cmd, start_new_session=True, text=True,
                                     encoding="utf-8", errors="replace", **popen)
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


def run(cmd, *, cwd=None, env=None, log=None, timeout=None, input=None,
        check_status=None, what=None):
    """Run `cmd` (a list) in its own process group and wait for it.

    cwd           directory to run in
    env           changes to the environment, which is in English otherwise; a value
                  of None removes a variable
    log           file to which stdout and stderr are appended
    timeout       seconds
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
    what = what or Path(cmd[0]).name
    late = None
    with contextlib.ExitStack() as stack:
        out: Any = subprocess.PIPE
        err = subprocess.PIPE
        if log:
            with paths.guard(log):
                Path(log).parent.mkdir(parents=True, exist_ok=True)
                out = stack.enter_context(open(log, "ab"))
            err = subprocess.STDOUT
            begin = out.tell()
        child = _start(cmd, cwd=cwd, env=_environment(env), stdout=out, stderr=err,
                       stdin=subprocess.DEVNULL if input is None else subprocess.PIPE)
        stdout = stderr = ""
        try:
            stdout, stderr = child.communicate(input, timeout)
        except subprocess.TimeoutExpired as expired:
            late = expired
            _kill(child)
            stdout = _text(expired.output)
            stderr = _text(expired.stderr)
        except BaseException:
            _kill(child)
            raise
        finally:
            _running.discard(child)
    if log:
        with open(log, "rb") as written:
            written.seek(begin)
            stdout, stderr = _text(written.read()), ""
    if late and check_status is None:
        raise subprocess.TimeoutExpired(cmd, timeout, stdout, stderr)
    if check_status is not None and (late or child.returncode):
        output = stdout + stderr
        if "No space left on device" in output:
            raise paths.full(cwd or log or os.getcwd())
        why = f"took longer than {timeout:g} s" if late else (
            last_line(output) or f"exit status {child.returncode}")
        raise LabError(f"{what}: {why}" + (f" (log: {log})" if log else ""),
                       check_status)
    return subprocess.CompletedProcess(cmd, child.returncode, stdout or "", stderr or "")


def _text(data):
    return data.decode("utf-8", "replace") if isinstance(data, bytes) else data or ""


# What the user configured for git must not change what we make with it.
_GIT_OPTIONS = ("gc.auto=0", "maintenance.auto=false", "core.hooksPath=/dev/null",
                "core.autocrlf=false", "core.quotePath=false", "commit.gpgSign=false",
                "advice.detachedHead=false")


def git_environment():
    """The changes to the environment under which git() runs git."""
    env: dict = {key: None for key in os.environ if key.startswith("GIT_")}
    env.update(GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_NOSYSTEM="1",
               GIT_TERMINAL_PROMPT="0", GIT_PAGER="cat", LC_ALL="C", TZ="UTC",
               GIT_AUTHOR_NAME=NAME, GIT_AUTHOR_EMAIL=EMAIL,
               GIT_COMMITTER_NAME=NAME, GIT_COMMITTER_EMAIL=EMAIL)
    return env


def git(*args, cwd, env=None, **kw):
    """Run git with `args` in `cwd`: no user configuration, hooks or gc, neutral
    identity.  Keywords, result and errors are those of run().
    """
    words = ["git"]
    for option in _GIT_OPTIONS:
        words += ["-c", option]
    return run(words + list(args), cwd=cwd, env={**git_environment(), **(env or {})},
               **kw)
