# SPDX-License-Identifier: GPL-2.0-only
"""Compiling single files with a change, to see whether that changes any instruction."""

import collections
import functools
import hashlib
import json
import re
import shlex
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from .. import packages, paths, process
from ..boot import kernel
from ..errors import ENVIRONMENT

_SAVED = re.compile(r"^savedcmd_\S+ := (.*?)(?: ; .*)?$", re.M)


def code(text: str) -> str:
    """The C `text` without its comments."""
    return process.run(["gcc", "-fpreprocessed", "-dD", "-E", "-P", "-x", "c", "-"],
                       input=text, check_status=ENVIRONMENT, what="gcc -E").stdout


class Memory:
    """What was computed before, kept in the file at `path`, for the same `words`."""

    def __init__(self, path: Path, *words: str) -> None:
        self.path, self.words, self._lock = path, words, threading.Lock()
        self.known = json.loads(path.read_text("ascii")) if path.exists() else {}

    def recall(self, compute: Callable[[], Optional[str]], *words: str) -> Optional[str]:
        """What compute() returns, or returned for the same `words`."""
        key = hashlib.sha256("\0".join([*self.words, *words]).encode()).hexdigest()
        if key not in self.known:
            found = compute()
            with self._lock:
                self.known[key] = found
        return self.known[key]

    def keep(self) -> None:
        """Write the file."""
        with self._lock:
            paths.replace(self.path, json.dumps(self.known, indent=0))


class Compiler:
    """Compiles `files` of the tree that `build` was made from, with the commands that
    make kept, each with one file in place of that of the tree."""

    def __init__(self, build: kernel.Build, files: Sequence[str], scratch: Path,
                 memory: Memory) -> None:
        self.build, self.files, self.scratch, self.memory = build, files, scratch, memory
        self._config = (build.dir / ".config").read_text("utf-8")

    @functools.lru_cache(maxsize=None)
    def uses(self, file: str) -> tuple[str, ...]:
        """The C files that this kernel compiles and that `file` is part of."""
        return tuple(source for source in self.files if source.endswith(".c") and (
            file == source or file.endswith(".h") and file in self._saved(source))
            and self._saved(source))

    @functools.lru_cache(maxsize=None)
    def _saved(self, source: str) -> str:
        """What make kept of how it compiled `source`: the command, and the headers."""
        path = self.build.dir / source
        made = path.with_name(f".{path.stem}.o.cmd")
        return made.read_text("utf-8") if made.exists() else ""

    def digest(self, file: str, text: str) -> Optional[str]:
        """What tells apart the objects that come of `file` with this `text`: '' if this
        kernel has none, None if it does not compile."""
        return self.memory.recall(lambda: self._digest(file, text), self.build.name,
                                  self._config, file, text)

    def _digest(self, file, text):
        digest = hashlib.sha256()
        for source in self.uses(file):
            made = self._object(source, file, text)
            if made is None:
                return None
            digest.update(made)
        return digest.hexdigest() if self.uses(file) else ""

    def _object(self, source: str, file: str, text: str) -> Optional[bytes]:
        found = _SAVED.search(self._saved(source))
        assert found, source
        words = [word for word in shlex.split(found[1]) if not word.startswith("-Wp,-MMD")]
        # One directory a thread; its files come before the tree's, and go by their names.
        top = self.scratch / str(threading.get_ident())
        for name, content in ((source, (self.build.source / source).read_text("utf-8")),
                              (file, text)):
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_text(content, "utf-8")
        output = top / "object.o"
        output.unlink(missing_ok=True)
        words[-1:] = [f"-fmacro-prefix-map={top}/=", f"{top / source}"]
        words[words.index("-o") + 1] = str(output)
        words.insert(2, f"-I{top}/include")
        done = process.run(words[words[0] == "ccache-c":], cwd=self.build.dir,
                           env=kernel.environment())
        (top / file).unlink()
        return None if done.returncode else output.read_bytes()


def compare(compilers: Sequence[Compiler], right: Mapping[str, str],
            changed: Sequence[tuple[str, str]]) -> list[Optional[tuple]]:
    """What the kernels of `compilers` make of each (file, text) of `changed`.

    None: it cannot be compiled. (): the same objects as of the `right` text of
    the file. A tuple otherwise, and equal ones for equal objects. A kernel is only asked
    for what those before it could not tell apart.
    """
    found: list[Any] = [(file,) for file, _ in changed]
    before: dict[str, tuple] = {file: (file,) for file, _ in changed}
    with process.pool(packages.jobs()) as pool:
        for compiler in compilers:
            alike = collections.Counter(found)
            asked = [number for number, (file, _) in enumerate(changed)
                     if found[number] and (alike[found[number]] > 1
                                           or found[number] == before.get(file))]
            same = {file: pool.submit(compiler.digest, file, right[file])
                    for file in dict.fromkeys(changed[number][0] for number in asked)}
            made = [(number, pool.submit(compiler.digest, *changed[number]))
                    for number in asked]
            for number, future in made:
                digest = future.result()
                found[number] = None if digest is None else (*found[number], digest)
            before = {file: (*before[file], future.result()) for file, future in same.items()}
    return [() if made and made == before.get(file) else made
            for made, (file, _) in zip(found, changed)]


def compiled(compilers: Sequence[Compiler],
             changed: Sequence[tuple[str, str]]) -> list[bool]:
    """Whether all kernels of `compilers` can compile each (file, text) of `changed`."""
    with process.pool(packages.jobs()) as pool:
        made = [[pool.submit(compiler.digest, *texts) for compiler in compilers]
                for texts in changed]
        return [all(future.result() is not None for future in futures) for futures in made]
