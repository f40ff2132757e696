"""The command `antiphon manifest KIND [EXPERIMENT]`: write a file that starts a cluster for the experiment."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from antiphon.cli.output_file import check_folder, write
from antiphon.deploy.manifests import KINDS, ManifestInput, Size, edits, manifest
from antiphon.errors import ExperimentError
from antiphon.experiments.load import parse_change, read_experiment
from antiphon.experiments.toml_io import toml
from antiphon.plugins import nearest
from antiphon.runs.run import resolved


@dataclass(frozen=True)
class Wish:
    """The options of `antiphon manifest`. experiment: empty for kinds that need none. placement: replaces the
    experiment's own. name: if empty, made from the grammar's name."""

    kind: str
    experiment: str = ""
    changes: Sequence[str] = ()
    placement: str | None = None
    name: str = ""
    image: str = ""
    size: Size = field(default_factory=Size)
    out: Path | None = None


def manifest_command(wish: Wish) -> str:
    """Make a manifest. Returns the text to print: the manifest, or its file and the lines to edit in it."""
    if wish.kind not in KINDS:
        raise ExperimentError(
            f"manifest {wish.kind!r} is not known; expected one of {', '.join(KINDS)}. "
            f"{nearest(wish.kind, list(KINDS))}Name one of these."
        )
    if wish.out is not None:
        check_folder(wish.out)
    text = manifest(wish.kind, _order(wish))
    if wish.out is None:
        return text.removesuffix("\n")
    write(wish.out, text)
    marks = [f"  line {number}: {what}" for number, what in edits(text)]
    return "\n".join([f"manifest: {wish.out}", *(["to be edited:", *marks] if marks else [])])


def _order(wish: Wish) -> ManifestInput:
    if not KINDS[wish.kind].placed:
        if wish.experiment:
            raise ExperimentError(
                f"manifest {wish.kind!r} is the same for every experiment, and {wish.experiment!r} was given. "
                "Leave it out."
            )
        return ManifestInput(wish.name or "antiphon", image=wish.image, size=wish.size)
    if not wish.experiment:
        raise ExperimentError(
            f"manifest {wish.kind!r} was given no experiment; expected one, whose placement says which machines are "
            "needed. Name one that `antiphon list` shows, a TOML file, or module:factory."
        )
    changes = {**dict(map(parse_change, wish.changes)), "executor": "ray"}
    experiment = read_experiment(wish.experiment, changes, wish.placement)
    grammar = experiment.build()
    name = wish.name or re.sub(r"[^a-z0-9]+", "-", f"antiphon-{grammar.name}".lower()).strip("-")[:47]
    return ManifestInput(name, experiment.placed(grammar), toml(resolved(experiment, grammar)), wish.image, wish.size)
