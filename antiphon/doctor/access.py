"""Checks who can reach the runs of a machine: Ray's token and its file, and ports that other machines can reach."""

import contextlib
import os
import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from antiphon.deploy.authentication import MODE, TOKEN, WITHOUT_TOKEN, readable_by_others, token_file
from antiphon.doctor.findings import CheckFailed

_LISTENS = "0A"  # the state of a listening socket in /proc/net/tcp
_RAY = re.compile(r"ray::|.*/(raylet|gcs_server)\b|.*\bray/(dashboard|_private|util)/")


class Listener(NamedTuple):
    """A socket that listens for TCP connections. address: IPv4 or IPv6. process: its name. pid: its process id."""

    address: str
    port: int
    process: str
    pid: int

    @property
    def loopback(self) -> bool:
        """Whether only processes of this machine can connect."""
        return self.address.startswith("127.") or self.address in ("::1", "::ffff:127.0.0.1")

    def __str__(self) -> str:
        return f"{self.process} at {self.address}:{self.port}"


def token() -> str:
    """Check that Ray's token mode is not turned off, and that only this user can read the file of the token."""
    mode, path = os.environ.get(MODE, ""), token_file()
    if os.environ.get(WITHOUT_TOKEN) == "1" or mode not in ("", "token"):
        name, value = (MODE, mode) if mode not in ("", "token") else (WITHOUT_TOKEN, "1")
        raise CheckFailed(
            f"the environment has {name}={value}; expected Ray's token mode, because anyone who reaches a cluster "
            f"without a token can run code on it. Unset {name}. Runs on one machine always have their own token."
        )
    if others := readable_by_others(path):
        raise CheckFailed(f"{path} can be read by other users ({others:04o}); expected 0600. Run: chmod 600 {path}")
    if os.environ.get(TOKEN):
        return f"clusters are asked with the token in {TOKEN}"
    return f"clusters are asked with the token in {path}" if path.exists() else f"no token for clusters ({path})"


def ports_of(folder: str) -> str:
    """Check that the Ray in this folder, which this process has started, listens only on the loopback address.

    The returned text also names the ports of other Rays on this machine that other machines can reach.
    """
    own = {each for each in listeners() if folder in _environment(each.pid) or each.pid == os.getpid()}
    if wide := [str(each) for each in sorted(own) if not each.loopback]:
        raise CheckFailed(
            f"the Ray that was started here is open to the network: {', '.join(wide)}; expected 127.0.0.1 alone. "
            "Report this, with all lines above."
        )
    return f"{len(own)} ports of the Ray that was started here, on the loopback alone; {_told(own)}"


def ports_of_a_cluster() -> str:
    """Return a text with the ports of Ray's processes on this machine that other machines can reach."""
    return _told(set())


def _told(own: set[Listener]) -> str:
    wide = [str(each) for each in sorted(set(listeners()) - own) if not each.loopback]
    return f"open to the network: {', '.join(wide) or 'nothing'} of other Rays that can be seen"


def listeners() -> Iterator[Listener]:
    """Yield the listening sockets of this process and of Ray's processes on this machine, as far as it may see them."""
    sockets = dict(_sockets())
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and (name := _name(process)):
            with contextlib.suppress(OSError):  # another user's, or ended meanwhile
                for each in (process / "fd").iterdir():
                    with contextlib.suppress(OSError):
                        found = sockets.get(os.readlink(each))
                        if found is not None:
                            yield Listener(*found, name, int(process.name))


def _sockets() -> Iterator[tuple[str, tuple[str, int]]]:
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        with contextlib.suppress(OSError), open(f"/proc/net/{table}") as rows:
            for row in list(rows)[1:]:
                fields = row.split()
                if fields[3] == _LISTENS:
                    host, port = fields[1].split(":")
                    words = struct.pack(
                        f"={len(host) // 8}I", *(int(host[n : n + 8], 16) for n in range(0, len(host), 8))
                    )
                    yield f"socket:[{fields[9]}]", (socket.inet_ntop(family, words), int(port, 16))


def _name(process: Path) -> str:
    """Return the name of a process of Ray, or of this process; empty for other processes."""
    with contextlib.suppress(OSError):
        command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        if process.name == str(os.getpid()):
            return "this process"
        if _RAY.match(command):
            first = command.split()[0]
            return first if first.startswith("ray::") else Path(first).name
    return ""


def _environment(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    return ""
