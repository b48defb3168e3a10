"""deepface's `register` and `search` over a faceworks gallery: a file, PostgreSQL with pgvector, or Milvus."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from .. import align as cropping
from .. import similarity
from ..errors import ConfigError, InputError
from ..gallery import Gallery, open_gallery
from ..pipeline import Pipeline, PipelineSpec
from ..types import Metric
from . import deepface_faces as faces
from . import warn_once
from .deepface_compare import Found, embedded, threshold_for
from .deepface_folder import SUFFIXES, as_asked, return_kind
from .deepface_tables import find_confidence

__all__ = ["register", "search"]

DATABASES = ("postgres", "pgvector", "milvus", "hdf5")
SAME = 1e-6
"""Largest cosine distance at which a vector of the same name counts as registered already."""


def register(
    img: Any,
    img_name: str | None = None,
    model_name: str = "VGG-Face",
    detector_backend: str = "opencv",
    enforce_detection: bool = True,
    align: bool = True,
    l2_normalize: bool = False,
    expand_percentage: int = 0,
    normalization: str = "base",
    anti_spoofing: bool = False,
    database_type: str = "postgres",
    connection_details: dict[str, Any] | str | None = None,
    connection: Any = None,
) -> dict[str, Any]:
    """Put every face of a picture (or of a list of pictures) into a gallery, under `img_name`, the picture's path, or a new random name.

    Args:
        img_name: the person's name in the gallery: faces that share it are one person for `faceworks.identify`.
        database_type: "postgres" (or "pgvector"), "milvus", or "hdf5", a file.
        connection_details: the gallery's address (`postgresql://…`, `milvus://…`, `people.h5`), or deepface's dict (host, port, user, password, dbname).
        connection: an open `faceworks.Gallery` instead; it stays open.

    Returns:
        {"inserted": number of faces}; a vector that stands there under the same name already is not inserted again.

    Raises:
        ConfigError: another database. ModelMismatch: the gallery holds vectors of another model, or of another crop.
    """
    faces.check_options(expand_percentage, normalization, anti_spoofing)
    spec = _spec(model_name, detector_backend, align, expand_percentage)
    many = faces.pictures(img)
    with _opened(spec, database_type, connection_details, connection, "a") as gallery:
        names: list[str] = []
        vectors: list[NDArray[np.float64]] = []
        sources: list[str] = []
        for source in [img] if many is None else many:
            path = source if isinstance(source, str) and source.lower().endswith(SUFFIXES) else ""
            name = img_name or path or str(uuid.uuid4())
            for vector, _ in embedded(source, model_name, detector_backend, enforce_detection, align, expand_percentage):
                if not any(name == other and 1 - similarity.similarity(vector, known) < SAME for other, known in zip(names, vectors, strict=True)):
                    names, vectors, sources = [*names, name], [*vectors, vector], [*sources, path]
        held = {entry.person.name: entry.samples.vectors for entry in gallery.people() if entry.person.name in names}
        fresh = [k for k, name in enumerate(names) if not _held(vectors[k], held.get(name))]
        if fresh:
            _enroll(gallery, [names[k] for k in fresh], np.array([vectors[k] for k in fresh]), [sources[k] for k in fresh])
    del l2_normalize  # a gallery keeps direction and length of every vector
    return {"inserted": len(fresh)}


def search(
    img: Any,
    model_name: str = "VGG-Face",
    detector_backend: str = "opencv",
    distance_metric: str = "cosine",
    enforce_detection: bool = True,
    align: bool = True,
    l2_normalize: bool = False,
    expand_percentage: int = 0,
    normalization: str = "base",
    anti_spoofing: bool = False,
    similarity_search: bool = False,
    k: int | None = None,
    database_type: str = "postgres",
    connection_details: dict[str, Any] | str | None = None,
    connection: Any = None,
    search_method: str = "exact",
    return_type: str | None = None,
) -> list[Any]:
    """The registered faces that are the same person as each face of a picture, nearest first.

    Args:
        distance_metric: "cosine", "euclidean", "euclidean_l2" or "angular"; with `l2_normalize` "euclidean" is "euclidean_l2".
        similarity_search, k, return_type: as `find`. database_type, connection_details, connection: as `register`.
        search_method: "exact", or "ann": the gallery's index answers (k or 20 neighbors), by cosine or, without `l2_normalize`, euclidean.

    Returns:
        For each face rows of id, img_name, model_name, detector_backend, aligned, l2_normalized, search_method, target_x, target_y, target_w, target_h (of
        the face that was searched for, as in deepface), threshold, distance_metric, distance, confidence.

    Raises:
        InputError (a ValueError): nothing is registered, or an unknown metric or method. NoFaceFound, ConfigError, ModelMismatch: as `register`.
    """
    kind = return_kind(return_type)
    faces.check_options(expand_percentage, normalization, anti_spoofing)
    if search_method not in ("exact", "ann"):
        raise InputError(f"unsupported search_method {search_method!r}; known: 'exact', 'ann'")
    if search_method == "ann":
        distance_metric = "cosine" if l2_normalize else "euclidean"
    elif l2_normalize and distance_metric == "euclidean":
        distance_metric = "euclidean_l2"
    limit = threshold_for(faces.model_card(model_name), model_name, distance_metric, None)
    spec = _spec(model_name, detector_backend, align, expand_percentage)
    found = embedded(img, model_name, detector_backend, enforce_detection, align, expand_percentage) if faces.pictures(img) is None else [
        item for one in faces.pictures(img) or [] for item in embedded(one, model_name, detector_backend, enforce_detection, align, expand_percentage)
    ]  # fmt: skip
    constant = {
        "model_name": model_name,
        "detector_backend": detector_backend,
        "aligned": align,
        "l2_normalized": l2_normalize,
        "search_method": search_method,
    }
    with _opened(spec, database_type, connection_details, connection, "r") as gallery:
        entries = gallery.people()
        if not entries:
            raise InputError(f"nothing is registered in {gallery.info.url}; call register first")
        held = _Held(
            np.concatenate([entry.samples.id for entry in entries]),
            [entry.person.name for entry in entries for _ in range(len(entry.samples))],
            np.concatenate([entry.samples.vectors for entry in entries]),
            np.concatenate([entry.samples.length for entry in entries]),
        )
        answers = []
        for item in found:
            rows = held.near(item, _metric(distance_metric), gallery, (k or 20) if search_method == "ann" else None)
            answers.append([
                {
                    "id": identity, "img_name": name, **constant, **{f"target_{side}": item[1][side] for side in "xywh"},
                    "threshold": float(limit), "distance_metric": distance_metric, "distance": far,
                    "confidence": float(find_confidence(far, model_name, similarity.accepts(far, limit), distance_metric)),
                }
                for identity, name, far in rows
                if similarity_search or similarity.accepts(far, limit)
            ][:k])  # fmt: skip
    return as_asked(answers, kind, _COLUMNS)


_COLUMNS: Mapping[str, Any] = {
    "id": np.int64,
    **dict.fromkeys(("img_name", "model_name", "detector_backend"), str),
    **dict.fromkeys(("aligned", "l2_normalized"), np.bool_),
    "search_method": str,
    **dict.fromkeys((f"target_{side}" for side in "xywh"), np.int64),
    "threshold": np.float64,
    "distance_metric": str,
    **dict.fromkeys(("distance", "confidence"), np.float64),
}


class _Held:
    """What a gallery holds, as columns: ids (N,), N names, unit vectors (N, D), their lengths (N,)."""

    def __init__(self, ids: NDArray[np.int64], names: list[str], vectors: NDArray[np.float32], lengths: NDArray[np.float32]) -> None:
        self.ids, self.names, self.vectors, self.lengths = ids, names, vectors.astype(np.float64), lengths.astype(np.float64)

    def near(self, face: Found, metric: Metric, gallery: Gallery, neighbors: int | None) -> list[tuple[int, str, float]]:
        """(id, name, distance to six decimals), nearest first; `neighbors`: only those that the gallery's index names."""
        query = np.asarray(face[0], np.float64)
        length = float(np.linalg.norm(query))
        cosines = self.vectors @ (query / length)
        if metric == "euclidean":
            far = np.sqrt(np.maximum(self.lengths**2 + length**2 - 2 * self.lengths * length * cosines, 0))
        else:
            far = np.array([similarity.from_cosine(float(cosine), metric) for cosine in cosines])
        chosen = np.arange(len(far))
        if neighbors is not None:
            hits = gallery.backend.search(similarity.unit(query[None].astype(np.float32)), neighbors, gallery.clock(), exact=False)[0]
            chosen = np.flatnonzero(np.isin(self.ids, hits.sample))
        order = chosen[np.argsort(far[chosen], kind="stable")]
        return [(int(self.ids[row]), self.names[row], round(float(far[row]), 6)) for row in order]


