"""Forms: `multipart/form-data` parsed as it streams, into memory (pictures) or a file (archives), with limits on every part.

A picture is bytes in the request. A field that is text where a picture is expected is refused: there is no path and no URL to be opened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from .body import Body
from .problems import Problem

__all__ = ["FilePart", "Form", "read_form"]

LONGEST_FIELD, MOST_PARTS, LONGEST_HEADER = 1_000_000, 64, 8_192


@dataclass(frozen=True, slots=True)
class FilePart:
    """A part with a file: how many of it there may be, how large, and where it goes. `path` None = memory."""

    least: int = 1
    most: int = 1
    bytes: int = 20_000_000
    path: Path | None = None


@dataclass(slots=True, eq=False)
class Form:
    """A form that was read.

    Attributes:
        fields: text fields. files: file parts as bytes, or b"" where they were written to a path. names: their file names.
        digest: SHA-256 over names and contents, the same however the parts are separated.
    """

    fields: dict[str, str] = field(default_factory=dict)
    files: dict[str, list[bytes]] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)
    digest: bytes = b""


class _Reader:
    """The callbacks of the parser; one part at a time."""

    def __init__(self, parts: Mapping[str, FilePart]) -> None:
        self.parts, self.form = parts, Form()
        self.count, self.done = 0, False
        self._hash = hashlib.sha256()
        self._header, self._value, self._headers = bytearray(), bytearray(), 0
        self._disposition = b""
        self._part: FilePart | None = None
        self._name, self._file_name = "", ""
        self._data = bytearray()
        self._size, self._part_hash = 0, hashlib.sha256()
        self.file: BinaryIO | None = None

    def callbacks(self) -> dict[str, Any]:
        """As `MultipartParser` takes them."""
        return {
            "on_part_begin": self.begin, "on_header_field": self.header_field, "on_header_value": self.header_value, "on_header_end": self.header_end,
            "on_headers_finished": self.headers_finished, "on_part_data": self.data, "on_part_end": self.end, "on_end": self.finish,
        }  # fmt: skip

    def begin(self) -> None:
        self.count += 1
        if self.count > MOST_PARTS:
            raise Problem(413, f"the form has more than {MOST_PARTS} parts", "too-large")
        self._disposition, self._headers, self._part = b"", 0, None

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._count_header(end - start)
        self._header += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._count_header(end - start)
        self._value += data[start:end]

    def _count_header(self, size: int) -> None:
        self._headers += size
        if self._headers > LONGEST_HEADER:
            raise Problem(400, f"the head of a part has more than {LONGEST_HEADER} bytes")

    def header_end(self) -> None:
        if bytes(self._header).lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header, self._value = bytearray(), bytearray()

    def headers_finished(self) -> None:
        kind, options = parse_options_header(self._disposition)
        try:
            self._name = options.get(b"name", b"").decode("utf-8")
            self._file_name = options[b"filename"].decode("utf-8") if b"filename" in options else ""
        except UnicodeDecodeError:
            raise Problem(400, "the name of a part is not UTF-8") from None
        if kind != b"form-data" or not self._name:
            raise Problem(400, "a part of the form has no name")
        self._part = self.parts.get(self._name)
        is_file = b"filename" in options
        if self._part is None and is_file:
            raise Problem(422, f"the form takes no file {self._name[:80]!r}; files: {', '.join(self.parts) or 'none'}", "unknown-field")
        if self._part is not None and not is_file:
            raise Problem(422, f"{self._name!r} must be an uploaded file (with a file name): paths and URLs are never opened", "no-file")
        if self._part is not None and len(self.form.files.get(self._name, ())) >= self._part.most:
            raise Problem(422, f"at most {self._part.most} file{'s' * (self._part.most > 1)} may be called {self._name!r}", "too-many-files")
        self._data, self._size, self._part_hash = bytearray(), 0, hashlib.sha256()
        if self._part is not None and self._part.path is not None:
            self.file = self._part.path.open("wb")

    def data(self, data: bytes, start: int, end: int) -> None:
        self._size += end - start
        limit = LONGEST_FIELD if self._part is None else self._part.bytes
        if self._size > limit:
            raise Problem(413, f"{self._name[:80]!r} has more than {limit} bytes", "too-large", {"Connection": "close"})
        piece = data[start:end]
        self._part_hash.update(piece)
        if self.file is not None:
            self.file.write(piece)
        else:
            self._data += piece

    def end(self) -> None:
        self._hash.update(f"{len(self._name)}:{self._name}:{self._part is None}:".encode() + self._part_hash.digest())
        if self._part is None:
            if self._name in self.form.fields:
                raise Problem(422, f"the field {self._name[:80]!r} stands twice", "unknown-field")
            try:
                self.form.fields[self._name] = self._data.decode("utf-8")
            except UnicodeDecodeError:
                raise Problem(422, f"the field {self._name[:80]!r} is not UTF-8", "unknown-field") from None
            return
        if self.file is not None:
            self.file.close()
            self.file = None
        if not self._size:
            raise Problem(422, f"the file {self._name!r} is empty", "no-file")
        self.form.files.setdefault(self._name, []).append(bytes(self._data))
        self.form.names.setdefault(self._name, []).append(self._file_name)
        self._data = bytearray()

    def finish(self) -> None:
        self.done = True
        self.form.digest = self._hash.digest()


async def read_form(request: Request, files: Mapping[str, FilePart]) -> Form:
    """Read a form with these file parts; all other parts are text.

    Raises:
        Problem: 400 no well-formed form; 413 too large; 415 no form at all; 422 a file is missing, empty, too many, or no file.
    """
    kind, options = parse_options_header(request.headers.get("content-type", "").encode("latin-1"))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise Problem(415, "send multipart/form-data with a boundary; pictures are file parts", "not-a-form")
    body = request.scope.get("faceworks.body")
    if isinstance(body, Body):
        body.allowed = max(body.allowed, sum(part.most * part.bytes for part in files.values() if part.path is not None))
    reader = _Reader(files)
    try:
        parser = MultipartParser(options[b"boundary"], reader.callbacks())  # type: ignore[arg-type]
        async for chunk in request.stream():
            if chunk:
                parser.write(chunk)
        parser.finalize()
    except FormParserError as error:
        raise Problem(400, f"the form is not well-formed: {error}") from None
    except ClientDisconnect:
        raise Problem(400, "the sender hung up") from None
    finally:
        if reader.file is not None:
            reader.file.close()
    if not reader.done:
        raise Problem(400, "the form ends before its last boundary")
    for name, part in files.items():
        if len(reader.form.files.get(name, ())) < part.least:
            raise Problem(422, f"the form needs the file {name!r}", "no-file")
    return reader.form
