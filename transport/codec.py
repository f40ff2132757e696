"""Converts messages to bytes: a frame (header and value), a header alone, or the 32-byte tag. It never uses pickle."""

import functools
import math
import struct
from typing import Any, TypeAlias

import msgpack
import torch
from torch import Tensor

from antiphon.errors import CodecError, ShapeError
from antiphon.transport.memory import ALIGNMENT, Value, aligned, tensor_over, type_of, write
from antiphon.transport.message import VERSION, Header, Tag, value_type

Frame: TypeAlias = bytes | bytearray | memoryview

MAGIC = b"ATPH"
FRAME_LIMIT = 1 << 31
HEADER_LIMIT = 1024
DIMENSION_LIMIT = 16
_HEADERS_KEPT = 1024

_PREFIX = struct.Struct("<4sIQQ")  # magic, header bytes, value bytes, round
_TAG = struct.Struct("<8sQQIB3s")
_TAG_MARK = b"tag"
TAG_BYTES = _TAG.size

_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
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
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
DTYPES = tuple(_NAMES)
"""The dtypes that a message may have."""


def encode(header: Header, value: Value, memory: memoryview | None = None) -> memoryview:
    """Return the frame of a message: sizes and round, msgpack header, padding to 64 bytes, bytes of the value.

    The value is copied once. The caller owns the frame. memory: an earlier frame of the same edge, to write into. A new
    frame is made if `memory` is missing or has another size. Raises ShapeError if the value has another dtype or shape
    than the header, CodecError for a dtype that a message cannot have.
    """
    if (arrived := type_of(value)) != (header.dtype, header.shape):
        raise ShapeError(
            f"a frame for edge {header.tag.edge} was to carry {value_type(header.dtype, header.shape)}; arrived "
            f"{value_type(*arrived)}. Send the value that the edge declares."
        )
    head = pack_header(header)
    start, size = _value_start(len(head)), math.prod(header.shape) * header.dtype.itemsize
    frame = memory if memory is not None and len(memory) == start + size else aligned(start + size)
    _PREFIX.pack_into(frame, 0, MAGIC, len(head), size, header.tag.round)
    frame[_PREFIX.size : start] = head.ljust(start - _PREFIX.size, b"\0")
    if size:
        write(tensor_over(frame, header.dtype, header.shape, start), value)
    return frame


def decode(frame: Frame, limit: int = FRAME_LIMIT, memory: memoryview | None = None) -> tuple[Header, Tensor]:
    """Return the header and the value of a frame. All sizes are checked before memory is allocated for the value.

    The value is contiguous and 64-byte aligned. It is a view of the frame if the frame is writable and aligned, else a
    copy. memory: aligned memory for such a copy; new memory is taken if it is missing or has another size. limit:
    largest frame that is accepted, in bytes. Raises CodecError if the bytes are not exactly one frame.
    """
    view = memoryview(frame).cast("B")
    head_size, size, round = _frame_sizes(view, limit)
    header = unpack_header(bytes(view[_PREFIX.size : _PREFIX.size + head_size]), round)
    expected = math.prod(header.shape) * header.dtype.itemsize
    if size != expected:
        raise _refused(f"{expected} bytes for {value_type(header.dtype, header.shape)}", f"{size} bytes of value")
    return header, _value(view, _value_start(head_size), header, memory)


def pack_header(header: Header) -> bytes:
    """Return the msgpack bytes of a header without its round: the part that is the same for all messages of an edge.

    Raises CodecError for a dtype that a message cannot have.
    """
    tag = header.tag
    kind = header.order, header.dtype, header.shape
    return _packed(header.version, tag.signature, tag.generation, tag.phase, tag.edge, *kind)


def unpack_header(data: bytes, round: int = 0) -> Header:
    """Return a header from its bytes. round: round of the message.

    Raises CodecError unless every field has its type and range.
    """
    if not _is_count(round):
        raise _refused("a round from 0 to 2**63 - 1", repr(round))
    fixed = _unpacked(data)
    return Header(fixed.version, fixed.tag._replace(round=round), fixed.order, fixed.dtype, fixed.shape)


# The last headers are kept, so that the messages of an edge pay for msgpack once. An error is not kept.
@functools.lru_cache(_HEADERS_KEPT)
def _packed(
    version: int,
    signature: str,
    generation: int,
    phase: int,
    edge: int,
    order: str,
    dtype: torch.dtype,
    shape: tuple[int, ...],
) -> bytes:
    if dtype not in _NAMES:
        raise _unknown_dtype(str(dtype).removeprefix("torch."))
    return pack((version, signature, generation, phase, edge, order, _NAMES[dtype], shape))


