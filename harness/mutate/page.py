# SPDX-License-Identifier: GPL-2.0-only
"""docs/mutants.md: what was done to each hunk, and who noticed."""

import string
from collections.abc import Sequence

from .. import paths
from ..reports import tables
from . import trials
from .trials import Trial


def write(made: Sequence[Trial], kernels: Sequence[str]) -> None:
    """Write the page of all `made`, tried on `kernels`."""
    template = string.Template((paths.ROOT / "docs/mutants.md.in").read_text("utf-8"))
    files = list(dict.fromkeys(trial.change.file for trial in made))
    rows: list[tuple] = [("file", *trials.FATES, "without a reason")]
    for file in (*files, ""):
        mine = [trial for trial in made if file in ("", trial.change.file)]
        rows.append((f"`{file}`" if file else "all", *(
            sum(trial.fate == fate for trial in mine) for fate in trials.FATES),
            sum(trial.fate == trials.SURVIVED and not trial.why for trial in mine)))
    text = template.substitute(
        kernels=", ".join(kernels), counts=tables.markdown(rows), files="\n\n".join(
        f"## {file}\n\n{_table([trial for trial in made if trial.change.file == file])}"
        for file in files))
    paths.replace(paths.ROOT / "docs/mutants.md", text)


def _table(made):
    rows: list[tuple] = [("line", "change", "what came of it", "who noticed")]
    for trial in made:
        more = f" and {len(trial.cases) - 1} more" if trial.cases[1:] else ""
        who = trial.why or (f"as `{trial.twin.partition(': ')[2]}`" if trial.twin else
                            f"{trial.cell}: {trial.cases[0]}{more}" if trial.cell else "")
        rows.append((trial.change.line, f"`{trial.words}`", trial.fate, who))
    return tables.markdown(rows)
