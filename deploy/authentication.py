"""Ray's token authentication, which antiphon requires. A Ray that it starts for itself has a token of its own.

Ray reads the mode and the token from environment variables, when it starts and in every process of a cluster.
"""

import contextlib
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ray

from antiphon.errors import ClusterError, VersionError

FIRST = "2.52"
"""The first version of Ray with token authentication."""
WITHOUT_TOKEN = "ANTIPHON_WITHOUT_TOKEN"
"""The environment variable that allows clusters without tokens, if its value is 1."""
MODE, TOKEN, TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
_TLS = "RAY_USE_TLS"
_raylet: Any = vars(ray)["_raylet"]  # Any: Ray's stub lacks what is used here, and so does a Ray without tokens


def knows_tokens(version: str) -> bool:
    """Return whether a version of Ray has token authentication."""
    return _numbers(version) >= _numbers(FIRST)


def check_has_tokens(version: str = ray.__version__) -> None:
    """Raise VersionError if a version of Ray is too old for token authentication."""
    if not knows_tokens(version):
        raise VersionError(
            f"Ray {version} is installed here, and it knows no tokens; expected {FIRST} or later, because without a "
            f"token anyone who reaches Ray can run code. Install ray>={FIRST}."
        )


@contextlib.contextmanager
def own_token(folder: Path) -> Iterator[None]:
    """Return a context in which this process and its children use Ray in token mode, with a new token.

    folder: where the token's file is written, which only this user can read. Inside the context, a token or mode of
    the environment is not used, because no other process needs to reach this Ray. TLS is not used either, because the
    certificates of a cluster do not name the loopback address.
    """
    path = folder / "token"
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(32))
    own = {MODE: "token", TOKEN: None, TOKEN_PATH: str(path), _TLS: None}
    before = {name: os.environ.get(name) for name in own}
    _set(own)
    try:
        yield
    finally:
        _set(before)


def require_token(address: str) -> bool:
    """Turn on token mode in this process, before it connects to a cluster. Returns whether the cluster must use tokens.

    If other users can read the token's file, it is made private.
    address: the address of the cluster, for error messages.
    Raises ClusterError if the environment turns token mode off, and VersionError if Ray is too old for tokens. If
    `WITHOUT_TOKEN` is 1, the result is false, and token mode may be off.
    """
    check_has_tokens()
    if os.environ.get(WITHOUT_TOKEN) == "1":
        _set({MODE: os.environ.get(MODE)})
        return False
    mode = os.environ.get(MODE, "").lower()
    if mode not in ("", "token"):
        raise ClusterError(
            f"the cluster at {address!r} was to be used without a token: the environment has {MODE}={mode}; expected "
            f"token. Unset {MODE}, or allow a cluster that is open to everyone with {WITHOUT_TOKEN}=1."
        )
    if not mode:
        _set({MODE: "token"})
    if readable_by_others(token_file()):  # as Ray writes it
        with contextlib.suppress(OSError):  # another user's
            token_file().chmod(0o600)
    return True


def token_file() -> Path:
    """Return the path of the file in which Ray looks for the token of a cluster."""
    return Path(os.environ.get(TOKEN_PATH) or Path.home() / ".ray" / "auth_token")


def readable_by_others(path: Path) -> int:
    """Return the permissions of a file if other users can read or write it; else 0, also if there is no file."""
    with contextlib.suppress(OSError):
        mode = stat.S_IMODE(path.stat().st_mode)
        return mode if mode & 0o077 else 0
    return 0


def refused_open(address: str) -> ClusterError:
    """Return the error for a cluster that answers requests without a token."""
    return ClusterError(
        f"the cluster at {address!r} takes requests without a token: anyone who reaches it can run code on it. "
        f"Expected one that was started with {MODE}=token. Start it again with a token (docs/cluster.md), or allow "
        f"this with {WITHOUT_TOKEN}=1."
    )


def in_token_mode() -> bool:
    """Return whether Ray uses tokens in this process."""
    return _raylet.get_authentication_mode() == _raylet.AuthenticationMode.TOKEN


def check_connected() -> None:
    """Raise ClusterError unless the Ray that this process is connected to uses tokens, or `WITHOUT_TOKEN` is 1."""
    if not in_token_mode() and os.environ.get(WITHOUT_TOKEN) != "1":
        raise refused_open(ray.get_runtime_context().gcs_address)


def headers() -> Mapping[str, str]:
    """Return the HTTP headers with this process's token; empty without token mode, and if there is no token."""
    from ray._private.authentication.http_token_authentication import get_auth_headers_if_auth_enabled
    from ray.exceptions import AuthenticationError

    try:
        return get_auth_headers_if_auth_enabled({})
    except AuthenticationError:
        return {}


def refused(address: str, sent: bool) -> ClusterError:
    """Return the error for a cluster that refuses this process. sent: whether a token was sent."""
    remedy = f"{MODE}=token and {TOKEN} (or {TOKEN_PATH}, a file that holds it)"
    if sent:
        return ClusterError(
            f"the cluster at {address!r} refuses our token; expected the one that it was started with. "
            f"Correct {remedy}."
        )
    return ClusterError(f"the cluster at {address!r} asks for a token, and none was sent. Set {remedy}.")


def _set(values: Mapping[str, str | None]) -> None:
    """Set or remove environment variables, and make Ray read its mode and token again in this process.

    A process that is connected to Ray keeps the mode and token of that Ray: Ray ends a process that loses its token.
    """
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    if not ray.is_initialized():
        _raylet.Config.initialize("")
        _raylet.AuthenticationTokenLoader.instance().reset_cache()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:2]))
