# SPDX-License-Identifier: GPL-2.0-only
"""Kernels: built out of tree by the kernel's own kunit.py, one directory each."""

import functools
import hashlib
import os
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from .. import model, packages, paths, process, ui
from ..source import trees
from ..errors import BUILD, LabError


# Of the archive's sparse, which does not know that operator of C23.
_SPARSE = "sparse -D__typeof_unqual__=__typeof__"
_OWN_CONFIGS = ("kernel/dma/.kunitconfig", "kernel/dma/tests/iommu.kunitconfig",
                "drivers/infiniband/core/tests/.kunitconfig")


@dataclass
class Build:
    """A kernel that has been built."""

    kernel: model.Kernel
    source: Path
    dir: Path
    packed = False              # and ready, without what it was built from

    @property
    def name(self):
        """What tells it from all others."""
        return f"{self.kernel.name}-{self.source.name}"

    @property
    def image(self):
        """What QEMU boots."""
        return self.dir / self.kernel.target.image

    @functools.cached_property
    def commit(self):
        """The commit that the source is at, with a + if it has changes besides."""
        changed = trees.git("status", "--porcelain", "--untracked-files=no",
                            cwd=self.source)
        return trees.git("rev-parse", "HEAD", cwd=self.source) + "+" * bool(changed)

    @functools.cached_property
    def digest(self):
        """The sha256 of the image."""
        return hashlib.sha256(self.image.read_bytes()).hexdigest()

    @functools.cached_property
    def version(self):
        """What uname -r says of the kernel."""
        release = self.dir / "include/config/kernel.release"
        return release.read_text("utf-8").strip() if release.exists() else ""

    def kunit(self, command, *args):
        """The argv of a command of its source's kunit.py."""
        return [sys.executable, self.source / "tools/testing/kunit/kunit.py", command,
                *args]


def make_options(kernel):
    """The options with which every make for `kernel` is called."""
    return [f"CC=ccache-c {kernel.compiler or kernel.target.compiler}"]


def environment():
    """What make and ccache find in the environment.

    What is compiled for the first time is not preprocessed twice: ccache takes the names
    of the headers from the compiler. Neither user, host, time nor the number of the build
    gets into a kernel.
    """
    return {"PATH": f"{Path(__file__).parent}:{os.environ['PATH']}",
            "CCACHE_DIR": paths.ccache(), "CCACHE_DEPEND": "1",
            "CCACHE_NOHASHDIR": "1", "CCACHE_MAXSIZE": "5G",
            "KBUILD_BUILD_TIMESTAMP": "2026-01-01", "KBUILD_BUILD_USER": "lab",
            "KBUILD_BUILD_HOST": "lab", "KBUILD_BUILD_VERSION": "1", "LC_ALL": "C",
            "MAKEFLAGS": None, "ARCH": None, "CROSS_COMPILE": None, "KBUILD_OUTPUT": None}


def at(kernel, name="series"):
    """The Build of `kernel` from tree `name`, whether it has been made or not."""
    return Build(kernel, paths.trees() / name,
                 paths.build(name, kernel.name))


def build(kernel, name="series"):
    """Build `kernel` from tree `name`; only what changed is compiled.

    LabError BUILD with the first error of the compiler, and those of the tree and
    of packages.need().
    """
    packages.need("build", *packages.compilers(kernel))
    trees.tree(name)
    made = at(kernel, name)
    with paths.lock(made.name):
        with paths.guard(made.dir):
            made.dir.mkdir(parents=True, exist_ok=True)
        return _build(made, f"build {kernel.name} from {name}")


def log(made):
    """What the compiler said in the last build of `made`."""
    return (made.dir / "lab-build.log").read_text(encoding="utf-8", errors="replace")


def warnings(made):
    """What the compiler complained of in files of the series, in its last build."""
    files = "|".join(map(re.escape, trees.touched("series")))
    return re.findall(rf"^.*\b(?:{files}):\d+.*: warning: .*$", log(made), re.M)


def complaints(made, files):
    """What gcc with W=1 and sparse say of `files` of the tree that `made` compiles: a
    set of lines, without numbers of lines."""
    sources = [Path(file) for file in files if file.endswith(".c")]
    objects = [file.with_suffix(".o") for file in sources
               if (made.dir / file.with_suffix(".o")).exists()]
    done = process.run(
        ["make", "-k", "-s", f"-j{packages.jobs() + 1}", f"O={made.dir}",
         f"ARCH={made.kernel.arch}", f"CROSS_COMPILE={made.kernel.target.cross}",
         *make_options(made.kernel), "W=1", "C=1", f"CHECK={_SPARSE}", *objects],
        cwd=made.source, env=environment(), log=made.dir / "lab-complaints.log")
    said = re.findall(r"^.*: (?:warning|error): .*$", done.stdout, re.M)
    return {re.sub(r":\d+(?=:)", "", line.replace(f"{made.source}/", ""))
            for line in said}


def _build(made, what):
    output = made.dir / "lab-build.log"
    paths.remove(output)
    start = time.time()
    own = [] if made.kernel.alone else _own_configs(made.source)
    configs = [*own, *_with_known_suites(made)]
    target = made.kernel.target
    cmd = made.kunit("build", f"--arch={target.name}", f"--build_dir={made.dir}",
                     f"--jobs={packages.jobs() + 1}", f"--cross_compile={target.cross}",
                     *(f"--kunitconfig={config}" for config in configs),
                     *(f"--make_options={option}" for option in
                       [*make_options(made.kernel), *made.kernel.make]))
    with ui.step(what):
        done = process.run(cmd, cwd=made.source, env=environment(), log=output)
    if done.returncode:
        if "No space left on device" in done.stdout:
            raise paths.full(made.dir)
        raise LabError(f"{what}: {_first_error(done.stdout)} (log: {output})", BUILD)
    ui.note(f"{objects(made.dir, start)} of {objects(made.dir)} objects compiled")
    return made


def _with_known_suites(made):
    """The fragments of a kernel, without the suites that its tree does not have (yet)."""
    for config in made.kernel.configs():
        text = config.read_text("utf-8")
        unknown = [name for name in re.findall(r"^CONFIG_(\w+_KUNIT_TEST)=", text, re.M)
                   if not _knows(made.source, name)]
        if unknown:
            text = re.sub(rf"^CONFIG_({'|'.join(unknown)})=.*\n", "", text, flags=re.M)
            config = made.dir / "fragments" / config.name
            paths.replace(config, text)
        yield config


def _knows(source, name):
    return any(re.search(rf"^config {name}$", (source / path).read_text("utf-8"), re.M)
               for path in ("kernel/dma/Kconfig", "drivers/infiniband/Kconfig"))


def _own_configs(source):
    """The configs that come with the suites in the tree `source`, as a user gives them
    to kunit.py; for trees without suites, what boots need of them."""
    own = [source / path for path in _OWN_CONFIGS if (source / path).exists()]
    return own or [paths.ROOT / "configs" / "untested.config"]


def _first_error(output):
    # kunit.py prefixes the first line of what make said.
    lines = [line.strip().removeprefix("ERROR:root:") for line in output.splitlines()
             if line.strip()]
    errors = [line for line in lines if "error:" in line.lower() or "Missing:" in line]
    return (errors or lines or ["no output"])[0]


def objects(where, since=0):
    """How many objects `where` holds that are not older than `since` (seconds)."""
    return sum(1 for path in where.rglob("*.o") if path.stat().st_mtime >= since)
