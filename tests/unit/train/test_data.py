"""Configurations, samplers, splits, RecordIO, crops, checkpoints, augmentation."""

from __future__ import annotations

import struct
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceworks.cards import InputSpec
from faceworks.errors import ConfigError, InputError, ManifestError
from faceworks.evaluate.labeled import LabeledPictures, read_person_folders
from faceworks.train import config as configuration
from faceworks.train import cutting, recordio, samplers, splits
from faceworks.train.augment import augment
from faceworks.train.config import AugmentConfig, DataConfig, parse_config, read_config
from faceworks.train.training_sets import TRAINING_SETS
from train_tools import CONFIG, made_faces

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "train"
TEXT = CONFIG.format(task="embedding", loss="arcface", run="", more="")


def parse(text: str = TEXT, *changes: str):
    return parse_config(text, "config.toml", Path("/data"), changes)


# --- configuration ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_examples_are_valid_and_written_back_equal(path):
    found = read_config(path)
    again = parse_config(configuration.dump_config(found), "x.toml", Path("/"))
    assert configuration.fingerprint(again) == configuration.fingerprint(found)
    assert again.data == found.data
    assert again.run == found.run


def test_examples_cover_every_task():
    assert {read_config(path).task for path in EXAMPLES.glob("*.toml")} == {"embedding", "classes", "autoencoder", "detection"}


def test_changes_reach_into_tables_and_paths_are_the_files():
    found = parse(TEXT, "run.epochs=7", 'data.source="other/faces"', 'loss.arguments.miner="all"', "network.name=nn2")
    assert (found.run.epochs, found.data.source, found.network.name) == (7, "/data/other/faces", "nn2")
    assert found.loss.arguments == {"miner": "all"}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("run.epoch=3", "unknown key 'epoch'"),
        ("run.epochs=many", "must be int"),
        ("run.epochs=0", "at least 1"),
        ("run.people=4", "go together"),
        ("data.held_out=1.0", "share"),
        ("data.kind=folder", "must be one of"),
        ("task=detection", "boxes"),
        ("name=My Model", "small letters"),
        ("optimizer.rate=-1.0", "positive"),
        ("loss.name=''", "needs .loss."),
        ("nonsense", "KEY=VALUE"),
        ("name.x=1", "no table"),
    ],
)
def test_what_cannot_hold_is_refused(change, why):
    with pytest.raises(ConfigError, match=why):
        parse(TEXT, change)


def test_a_file_that_is_no_toml_or_not_there_is_refused(tmp_path):
    (tmp_path / "x.toml").write_text("[data\n")
    for path, why in ((tmp_path / "x.toml", "TOML"), (tmp_path / "gone.toml", "cannot be read")):
        with pytest.raises(ConfigError, match=why):
            read_config(path)


def test_how_long_a_run_is_does_not_decide_whether_it_may_go_on():
    base = configuration.fingerprint(parse())
    assert configuration.fingerprint(parse(TEXT, "run.epochs=99", "run.patience=3", 'data.source="elsewhere"')) == base
    assert configuration.fingerprint(parse(TEXT, "run.batch=8")) != base


# --- samplers and splits ---------------------------------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=2, max_size=8), st.integers(2, 5), st.integers(2, 5), st.integers(0, 3))
def test_people_x_pictures(counts, people, pictures, epoch):
    labels = np.repeat(np.arange(len(counts)), counts)
    if len(counts) < people or max(counts) < 2:
        with pytest.raises(ConfigError):
            samplers.PeoplePictures(labels, people, pictures, 1)
        return
    sampler = samplers.PeoplePictures(labels, people, pictures, 1, steps=4)
    batches = list(sampler.batches(epoch))
    assert len(batches) == len(sampler) == 4
    for batch in batches:
        blocks = batch.reshape(people, pictures)
        owners = labels[blocks]
        assert (owners == owners[:, :1]).all()
        assert len(set(owners[:, 0])) == people
        for owner, block in zip(owners[:, 0], blocks, strict=True):
            times = Counter(block.tolist()).values()
            assert max(times) - min(times) <= 1
            assert len(set(block.tolist())) == min(counts[owner], pictures)
    assert [b.tolist() for b in sampler.batches(epoch)] == [b.tolist() for b in batches]
    assert len(counts) * max(counts) < 4 or epoch or [b.tolist() for b in sampler.batches(epoch + 1)] != [b.tolist() for b in batches]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 12))
