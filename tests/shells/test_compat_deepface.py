"""`faceworks.compat.deepface` against deepface 0.0.103 (recorded by `tools/record_peers.py`)."""

from __future__ import annotations

import base64
import inspect
import json
import math
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faceworks import cards, compat, image, settings
from faceworks.compat import CompatWarning, deepface_compare, deepface_faces, deepface_tables
from faceworks.compat import deepface as DeepFace  # noqa: N812 - as scripts write it
from faceworks.errors import AssetUnavailable, ConfigError, FaceworksError, InputError, NoFaceFound, UnknownModel
from faceworks.types import Face, Landmarks
from peer_shapes import same_in_order, shape

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "compat_deepface.json").read_text(encoding="utf-8"))
NUMBERS = [math.cos(k) for k in range(128)]
OTHERS = [math.cos(k + 0.4) for k in range(128)]
pytestmark = pytest.mark.filterwarnings("ignore::faceworks.compat.CompatWarning")


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    from conftest import need

    need("sface-2021dec-int8bq", "yunet-2023mar-int8bq")
    return shared / "data" / "peers" / "face_recognition" / "examples"


@pytest.fixture(scope="module")
def pair(folder: Path) -> tuple[str, str]:
    return str(folder / "obama_small.jpg"), str(folder / "obama-240p.jpg")


# --- tables ----------------------------------------------------------------------------------------------------------------------------------


def test_thresholds_are_deepfaces_number_by_number() -> None:
    assert {name: dict(table) for name, table in deepface_tables.THRESHOLDS.items()} == GOLDEN["thresholds"]


@pytest.mark.parametrize(("model", "metric", "distance", "same", "wanted"), GOLDEN["confidences"])
def test_confidence_is_deepfaces(model: str, metric: str, distance: float, same: bool, wanted: float) -> None:
    assert deepface_tables.find_confidence(distance, model, same, metric) == pytest.approx(wanted, abs=0.0100001)


def test_confidence_without_constants_is_51_or_49() -> None:
    assert [deepface_tables.find_confidence(0.3, "Buffalo_L", same) for same in (True, False)] == [51, 49]
    assert [deepface_tables.find_confidence(0.3, "SFace", same, lambda x, y: 0) for same in (True, False)] == [51, 49]


def test_confidence_jumps_at_the_threshold_as_the_warning_says() -> None:
    below, above = (deepface_tables.find_confidence(distance, "ArcFace", distance <= 0.68) for distance in (0.679, 0.681))
    assert (below, above) == (51.0, 19.64)


def test_every_deepface_model_has_a_card_and_every_detector() -> None:
    assert set(deepface_faces.MODELS) == set(GOLDEN["thresholds"])
    for task, table in (("embed", deepface_faces.MODELS), ("detect", deepface_faces.DETECTORS)):
        assert not set(table.values()) - set(cards.names(task))


# --- signatures ------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["verify", "represent", "extract_faces", "find", "register", "search", "analyze"])
def test_signature(name: str) -> None:
    items = inspect.signature(getattr(DeepFace, name)).parameters.values()
    mine = [[item.name] if item.default is item.empty else [item.name, item.default] for item in items]
    assert json.loads(json.dumps(mine)) == GOLDEN["signatures"][name]


@pytest.mark.parametrize("name", ["identify", "build_index", "stream", "build_model", "detectFace"])
def test_what_is_not_here_says_what_is(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}.*verify, represent, extract_faces, find, register, search, analyze"):
        getattr(DeepFace, name)("a.jpg", db_path="x")


def test_both_imports() -> None:
    from faceworks.compat.deepface import DeepFace as Other

    assert Other is DeepFace


# --- vectors: no pictures needed -------------------------------------------------------------------------------------------------------------


