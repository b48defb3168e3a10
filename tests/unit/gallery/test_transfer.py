"""Galleries as files: exports that come back equal, the layouts of the course notes, encryption that leaves nothing readable."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from faceworks import settings
from faceworks.errors import (
    ConfigError,
    DuplicateEntry,
    FaceworksError,
    GalleryCorrupt,
    GalleryUnavailable,
    InputError,
    ManifestError,
    MissingDependency,
    ModelMismatch,
)
from faceworks.gallery import Gallery, open_gallery
from faceworks.gallery.backend import Change
from faceworks.gallery.hdf5.seed import read_seed
from faceworks.gallery.transfer import export, import_, migrate
from faceworks.pipeline import Pipeline, PipelineSpec
from gallery_tools import content

MODEL = "toy@000000000000"


@pytest.fixture
def gallery() -> Gallery:
    made = open_gallery("memory:")
    vectors = np.random.default_rng(0).normal(size=(5, 8)) * 7
    made.enroll_vectors(
        ["Ada", "Ada", "김다현", "'; DROP TABLE", "Gone"], vectors, MODEL, source=["a.jpg", "b", "", "ü", "x"], quality=[1, 2, np.nan, 4, 5]
    )
    made.describe("Ada", {"Department": "engines"})
    made.remove("Gone")
    return made


@pytest.mark.parametrize("name", ["p.jsonl", "p.parquet"])
def test_an_export_comes_back(gallery: Gallery, tmp_path: Path, name: str) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    assert export(gallery, tmp_path / name) == 4
    other = open_gallery(tmp_path / "other.h5")
    assert import_(other, tmp_path / name) == 4
    mine, theirs = content(gallery.backend), content(other.backend)
    assert set(theirs["samples"]) == set(gallery.get("Ada").samples.id) | set(gallery.get("김다현").samples.id) | set(
        gallery.get("'; DROP TABLE").samples.id
    )
    for id, row in theirs["samples"].items():
        np.testing.assert_allclose(np.frombuffer(row[1], np.float32), np.frombuffer(mine["samples"][id][1], np.float32), atol=1e-6)
        assert row[2:6] == mine["samples"][id][2:6]
    for id, person in theirs["people"].items():
        assert {**person, "token": ""} == {**mine["people"][id], "token": ""}
    assert other.binding == gallery.binding
    with pytest.raises(DuplicateEntry, match="here already"):
        import_(other, tmp_path / name)


def test_one_person_is_exported(gallery: Gallery, tmp_path: Path) -> None:
    assert export(gallery, tmp_path / "ada.jsonl", ["Ada"]) == 2
    assert "김다현" not in (tmp_path / "ada.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["", "{}", "[]", "no json", '{"faceworks gallery": 2}', '{"faceworks gallery": 1, "binding": null}\n{"sample": {}}'])
def test_broken_exports_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.jsonl").write_text(text, encoding="utf-8")
    gallery = open_gallery("memory:")
    if text:
        with pytest.raises(ManifestError):
            import_(gallery, tmp_path / "p.jsonl")
    else:
        assert import_(gallery, tmp_path / "p.jsonl") == 0
    (tmp_path / "p.parquet").write_text(text, encoding="utf-8")
    pytest.importorskip("pyarrow")
    with pytest.raises(ManifestError):
        import_(gallery, tmp_path / "p.parquet")


# --- the course notes ---


def literal(path: Path, vector: np.ndarray) -> Path:
    """What the notes' code writes, word for word."""
    file = h5py.File(path, "a")
    file.create_group("0")
    file.create_dataset("Name", data="JiSoo-Kim")
    file.create_dataset("Department", data="black pink")
    file["0"].create_group("Feature Map")
    file["0"]["Feature Map"].create_dataset("feature_1", data=vector)
    file.close()
    return path


