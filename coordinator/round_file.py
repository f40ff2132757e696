"""Keeps the round that a worker plays in a file, which can be read after the worker's death."""

import mmap
import struct
from collections.abc import MutableSequence
from pathlib import Path
from typing import Any

from ray._private import worker

_ROUND = struct.Struct("=q")


def round_file(actor: Any) -> Path | None:  # Any: Ray's actor handles have no common type
    """Return the path of the file with the round of an actor, on this machine; None if this process has no Ray node.

    The file is in the folder of Ray's session, and has the actor's id as its name. Ray removes it with that folder.
    """
    node: Any = worker._global_node  # Any: None before Ray is started
    return node and Path(node.get_session_dir_path()) / f"round-{actor._actor_id.hex()}"


def shared_round(path: Path | None) -> MutableSequence[int]:
    """Return a sequence of one integer, the round. The file at `path` always has the same value.

    The operating system writes the value to the file, even if this process is killed. If `path` is None, or the file
    cannot be written, there is no file.
    """
    if path is None:
        return [-1]
    try:
        with path.open("wb+") as file:
            # Written, not only made longer: on a full disk, the first write to the memory would kill this process.
            file.write(_ROUND.pack(-1))
            file.flush()
            memory: Any = memoryview(mmap.mmap(file.fileno(), _ROUND.size)).cast("q")  # Any: its type is no sequence's
            return memory
    except OSError:
        return [-1]


def last_round(actor: Any) -> int | None:  # Any: an actor handle
    """Return the round that an actor on this machine plays, or played when it died.

    Returns None if the actor was on another machine, or played no round.
    """
    path = round_file(actor)
    try:
        (round,) = _ROUND.unpack(path.read_bytes()) if path else (-1,)
    except (OSError, struct.error):
        return None
    return round if round >= 0 else None
