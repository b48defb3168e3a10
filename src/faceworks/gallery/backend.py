"""What a store of faces must do, and the values that cross its border. Storage only: every rule about people lives in `Gallery`.

Samples travel as columns, not as objects, so that a million of them cost their vectors and little more. Vectors are stored at length 1 (float32)
with their original length beside them: the inner product is then the cosine in every store. Times are microseconds since 1970 UTC, 0 = never.
Writing is one method with one value, `commit(Change)`: all of it or nothing (`docs/decisions/0020-gallery-log-and-columns.md`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import similarity
from ..errors import ConfigError, InputError, Outdated
from ..types import FloatArray, frozen

__all__ = [
    "LOCAL_METRICS",
    "NUMBERS",
    "TEXTS",
    "Backend",
    "Binding",
    "Change",
    "Entries",
    "Hits",
    "Ids",
    "Info",
    "Person",
    "Sample",
    "Samples",
    "require_cosine",
    "require_revision",
    "samples_of",
]

Ids: TypeAlias = NDArray[np.int64]

NUMBERS: Mapping[str, tuple[str, int]] = {
    "id": ("<i8", 1), "person": ("<i4", 1), "expires": ("<i8", 1), "removed": ("<i8", 1), "time": ("<i8", 1),
    "length": ("<f4", 1), "norm": ("<f4", 1), "quality": ("<f4", 1), "box": ("<f4", 4),
}  # fmt: skip
"""Columns of numbers: name -> (little-endian type, width)."""
TEXTS = ("source", "consent")
"""Columns of text."""


@dataclass(frozen=True, slots=True)
class Binding:
    """The model whose vectors a gallery holds.

    Attributes:
        model: `Pipeline.embedding_id`; vectors of another are refused.
        recipe: `Pipeline.recipe_id`; thresholds belong to it.
        dim: length of a vector.
        spec: the options of the `PipelineSpec` that decide what a picture becomes; a gallery is opened with them.
        metric: how two vectors are compared: "cosine" (and what follows from it) or, for histograms, "chi2".
    """

    model: str
    recipe: str
    dim: int
    spec: Mapping[str, Any] = field(default_factory=dict)
    metric: str = "cosine"

    def to_json(self) -> dict[str, Any]:
        """Plain types."""
        return {**dataclasses.asdict(self), "spec": dict(self.spec)}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Binding:
        """The contrary of `to_json`."""
        spec = {name: tuple(value) if isinstance(value, list) else value for name, value in plain.get("spec", {}).items()}
        return cls(str(plain["model"]), str(plain["recipe"]), int(plain["dim"]), spec, str(plain.get("metric", "cosine")))


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """Somebody in a gallery.

    Attributes:
        id: the key. Names may repeat, ids do not.
        name: as people write it.
        metadata: JSON object, for example {"Department": "sales"}.
        created: when, in microseconds since 1970 UTC.
        removed: when it was removed (undoable until it is purged), 0 = it is not.
        token: random word that stands for the person in the audit log.
    """

    id: str
    name: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    created: int = 0
    removed: int = 0
    token: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain types."""
        return {
            "id": self.id,
            "name": self.name,
            "metadata": dict(self.metadata),
            "created": self.created,
            "removed": self.removed,
            "token": self.token,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One picture of a person, as a vector.

    Attributes:
        id: the key.
        person: id of the person.
        vector: (D,) float32 of length 1.
        length: length of the vector as the network gave it.
        norm: magnitude before normalizing, or None for a network that normalizes inside.
        quality: 0..100, or None where it was not measured.
        source: where the picture came from.
        box: (4,) x1, y1, x2, y2 of the face in its picture, or None.
        time: when it was enrolled, microseconds since 1970 UTC.
        consent: on what ground it is held, in words.
        expires: when it stops being found and `purge` deletes it, 0 = never.
        removed: when it was removed, 0 = it is not.
    """

    id: int
    person: str
    vector: FloatArray
    length: float = 1.0
    norm: float | None = None
    quality: float | None = None
    source: str = ""
    box: FloatArray | None = None
    time: int = 0
    consent: str = ""
    expires: int = 0
    removed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "vector", frozen(self.vector, np.float32, (None,), "a sample's vector"))


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """N samples as columns.

    Attributes:
        people: ids of the people that occur; `person` counts in it.
        id: (N,) int64. person: (N,) int32. vectors: (N, D) float32 of length 1.
        length, norm, quality: (N,) float32, NaN = none. box: (N, 4) float32, NaN = none.
        time, expires, removed: (N,) int64, microseconds since 1970 UTC, 0 = never.
        source, consent: N texts.
    """

    people: Sequence[str]
    id: Ids
    person: NDArray[np.int32]
    vectors: FloatArray
    length: FloatArray
    norm: FloatArray
    quality: FloatArray
    box: FloatArray
    time: Ids
    expires: Ids
    removed: Ids
    source: Sequence[str]
    consent: Sequence[str]

    def __len__(self) -> int:
        return len(self.id)

    def __iter__(self) -> Iterator[Sample]:
        return (self.row(index) for index in range(len(self)))

    def row(self, i: int) -> Sample:
        """One sample as a value."""
        box = None if np.isnan(self.box[i]).any() else self.box[i]
        return Sample(
            int(self.id[i]), self.people[self.person[i]], self.vectors[i], float(self.length[i]), _number(self.norm[i]), _number(self.quality[i]),
            self.source[i], box, int(self.time[i]), self.consent[i], int(self.expires[i]), int(self.removed[i]),
        )  # fmt: skip

    def take(self, rows: Any) -> Samples:
        """Some of the rows (indices or a mask), in that order, with the people that occur in them."""
        order = np.flatnonzero(rows) if np.asarray(rows).dtype == bool else np.asarray(rows, dtype=np.intp)
        columns: dict[str, Any] = {name: getattr(self, name)[order] for name in (*NUMBERS, "vectors")}
        texts = {name: [getattr(self, name)[i] for i in order] for name in TEXTS}
        used, columns["person"] = np.unique(columns["person"], return_inverse=True)
        columns["person"] = columns["person"].astype(np.int32)
        columns |= {"people": tuple(self.people[place] for place in used), **texts}
        return dataclasses.replace(self, **columns)

    def living(self, now: int) -> NDArray[np.bool_]:
        """(N,) which are neither removed nor expired at `now`."""
        alive: NDArray[np.bool_] = (self.removed == 0) & ((self.expires == 0) | (self.expires > now))
        return alive

    def replace(self, **columns: Any) -> Samples:
        """A copy with other columns."""
        return dataclasses.replace(self, **columns)


def _number(value: np.float32) -> float | None:
    return None if np.isnan(value) else float(value)


def samples_of(people: Sequence[str], person: Any, vectors: Any, id: Any, **columns: Any) -> Samples:
    """Columns from raw vectors (N, D) of any length: they are scaled to length 1, columns that are not given are empty.

    Raises:
        InputError: a zero vector, one that is not finite, or columns of different lengths.
    """
    raw = np.asarray(vectors, dtype=np.float32)
    if raw.ndim != 2:
        raise InputError(f"vectors must be (N, D), got {raw.shape}")
    n = len(raw)
    values: dict[str, Any] = {"id": id, "person": person, "length": np.linalg.norm(raw.astype(np.float64), axis=1) if n else np.zeros(0)}
    values |= {name: np.full((n, width) if width > 1 else n, np.nan) for name, (_, width) in NUMBERS.items() if name in ("norm", "quality", "box")}
    values |= {name: np.zeros(n) for name in ("time", "expires", "removed")} | {name: [""] * n for name in TEXTS} | columns
    arrays = {name: np.ascontiguousarray(values[name], dtype=np.dtype(kind)) for name, (kind, _) in NUMBERS.items()}
    for name in (*NUMBERS, *TEXTS):
        got = arrays.get(name, values[name])
        if len(got) != n:
            raise InputError(f"column {name!r} has {len(got)} rows, the vectors have {n}")
    if n and not (arrays["person"].min() >= 0 and arrays["person"].max() < len(people)):
        raise InputError(f"a sample names person {arrays['person'].max()} of {len(people)}")
    unit = similarity.unit(raw) if n else raw
    rest: dict[str, Any] = {**arrays, **{name: values[name] for name in TEXTS}}
    return Samples(people=tuple(people), vectors=unit, **rest)


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """One transaction, carried out in the order of these fields.

    Attributes:
        clear: drop everything, the binding too.
        binding: the model, at the first write or after `clear`.
        remove_people: ids; their samples go too. Unknown ids are ignored.
        remove_samples: (M,) int64. Unknown ids are ignored.
        people: added, or replaced where the id exists.
        samples: added, or replaced where the id exists; their people exist or stand in `people`.
        since: the revision (`Info.revision`) that the change was computed from; refused with `Outdated` when the store has another one. None = whatever.
    """

    clear: bool = False
    binding: Binding | None = None
    remove_people: Sequence[str] = ()
    remove_samples: Sequence[int] | Ids = ()
    people: Sequence[Person] = ()
    samples: Samples | None = None
    since: str | None = None


FOREVER = (1 << 63) - 1
"""A moment that never comes, in microseconds since 1970 UTC."""
LOCAL_METRICS = ("cosine", "chi2")
"""What memory and HDF5 compare by. Databases know the cosine alone."""


def require_cosine(binding: Binding | None, url: str) -> None:
    """Raise `ConfigError` for a model whose vectors a database cannot compare."""
    if binding is not None and binding.metric != "cosine":
        raise ConfigError(f"{url} compares by cosine, not by {binding.metric}; histograms (LBPH) live in a gallery file (people.h5) or in memory:")


def require_revision(change: Change, revision: str, url: str) -> None:
    """Raise `Outdated` unless the change was computed from this revision."""
    if change.since not in (None, revision):
        raise Outdated(f"{url} was changed by another writer meanwhile; nothing was written, try again")


@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """People and their samples; `samples.people` are the ids of `people`, in their order."""

    people: Sequence[Person]
    samples: Samples


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """Answer to one query, best first; equal similarities by sample id.

    Attributes:
        sample: (K,) int64. similarity: (K,) float32, computed in float64: the cosine, or minus the chi-square distance. people: K ids.
    """

    sample: Ids
    similarity: FloatArray
    people: Sequence[str]


@dataclass(frozen=True, slots=True)
class Info:
    """What a store is, and what it can do.

    Attributes:
        kind: "memory", "hdf5", "postgres", "milvus". url: where it lies.
        binding: the model, or None before the first write.
        people, samples: how many, removed and expired ones included.
        revision: changes whenever the content does.
        writable: whether `commit` is allowed. encrypted: sealed at rest.
        largest_dim: longest vector it can hold. index_dim: longest that it can index; beyond, it scans exactly. None = no limit.
        metrics: what it can compare by.
    """

    kind: Literal["memory", "hdf5", "postgres", "milvus"]
    url: str
    binding: Binding | None
    people: int
    samples: int
    revision: str
    writable: bool = True
    encrypted: bool = False
    largest_dim: int | None = None
    index_dim: int | None = None
    metrics: tuple[str, ...] = ("cosine",)


class Backend(Protocol):
    """A store. Safe to call from several threads."""

    @property
    def info(self) -> Info:
        """The store as it is now."""

    def commit(self, change: Change) -> None:
        """Carry out one transaction: when it returns, the change is durable; when it raises, nothing happened.

        Raises:
            GalleryLocked: another writer did not finish in time. Outdated: `change.since` is not the present revision.
            GalleryUnavailable: disk full, read-only, connection lost.
            InputError: vectors of a wrong dimension, or samples of nobody.
        """

    def search(self, queries: FloatArray, k: int, now: int, exact: bool = True) -> list[Hits]:
        """The k nearest samples of each query (Q, D) (of length 1; a chi2 gallery's as they are) among those neither removed nor expired at `now`."""

    def entries(self, people: Sequence[str] | None = None, *, name: str | None = None, samples: Sequence[int] | Ids | None = None) -> Entries:
        """All people with all samples, or those with these ids, with this name, or that own these samples (and only these samples)."""

    def findable(self, now: int) -> tuple[int, int]:
        """How many people have a sample that a search finds at `now`, and until when that holds if nobody writes."""

    def compact(self) -> None:
        """Give back the space of what was removed, and make it unreadable there."""

    def __len__(self) -> int:
        """Samples held, removed and expired ones included."""

    def close(self) -> None:
        """Let go of files and connections; a second call does nothing."""
