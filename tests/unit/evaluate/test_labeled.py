"""Readers of labeled pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from faceworks import image
from faceworks.errors import InputError, ManifestError
from faceworks.evaluate import labeled


def _picture(path: Path, value: int = 7) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".pgm":  # read, not written, by the library
        path.write_bytes(b"P5 8 8 255\n" + bytes([value] * 64))
    else:
        image.save(path, np.full((8, 8, 3), value, np.uint8))
    return path


def _fer(path: Path, rows: list[str]) -> Path:
    path.write_text("emotion,pixels,Usage\n" + "\n".join(rows) + "\n")
    return path


PIXELS = " ".join(str(k % 256) for k in range(48 * 48))


def test_fer2013_csv_gives_pixels_labels_and_split(tmp_path):
    found = labeled.read_fer2013(_fer(tmp_path / "fer.csv", [f"3,{PIXELS},Training", f"6,{PIXELS},PublicTest", f"0,{PIXELS},PrivateTest"]))
    assert [found.classes["emotion"][k] for k in found.labels["emotion"]] == ["happy", "neutral", "angry"]
    assert list(found.split) == ["train", "validation", "test"]
    assert "not the whole challenge's (train 1, validation 1, test 1; PublicTest is validation, PrivateTest is test)" in found.variant
    np.testing.assert_array_equal(found.pictures[0].reshape(-1), np.arange(48 * 48) % 256)


def test_which_release_of_fer2013_is_told_by_its_counts():
    def split(train, validation, test):
        return np.array(["train"] * train + ["validation"] * validation + ["test"] * test)

    said = labeled._fer2013_variant(split(28_709, 3_589, 3_589), "CSV")
    assert said == "FER2013, the challenge's CSV (train 28,709, validation 3,589, test 3,589; PublicTest is validation, PrivateTest is test)"
    said = labeled._fer2013_variant(split(28_709, 0, 7_178), "folders")
    assert said == "FER2013, the folder release (train 28,709, test 7,178: PublicTest and PrivateTest together)"


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (f"7,{PIXELS},Training", "0 to 6"),
        ("3,1 2 3,Training", "2304 numbers"),
        (f"3,{PIXELS[:-3]}256,Training", "2304 numbers"),
        (f"3,{PIXELS},Exam", "Usage"),
    ],
)
def test_a_wrong_row_of_fer2013_is_named_with_its_line(tmp_path, row, why):
    with pytest.raises(ManifestError, match=why) as caught:
        labeled.read_fer2013(_fer(tmp_path / "fer.csv", [f"3,{PIXELS},Training", row]))
    assert caught.value.line == 3


def test_fer2013_folders_with_and_without_split(tmp_path):
    for part, emotion in (("train", "happy"), ("train", "sad"), ("test", "angry")):
        _picture(tmp_path / "split" / part / emotion / "a.png")
        _picture(tmp_path / "plain" / emotion / f"{part}.png")
    both = labeled.read_fer2013(tmp_path / "split")
    assert sorted(zip(both.names, both.labels["emotion"], both.split, strict=True)) == [
        ("test/angry/a.png", 0, "test"),
        ("train/happy/a.png", 3, "train"),
        ("train/sad/a.png", 4, "train"),
    ]
    assert both.variant == "FER2013 as folders, but not the whole folder release (train 2, test 1)"
    assert labeled.read_fer2013(tmp_path / "plain").split is None
    assert "without a split" in labeled.read_fer2013(tmp_path / "plain").variant
    _picture(tmp_path / "plain" / "bored" / "x.png")
    with pytest.raises(InputError, match="bored"):
        labeled.read_fer2013(tmp_path / "plain")


@pytest.mark.parametrize(
    ("age", "group"),
    [(0, "0-2"), (2, "0-2"), (3, "0-2"), (4, "4-6"), (7, "4-6"), (13, "8-13"), (14, "8-13"), (22, "15-20"), (23, "25-32"), (24, "25-32"), (35, "25-32"),
     (36, "38-43"), (45, "38-43"), (46, "48-53"), (56, "48-53"), (57, "60-"), (100, "60-"), (116, "60-")],
)  # fmt: skip
def test_an_age_in_a_gap_belongs_to_the_nearest_group(age, group):
    assert labeled.ADIENCE_AGES[labeled.age_group(age)] == group


def test_utkface_reads_names_and_reports_the_others(tmp_path):
    _picture(tmp_path / "25_1_2_20170101.jpg")
    _picture(tmp_path / "61_1_20170109142408075.jpg")  # the set really holds such names
    found = labeled.read_utkface(tmp_path)
    assert (found.labels["age"][0], found.labels["gender"][0], found.labels["race"][0]) == (25, 1, 2)
    assert [name for name, _ in found.skipped] == ["61_1_20170109142408075.jpg"]


def test_adience_reads_folds_and_reports_absent_pictures(tmp_path):
    head = "user_id\toriginal_image\tface_id\tage\tgender\tx\ty\n"
    rows = ["u@1\ta.jpg\t5\t(25, 32)\tm\t0\t0", "u@1\tb.jpg\t6\t35\tu\t0\t0", "u@2\tc.jpg\t7\tNone\tf\t0\t0", "u@2\tgone.jpg\t7\t(0, 2)\tf\t0\t0"]
    (tmp_path / "fold_0_data.txt").write_text(head + "\n".join(rows) + "\n")
    for user, face, name in (("u@1", 5, "a"), ("u@1", 6, "b"), ("u@2", 7, "c")):
        _picture(tmp_path / "aligned" / user / f"landmark_aligned_face.{face}.{name}.jpg")
    found = labeled.read_adience(tmp_path)
    assert list(found.labels["age_group"]) == [4, 4, -1]
    assert list(found.labels["gender"]) == [0, -1, 1]
    assert list(found.labels["person"]) == [0, 0, 1]
    assert len(found.skipped) == 1


def test_csv_tells_values_from_classes(tmp_path):
    (tmp_path / "list.csv").write_text("image,age,gender,split\na.png,31,female,train\nb.png,,male,test\n")
    found = labeled.read_labels_csv(tmp_path / "list.csv")
    np.testing.assert_array_equal(found.labels["age"], [31, np.nan])
    assert found.classes == {"gender": ("female", "male")}
    assert list(found.labels["gender"]) == [0, 1]
    assert list(found.split) == ["train", "test"]
    (tmp_path / "list.csv").write_text("image,age\n../a.png,31\n")
    with pytest.raises(ManifestError, match="no path below"):
        labeled.read_labels_csv(tmp_path / "list.csv")


def test_take_keeps_pictures_and_labels_together(tmp_path):
    for person in "ab":
        for k in range(3):
            _picture(tmp_path / person / f"{k}.{'pgm' if k else 'png'}")
    found = labeled.read_person_folders(tmp_path)
    assert len(found) == 6
    part = found.take(found.labels["person"] == 1)
    assert [path.parent.name for path in part.pictures] == ["b"] * 3
    assert set(part.labels["person"]) == {1}


@pytest.mark.shared
def test_real_sets_have_the_sizes_that_their_notes_state(shared):
    fer = labeled.read_fer2013(shared / "data/emotion/fer2013_privatetest")
    counts = np.bincount(fer.labels["emotion"], minlength=7)
    assert abs(counts - np.array([491, 55, 528, 879, 594, 416, 626]) / 2).max() <= 0.5
    utk = labeled.read_utkface(shared / "data/age_gender/utkface")
    assert len(utk) == 652
    listed = labeled.read_labels_csv(shared / "data/age_gender/labels.csv", shared / "data/age_gender/utkface")
    ages = dict(zip(listed.names, listed.labels["age"], strict=True))
    assert all(ages[name] == age for name, age in zip(utk.names, utk.labels["age"], strict=True))
    att = labeled.read_person_folders(shared / "data/att_faces")
    assert (len(att.classes["person"]), len(att)) == (40, 400)
