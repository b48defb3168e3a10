"""`faceworks.compat.face_recognition` against face_recognition 1.3.0 (recorded by `tools/record_peers.py`), and its README's examples."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faceworks import image
from faceworks.compat import face_recognition as ours
from faceworks.errors import InputError, MissingDependency
from peer_shapes import same_in_order, shape

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "compat_face_recognition.json").read_text(encoding="utf-8"))
NEEDED = ("dlib-resnet-v1", "dlib-5", "dlib-68", "dlib-mmod", "sface-2021dec-int8bq", "yunet-2023mar-int8bq")
README = {
    "find faces": """
import face_recognition
image = face_recognition.load_image_file("your_file.jpg")
face_locations = face_recognition.face_locations(image)
""",
    "facial features": """
import face_recognition
image = face_recognition.load_image_file("your_file.jpg")
face_landmarks_list = face_recognition.face_landmarks(image)
""",
    "identify": """
import face_recognition
known_image = face_recognition.load_image_file("biden.jpg")
unknown_image = face_recognition.load_image_file("unknown.jpg")

biden_encoding = face_recognition.face_encodings(known_image)[0]
unknown_encoding = face_recognition.face_encodings(unknown_image)[0]

results = face_recognition.compare_faces([biden_encoding], unknown_encoding)
""",
    "cnn": """
import face_recognition

image = face_recognition.load_image_file("my_picture.jpg")
face_locations = face_recognition.face_locations(image, model="cnn")
""",
    "recognize": """
import face_recognition

picture_of_me = face_recognition.load_image_file("me.jpg")
my_face_encoding = face_recognition.face_encodings(picture_of_me)[0]

# my_face_encoding now contains a universal 'encoding' of my facial features that can be compared to any other picture of a face!

unknown_picture = face_recognition.load_image_file("unknown.jpg")
unknown_face_encoding = face_recognition.face_encodings(unknown_picture)[0]

# Now we can see the two face encodings are of the same person with `compare_faces`!

results = face_recognition.compare_faces([my_face_encoding], unknown_face_encoding)

if results[0] == True:
    print("It's a picture of me!")
else:
    print("It's not a picture of me!")
