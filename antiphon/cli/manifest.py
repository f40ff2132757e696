"""The command `antiphon manifest`: write a file that starts a cluster large enough for an experiment."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from antiphon.deploy.manifests import KINDS, ManifestInput, Size, edits, manifest
from antiphon.errors import ExperimentError
from antiphon.experiments.load import read_experiment
from antiphon.experiments.toml_io import toml
from antiphon.output_file import check_folder, write
from antiphon.plugins import nearest
from antiphon.runs.run import resolved


def manifest_command(
    kind: str,
    experiment: str,
    changes: Mapping[str, Any],  # Any: TOML
    placement: str | None,
    *,
    name: str = "",
    image: str = "",
    size: Size,
    out: Path | None = None,
) -> str:
    """Make a file that starts a cluster for an experiment (a manifest), and return the text to print.

    If `out` is given, the manifest is written to that file, and the text names the lines that the user must edit.
    Otherwise the text is the manifest.

    kind: one of `KINDS`, such as "slurm". experiment: name of the experiment; "" for kinds that need none.
    placement: replaces the placement of the experiment. name: name of the cluster or job; if "", from the grammar's
    name.
    """
    if kind not in KINDS:
        raise ExperimentError(
            f"manifest {kind!r} is not known; expected one of {', '.join(KINDS)}. "
            f"{nearest(kind, list(KINDS))}Name one of these."
        )
    _check_experiment(kind, experiment)
    if out is not None:
        check_folder(out)
    order = ManifestInput(name or "antiphon", image=image, size=size)
    if experiment:
        read = read_experiment(experiment, changes, placement)
        grammar = read.build()
        name = name or re.sub(r"[^a-z0-9]+", "-", f"antiphon-{grammar.name}".lower()).strip("-")[:47]
        order = ManifestInput(name, read.placed(grammar), toml(resolved(read, grammar)), image, size)
    text = manifest(kind, order)
    if out is None:
        return text.removesuffix("\n")
    write(out, text)
    marks = [f"  line {number}: {what}" for number, what in edits(text)]
    return "\n".join([f"manifest: {out}", *(["to be edited:", *marks] if marks else [])])


def _check_experiment(kind: str, experiment: str) -> None:
    if experiment and not KINDS[kind].placed:
        raise ExperimentError(
            f"manifest {kind!r} is the same for every experiment, and {experiment!r} was given. Leave it out."
        )
    if not experiment and KINDS[kind].placed:
        raise ExperimentError(
            f"manifest {kind!r} was given no experiment; expected one, whose placement says which machines are "
            "needed. Name one that `antiphon list` shows, a TOML file, or module:factory."
        )