def _metric(name: str) -> Metric:
    known: Metric = name  # type: ignore[assignment]  # threshold_for has checked it
    return known


def _held(vector: NDArray[np.float64], known: NDArray[np.float32] | None) -> bool:
    """Whether one of the unit vectors (M, D) is this one."""
    return known is not None and bool(len(known)) and 1 - float((known @ (vector / np.linalg.norm(vector))).max()) < SAME


def _enroll(gallery: Gallery, names: list[str], vectors: NDArray[np.float64], sources: list[str]) -> None:
    """Bind a new gallery to the pipeline, so that every other command opens it too, then enroll."""
    from ..gallery import Change

    pipeline = gallery.pipeline
    if gallery.binding is None:
        gallery.commit(Change(binding=gallery.bind(pipeline, vectors.shape[1])), "create", [])
    gallery.enroll_vectors(names, vectors.astype(np.float32), pipeline.embedding_id, source=sources)


def _spec(model_name: str, detector_backend: str, align: bool, expand_percentage: int) -> PipelineSpec:
    """The recipe of such vectors: a gallery refuses those of another one."""
    card = faces.model_card(model_name)
    factor, pointed = 1 + max(expand_percentage, 0) / 100, bool(cropping.schemes(card.input_for().crop))
    crop = "similarity5" if (align or not pointed) and (pointed or factor == 1) else f"square:{factor:g}"
    if detector_backend == "skip":
        warn_once("detector_backend='skip' takes whole pictures for faces; in a gallery they stand beside vectors of aligned faces")
    return PipelineSpec(embedder=card.name, align=crop)


