"""`study run` and `study report`: from manifest and configuration to run.json, tables, figures and the report."""

from __future__ import annotations

import dataclasses
import datetime
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..cards.schema import build
from ..errors import ConfigError
from ..evaluate.provenance import software, write_whole
from . import config as configuration
from . import manifest as manifests
from .analysis import require_edits, results
from .check import refuse_blind, require_packages, usable
from .config import StudyConfig
from .faces import face_rows
from .identity import compare
from .identity_summary import separation
from .locality_run import Kept, measure_locality
from .ratings import Ratings, exclude, load_files, scaled, to_rows
from .tables import codebook, summary_rows, write_csv
from .visits import measure_all

__all__ = ["SCHEMA", "plain", "report", "run"]

SCHEMA = 1


def plain(value: Any) -> Any:
    """JSON types; NaN and infinities become null, which is what JSON has for them."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (np.floating, float)):
        return float(value) if np.isfinite(value) else None
    if isinstance(value, np.bool_):
        return bool(value)
    return int(value) if isinstance(value, np.integer) else value


def run(
    manifest_path: str | Path,
    out: str | Path,
    *,
    config_path: str | Path | None = None,
    ratings: Iterable[str | Path] = (),
    withdrawn: Iterable[str] = (),
    skip_missing: bool = False,
    neutral: str | None = None,
    executor: Literal["serial", "threads", "processes"] = "threads",
    workers: int | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Run a study and write everything into `out`: run.json, report.html, tables/, figures/, thumbs/, journal/. Returns what run.json holds.

    The same pictures, configuration and seed give the same bytes, whatever the executor; dates and timings stand in run.json alone. A run that was killed
    continues with what its journals hold.

    Raises:
        ManifestError, ConfigError: before any model is opened.
        AssetUnavailable: a model is missing (see `check.usable`).
        InputError: no face in any edit.
    """
    start = time.perf_counter()
    require_packages()
    manifest_path, out = Path(manifest_path), Path(out)
    config = configuration.load(config_path or manifest_path.parent / configuration.FILE)
    if neutral is not None:
        config = dataclasses.replace(config, neutral=neutral)  # type: ignore[arg-type]
    manifest = manifests.read(manifest_path, config.aliases)
    refuse_blind(config, manifest.targets)
    config, skipped = usable(config, skip_missing)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot write into {out}: {error.strerror or error}; name another folder with --out") from error
    measured = time.perf_counter()
    kept = Kept(out)
    records, resumed = measure_all(config, manifest.pictures, out / "journal", kept, executor, workers, progress)
    seconds = {"models": time.perf_counter() - measured}
    by_name = {item.name: record for item, record in zip(manifest.pictures, records, strict=True)}
    faces = face_rows(config, manifest, by_name)
    require_edits(faces)
    identity = compare(config, manifest, by_name)
    started = time.perf_counter()
    local = measure_locality(manifest, by_name, kept, executor, workers, progress)
    seconds["locality"] = time.perf_counter() - started
    document = {
        "schema": SCHEMA, "config": dataclasses.asdict(config), "config_hash": config.digest, "manifest_hash": manifest.digest,
        "skipped_models": [dataclasses.asdict(state) for state in skipped], "models": _models(config), "faces": faces, "pairs": identity.pairs,
        "embedders": identity.embedders, "separation": separation(identity.pairs, identity.impostors), "locality": local, "software": software(),
    }  # fmt: skip
    document = plain(document)
    document["seconds"] = seconds | {"resumed_pictures": resumed}
    return _finish(document, out, ratings, withdrawn, start)


def report(out: str | Path, ratings: Iterable[str | Path] = (), withdrawn: Iterable[str] = (), language: str | None = None) -> dict[str, Any]:
    """Make the report of a finished run again, with other ratings; no model runs.

    Raises:
        ConfigError: there is no run in the folder, or it is of another schema.
        ManifestError: ratings that cannot be used.
    """
    start = time.perf_counter()
    require_packages()
    out = Path(out)
    try:
        document = json.loads((out / "run.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{out} holds no run.json ({error.strerror or error}); run: faceworks study run MANIFEST --out {out}") from error
    except ValueError as error:
        raise ConfigError(f"{out / 'run.json'} is not JSON: {error}") from error
    if document.get("schema") != SCHEMA:
        raise ConfigError(f"{out / 'run.json'} has the schema {document.get('schema')!r}, this version reads {SCHEMA}; run the study again")
    if language is not None:
        document["config"]["language"] = language
    return _finish(document, out, ratings, withdrawn, start)


def config_of(document: Mapping[str, Any]) -> StudyConfig:
    """The configuration that a run.json holds."""
    return build(StudyConfig, document["config"], "run.json: config")


def _finish(document: dict[str, Any], out: Path, files: Iterable[str | Path], withdrawn: Iterable[str], start: float) -> dict[str, Any]:
    from .report import write_report

    config = config_of(document)
    known = [row["picture"] for row in document["faces"] if row["role"] != "reference"]
    rows = load_files(files, known, config.ratings, config.aliases)
    kept = exclude(rows, config.ratings, withdrawn, config.language)
    document["results"] = plain(results(config, document["faces"], document["pairs"], document["locality"], document["embedders"], kept))
    _write_tables(document, kept, config, out)
    write_report(document, config, out)
    document["date"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    document.setdefault("seconds", {})["last"] = time.perf_counter() - start
    write_whole(out / "run.json", json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False) + "\n")
    return document


def _write_tables(document: Mapping[str, Any], ratings: Ratings, config: StudyConfig, out: Path) -> None:
    rated = [row | {"scaled": scaled(item.question, float(item.value), config.ratings) if item.question in ("valence", "arousal") else None}
             for row, item in zip(to_rows(ratings.rows), ratings.rows, strict=True)]  # fmt: skip
    files: dict[str, tuple[Sequence[Mapping[str, Any]], list[str] | None]] = {
        "pairs.csv": (document["pairs"], None),
        "faces.csv": (document["faces"], None),
        "ratings.csv": (rated, ["rater", "picture", "question", "value", "scaled", "order", "seconds", "kind", "expected", "source"]),
        "locality.csv": (document["locality"], None),
        "summary.csv": (summary_rows(document["results"]), ["table", "row", "column", "value"]),
    }
    heads: dict[str, list[str]] = {}
    for name, (rows, columns) in files.items():
        heads[name] = columns or list(dict.fromkeys(key for row in rows for key in row))
        write_csv(out / "tables" / name, rows, heads[name])
    write_csv(out / "tables" / "codebook.csv", codebook(heads))


def _models(config: StudyConfig) -> list[dict[str, Any]]:
    from .. import __version__, cards

    found = []
    for name, task in config.models.items():
        card = cards.get(name)
        digests = [item.sha256 or item.git_blob or item.pin for member in cards.members(card) for item in member.file]
        found.append({"name": name, "task": task, "summary": card.summary, "paper": card.paper, "license": card.license.weights, "files": digests,
                      "faceworks": __version__})  # fmt: skip
    return found
