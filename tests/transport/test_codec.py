"""Frames, headers and tags: what is encoded is decoded, and no bytes whatever bring down a reader."""

import struct
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st

from antiphon.errors import CodecError, ShapeError
from antiphon.transport.codec import (
    DTYPES,
    TAG_BYTES,
    decode,
    encode,
    pack_header,
    pack_tag,
    unpack_header,
    unpack_tag,
)
from antiphon.transport.memory import aligned
from antiphon.transport.message import VERSION, Header, Tag

TAG = Tag("0123456789abcdef", 2, 5, 1, 3)
ENDING = " The sender is no antiphon worker of this version, or the bytes were damaged on the way."
shapes = st.lists(st.integers(0, 5), max_size=5).map(tuple)
tags = st.builds(
    Tag,
    st.binary(min_size=8, max_size=8).map(bytes.hex),
    st.integers(0, 2**63 - 1),
    st.integers(0, 2**63 - 1),
    st.integers(0, 2),
    st.integers(0, 2**32 - 1),
)


def header(dtype: torch.dtype = torch.float32, shape: tuple[int, ...] = (2, 3)) -> Header:
    return Header(VERSION, TAG, "first", dtype, shape)


def frame_with(value: bytes = bytes(24), **changes: Any) -> bytes:
    """A frame as the documents describe it, with fields that may lie."""
    float32, tag = DTYPES.index(torch.float32), pack_tag(TAG)
    right = {"magic": b"ATPH", "version": VERSION, "order": 1, "dtype": float32, "shape": (2, 3), "tag": tag}
    fields: dict[str, Any] = right | changes
    shape, kind = fields["shape"], [fields[name] for name in ("magic", "version", "order", "dtype")]
    dimensions = fields.get("dimensions", len(shape))
    head = struct.pack("<4sBBBB40s", *kind, dimensions, fields["tag"]) + struct.pack(f"<{len(shape)}Q", *shape)
    return head.ljust(-(-len(head) // 64) * 64, b"\0") + value


def test_a_frame_is_what_the_documents_say() -> None:
    assert bytes(encode(header(), torch.zeros(2, 3))) == frame_with()


@given(tags, tags, shapes)
def test_the_size_of_a_frame_depends_on_its_edge_alone(tag: Tag, other: Tag, shape: tuple[int, ...]) -> None:
    frames = (
        encode(Header(VERSION, each, "first", torch.int8, shape), torch.ones(shape).char()) for each in (tag, other)
    )
    assert len({len(frame) for frame in frames}) == 1


@settings(max_examples=60, deadline=None)
@given(tags, st.sampled_from(DTYPES), shapes, st.sampled_from(["zeroth", "first"]), st.integers(0, 2**31))
def test_what_is_encoded_is_decoded(
    tag: Tag, dtype: torch.dtype, shape: tuple[int, ...], order: str, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    value = torch.randint(0, 2, shape, generator=generator).to(dtype)
    frame = encode(Header(VERSION, tag, order, dtype, shape), value)
    for form in (frame, bytes(frame), memoryview(b"x" + frame)[1:]):
        said, arrived = decode(form)
        assert said == Header(VERSION, tag, order, dtype, shape)
        assert arrived.dtype == dtype and arrived.shape == shape and torch.equal(arrived, value)
        assert arrived.is_contiguous() and arrived.data_ptr() % 64 == 0


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_frames_are_decoded_or_refused(data: st.DataObject) -> None:
    """Any cut, any flipped bytes: a CodecError or a value that is no larger than the frame; never anything else."""
    frame = encode(header(), torch.arange(6.0).view(2, 3))
    for place in data.draw(st.lists(st.integers(0, len(frame) - 1), max_size=4)):
        frame[place] ^= data.draw(st.integers(1, 255))
    cut = frame[: data.draw(st.integers(0, len(frame)))] if data.draw(st.booleans()) else frame
    try:
        _, value = decode(cut)
    except CodecError:
        return
    assert value.numel() * value.element_size() <= len(cut)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_as_a_header_are_refused_or_read(data: bytes) -> None:
    for read in (unpack_header, unpack_tag, decode):
        try:
            read(data)
        except CodecError:
            continue


@given(tags)
def test_a_tag_is_40_bytes(tag: Tag) -> None:
    packed = pack_tag(tag)
    assert len(packed) == TAG_BYTES == 40 and unpack_tag(packed) == tag


def test_every_truncation_and_any_trailing_byte_is_refused() -> None:
    frame = bytes(encode(header(), torch.ones(2, 3)))
    for size in range(len(frame)):
        with pytest.raises(CodecError):
            decode(frame[:size])
    with pytest.raises(CodecError) as refusal:
        decode(frame + b"\0")
    text = (
        f"a message does not parse: expected {len(frame)} bytes for float32[2, 3]; arrived {len(frame) + 1} bytes."
        + ENDING
    )
    assert str(refusal.value) == text


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"version": 9},
            f"expected version {VERSION} of the message format; arrived version 9. Run one antiphon on all workers.",
        ),
        ({"magic": b"HTTP"}, "expected a message that starts with b'ATPH'; arrived b'HTTP'." + ENDING),
        ({"tag": bytes(32)}, r"expected a tag that ends in b'tag'; arrived b'\x00\x00\x00'." + ENDING),
        ({"order": 2}, "expected order 0 or 1; arrived 2." + ENDING),
        (
            {"shape": (2**40, 0)},
            "expected a shape of at most 2147483648 elements; arrived (1099511627776, 0)." + ENDING,
        ),
        ({"shape": (2, 2)}, "expected 80 bytes for float32[2, 2]; arrived 88 bytes." + ENDING),
        ({"dimensions": 17}, "expected 17 sizes of 8 bytes; arrived 40 bytes." + ENDING),
        (
            {"dtype": 12},
            "expected a dtype of float16, float32, float64, bfloat16, complex64, complex128, int8, int16, int32, "
            "int64, uint8, bool; arrived 12. Convert the value to one of these.",
        ),
    ],
)
def test_a_header_that_lies_is_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(CodecError) as refusal:
        decode(frame_with(**changes))
    assert str(refusal.value) == f"a message does not parse: {text}"


