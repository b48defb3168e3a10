"""Galleries in PostgreSQL and Milvus Lite through `open_gallery`: what people do with them, their audit logs, and forgetting."""

from __future__ import annotations

import importlib
import json
import secrets
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import numpy as np
import pytest

from faceworks.errors import ConfigError, GalleryCorrupt, GalleryUnavailable, InputError, ModelMismatch, UnknownPerson
from faceworks.gallery import Binding, Change, Gallery, open_gallery
from faceworks.types import Embedding, Face, FaceResult
from gallery_tools import binding, needed

MODEL = "toy@000000000000"


@pytest.fixture(params=["postgres", "milvus"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if request.param == "postgres":
            url = request.getfixturevalue("postgres")
            yield f"{url}{'&' if '?' in url else '?'}gallery={secrets.token_hex(4)}"
        else:
            needed("pymilvus", "milvus_lite")
            yield f"milvus:{tmp_path}/people.db"


def vectors(count: int, dim: int = 8) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, dim)).astype(np.float32)


def face(vector: np.ndarray) -> FaceResult:
    return FaceResult(Face(np.array([0, 0, 10, 10]), 0.9), Embedding(vector, None, MODEL))


def test_from_enrollment_to_forgetting(address: str) -> None:
    made = vectors(4)
    with open_gallery(address, audit=True, actor="kim") as gallery:
        gallery.enroll_vectors(["Ada", "Ada", "Bob", "'; DROP TABLE faceworks_people; --"], made, MODEL)
        gallery.describe("Ada", {"Department": "engines"})
        found = gallery.identify_results([face(made[0]), face(-made[0])], threshold=0.2)
        assert [item.person for item in found] == ["Ada", None]
        gallery.remove("Ada")
        assert gallery.identify_results([face(made[0])], threshold=0.2)[0].person is None
        gallery.restore("Ada")
        with pytest.raises(ModelMismatch):
            gallery.enroll_vectors(["Cy"], made[:1], "other@1")
        token = gallery.person("Ada").token
        gallery.merge("Bob", "'; DROP TABLE faceworks_people; --")
        gallery.forget("Ada")
        with pytest.raises(UnknownPerson):
            gallery.restore("Ada")
        stats = gallery.stats()
        assert (stats["people"], stats["samples"], stats["samples_held"], stats["audited"]) == (1, 2, 2, True)
    with open_gallery(address, "r") as gallery:
        assert gallery.audit is not None, "an audited gallery stays audited"
        assert gallery.check()["audit_lines"] == 8
        lines = gallery.audit.lines()
        assert [line["action"] for line in lines] == ["enroll", "describe", "search", "remove", "search", "restore", "merge", "forget"]
        assert lines[0]["actor"] == "kim"
        assert token in lines[0]["tokens"]
        assert "Ada" not in str(lines)
        assert gallery.backend.entries().samples.people == (gallery.person("Bob").id,)
        if gallery.info.kind == "postgres":
            with gallery.backend._connection() as connection:
                connection.execute(
                    "UPDATE faceworks_audit SET line = replace(line, 'describe', 'dismiss') WHERE n = 2 AND gallery = %s", (gallery.backend._id,)
                )
            with pytest.raises(GalleryCorrupt, match="chain breaks at line 2"):
                gallery.audit.verify()
    with open_gallery(address) as gallery:
        gallery.clear()
        assert (len(gallery), gallery.info.samples) == (0, 0)


def test_several_writers_of_one_gallery(address: str) -> None:
    """Threads with connections of their own (of Milvus Lite, which one process holds, with one)."""
    one = open_gallery(address, audit=True)
    mine: Callable[[], Gallery] = (lambda: open_gallery(address, "r+")) if one.info.kind == "postgres" else (lambda: one)
    one.enroll_vectors(["Ada"], vectors(1), MODEL)

    def rename() -> None:
        for n in range(4):
            mine().rename(one.people()[0].person.id, f"Ada {n}")

    def describe() -> None:
        gallery = mine()
        id = one.people()[0].person.id
        for n in range(4):
            gallery.describe(id, {"n": n})

    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(rename), pool.submit(describe)]:
            future.result()
    assert one.people()[0].person.name == "Ada 3"
    assert dict(one.people()[0].person.metadata) == {"n": 3}
    assert one.audit is not None
    assert one.audit.verify() == 9
    assert one.info.people == 1
    one.close()


def test_places_of_audit_logs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--audit-file"):
        open_gallery("memory:", audit=True)
    with open_gallery("memory:", audit=tmp_path / "log") as gallery:
        gallery.enroll_vectors(["Ada"], vectors(1), MODEL)
        assert gallery.audit is not None
        assert gallery.audit.verify() == 1
    assert (tmp_path / "log").exists()


