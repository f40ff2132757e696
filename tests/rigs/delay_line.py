"""A switch whose cables are long: every frame arrives a fixed time after it was sent. For kernels without `netem`.

Run by `Machines` in a namespace of its own, as a program: `delay_line.py SECONDS PORT PORT...`, where the ports are
network interfaces. It imports the standard library alone, so that it starts at once; says when it is ready; ends when
it is killed.
"""

import heapq
import select
import socket
import sys
import time
from dataclasses import dataclass, field
from itertools import count

_EVERY_PROTOCOL = 0x0003
_SOL_PACKET, _IGNORE_OUTGOING, _VIRTIO_HEADER = 263, 23, 15  # linux/if_packet.h
_BUFFER_FORCED = 33  # SO_RCVBUFFORCE of asm-generic/socket.h
_HEADER = 10  # bytes of a virtio header: it carries what the sender left for hardware to do (checksums, segments)
_LONGEST = 1 << 17


def _port(name: str) -> socket.socket:
    """A raw socket on an interface, which sees what arrives there and not what it sends itself."""
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_EVERY_PROTOCOL))
    port.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
    port.setsockopt(_SOL_PACKET, _VIRTIO_HEADER, 1)
    port.setsockopt(socket.SOL_SOCKET, _BUFFER_FORCED, 1 << 24)
    port.bind((name, 0))
    port.setblocking(False)
    return port


@dataclass
class DelayLine:
    """Frames under way between ports, by the time at which they are due."""

    seconds: float
    ports: list[socket.socket]
    _home: dict[bytes, socket.socket] = field(default_factory=dict)
    _under_way: list[tuple[float, int, bytes, list[socket.socket]]] = field(default_factory=list)
    _number: count = field(default_factory=count)

    def run(self) -> None:
        """Forward for ever."""
        while True:
            ready, _, _ = select.select(self.ports, [], [], self._next())
            for port in ready:
                self._take(port)
            self._deliver()

    def _next(self) -> float | None:
        return max(0.0, self._under_way[0][0] - time.monotonic()) if self._under_way else None

    def _take(self, port: socket.socket) -> None:
        try:
            frame = port.recv(_LONGEST)
        except OSError:  # the interface went down, or somebody else was faster
            return
        target, source = frame[_HEADER : _HEADER + 6], frame[_HEADER + 6 : _HEADER + 12]
        self._home[source] = port
        others = [self._home[target]] if target in self._home else [each for each in self.ports if each is not port]
        heapq.heappush(self._under_way, (time.monotonic() + self.seconds, next(self._number), frame, others))

    def _deliver(self) -> None:
        while self._under_way and self._under_way[0][0] <= time.monotonic():
            _, _, frame, ports = heapq.heappop(self._under_way)
            for port in ports:
                try:
                    port.send(frame)
                except OSError:  # a cable is out, or a queue is full: lost, as on a wire
                    continue


if __name__ == "__main__":
    line = DelayLine(float(sys.argv[1]), [_port(name) for name in sys.argv[2:]])
    print("ready", flush=True)
    line.run()
