"""Check the available memory before a large allocation. Too little memory is then an error, not a killed process."""

from pathlib import Path

from antiphon.errors import OracleError

_GIB = 2**30


def refuse_beyond_memory(what: str, needed: int, remedy: str) -> None:
    """Raise OracleError if less than `needed` bytes of memory are available. If the available memory is unknown, do
    nothing.

    what, remedy: texts for the error.
    """
    available = available_memory()
    if available is not None and needed > available:
        raise OracleError(
            f"{what} needs {needed / _GIB:.1f} GiB of memory; expected at most the {available / _GIB:.1f} GiB that are "
            f"available on this machine. {remedy}"
        )


def available_memory(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return the bytes that this process can still allocate: the minimum over the machine and its control group.

    Return None if neither limit can be read, as on other systems than Linux.
    """
    found = [_machine(proc / "meminfo"), _group(groups)]
    return min((each for each in found if each is not None), default=None)


def _machine(meminfo: Path) -> int | None:
    for line in _text(meminfo).splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _group(folder: Path) -> int | None:
    """Return the free bytes of a container's control group (version 2). File pages in the page cache count as free."""
    limit, used = _text(folder / "memory.max").strip(), _text(folder / "memory.current").strip()
    if not (limit.isdigit() and used.isdigit()):
        return None
    cached = sum(int(line.split()[1]) for line in _text(folder / "memory.stat").splitlines() if _droppable(line))
    return max(0, int(limit) - int(used) + cached)


def _droppable(line: str) -> bool:
    return line.startswith(("inactive_file ", "active_file "))


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
