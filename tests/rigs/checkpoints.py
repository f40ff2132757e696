"""Writes checkpoints of given states, without a run."""

from collections.abc import Mapping
from pathlib import Path

from antiphon.coordinator.checkpoint import Manifest, Writer, cut, write_manifest
from antiphon.coordinator.storage import folder_at
from antiphon.grammars.oracle import State


def write_checkpoint(place: Path | str, states: Mapping[str, State], writer: Writer | None = None) -> Manifest:
    """Write a checkpoint of `states` before round 3, with seed 0."""
    folder = folder_at(place)
    folder.make(above=True)
    files = (writer or Writer()).write(folder, cut(states), growing=states)
    manifest = Manifest("0" * 64, 3, 0, tuple(states), files)
    write_manifest(folder, manifest)
    return manifest