def test_shuffled_goes_through_all_pictures_once(n, batch):
    sampler = samplers.Shuffled(n, batch, 3)
    seen = np.concatenate(list(sampler.batches(0)))
    assert len(seen) == len(set(seen.tolist())) == (n // batch * batch if n >= batch else n)
    assert set(seen.tolist()) <= set(range(n))


def test_triplets_stay_together():
    triplets = (np.arange(10), np.arange(10) + 100, np.arange(10) + 200)
    for batch in samplers.TripletBatches(triplets, 12, 0).batches(0):
        a, p, n = batch.reshape(3, 4)
        np.testing.assert_array_equal(p, a + 100)
        np.testing.assert_array_equal(n, a + 200)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=8, max_size=60), st.floats(0.1, 0.9), st.integers(0, 99))
def test_people_are_never_shared(people, share, seed):
    labels = np.array(people)
    try:
        held = splits.split_people(labels, share, seed)
    except InputError:
        everyone = len(set(people))
        assert min(round(share * everyone), everyone - round(share * everyone)) < 2
        return
    assert not set(labels[held]) & set(labels[~held])
    assert len(set(labels[held])) == round(share * len(set(people)))


def test_a_split_that_shares_people_is_refused():
    with pytest.raises(InputError, match="1 of 2 people"):
        splits.assert_disjoint(np.array([0, 0, 1]), np.array([True, False, False]))
    names = np.array(["a", "b", "c", "d"])
    pictures = LabeledPictures("x", names, [np.zeros((4, 4), np.uint8)] * 4, {"person": np.array([0, 0, 1, 1])}, {}, np.array(["train", "test"] * 2))
    with pytest.raises(InputError, match="both sides"):
        splits.split(pictures, DataConfig("csv", "x"), 0)


def test_pictures_are_split_by_class():
    labels = np.repeat([0, 1, 2], [40, 20, 4])
    held = splits.split_pictures(labels, 0.25, 0)
    assert Counter(labels[held].tolist()) == {0: 10, 1: 5, 2: 1}


def test_a_part_of_the_people(tmp_path):
    pictures = read_person_folders(made_faces(tmp_path, people=6, pictures=5))
    part = splits.limit(pictures, DataConfig("folders", "x", most_people=3, most_pictures=2), 1)
    assert Counter(Counter(part.labels["person"].tolist()).values()) == {2: 3}


# --- RecordIO --------------------------------------------------------------------------------------------------------------------------------


def jpeg(value: int) -> bytes:
    return cv2.imencode(".jpg", np.full((12, 12, 3), value, np.uint8))[1].tobytes()


def write_set(folder: Path, records: list[tuple[int, list[float], bytes]]) -> Path:
    data, index = b"", []
    for key, values, payload in records:
        index.append(f"{key}\t{len(data)}")
        data += recordio.pack(values, payload, key)
    (folder / "train.rec").write_bytes(data)
    (folder / "train.idx").write_text("\n".join(index) + "\n")
    return folder / "train"


def test_insightfaces_layout_is_read(tmp_path):
    """Record 0 says (first person's key, end); pictures are keys 1 to 3, people 4 and 5 hold their ranges."""
    base = write_set(
        tmp_path,
        [(0, [4.0, 6.0], b""), (1, [7.0], jpeg(10)), (2, [7.0], jpeg(90)), (3, [9.0], jpeg(200)), (4, [1.0, 3.0], b""), (5, [3.0, 4.0], b"")],
    )
    found = recordio.read_recordio(base)
    assert found.classes["person"] == ("7", "9")
    assert found.labels["person"].tolist() == [0, 0, 1]
    crops = cutting.cut(found, InputSpec("box:1", (8, 8)))
    np.testing.assert_allclose(crops.pixels.mean(axis=(1, 2, 3)), [10, 90, 200], atol=2)
    assert len(recordio.read_recordio(tmp_path / "train.rec")) == 3


def test_a_plain_set_without_the_first_record_is_read_whole(tmp_path):
    found = recordio.read_recordio(write_set(tmp_path, [(0, [1.0], jpeg(1)), (1, [0.0], jpeg(2))]))
    assert found.labels["person"].tolist() == [1, 0]


