"""A gallery in PostgreSQL with pgvector: many machines, transactions, one table of samples for all galleries of a database.

Exact search orders by pgvector's inner product and is rescored here, so its answers are those of the other stores; with `exact=False` the HNSW
index answers, where there is one (`build_index`; up to 2,000 dimensions, pgvector's limit: beyond, the exact scan goes on).
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import numpy as np

from ..errors import DuplicateEntry, GalleryLocked, GalleryUnavailable, InputError
from ..optional import require
from ..types import FloatArray
from . import scan
from .backend import FOREVER, NUMBERS, TEXTS, Binding, Change, Entries, Hits, Ids, Info, Person, Samples, require_cosine, require_revision

__all__ = ["PostgresBackend"]

MIGRATIONS = (
    """
    CREATE EXTENSION IF NOT EXISTS vector;
    CREATE TABLE faceworks_galleries (id serial PRIMARY KEY, name text UNIQUE NOT NULL, binding jsonb, revision bigint NOT NULL DEFAULT 0);
    CREATE TABLE faceworks_people (
        gallery int NOT NULL REFERENCES faceworks_galleries ON DELETE CASCADE, id text NOT NULL, name text NOT NULL, metadata jsonb NOT NULL,
        created bigint NOT NULL, removed bigint NOT NULL, token text NOT NULL, PRIMARY KEY (gallery, id));
    CREATE INDEX faceworks_people_name ON faceworks_people USING hash (name);
    CREATE TABLE faceworks_samples (
        gallery int NOT NULL, id bigint NOT NULL, person text NOT NULL, vector vector NOT NULL, time bigint NOT NULL, expires bigint NOT NULL,
        removed bigint NOT NULL, length real NOT NULL, norm real NOT NULL, quality real NOT NULL, box real[] NOT NULL, source text NOT NULL,
        consent text NOT NULL, PRIMARY KEY (gallery, id),
        FOREIGN KEY (gallery, person) REFERENCES faceworks_people ON DELETE CASCADE);
    CREATE INDEX faceworks_samples_person ON faceworks_samples (gallery, person);
    """,
    """
    ALTER TABLE faceworks_galleries ADD COLUMN people bigint NOT NULL DEFAULT 0, ADD COLUMN samples bigint NOT NULL DEFAULT 0,
        ADD COLUMN audited boolean NOT NULL DEFAULT false;
    UPDATE faceworks_galleries g SET people = (SELECT count(*) FROM faceworks_people WHERE gallery = g.id),
        samples = (SELECT count(*) FROM faceworks_samples WHERE gallery = g.id);
    CREATE TABLE faceworks_audit (
        gallery int NOT NULL REFERENCES faceworks_galleries ON DELETE CASCADE, n bigint NOT NULL, line text NOT NULL, PRIMARY KEY (gallery, n));
    """,
)
"""Each brings the schema to its number; they are never changed, only added to."""
COLUMNS = ("id", "person", "vector", "time", "expires", "removed", "length", "norm", "quality", "box", "source", "consent")
PEOPLE = "id, name, metadata, created, removed, token"
LARGEST_DIM, INDEX_DIM = 16_000, 2_000
SLACK = 16
"""Rows asked for beyond k, so that ties and pgvector's rounding are settled here."""


