"""Folders of files that a checkpoint is written to: on a local disk, or at any address that fsspec can reach."""

import contextlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, TypeAlias, final

PART = ".part"
"""Ending of the temporary name under which a file is written."""


class Folder(Protocol):
    """A folder of files. Every method that fails raises OSError.

    address: the folder as a user names it.
    """

    address: str

    def at(self, name: str) -> "Folder":
        """Return the folder `name` inside this folder, without making it."""
        ...

    def make(self, above: bool = False) -> None:
        """Make this folder, unless it exists. above: also make its missing parent folders."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Write a file in place of any file of that name. A reader sees the old file or the whole new file."""
        ...

    def adopt(self, name: str, other: "Folder") -> bool:
        """Link or copy the file `name` of another folder into this folder. Return False if that is not possible."""
        ...

    def read(self, name: str, limit: int) -> bytes:
        """Return the contents of a regular file of at most `limit` bytes. Links are refused."""
        ...

    def names(self) -> list[str]:
        """Return the names of everything in this folder, sorted."""
        ...

    def settle(self) -> None:
        """Wait until the names of all files in this folder are safe on the disk."""
        ...

    def discard(self, name: str) -> None:
        """Remove a file, if it exists."""
        ...

    def remove(self) -> None:
        """Remove this folder with everything in it, if it exists."""
        ...


Place: TypeAlias = Path | str | Folder
"""A path, an address such as `s3://bucket/run` or `file:///runs/one`, or a `Folder`."""


def folder_at(place: Place) -> Folder:
    """Return the folder at a path or an address. Nothing is made. Raises OSError if fsspec cannot use the address."""
    if isinstance(place, LocalFolder | RemoteFolder):
        return place
    text = str(place)
    if "://" not in text:
        return LocalFolder(Path(text))
    if text.startswith("file://"):
        return LocalFolder(Path(text.removeprefix("file://")))
    import fsspec

    with _as_os_error(text):
        system, path = fsspec.url_to_fs(text)
    return RemoteFolder(system, path, text.rstrip("/"))


@final
class LocalFolder:
    """A folder on a file system of this machine. Implements the interface `Folder`."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()  # workers have another working directory
        self.address = str(self.path)

    def at(self, name: str) -> "LocalFolder":
        """Return the folder `name` inside this folder."""
        return LocalFolder(self.path / name)

    def make(self, above: bool = False) -> None:
        """Make this folder, unless it exists."""
        self.path.mkdir(exist_ok=True, parents=above)

    def write(self, name: str, data: bytes) -> None:
        """Write a file under a temporary name, flush it to the disk, and rename it."""
        draft = self.path / (name + PART)
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path / name)

    def adopt(self, name: str, other: Folder) -> bool:
        """Make a hard link to the file `name` of another local folder. Return False if that is not possible."""
        if not isinstance(other, LocalFolder):
            return False
        try:
            os.link(other.path / name, self.path / name, follow_symlinks=False)
        except OSError:
            return False
        return True

    def read(self, name: str, limit: int) -> bytes:
        """Return the contents of a regular file of at most `limit` bytes."""
        # Without O_NONBLOCK, a named pipe would block the call.
        with os.fdopen(os.open(self.path / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise OSError("it is no regular file")
            _check_size(found.st_size, limit)
            return file.read(limit + 1)

    def names(self) -> list[str]:
        """Return the names of everything in this folder."""
        return sorted(os.listdir(self.path))

    def settle(self) -> None:
        """Flush this folder to the disk."""
        number = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(number)
        finally:
            os.close(number)

    def discard(self, name: str) -> None:
        """Remove a file, if it exists."""
        (self.path / name).unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove this folder, if it exists. A link is removed, not followed."""
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink() if self.path.is_symlink() else shutil.rmtree(self.path)


@final
class RemoteFolder:
    """A folder at an address of fsspec, such as a bucket. Implements the interface `Folder`."""

    def __init__(self, system: Any, path: str, address: str) -> None:  # Any: fsspec has no types
        self._system, self._path, self.address = system, PurePosixPath(path), address

    def at(self, name: str) -> "RemoteFolder":
        """Return the folder `name` inside this folder."""
        return RemoteFolder(self._system, str(self._path / name), f"{self.address}/{name}")

    def make(self, above: bool = False) -> None:
        """Make this folder and its parents, if the file system has folders."""
        self._do(lambda: self._system.makedirs(str(self._path), exist_ok=True))

    def write(self, name: str, data: bytes) -> None:
        """Write a file in one piece. Object stores show a file only when all of it has arrived."""
        self._do(lambda: self._system.pipe_file(self._file(name), data))

    def adopt(self, name: str, other: Folder) -> bool:
        """Let the file system copy the file `name` of another folder. Return False if that is not possible."""
        if not isinstance(other, RemoteFolder) or type(other._system) is not type(self._system):
            return False
        try:
            self._do(lambda: self._system.cp_file(other._file(name), self._file(name)))
        except OSError:
            return False
        return True

    def read(self, name: str, limit: int) -> bytes:
        """Return the contents of a file of at most `limit` bytes."""
        _check_size(self._do(lambda: self._system.size(self._file(name))) or 0, limit)
        return self._do(lambda: self._system.cat_file(self._file(name)))

    def names(self) -> list[str]:
        """Return the names of everything in this folder."""
        self._system.invalidate_cache()
        found = self._do(lambda: self._system.ls(str(self._path), detail=False))
        return sorted(PurePosixPath(each).name for each in found)

    def settle(self) -> None:
        """Do nothing: a remote file is safe when its write has returned."""

    def discard(self, name: str) -> None:
        """Remove a file, if it exists."""
        with contextlib.suppress(FileNotFoundError):
            self._do(lambda: self._system.rm_file(self._file(name)))

    def remove(self) -> None:
        """Remove this folder, if it exists."""
        with contextlib.suppress(FileNotFoundError):
            self._do(lambda: self._system.rm(str(self._path), recursive=True))

    def _file(self, name: str) -> str:
        return str(self._path / name)

    def _do(self, call: Callable[[], Any]) -> Any:  # Any: what fsspec returns
        with _as_os_error(self.address):
            return call()


@contextmanager
def _as_os_error(address: str) -> Iterator[None]:
    """Turn every exception of fsspec or its plug-ins into an OSError."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{address}: {type(error).__name__}: {error}") from error


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise OSError(f"it has {size} bytes; at most {limit} are expected")