def test_vectors_give_deepfaces_keys() -> None:
    same_in_order(shape(DeepFace.verify(NUMBERS, NUMBERS, model_name="SFace", silent=True)), GOLDEN["verify"]["vectors"])


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "euclidean_l2", "angular"])
def test_metrics_and_thresholds(metric: str) -> None:
    x, y = np.array(NUMBERS), np.array(OTHERS)
    cosine = float(x @ y / np.linalg.norm(x) / np.linalg.norm(y))
    wanted = {
        "cosine": 1 - cosine,
        "euclidean": float(np.linalg.norm(x - y)),
        "euclidean_l2": math.sqrt(2 - 2 * cosine),
        "angular": math.acos(cosine) / math.pi,
    }[metric]
    answer = DeepFace.verify(NUMBERS, OTHERS, model_name="SFace", distance_metric=metric, threshold="deepface")
    assert answer["distance"] == pytest.approx(wanted, abs=1e-6)
    assert answer["threshold"] == GOLDEN["thresholds"]["SFace"][metric]
    assert answer["verified"] is (wanted <= answer["threshold"])
    assert answer["similarity_metric"] == metric


def test_our_threshold_is_the_cards_in_the_asked_metric() -> None:
    ours = {m: DeepFace.verify(NUMBERS, OTHERS, model_name="SFace", distance_metric=m)["threshold"] for m in ("cosine", "euclidean_l2", "angular")}
    assert ours["cosine"] == pytest.approx(1 - 0.363)
    assert ours["euclidean_l2"] == pytest.approx(math.sqrt(2 * (1 - 0.363)), abs=1e-6)
    assert ours["angular"] == pytest.approx(math.acos(0.363) / math.pi, abs=1e-6)
    assert DeepFace.verify(NUMBERS, OTHERS, model_name="Dlib", distance_metric="euclidean")["threshold"] == 0.6
    assert DeepFace.verify(NUMBERS, OTHERS, model_name="Dlib")["threshold"] == 0.09


def test_a_metric_without_a_threshold_of_ours_takes_deepfaces_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, "_said", {DeepFace.NO_PROBABILITY})
    with pytest.warns(CompatWarning, match=r"no euclidean threshold for SFace: deepface's 10\.734 decides"):
        assert DeepFace.verify(NUMBERS, OTHERS, model_name="SFace", distance_metric="euclidean")["threshold"] == 10.734


def test_a_given_threshold_holds_even_zero_and_ties_are_accepted() -> None:
    assert DeepFace.verify(NUMBERS, NUMBERS, model_name="SFace", threshold=0)["verified"] is True
    distance = DeepFace.verify(NUMBERS, OTHERS, model_name="SFace")["distance"]
    assert DeepFace.verify(NUMBERS, OTHERS, model_name="SFace", threshold=distance)["verified"] is True


def test_a_function_as_metric() -> None:
    def manhattan(x: np.ndarray, y: np.ndarray) -> float:
        return float(np.abs(x - y).sum())

    answer = DeepFace.verify(NUMBERS, OTHERS, model_name="SFace", distance_metric=manhattan, threshold=1000.0)
    assert answer["distance"] == manhattan(np.array(NUMBERS), np.array(OTHERS))
    assert answer["confidence"] == 51
    with pytest.raises(InputError, match="threshold"):
        DeepFace.verify(NUMBERS, OTHERS, model_name="SFace", distance_metric=manhattan)


def test_confidence_warns_once_that_it_is_no_probability(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, "_said", set())
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for _ in range(3):
            DeepFace.verify(NUMBERS, OTHERS, model_name="SFace")
    assert [item.category for item in seen] == [CompatWarning]
    assert "no probability" in str(seen[0].message)


@pytest.mark.parametrize(
    ("error", "match", "options"),
    [
        (ConfigError, "anti_spoofing", {"anti_spoofing": True}),
        (InputError, "distance_metric 'manhattan'", {"distance_metric": "manhattan"}),
        (ConfigError, "'deepface'", {"threshold": "best"}),
        (InputError, "normalization", {"normalization": "mine"}),
        (UnknownModel, "VGG-Face, Facenet", {"model_name": "Resnet"}),
        (InputError, "128 numbers", {"img1_path": [1.0, 2.0]}),
        (InputError, "not all its items are numbers", {"img1_path": ["a"] * 128}),
    ],
)
def test_what_cannot_be_is_refused_by_name(error: type[FaceworksError], match: str, options: dict[str, Any]) -> None:
    with pytest.raises(error, match=match):
        DeepFace.verify(**{"img1_path": NUMBERS, "img2_path": OTHERS, "model_name": "SFace", **options})