@pytest.mark.parametrize("suffix", [".hdf", ".hdf5", ".h5"])
@pytest.mark.parametrize("shape", [(128,), (1, 128)])
def test_the_literal_layout(tmp_path: Path, suffix: str, shape: tuple[int, ...]) -> None:
    vector = np.random.default_rng(1).normal(size=128).astype(np.float32) * 20
    path = literal(tmp_path / f"gallery{suffix}", vector.reshape(shape))
    (found,) = read_seed(path)
    assert found[:2] == ("JiSoo-Kim", {"Department": "black pink"})
    np.testing.assert_array_equal(found[2], vector[None])
    with pytest.raises(GalleryUnavailable, match="--embedder"):
        open_gallery(path, "r")
    with open_gallery(path, "r", embedder="sface-2021dec-int8bq") as opened:
        assert opened.look_up(vector.reshape(1, -1), 1)[0][0][1] == pytest.approx(1.0)
        assert (opened.people()[0].person.name, opened.info.url) == ("JiSoo-Kim", str(path))
        with pytest.raises(GalleryUnavailable, match="opened for reading alone"):
            opened.rename("JiSoo-Kim", "Kim")
        with pytest.raises(GalleryUnavailable, match="migrate"):
            opened.backend.commit(Change())
    with pytest.raises(ModelMismatch, match="128 numbers"):
        open_gallery(path, "r", embedder="lbph", detector="whole")
    gallery = open_gallery(tmp_path / "new.h5")
    assert migrate(path, gallery, Pipeline(PipelineSpec())) == 1
    entry = gallery.get("JiSoo-Kim")
    assert dict(entry.person.metadata) == {"Department": "black pink"}
    np.testing.assert_allclose(entry.samples.vectors[0] * entry.samples.length[0], vector, rtol=1e-6)
    assert gallery.binding.model == Pipeline(PipelineSpec()).embedding_id


def test_the_intended_layout_goes_out_and_comes_back(gallery: Gallery, tmp_path: Path) -> None:
    export(gallery, tmp_path / "seed.h5", layout="seed")
    with h5py.File(tmp_path / "seed.h5") as file:
        assert set(file) == {"0", "1", "2"}
        assert file["0/Feature Map/feature_1"].shape == (8,)
    people = {name: (facts, vectors) for name, facts, vectors in read_seed(tmp_path / "seed.h5")}
    assert set(people) == {"Ada", "김다현", "'; DROP TABLE"}
    assert people["Ada"][0] == {"Department": "engines"}
    samples = gallery.get("Ada").samples
    np.testing.assert_allclose(people["Ada"][1], samples.vectors * samples.length[:, None], rtol=1e-6)
    with pytest.raises(ModelMismatch, match="8 numbers"):
        migrate(tmp_path / "seed.h5", open_gallery("memory:"), Pipeline(PipelineSpec()))
    with pytest.raises(ConfigError, match="migrate"):
        import_(open_gallery("memory:"), tmp_path / "seed.h5")


def test_foreign_and_broken_files(tmp_path: Path) -> None:
    foreign, text, empty = tmp_path / "foreign.h5", tmp_path / "text.h5", tmp_path / "empty.h5"
    with h5py.File(foreign, "w") as file:
        file["x"] = 1
    text.write_text("not HDF5 at all")
    empty.write_bytes(b"")
    with pytest.raises(InputError, match="neither layout"):
        read_seed(foreign)
    with pytest.raises(GalleryUnavailable, match="no faceworks gallery"):
        open_gallery(foreign)
    for path in (text, empty):
        with pytest.raises(GalleryCorrupt, match="is no gallery, or its beginning is lost; check the path"):
            open_gallery(path)
        with pytest.raises(GalleryCorrupt, match="HDF5"):
            read_seed(path)


def test_a_truncated_or_damaged_file_is_an_error_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "p.h5"
    with open_gallery(path) as gallery:
        gallery.enroll_vectors(["Ada"] * 50, np.random.default_rng(0).normal(size=(50, 16)), MODEL)
        gallery.backend.compact()
    (tmp_path / "p.h5.log").unlink()
    data = path.read_bytes()
    random, complaints = np.random.default_rng(0), []
    for trial in range(120):
        broken = bytearray(data)
        if trial % 2:
            del broken[int(random.integers(1, len(data))) :]
        else:
            for place in random.integers(0, min(len(data), 6000), 40):
                broken[place] = random.integers(0, 256)
        path.write_bytes(bytes(broken))
        try:
            with open_gallery(path, "r") as gallery:
                gallery.check()
                gallery.people()
        except FaceworksError as error:
            complaints.append(str(error))
    assert len(complaints) > 40
    assert all(str(path) in text for text in complaints)


