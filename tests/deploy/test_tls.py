"""What Ray's TLS covers between machines, and what it leaves in the clear: bytes are looked for on the cable."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import ray

from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import Strategy, spread
from antiphon.deploy.executor import RayExecutor
from antiphon.doctor.rounds import small
from rigs.network_namespaces import Machines
from rigs.ray_nodes import SeveralNetworks

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed"),
    pytest.mark.usefixtures("namespaces"),
]

NAMES = "head", "bob", "carol"
LISTENS = """
import socket, sys
found = set()
words = [bytes.fromhex(word) for word in sys.argv[1:]]
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as cable:
    cable.bind(("eth0", 0))
    cable.setsockopt(socket.SOL_SOCKET, 33, 1 << 26)  # Linux: SO_RCVBUFFORCE
    print("listening", flush=True)
    while True:
        frame = cable.recv(1 << 17)
        for word in words:
            if word in frame and word not in found:
                found.add(word)
                print(word.hex(), flush=True)
"""


ASKS = """
import grpc, sys
place, token = sys.argv[1:]
ask = grpc.insecure_channel(place).unary_unary("/ray.rpc.NodeInfoGcsService/CheckAlive")
try:
    ask(b"", timeout=30, metadata=[("authorization", f"Bearer {token}")])
    print("OK")
except grpc.RpcError as error:
    print(error.code().name)
"""


class Seen(NamedTuple):
    """Whether bytes were seen on the cable of one machine, in the clear.

    token: Ray's token. grammar: the grammar that Ray sends, pickled. store: the names of edges. messages: a tag.
    """

    token: bool
    grammar: bool
    store: bool
    messages: bool


def plays(rounds: int) -> list[float]:
    grammar = small("backprop")
    placement = spread(grammar, fuse=[("Nature", "Loss"), ("Dense1", "Dense2")])
    ray.init(log_to_driver=False)
    what = assign(grammar, placement=replace(placement, strategy=Strategy.STRICT_SPREAD))
    with RayExecutor(what, "encrypted") as run:
        return next(iter(run.play(rounds).losses.values())).values


def certificates(folder: Path, addresses: list[str]) -> dict[str, str]:
    """An authority, and one key and certificate that all machines share; Ray's variables that name the files."""
    folder.mkdir()
    (folder / "names").write_text("subjectAltName=" + ",".join(f"IP:{each}" for each in ["127.0.0.1", *addresses]))
    key = "-newkey", "rsa:2048", "-nodes", "-keyout"
    for command in (
        ["req", "-x509", *key, "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=authority"],
        ["req", *key, "tls.key", "-out", "tls.csr", "-subj", "/CN=node"],
        [
            "x509",
            "-req",
            "-in",
            "tls.csr",
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-out",
            "tls.crt",
            "-days",
            "2",
            "-extfile",
            "names",
        ],
    ):
        subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True, timeout=60)
    files = {"SERVER_CERT": "tls.crt", "SERVER_KEY": "tls.key", "CA_CERT": "ca.crt"}
    return {"RAY_USE_TLS": "1", **{f"RAY_TLS_{name}": str(folder / file) for name, file in files.items()}}


@contextmanager
def cluster(tls: bool) -> Iterator[SeveralNetworks]:
    with Machines(*NAMES, "mallory") as machines:
        addresses = [machine.address for machine in machines]
        variables = certificates(machines.folder / "tls", addresses) if tls else {}
        yield SeveralNetworks(machines, NAMES, 2, variables)


def seen(found: SeveralNetworks) -> tuple[Seen, list[float]]:
    token = (found.machines.folder / "token").read_bytes()
    signature = bytes.fromhex(small("backprop").signature[:16])
    words = [token, b"antiphon.grammars", b"edges/", signature]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}  # Any: options of `Popen`
    bob = found.machines["bob"]
    listening = sys.executable, "-c", LISTENS, *(word.hex() for word in words)
    with bob.start(*listening, **pipes) as listener:
        assert listener.stdout is not None
        assert listener.stdout.readline() == "listening\n"
        losses = found.call(plays, 20)
        listener.kill()
        lines = listener.stdout.read().split()
    return Seen(*(word.hex() in lines for word in words)), losses


def test_tls_hides_what_ray_sends_and_not_what_players_send():
    with cluster(tls=False) as plain:
        open_to_all, expected = seen(plain)
    assert open_to_all == Seen(token=True, grammar=True, store=True, messages=True)
    with cluster(tls=True) as encrypted:
        covered, losses = seen(encrypted)
        assert covered == Seen(token=False, grammar=False, store=True, messages=True)
        assert losses == expected
        # Without a certificate of the authority, nobody is answered, also with the token.
        token = (encrypted.machines.folder / "token").read_text()
        asked = encrypted.machines["mallory"].run(sys.executable, "-c", ASKS, encrypted.address, token)
        assert asked.stdout.split() == ["UNAVAILABLE"]