def test_normalization_is_ignored_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, "_said", {DeepFace.NO_PROBABILITY})
    with pytest.warns(CompatWarning, match="normalization='ArcFace' is ignored"):
        DeepFace.verify(NUMBERS, OTHERS, model_name="SFace", normalization="ArcFace")


def test_an_unreachable_default_names_sface(empty_cache: Path) -> None:
    for call in (lambda: DeepFace.represent(np.zeros((9, 9, 3), np.uint8)), lambda: DeepFace.verify(*[np.zeros((9, 9, 3), np.uint8)] * 2)):
        with pytest.raises(AssetUnavailable, match="model_name='SFace'"):
            call()


@pytest.mark.parametrize("url", ["https://example.org/a.jpg", "HTTP://example.org/a.jpg", "s3://bucket/a.jpg"])
def test_urls_are_refused(url: str) -> None:
    with pytest.raises(InputError, match="URL"):
        DeepFace.extract_faces(url, detector_backend="skip")


@pytest.mark.parametrize("name", ["mediapipe", "yolov8n", "yolov12l", "nothing"])
def test_an_absent_detector_names_those_that_are_here(name: str) -> None:
    with pytest.raises(UnknownModel, match="yunet"):
        DeepFace.extract_faces(np.zeros((9, 9, 3), np.uint8), detector_backend=name)


# --- geometry --------------------------------------------------------------------------------------------------------------------------------


def face(**change: Any) -> Face:
    points = np.array([[20, 30], [40, 30], [30, 40], [22, 50], [38, 50]], np.float32)
    return Face(**{"box": np.array([10, 10, 50, 60]), "score": 0.9, "landmarks": Landmarks(points), "detector": "toy", **change})


def test_area_by_hand() -> None:
    wanted = {"x": 10, "y": 10, "w": 40, "h": 50, "left_eye": (40, 30), "right_eye": (20, 30)}
    same_in_order(deepface_faces.area(face(), (100, 100), 0, "yunet"), wanted)
    assert deepface_faces.area(face(), (100, 100), 20, "yunet") == {**wanted, "x": 6, "y": 5, "w": 48, "h": 60}
    clipped = deepface_faces.area(face(), (100, 30), 0, "yunet")
    assert (clipped["w"], clipped["left_eye"], clipped["right_eye"]) == (19, None, (20, 30))
    assert list(deepface_faces.area(face(), (100, 100), 0, "retinaface"))[6:] == ["nose", "mouth_left", "mouth_right"]


def test_a_cut_with_level_eyes_is_the_plain_rectangle_and_a_tilted_one_becomes_level() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (100, 100, 3), dtype=np.uint8)
    assert np.array_equal(deepface_faces.cut(picture, face(), True, 0), picture[10:60, 10:50])
    assert np.array_equal(deepface_faces.cut(picture, face(), False, 0), picture[10:60, 10:50])
    marked = np.zeros((100, 100, 3), np.uint8)
    points = np.array([[20, 24], [40, 44], [30, 40], [22, 50], [38, 50]], np.float32)  # 45 degrees
    for x, y in points[:2].astype(int):
        marked[y - 1 : y + 2, x - 1 : x + 2] = 255
    level = deepface_faces.cut(marked, face(landmarks=Landmarks(points)), True, 0)
    rows, columns = np.nonzero(level[..., 0] > 128)
    assert level.shape == (50, 40, 3)
    assert np.ptp(rows) <= 4
    assert abs(np.ptp(columns) - math.hypot(20, 20)) <= 4