@contextlib.contextmanager
def _opened(spec: PipelineSpec, kind: str, details: dict[str, Any] | str | None, connection: Any, mode: Any) -> Iterator[Gallery]:
    """The gallery meant; one that was handed in stays open."""
    if connection is not None:
        if not isinstance(connection, Gallery):
            raise ConfigError(f"connection is an open faceworks.Gallery (faceworks.open_gallery), got {type(connection).__name__}")
        if connection.binding is not None:
            connection.require(Pipeline(spec))
        yield connection
        return
    with open_gallery(_address(kind, details), mode, spec) as gallery:
        yield gallery


def _address(kind: str, details: dict[str, Any] | str | None) -> str:
    if kind not in DATABASES:
        raise ConfigError(f"database_type {kind!r} is not in faceworks; known: {', '.join(DATABASES)} (hdf5: a file, connection_details='people.h5')")
    if isinstance(details, str) and details:
        return details
    if isinstance(details, dict) and kind in ("postgres", "pgvector"):
        user = quote(str(details.get("user", "")), safe="")
        word = f":{quote(str(details['password']), safe='')}" if details.get("password") else ""
        place = f"{details.get('host', 'localhost')}:{details.get('port', 5432)}"
        return f"postgresql://{user}{word}{'@' if user else ''}{place}/{details.get('dbname') or details.get('database', 'postgres')}"
    example = {"milvus": "milvus://host:19530", "hdf5": "people.h5"}.get(kind, "postgresql://user@host/database")
    raise ConfigError(f"database_type={kind!r} needs connection_details, such as {example!r}; faceworks reads no DEEPFACE_* variables")
