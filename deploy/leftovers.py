"""Temporary folders that name the process that owns them, so that the folder of a killed process can be removed later.

A folder is removed only if its owner is provably dead: this machine was started again since, or the process with the
owner's id, in the same namespace of process ids, began at another time. Several machines may share the folder for
temporary files, and about the processes of another machine nothing is known here.
"""

import contextlib
import json
import os
import shutil
import signal
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "antiphon-"
OWNER = "owner.json"
VARIABLE = "ANTIPHON_FOLDER"
"""The environment variable with the folder's path. It marks the processes that were started for the folder."""
_PROCESSES, _MACHINE = Path("/proc"), Path("/etc/machine-id")
_PASSES = 20
"""How often to look for processes: a process may have started another one before it was killed."""


@contextmanager
def owned_folder() -> Iterator[str]:
    """Return a context with a new temporary folder, which is removed at the end.

    First, the folders and processes that dead processes of this user have left are removed.
    """
    sweep()
    folder = tempfile.mkdtemp(prefix=PREFIX)
    try:
        (Path(folder) / OWNER).write_text(json.dumps(_own_mark()))
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def started_for(folder: Path) -> Iterator[None]:
    """Return a context in which an environment variable marks all processes that are started as those of `folder`.

    Keep it short: also a process that a user starts in the context is ended with the folder.
    """
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(folder)
    try:
        yield
    finally:
        os.environ.pop(VARIABLE)
        if before is not None:
            os.environ[VARIABLE] = before


def sweep() -> list[Path]:
    """Remove the temporary folders of dead processes, and kill the processes that were started for them.

    Returns the folders that were removed. Errors are ignored: the next start tries again.
    """
    found = [path for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*") if _is_left(path)]
    for path in found:
        remove(path)
    return found


def remove(path: Path) -> None:
    """Kill all processes that were started for a folder, except this one, and remove the folder."""
    for _ in range(_PASSES):
        left = _processes_of(path)
        for process in left:
            _kill(process, path)
        if not left:
            break
    shutil.rmtree(path, ignore_errors=True)


def _is_left(path: Path) -> bool:
    """Return whether a folder belongs to a dead process of this user."""
    try:
        own = path.lstat()
        if not stat.S_ISDIR(own.st_mode) or own.st_uid != os.geteuid():
            return False
        mark = json.loads((path / OWNER).read_text())
        here = _own_mark()
        if mark["machine"] != here["machine"]:
            return False
        if mark["boot"] != here["boot"]:
            return True
        # Process ids of another namespace, such as a container's, have no meaning in this namespace.
        return mark["namespace"] == here["namespace"] and _began(mark["pid"]) != mark["began"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False  # the folder is not antiphon's, or it is being made


def _own_mark() -> dict[str, str | int]:
    """Return the data that distinguishes this process from every other process on this machine."""
    return {
        "pid": os.getpid(),
        "began": _began(os.getpid()),
        "namespace": os.readlink(_PROCESSES / "self/ns/pid"),
        "boot": (_PROCESSES / "sys/kernel/random/boot_id").read_text().strip(),
        "machine": f"{os.uname().nodename} {_MACHINE.read_text().strip() if _MACHINE.exists() else ''}",
    }


def _began(process: int) -> int:
    """Return when a process began, in clock ticks since the start of the machine; -1 if there is no such process."""
    try:
        # The name of the program, in brackets, may contain anything.
        return int((_PROCESSES / str(int(process)) / "stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return -1


def _processes_of(folder: Path) -> list[int]:
    """Return the processes of this user that were started for the folder."""
    numbers = [int(path.name) for path in _PROCESSES.iterdir() if path.name.isdecimal()]
    return [number for number in numbers if number != os.getpid() and _is_of(number, folder)]


def _is_of(process: int, folder: Path) -> bool:
    try:
        path = _PROCESSES / str(process)
        mark = os.fsencode(f"{VARIABLE}={folder}")
        if path.stat().st_uid != os.geteuid():
            return False
        return mark in (path / "environ").read_bytes().split(b"\0") or _is_rays(path, folder)
    except OSError:
        return False


def _is_rays(process: Path, folder: Path) -> bool:
    """Return whether a process has a title of Ray and a log file in the folder.

    Such a title may be written over the environment.
    """
    if not (process / "cmdline").read_bytes().startswith(b"ray::"):
        return False
    return any(Path(os.readlink(each)).is_relative_to(folder) for each in (process / "fd").iterdir())


def _kill(process: int, folder: Path) -> None:
    with contextlib.suppress(OSError):
        held = os.pidfd_open(process)  # so that no other process can get its number meanwhile
        try:
            if _is_of(process, folder):
                signal.pidfd_send_signal(held, signal.SIGKILL)
        finally:
            os.close(held)
