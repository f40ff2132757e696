"""A simulated network switch with a delay: every frame arrives a fixed time after it was sent. It serves kernels
without `netem`.

`Machines` runs this program in its own namespace: `delay_line.py SECONDS PORT PORT...`. The ports are names of network
interfaces. The program imports only the standard library, so that it starts at once. It prints "ready" when it has
started, and runs until it is killed.
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
_HEADER = 10  # bytes of a virtio header: it lists the work that the sender left to hardware (checksums, segments)
_LONGEST = 1 << 17


def _port(name: str) -> socket.socket:
    """Open a raw socket on a network interface. The socket receives frames that arrive, not frames that it sends."""
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_EVERY_PROTOCOL))
    port.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
    port.setsockopt(_SOL_PACKET, _VIRTIO_HEADER, 1)
    port.setsockopt(socket.SOL_SOCKET, _BUFFER_FORCED, 1 << 24)
    port.bind((name, 0))
    port.setblocking(False)
    return port


@dataclass
class DelayLine:
    """Forwards frames between ports after a delay. Waiting frames are ordered by the time at which they leave."""

    seconds: float
    ports: list[socket.socket]
    _home: dict[bytes, socket.socket] = field(default_factory=dict)
    _under_way: list[tuple[float, int, bytes, list[socket.socket]]] = field(default_factory=list)
    _number: count = field(default_factory=count)

    def run(self) -> None:
        """Forward frames until the process is killed."""
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
        except OSError:  # the interface went down, or another reader took the frame
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
                except OSError:  # an interface is down, or a queue is full: the frame is lost, as in a real network
                    continue


if __name__ == "__main__":
    line = DelayLine(float(sys.argv[1]), [_port(name) for name in sys.argv[2:]])
    print("ready", flush=True)
    line.run()
