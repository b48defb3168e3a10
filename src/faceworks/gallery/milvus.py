"""A gallery in Milvus: the road beyond one machine; Milvus Lite is the same in one file.

Two collections, NAME (samples) and NAME_people. Milvus knows no transaction over several calls: a change is written people first, samples next, removals
last, so a crash between can leave people without samples or samples that should be gone, never samples of nobody; carrying the change out again
mends it. It searches at most 16,384 samples deep. People are keyed by a hash of their id, so that no name reaches a filter expression.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DuplicateEntry, GalleryUnavailable, InputError
from ..optional import require
from ..types import FloatArray
from . import scan
from .backend import FOREVER, NUMBERS, TEXTS, Binding, Change, Entries, Hits, Ids, Info, Person, Samples, require_cosine, require_revision
from .hdf5.codec import person_of

__all__ = ["MilvusBackend"]

DEEPEST, ROWS, SLACK = 16_384, 2_000, 16
LARGEST_DIM = 32_768
REST = tuple(name for name in NUMBERS if name not in ("id", "person", "expires", "removed"))
HEAD = "head"
"""Key of the row that holds the binding; people's keys are 32 hexadecimal digits."""


def _key(id: str) -> str:
    return hashlib.sha256(id.encode()).hexdigest()[:32]


class MilvusBackend:
    """People in Milvus.

    Args:
        url: milvus://[user:password@]host:port[/database][?gallery=NAME], or milvus:FILE.db for Milvus Lite. mode: as of `open_gallery`.

    Raises:
        MissingDependency: pymilvus is not installed. GalleryUnavailable: no connection, or no such gallery.
    """

    def __init__(self, url: str, mode: str = "a") -> None:
        self._milvus = require("pymilvus", "milvus", "a gallery in Milvus")
        place, _, query = url.removeprefix("milvus:").partition("?")
        self.name = re.sub(r"\W", "_", dict(part.split("=", 1) for part in query.split("&") if "=" in part).get("gallery", "people"))
        self.beside = None if place.startswith("//") else Path(place)
        self.url, self._writable, self._lock = re.sub(r"//[^@/]*@", "//***@", url), mode != "r", threading.RLock()
        try:
            self._client = self._connect(place, mode)
            exists = self._client.has_collection(self._people)
            if exists and mode == "x":
                raise DuplicateEntry(f"the gallery {self.name!r} exists in {self.url}; open it with mode 'a'")
            if not exists and mode in ("r", "r+"):
                raise GalleryUnavailable(f"there is no gallery {self.name!r} in {self.url}; create it with mode 'a'")
            if not exists:
                self._create_people()
            self._load()
        except self._milvus.exceptions.MilvusException as error:
            raise GalleryUnavailable(f"cannot open {self.url}: {error}") from error

    def _connect(self, place: str, mode: str) -> Any:
        if place.startswith("//"):
            login, _, host = place[2:].rpartition("@")
            address, _, database = host.partition("/")
            return self._milvus.MilvusClient(uri=f"http://{address}", token=login, db_name=database or "default", timeout=10)
        if mode in ("r", "r+") and not Path(place).exists():
            raise GalleryUnavailable(f"there is no gallery {place}; create it with mode 'a'")
        require("milvus_lite", "milvus", "a Milvus Lite file")
        return self._milvus.MilvusClient(uri=place)

    @property
    def _people(self) -> str:
        return f"{self.name}_people"

    def _create(self, name: str, fields: Sequence[tuple[Any, ...]], metric: str) -> None:
        kinds = self._milvus.DataType
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        for field, kind, more in fields:
            schema.add_field(field, getattr(kinds, kind), **more)
        index = self._client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type=metric)
        self._client.create_collection(name, schema=schema, index_params=index, consistency_level="Strong")

    def _create_people(self) -> None:
        text = {"max_length": 64}
        fields = [
            ("key", "VARCHAR", {**text, "is_primary": True}),
            ("name_key", "VARCHAR", text),
            ("record", "JSON", {}),
            ("vector", "FLOAT_VECTOR", {"dim": 2}),
        ]
        self._create(self._people, fields, "L2")  # Milvus wants a vector in each collection
        self._write_head(None, 0, False)

    def _create_samples(self, dim: int) -> None:
        numbers: list[tuple[Any, ...]] = [(name, "INT64", {}) for name in ("expires", "removed")]
        fields = [("id", "INT64", {"is_primary": True}), ("person", "VARCHAR", {"max_length": 64}), *numbers, ("record", "JSON", {})]
        self._create(self.name, [*fields, ("vector", "FLOAT_VECTOR", {"dim": dim})], "IP")

    def _write_head(self, binding: Binding | None, revision: int, audited: bool) -> None:
        record = {"binding": binding.to_json() if binding else None, "revision": revision, "audited": audited}
        self._client.upsert(self._people, [{"key": HEAD, "name_key": "", "record": record, "vector": [0.0, 0.0]}])

    def _head(self) -> tuple[Binding | None, int, bool]:
        row = self._client.query(self._people, filter=f'key == "{HEAD}"', output_fields=["record"])[0]["record"]
        return Binding.from_json(row["binding"]) if row["binding"] else None, int(row["revision"]), bool(row.get("audited"))

    @property
    def audited(self) -> bool:
        """Whether who did what is kept in an audit log: in a file, since Milvus could not keep two writers from breaking the chain."""
        with self._lock:
            return self._head()[2]

    def keep_audit(self) -> None:
        """Note that this gallery is not to be opened without its audit log any more."""
        with self._lock:
            binding, revision, audited = self._head()
            if not audited:
                self._write_head(binding, revision, True)

    def _load(self) -> None:
        self._client.load_collection(self._people)
        if self._client.has_collection(self.name):
            self._client.load_collection(self.name)

    def _count(self, name: str) -> int:
        if not self._client.has_collection(name):
            return 0
        return int(self._client.query(name, filter="", output_fields=["count(*)"])[0]["count(*)"])

    @property
    def info(self) -> Info:
        """See `Backend.info`."""
        with self._lock:
            binding, revision, _ = self._head()
            people, samples = self._count(self._people) - 1, self._count(self.name)
        return Info("milvus", self.url, binding, people, samples, str(revision), self._writable, False, LARGEST_DIM, LARGEST_DIM)

    def commit(self, change: Change) -> None:
        """See `Backend.commit`; not one transaction, see the module."""
        if not self._writable:
            raise GalleryUnavailable(f"{self.url} was opened for reading alone; open it with mode 'r+' or 'a'")
        with self._lock:
            try:
                self._commit(change)
            except self._milvus.exceptions.MilvusException as error:
                raise GalleryUnavailable(f"{self.url}: {error}") from error

    def _commit(self, change: Change) -> None:
        binding, revision, audited = self._head()
        require_revision(change, str(revision), self.url)
        if change.clear:
            binding = None
        binding = change.binding or binding
        require_cosine(binding, self.url)
        self._check(change, binding)
        if change.clear:
            if self._client.has_collection(self.name):
                self._client.drop_collection(self.name)
            self._client.delete(self._people, filter=f'key != "{HEAD}"')
        if binding is not None and not self._client.has_collection(self.name):
            self._create_samples(binding.dim)
        for keys in _chunks([_key(id) for id in change.remove_people], 500):
            self._client.delete(self._people, filter=f"key in {json.dumps(keys)}")
            if self._client.has_collection(self.name):
                self._client.delete(self.name, filter=f"person in {json.dumps(keys)}")
        if len(change.remove_samples) and self._client.has_collection(self.name):
            for ids in _chunks([int(id) for id in change.remove_samples], 500):
                self._client.delete(self.name, filter=f"id in {ids}")
        rows = [{"key": _key(p.id), "name_key": _key(p.name), "record": p.to_json(), "vector": [0.0, 0.0]} for p in change.people]
        for part in _chunks(rows, ROWS):
            self._client.upsert(self._people, part)
        for part in _chunks(list(range(0 if change.samples is None else len(change.samples))), ROWS):
            assert change.samples is not None
            self._client.upsert(self.name, [_row(change.samples, row) for row in part])
        self._write_head(binding, revision + 1, audited)

    def _check(self, change: Change, binding: Binding | None) -> None:
        if change.samples is None or not len(change.samples):
            return
        if binding is None:
            raise InputError("samples need a model: the first change of a gallery names it in `binding`")
        if change.samples.vectors.shape[1] != binding.dim:
            raise InputError(f"the gallery holds vectors of {binding.dim} numbers, got {change.samples.vectors.shape[1]}")
        if binding.dim > LARGEST_DIM:
            raise InputError(f"Milvus holds vectors of up to {LARGEST_DIM} numbers, got {binding.dim}; use a gallery file")
        if len(np.unique(change.samples.id)) != len(change.samples):
            raise InputError("a sample id occurs twice in one change")
        used = {change.samples.people[place] for place in np.unique(change.samples.person)}
        missing = used - {person.id for person in change.people}
        gone = set(change.remove_people)
        here = set() if change.clear else {person.id for person in self._people_by([_key(id) for id in missing])} - gone
        if missing - here:
            raise InputError(f"samples of nobody: no person has the id {min(missing - here)!r}")

    def search(self, queries: FloatArray, k: int, now: int, exact: bool = True) -> list[Hits]:
        """See `Backend.search`; the index of the collection is FLAT, so `exact=False` is exact too, unless somebody has changed the index."""
        nothing = Hits(np.zeros(0, np.int64), np.zeros(0, np.float32), [])
        with self._lock:
            if k < 1 or not len(queries) or not self._client.has_collection(self.name):
                return [nothing for _ in queries]
            out: list[Hits] = []
            for query in queries:
                limit = min(DEEPEST, k + SLACK)
                while True:
                    hits, settled = self._ask(query, min(k, DEEPEST), limit, now)
                    if settled or limit == DEEPEST:
                        break
                    limit = min(DEEPEST, 8 * limit)
                out.append(hits)
            return out

    def _ask(self, query: FloatArray, k: int, limit: int, now: int) -> tuple[Hits, bool]:
        found = self._client.search(
            self.name, data=[query.tolist()], limit=limit, filter=f"removed == 0 and (expires == 0 or expires > {int(now)})", output_fields=["record", "vector"]
        )[0]  # fmt: skip
        if not found:
            return Hits(np.zeros(0, np.int64), np.zeros(0, np.float32), []), True
        ids = np.array([hit["id"] for hit in found], np.int64)
        vectors = np.array([hit["entity"]["vector"] for hit in found], np.float32)
        best, scores = scan.order(query, np.arange(len(ids)), ids, lambda rows: vectors[rows], k)
        settled = len(found) < limit or float(scan.cosines(query, vectors).min()) < float(scores[-1]) - float(scan.MARGIN)
        return Hits(ids[best], scores, [found[row]["entity"]["record"]["person"] for row in best]), settled

    def _all(self, name: str, expression: str, fields: list[str]) -> Iterator[dict[str, Any]]:
        iterator = self._client.query_iterator(name, filter=expression, output_fields=fields, batch_size=ROWS)
        try:
            while batch := iterator.next():
                yield from batch
        finally:
            iterator.close()

    def _people_by(self, keys: Sequence[str]) -> list[Person]:
        out = []
        for part in _chunks(list(dict.fromkeys(keys)), 500):
            out += [
                person_of(row["record"]) for row in self._client.query(self._people, filter=f"key in {json.dumps(part)}", output_fields=["record"])
            ]
        return out

    def entries(self, people: Sequence[str] | None = None, *, name: str | None = None, samples: Sequence[int] | Ids | None = None) -> Entries:
        """See `Backend.entries`."""
        fields = ["id", "expires", "removed", "record", "vector"]
        with self._lock:
            have = self._client.has_collection(self.name)
            rows: list[dict[str, Any]] = []
            if samples is not None:
                for part in _chunks([int(id) for id in samples] if have else [], 500):
                    rows += self._client.query(self.name, filter=f"id in {part}", output_fields=fields)
                found = self._people_by([_key(row["record"]["person"]) for row in rows])
            else:
                if people is not None:
                    found = self._people_by([_key(id) for id in people])
                elif name is not None:
                    query = self._client.query(self._people, filter=f'name_key == "{_key(name)}"', output_fields=["record"], limit=DEEPEST)
                    found = [person_of(row["record"]) for row in query]
                else:
                    found = [person_of(row["record"]) for row in self._all(self._people, f'key != "{HEAD}"', ["record"])]
                found = [person for person in found if name is None or person.name == name]
                if have and people is None and name is None:
                    rows = list(self._all(self.name, "id >= 0", fields))
                elif have:
                    for part in _chunks([_key(person.id) for person in found], 500):
                        rows += list(self._all(self.name, f"person in {json.dumps(part)}", fields))
        found.sort(key=lambda person: person.id)
        rows.sort(key=lambda row: int(row["id"]))
        return Entries(found, _columns([person.id for person in found], rows))

    def findable(self, now: int) -> tuple[int, int]:
        """See `Backend.findable`."""
        with self._lock:
            if not self._client.has_collection(self.name):
                return 0, FOREVER
            living = f"removed == 0 and (expires == 0 or expires > {int(now)})"
            rows = [(row["person"], row["expires"]) for row in self._all(self.name, living, ["person", "expires"])]
        return len({person for person, _ in rows}), min((expires for _, expires in rows if expires), default=FOREVER)

    def compact(self) -> None:
        """Ask Milvus to merge its segments, which drops deleted rows; it does so in its own time."""
        with self._lock:
            try:
                for name in (self.name, self._people):
                    if self._client.has_collection(name):
                        self._client.flush(name)
                        self._client.compact(name)
            except (self._milvus.exceptions.MilvusException, NotImplementedError):
                return  # Milvus Lite merges by itself

    def __len__(self) -> int:
        with self._lock:
            return self._count(self.name)

    def close(self) -> None:
        """See `Backend.close`."""
        self._client.close()


