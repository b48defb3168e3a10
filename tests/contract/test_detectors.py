"""What every detector keeps: batch equals single, order does not matter, any picture is answered, and faces at hard places behave as stated.

Stated behavior, tested below:
- no face, 1x1, one row, one column: an empty list, no error;
- a face half outside the picture is found, and its box may leave the picture (detectors that cut boxes cut them);
- a face of 12 px is found by the detectors in `TINY`, and by none else, at their own scores (in one picture: a fact, not a promise);
- a face turned by 90° is no promise of any detector: the rotations of the retry ladder are for it, also where a lying face was found with wrong points;
- a picture of 100 megapixels is shrunk to the detector's input size, so that a 100-px face in it is lost to the plain run; the step "tile" finds it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest

from conftest import ROOT, need
from faceworks import cards, geometry, image, settings, similarity
from faceworks.detect import ADAPTERS, Detector, load_detector
from faceworks.detect.letterbox import Decoded, one_shot
from faceworks.detect.retry import with_retry
from faceworks.errors import ModelError
from faceworks.pipeline import Pipeline, PipelineSpec
from faceworks.runtime import SessionOptions, open_session
from faceworks.types import Face

pytestmark = pytest.mark.assets
MIRRORED = ["yunet-2023mar", "scrfd-500m", "scrfd-2.5g", "ultralight-rfb320"]
NAMES = [
    "yunet-2023mar-int8bq", "retinaface-mnet025", "scrfd-2.5g-bnkps", "mtcnn", "mtcnn-facenet", "ssd-res10", "centerface", "haar-frontalface", "blazeface-short",
    *MIRRORED,
]  # fmt: skip
TINY = {
    "yunet-2023mar-int8bq", "yunet-2023mar", "scrfd-2.5g", "scrfd-2.5g-bnkps", "mtcnn", "mtcnn-facenet", "centerface", "ultralight-rfb320",
}  # fmt: skip
Pictures = Mapping[str, np.ndarray]


@pytest.fixture(autouse=True)
def mirror(request: pytest.FixtureRequest) -> Iterator[None]:
    folder = next((path for path in (ROOT.parent / "shared/weights", ROOT.parent.parent / "shared/weights") if path.is_dir()), None)
    name = request.node.callspec.params.get("name") if hasattr(request.node, "callspec") else None
    if folder is None and name in MIRRORED:
        pytest.skip("../shared/weights is absent, and no registry has this file")
    with settings.use(mirrors=(*settings.current().mirrors, *([folder] if folder else []))):
        if name:
            need(name)
        yield


@cache
def detector(name: str) -> Detector:
    return load_detector(name)


def scene(portrait: np.ndarray, height: int, x: int, y: int, size: tuple[int, int]) -> np.ndarray:
    """A portrait at a height on a gray ground; parts outside are cut."""
    small = image.resize(portrait, (height, round(portrait.shape[1] * height / portrait.shape[0])))
    canvas = np.full((*size, 3), 128, np.uint8)
    top, left = max(0, -y), max(0, -x)
    part = canvas[max(0, y) : y + height, max(0, x) : x + small.shape[1]]
    part[:] = small[top : top + part.shape[0], left : left + part.shape[1]]
    return canvas


def same(a: list[Face], b: list[Face], pixels: float = 0.01) -> None:
    assert len(a) == len(b)
    for one, two in zip(a, b, strict=True):
        assert np.abs(one.box - two.box).max() <= pixels
        assert abs(one.score - two.score) <= 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_gives_what_single_pictures_give(name: str, pictures: Pictures) -> None:
    """Pictures of equal and of different sizes, in another order, and twice."""
    two = [pictures["person_b_1"], np.ascontiguousarray(pictures["person_b_1"][:, ::-1])]
    several = [*two, pictures["person_a_1"], np.zeros((40, 50, 3), np.uint8), two[0]]
    single = [detector(name).detect([picture])[0] for picture in several]
    for got, want in zip(detector(name).detect(several), single, strict=True):
        same(got, want)
    for got, want in zip(detector(name).detect(several[::-1]), single[::-1], strict=True):
        same(got, want)
    assert len(single[0]) >= 1
    assert detector(name).detect([]) == []


@pytest.mark.parametrize("name", ["yunet-2023mar-int8bq", "retinaface-mnet025", "ssd-res10"])
def test_many_pictures_spread_over_threads_give_what_single_ones_give(name: str, pictures: Pictures) -> None:
    """From eight on, each thread of the session takes its own pictures: the same faces in the same order, and an error is raised as such."""
    spread = load_detector(name, SessionOptions("cpu", threads=2))
    portrait = pictures["person_b_1"]
    several = [scene(portrait, 90 + 20 * k, 5 * k, 3 * k, (260 + 10 * k, 300)) for k in range(9)] + [np.zeros((40, 50, 3), np.uint8)]
    single = [spread.detect([picture])[0] for picture in several]
    assert sum(map(len, single)) >= 5
    for got, want in zip(spread.detect(several), single, strict=True):
        same(got, want, pixels=1e-4)


def test_an_error_among_many_pictures_is_raised_as_such(pictures: Pictures) -> None:
    card = cards.get("yunet-2023mar-int8bq")

    def odd(tensors: list[np.ndarray], size: tuple[int, int]) -> Decoded:
        raise ModelError("odd outputs")

    with pytest.raises(ModelError, match="odd outputs"):
        one_shot(card, open_session(card, options=SessionOptions("cpu", threads=2)), [pictures["person_b_1"]] * 9, odd)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (13, 11), (64, 64)])
def test_pictures_without_a_face(name: str, size: tuple[int, int]) -> None:
    gray = np.full((*size, 3), 90, np.uint8)
    assert detector(name).detect([gray, np.zeros((*size, 3), np.uint8)]) == [[], []]


@pytest.mark.parametrize("name", NAMES)
def test_order_scores_and_names(name: str, pictures: Pictures) -> None:
    (faces,) = detector(name).detect([scene(pictures["person_b_1"], 400, 100, 50, (500, 640))])
    scores = [face.score for face in faces]
    assert scores == sorted(scores, reverse=True)
    assert {face.detector for face in faces} == {name}
    assert min(scores) >= float(cards.get(name).decode["min_score"])


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("haar-frontalface", "ssd-res10", "blazeface-short")])
@pytest.mark.parametrize("side", ["left", "right", "top", "bottom"])
def test_faces_at_the_edge(name: str, side: str, pictures: Pictures) -> None:
    """A quarter of the face is outside; the box found covers most of what is inside, and coordinates keep their meaning."""
    portrait = pictures["person_b_1"]
    whole = scene(portrait, 400, 150, 60, (520, 640))
    x1, y1, x2, y2 = detector("yunet-2023mar-int8bq").detect([whole])[0][0].box.tolist()
    across, along = round((x2 - x1) / 4), round((y2 - y1) / 4)
    x = {"left": -round(x1) - across + 150, "right": 640 - round(x2) + across + 150}.get(side, 150)
    y = {"top": -round(y1) - along + 60, "bottom": 520 - round(y2) + along + 60}.get(side, 60)
    (faces,) = detector(name).detect([scene(portrait, 400, x, y, (520, 640))])
    assert faces, "the face was not found"
    truth = np.array([[x1 + x - 150, y1 + y - 60, x2 + x - 150, y2 + y - 60]])
    inside = geometry.clip_boxes(truth, (520, 640))
    overlaps = geometry.iou(geometry.clip_boxes(np.stack([face.box for face in faces]), (520, 640)), inside)
    assert overlaps.max() >= 0.5, f"{np.round(faces[0].box).tolist()} instead of about {np.round(truth[0]).tolist()}"


@pytest.mark.parametrize("name", NAMES)
def test_faces_of_twelve_pixels(name: str, pictures: Pictures) -> None:
    """A face box of 12 x 16 px in a picture of 320 x 240, at the detector's own score."""
    picture = scene(pictures["person_b_1"], 36, 150, 100, (240, 320))
    (faces,) = detector(name).detect([picture])
    near = [face for face in faces if 150 <= face.box[0] <= 170 and 100 <= face.box[1] <= 125]
    assert bool(near) == (name in TINY), [np.round(face.box).tolist() for face in faces]