# --- pictures --------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.shared
@pytest.mark.parametrize("detector", ["yunet", "skip", "opencv"])
def test_keys_types_and_order(pair: tuple[str, str], detector: str) -> None:
    from conftest import need

    need(deepface_faces.DETECTORS[detector])
    eyes = ["tuple", "int"]
    mine = shape(DeepFace.verify(*pair, model_name="SFace", detector_backend=detector))
    theirs = GOLDEN["verify"][detector]
    if detector == "opencv":  # their eye cascade misses the second picture's eyes
        theirs["facial_areas"]["img2"] |= {"left_eye": eyes, "right_eye": eyes}
    same_in_order(mine, theirs)
    same_in_order(shape(DeepFace.represent(pair[0], model_name="SFace", detector_backend=detector)), GOLDEN["represent"][detector])
    same_in_order(shape(DeepFace.extract_faces(pair[0], detector_backend=detector)), GOLDEN["extract_faces"][detector])


@pytest.mark.shared
def test_keys_of_options_and_batches(pair: tuple[str, str], folder: Path) -> None:
    use = {"detector_backend": "yunet"}
    two = str(folder / "two_people.jpg")
    for name, source, options in (
        ("face", pair[0], {"return_face": True}),
        ("two", two, {}),
        ("batch", [*pair], {}),
        ("batch of one", [pair[0]], {}),
    ):
        same_in_order(shape(DeepFace.represent(source, model_name="SFace", **use, **options)), GOLDEN["represent"][name])
    for name, source, options in (
        ("gray", pair[0], {"color_face": "gray"}),
        ("uint8", pair[0], {"normalize_face": False}),
        ("batch", [*pair], {}),
    ):
        same_in_order(shape(DeepFace.extract_faces(source, **use, **options)), GOLDEN["extract_faces"][name])
    assert len(DeepFace.represent(two, model_name="SFace", **use)) == 2
    assert len(DeepFace.represent(two, model_name="SFace", max_faces=1, **use)) == 1


@pytest.mark.shared
def test_areas_lie_where_deepface_sees_them(pair: tuple[str, str]) -> None:
    """Within 8 px: deepface lets YuNet look at the picture's own size, our card enlarges small pictures twofold."""
    values = GOLDEN["values"]
    for name, options in (("facial_area", {}), ("facial_area_expanded", {"expand_percentage": 20})):
        mine = DeepFace.extract_faces(pair[0], detector_backend="yunet", **options)[0]["facial_area"]
        for key in ("x", "y", "w", "h", "left_eye", "right_eye"):
            assert np.abs(np.array(mine[key]) - np.array(values[name][key])).max() <= 8, f"{name} {key}"
    assert DeepFace.extract_faces(pair[0], detector_backend="skip")[0]["facial_area"] == values["skip"]


@pytest.mark.shared
@pytest.mark.parametrize("detector", ["yunet", "opencv"])
def test_verdicts(pair: tuple[str, str], folder: Path, detector: str) -> None:
    from conftest import need

    need(deepface_faces.DETECTORS[detector])
    stranger = str(folder / "knn_examples" / "train" / "rose_leslie" / "img2.jpg")
    for options in ({}, {"threshold": "deepface"}, {"distance_metric": "euclidean_l2"}):
        assert DeepFace.verify(*pair, model_name="SFace", detector_backend=detector, **options)["verified"] is True
        assert DeepFace.verify(pair[0], stranger, model_name="SFace", detector_backend=detector, **options)["verified"] is False


@pytest.mark.shared
def test_every_kind_of_source_gives_the_same_vector(pair: tuple[str, str], tmp_path: Path) -> None:
    def vector(source: Any) -> np.ndarray:
        return np.array(DeepFace.represent(source, model_name="SFace", detector_backend="yunet")[0]["embedding"])

    data = Path(pair[0]).read_bytes()
    korean = tmp_path / "얼굴.jpg"
    shutil.copy(pair[0], korean)
    wanted = vector(pair[0])
    with open(pair[0], "rb") as stream:
        sources = [str(korean), korean, "data:image/jpeg;base64," + base64.b64encode(data).decode(), stream, image.load(pair[0])[..., ::-1]]
        for source in sources:
            assert np.array_equal(vector(source), wanted)
    assert not np.allclose(vector(image.load(pair[0])), wanted)  # arrays are BGR: RGB is another picture
    stack = np.stack([image.load(pair[0])[..., ::-1]] * 2)
    assert np.array_equal([item[0]["embedding"] for item in DeepFace.represent(stack, model_name="SFace", detector_backend="yunet")], [wanted] * 2)