def test_a_limit_holds_before_anything_is_read() -> None:
    with pytest.raises(CodecError) as refusal:
        decode(encode(header(), torch.ones(2, 3)), limit=80)
    assert str(refusal.value) == (
        "a message does not parse: expected at most 80 bytes; arrived 88 bytes. "
        "Raise the limit, or send smaller values."
    )


def test_a_byte_that_is_no_bool_is_refused() -> None:
    with pytest.raises(CodecError, match="bytes 0 and 1 in a value of dtype bool"):
        decode(frame_with(b"\x01\x02", dtype=DTYPES.index(torch.bool), shape=(2,)))


def test_a_value_that_is_not_what_its_header_says_is_not_encoded() -> None:
    with pytest.raises(ShapeError) as refusal:
        encode(header(), torch.ones(3, 2))
    assert str(refusal.value) == (
        "a frame for edge 3 was to carry float32[2, 3]; arrived float32[3, 2]. Send the value that the edge declares."
    )
    with pytest.raises(CodecError, match="arrived 'uint16'"):
        pack_header(header(torch.uint16))


def test_an_aligned_writable_frame_is_not_copied() -> None:
    frame = encode(header(), torch.zeros(2, 3))
    _, value = decode(frame)
    value.fill_(1.0)
    assert torch.equal(decode(frame)[1], torch.ones(2, 3))


def test_a_read_only_frame_is_copied_once_and_may_be_written() -> None:
    frame = bytes(encode(header(), torch.zeros(2, 3)))
    decode(frame)[1].fill_(1.0)
    assert torch.equal(decode(frame)[1], torch.zeros(2, 3))


@pytest.mark.parametrize("fits", [True, False])
def test_memory_is_used_again_where_it_fits(fits: bool) -> None:
    """The frame and the value hold the same bytes and bits, whatever the memory held before."""
    wide = torch.rand(2, 3) if fits else torch.rand(4, 3)
    old, memory = encode(header(shape=tuple(wide.shape)), wide), aligned(wide.nbytes)
    memory[:] = bytes([255]) * len(memory)
    frame = encode(header(), torch.ones(2, 3), old)
    assert (frame is old) == fits and bytes(frame) == bytes(encode(header(), torch.ones(2, 3)))
    _, value = decode(bytes(frame), memory=memory)
    assert torch.equal(value, torch.ones(2, 3))
    assert (value.data_ptr() == torch.frombuffer(memory, dtype=torch.uint8).data_ptr()) == fits
