"""Writes and reads checkpoints: the states at a round boundary, as safetensors and JSON files, and a manifest.

The manifest names every file with its size and SHA-256, and is written last. What does not agree with it is refused.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, TypeAlias, final
from urllib.parse import quote

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from antiphon.coordinator.state_text import join_state, split_state
from antiphon.coordinator.storage import PART, Folder, Place, folder_at
from antiphon.coordinator.versions import versions
from antiphon.errors import ExperimentError, unstopped
from antiphon.grammars.oracle import State

MANIFEST = "manifest.json"
FORMAT = 2
BLOCK = 2**20
"""Size of a block, in bytes. A large tensor of an oracle, such as a replay memory, is written in blocks of rows."""
_MALFORMED = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
"""The exceptions of code that reads JSON with an unexpected structure."""
_LARGEST = 64 * 2**20
"""Largest size of a manifest, in bytes."""
_LONGEST = 160
"""Longest part of a state's name that is used in a file name, in characters. File systems allow 255 bytes."""


class FileEntry(NamedTuple):
    """Size in bytes and SHA-256 of a file."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Labels:
    """Information that a run adds to the manifest of its checkpoint.

    experiment: digest of the experiment. metrics: metrics of the last batch of rounds, by name.
    """

    experiment: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """The contents of a checkpoint's manifest.

    signature: the grammar's signature. round: the next round to play. names: the names of all states. files: size and
    SHA-256 of every other file. generation: how often the run had connected its workers. experiment: digest of the
    experiment. metrics: metrics of the last batch of rounds. versions: those of antiphon, torch and Python.
    """

    signature: str
    round: int
    seed: int
    names: tuple[str, ...]
    files: Mapping[str, FileEntry] = field(default_factory=dict)
    generation: int = 0
    experiment: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=versions)


Cut: TypeAlias = Mapping[str, tuple[str, Mapping[str, Tensor]]]
"""The states at a round boundary, by name: JSON text, and tensors that share no memory with the players."""


def cut(states: Mapping[str, State]) -> Cut:
    """Prepare states for writing. Raises ExperimentError if a state cannot be saved and loaded without change."""
    return {name: split_state(name, state) for name, state in states.items()}


def clear(folder: Folder) -> None:
    """Remove an older checkpoint from `folder`, its manifest first. Raises OSError."""
    folder.discard(MANIFEST)
    for name in folder.names():
        if name.endswith((".safetensors", ".json", PART)):
            folder.discard(name)


@final
class Writer:
    """Writes the states of one process into the folders of its checkpoints.

    A block that has not changed since the last checkpoint is not written again. It becomes a hard link, or the remote
    file system copies it.
    """

    def __init__(self) -> None:
        self._last: Folder | None = None
        self._blocks: dict[str, FileEntry] = {}

    def write(self, folder: Folder, states: Cut, growing: Collection[str] = ()) -> dict[str, FileEntry]:
        """Write the files of all states into `folder`. Return size and SHA-256 of each file, by file name.

        growing: names of the states whose large tensors are written in blocks. Raises OSError.
        """
        before, entries, blocks = self._blocks, dict[str, FileEntry](), dict[str, FileEntry]()
        for name, (plain, tensors) in states.items():
            large = {key: _block_rows(value) for key, value in tensors.items()} if name in growing else {}
            parts = {key: value.split(large[key]) for key, value in tensors.items() if large.get(key)}
            for key, each in parts.items():
                for number, rows in enumerate(each):
                    file, data = _block(name, key, number), _bytes({"rows": rows})
                    entry = blocks[file] = _entry(data)
                    same = self._last is not None and before.get(file) == entry and folder.adopt(file, self._last)
                    if not same:
                        folder.write(file, data)
            small = {key: value for key, value in tensors.items() if key not in parts}
            text = f'{{"state": {plain}, "blocks": {json.dumps({key: len(each) for key, each in parts.items()})}}}'
            for ending, data in ((".safetensors", _bytes(small)), (".json", text.encode())):
                folder.write(_file(name, ending), data)
                entries[_file(name, ending)] = _entry(data)
        self._last, self._blocks = folder, blocks
        return {**entries, **blocks}


def write_manifest(folder: Place, manifest: Manifest) -> None:
    """Write the manifest of a checkpoint, after all other files are safe on the disk. Raises OSError.

    A folder without a manifest is refused as incomplete.
    """
    folder = folder_at(folder)
    body = {**asdict(manifest), "format": FORMAT}
    body["files"] = {name: list(entry) for name, entry in manifest.files.items()}
    folder.settle()
    folder.write(MANIFEST, _signed(body))
    folder.settle()


def read_manifest(folder: Place) -> Manifest:
    """Read the manifest of a checkpoint. Raises ExperimentError if it is missing, or was changed in any way."""
    folder = folder_at(folder)
    try:
        data = folder.read(MANIFEST, _LARGEST)
        body = json.loads(data)["manifest"]
        if body["format"] != FORMAT:
            raise ValueError(f"format {body['format']!r} instead of {FORMAT}")
        if data != _signed(body):
            raise ValueError("contents that do not agree with their own digest")
        return _manifest(body)
    except (OSError, RecursionError, *_MALFORMED) as error:
        what = f": {unstopped(error)}" if type(error) in (ValueError, OSError) else ""
        raise ExperimentError(
            f"{folder.address!r} is no complete checkpoint: expected a readable {MANIFEST}, found "
            f"{type(error).__name__}{what}. Name a checkpoint folder of a run."
        ) from error


def load_states(folder: Place, names: Iterable[str] | None = None) -> dict[str, State]:
    """Return the states of a checkpoint by name, after a comparison of every file with the manifest.

    names: the states to load; None loads all. Raises ExperimentError that names what is missing, foreign or damaged.
    """
    folder = folder_at(folder)
    manifest = read_manifest(folder)
    wanted = manifest.names if names is None else tuple(names)
    for name in wanted:
        if name not in manifest.names:
            raise ExperimentError(
                f"checkpoint {folder.address!r} has no state of {name!r}; expected one of {list(manifest.names)}. "
                "Use a checkpoint of the same grammar."
            )
    _check_names(folder, manifest)
    return {name: _load(folder, manifest, name) for name in wanted}


def check_origin(folder: Place, manifest: Manifest, **expected: object) -> None:
    """Raise ExperimentError if the checkpoint was written by another run.

    expected: values of fields of the manifest, such as `signature`, `seed`, `round` and `experiment`.
    """
    for name, value in expected.items():
        found = getattr(manifest, name)
        if found != value:
            raise ExperimentError(
                f"checkpoint {folder_at(folder).address!r} is of another run: expected {name} {value!r}, found "
                f"{found!r}. Use a checkpoint that this run has written."
            )


def _manifest(body: dict[str, Any]) -> Manifest:  # Any: JSON
    """Make a manifest from parsed JSON. Raises ValueError for a value of a wrong type."""
    kinds = {"signature": str, "round": int, "seed": int, "generation": int, "experiment": str, "names": list}
    kinds |= {"files": dict, "metrics": dict, "versions": dict, "format": int}
    wrong = [key for key, kind in kinds.items() if type(body.get(key)) is not kind]
    wrong += [key for key in body if key not in kinds]
    wrong += [key for key in ("round", "seed", "generation") if key not in wrong and body[key] < 0]
    items = {"names": str, "metrics": float, "versions": str}
    for key in items.keys() - set(wrong):
        values = body[key] if key == "names" else body[key].values()
        wrong += [key for value in values if type(value) is not items[key]]
    files = body["files"].items() if "files" not in wrong else ()
    wrong += ["files" for name, each in files if not _is_entry(name, each)]
    if wrong:
        raise ValueError(f"a value of an unexpected type or range at key {wrong[0]!r}")
    entries = {name: FileEntry(*each) for name, each in files}
    own = {key: value for key, value in body.items() if key != "format"}
    return Manifest(**{**own, "names": tuple(body["names"]), "files": entries})


def _is_entry(name: str, value: Any) -> bool:  # Any: JSON
    whole = type(value) is list and [type(each) for each in value] == [int, str]
    return whole and value[0] >= 0 and "/" not in name and name not in ("", ".", "..", MANIFEST)


def _check_names(folder: Folder, manifest: Manifest) -> None:
    """Raise ExperimentError unless the folder contains the files of the manifest and nothing else."""
    try:
        found = set(folder.names())
    except OSError as error:
        raise _unreadable(folder, "the list of its files", error) from error
    expected = {*manifest.files, MANIFEST}
    for kind, names in (("without", expected - found), ("with the foreign", found - expected)):
        if names:
            raise ExperimentError(
                f"checkpoint {folder.address!r} was found {kind} file {min(names)!r}; expected the {len(expected)} "
                f"files that its {MANIFEST} names. Use another checkpoint (`--at ROUND`)."
            )


def _load(folder: Folder, manifest: Manifest, name: str) -> State:
    try:
        found = json.loads(_checked(folder, manifest, _file(name, ".json")))
        tensors = safetensors.torch.load(_checked(folder, manifest, _file(name, ".safetensors")))
        for key, count in found["blocks"].items():
            files = (_checked(folder, manifest, _block(name, key, number)) for number in range(count))
            tensors[key] = torch.cat([safetensors.torch.load(data)["rows"] for data in files])
        state = join_state(found["state"], tensors)
        if type(state) is not dict:
            raise TypeError(f"a {type(state).__name__} instead of a dict")
        return state
    except ExperimentError:
        raise
    # The files agree with the manifest, so they are not damaged: another version, or a person, wrote them like this.
    except (*_MALFORMED, RuntimeError, SafetensorError) as error:
        raise _unreadable(folder, f"the state of {name!r}", error) from error


def _checked(folder: Folder, manifest: Manifest, file: str) -> bytes:
    """Read a file of a checkpoint. Raises ExperimentError unless size and SHA-256 are those of the manifest."""
    expected = manifest.files.get(file)
    if expected is None:
        raise ExperimentError(
            f"checkpoint {folder.address!r}: expected {file!r} among the files of its {MANIFEST}, found none. "
            "Use another checkpoint (`--at ROUND`)."
        )
    try:
        data = folder.read(file, expected.size)
    except OSError as error:
        raise _unreadable(folder, f"file {file!r}", error) from error
    found = _entry(data)
    if found != expected:
        raise ExperimentError(
            f"checkpoint {folder.address!r}: file {file!r} is damaged or from another checkpoint: expected "
            f"{expected.size} bytes with SHA-256 {expected.sha256[:16]}, found {found.size} bytes with "
            f"{found.sha256[:16]}. Use another checkpoint (`--at ROUND`)."
        )
    return data


def _unreadable(folder: Folder, what: str, error: Exception) -> ExperimentError:
    return ExperimentError(
        f"checkpoint {folder.address!r}: {what} cannot be read: {type(error).__name__}: {unstopped(error)}. Expected "
        "the files that the checkpoint was written with; use another checkpoint (`--at ROUND`)."
    )


def _file(name: str, ending: str) -> str:
    # Some file systems ignore case, so "dense" and "Dense" would be one file. Only a name in title case stays as it is;
    # others get a digest.
    written = quote(name, safe="~@#. ")
    if len(written) > _LONGEST or written != written.title():
        written = f"{written[:_LONGEST]}~{hashlib.sha256(written.encode()).hexdigest()[:16]}"
    if (written + ending).lower() == MANIFEST:
        written = f"%{ord(written[0]):X}{written[1:]}"
    return written + ending


def _block(name: str, key: str, number: int) -> str:
    part = hashlib.sha256(key.encode()).hexdigest()[:16]
    return _file(name, f"~{part}~{number:06d}.safetensors")


def _block_rows(tensor: Tensor) -> int:
    """Return the number of rows of a block; 0 if the tensor is too small to be divided."""
    if tensor.dim() == 0 or tensor.nbytes < 2 * BLOCK:
        return 0
    return max(1, BLOCK * len(tensor) // tensor.nbytes)


def _bytes(tensors: Mapping[str, Tensor]) -> bytes:
    # safetensors refuses tensors that share memory.
    return safetensors.torch.save({key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()})


def _entry(data: bytes) -> FileEntry:
    return FileEntry(len(data), hashlib.sha256(data).hexdigest())


def _signed(body: Mapping[str, Any]) -> bytes:  # Any: JSON
    """Return the text of a manifest with its own digest."""
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return json.dumps({"digest": digest, "manifest": body}, indent=1).encode()
