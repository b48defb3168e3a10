"""`study init`: a folder of pictures becomes a manifest and a study.toml."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .. import batch
from ..errors import InputError
from . import config, manifest
from .naming import EMOTIONS, ORIGINAL, PATTERNS, Match, Pattern

__all__ = ["Start", "begin", "scan"]


@dataclass(frozen=True, slots=True)
class Start:
    """What a folder holds.

    Attributes:
        pattern: the one that explains it.
        rows: lines of the manifest.
        counts: (identity, column) -> pictures, the column being "source" or a condition of edits.
        gaps: (identity, condition) that others have and this identity lacks.
        unmatched: files the pattern does not explain.
    """

    pattern: str
    rows: tuple[dict[str, str], ...]
    counts: dict[tuple[str, str], int]
    gaps: tuple[tuple[str, str], ...]
    unmatched: tuple[str, ...]

    @property
    def identities(self) -> list[str]:
        """In the order of the manifest."""
        return list(dict.fromkeys(row["identity"] for row in self.rows))

    @property
    def columns(self) -> list[str]:
        """ "source", then the conditions of edits in the usual order."""
        used = {column for _, column in self.counts}
        return [name for name in ("source", *EMOTIONS) if name in used]


def scan(folder: str | Path, pattern: str | None = None) -> Start:
    """Read a folder without writing anything.

    Raises:
        InputError: no picture; no pattern explains all files; two do, differently; a file explained twice; an identity without a neutral picture.
        ConfigError: a pattern that cannot be.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"{root} is no folder; name the folder that holds the pictures")
    files = [PurePosixPath(path.relative_to(root).as_posix()) for path in batch.expand([root])]
    matches = _matches(files, pattern)
    text, found = matches
    unmatched = [str(path) for path, match in zip(files, found, strict=True) if match is None]
    kept = [(path, match) for path, match in zip(files, found, strict=True) if match is not None]
    if not kept:
        raise InputError(f"the pattern {text!r} explains none of the {len(files)} pictures in {root}, the first of which is {files[0]}")
    originals = {match.identity for _, match in kept if match.condition == ORIGINAL}
    rows = [_row(path, match, originals) for path, match in sorted(kept, key=lambda pair: _order(pair[1], str(pair[0])))]
    if without := sorted({row["identity"] for row in rows} - {row["identity"] for row in rows if row["role"] == "source"}):
        listed = ", ".join(f"{name!r} ({sum(row['identity'] == name for row in rows)})" for name in without[:5])
        raise InputError(
            f"identities without a neutral picture to compare with (and their pictures): {listed}{' …' if len(without) > 5 else ''}. "
            "Add one named neutral (중립, 무표정) or original (원본), or move these pictures out of the folder"
        )
    counts = Counter((row["identity"], "source" if row["role"] == "source" else row["condition"]) for row in rows)
    columns = {column for _, column in counts}
    names = list(dict.fromkeys(row["identity"] for row in rows))
    gaps = [(name, column) for name in names for column in ("source", *EMOTIONS) if column in columns and not counts[name, column]]
    return Start(text, tuple(rows), dict(counts), tuple(gaps), tuple(unmatched))


def _matches(files: list[PurePosixPath], given: str | None) -> tuple[str, list[Match | None]]:
    if given is not None:
        pattern = Pattern(given)
        return given, [pattern.match(path) for path in files]
    tried = {text: [Pattern(text).match(path) for path in files] for text in PATTERNS}
    whole = [text for text, found in tried.items() if all(match is not None for match in found)]
    if len(whole) == 1:
        return whole[0], tried[whole[0]]
    if whole:
        raise InputError(f"{len(whole)} patterns explain every file, differently: {'; '.join(whole)}; choose one with --pattern")
    shares = "; ".join(f"{text}: {sum(match is not None for match in found)}" for text, found in tried.items())
    best = max(tried, key=lambda text: sum(match is not None for match in tried[text]))
    odd = [str(path) for path, match in zip(files, tried[best], strict=True) if match is None]
    raise InputError(
        f"no pattern explains all {len(files)} pictures ({shares}); not explained by {best}: {', '.join(odd[:5])}{' …' if len(odd) > 5 else ''}. "
        "Rename or move these, or name a --pattern: what it does not explain is listed and left out"
    )


def _order(match: Match, name: str) -> tuple[str, int, str, str]:
    place = -1 if match.condition == ORIGINAL else EMOTIONS.index(match.condition)
    return match.identity, place, match.replicate, name


def _row(path: PurePosixPath, match: Match, originals: set[str]) -> dict[str, str]:
    """Neutral pictures are sources, unless the identity has an original: then a neutral one is an edit too, the no-op baseline."""
    source = match.condition == ORIGINAL or (match.condition == "neutral" and match.identity not in originals)
    label = "neutral" if match.condition == ORIGINAL else match.condition
    role = "source" if source else "edit"
    return {"identity": match.identity, "picture": str(path), "role": role, "condition": label, "replicate": match.replicate}


def begin(folder: str | Path, pattern: str | None = None, language: str = "en") -> Start:
    """Scan, then write `manifest.csv` and `study.toml` into the folder; neither is overwritten.

    Raises:
        InputError: as `scan`; or one of the two files exists.
    """
    root = Path(folder)
    for name in (manifest.FILE, config.FILE):
        if (root / name).exists():
            raise InputError(f"{root / name} exists and is not overwritten; move it away to begin anew")
    found = scan(root, pattern)
    from .check import suggested

    manifest.write(root / manifest.FILE, list(found.rows))
    try:
        with (root / config.FILE).open("x", encoding="utf-8") as file:
            file.write(config.default_text(language, *suggested()))
    except OSError as error:
        raise InputError(f"cannot write {root / config.FILE}: {error.strerror or error}") from error
    return found