def test_servers_that_do_not_answer() -> None:
    needed("psycopg_pool", "pgvector")
    with pytest.raises(GalleryUnavailable, match="cannot open postgresql://me:\\*\\*\\*@"):
        open_gallery("postgresql://me:secret@127.0.0.1:1/faces?connect_timeout=1")


def test_what_a_database_cannot_hold_is_refused_and_the_alternative_named(address: str) -> None:
    with open_gallery(address) as gallery:
        with pytest.raises(ConfigError, match=r"chi2.*people\.h5"):
            gallery.backend.commit(Change(binding=Binding("histograms@1", "", 4, metric="chi2")))
        assert gallery.binding is None
        info = gallery.info
        assert info.metrics == ("cosine",)
        assert info.largest_dim is not None
        assert info.index_dim is not None
        long = np.ones((1, info.largest_dim + 1), np.float32)
        with pytest.raises(InputError, match=f"up to {info.largest_dim} numbers"):
            gallery.enroll_vectors(["Ada"], long, MODEL)
        assert len(gallery) == 0


@pytest.fixture
def old_schema(postgres: str) -> Iterator[str]:
    """The address of a database with the first schema, in which an earlier version enrolled two people with three samples."""
    psycopg = importlib.import_module("psycopg")
    from faceworks.gallery.postgres import MIGRATIONS

    name = f"old_{secrets.token_hex(6)}"
    parts = urlsplit(postgres)
    address = urlunsplit(parts._replace(path=f"/{name}"))
    with psycopg.connect(postgres, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
    try:
        with psycopg.connect(address) as connection:
            connection.execute("CREATE TABLE faceworks_schema (version int NOT NULL)")
            connection.execute(MIGRATIONS[0])
            connection.execute("INSERT INTO faceworks_schema VALUES (1)")
            plain = json.dumps(binding(4).to_json())
            connection.execute("INSERT INTO faceworks_galleries (name, binding, revision) VALUES ('people', %s, 7), ('empty', NULL, 0)", (plain,))
            for id in ("a", "b"):
                connection.execute("INSERT INTO faceworks_people VALUES (1, %s, %s, '{}', 1, 0, 'token')", (id, id.upper()))
            for number, (person, vector) in enumerate([("a", "[1,0,0,0]"), ("a", "[0,1,0,0]"), ("b", "[0,0,1,0]")], start=1):
                connection.execute(
                    "INSERT INTO faceworks_samples (gallery, id, person, vector, time, expires, removed, length, norm, quality, box, source, consent) "
                    "VALUES (1, %s, %s, %s, 1, 0, 0, 1, 'nan', 'nan', '{0,0,1,1}', 'x.jpg', '')", (number, person, vector),
                )  # fmt: skip
        yield address
    finally:
        with psycopg.connect(postgres, autocommit=True) as server:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_database_of_an_earlier_version_is_brought_over(old_schema: str) -> None:
    """By several that open it at the same moment; nobody is lost, and what was not counted then is counted now."""
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(lambda _: open_gallery(old_schema, "r+"), range(4)))
    gallery = opened[0]
    assert (gallery.info.people, gallery.info.samples, gallery.info.revision) == (2, 3, "7")
    assert [(entry.person.name, len(entry.samples)) for entry in gallery.people()] == [("A", 2), ("B", 1)]
    assert gallery.look_up(np.array([[0, 0.1, 1, 0]], np.float32), 1)[0][0][::2] == ("b", 3)
    gallery.enroll_vectors(["C"], np.array([[0, 0, 0, 1]], np.float32), binding(4).model)
    assert [handle.info.samples for handle in opened] == [4] * 4
    with open_gallery(f"{old_schema}{'&' if '?' in old_schema else '?'}gallery=empty", "r") as empty:
        assert (empty.info.people, empty.info.samples) == (0, 0)
    with open_gallery(old_schema, "r+", audit=True) as audited:
        audited.remove("A")
        assert audited.audit is not None
        assert audited.audit.verify()
    for handle in opened:
        handle.close()


def test_a_database_of_a_later_version_is_refused(old_schema: str) -> None:
    psycopg = importlib.import_module("psycopg")
    with psycopg.connect(old_schema) as connection:
        connection.execute("INSERT INTO faceworks_schema VALUES (99)")
    with pytest.raises(GalleryUnavailable, match=r"schema version 99.*upgrade faceworks"):
        open_gallery(old_schema, "r")
