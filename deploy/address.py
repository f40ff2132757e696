"""Finds and checks the address of a Ray cluster. Every request has a short deadline; Ray itself waits half a minute."""

import contextlib
import http.client
import json
import os
import socket
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import ray
from ray._common.tls_utils import load_certs_from_env
from ray._private import grpc_utils, services
from ray._raylet import GcsClient  # pyright: ignore[reportAttributeAccessIssue]  # its stub lacks it
from ray.exceptions import AuthenticationError, RayError

from antiphon.deploy.authentication import headers, in_token_mode, refused, refused_open, require_token
from antiphon.errors import ClusterError, VersionError

VARIABLES = "RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"
"""Ray's environment variables for the address of a cluster, in the order in which Ray's job client reads them."""

_SECONDS = 4.0
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""The first bytes that an HTTP/2 client sends, with empty settings. An HTTP/2 server answers with its own settings."""
_SETTINGS = 4


def given(address: str | None) -> str:
    """Return `address`; if it is None or empty, the address in Ray's environment variables.

    Raises ClusterError if neither is given.
    """
    found = address or next((os.environ[name] for name in VARIABLES if os.environ.get(name)), None)
    if found is None:
        raise ClusterError(
            f"no address of a cluster was given; expected --address, or the variable {' or '.join(VARIABLES)}. "
            "Give it like --address http://HEAD:8265."
        )
    return found


def dashboard(address: str) -> str:
    """Return the URL of a cluster's dashboard. address: `http://HOST:PORT`, `HOST:PORT` or `auto`.

    Raises ClusterError unless the dashboard answers, asks for a token, and accepts the token of this process.
    """
    guarded = require_token(address)
    url = address.rstrip("/") if "://" in address else _dashboard_of(control_store(address))
    scheme, place = urlsplit(url).scheme, urlsplit(url).netloc
    if scheme not in ("http", "https") or not place:
        raise ClusterError(
            f"address {address!r} is none that takes jobs; expected http://HEAD:8265, HEAD:6379 or 'auto'. Correct it."
        )
    if not _version_of(address, url, headers()):
        raise _no_dashboard(address, "it tells no version of Ray")
    if guarded and _status_without_token(url) == 200:
        raise refused_open(address)
    return url


def ray_version(url: str) -> str:
    """Return the version of Ray that the dashboard at this URL reports."""
    return _version_of(url, url, headers())


def control_store(address: str) -> str:
    """Return HOST:PORT of a cluster's control store (GCS). address: `HOST:PORT` or `auto`.

    Raises ClusterError unless the store answers, asks for a token, and accepts the token of this process. Raises
    VersionError if the cluster runs another version of Ray than this process.
    """
    place = _found_here() if address == "auto" else address
    host, port = _host_and_port(address, place)
    guarded = require_token(address)
    _check_listener(address, host, port)
    if guarded and _answers_without_token(place):
        raise refused_open(address)
    if in_token_mode() and not headers():  # Ray's client would end this process
        raise refused(address, sent=False)
    metadata = _ask(address, place, lambda client: client.internal_kv_get(b"CLUSTER_METADATA", b"cluster"))
    if metadata is None:
        raise _no_ray(address, "it knows no cluster")
    check_ray(json.loads(metadata)["ray_version"], address)
    return place


def joinable(address: str) -> str:
    """Return HOST:PORT of the control store of a cluster that this process can join. address: `HOST:PORT` or `auto`.

    Raises ClusterError if the store does not answer, or if this machine is no node of the cluster: Ray accepts drivers
    only on its nodes. Raises VersionError if the cluster runs another version of Ray.
    """
    place = control_store(address)
    alive = _ask(address, place, lambda client: client.get_all_node_info(timeout=_SECONDS))
    nodes = {each.hex() for each, node in alive.items() if node.state == 0}
    if not nodes & set(services.find_node_ids()):
        raise ClusterError(
            f"this machine is no node of the cluster at {address!r}; expected one, to run from here. "
            "Join it (`ray start --address`), or use `antiphon launch` with the address of its dashboard."
        )
    return place


def check_ray(theirs: str, address: str) -> None:
    """Raise VersionError unless `theirs`, the version of Ray on the cluster at `address`, is that of this process."""
    if theirs != ray.__version__:
        raise VersionError(
            f"the cluster at {address!r} runs Ray {theirs}, and here is Ray {ray.__version__}; expected the same on "
            f"both. Install ray=={theirs} here, or ray=={ray.__version__} on every node."
        )


@contextlib.contextmanager
def without_variables() -> Iterator[None]:
    """Return a context in which Ray's address variables (`VARIABLES`) are unset.

    They would override an address given to Ray.
    """
    before = {name: os.environ.pop(name) for name in VARIABLES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(before)


def _found_here() -> str:
    try:
        found = services.canonicalize_bootstrap_address("auto")
    except ConnectionError:
        found = None
    if found is None:
        raise ClusterError(
            "address 'auto' found no Ray on this machine; expected a node of a cluster. "
            "Start one (`ray start`), or give the address."
        )
    return found


def _host_and_port(address: str, place: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{place}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if "://" in place or not host or not port:
        raise ClusterError(
            f"address {address!r} is none of a cluster to join; expected HEAD:6379 or 'auto', on one of its nodes. "
            "Correct it; `antiphon launch` takes http://HEAD:8265."
        )
    return host, port


def _check_listener(address: str, host: str, port: int) -> None:
    try:
        with socket.create_connection((host, port), timeout=_SECONDS) as connection:
            if _encrypted():
                return  # the GCS client checks a TLS connection
            connection.sendall(_PREFACE)
            answer = connection.recv(9)
    except OSError as error:
        raise _nobody(address, error) from None
    if len(answer) < 9 or answer[3] != _SETTINGS:
        raise _no_ray(address, "it speaks another protocol")


def _ask(address: str, place: str, question: Any) -> Any:  # Any: a function of Ray's own client, and its answer
    answers: list[Any] = []

    def ask() -> None:
        try:
            answers.append(question(GcsClient(address=place)))
        except Exception as error:  # raised below, in the thread of the caller
            answers.append(error)

    # In a thread, because the only deadline of the client while it connects is 40 s.
    thread = threading.Thread(target=ask, daemon=True)
    with _unheard():
        thread.start()
        thread.join(_SECONDS)
    answer = answers[0] if answers else ClusterError("no answer")
    if isinstance(answer, AuthenticationError):
        raise refused(address, sent=bool(headers())) from None
    if isinstance(answer, RayError | ClusterError):
        raise _no_ray(address, "it does not answer as Ray's control store") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _dashboard_of(place: str) -> str:
    found = _ask(place, place, lambda client: client.internal_kv_get(b"dashboard", b"dashboard"))
    if not found:
        raise ClusterError(
            f"the cluster at {place!r} has no dashboard, which takes jobs; expected one. "
            "Start its head with --include-dashboard=true, with ray[default] installed."
        )
    url, head = f"http://{found.decode()}", urlsplit(f"//{place}").hostname or ""
    if urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1") and not _is_here(head):
        # On this machine, that address would be another dashboard.
        raise ClusterError(
            f"the dashboard of the cluster at {place!r} listens on its head alone, at {found.decode()}; expected one "
            "that can be reached from here. Start the head with --dashboard-host, or ask from there."
        )
    return url


def _is_here(host: str) -> bool:
    """Return whether `host` is an address of this machine. A server can listen only on such an address."""
    try:
        with socket.create_server((host, 0)):
            return True
    except OSError:
        return False


def _version_of(address: str, url: str, sent: Mapping[str, str]) -> str:
    request = urllib.request.Request(f"{url}/api/version", headers=dict(sent))
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
            return str(json.loads(answer.read(65536)).get("ray_version", ""))
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            raise refused(address, sent=error.code == 403) from None
        raise _no_dashboard(address, f"it answers {error.code}") from None
    except urllib.error.URLError as error:
        raise _nobody(address, error.reason) from None
    except (http.client.HTTPException, ValueError, AttributeError, UnicodeError):
        raise _no_dashboard(address, "it speaks another protocol") from None
    except OSError as error:
        raise _nobody(address, error) from None


def _status_without_token(url: str) -> int:
    try:
        with urllib.request.urlopen(f"{url}/api/version", timeout=_SECONDS) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def _answers_without_token(place: str) -> bool:
    grpc: Any = vars(grpc_utils)["grpc"]  # Any: the library comes with Ray, and has no stubs
    channel = grpc.insecure_channel(place)
    if _encrypted():
        chain, key, authority = load_certs_from_env()
        channel = grpc.secure_channel(place, grpc.ssl_channel_credentials(authority, key, chain))
    with channel:
        try:
            channel.unary_unary("/ray.rpc.NodeInfoGcsService/CheckAlive")(b"", timeout=_SECONDS)
        except grpc.RpcError as error:
            failed = grpc.StatusCode
            return error.code() not in (failed.UNAUTHENTICATED, failed.UNAVAILABLE, failed.DEADLINE_EXCEEDED)
    return True


def _encrypted() -> bool:
    return os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true")


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    # Ray's client logs to standard error from C++. Our own error has the same information.
    sys.stderr.flush()
    before, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)


def _nobody(address: str, error: object) -> ClusterError:
    why = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return ClusterError(
        f"nothing answers at {address!r}: {why}. Expected the head of a Ray cluster; correct the address, start the "
        "cluster, or open the way to it (its dashboard listens on 127.0.0.1 alone, unless --dashboard-host says else)."
    )


def _no_dashboard(address: str, why: str) -> ClusterError:
    return ClusterError(
        f"what answers at {address!r} is no dashboard of Ray: {why}. Expected the one of the cluster's head, "
        "which listens on port 8265 unless told otherwise. Correct the address."
    )


def _no_ray(address: str, why: str) -> ClusterError:
    return ClusterError(
        f"what answers at {address!r} is no head of a Ray cluster: {why}. Expected its control store, which listens on "
        "port 6379 unless told otherwise. Correct the address."
    )
