"""LZ4 frames, decoded in Python: joblib writes weights in them, and most of such a file is literals, so this is fast enough (tens of MB/s).

Format: https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md. Checksums are stepped over: the file's own SHA-256 was checked.
"""

from __future__ import annotations

from ..errors import ConversionError

__all__ = ["MAGIC", "decode_frames"]

MAGIC = b"\x04\x22\x4d\x18"


def _block(data: memoryview, out: bytearray, limit: int) -> None:
    """Decode one compressed block onto `out`, which is also its dictionary."""
    at, end = 0, len(data)
    while at < end:
        token = data[at]
        at += 1
        count = token >> 4
        if count == 15:
            while (more := data[at]) == 255:
                count, at = count + 255, at + 1
            count, at = count + more, at + 1
        if at + count > end or len(out) + count > limit:
            raise ConversionError("the LZ4 data is broken: literals run past its end or its limit")
        out += data[at : at + count]
        at += count
        if at == end:
            return
        offset = data[at] | data[at + 1] << 8
        at += 2
        count = (token & 15) + 4
        if count == 19:
            while (more := data[at]) == 255:
                count, at = count + 255, at + 1
            count, at = count + more, at + 1
        begin = len(out) - offset
        if not offset or begin < 0 or len(out) + count > limit:
            raise ConversionError("the LZ4 data is broken: a match lies outside the data or its limit")
        if offset >= count:
            out += out[begin : begin + count]
        else:
            out += (out[begin:] * (count // offset + 1))[:count]


def decode_frames(data: bytes, limit: int) -> bytes:
    """The content of one or more LZ4 frames.

    Raises:
        ConversionError: broken, truncated, needs a dictionary, or more than `limit` bytes.
    """
    out, view, at = bytearray(), memoryview(data), 0
    try:
        while at < len(data):
            if view[at : at + 4] != MAGIC:
                raise ConversionError("the LZ4 data is broken: no frame where one must begin")
            flags = view[at + 4]
            if flags >> 6 != 1 or flags & 1:
                raise ConversionError("the LZ4 frame has an unknown version or needs a dictionary")
            at += 7 + (8 if flags & 8 else 0)
            while True:
                size = int.from_bytes(view[at : at + 4], "little")
                at += 4
                if not size and at <= len(data):
                    break
                stored, size = size >> 31, size & 0x7FFFFFFF
                block = view[at : at + size]
                if len(block) != size or not size:
                    raise ConversionError("the LZ4 data is truncated")
                if not stored:
                    _block(block, out, limit)
                elif len(out) + size > limit:
                    raise ConversionError(f"the LZ4 data holds more than {limit} bytes")
                else:
                    out += block
                at += size + (4 if flags & 16 else 0)
            at += 4 if flags & 4 else 0
    except IndexError:
        raise ConversionError("the LZ4 data is truncated") from None
    return bytes(out)
