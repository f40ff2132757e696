"""CRC32C checksums of messages: which messages have one, and how one is computed.

The library crc32c uses the processor's instruction, and reads any buffer without a copy: 30 GB a second on the machine
where it was chosen. google-crc32c is as fast, but takes only `bytes`, so each message would be copied.
"""

from typing import Literal, TypeAlias

from crc32c import crc32c

from antiphon.transport.message import Session

Checksum: TypeAlias = bool | Literal["between-machines"]
"""Which messages between workers carry a checksum: all, none, or those that may cross a network."""


def crc(*parts: memoryview | bytes) -> int:
    """Return the CRC32C of bytes that are given in parts."""
    value = 0
    for part in parts:
        value = crc32c(part, value)
    return value


def checked(session: Session, same_machine: bool) -> bool:
    """Return whether the messages between two workers carry checksums. same_machine: whether they share memory."""
    return session.checksum is True or (session.checksum == "between-machines" and not same_machine)
