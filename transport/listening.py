"""Closes listening sockets, also sockets that a library owns (Linux)."""

import contextlib
import os
import socket
import struct
from collections.abc import Sequence

_ATTACH_FILTER = 26  # Linux: SO_ATTACH_FILTER
_DESCRIPTORS = "/proc/self/fd"
_DROP_ALL = struct.pack("HBBI", 6, 0, 0, 0)  # a packet filter of one instruction: accept no byte of any packet


def refuse(listener: socket.socket) -> None:
    """Make the kernel drop all new connections to a listening socket. Established connections go on."""
    import ctypes

    program = ctypes.create_string_buffer(_DROP_ALL)
    listener.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("HP", 1, ctypes.addressof(program)))


def refuse_where(published: Sequence[bytes]) -> int:
    """Close those listening sockets of this process whose address (an IPv4 `sockaddr_in`) occurs in a published value.

    gloo owns its sockets, and publishes their addresses. Returns how many sockets were closed.
    """
    closed = 0
    for name in os.listdir(_DESCRIPTORS) if published and os.path.isdir(_DESCRIPTORS) else ():
        with contextlib.suppress(OSError):  # another thread has closed the descriptor
            if not os.readlink(f"{_DESCRIPTORS}/{name}").startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(name))) as found:
                address = _address(found)
                if address and any(address in each for each in published):
                    refuse(found)
                    closed += 1
    return closed


def _address(found: socket.socket) -> bytes:
    """Return the address of a listening socket, as C writes it; empty for other sockets."""
    if found.family != socket.AF_INET or not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return b""
    host, port = found.getsockname()
    return struct.pack("=H", socket.AF_INET) + port.to_bytes(2, "big") + socket.inet_aton(host)
