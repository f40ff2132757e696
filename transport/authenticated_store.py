"""A store whose values carry an authentication code (HMAC-SHA256) that only the workers of a run can make."""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import timedelta
from typing import final

from antiphon.errors import ProtocolError
from antiphon.transport.c10d import Store

CODE_BYTES = hashlib.sha256().digest_size
VALUE_LIMIT = 1 << 24
"""Largest value that is read, in bytes."""


def code(secret: bytes, *parts: str | bytes) -> bytes:
    """Return the authentication code of a sequence of texts and bytes. secret: known to the workers of the run only."""
    whole = hmac.new(secret, digestmod=hashlib.sha256)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        whole.update(len(data).to_bytes(8, "little"))
        whole.update(data)
    return whole.digest()


def same_code(one: bytes, other: bytes) -> bool:
    """Return whether two authentication codes are equal. The duration does not depend on where they differ."""
    return hmac.compare_digest(one, other)


@final
class AuthenticatedStore(Store):
    """A view of a store: each value is written after its code, and a value with a wrong code is refused.

    The code covers key and value, so a value counts under its own key only. torch's process groups read and write
    through this view too. Counters (`add`), which torch's barriers use, have no code.
    store: the store that holds the values. secret: known to the workers of the run only. me: name of this worker.
    The caller must keep this object as long as a process group uses it, because torch does not keep its Python part.
    written: all values that were written through this view.
    """

    def __init__(self, store: Store, secret: bytes, me: str) -> None:
        super().__init__()
        self._inner, self._secret, self._me = store, secret, me
        self.written: list[bytes] = []

    def set(self, key: str, value: bytes | str) -> None:
        """Write a value after its code."""
        data = value.encode() if isinstance(value, str) else bytes(value)
        self.written.append(data)
        self._inner.set(key, code(self._secret, key, data) + data)  # pyright: ignore[reportArgumentType]

    def get(self, key: str) -> bytes:
        """Wait for the value of a key and return it. Raises ProtocolError if its code is wrong."""
        return self._checked(key, self._inner.get(key))

    def multi_get(self, keys: Sequence[str]) -> list[bytes]:
        """Wait for the values of several keys and return them. Raises ProtocolError if a code is wrong."""
        return [self._checked(*each) for each in zip(keys, self._inner.multi_get(list(keys)), strict=True)]

    def check(self, keys: list[str]) -> bool:
        """Return whether all keys have a value."""
        return self._inner.check(keys)

    def wait(self, keys: list[str], timeout: timedelta | None = None) -> None:
        """Wait until all keys have a value."""
        self._inner.wait(keys, *filter(None, [timeout]))

    def add(self, key: str, value: int) -> int:
        """Add to a counter, which has no code, and return its new value."""
        return self._inner.add(key, value)

    def delete_key(self, key: str) -> bool:
        """Remove a key. Returns whether it was there."""
        return self._inner.delete_key(key)

    def _checked(self, key: str, found: bytes) -> bytes:
        mac, data = found[:CODE_BYTES], found[CODE_BYTES:]
        if len(data) <= VALUE_LIMIT and same_code(mac, code(self._secret, key, data)):
            return data
        owner = key.rpartition("/")[2]
        raise ProtocolError(
            f"worker {self._me!r} refused what the store holds for {owner!r} (key {key!r}): expected at most "
            f"{VALUE_LIMIT} bytes with this run's authentication code; arrived {len(data)} bytes with another. "
            "A process that does not belong to the run has written it: close the store's port (docs/security.md)."
        )