@functools.lru_cache(_HEADERS_KEPT)
def _unpacked(data: bytes) -> Header:
    version, signature, generation, phase, edge, order, name, shape = _unpack_fields(data)
    if version != VERSION:
        raise _refused(
            f"version {VERSION} of the message format", f"version {version!r}", "Run one antiphon on all workers."
        )
    if not (isinstance(signature, str) and len(signature) == 16 and set(signature) <= set("0123456789abcdef")):
        raise _refused("a signature of 16 hexadecimal digits", repr(signature))
    for what, number in (("generation", generation), ("phase", phase), ("edge", edge)):
        if not _is_count(number):
            raise _refused(f"a {what} from 0 to 2**63 - 1", repr(number))
    if order not in ("zeroth", "first"):
        raise _refused("order 'zeroth' or 'first'", repr(order))
    if not isinstance(name, str) or name not in _DTYPES:
        raise _unknown_dtype(name)
    return Header(VERSION, Tag(signature, generation, 0, phase, edge), order, _DTYPES[name], _shape(shape))


def pack(value: object) -> bytes:
    """Return the msgpack bytes of a value made of numbers, texts, bytes, sequences and mappings."""
    packed = msgpack.packb(value)
    assert packed is not None  # by the type stubs, packb may return None
    return packed


def pack_tag(tag: Tag) -> bytes:
    """Return the 32 bytes of a tag."""
    return _TAG.pack(bytes.fromhex(tag.signature), tag.generation, tag.round, tag.edge, tag.phase, _TAG_MARK)


def unpack_tag(data: Frame) -> Tag:
    """Return a tag from its 32 bytes. Raises CodecError if the bytes are not a tag."""
    if len(data) != TAG_BYTES:
        raise _refused(f"a tag of {TAG_BYTES} bytes", f"{len(data)} bytes")
    signature, generation, round, edge, phase, mark = _TAG.unpack(data)
    if mark != _TAG_MARK:
        raise _refused(f"a tag that ends in {_TAG_MARK!r}", repr(mark))
    return Tag(signature.hex(), generation, round, phase, edge)


def _frame_sizes(view: memoryview, limit: int) -> tuple[int, int, int]:
    """Return the size of a frame's header, the size of its value, and its round.

    limit: largest frame that is accepted, in bytes. Raises CodecError for a frame that is too large, incomplete or too
    long.
    """
    if len(view) > limit:
        raise _refused(f"at most {limit} bytes", f"{len(view)} bytes", "Raise the limit, or send smaller values.")
    if len(view) < _PREFIX.size:
        raise _refused(f"at least {_PREFIX.size} bytes", f"{len(view)} bytes")
    magic, head_size, size, round = _PREFIX.unpack_from(view)
    if magic != MAGIC:
        raise _refused(f"a frame that starts with {MAGIC!r}", repr(magic))
    if head_size > HEADER_LIMIT:
        raise _refused(f"a header of at most {HEADER_LIMIT} bytes", f"{head_size} bytes")
    if len(view) != _value_start(head_size) + size:
        raise _refused(f"{_value_start(head_size) + size} bytes in all", f"{len(view)} bytes")
    return head_size, size, round


def _value_start(head_size: int) -> int:
    return -(-(_PREFIX.size + head_size) // ALIGNMENT) * ALIGNMENT


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


def _unpack_fields(data: bytes) -> list[Any]:  # Any: what arrived, not yet checked
    try:
        fields = msgpack.unpackb(
            data, max_str_len=64, max_bin_len=0, max_array_len=DIMENSION_LIMIT, max_map_len=0, max_ext_len=0
        )
    except Exception as error:  # msgpack raises ValueError, TypeError, UnicodeDecodeError and its own
        raise _refused("a msgpack header", type(error).__name__) from error
    if not isinstance(fields, list) or len(fields) != 8:
        raise _refused("a header of 8 fields", f"a {type(fields).__name__} of another size")
    return fields


def _shape(shape: object) -> tuple[int, ...]:
    if not isinstance(shape, list) or not all(_is_count(size) for size in shape):
        raise _refused("a shape of sizes from 0 to 2**63 - 1", repr(shape))
    # Sizes of 0 count as 1: torch refuses strides that overflow, also for a tensor without elements.
    if math.prod(max(size, 1) for size in shape) > FRAME_LIMIT:
        raise _refused(f"a shape of at most {FRAME_LIMIT} elements", repr(tuple(shape)))
    return tuple(shape)


def _is_count(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 1 << 63


def _unknown_dtype(name: object) -> CodecError:
    return _refused(f"a dtype of {', '.join(_DTYPES)}", repr(name), "Convert the value to one of these.")


def _refused(expected: str, arrived: str, remedy: str = "") -> CodecError:
    remedy = remedy or "The sender is no antiphon worker of this version, or the bytes were damaged on the way."
    return CodecError(f"a message does not parse: expected {expected}; arrived {arrived}. {remedy}")
