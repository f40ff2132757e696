"""A checkpoint: a cut at a round boundary, as safetensors and JSON; complete once its manifest is there."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from antiphon.errors import ExperimentError
from antiphon.grammars.oracle import State

MANIFEST = "manifest.json"
_LONGEST = 160
"""Letters of a name in the name of its files; file systems end at 255 bytes."""


@dataclass(frozen=True)
class Manifest:
    """What a checkpoint is of, and the names of everyone whose state it holds. round: the next one to play."""

    signature: str
    round: int
    seed: int
    names: tuple[str, ...]


def save_states(folder: Path, states: Mapping[str, State]) -> tuple[str, ...]:
    """Write one `name.safetensors` and one `name.json` for everyone; returns the names."""
    folder.mkdir(parents=True, exist_ok=True)
    # Where an older checkpoint is written over, it is none from here on, until the new manifest is there.
    (folder / MANIFEST).unlink(missing_ok=True)
    for name, state in states.items():
        tensors: dict[str, Tensor] = {}
        plain = _split(state, "", tensors)
        save_file(tensors, _path(folder, name, ".safetensors"))
        _write(_path(folder, name, ".json"), json.dumps(plain, indent=1))
    return tuple(states)


def load_states(folder: Path, names: Iterable[str]) -> dict[str, State]:
    """The states of these names. Raises ExperimentError for a file that is missing or damaged."""
    return {name: _load(folder, name) for name in names}


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """The last act of a checkpoint: from here on it counts."""
    _write(folder / MANIFEST, json.dumps(asdict(manifest), indent=1))


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a checkpoint. Raises ExperimentError when there is none."""
    try:
        found = json.loads((folder / MANIFEST).read_text())
        return Manifest(found["signature"], found["round"], found["seed"], tuple(found["names"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExperimentError(
            f"{str(folder)!r} is no complete checkpoint: expected a readable {MANIFEST}, found {type(error).__name__}. "
            "Name a checkpoint folder of a run."
        ) from error


def _path(folder: Path, name: str, ending: str) -> Path:
    written = quote(name, safe="~@#. ")
    if len(written) > _LONGEST:
        written = f"{written[:_LONGEST]}~{hashlib.sha256(written.encode()).hexdigest()[:16]}"
    if written + ending == MANIFEST:
        written = f"%{ord(written[0]):X}{written[1:]}"
    return folder / (written + ending)


def _write(path: Path, text: str) -> None:
    # A reader sees the old file or the whole new one, never a part, even if we are killed or the machine is.
    draft = path.with_name(path.name + ".part")
    with draft.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _load(folder: Path, name: str) -> State:
    try:
        tensors = load_file(_path(folder, name, ".safetensors"))
        plain = json.loads(_path(folder, name, ".json").read_text())
        return _join(plain, tensors)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ExperimentError(
            f"the state of {name!r} in checkpoint {str(folder)!r} cannot be read: {type(error).__name__}: {error}. "
            "Expected the two files that the checkpoint was written with; use another checkpoint."
        ) from error


_TENSOR = "$tensor"


def _split(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:  # Any: a State and its leaves
    """JSON of a state, each tensor replaced by its key among `tensors`."""
    if isinstance(value, Tensor):
        key = path or "value"
        while key in tensors:  # a key of the state may have a slash of its own
            key += "'"
        tensors[key] = value.detach().cpu().contiguous().clone()
        return {_TENSOR: key}
    if isinstance(value, Mapping):
        return {str(key): _split(item, f"{path}/{key}" if path else str(key), tensors) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_split(item, f"{path}/{index}", tensors) for index, item in enumerate(value)]
    return value


def _join(value: Any, tensors: Mapping[str, Tensor]) -> Any:  # Any: as in _split
    if isinstance(value, dict):
        if set(value) == {_TENSOR}:
            return torch.as_tensor(tensors[value[_TENSOR]])
        return {key: _join(item, tensors) for key, item in value.items()}
    if isinstance(value, list):
        return [_join(item, tensors) for item in value]
    return value