def test_bytes_are_as_the_format_has_them():
    """By hand: magic, whole record of 28 bytes, header (flag 0, label 2.0, key 5, 0), four bytes; and a payload that holds the magic, in two parts."""
    magic = struct.pack("<I", 0xCED7230A)
    assert recordio.pack([2.0], b"abcd", 5) == magic + struct.pack("<I", 28) + struct.pack("<IfQQ", 0, 2.0, 5, 0) + b"abcd"
    split = recordio.pack([2.0], b"abcd" + magic + b"xy", 5)
    wanted = magic + struct.pack("<I", 1 << 29 | 28) + struct.pack("<IfQQ", 0, 2.0, 5, 0) + b"abcd"
    wanted += magic + struct.pack("<I", 3 << 29 | 2) + b"xy\0\0"
    assert split == wanted


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.sampled_from([b"abcd", b"\x0a\x23\xd7\xce", b"xyz", b""]), max_size=6), st.lists(st.floats(0, 9, width=32), min_size=1, max_size=3)
)
def test_what_is_packed_is_read(parts, values):
    payload = b"".join(parts)
    data = recordio.pack(values, payload, 3) + recordio.pack([1.0], b"next")
    record, end = recordio.read_record(memoryview(data), 0, "x")
    assert recordio.split_header(record, "x") == (tuple(values), payload)
    assert recordio.split_header(recordio.read_record(memoryview(data), end, "x")[0], "x") == ((1.0,), b"next")


def test_damage_is_named(tmp_path):
    base = write_set(tmp_path, [(1, [0.0], jpeg(1)), (2, [1.0], jpeg(2))])
    whole = (tmp_path / "train.rec").read_bytes()
    for data, index, why in (
        (whole[:-30], None, "ends within"),
        (whole, "1\t4\n", "no record begins"),
        (whole, "1 x\n", "key offset"),
        (b"", None, "empty"),
    ):
        (tmp_path / "train.rec").write_bytes(data)
        if index:
            (tmp_path / "train.idx").write_text(index)
        with pytest.raises(ManifestError, match=why):
            recordio.read_recordio(base)


# --- crops and augmentation ------------------------------------------------------------------------------------------------------------------


def test_crops_are_what_the_card_will_cut(tmp_path):
    from faceworks import align, image
    from faceworks.types import Face

    pictures = read_person_folders(made_faces(tmp_path, people=2, pictures=2, side=32))
    crops = cutting.cut(pictures, InputSpec("square:0.8", (20, 20)))
    pixels = image.load(pictures.pictures[3])
    wanted = align.crop(pixels, Face(np.array([0, 0, 32, 32], np.float32), 1.0, None, "whole"), "square:0.8", (20, 20))
    np.testing.assert_array_equal(crops.pixels[3], wanted.pixels)


def test_many_crops_are_kept_in_a_file(tmp_path, monkeypatch):
    pictures = read_person_folders(made_faces(tmp_path / "faces", people=2, pictures=2))
    (tmp_path / "faces" / "p01" / "bad.png").write_bytes(b"no")
    pictures = read_person_folders(tmp_path / "faces")
    small = cutting.cut(pictures, InputSpec("box:1", (16, 16)))
    monkeypatch.setattr(cutting, "_IN_MEMORY", 10)
    large = cutting.cut(pictures, InputSpec("box:1", (16, 16)), folder=tmp_path / "run")
    assert (tmp_path / "run" / "crops.npy").is_file()
    np.testing.assert_array_equal(large.pixels, small.pixels)
    assert [name for name, _ in large.skipped] == ["p01/bad.png"]


def test_spoiling_lowers_quality_and_size(tmp_path):
    pictures = read_person_folders(made_faces(tmp_path, people=2, pictures=2, side=64))
    plain, poor, small = (
        cutting.cut(pictures, InputSpec("box:1", (64, 64)), **options).pixels.astype(int) for options in ({}, {"jpeg_quality": 5}, {"shrink": 16})
    )
    assert np.abs(poor - plain).mean() > 3
    assert np.abs(np.diff(small, axis=1)).mean() < np.abs(np.diff(plain, axis=1)).mean() / 2


