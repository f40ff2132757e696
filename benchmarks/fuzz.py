"""Damages messages at random, and reads them: a damaged frame raises a stated error or is valid. Memory is bounded.

python -m benchmarks.fuzz [--frames 1000000] [--seed 0]
"""

import random
import resource
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from antiphon.errors import CodecError, ProtocolError, ShapeError
from antiphon.transport.checksum import crc
from antiphon.transport.codec import CHECKSUM, CHECKSUM_AT, DTYPES, TAG_BYTES, decode, encode, pack_tag
from antiphon.transport.link import Expected
from antiphon.transport.message import Edge, Header, Phase, Session, Tag, expect
from benchmarks.report import machine, options, table, write_section

STATED = (CodecError, ProtocolError, ShapeError)
"""The only errors that a reader of messages may raise."""
MEMORY = 64 << 20
"""Bytes that the process may grow by during all frames. Frames have up to 20 KiB, sizes in headers up to 2**64."""
SHAPES = ((), (0,), (7,), (16, 20), (2, 1, 3, 2), (1280,))
ROUND = 3
_FIELD = 8 + CHECKSUM_AT  # place of the checksum in a frame
_NUMBERS = (0, 1, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)


@dataclass(frozen=True)
class Message:
    """A message that is sent: its edge, its frame, and whether the frame has a checksum."""

    edge: Edge
    frame: bytes
    checksum: bool


@dataclass
class Found:
    """What happened to the damaged frames: how often by outcome, and the growth of the process in bytes."""

    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    growth: int = 0


def session() -> Session:
    """Return the session of all messages."""
    return Session("0123456789abcdef", 2, 5.0)


def messages(seed: int) -> list[Message]:
    """Return a message of each dtype and shape, with and without a checksum."""
    generator, found = torch.Generator().manual_seed(seed), []
    for number, (dtype, shape) in enumerate((dtype, shape) for dtype in DTYPES for shape in SHAPES):
        edge = Edge(number, f"Alice.{number} -> Bob", "Alice", "Bob", Phase.QUERY, "zeroth", dtype, shape)
        value = torch.randint(0, 2, shape, generator=generator).to(dtype)
        header = Header.of(session(), edge, ROUND)
        found += [Message(edge, bytes(encode(header, value, checksum=each)), each) for each in (False, True)]
    return found


def damaged(frame: bytes, other: bytes, draws: random.Random) -> bytearray:
    """Return a frame with one to four kinds of damage. other: another frame; its end may replace that of this frame."""
    changed = bytearray(frame)
    for _ in range(draws.randint(1, 4)):
        draws.choice(_DAMAGES)(changed, other, draws)
    return changed


def _flip(frame: bytearray, _: bytes, draws: random.Random) -> None:
    if frame:
        frame[draws.randrange(len(frame))] ^= 1 << draws.randrange(8)


def _overwrite(frame: bytearray, _: bytes, draws: random.Random) -> None:
    """Put a number of 1 to 8 bytes somewhere, most often into the header: sizes, counts and fields at their ends."""
    size, at = draws.choice((1, 2, 4, 8)), draws.randrange(max(1, min(len(frame), draws.choice((80, len(frame) or 1)))))
    frame[at : at + size] = (draws.choice(_NUMBERS) % (1 << 8 * size)).to_bytes(size, "little")


def _cut(frame: bytearray, _: bytes, draws: random.Random) -> None:
    del frame[draws.randrange(len(frame) + 1) :]


def _drop(frame: bytearray, _: bytes, draws: random.Random) -> None:
    first = draws.randrange(len(frame) + 1)
    del frame[first : first + draws.randint(1, 64)]


def _insert(frame: bytearray, _: bytes, draws: random.Random) -> None:
    at = draws.randrange(len(frame) + 1)
    frame[at:at] = draws.randbytes(draws.randint(1, 64))


def _splice(frame: bytearray, other: bytes, draws: random.Random) -> None:
    at = draws.randrange(len(other) + 1)
    frame[at:] = other[at:]