""",
}
"""The code of the README of 1.3.0, statement by statement (some of its comments left out)."""


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    from conftest import need

    need(*NEEDED)
    return shared / "data" / "peers" / "face_recognition" / "examples"


@pytest.fixture(scope="module")
def images(folder: Path) -> Mapping[str, np.ndarray]:
    return {name: ours.load_image_file(str(folder / name)) for name in GOLDEN["values"]}


@pytest.fixture
def without_dlib(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "dlib", None)
    ours._detector.cache_clear()
    yield
    ours._detector.cache_clear()
    ours.use_cnn_without_dlib(False)


@pytest.mark.parametrize("name", GOLDEN["signatures"])
def test_signature(name: str) -> None:
    items = inspect.signature(getattr(ours, name)).parameters.values()
    assert [[item.name] if item.default is item.empty else [item.name, item.default] for item in items] == GOLDEN["signatures"][name]


def test_distances_by_hand() -> None:
    known = [np.array([0.0, 0.0]), np.array([3.0, 4.0]), np.array([0.0, 0.6])]
    assert ours.face_distance(known, np.zeros(2)).tolist() == [0.0, 5.0, 0.6]
    assert ours.compare_faces(known, np.zeros(2)) == [True, False, True]
    assert ours.compare_faces(known, np.zeros(2), tolerance=5.0) == [True, True, True]
    assert ours.compare_faces([], np.zeros(2)) == []
    assert shape(ours.face_distance([], np.zeros(2))) == GOLDEN["shapes"]["face_distance none"]


@pytest.mark.shared
@pytest.mark.parametrize("name", GOLDEN["values"])
def test_the_same_pixels(images: Mapping[str, np.ndarray], name: str) -> None:
    values = GOLDEN["values"][name]
    assert list(images[name].shape) == values["size"]
    assert abs(int(images[name].astype(np.int64).sum()) - values["sum"]) <= 0.001 * images[name].size


@pytest.mark.shared
def test_gray_as_pillow_rounds_it(folder: Path) -> None:
    gray = ours.load_image_file(str(folder / "obama_small.jpg"), mode="L")
    assert shape(gray) == GOLDEN["shapes"]["load_image_file L"]
    assert abs(int(gray.sum()) - GOLDEN["gray"]) <= 0.001 * gray.size


@pytest.mark.shared
@pytest.mark.parametrize("name", GOLDEN["values"])
def test_hog_locations_are_dlibs(images: Mapping[str, np.ndarray], name: str) -> None:
    pytest.importorskip("dlib", reason="the extra dlib is not installed")
    for key, upsample in (("hog", 1), ("hog 0", 0)):
        assert [list(item) for item in ours.face_locations(images[name], upsample)] == GOLDEN["values"][name][key]


@pytest.mark.shared
def test_cnn_locations_are_dlibs(images: Mapping[str, np.ndarray]) -> None:
    small = images["obama_small.jpg"][:240, :320]
    found = ours.face_locations(small, 0, "cnn")
    assert [list(item) for item in found] == GOLDEN["cnn"]
    batch = ours.batch_face_locations([small, small[:200]], number_of_times_to_upsample=0)
    assert batch[0] == found
    same_in_order(shape(batch), GOLDEN["shapes"]["batch_face_locations"])


@pytest.mark.shared
@pytest.mark.parametrize("name", GOLDEN["values"])
@pytest.mark.parametrize("model", ["large", "small"])
def test_landmarks_are_dlibs(images: Mapping[str, np.ndarray], name: str, model: str) -> None:
    values = GOLDEN["values"][name]
    found = ours.face_landmarks(images[name], values["hog"], model)
    same_in_order(shape(found), GOLDEN["shapes"]["face_landmarks" if model == "large" else "face_landmarks small"])
    assert len(found) == len(values[model])
    for mine, theirs in zip(found, values[model], strict=True):
        for group, points in theirs.items():
            assert [list(point) for point in mine[group]] == points, f"{name} {group}"


@pytest.mark.shared
@pytest.mark.parametrize("name", GOLDEN["values"])
@pytest.mark.parametrize("model", ["large", "small"])
def test_encodings_are_dlibs(images: Mapping[str, np.ndarray], name: str, model: str) -> None:
    values = GOLDEN["values"][name]
    found = ours.face_encodings(images[name], values["hog"], model=model)
    same_in_order(shape(found), GOLDEN["shapes"]["face_encodings"])
    wanted = np.array(values["encodings" if model == "small" else "encodings large"])
    assert np.linalg.norm(np.array(found) - wanted, axis=1).max() <= 2e-3  # measured 1.1e-3; same people lie at 0.3, strangers above 0.6


@pytest.mark.shared
def test_shapes_of_the_rest(images: Mapping[str, np.ndarray]) -> None:
    picture = images["obama_small.jpg"]
    known = ours.face_encodings(picture, GOLDEN["values"]["obama_small.jpg"]["hog"])
    mine = {
        "load_image_file": shape(picture),
        "face_locations": shape(ours.face_locations(picture, 0, "cnn")),
        "face_locations none": shape(ours.face_locations(picture[:60, :60], 0, "cnn")),
        "face_distance": shape(ours.face_distance(known, known[0])),
        "compare_faces": shape(ours.compare_faces(known, known[0])),
    }
    for name, value in mine.items():
        theirs = GOLDEN["shapes"][name]
        assert value == (["list", "bool"] if theirs == ["list", "bool_"] and value[1] == "bool" else theirs), name


@pytest.mark.shared
def test_jittered_encodings_agree_with_dlibs_and_repeat(images: Mapping[str, np.ndarray]) -> None:
    picture, where = images["obama_small.jpg"], GOLDEN["values"]["obama_small.jpg"]["hog"]
    plain = ours.face_encodings(picture, where)[0]
    jittered = ours.face_encodings(picture, where, num_jitters=20)[0]
    theirs = np.array(GOLDEN["jittered"])
    assert jittered.dtype == np.float64
    assert np.array_equal(jittered, ours.face_encodings(picture, where, num_jitters=20)[0])
    # other random numbers: as near to theirs as two means of twenty are, and nearer than the plain vector
    assert np.linalg.norm(jittered - theirs) < min(0.08, float(np.linalg.norm(plain - theirs)))


@pytest.mark.shared
@pytest.mark.parametrize("name", README)
def test_readme_example_runs_unchanged(folder: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    pytest.importorskip("dlib", reason="the extra dlib is not installed")
    known, unknown = ours.load_image_file(str(folder / "obama_small.jpg")), ours.load_image_file(str(folder / "obama-240p.jpg"))
    for role in ("your_file", "my_picture", "me", "biden"):
        image.save(tmp_path / f"{role}.jpg", known)
    image.save(tmp_path / "unknown.jpg", unknown)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "face_recognition", ours)
    names: dict[str, Any] = {}
    exec(compile(README[name], name, "exec"), names)
    if "face_locations" in names:
        assert len(names["face_locations"]) == 1
    if "face_landmarks_list" in names:
        assert set(names["face_landmarks_list"][0]) == set(ours.GROUPS["large"])
    if "results" in names:
        assert names["results"] == [True]
    assert ("It's a picture of me!" in capsys.readouterr().out) == (name == "recognize")


@pytest.mark.shared
@pytest.mark.usefixtures("without_dlib")
def test_without_dlib_hog_says_what_to_do_and_falls_back_only_when_asked(images: Mapping[str, np.ndarray]) -> None:
    picture = images["obama_small.jpg"]
    with pytest.raises(MissingDependency, match=r"faceworks\[dlib\].*model='cnn'"):
        ours.face_locations(picture)
    ours.use_cnn_without_dlib()
    assert ours.face_locations(picture, 0) == ours.face_locations(picture, 0, "cnn")


@pytest.mark.parametrize(
    "call", [lambda: ours.load_image_file("x.jpg", "CMYK"), lambda: ours.face_landmarks(np.zeros((9, 9, 3), np.uint8), [], "huge")]
)
def test_wrong_words_are_value_errors(call: Any) -> None:
    with pytest.raises(InputError, match="upported"):
        call()
