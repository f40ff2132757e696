"""Converts messages to bytes: a frame (header and value), a header alone, or the 40-byte tag. It never uses pickle."""

import math
import struct
from typing import TypeAlias

import msgpack
import torch
from torch import Tensor

from antiphon.errors import CodecError, ShapeError
from antiphon.transport.checksum import crc
from antiphon.transport.memory import ALIGNMENT, Value, aligned, tensor_over, type_of, write
from antiphon.transport.message import VERSION, Header, Tag, value_type

Frame: TypeAlias = bytes | bytearray | memoryview

MAGIC = b"ATPH"
FRAME_LIMIT = 1 << 31

# A header is 48 bytes and 8 for each dimension, so its size depends on the edge alone.
_TYPE = struct.Struct("<4sBBBB")  # magic, version, order, dtype, dimensions
_TAG = struct.Struct("<8sQQIB3sI4x")  # signature, generation, round, edge, phase, mark, checksum
_SHAPE_START = _TYPE.size + _TAG.size
_TAG_MARK = b"tag"
_FIELD = _TYPE.size + 32  # place of the checksum in a frame
TAG_BYTES = _TAG.size
CHECKSUM, CHECKSUM_AT = struct.Struct("<I"), 32
"""The checksum in a tag, and its place there. It is 0 in a message without a checksum."""

_ORDERS = ("zeroth", "first")
DTYPES = (
    torch.float16,
    torch.float32,
    torch.float64,
    torch.bfloat16,
    torch.complex64,
    torch.complex128,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.uint8,
    torch.bool,
)
"""The dtypes that a message may have. A header holds the place of its dtype in this list."""
_NUMBERS = {dtype: number for number, dtype in enumerate(DTYPES)}


def encode(header: Header, value: Value, memory: memoryview | None = None, checksum: bool = False) -> memoryview:
    """Return the frame of a message: header, padding to 64 bytes, bytes of the value.

    The value is copied once. The caller owns the frame. memory: an earlier frame of the same edge, to write into. A new
    frame is made if `memory` is missing or has another size. Raises ShapeError if the value has another dtype or shape
    than the header, CodecError for a dtype that a message cannot have. checksum: whether the frame carries a CRC32C of
    its bytes.
    """
    if (arrived := type_of(value)) != (header.dtype, header.shape):
        raise ShapeError(
            f"a frame for edge {header.tag.edge} was to carry {value_type(header.dtype, header.shape)}; arrived "
            f"{value_type(*arrived)}. Send the value that the edge declares."
        )
    head = pack_header(header)
    start, size = _value_start(len(head)), math.prod(header.shape) * header.dtype.itemsize
    frame = memory if memory is not None and len(memory) == start + size else aligned(start + size)
    frame[:start] = head.ljust(start, b"\0")
    if size:
        write(tensor_over(frame, header.dtype, header.shape, start), value)
    if checksum:
        CHECKSUM.pack_into(frame, _FIELD, crc(frame))  # of the frame with 0 in this field
    return frame


def decode(
    frame: Frame, limit: int = FRAME_LIMIT, memory: memoryview | None = None, checksum: bool = False
) -> tuple[Header, Tensor]:
    """Return the header and the value of a frame. All sizes are checked before memory is allocated for the value.

    The value is contiguous and 64-byte aligned. It is a view of the frame if the frame is writable and aligned, else a
    copy. memory: aligned memory for such a copy; new memory is taken if it is missing or has another size. limit:
    largest frame that is accepted, in bytes. checksum: whether the frame must carry its checksum; else it must carry
    none. Raises CodecError if the bytes are not exactly one frame.
    """
    view = memoryview(frame).cast("B")
    if len(view) > limit:
        raise _refused(f"at most {limit} bytes", f"{len(view)} bytes", "Raise the limit, or send smaller values.")
    header = unpack_header(view)
    start = _value_start(_SHAPE_START + 8 * len(header.shape))
    expected = start + math.prod(header.shape) * header.dtype.itemsize
    if len(view) != expected:
        raise _refused(f"{expected} bytes for {value_type(header.dtype, header.shape)}", f"{len(view)} bytes")
    found, end = CHECKSUM.unpack_from(view, _FIELD)[0], _FIELD + CHECKSUM.size
    own = crc(view[:_FIELD], bytes(CHECKSUM.size), view[end:]) if checksum else 0
    if found != own:
        raise _refused(f"the checksum {own:08x} of these bytes", f"{found:08x}")
    return header, _value(view, start, header, memory)


