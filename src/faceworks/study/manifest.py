"""The manifest: one CSV line for each picture of a study. Everything about it is checked before any model loads."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import ManifestError
from .naming import EMOTIONS, ORIGINAL, canonical, nfc

__all__ = ["COLUMNS", "FILE", "Manifest", "Picture", "read", "write"]

FILE = "manifest.csv"
COLUMNS = ("identity", "picture", "role", "condition", "replicate", "generator", "prompt", "seed", "control")
"""Known columns; all others are free and are carried through to `tables/faces.csv`."""
ROLES = ("source", "edit", "reference")


@dataclass(frozen=True, slots=True)
class Picture:
    """A line of the manifest.

    Attributes:
        identity: key of the person.
        path: the file; `name` is how the manifest writes it.
        role: "source" (before editing), "edit", or "reference" (a real person, to know what real changes of expression do).
        condition: emotion shown or aimed at, of `EMOTIONS`.
        control: what was done to it on purpose ("identity swap"); such pictures are measured, get a table of their own, and enter no other figure.
        digest: SHA-256 of the file.
        free: further columns.
        line: in the file, from 1.
    """

    identity: str
    name: str
    path: Path
    role: str
    condition: str
    replicate: str = ""
    generator: str = ""
    prompt: str = ""
    seed: str = ""
    control: str = ""
    digest: str = ""
    free: Mapping[str, str] | None = None
    line: int = 0


@dataclass(frozen=True, slots=True)
class Manifest:
    """All pictures of a study, in the order of the file."""

    pictures: tuple[Picture, ...]
    path: Path

    def of_role(self, role: str) -> list[Picture]:
        """Pictures of one role, in the order of the file."""
        return [item for item in self.pictures if item.role == role]

    @property
    def identities(self) -> list[str]:
        """Identities with a source, in order of first appearance."""
        return list(dict.fromkeys(item.identity for item in self.pictures if item.role != "reference"))

    @property
    def targets(self) -> list[str]:
        """Conditions of the edits in the usual order of emotions."""
        shown = {item.condition for item in self.of_role("edit")}
        return [label for label in EMOTIONS if label in shown]

    @property
    def has_baseline(self) -> bool:
        """Whether there are edits whose target is neutral: the no-op baseline."""
        return any(item.condition == "neutral" and not item.control for item in self.of_role("edit"))

    @property
    def digest(self) -> str:
        """Hash over what the pictures are and what is said of them, not of where they lie."""
        lines = [(i.identity, i.role, i.condition, i.replicate, i.generator, i.control, i.digest) for i in self.pictures]
        return hashlib.sha256(repr(lines).encode()).hexdigest()[:16]


def read(path: str | Path, aliases: Mapping[str, str] | None = None) -> Manifest:
    """Read and check a manifest.

    Raises:
        ManifestError: with line and column: a missing column or file, an unknown role or label, two lines with the same picture, an identity without
            a source, no edit at all.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}); save it as “CSV UTF-8”") from error
    except OSError as error:
        raise ManifestError(f"cannot read {path}: {error.strerror or error}; make one with: faceworks study init FOLDER") from error
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    rows: list[tuple[int, list[str]]] = []
    try:
        for cells in reader:
            rows.append((reader.line_num, cells))
    except csv.Error as error:
        raise ManifestError(f"{path} is not CSV: {error}", reader.line_num) from error
    if not rows:
        raise ManifestError(f"{path} is empty; its first line must name the columns {', '.join(COLUMNS)}", 1)
    head = [nfc(cell).strip() for cell in rows[0][1]]
    for name in COLUMNS[:4]:
        if head.count(name) != 1:
            raise ManifestError(f"the column {name!r} must stand once in the first line, which has: {', '.join(head)}", 1, name)
    found = [_picture(dict(zip(head, cells, strict=False)), line, path, len(head), len(cells), aliases) for line, cells in rows[1:] if any(cells)]
    _check(found, path)
    return Manifest(tuple(found), path)


