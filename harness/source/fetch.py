# SPDX-License-Identifier: GPL-2.0-only
"""Getting the stock kernel: from LINUX_TREE, LINUX_TARBALL, the cache or Debian.

trees()/stock.json lists the sources that were imported, the present one first.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Callable, Iterator, Optional

from .. import packages, paths, process, toml, ui
from ..errors import FETCH, USAGE, LabError

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
PACKAGE = "package "            # how keys of Debian's package begin
ROOM = 3                        # GiB: archive, unpacked tree and its git pack


@dataclasses.dataclass
class Source:
    """A stock kernel.

    version   '7.3.4'
    origin    where it came from, for people
    key       equal for equal sources
    commit    in the repository of the trees; None if it is not there yet, then one of
              these says how to import it
    unpacked  directory just unpacked
    objects   writes what is missing into a repository, returns the id of the git tree
    """

    version: str
    origin: str
    key: str
    commit: Optional[str] = None
    unpacked: Optional[Path] = None
    objects: Optional[Callable[[Path], str]] = None

    def save(self) -> None:
        """Remember that trees()/stock is this source."""
        self.unpacked = self.objects = None
        sources = [self] + [other for other in _sources() if other.key != self.key]
        text = json.dumps([dataclasses.asdict(source) for source in sources], indent=1)
        paths.replace(paths.trees() / "stock.json", text + "\n")


def _sources():
    """The sources that are in the repository, the one used last first."""
    stock = paths.trees() / "stock"
    try:
        if not (stock / ".git").is_dir():
            return []
        data = json.loads(stock.with_suffix(".json").read_text(encoding="utf-8"))
        return [Source(**fields) for fields in data]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def _imported(key):
    """The source whose key begins with `key`, if it is in the repository, or None."""
    return next((source for source in _sources() if source.key.startswith(key)), None)


def known() -> dict:
    """The contents of base/base.toml."""
    return toml.load(paths.ROOT / "base/base.toml")


def ways_out() -> str:
    """The end of an error message: what the user can do for a source."""
    series = known()["series"]
    return (f"set LINUX_TREE to a git tree with a v{series}.N tag, or LINUX_TARBALL to "
            f"a linux-{series}.N tarball")


def current() -> Source:
    """The Source that trees()/stock is; LabError FETCH if there is none yet."""
    source = _imported("")
    if not source:
        raise LabError("there is no kernel source yet: `./lab tree stock` gets it", FETCH)
    return source


def ensure_stock() -> Source:
    """The Source to work with; its commit is None if it has to be imported first.

    Looks at LINUX_TREE, LINUX_TARBALL, the cache and Debian's package, in this
    order.  LabError USAGE for LINUX_REF alone, FETCH if there is no intact kernel of
    the right series, ENVIRONMENT if there is no room for it.
    """
    with paths.lock("trees"):
        if os.environ.get("LINUX_TREE"):
            return _from_tree(Path(os.environ["LINUX_TREE"]))
        if os.environ.get("LINUX_REF"):
            raise LabError("LINUX_REF names a commit of LINUX_TREE: set that too", USAGE)
        if os.environ.get("LINUX_TARBALL"):
            return _from_tarball(Path(os.environ["LINUX_TARBALL"]))
        return _imported(PACKAGE) or _from_package(package(known()))


def newer() -> Optional[Source]:
    """The Source of a newer release of the package, or None, which a note explains.

    LabError USAGE if LINUX_TREE or LINUX_TARBALL take its place.
    """
    for name in ("LINUX_TREE", "LINUX_TARBALL"):
        if os.environ.get(name):
            raise LabError(f"only the package is looked for, and {name} is set: unset it",
                           USAGE)
    packages.need("source")
    deb = _download(known())
    if _imported(PACKAGE + deb.name):
        ui.note(f"there is nothing newer than {deb.name} in {known()['suite']}")
        return None
    return _from_package(deb)


# -- unpacking ---------------------------------------------------------------

def fresh(name: str) -> Path:
    """An empty directory `name` in trees()."""
    path = paths.trees() / name
    paths.remove(path)
    with paths.guard(path):
        path.mkdir()
    return path


@contextlib.contextmanager
def scratch(name: str) -> Iterator[Path]:
    """An empty directory `name` in trees(), for as long as the context lasts."""
    path = fresh(name)
    try:
        yield path
    finally:
        paths.remove(path)


def _version(makefile, name, any_series=False):
    """The version that the text of a kernel's Makefile states; LabError FETCH if it
    is not of our series."""
    part = dict(re.findall(r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION) *= *(\S+)$",
                           makefile, re.M))
    if not {"VERSION", "PATCHLEVEL", "SUBLEVEL"} <= set(part):
        raise LabError(f"{name} holds no kernel; {ways_out()}", FETCH)
    series = f"{part['VERSION']}.{part['PATCHLEVEL']}"
    version = f"{series}.{part['SUBLEVEL']}{part.get('EXTRAVERSION', '')}"
    if series != known()["series"] and not any_series:
        raise LabError(f"{name} is Linux {version}, not {known()['series']}.N; "
                       f"{ways_out()}", FETCH)
    return version


def _tar(archive, name):
    """Unpack a kernel tarball; returns (version, directory).

    The directory appears under its name only when it is whole.
    """
    paths.want_free(ROOM, paths.trees())
    unpacked = paths.trees() / "stock.new"
    with scratch("stock.partial") as partial:
        with ui.step(f"unpack {archive.name}"):
            process.run(["tar", "-xf", archive, "-C", partial, "--strip-components=1",
                         "--no-same-owner"], check_status=FETCH,
                        what=f"{name} is truncated or altered, get it again")
        makefile = partial / "Makefile"
        version = _version(makefile.read_text("utf-8") if makefile.exists() else "", name)
        paths.remove(unpacked)
        with paths.guard(unpacked):
            partial.rename(unpacked)
    return version, unpacked


# -- LINUX_TREE and LINUX_TARBALL --------------------------------------------

def _from_tree(where):
    ref = os.environ.get("LINUX_REF")
    name = f"LINUX_TREE={where}" + (f", LINUX_REF={ref}" if ref else "")

    def git(*args, **kw):
        # The user named this tree, so whoever owns it is fine.
        return process.git("-c", "safe.directory=*", *args, cwd=where, what=name,
                           **kw).stdout.strip()

    def objects(repository):
        old = _imported("tree ")
        base = old and git("rev-parse", "--quiet", "--verify", f"{old.key[5:]}^{{tree}}")
        git("pack-objects", "--quiet", "--revs", repository / ".git/objects/pack/pack",
            input=f"{content}\n" + (f"^{base}\n" if base else ""), check_status=FETCH)
        return content

    if not where.is_dir() or not git("rev-parse", "--git-dir"):
        raise LabError(f"{name} is not a git tree; {ways_out()}", FETCH)
    origin = f"{ref} of {where}" if ref else f"tag {_newest_tag(git, name)} of {where}"
    commit = ref or origin.split()[1]
    if ref == "HEAD":
        local = git("stash", "create", check_status=FETCH)
        commit, origin = local or ref, origin + " with local changes" * bool(local)
    content = git("rev-parse", "--verify", f"{commit}^{{tree}}", check_status=FETCH)
    version = _version(git("show", f"{content}:Makefile"), name, any_series=ref)
    have = _imported(f"tree {content}")
    if not have:
        paths.want_free(2 * ROOM, paths.trees())
    return Source(version, origin, f"tree {content}", have and have.commit,
                  objects=None if have else objects)


def _newest_tag(git, name):
    """The tag v7.3.N with the highest N that `git` lists."""
    series = known()["series"]
    tags = [tag for tag in git("tag", "--list", "--sort=-v:refname", f"v{series}*").split()
            if re.fullmatch(rf"v{re.escape(series)}(\.\d+)?", tag)]
    if not tags:
        raise LabError(f"{name} has no tag v{series}.N: fetch the stable tags there, "
                       "name a commit with LINUX_REF, or unset it", FETCH)
    return tags[0]


def _from_tarball(tarball):
    name = f"LINUX_TARBALL={tarball}"
    if not tarball.is_file():
        raise LabError(f"{name} is not a file; {ways_out()}", FETCH)
    tarball = tarball.resolve()
    stat = tarball.stat()
    key = f"file {tarball} {stat.st_size} {stat.st_mtime_ns}"
    have = _imported(key)
    if have:
        return have
    version, unpacked = _tar(tarball, name)
    return Source(version, tarball.name, key, unpacked=unpacked)


# -- Debian's package --------------------------------------------------------

def _from_package(deb):
    name = known()["package"]
    with member(deb, f"usr/src/{name}.tar.*", known()) as tarball:
        version, unpacked = _tar(tarball, deb.name)
    return Source(version, f"Debian {name} {_package_version(deb)}",
                  PACKAGE + deb.name, unpacked=unpacked)


def package(base: dict) -> Path:
    """The .deb of base["package"], for base["arch"] if that is given: the newest in
    downloads(), or else fetched from base["suite"] of Debian's archive.

    For holders of the lock "trees". LabError FETCH ends with base["out"], if given, in
    place of ways_out().
    """
    packages.need("source")
    debs = paths.downloads().glob(f"{base['package']}_*{base.get('arch', '')}.deb")
    newest = max(debs, key=lambda deb: deb.stat().st_mtime, default=None)
    return _intact(newest, base) if newest else _download(base)


def extract(deb: Path, directory: Path) -> None:
    """Put the files of a package into `directory`; LabError FETCH if it is damaged."""
    with ui.step(f"open {deb.name}"):
        process.run(["dpkg-deb", "-x", deb, directory], check_status=FETCH,
                    what=f"{deb} (remove it to download it again)")


@contextlib.contextmanager
def member(deb: Path, pattern: str, base: dict) -> Iterator[Path]:
    """The file like `pattern` of a package, for as long as the context lasts; LabError
    FETCH as of package(base) if it has none."""
    with scratch("deb.partial") as content:
        extract(deb, content)
        found = sorted(content.glob(pattern))
        if not found:
            raise LabError(f"{deb} holds no {pattern}; {_out(base)}", FETCH)
        yield found[0]


def older(top: Path, files: "list[str]") -> None:
    """Put `files` of the older release that base.toml names into the directory `top`.

    For holders of the lock "trees". LabError FETCH if it cannot be had. Files that it
    does not have are left out.
    """
    stable = known()["stable"]
    with member(package(stable), "usr/src/linux-source-*.tar.*", stable) as tarball:
        with ui.step(f"unpack {tarball.name}"):
            process.run(["tar", "-xf", tarball, "-C", top, "--strip-components=1",
                         "--no-same-owner", "--wildcards",
                         *(f"*/{file}" for file in files)])


def _out(base):
    return base.get("out") or ways_out()


def _package_version(deb):
    return deb.name.split("_")[1].replace("%3a", ":")


def _intact(deb, base):
    """The path of a package; LabError FETCH if it is a known version and altered, then
    it is moved away. Of other versions apt and xz know it."""
    wanted = base.get("versions", {}).get(_package_version(deb), {}).get("sha256")
    if wanted and hashlib.sha256(deb.read_bytes()).hexdigest() != wanted:
        bad = deb.with_name(f"{deb.name}.bad")
        deb.replace(bad)
        raise LabError(f"{deb.name} is truncated or altered (its sha256 is not "
                       f"{wanted}), it is now {bad}: run again to download it, or "
                       f"{_out(base)}", FETCH)
    if not wanted and "out" not in base:
        ui.note(f"{deb.name} is a version that base/base.toml does not know; apt has "
                "verified it")
    return deb


def _download(base):
    """The path of the package that apt offers: it is fetched into downloads() and
    verified by apt, unless it is there."""
    if not shutil.which("apt-get"):
        raise LabError(f"no apt to fetch {base['package']} with; {_out(base)}", FETCH)
    paths.want_free(2 * ROOM, paths.downloads())
    log = paths.downloads() / "apt.log"
    paths.remove(log)
    apt = functools.partial(_apt, base, log, _options(base))
    with ui.step(f"fetch {base['package']} from {base['suite']}"):
        apt("-oAPT::Update::Error-Mode=any", "update")
        offer = apt("--print-uris", "download", base["package"])
        deb = paths.downloads() / re.findall(r"' (\S+) ", offer)[-1]
        if not deb.exists():
            with scratch("apt.partial") as partial:
                apt("download", base["package"], cwd=partial)
                (partial / deb.name).replace(deb)
    return _intact(deb, base)


def _apt(base, log, options, *args, cwd=None):
    """What apt-get prints; LabError FETCH says whether network or package failed."""
    try:
        return process.run(["apt-get", "-q", *options, *args], cwd=cwd, log=log,
                           timeout=1800, check_status=FETCH, what="apt-get").stdout
    except LabError as err:
        if err.status != FETCH:
            raise
        gone = re.search(r"Unable to locate package|no installation candidate|"
                         r"No packages found|does not have a Release file|\b404\b",
                         log.read_text("utf-8"))
        why = (f"is no longer in {base['suite']} of the archive that apt uses "
               f"(log: {log})" if gone else
               f"cannot be downloaded, is there a network? ({err})")
        raise LabError(f"{base['package']} {why}; {_out(base)}", FETCH) from err


def _options(base):
    """The options that let apt-get know a suite of Debian's archive and nothing else,
    in a state of its own; of this machine's it keeps how to reach the network."""
    where = paths.downloads() / "apt"
    paths.remove(where)
    # Without it apt takes the keys that this machine trusts anyway.
    signed = f"signed-by={KEYRING} " if Path(KEYRING).exists() else ""
    paths.replace(where / "sources.list", f"deb [{signed}target=Packages] {_archive()} "
                  f"{base['suite']} main\n")
    options = {"Dir::State": where, "Dir::State::status": "/dev/null",
               "Dir::Cache": where, "Dir::Etc::sourcelist": where / "sources.list",
               "Dir::Etc::sourceparts": "/dev/null", "APT::Default-Release": "",
               "APT::Sandbox::User": "root"}
    if "arch" in base:
        options["APT::Architecture"] = base["arch"]
    return [f"-o{name}={value}" for name, value in options.items()]


def _archive():
    """The URI of Debian's own archive in this machine's apt configuration."""
    out = process.run(["apt-get", "indextargets", "--format",
                       "$(ORIGIN)|$(LABEL)|$(REPO_URI)", "Created-By: Packages",
                       "Component: main"]).stdout
    for line in out.splitlines():
        origin, label, uri = line.split("|")
        # Who it is is known only after an apt-get update; the path has to do before.
        if (origin, label) == ("Debian", "Debian") or (
                origin in ("", "$(ORIGIN)") and uri.rstrip("/").endswith("/debian")):
            return uri
    raise LabError("apt is not configured for an archive of Debian's; " + ways_out(),
                   FETCH)