@pytest.mark.parametrize("name", ["yunet-2023mar-int8bq", "retinaface-mnet025", "haar-frontalface", "mtcnn", "centerface", "scrfd-500m"])
@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_the_ladder_turns_pictures_back(name: str, quarters: int, pictures: Pictures) -> None:
    """A portrait turned clockwise by quarters: the step that turns it back gives the upright picture's box, also where the plain run finds a face."""
    height, width = pictures["person_b_1"].shape[:2]
    upright = detector(name).detect([pictures["person_b_1"]])[0][0]
    picture = np.ascontiguousarray(np.rot90(pictures["person_b_1"], -quarters))
    (faces,) = with_retry(name, ("rotate90", "rotate180", "rotate270")).detect([picture])
    assert faces[0].found_by == (f"rotate{90 * quarters}" if quarters else "")
    x1, y1, x2, y2 = upright.box.tolist()
    want = [
        [x1, y1, x2, y2],
        [height - 1 - y2, x1, height - 1 - y1, x2],
        [width - 1 - x2, height - 1 - y2, width - 1 - x1, height - 1 - y1],
        [y1, width - 1 - x2, y2, width - 1 - x1],
    ]
    assert np.abs(faces[0].box - want[quarters]).max() <= 0.5
    if upright.landmarks is not None and faces[0].landmarks is not None:
        eyes = faces[0].landmarks.points[1] - faces[0].landmarks.points[0]
        angle = np.degrees(np.arctan2(eyes[1], eyes[0]))
        assert abs((angle - 90 * quarters + 180) % 360 - 180) < 15, f"the eye line lies at {angle:.0f} degrees"