def pack_header(header: Header) -> bytes:
    """Return the bytes of a header. Their number depends on the number of dimensions alone.

    Raises CodecError for a dtype that a message cannot have.
    """
    if header.dtype not in _NUMBERS:
        raise _unknown_dtype(str(header.dtype).removeprefix("torch."))
    shape, order = header.shape, _ORDERS.index(header.order)
    kind = _TYPE.pack(MAGIC, header.version, order, _NUMBERS[header.dtype], len(shape))
    return b"".join((kind, pack_tag(header.tag), struct.pack(f"<{len(shape)}Q", *shape)))


def unpack_header(data: Frame) -> Header:
    """Return the header at the start of `data`. Raises CodecError unless every field has its range."""
    if len(data) < _SHAPE_START:
        raise _refused(f"at least {_SHAPE_START} bytes", f"{len(data)} bytes")
    magic, version, order, dtype, dimensions = _TYPE.unpack_from(data)
    if magic != MAGIC:
        raise _refused(f"a message that starts with {MAGIC!r}", repr(magic))
    if version != VERSION:
        raise _refused(
            f"version {VERSION} of the message format", f"version {version}", "Run one antiphon on all workers."
        )
    if order >= len(_ORDERS):
        raise _refused("order 0 or 1", str(order))
    if dtype >= len(DTYPES):
        raise _unknown_dtype(dtype)
    return Header(version, _tag_at(data, _TYPE.size), _ORDERS[order], DTYPES[dtype], _shape(data, dimensions))


def pack(value: object) -> bytes:
    """Return the msgpack bytes of a value made of numbers, texts, bytes, sequences and mappings."""
    packed = msgpack.packb(value)
    assert packed is not None  # by the type stubs, packb may return None
    return packed


def pack_tag(tag: Tag) -> bytes:
    """Return the 40 bytes of a tag, without a checksum."""
    return _TAG.pack(bytes.fromhex(tag.signature), tag.generation, tag.round, tag.edge, tag.phase, _TAG_MARK, 0)


def unpack_tag(data: Frame) -> Tag:
    """Return a tag from its 40 bytes. Raises CodecError if the bytes are not a tag."""
    if len(data) != TAG_BYTES:
        raise _refused(f"a tag of {TAG_BYTES} bytes", f"{len(data)} bytes")
    return _tag_at(data, 0)


def _tag_at(data: Frame, start: int) -> Tag:
    signature, generation, round, edge, phase, mark, _ = _TAG.unpack_from(data, start)
    if mark != _TAG_MARK:
        raise _refused(f"a tag that ends in {_TAG_MARK!r}", repr(mark))
    return Tag(signature.hex(), generation, round, phase, edge)


def _shape(data: Frame, dimensions: int) -> tuple[int, ...]:
    if len(data) < _SHAPE_START + 8 * dimensions:
        raise _refused(f"{dimensions} sizes of 8 bytes", f"{len(data) - _SHAPE_START} bytes")
    shape = struct.unpack_from(f"<{dimensions}Q", data, _SHAPE_START)
    # Sizes of 0 count as 1: torch refuses strides that overflow, also for a tensor without elements.
    if math.prod(max(size, 1) for size in shape) > FRAME_LIMIT:
        raise _refused(f"a shape of at most {FRAME_LIMIT} elements", repr(shape))
    return shape


def _value_start(head_size: int) -> int:
    return -(-head_size // ALIGNMENT) * ALIGNMENT


def _value(view: memoryview, start: int, header: Header, memory: memoryview | None) -> Tensor:
    value = None if view.readonly else tensor_over(view, header.dtype, header.shape, start)
    if value is None or value.data_ptr() % ALIGNMENT:
        size = len(view) - start
        memory = memory if memory is not None and len(memory) == size else aligned(size)
        memory[:] = view[start:]
        value = tensor_over(memory, header.dtype, header.shape)
    if header.dtype is torch.bool and value.numel() and value.view(torch.uint8).max() > 1:
        raise _refused("bytes 0 and 1 in a value of dtype bool", "another byte")
    return value


def _unknown_dtype(name: object) -> CodecError:
    names = ", ".join(str(each).removeprefix("torch.") for each in DTYPES)
    return _refused(f"a dtype of {names}", repr(name), "Convert the value to one of these.")


def _refused(expected: str, arrived: str, remedy: str = "") -> CodecError:
    remedy = remedy or "The sender is no antiphon worker of this version, or the bytes were damaged on the way."
    return CodecError(f"a message does not parse: expected {expected}; arrived {arrived}. {remedy}")