@pytest.mark.shared
def test_normalized_vectors(pair: tuple[str, str]) -> None:
    unit = DeepFace.represent(pair[0], model_name="SFace", detector_backend="yunet", l2_normalize=True)[0]["embedding"]
    assert np.linalg.norm(unit) == pytest.approx(1)
    verified = DeepFace.verify(unit, pair[0], model_name="SFace", detector_backend="yunet")
    assert verified["distance"] == pytest.approx(0, abs=1e-6)
    assert verified["facial_areas"]["img1"] == deepface_compare.NO_AREA


@pytest.mark.shared
def test_extracted_faces_are_represented_without_a_detector(pair: tuple[str, str]) -> None:
    """The usual two steps. extract_faces gives RGB, arrays are taken for BGR: the flip is the script's, as in deepface."""
    found = [DeepFace.extract_faces(path, detector_backend="yunet")[0]["face"][..., ::-1] for path in pair]
    vectors = [DeepFace.represent(face, model_name="SFace", detector_backend="skip")[0]["embedding"] for face in found]
    assert DeepFace.verify(*vectors, model_name="SFace", silent=True)["verified"] is True


@pytest.mark.shared
def test_no_face(pair: tuple[str, str]) -> None:
    blank = np.full((120, 90, 3), 200, np.uint8)
    with pytest.raises(NoFaceFound, match="enforce_detection=False"):
        DeepFace.extract_faces(blank, detector_backend="yunet")
    with pytest.raises(ValueError, match="no face"):  # what deepface raises is a ValueError too
        DeepFace.verify(blank, pair[0], model_name="SFace", detector_backend="yunet")
    found = DeepFace.extract_faces(blank, detector_backend="yunet", enforce_detection=False)
    assert [(item["confidence"], item["face"].shape) for item in found] == [(0.0, (120, 90, 3))]
    assert DeepFace.represent(blank, model_name="SFace", detector_backend="yunet", enforce_detection=False)[0]["face_confidence"] == 0.0