class PostgresBackend:
    """People in a PostgreSQL database.

    Args:
        url: postgresql://user:password@host:port/database[?gallery=NAME], NAME by default "people". mode: as of `open_gallery`.

    Raises:
        MissingDependency: psycopg is not installed. GalleryUnavailable: no connection, no pgvector, or no such gallery.
    """

    def __init__(self, url: str, mode: str = "a", wait: float = 5.0) -> None:
        self._psycopg = require("psycopg", "postgres", "a gallery in PostgreSQL")
        pools = require("psycopg_pool", "postgres", "a gallery in PostgreSQL")
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query))
        self.name, self._wait, self._writable = query.pop("gallery", "people"), wait, mode != "r"
        address = urlunsplit(("postgresql", parts.netloc, parts.path, urlencode(query), ""))
        self.url = re.sub(r"//([^:/@]+):[^@]*@", r"//\1:***@", url)
        self._pool = pools.ConnectionPool(address, min_size=1, max_size=8, open=False, timeout=max(wait, 5.0), configure=self._configure)
        try:
            with self._psycopg.connect(address, connect_timeout=10) as connection:
                self._migrate(connection)
            self._pool.open(wait=True)
            with self._connection() as connection:
                self._id = self._find(connection, mode)
        except self._psycopg.Error as error:
            self._pool.close()
            raise GalleryUnavailable(f"cannot open {self.url}: {_first(error)}") from error
        except BaseException:
            self._pool.close()
            raise

    def _configure(self, connection: Any) -> None:
        require("pgvector.psycopg", "postgres", "a gallery in PostgreSQL").register_vector(connection)
        connection.execute(f"SET lock_timeout = {int(self._wait * 1000)}")
        connection.commit()

    @staticmethod
    def _migrate(connection: Any) -> None:
        connection.execute("SELECT pg_advisory_xact_lock(7081991)")
        connection.execute("CREATE TABLE IF NOT EXISTS faceworks_schema (version int NOT NULL)")
        row = connection.execute("SELECT max(version) FROM faceworks_schema").fetchone()
        have = row[0] or 0
        if have > len(MIGRATIONS):
            raise GalleryUnavailable(f"the database has schema version {have}, this faceworks knows {len(MIGRATIONS)}: upgrade faceworks")
        for number, text in enumerate(MIGRATIONS[have:], start=have + 1):
            connection.execute(text)
            connection.execute("INSERT INTO faceworks_schema VALUES (%s)", (number,))

    def _find(self, connection: Any, mode: str) -> int:
        row = connection.execute("SELECT id FROM faceworks_galleries WHERE name = %s", (self.name,)).fetchone()
        if row is not None and mode == "x":
            raise DuplicateEntry(f"the gallery {self.name!r} exists in {self.url}; open it with mode 'a'")
        if row is None and mode in ("r", "r+"):
            raise GalleryUnavailable(f"there is no gallery {self.name!r} in {self.url}; create it with mode 'a'")
        if row is None:
            connection.execute("INSERT INTO faceworks_galleries (name) VALUES (%s) ON CONFLICT DO NOTHING", (self.name,))
            row = connection.execute("SELECT id FROM faceworks_galleries WHERE name = %s", (self.name,)).fetchone()
        return int(row[0])

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Any]:
        """A connection in one transaction, committed at the end."""
        try:
            with self._pool.connection() as connection:
                yield connection
        except self._psycopg.errors.LockNotAvailable as error:
            raise GalleryLocked(f"another writer has held {self.name!r} in {self.url} for {self._wait:g} seconds") from error
        except (self._psycopg.Error, require("psycopg_pool", "postgres", "a gallery in PostgreSQL").PoolTimeout) as error:
            raise GalleryUnavailable(f"{self.url}: {_first(error)}") from error

    @property
    def info(self) -> Info:
        """See `Backend.info`."""
        with self._connection() as connection:
            row = connection.execute("SELECT binding, revision, people, samples FROM faceworks_galleries WHERE id = %s", (self._id,)).fetchone()
        if row is None:
            raise GalleryUnavailable(f"the gallery {self.name!r} was deleted from {self.url}")
        binding, revision, people, samples = row
        bound = Binding.from_json(binding) if binding else None
        return Info("postgres", self.url, bound, people, samples, str(revision), self._writable, False, LARGEST_DIM, INDEX_DIM)

    def commit(self, change: Change) -> None:
        """See `Backend.commit`."""
        if not self._writable:
            raise GalleryUnavailable(f"{self.url} was opened for reading alone; open it with mode 'r+' or 'a'")
        with self._connection() as connection:
            held = "SELECT binding, revision, people, samples FROM faceworks_galleries WHERE id = %s FOR UPDATE"
            stored, revision, people, samples = connection.execute(held, (self._id,)).fetchone()
            require_revision(change, str(revision), self.url)
            binding = change.binding or (None if change.clear or not stored else Binding.from_json(stored))
            require_cosine(binding, self.url)
            self._check(change, binding)
            if change.clear:
                connection.execute("DELETE FROM faceworks_people WHERE gallery = %s", (self._id,))
                people = samples = 0
            if change.clear or change.binding:
                plain = json.dumps(change.binding.to_json()) if change.binding else None
                connection.execute("UPDATE faceworks_galleries SET binding = %s WHERE id = %s", (plain, self._id))
            if change.remove_people:
                gone = (self._id, list(change.remove_people))
                samples -= connection.execute("SELECT count(*) FROM faceworks_samples WHERE gallery = %s AND person = ANY(%s)", gone).fetchone()[0]
                people -= connection.execute("DELETE FROM faceworks_people WHERE gallery = %s AND id = ANY(%s)", gone).rowcount
            if len(change.remove_samples):
                ids = [int(id) for id in change.remove_samples]
                samples -= connection.execute("DELETE FROM faceworks_samples WHERE gallery = %s AND id = ANY(%s)", (self._id, ids)).rowcount
            people += self._put_people(connection, change.people)
            if change.samples is not None and len(change.samples):
                samples += self._put_samples(connection, change.samples)
            counted = "UPDATE faceworks_galleries SET revision = revision + 1, people = %s, samples = %s WHERE id = %s"
            connection.execute(counted, (people, samples, self._id))

    def _check(self, change: Change, binding: Binding | None) -> None:
        if change.samples is None or not len(change.samples):
            return
        if binding is None:
            raise InputError("samples need a model: the first change of a gallery names it in `binding`")
        if change.samples.vectors.shape[1] != binding.dim:
            raise InputError(f"the gallery holds vectors of {binding.dim} numbers, got {change.samples.vectors.shape[1]}")
        if binding.dim > LARGEST_DIM:
            raise InputError(f"pgvector holds vectors of up to {LARGEST_DIM} numbers, got {binding.dim}; use a gallery file")
        if len(np.unique(change.samples.id)) != len(change.samples):
            raise InputError("a sample id occurs twice in one change")

    def _put_people(self, connection: Any, people: Sequence[Person]) -> int:
        """Add or replace, in one statement; how many were added."""
        last = {person.id: person for person in people}.values()
        columns = ([p.id for p in last], [p.name for p in last], [json.dumps(dict(p.metadata)) for p in last], [p.created for p in last],
                   [p.removed for p in last], [p.token for p in last])  # fmt: skip
        fresh = connection.execute(
            f"INSERT INTO faceworks_people (gallery, {PEOPLE}) SELECT %s, id, name, metadata::jsonb, created, removed, token "
            f"FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::text[]) AS t ({PEOPLE}) ON CONFLICT (gallery, id) DO UPDATE "
            "SET name = excluded.name, metadata = excluded.metadata, created = excluded.created, removed = excluded.removed, token = excluded.token "
            "RETURNING (xmax = 0)", (self._id, *columns),
        ).fetchall()  # fmt: skip
        return sum(row[0] for row in fresh)

    def _put_samples(self, connection: Any, samples: Samples) -> int:
        """Add or replace; how many were added."""
        names = ", ".join(COLUMNS)
        connection.execute("CREATE TEMP TABLE IF NOT EXISTS fresh (LIKE faceworks_samples) ON COMMIT DELETE ROWS")
        with connection.cursor().copy(f"COPY fresh (gallery, {names}) FROM STDIN") as copy:
            for i in range(len(samples)):
                numbers = [getattr(samples, name)[i].item() for name in ("time", "expires", "removed", "length", "norm", "quality")]
                vector = "[" + ",".join(map(repr, samples.vectors[i].tolist())) + "]"
                box = "{" + ",".join(map(repr, samples.box[i].tolist())) + "}"
                person = samples.people[samples.person[i]]
                copy.write_row((self._id, int(samples.id[i]), person, vector, *numbers, box, samples.source[i], samples.consent[i]))
        values = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS[1:])
        try:
            row = connection.execute(
                f"WITH put AS (INSERT INTO faceworks_samples (gallery, {names}) SELECT gallery, {names} FROM fresh ON CONFLICT (gallery, id) "
                f"DO UPDATE SET {values} RETURNING (xmax = 0) AS added) SELECT count(*) FILTER (WHERE added) FROM put"
            ).fetchone()
            return int(row[0])
        except self._psycopg.errors.ForeignKeyViolation as error:
            raise InputError(f"samples of nobody: {_first(error)}") from error

    def search(self, queries: FloatArray, k: int, now: int, exact: bool = True) -> list[Hits]:
        """See `Backend.search`."""
        if k < 1 or not len(queries):
            return [Hits(np.zeros(0, np.int64), np.zeros(0, np.float32), []) for _ in queries]
        answers: list[Hits | None] = [None] * len(queries)
        todo, limit = list(range(len(queries))), k + SLACK
        with self._connection() as connection:
            while todo:
                rows = self._nearest(connection, queries[todo], limit, now, exact)
                again = []
                for position, place in enumerate(todo):
                    found = [row[1:] for row in rows if row[0] == position + 1]
                    hits, settled = _rescored(queries[place], found, k, limit)
                    answers[place] = hits
                    if not settled:
                        again.append(place)
                todo, limit = again, limit * 8
        return [item for item in answers if item is not None]

    def _nearest(self, connection: Any, queries: FloatArray, limit: int, now: int, exact: bool) -> list[Any]:
        dim = queries.shape[1]
        connection.execute(f"SET LOCAL enable_indexscan = {'off' if exact else 'on'}")
        if not exact:
            connection.execute(f"SET LOCAL hnsw.ef_search = {min(1000, max(100, 2 * limit))}")
        order = "vector <#> q.v, id" if exact else f"(vector::vector({dim})) <#> q.v::vector({dim})"
        texts = ["[" + ",".join(map(repr, row.tolist())) + "]" for row in queries]
        with connection.cursor(binary=True) as cursor:
            found: list[Any] = cursor.execute(
                "SELECT q.n, s.id, s.person, s.vector FROM (SELECT v::vector AS v, n FROM unnest(%s::text[]) WITH ORDINALITY AS t(v, n)) q "
                "CROSS JOIN LATERAL (SELECT id, person, vector FROM faceworks_samples "
                f"WHERE gallery = {self._id} AND removed = 0 AND (expires = 0 OR expires > {int(now)}) ORDER BY {order} LIMIT {limit}) s", (texts,),
            ).fetchall()  # fmt: skip
        return found

    def entries(self, people: Sequence[str] | None = None, *, name: str | None = None, samples: Sequence[int] | Ids | None = None) -> Entries:
        """See `Backend.entries`."""
        where, values = "gallery = %s", [self._id]
        more: list[Any] = []
        if samples is not None:
            more = [("id IN (SELECT person FROM faceworks_samples WHERE gallery = %s AND id = ANY(%s))", [self._id, [int(i) for i in samples]])]
        else:
            more += [("id = ANY(%s)", [list(people)])] if people is not None else []
            more += [("name = %s", [name])] if name is not None else []
        for text, given in more:
            where, values = f"{where} AND {text}", [*values, *given]
        with self._connection() as connection, connection.cursor(binary=True) as cursor:
            rows = cursor.execute(f'SELECT {PEOPLE} FROM faceworks_people WHERE {where} ORDER BY id COLLATE "C"', values).fetchall()
            found = [Person(*row) for row in rows]
            ids = [person.id for person in found]
            only, given = ("AND id = ANY(%s)", [[int(i) for i in samples]]) if samples is not None else ("AND person = ANY(%s)", [ids])
            if samples is None and people is None and name is None:
                only, given = "", []
            held = cursor.execute(
                f"SELECT {', '.join(COLUMNS)} FROM faceworks_samples WHERE gallery = %s {only} ORDER BY id", [self._id, *given]
            ).fetchall()
        return Entries(found, _columns(ids, held))

    def findable(self, now: int) -> tuple[int, int]:
        """See `Backend.findable`."""
        with self._connection() as connection:
            people, until = connection.execute(
                "SELECT count(DISTINCT person), min(expires) FILTER (WHERE expires > 0) FROM faceworks_samples "
                "WHERE gallery = %s AND removed = 0 AND (expires = 0 OR expires > %s)", (self._id, now),
            ).fetchone()  # fmt: skip
        return people, until or FOREVER

    def build_index(self, progress: Callable[[int], None] | None = None) -> int:
        """Build pgvector's HNSW index for this gallery; the number of samples in it.

        Raises:
            InputError: vectors too long for pgvector's index.
        """
        info = self.info
        dim = info.binding.dim if info.binding else 0
        if not 0 < dim <= INDEX_DIM:
            raise InputError(f"pgvector indexes vectors of up to {INDEX_DIM} numbers, these have {dim}: exact search goes on without an index")
        with self._connection() as connection:
            connection.execute(f"DROP INDEX IF EXISTS faceworks_hnsw_{self._id}")
            connection.execute(
                f"CREATE INDEX faceworks_hnsw_{self._id} ON faceworks_samples USING hnsw ((vector::vector({dim})) vector_ip_ops) WHERE gallery = {self._id}"
            )
        return info.samples

    def compact(self) -> None:
        """VACUUM FULL of the tables: what was deleted is given back to the operating system."""
        with self._connection() as connection:
            connection.commit()
            connection.autocommit = True
            try:
                connection.execute("VACUUM (FULL) faceworks_samples")
                connection.execute("VACUUM (FULL) faceworks_people")
            finally:
                connection.autocommit = False

    # --- the audit log: see `audit.Chain` ---

    @property
    def audited(self) -> bool:
        """Whether who did what is kept in `faceworks_audit`."""
        with self._connection() as connection:
            return bool(connection.execute("SELECT audited FROM faceworks_galleries WHERE id = %s", (self._id,)).fetchone()[0])

    def keep_audit(self) -> None:
        """Keep it from now on."""
        with self._connection() as connection:
            connection.execute("UPDATE faceworks_galleries SET audited = true WHERE id = %s", (self._id,))

    def extend(self, make: Callable[[dict[str, Any] | None], dict[str, Any]]) -> None:
        """Append a line in one transaction."""
        with self._connection() as connection:
            connection.execute("SELECT 1 FROM faceworks_galleries WHERE id = %s FOR UPDATE", (self._id,))
            last = connection.execute("SELECT line FROM faceworks_audit WHERE gallery = %s ORDER BY n DESC LIMIT 1", (self._id,)).fetchone()
            line = make(json.loads(last[0]) if last else None)
            connection.execute("INSERT INTO faceworks_audit (gallery, n, line) VALUES (%s, %s, %s)", (self._id, line["n"], json.dumps(line)))

    def lines(self) -> list[dict[str, Any]]:
        """All lines, oldest first."""
        with self._connection() as connection:
            rows = connection.execute("SELECT line FROM faceworks_audit WHERE gallery = %s ORDER BY n", (self._id,)).fetchall()
        return [json.loads(row[0]) for row in rows]

    def __len__(self) -> int:
        return self.info.samples

    def close(self) -> None:
        """See `Backend.close`."""
        self._pool.close()