def test_augmentation_changes_what_it_says_and_nothing_else():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (40, 10, 8, 3)).astype(np.uint8)
    kept = pixels.copy()
    nothing = augment(pixels, AugmentConfig(mirror=False), np.random.default_rng(1))
    np.testing.assert_array_equal(nothing, pixels)
    mirrored = augment(pixels, AugmentConfig(mirror=True), np.random.default_rng(1))
    each = [np.array_equal(a, b) or np.array_equal(a, b[:, ::-1]) for a, b in zip(mirrored, pixels, strict=True)]
    turned = sum(not np.array_equal(a, b) for a, b in zip(mirrored, pixels, strict=True))
    assert all(each)
    assert 10 < turned < 30
    moved = augment(pixels, AugmentConfig(mirror=False, shift=2), np.random.default_rng(1))
    for a, b in zip(moved, pixels, strict=True):
        padded = np.pad(b, ((2, 2), (2, 2), (0, 0)), "edge")
        assert any(np.array_equal(a, padded[y : y + 10, x : x + 8]) for y in range(5) for x in range(5))
    lit = augment(pixels, AugmentConfig(mirror=False, brightness=0.2, contrast=0.2), np.random.default_rng(1))
    assert np.abs(lit.astype(int) - pixels).mean() > 3
    np.testing.assert_array_equal(pixels, kept)
    np.testing.assert_array_equal(lit, augment(pixels, AugmentConfig(mirror=False, brightness=0.2, contrast=0.2), np.random.default_rng(1)))


# --- checkpoints -----------------------------------------------------------------------------------------------------------------------------


def test_checkpoints_keep_what_they_are_given(tmp_path):
    torch = pytest.importorskip("torch", reason="checkpoints hold tensors")
    from faceworks.train import checkpoint

    state = {"a": torch.randn(3, 2), "n": [1, 2.5, None, True, "text"], 3: {"t": (torch.tensor(7), "x")}, "empty": {}}
    checkpoint.save(tmp_path / "c.npz", state)
    found = checkpoint.load(tmp_path / "c.npz")
    assert torch.equal(found["a"], state["a"])
    assert found["n"] == state["n"]
    assert found[3]["t"][0] == 7
    assert isinstance(found[3]["t"], tuple)
    assert found["empty"] == {}
    with pytest.raises(TypeError, match="object"):
        checkpoint.save(tmp_path / "d.npz", {"x": object()})
    assert not (tmp_path / "d.npz").exists()


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"not a zip"])
def test_a_damaged_checkpoint_is_refused(tmp_path, damage):
    pytest.importorskip("torch", reason="checkpoints hold tensors")
    from faceworks.train import checkpoint

    checkpoint.save(tmp_path / "c.npz", {"a": [1, 2]})
    data = (tmp_path / "c.npz").read_bytes()
    (tmp_path / "c.npz").write_bytes(damage(data))
    with pytest.raises(ConfigError, match="damaged"):
        checkpoint.load(tmp_path / "c.npz")


def test_a_checkpoint_that_carries_a_pickle_is_inert(tmp_path):
    pytest.importorskip("torch", reason="checkpoints hold tensors")
    from faceworks.train import checkpoint

    np.savez(tmp_path / "c.npz", skeleton=np.array([{"evil": 1}], dtype=object))
    with pytest.raises(ConfigError, match="pickle"):
        checkpoint.load(tmp_path / "c.npz")


# --- the table of training sets --------------------------------------------------------------------------------------------------------------


def test_the_seeds_table_is_whole():
    assert [item.name for item in TRAINING_SETS] == [
        "MS-Celeb-1M (Challenge 1)",
        "MS-Celeb-1M (Challenge 2)",
        "MS-Celeb-1M (Challenge 3)",
        "MegaFace",
        "VGGFace2",
        "CASIA WebFace",
        "UMDFaces-Videos",
        "VGGFace",
        "CelebFaces+",
        "Google",
        "Facebook",
    ]
    for item in TRAINING_SETS:
        assert all(getattr(item, name) for name in item.__dataclass_fields__), item.name


@pytest.mark.shared
def test_every_cell_of_the_table_stands_in_the_seed(shared):
    """The names stand there with the numbers of their references, which were left out."""
    text = next(path for path in sorted((shared / "seeds").glob("*.txt")) if "MegaFace" in path.read_text()).read_text()
    lines = {line.split("\t")[0].split(" [")[0].strip(): line for line in text.splitlines() if line.count("\t") == 5}
    for item in TRAINING_SETS:
        cells = [cell.strip() for cell in lines[item.name].split("\t")]
        assert cells[1:] == [str(item.published), item.photos, item.subjects, item.per_subject, item.features], item.name
