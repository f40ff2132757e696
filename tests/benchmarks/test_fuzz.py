"""Damaged frames, in short: only stated errors, no changed frame with a checksum, and bounded memory."""

import random

import pytest
import torch

from benchmarks import fuzz


def test_damaged_frames_are_refused_or_are_frames() -> None:
    found = fuzz.fuzz(20_000, seed=1)
    assert sum(found.outcomes.values()) == 20_000 and found.growth <= fuzz.MEMORY
    for reached in ("CodecError", "ProtocolError", "ShapeError"):  # the damage gets past each check
        assert found.outcomes[f"checksum made right again: {reached}"]
    assert found.outcomes["no checksum: accepted: another value"]
    assert set(found.outcomes) & {"checksum: CodecError", "tag: ProtocolError"}
    assert "checksum: accepted: another value" not in found.outcomes


def test_a_reader_that_accepts_a_changed_frame_is_found(monkeypatch) -> None:
    message = next(each for each in fuzz.messages(0) if each.checksum and each.edge.shape == (7,))
    changed = bytearray(message.frame)
    changed[-1] ^= 1
    read = fuzz.Header.of(fuzz.session(), message.edge, fuzz.ROUND), torch.zeros(7, dtype=message.edge.dtype)
    monkeypatch.setattr(fuzz, "decode", lambda *_, **__: read)
    with pytest.raises(AssertionError, match="was accepted"):
        fuzz.outcome_of_frame(message, changed, unrepaired=True)


def test_the_same_seed_damages_alike() -> None:
    frame = fuzz.messages(0)[0].frame
    one, other = (fuzz.damaged(frame, frame, random.Random(5)) for _ in range(2))
    assert one == other != frame