def _delimiter(text: str) -> str:
    first = text.split("\n", 1)[0]
    return max(",;\t", key=first.count)


def _picture(row: dict[str, str], line: int, path: Path, expected: int, got: int, aliases: Mapping[str, str] | None) -> Picture:
    if got != expected:
        raise ManifestError(f"{got} cells, expected {expected} as in the first line; quote cells that hold commas", line)
    cells = {name: value.strip() for name, value in row.items()}
    for name in ("identity", "picture"):
        if not cells[name]:
            raise ManifestError(f"the {name} is empty", line, name)
    role = cells["role"].lower()
    if role not in ROLES:
        raise ManifestError(f"unknown role {cells['role']!r}; known: {', '.join(ROLES)}", line, "role")
    label = canonical(cells["condition"], aliases)
    if label == ORIGINAL:
        label = "neutral"
    if label is None:
        hint = f'known: {", ".join(EMOTIONS)} and their English and Korean forms; for a word of your own add to study.toml: [aliases] "…" = "happy"'
        raise ManifestError(f"unknown condition {cells['condition']!r}; {hint}", line, "condition")
    if role == "source" and label != "neutral":
        raise ManifestError(
            f"a source shows a neutral face, got the condition {cells['condition']!r}; an edited picture has the role edit", line, "role"
        )
    place = path.parent / cells["picture"]
    if not place.is_file():
        raise ManifestError(f"the picture {cells['picture']} does not exist (looked in {path.parent})", line, "picture")
    try:
        digest = hashlib.sha256(place.read_bytes()).hexdigest()
    except OSError as error:
        raise ManifestError(f"the picture {cells['picture']} cannot be read: {error.strerror or error}", line, "picture") from error
    free = {name: value for name, value in cells.items() if name not in COLUMNS and name}
    known = {name: cells.get(name, "") for name in COLUMNS[4:]}
    return Picture(nfc(cells["identity"]), nfc(cells["picture"]), place, role, label, **known, digest=digest, free=free, line=line)


def _check(found: list[Picture], path: Path) -> None:
    seen: dict[str, Picture] = {}
    for item in found:
        other = seen.setdefault(item.digest, item)
        if other is not item:
            raise ManifestError(
                f"the picture {item.name} is byte for byte that of line {other.line} ({other.name}); each line needs a picture of its own: delete one of the two lines",
                item.line, "picture",
            )  # fmt: skip
    sources = {item.identity for item in found if item.role == "source"}
    for item in found:
        if item.role == "edit" and item.identity not in sources:
            raise ManifestError(
                f"the identity {item.identity!r} has no source: one line with role source and condition neutral is needed", item.line, "identity"
            )
    places = Counter((i.identity, i.role, i.condition, i.replicate, i.generator, i.control) for i in found)
    for item in found:
        if item.role == "edit" and places[item.identity, item.role, item.condition, item.replicate, item.generator, item.control] > 1:
            raise ManifestError(
                f"{item.identity!r} has {item.condition} more than once with the replicate {item.replicate!r}: number them in the column replicate",
                item.line, "replicate",
            )  # fmt: skip
    if not any(item.role == "edit" for item in found):
        raise ManifestError(f"{path} names no edit: there is nothing to study; role edit marks edited pictures")


def write(path: Path, rows: list[Mapping[str, str]]) -> None:
    """Write a manifest (UTF-8 with BOM, so that Excel reads Korean). Never overwrites.

    Raises:
        ManifestError: the file exists, or cannot be written.
    """
    names = [*COLUMNS, *dict.fromkeys(name for row in rows for name in row if name not in COLUMNS)]
    try:
        with path.open("x", encoding="utf-8-sig", newline="") as file:
            table = csv.DictWriter(file, names, restval="", lineterminator="\n")
            table.writeheader()
            table.writerows(rows)
    except FileExistsError as error:
        raise ManifestError(f"{path} exists and is not overwritten; move it away to make a new one") from error
    except OSError as error:
        raise ManifestError(f"cannot write {path}: {error.strerror or error}") from error