def _chunks(items: list[Any], size: int) -> Iterator[list[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _row(samples: Samples, row: int) -> dict[str, Any]:
    record: dict[str, Any] = {"person": samples.people[samples.person[row]]} | {name: getattr(samples, name)[row] for name in TEXTS}
    for name in REST:
        value = getattr(samples, name)[row]
        record[name] = None if np.isnan(value).any() else value.tolist()
    numbers = {name: int(getattr(samples, name)[row]) for name in ("id", "expires", "removed")}
    return {**numbers, "person": _key(record["person"]), "record": record, "vector": samples.vectors[row].tolist()}


def _columns(ids: Sequence[str], rows: Sequence[dict[str, Any]]) -> Samples:
    place = {id: number for number, id in enumerate(ids)}
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in ("id", "expires", "removed")}
    columns["person"] = [place[row["record"]["person"]] for row in rows]
    for name in REST:
        width = NUMBERS[name][1]
        columns[name] = [([np.nan] * width if width > 1 else np.nan) if row["record"][name] is None else row["record"][name] for row in rows]
    arrays = {name: np.array(columns[name], np.dtype(kind)).reshape((-1, width) if width > 1 else -1) for name, (kind, width) in NUMBERS.items()}
    vectors = np.array([row["vector"] for row in rows], np.float32) if rows else np.zeros((0, 0), np.float32)
    rest: dict[str, Any] = {**arrays, **{name: [row["record"][name] for row in rows] for name in TEXTS}}
    return Samples(people=tuple(ids), vectors=vectors, **rest)
