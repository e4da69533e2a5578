# SPDX-License-Identifier: GPL-2.0-only
"""Where things are: the checkout, and the cache that holds everything big."""

import contextlib
import errno
import fcntl
import functools
import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Iterator, Union

from . import ui
from .errors import ENVIRONMENT, LabError

# LAB_ROOT lets the harness work on another checkout's mails.
ROOT = Path(os.environ.get("LAB_ROOT") or Path(__file__).resolve().parent.parent)

GIB = 1 << 30
Name = Union[str, os.PathLike]


def cache() -> Path:
    """The cache directory, created; LabError ENVIRONMENT if it cannot be used.

    The environment is read at each call.  A relative XDG_CACHE_HOME is
    ignored, as the XDG base directory specification asks.
    """
    top = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(top):
        top = os.path.expanduser("~/.cache")
    path = Path(top) / "dma-require-coherent"
    with guard(path):
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
    if free(path) < 1 << 20:
        raise full(path)
    return path


def _sub(name: str) -> Path:
    path = cache() / name
    with guard(path):
        path.mkdir(exist_ok=True)
    return path


downloads = functools.partial(_sub, "downloads")    # what came from the archive
trees = functools.partial(_sub, "trees")            # the git work trees
results = functools.partial(_sub, "results")        # logs and reports of test runs
ccache = functools.partial(_sub, "ccache")          # the compiler cache


def build(tree: str, name: str) -> Path:
    """The build directory `name` in the source tree `tree`, whose .gitignore hides it.
    From there make and gcc call the source "..", whatever the tree: ccache serves one
    tree with the objects of another, and their dependencies hold there, too."""
    return trees() / tree / f".build-{name}"


def free(path: Name) -> int:
    """Free bytes for an unprivileged user on the file system of `path`."""
    path = Path(path).absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free


def size(*directories: Name) -> int:
    """The bytes that `directories` take on their file system; 0 for missing ones."""
    if not directories:                 # du would take the present one
        return 0
    du = subprocess.run(["du", "-skc", "--", *directories], capture_output=True,
                        check=False)
    return int(du.stdout.split()[-2]) << 10


def full(path: Name) -> LabError:
    """The LabError ENVIRONMENT for a file system with no space left."""
    return LabError(
        f"no space left for {path} ({free(path) / GIB:.1f} GiB free): make room "
        "there, or set XDG_CACHE_HOME to a larger file system", ENVIRONMENT)


def want_free(gib: float, path: Name) -> None:
    """Raise LabError ENVIRONMENT unless `gib` GiB are free at `path`."""
    if free(path) < gib * GIB:
        raise full(path)


@contextlib.contextmanager
def guard(path: Name) -> Iterator[None]:
    """Turn OSErrors of the file system below `path` into LabError ENVIRONMENT."""
    try:
        yield
    except OSError as err:
        if err.errno in (errno.ENOSPC, errno.EDQUOT):
            raise full(path) from err
        if err.errno in (errno.EACCES, errno.EPERM, errno.EROFS,
                         errno.ENOTDIR, errno.EEXIST):
            raise LabError(
                f"cannot write {err.filename or path}: {err.strerror}; set "
                "XDG_CACHE_HOME to a directory that is yours", ENVIRONMENT) from err
        raise


def replace(path: Name, content: Union[str, bytes]) -> bool:
    """Make the file `path` hold `content`, text as UTF-8, atomically.

    Returns False, and leaves the file and its times alone, if it already did.
    """
    path = Path(path)
    data = content.encode() if isinstance(content, str) else content
    with guard(path):
        with contextlib.suppress(FileNotFoundError):
            if path.read_bytes() == data:
                return False
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{threading.get_native_id()}")
        try:
            partial.write_bytes(data)
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    return True


def remove(path: Name) -> None:
    """Remove a file or a directory tree, if it is there."""
    path = Path(path)
    with guard(path):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


_locks: dict[Path, list] = {}
_locks_guard = threading.Lock()


@contextlib.contextmanager
def lock(name: str, wait: bool = True) -> Iterator[None]:
    """Hold the cache's lock `name` against other processes and threads.

    Waits, with a note, while another process holds it, or is a LabError ENVIRONMENT.
    The thread that holds it may take it again.
    """
    path = cache() / f"{name}.lock"
    with _locks_guard:
        mine = _locks.setdefault(path, [threading.RLock(), 0])
    with mine[0]:
        if mine[1]:
            yield
            return
        with guard(path):
            held = open(path, "a+", encoding="ascii")
        with held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held.seek(0)
                number = held.read().strip()    # nothing, before it is written
                owner = f"process {number}" if number else "another process"
                if not wait:
                    raise LabError(f"{owner} holds {path}: try again when it has ended",
                                   ENVIRONMENT) from None
                ui.note(f"waiting for {owner}, which holds {path}")
                fcntl.flock(held, fcntl.LOCK_EX)
            held.truncate(0)
            held.write(str(os.getpid()))
            held.flush()
            mine[1] += 1
            try:
                yield
            finally:
                mine[1] -= 1
                held.truncate(0)