def test_a_damaged_file_of_the_course_notes_is_an_error_of_ours(tmp_path: Path) -> None:
    path = literal(tmp_path / "seed.h5", np.random.default_rng(1).normal(size=128).astype(np.float32))
    data = path.read_bytes()
    random, complaints = np.random.default_rng(0), 0
    for trial in range(80):
        broken = bytearray(data)
        if trial % 2:
            del broken[int(random.integers(1, len(data))) :]
        else:
            for place in random.integers(0, len(data), 60):
                broken[place] = random.integers(0, 256)
        path.write_bytes(bytes(broken))
        try:
            read_seed(path)
        except FaceworksError:
            complaints += 1
    assert complaints > 20


# --- encryption ---

NAME, SOURCE = "Zebulon Quartermaine", "secret-holiday-picture.jpg"


def bytes_on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir() if path.name != "key")


@pytest.fixture
def sealed(tmp_path: Path) -> tuple[Path, Any]:
    pytest.importorskip("cryptography")
    from faceworks.gallery.sealing import new_key_file

    new_key_file(tmp_path / "key")
    return tmp_path / "p.h5", tmp_path / "key"


def test_nothing_readable_is_on_disk(sealed: tuple[Path, Any], tmp_path: Path) -> None:
    path, key = sealed
    vectors = np.random.default_rng(0).normal(size=(4, 128)).astype(np.float32)
    with open_gallery(path, key=key, encrypt=True, audit=True) as gallery:
        gallery.enroll_vectors([NAME, NAME, "Bob", "Bob"], vectors, MODEL, source=[SOURCE] * 4, consent=["signed"] * 4)
        gallery.describe(NAME, {"Department": "hidden-department"})
        for compact in (False, True):
            if compact:
                gallery.backend.compact()
            data = bytes_on_disk(tmp_path)
            person, samples = gallery.get(NAME).person, gallery.get(NAME).samples
            for plain in (NAME.encode(), b"Zebulon", SOURCE.encode(), b"hidden-department", b"signed", person.id.encode()):
                assert plain not in data
            for vector in (*vectors, *samples.vectors):
                assert vector.tobytes()[:16] not in data
                assert vector.astype("<f8").tobytes()[:16] not in data
    with pytest.raises(ConfigError, match="encrypted"):
        open_gallery(path, "r")
    with pytest.raises(GalleryUnavailable, match="another key"):
        open_gallery(path, "r", key=bytes(32))
    with settings.use(gallery_key=str(key)), open_gallery(path, "r") as again:
        assert len(again.get(NAME).samples) == 2


def test_forgetting_leaves_no_key_and_the_chain_holds(sealed: tuple[Path, Any], tmp_path: Path) -> None:
    path, key = sealed
    with open_gallery(path, key=key, encrypt=True, audit=True) as gallery:
        gallery.enroll_vectors([NAME, "Bob"], np.random.default_rng(0).normal(size=(2, 16)), MODEL)
        slot, _ = gallery.backend.codec._people[gallery.person(NAME).id]
        token = gallery.person(NAME).token
        gallery.backend.compact()
        assert slot.encode() in bytes_on_disk(tmp_path)
        gallery.forget(NAME)
        assert slot.encode() not in bytes_on_disk(tmp_path)
        assert gallery.audit.verify() == 2
        assert token in gallery.audit.chain.path.read_text(), "the token stays in the log and leads to nobody"
    with open_gallery(path, "r", key=key) as gallery:
        assert [entry.person.name for entry in gallery.people()] == ["Bob"]


def test_who_is_forgotten_is_on_no_byte_of_the_disk(tmp_path: Path) -> None:
    """Of a gallery that is not encrypted, with an index and an audit log beside it."""
    vectors = np.random.default_rng(0).normal(size=(40, 32)).astype(np.float32)
    with open_gallery(tmp_path / "p.h5", audit=True) as gallery:
        gallery.enroll_vectors([NAME] * 2 + ["Bob"] * 38, vectors, MODEL, source=[SOURCE] * 2 + ["bob.jpg"] * 38)
        with contextlib.suppress(MissingDependency):
            gallery.build_index()
        gallery.enroll_vectors([NAME], vectors[:1] + 1, MODEL, source=[SOURCE])
        unit = gallery.get(NAME).samples.vectors
        plain = [NAME.encode(), SOURCE.encode(), gallery.person(NAME).id.encode(), *(row.tobytes()[:16] for row in unit)]
        assert all(text in bytes_on_disk(tmp_path) for text in plain)
        gallery.forget(NAME)
        data = bytes_on_disk(tmp_path)
        assert not [text for text in plain if text in data]
        assert not list(tmp_path.glob("*.index*"))
        assert b"bob.jpg" in data
        gallery.enroll_vectors([NAME], vectors[:1], MODEL)
        gallery.remove(NAME)
        gallery.purge(removed_before=1 << 62)
        gallery.backend.compact()
        assert NAME.encode() not in bytes_on_disk(tmp_path)