@pytest.mark.shared
def test_alignment_and_expansion_change_the_crop(pair: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def seen(**options: Any) -> np.ndarray:
        face = DeepFace.represent(pair[0], model_name="SFace", detector_backend="yunet", return_face=True, **options)[0]["face"]
        assert face.shape == (112, 112, 3)
        assert 0.5 < face.max() <= 1
        return np.asarray(face)

    assert np.abs(seen() - seen(align=False)).mean() > 0.02
    assert np.abs(seen(align=False) - seen(align=False, expand_percentage=30)).mean() > 0.02
    monkeypatch.setattr(compat, "_said", set())
    with pytest.warns(CompatWarning, match="follows the landmarks"):
        assert np.array_equal(seen(), seen(expand_percentage=30))


@pytest.mark.shared
def test_offline_detector_names_yunet(pair: tuple[str, str], tmp_path: Path) -> None:
    with settings.use(cache=tmp_path / "cache", offline=True, mirrors=()), pytest.raises(AssetUnavailable, match="'yunet'"):
        DeepFace.extract_faces(pair[0], detector_backend="ssd")


# --- find, register, search ------------------------------------------------------------------------------------------------------------------

USUAL = {"model_name": "SFace", "detector_backend": "yunet"}


def frame(table: Any) -> dict[str, Any]:
    """As `tools/record_peers.py` writes it."""
    return {
        str(name): {"O": "text", "T": "text", "U": "text"}.get(getattr(kind, "kind", "O"), str(kind))
        for name, kind in zip(table.columns, table.dtypes, strict=True)
    }


@pytest.fixture
def people(folder: Path, tmp_path: Path) -> Path:
    """A folder of three pictures: one of the person asked for, one of two people, one of somebody else."""
    target = tmp_path / "people"
    (target / "more").mkdir(parents=True)
    for picture in ("obama-240p.jpg", "two_people.jpg", "knn_examples/train/biden/biden.jpg"):
        shutil.copyfile(folder / picture, target / "more" / Path(picture).name)
    return target


@pytest.mark.shared
@pytest.mark.assets
def test_find_has_deepfaces_tables(people: Path, folder: Path) -> None:
    pytest.importorskip("pandas", reason="tables need the extra study")
    probe = str(folder / "obama_small.jpg")
    for kind, more in (("plain", {}), ("all", {"similarity_search": True}), ("first", {"similarity_search": True, "k": 1})):
        theirs = GOLDEN["find"][kind]
        tables = DeepFace.find(probe, str(people), return_type="pandas", **more, **USUAL)
        assert len(tables) == theirs["faces"]
        assert len(tables[0]) == theirs["rows"]
        same_in_order(frame(tables[0]), theirs["columns"])
        assert tables[0]["distance"].is_monotonic_increasing
        rows = DeepFace.find(probe, str(people), return_type="dict", **more, **USUAL)
        assert sorted(rows[0][0]) == GOLDEN["find"][f"{kind}, dict"]["keys"]
        assert rows[0] == tables[0].to_dict("records")
    assert len(DeepFace.find(str(folder / "two_people.jpg"), str(people), **USUAL)) == GOLDEN["find"]["two"]
    nobody = DeepFace.find(str(folder / "knn_examples/train/rose_leslie/img1.jpg"), str(people), return_type="pandas", **USUAL)[0]
    assert list(nobody.columns) == list(GOLDEN["find"]["plain"]["columns"])
    assert nobody.empty


@pytest.mark.shared
@pytest.mark.assets
def test_find_agrees_with_verify_and_follows_the_folder(people: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from faceworks.compat import deepface_folder

    probe = str(folder / "obama_small.jpg")
    kind = {"return_type": "dict", "similarity_search": True, **USUAL}
    first = DeepFace.find(probe, str(people), **kind)[0]
    verified = DeepFace.verify(probe, first[0]["identity"], **USUAL)
    assert first[0]["distance"] == pytest.approx(verified["distance"], abs=2e-6)
    assert (first[0]["threshold"], first[0]["confidence"]) == (verified["threshold"], pytest.approx(verified["confidence"], abs=0.02))
    assert [path.suffix for path in people.iterdir() if path.is_file()] == [".npz"]
    embedded_now: list[str] = []
    real = deepface_folder.embedded
    monkeypatch.setattr(deepface_folder, "embedded", lambda source, *rest: (embedded_now.append(str(source)), real(source, *rest))[1])
    assert DeepFace.find(probe, str(people), **kind)[0] == first
    assert embedded_now == [probe]  # the folder's vectors were kept
    (people / "more" / "biden.jpg").unlink()
    shutil.copyfile(folder / "obama_small.jpg", people / "new.jpg")
    (people / "no-picture.jpg").write_bytes(b"none")
    embedded_now.clear()
    second = DeepFace.find(probe, str(people), **kind)[0]
    assert sorted(embedded_now) == sorted([probe, str(people / "new.jpg"), str(people / "no-picture.jpg")])
    assert (second[0]["identity"], second[0]["distance"]) == (str(people / "new.jpg"), pytest.approx(0, abs=1e-5))
    assert (second[-1]["identity"], second[-1]["distance"], second[-1]["confidence"]) == (str(people / "no-picture.jpg"), math.inf, 0.0)
    assert not any(row["identity"].endswith("biden.jpg") for row in second)
    (people / "new.jpg").unlink()
    assert any(row["identity"].endswith("new.jpg") for row in DeepFace.find(probe, str(people), refresh_database=False, **kind)[0])
    store = next(people.glob("*.npz"))
    assert store.stat().st_mode & 0o077 == 0
    store.write_bytes(store.read_bytes()[:200])  # damaged: embedded again
    assert DeepFace.find(probe, str(people), **kind)[0][0] == first[0]


@pytest.mark.shared
@pytest.mark.assets
def test_find_in_a_folder_that_cannot_be_written(people: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(compat, "_said", set())
    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.warns(CompatWarning, match="cannot be written"):
        found = DeepFace.find(str(folder / "obama_small.jpg"), str(people), return_type="dict", **USUAL)
    assert found[0]
    assert not list(people.glob("*.npz"))


@pytest.mark.shared
@pytest.mark.assets
def test_register_and_search_have_deepfaces_keys(folder: Path, tmp_path: Path) -> None:
    import faceworks

    store = {"database_type": "hdf5", "connection_details": str(tmp_path / "people.h5")}
    pair = str(folder / "obama-240p.jpg"), str(folder / "two_people.jpg")
    theirs = GOLDEN["search"]
    assert DeepFace.register(pair[0], **store, **USUAL) == theirs["register"]
    assert DeepFace.register(pair[1], img_name="two", **store, **USUAL) == theirs["register two"]
    assert DeepFace.register(pair[0], **store, **USUAL) == theirs["register again"]
    probe = str(folder / "obama_small.jpg")
    for kind, more in (("plain", {}), ("all", {"similarity_search": True}), ("first", {"similarity_search": True, "k": 1})):
        rows = DeepFace.search(probe, return_type="dict", **more, **store, **USUAL)
        same_in_order(shape(rows), theirs[f"{kind}, dict"])
        assert len(rows[0]) == theirs[kind]["rows"]
    assert rows[0][0]["img_name"] == pair[0]
    assert rows[0][0]["distance"] == pytest.approx(DeepFace.verify(probe, pair[0], **USUAL)["distance"], abs=2e-6)
    for metric in ("euclidean", "angular", "euclidean_l2"):
        found = DeepFace.search(probe, distance_metric=metric, similarity_search=True, k=1, return_type="dict", **store, **USUAL)[0][0]
        wanted = DeepFace.verify(probe, pair[0], distance_metric=metric, threshold=1.0, **USUAL)["distance"]
        assert found["distance"] == pytest.approx(wanted, rel=1e-5)
    ann = DeepFace.search(probe, search_method="ann", l2_normalize=True, return_type="dict", **store, **USUAL)[0]
    assert (ann[0]["distance_metric"], ann[0]["img_name"]) == ("cosine", pair[0])
    with faceworks.open_gallery(tmp_path / "people.h5", "r") as gallery:  # and everything else of faceworks opens it
        assert gallery.identify([probe])[0][0].person == pair[0]
        again = DeepFace.search(probe, connection=gallery, return_type="dict", **USUAL)
        assert again == DeepFace.search(probe, return_type="dict", **store, **USUAL)
        assert len(gallery) == 2  # an open gallery that was handed in stays open
    with pytest.raises(FaceworksError, match="holds vectors of"):
        DeepFace.register(pair[0], model_name="SFace", detector_backend="yunet", align=False, **store)


@pytest.mark.shared
@pytest.mark.assets
def test_search_tables(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("pandas", reason="tables need the extra study")
    store = {"database_type": "hdf5", "connection_details": str(tmp_path / "people.h5")}
    DeepFace.register([str(folder / "obama-240p.jpg"), str(folder / "two_people.jpg")], **store, **USUAL)
    table = DeepFace.search(str(folder / "obama_small.jpg"), return_type="pandas", **store, **USUAL)[0]
    same_in_order(frame(table), GOLDEN["search"]["plain"]["columns"])
    nobody = DeepFace.search(str(folder / "knn_examples/train/rose_leslie/img1.jpg"), return_type="pandas", **store, **USUAL)[0]
    assert nobody.empty
    assert list(nobody.columns) == list(table.columns)


def test_searches_refuse_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    with pytest.raises(InputError, match="no folder"):
        DeepFace.find("a.jpg", str(tmp_path / "none"), **USUAL)
    with pytest.raises(InputError, match="is an address"):
        DeepFace.find("a.jpg", "s3://bucket/people", **USUAL)
    with pytest.raises(InputError, match="datastore_format"):
        DeepFace.find("a.jpg", str(tmp_path), datastore_format="pickle", **USUAL)
    with pytest.raises(InputError, match="return_type"):
        DeepFace.find("a.jpg", str(tmp_path), return_type="list", **USUAL)
    with pytest.raises(InputError, match="needs a threshold"):
        DeepFace.find("a.jpg", str(tmp_path), distance_metric=lambda x, y: 0.0, **USUAL)
    with pytest.raises(InputError, match="search_method"):
        DeepFace.search("a.jpg", search_method="guess", **USUAL)
    with pytest.raises(ConfigError, match="known: postgres, pgvector, milvus, hdf5"):
        DeepFace.register(str(tmp_path), database_type="oracle", **USUAL)
    with pytest.raises(ConfigError, match=r"postgresql://user@host/database"):
        DeepFace.register(str(tmp_path), **USUAL)
    with pytest.raises(ConfigError, match=r"open faceworks\.Gallery"):
        DeepFace.register(str(tmp_path), connection=object(), **USUAL)
    from faceworks.compat import deepface_folder, deepface_gallery
    from faceworks.errors import MissingDependency

    given = {"host": "db", "port": 5433, "user": "me@x", "password": "p/w", "dbname": "faces"}
    assert deepface_gallery._address("postgres", given) == "postgresql://me%40x:p%2Fw@db:5433/faces"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert deepface_folder.return_kind(None) == "dict"
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(MissingDependency, match=r"faceworks\[study\]"):
        deepface_folder.return_kind("pandas")


# --- analyze -----------------------------------------------------------------------------------------------------------------------------------


def plain_floats(value: Any) -> Any:
    """deepface's distributions hold NumPy's float64 (a float), ours floats."""
    return json.loads(json.dumps(value).replace('"float64"', '"float"'))


@pytest.mark.shared
@pytest.mark.assets
def test_analyze_has_deepfaces_keys_in_its_order(pair: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    from conftest import need
    from faceworks.compat import deepface_attributes

    need("emotion-mini-xception", "age-cydral", "gender-cydral")
    age_first = DeepFace.analyze(pair[0], actions=("age", "emotion"), detector_backend="yunet")
    same_in_order(shape(age_first), plain_floats(GOLDEN["analyze"]["age first"]))
    same_in_order(shape(DeepFace.analyze(pair[0], actions="gender", detector_backend="yunet")), plain_floats(GOLDEN["analyze"]["one"]))
    # race as a model would say it: the keys and their order are deepface's
    labels = {"white": 0.2, "black": 0.5, "asian": 0.2, "indian": 0.05, "other": 0.05}
    real = deepface_attributes.get_analyzer

    class WithRace:
        def __init__(self, wanted: Any, models: Any) -> None:
            self.inner = real([name for name in wanted if name != "race"])

        def analyze_faces(self, pictures: Any, faces: Any) -> Any:
            from faceworks.types import Categorical, FaceResult

            race = Categorical("black", labels)
            return [
                [FaceResult(item.face, None, {**item.attributes, "race": race}) for item in group]
                for group in self.inner.analyze_faces(pictures, faces)
            ]

    monkeypatch.setattr(deepface_attributes, "get_analyzer", WithRace)
    monkeypatch.setattr(deepface_attributes, "_race_model", lambda: "a-card")
    answer = DeepFace.analyze(pair[0], detector_backend="yunet")
    same_in_order(shape(answer), plain_floats(GOLDEN["analyze"]["all"]))
    for name in ("emotion", "gender", "race"):
        assert sum(answer[0][name].values()) == pytest.approx(100)
        assert answer[0][f"dominant_{name}"] == max(answer[0][name], key=answer[0][name].get)
    assert answer[0]["dominant_race"] == "black"
    assert answer[0]["race"]["black"] == pytest.approx(100 * 0.5 / 0.95)
    assert answer[0]["dominant_gender"] == "Man"
    assert 30 <= answer[0]["age"] <= 70
    both = DeepFace.analyze(list(pair), actions=["age"], detector_backend="yunet")
    assert [len(item) for item in both] == [1, 1]


def test_analyze_refuses_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    from faceworks.compat import deepface_attributes

    with pytest.raises(InputError, match="invalid action 'mood'"):
        DeepFace.analyze("a.jpg", actions=["mood"])
    with pytest.raises(InputError, match="list of strings"):
        DeepFace.analyze("a.jpg", actions=[])
    monkeypatch.setattr(deepface_attributes, "provides", lambda card: ())
    with pytest.raises(ConfigError, match=r"actions=\['emotion', 'age', 'gender'\]"):
        DeepFace.analyze("a.jpg")