def _random(frame: bytearray, _: bytes, draws: random.Random) -> None:
    frame[:] = draws.randbytes(draws.randrange(200))


Damage = Callable[[bytearray, bytes, random.Random], None]
_DAMAGES: Sequence[Damage] = (_flip, _flip, _overwrite, _overwrite, _overwrite, _cut, _drop, _insert, _splice, _random)


def repaired(frame: bytearray) -> None:
    """Write the right checksum into a damaged frame, as an attacker can. Then only the other checks apply."""
    if len(frame) >= _FIELD + CHECKSUM.size:
        CHECKSUM.pack_into(frame, _FIELD, 0)
        CHECKSUM.pack_into(frame, _FIELD, crc(memoryview(frame)))


def outcome_of_frame(message: Message, frame: bytearray, unrepaired: bool) -> str:
    """Read a damaged frame as the receiver of `message` does, and return what happened.

    unrepaired: whether the damage happened after the checksum was computed. Raises AssertionError if a frame is
    accepted that must be refused; any error that is not stated is raised unchanged.
    """
    try:
        header, value = decode(frame, checksum=message.checksum)
        expect(header, session(), message.edge, ROUND)
    except STATED as error:
        return type(error).__name__
    assert (value.dtype, value.shape) == (message.edge.dtype, message.edge.shape)
    assert value.numel() * value.element_size() <= len(frame)
    if bytes(frame) == message.frame:
        return "unchanged"
    assert not (message.checksum and unrepaired), "a changed frame with a checksum was accepted"
    return "accepted: another value"


def outcome_of_tag(message: Message, draws: random.Random) -> str:
    """Read a damaged tag, as it stands behind a value on a process group, and return what happened."""
    tag = damaged(pack_tag(Tag.of(session(), message.edge, ROUND)), message.frame, draws)
    try:
        Expected(session(), message.edge).check(memoryview(tag), ROUND)
    except STATED as error:
        return type(error).__name__
    assert bytes(tag) == pack_tag(Tag.of(session(), message.edge, ROUND)) and len(tag) == TAG_BYTES
    return "unchanged"


def fuzz(frames: int, seed: int) -> Found:
    """Damage and read `frames` frames, and return what happened. One of ten is only a tag."""
    draws, known, found = random.Random(seed), messages(seed), Found()
    before, began = _peak(), time.perf_counter()
    for number in range(frames):
        message = draws.choice(known)
        if number % 10 == 0:
            found.outcomes[f"tag: {outcome_of_tag(message, draws)}"] += 1
            continue
        frame = damaged(message.frame, draws.choice(known).frame, draws)
        unrepaired = draws.random() < 0.5
        if message.checksum and not unrepaired:
            repaired(frame)
        kind = "no checksum" if not message.checksum else "checksum" if unrepaired else "checksum made right again"
        found.outcomes[f"{kind}: {outcome_of_frame(message, frame, unrepaired)}"] += 1
    found.seconds, found.growth = time.perf_counter() - began, _peak() - before
    return found


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Damage frames, print the report, and write this benchmark's section of RESULTS.md."""
    given = options(__doc__, frames=1_000_000, seed=0)
    found = fuzz(**given)
    if found.growth > MEMORY:
        raise SystemExit(f"the process grew by {found.growth >> 20} MiB; expected at most {MEMORY >> 20} MiB")
    report = (
        f"`python -m benchmarks.fuzz --frames {given['frames']} --seed {given['seed']}`: damaged frames and tags, read "
        f"as a receiver reads them. Nothing but the stated errors was raised, and no changed frame with a checksum was "
        f"accepted unless its checksum was made right again. The process grew by {found.growth >> 20} MiB; the bound "
        f"is {MEMORY >> 20} MiB. {found.seconds:.0f} s ({machine()}).\n\n"
        + table(["frame: outcome", "frames"], [[name, count] for name, count in sorted(found.outcomes.items())])
    )
    print(report)
    write_section("Damaged frames", report)


if __name__ == "__main__":
    main()