@pytest.mark.parametrize("name", ["yunet-2023mar-int8bq"])
@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_turned_portraits_verify_through_the_ladder(name: str, quarters: int, pictures: Pictures) -> None:
    """Six portraits, turned: their crops are those of the upright ones, to the embedder."""
    spec = PipelineSpec(detector=name, retry=("rotate90", "rotate180", "rotate270"))
    turned = [np.ascontiguousarray(np.rot90(picture, -quarters)) for picture in pictures.values()]
    for (want,), (got,) in zip(Pipeline(PipelineSpec(detector=name)).embed(list(pictures.values())), Pipeline(spec).embed(turned), strict=True):
        assert got.face.found_by == f"rotate{90 * quarters}"
        assert similarity.similarity(want.embedding.vector, got.embedding.vector) > 0.98


@pytest.mark.slow
@pytest.mark.parametrize("name", ["yunet-2023mar-int8bq", "mtcnn-facenet", "haar-frontalface"])
def test_a_panorama_of_a_hundred_megapixels(name: str, pictures: Pictures) -> None:
    """The plain run answers in bounded time and memory; a 300-px face in 20,000 x 5,000 px is lost to one look at 640 px."""
    panorama = np.zeros((5000, 20000, 3), np.uint8)
    panorama[2000:2400, 9000:9318] = image.resize(pictures["person_b_1"], (400, 318))
    (faces,) = detector(name).detect([panorama])
    if name == "yunet-2023mar-int8bq":
        assert faces == []
        (faces,) = with_retry(name, ("tile",)).detect([panorama])
        assert [face.found_by for face in faces] == ["tile"]
    assert any(9000 <= face.box[0] <= 9318 and 2000 <= face.box[1] <= 2400 for face in faces)


@pytest.mark.parametrize("name", ["yunet-2023mar-int8bq", "mtcnn-facenet", "haar-frontalface"])
def test_threads_share_a_detector(name: str, pictures: Pictures) -> None:
    want = detector(name).detect([pictures["person_b_1"]])[0]
    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(lambda _: detector(name).detect([pictures["person_b_1"]])[0], range(8)):
            same(got, want)


def test_whole_takes_the_picture_for_a_face() -> None:
    (faces,) = load_detector("whole").detect([np.zeros((30, 20, 3), np.uint8)])
    assert [face.box.tolist() for face in faces] == [[0, 0, 20, 30]]
    assert faces[0].landmarks is None


def test_every_card_names_an_adapter() -> None:
    unknown = {name: cards.get(name).adapter for name in cards.names("detect") if cards.get(name).adapter not in ADAPTERS}
    assert unknown == {}
