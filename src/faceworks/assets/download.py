"""One https file, resumable: `PART` and `PART.json` beside it survive a drop, a crash or kill -9, and the next try asks for the rest alone.

Python's own urllib does the talking, so proxies and certificates come from where the user set them for Python.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import random
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urljoin, urlsplit

from .sources import SourceFailure, is_loopback
from .store import atomic_write, storage_errors

__all__ = ["BACKOFF", "MAXIMUM", "STALL", "download"]

STALL = 30.0
"""Seconds without an answer, or with less than 1 KiB, after which a connection is given up."""
BACKOFF = 0.5
"""Seconds before the first retry; doubled with each failure in a row."""
ATTEMPTS = 4
"""Failures in a row that bring less than 64 KiB more."""
MAXIMUM = 8 << 30
"""Largest file when the card does not say."""
_BLOCK = 1 << 18
_TRICKLE = 1024
_STEP = 1 << 16

Progress = Callable[[int, int | None], None]


class _Transient(Exception):
    """Worth another try."""


class _Redirect(urllib.request.HTTPRedirectHandler):
    """https may lead to https; http is for a loopback server that leads to a loopback server."""

    def redirect_request(self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> urllib.request.Request | None:
        target = urlsplit(urljoin(req.full_url, newurl))
        local = is_loopback(urlsplit(req.full_url).hostname) and is_loopback(target.hostname)
        if target.scheme != "https" and not (target.scheme == "http" and local):
            raise SourceFailure(f"it redirects to {target.scheme}://{target.hostname or ''}, and only https is followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)

    def http_error_302(self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any) -> Any:
        # urllib itself refuses file: and data: targets, but with an HTTPError; ask our own rule first so that the reason is plain
        if (where := headers.get("location") or headers.get("uri")) is not None:
            scheme = urlsplit(urljoin(req.full_url, where)).scheme
            if scheme not in ("http", "https"):
                raise SourceFailure(f"it redirects to {scheme}:, and only https is followed")
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _opener(url: str) -> urllib.request.OpenerDirector:
    """An opener that speaks http(s) alone: no file:, ftp: or data: handler exists in it."""
    opener = urllib.request.OpenerDirector()
    proxies: dict[str, str] | None = {} if is_loopback(urlsplit(url).hostname) else None
    for handler in (
        urllib.request.ProxyHandler(proxies),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirect(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


@dataclass(slots=True)
class _Part:
    """What is there already."""

    path: Path
    validator: str = ""
    total: int | None = None

    @property
    def notes(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    def load(self, url: str) -> None:
        """Read the notes of an earlier process; a part of another address, or without notes, is dropped."""
        try:
            notes = json.loads(self.notes.read_text(encoding="utf-8"))
            kept = notes["url"] == url and isinstance(notes["validator"], str) and isinstance(notes["total"], int | None)
        except (OSError, ValueError, KeyError, TypeError):
            kept = False
        if not kept:
            self.drop()
            return
        self.validator, self.total = notes["validator"], notes["total"]

    def save(self, url: str) -> None:
        text = json.dumps({"url": url, "validator": self.validator, "total": self.total})
        atomic_write(self.notes, lambda out: out.write(text.encode()))

    def drop(self) -> None:
        self.validator, self.total = "", None
        with storage_errors(self.path):
            self.path.unlink(missing_ok=True)
            self.notes.unlink(missing_ok=True)


_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


def _length(headers: http.client.HTTPMessage) -> int | None:
    text = headers.get("Content-Length", "")
    return int(text) if text.isdecimal() and len(text) < 16 else None


def _start(part: _Part, url: str, have: int, response: Any) -> int:
    """Agree with the server where its bytes begin (0, or `have`), and note total and validator. Raises for a lying header."""
    headers = response.headers
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        raise SourceFailure(f"the server packs the file as {headers['Content-Encoding']} although identity was asked for")
    length = _length(headers)
    validator = headers.get("ETag", "")
    validator = headers.get("Last-Modified", "") if not validator or validator.startswith("W/") else validator
    if response.status == 206:
        match = _RANGE.fullmatch(headers.get("Content-Range", "").strip())
        if match is None or int(match[1]) != have or (match[3] != "*" and int(match[3]) <= int(match[2])):
            part.drop()
            raise _Transient(f"the server answered bytes {have}- with Content-Range {headers.get('Content-Range')!r}")
        total = None if match[3] == "*" else int(match[3])
        if part.total is not None and total is not None and part.total != total:
            before = part.total
            part.drop()
            raise _Transient(f"the file on the server changed its size from {before} to {total} bytes")
        part.total = total or part.total
        return have
    if response.status != 200:
        raise SourceFailure(f"the server answered {response.status}")
    part.total, part.validator = length, validator
    part.save(url)
    return 0


def _receive(response: Any, out: IO[bytes], part: _Part, limit: int, hasher: Any, progress: Progress | None) -> None:
    """Copy the body; a stall, a trickle, too many bytes and too few are told apart."""
    done = out.tell()
    marked, since = done, time.monotonic()
    while True:
        try:
            block = response.read1(_BLOCK)
        except TimeoutError:
            raise _Transient(f"no byte came for {STALL:g} s after {done} bytes") from None
        except (OSError, http.client.HTTPException) as error:
            raise _Transient(f"the connection broke after {done} bytes ({type(error).__name__})") from None
        if not block:
            break
        done += len(block)
        if done > limit:
            part.drop()
            raise SourceFailure(f"it sends more than the {limit} bytes that are expected")
        with storage_errors(part.path):
            out.write(block)
        hasher.update(block)
        if progress:
            progress(done, part.total)
        if (now := time.monotonic()) - since > STALL:
            if done - marked < _TRICKLE:
                raise _Transient(f"only {done - marked} bytes came within {STALL:g} s")
            marked, since = done, now
    if part.total is not None and done < part.total:
        raise _Transient(f"the server announced {part.total} bytes and closed after {done}")


def _attempt(url: str, part: _Part, limit: int, progress: Progress | None) -> str:
    """One connection: asks for what is missing, returns the SHA-256 of the whole."""
    hasher = hashlib.sha256()
    with storage_errors(part.path), part.path.open("ab"):
        have = part.path.stat().st_size
    if have > limit or (part.total is not None and have > part.total):
        part.drop()
        have = 0
    headers = {"User-Agent": "faceworks", "Accept-Encoding": "identity"}
    if have and part.validator:
        headers |= {"Range": f"bytes={have}-", "If-Range": part.validator}
    else:
        have = 0
    try:
        response = _opener(url).open(urllib.request.Request(url, headers=headers), timeout=STALL)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416:
                part.drop()
                raise _Transient("the server does not know the range that is missing") from None
            if error.code in (408, 425, 429) or error.code >= 500:
                raise _Transient(f"the server answered {error.code} {error.reason}") from None
            raise SourceFailure(f"the server answered {error.code} {error.reason}") from None
    except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
        if isinstance(error, TimeoutError) or isinstance(getattr(error, "reason", None), TimeoutError):
            raise _Transient(f"no answer within {STALL:g} s") from None
        raise _Transient(f"no connection: {getattr(error, 'reason', None) or error}") from None
    with response:
        begin = _start(part, url, have, response)
        if part.total is not None and part.total > limit:
            announced = part.total
            part.drop()
            raise SourceFailure(f"it announces {announced} bytes, more than the {limit} that are expected")
        with storage_errors(part.path), part.path.open("r+b" if begin else "wb") as out:
            while begin and (old := out.read(min(_BLOCK, begin - out.tell()))):
                hasher.update(old)
            _receive(response, out, part, limit, hasher, progress)
            out.flush()
            os.fsync(out.fileno())
    return hasher.hexdigest()


def download(url: str, path: Path, limit: int = 0, progress: Progress | None = None) -> str:
    """Fetch `url` into `path` (a part file that may exist from an earlier try) and return its SHA-256.

    Args:
        url: https address (http for loopback alone).
        path: the part file; on success it is complete and flushed, and its notes are gone.
        limit: largest number of bytes that is accepted; 0 means `MAXIMUM`.
        progress: called with (bytes so far, total or None).

    Raises:
        SourceFailure: the server says no, redirects elsewhere, sends too much, or fails again and again; the part stays for the next try.
        AssetUnavailable: the disk cannot take it.
    """
    part = _Part(path)
    part.load(url)
    failures, best = 0, 0
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            total = _attempt(url, part, limit or MAXIMUM, progress)
        except _Transient as error:
            reached = path.stat().st_size if path.exists() else 0
            failures = 1 if reached >= best + _STEP else failures + 1
            best = max(best, reached)
            if failures >= ATTEMPTS:
                raise SourceFailure(f"{error} ({failures} tries in a row without progress)") from None
            time.sleep(BACKOFF * 2 ** (failures - 1) * random.uniform(0.8, 1.2))
            continue
        part.notes.unlink(missing_ok=True)
        return total
