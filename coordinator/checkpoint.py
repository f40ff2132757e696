"""Writes and reads checkpoints: the states at a round boundary, as safetensors and JSON files, and a manifest."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from antiphon.errors import ExperimentError, unstopped
from antiphon.grammars.oracle import State

MANIFEST = "manifest.json"
_LONGEST = 160
"""Longest part of a state's name that is used in a file name, in characters. File systems allow 255 bytes."""


@dataclass(frozen=True)
class Manifest:
    """The contents of a checkpoint's manifest: grammar signature, next round to play, seed, and names of all states."""

    signature: str
    round: int
    seed: int
    names: tuple[str, ...]


def save_states(folder: Path, states: Mapping[str, State]) -> tuple[str, ...]:
    """Write two files per state into `folder`: its tensors (safetensors) and its other values (JSON).

    states: the states by name. Returns their names. Raises ExperimentError, before anything is written, if a state
    cannot be saved and loaded without change.
    """
    split = {name: split_state(name, state) for name, state in states.items()}
    folder.mkdir(parents=True, exist_ok=True)
    # Without its manifest, an older checkpoint in this folder does not count while its files are overwritten.
    (folder / MANIFEST).unlink(missing_ok=True)
    for name, (plain, tensors) in split.items():
        own = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
        save_file(own, _path(folder, name, ".safetensors"))
        _write(_path(folder, name, ".json"), plain)
    return tuple(states)


def load_states(folder: Path, names: Iterable[str]) -> dict[str, State]:
    """Return the states `names` from the folder of a checkpoint, by name.

    Raises ExperimentError if a file is missing or damaged.
    """
    return {name: _load(folder, name) for name in names}


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of a checkpoint, after all other files.

    A folder without a manifest is refused as incomplete.
    """
    _write(folder / MANIFEST, json.dumps(asdict(manifest), indent=1))


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a checkpoint. Raises ExperimentError if it is missing or damaged."""
    try:
        found = json.loads((folder / MANIFEST).read_text())
        return Manifest(found["signature"], found["round"], found["seed"], tuple(found["names"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExperimentError(
            f"{str(folder)!r} is no complete checkpoint: expected a readable {MANIFEST}, found {type(error).__name__}. "
            "Name a checkpoint folder of a run."
        ) from error


def _path(folder: Path, name: str, ending: str) -> Path:
    # Some file systems ignore case, so "dense" and "Dense" would be one file. Only a name in title case stays as it is;
    # others get a digest.
    written = quote(name, safe="~@#. ")
    if len(written) > _LONGEST or written != written.title():
        written = f"{written[:_LONGEST]}~{hashlib.sha256(written.encode()).hexdigest()[:16]}"
    if (written + ending).lower() == MANIFEST:
        written = f"%{ord(written[0]):X}{written[1:]}"
    return folder / (written + ending)


def _write(path: Path, text: str) -> None:
    # A reader sees the old file or the whole new one, never a part, even if this process is killed or the machine
    # stops.
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
            f"the state of {name!r} in checkpoint {str(folder)!r} cannot be read: {type(error).__name__}: "
            f"{unstopped(error)}. "
            "Expected the two files that the checkpoint was written with; use another checkpoint."
        ) from error


_TENSOR, _COMPLEX, _TUPLE, _ITEMS = "$tensor", "$complex", "$tuple", "$items"
"""Keys that mark values which JSON lacks.

A JSON dict whose only key is one of these stands for a tensor, a tensor of dtype complex128, a tuple, or a dict whose
keys are not plain strings.
"""

_PLAIN = (type(None), bool, int, float, str, np.float64)


def split_state(name: str, state: State) -> tuple[str, dict[str, Tensor]]:
    """Return a state as JSON text, and a dict of its tensors.

    In the text, each tensor is replaced by its key in the dict. name: name of the state, for errors.
    Raises ExperimentError if the state cannot be saved and loaded without change.
    """
    tensors: dict[str, Tensor] = {}
    try:
        return json.dumps(_split(name, state, "", tensors), indent=1), tensors
    except RecursionError:
        raise _refusal(name, "", "dicts and lists that contain themselves, or are nested without end") from None


def _split(name: str, value: Any, path: str, tensors: dict[str, Tensor]) -> Any:  # Any: a State and its leaves
    """Return a state, or a part of it, in JSON form.

    Each tensor is moved into `tensors`, and replaced by its key there.
    """
    if isinstance(value, Tensor):
        return _split_tensor(name, value, path, tensors)
    if isinstance(value, Mapping):
        return _split_mapping(name, value, path, tensors)
    if type(value) in (list, tuple, torch.Size):
        items = [_split(name, item, f"{path}/{index}", tensors) for index, item in enumerate(value)]
        return items if type(value) is list else {_TUPLE: items}
    if type(value) not in _PLAIN:
        raise _refusal(name, path, f"a {type(value).__module__}.{type(value).__qualname__}")
    return value


def _split_tensor(name: str, value: Tensor, path: str, tensors: dict[str, Tensor]) -> Any:  # Any: JSON
    if value.layout is not torch.strided or value.is_quantized:
        raise _refusal(name, path, f"a tensor of layout {value.layout}, or quantized")
    key = path or "value"
    while key in tensors:  # two paths may be equal, because a key of the state may contain a slash
        key += "'"
    wide = value.dtype is torch.complex128  # safetensors has no such dtype
    tensors[key] = torch.view_as_real(value.detach().resolve_conj()) if wide else value
    return {_COMPLEX if wide else _TENSOR: key}


def _split_mapping(
    name: str, value: Mapping[Any, Any], path: str, tensors: dict[str, Tensor]
) -> Any:  # Any: keys and leaves of many types; JSON
    below = [(key, _split(name, item, f"{path}/{key}" if path else str(key), tensors)) for key, item in value.items()]
    if all(type(key) is str and not key.startswith("$") for key, _ in below):
        return dict(below)
    return {_ITEMS: [[_split(name, key, f"{path}/{key!r}", tensors), item] for key, item in below]}


def _refusal(name: str, path: str, arrived: str) -> ExperimentError:
    return ExperimentError(
        f"the state of {name!r} cannot be saved: {path or 'it'!r} is {arrived}; expected dense tensors, numbers, "
        "strings, booleans, None, and dicts, lists and tuples of these, which come back from disk as they are. "
        "Convert it in `state`, and back in `load`."
    )


def _join(value: Any, tensors: Mapping[str, Tensor]) -> Any:  # Any: JSON; a State and its leaves
    if isinstance(value, list):
        return [_join(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((mark, inner),) = value.items()
        if mark == _TENSOR:
            return torch.as_tensor(tensors[inner])
        if mark == _COMPLEX:
            # A copy: the file aligns numbers to 8 bytes, and this dtype needs 16.
            return torch.view_as_complex(torch.as_tensor(tensors[inner]).clone())
        if mark == _TUPLE:
            return tuple(_join(item, tensors) for item in inner)
        if mark == _ITEMS:
            return {_join(key, tensors): _join(item, tensors) for key, item in inner}
    return {key: _join(item, tensors) for key, item in value.items()}