def test_sealed_bytes_cannot_be_changed_or_moved(sealed: tuple[Path, Any]) -> None:
    path, key = sealed
    with open_gallery(path, key=key, encrypt=True) as gallery:
        gallery.enroll_vectors([NAME, "Bob"], np.random.default_rng(0).normal(size=(2, 16)), MODEL)
        codec = gallery.backend.codec
        payload = b"".join(codec.encode(Change(people=[gallery.person(NAME)], samples=gallery.get(NAME).samples)))
        for place in range(len(payload) - 20, len(payload)):
            broken = bytearray(payload)
            broken[place] ^= 1
            with pytest.raises(GalleryCorrupt, match="cannot be opened"):
                codec.decode(memoryview(bytes(broken)))
        sample = int(gallery.get(NAME).samples.id[0])
        moved = payload.replace(str(sample).encode(), str(sample + 1).encode())
        with pytest.raises(GalleryCorrupt, match="cannot be opened"):
            codec.decode(memoryview(moved))


def test_keys_are_rotated(sealed: tuple[Path, Any], tmp_path: Path) -> None:
    path, key = sealed
    fresh = b"n" * 32
    with open_gallery(path, key=key, encrypt=True) as gallery, open_gallery(path, key=key) as other:
        gallery.enroll_vectors([NAME], np.ones((1, 4)), MODEL)
        other.enroll_vectors(["Bob"], np.eye(1, 4), MODEL)  # a log of the old key, which is not read yet
        gallery.rotate_key(fresh)
        gallery.enroll_vectors(["Cy"], np.eye(1, 4), MODEL)
        with pytest.raises(GalleryUnavailable, match="another key"):
            other.people()
        assert len(gallery) == 3
    with h5py.File(path) as file:
        assert file.attrs["key_id"] not in ("", None)
    with pytest.raises(GalleryUnavailable, match="another key"):
        open_gallery(path, "r", key=key)
    with open_gallery(path, "r", key=fresh) as gallery:
        assert len(gallery) == 3
        with pytest.raises(GalleryUnavailable, match="reading alone"):
            gallery.rotate_key(key)
    with open_gallery(tmp_path / "plain.h5") as plain, pytest.raises(ConfigError, match="not encrypted"):
        plain.rotate_key(fresh)
    with open_gallery("memory:") as memory, pytest.raises(ConfigError, match="not encrypted"):
        memory.rotate_key(fresh)


def test_a_rotation_that_is_killed_leaves_one_key_that_opens_everything(sealed: tuple[Path, Any], tmp_path: Path) -> None:
    path, _ = sealed
    old, new = b"o" * 32, b"n" * 32
    from faceworks.gallery.hdf5 import Hdf5Backend
    from faceworks.gallery.sealing import Sealed
    from gallery_tools import FaultyFiles, Killed, binding, change_of

    for stop in range(1, 60):
        folder = tmp_path / str(stop)
        folder.mkdir()
        begun = Hdf5Backend(folder / path.name, "a", binding(), codec=Sealed(old))
        begun.commit(change_of([1, 2]))
        expected = content(begun)
        begun._files = files = FaultyFiles(folder, stop)
        with contextlib.suppress(Killed):
            begun.rotate(new)
        opened = []
        for key in (old, new):
            with contextlib.suppress(GalleryUnavailable):
                again = Hdf5Backend(folder / path.name, "r+", codec=Sealed(key))
                assert content(again) == expected
                again.commit(change_of([3]))
                opened.append(key)
        assert len(opened) == 1
        if files.count < stop:
            assert opened == [new]
            return
    pytest.fail("more operations than were tried")


@pytest.mark.parametrize("key", [b"short", "bm90IDMyIGJ5dGVz", "nowhere.key"])
def test_keys_that_are_none(tmp_path: Path, key: Any) -> None:
    pytest.importorskip("cryptography")
    with pytest.raises(ConfigError, match="32 bytes"):
        open_gallery(tmp_path / "p.h5", key=key, encrypt=True)
