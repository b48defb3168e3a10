"""insightface's `.bin` sets (lfw.bin, cfp_fp.bin, agedb_30.bin …): a pickle of encoded, aligned pictures and of labels; read without running it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ..assets import read_tensors
from ..errors import ManifestError
from .lists import deal_folds
from .protocols import Pair, PairList

__all__ = ["read_bin"]


def read_bin(path: str | Path, folder: str | Path, folds: int = 10) -> PairList:
    """Unpack a set and return its pairs; pictures go to `folder` by content, once.

    The file holds (pictures, same): 2 N encoded pictures and N labels; pair k is pictures 2 k and 2 k + 1. Folds are consecutive runs, as
    insightface's own script takes them. Nobody is named in it: each picture content counts as a person of its own, each same pair as one person, so
    intervals treat pairs as hardly dependent and are narrower than they should be.

    Raises:
        ManifestError: another content.
    """
    source, target = Path(path), Path(folder)
    try:
        content = read_tensors(source)
    except Exception as error:
        raise ManifestError(f"{source}: cannot be read as an insightface .bin set: {error}") from error
    if not isinstance(content, (list, tuple)) or len(content) != 2:
        raise ManifestError(f"{source}: a .bin set holds (pictures, same), got {type(content).__name__}")
    pictures, labels = list(content[0]), [bool(item) for item in list(content[1])]
    if len(pictures) != 2 * len(labels) or not labels:
        raise ManifestError(f"{source}: {len(labels)} labels need {2 * len(labels)} pictures, got {len(pictures)}")
    target.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, item in enumerate(pictures):
        data = item if isinstance(item, bytes) else bytes(memoryview(item).cast("B")) if hasattr(item, "tobytes") else b""
        if not data:
            raise ManifestError(f"{source}: picture {number} is {type(item).__name__}, not encoded bytes")
        suffix = ".png" if data.startswith(b"\x89PNG") else ".jpg"
        name = target / f"{hashlib.sha256(data).hexdigest()[:24]}{suffix}"
        if not name.is_file():
            name.write_bytes(data)
        paths.append(name)
    pairs = []
    for k, same in enumerate(labels):
        first, second = paths[2 * k], paths[2 * k + 1]
        pairs.append(Pair(first, second, same, (first.stem, first.stem if same else f"{second.stem} of pair {k}")))
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    runs = deal_folds([True] * len(pairs), folds)
    return PairList(tuple(pairs), runs, str(source), digest, f"{source.name}, {folds} runs")