def _rescored(query: FloatArray, found: Sequence[Any], k: int, limit: int) -> tuple[Hits, bool]:
    """The k best by our own arithmetic; whether no row that was not asked for can be among them."""
    if not found:
        return Hits(np.zeros(0, np.int64), np.zeros(0, np.float32), []), True
    ids = np.array([row[0] for row in found], np.int64)
    vectors = np.stack([_array(row[2]) for row in found])
    best, scores = scan.order(query, np.arange(len(found)), ids, lambda rows: vectors[rows], k)
    settled = len(found) < limit or float(scan.cosines(query, vectors).min()) < float(scores[-1]) - float(scan.MARGIN)
    return Hits(ids[best], scores, [found[row][1] for row in best]), settled


def _array(value: Any) -> FloatArray:
    return np.asarray(value.to_numpy() if hasattr(value, "to_numpy") else value, np.float32)


def _columns(ids: Sequence[str], rows: Sequence[Any]) -> Samples:
    place = {id: number for number, id in enumerate(ids)}
    columns: dict[str, Any] = {name: [row[COLUMNS.index(name)] for row in rows] for name in (*NUMBERS, *TEXTS)}
    columns["person"] = [place[id] for id in columns["person"]]
    arrays = {name: np.array(columns[name], np.dtype(kind)).reshape((-1, width) if width > 1 else -1) for name, (kind, width) in NUMBERS.items()}
    vectors = np.stack([_array(row[2]) for row in rows]) if rows else np.zeros((0, 0), np.float32)
    rest: dict[str, Any] = {**arrays, **{name: columns[name] for name in TEXTS}}
    return Samples(people=tuple(ids), vectors=vectors, **rest)


def _first(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
