"""`faceworks.draw`: marks where they belong, labels inside the picture, no empty boxes for letters."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path

import numpy as np
import pytest

from faceworks.errors import ConfigError, ImageError, InputError
from faceworks.types import Face, Landmarks

drawing = importlib.import_module("faceworks.draw")  # the package's `draw` is the function
GREEN = (0, 220, 110)


def gray(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


def face_in(height: int, width: int) -> Face:
    points = np.array([[0.4, 0.4], [0.6, 0.4], [0.5, 0.5], [0.42, 0.6], [0.58, 0.6]]) * [width, height]
    return Face([0.25 * width, 0.25 * height, 0.75 * width, 0.75 * height], 0.9, Landmarks(points))


def where(picture: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    return (picture == np.array(color)).all(axis=2)


def label_box(picture: np.ndarray, plain: np.ndarray) -> tuple[int, int, int, int]:
    """x1, y1, x2, y2 of what the label changed."""
    y, x = np.nonzero((picture != plain).any(axis=2))
    return int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1


@pytest.mark.parametrize("size", [(20, 20), (64, 64), (480, 640), (1440, 1920), (3000, 200)])
def test_marks_scale_with_the_picture(size: tuple[int, int]) -> None:
    picture = gray(*size)
    face = face_in(*size)
    plain = drawing.draw(picture, [face])
    assert plain.shape == picture.shape
    assert plain.dtype == np.uint8
    assert plain.flags.writeable
    assert (picture == 128).all(), "the input was changed"
    row = where(plain, GREEN)[size[0] // 3]  # through the upright sides of the box
    thickness = max(1, round((size[0] * size[1]) ** 0.5 / 350))
    assert row[: size[1] // 2].sum() == thickness
    for x, y in face.landmarks.points:
        assert plain[round(float(y)), round(float(x))].tolist() != [128] * 3
    labelled = drawing.draw(picture, [face], ["Ada 0.93"])
    x1, y1, x2, y2 = label_box(labelled, plain)
    assert 0 <= x1 < x2 <= size[1]
    assert 0 <= y1 < y2 <= size[0]
    if min(size) >= 64:
        assert y2 - y1 >= 11
        assert labelled[y1:y2, x1:x2].max(axis=2).min() < 110, "no letters"


def test_boxes_are_drawn_at_pixel_centers() -> None:
    picture = drawing.draw(gray(90, 90), [Face([20, 30, 60, 70], 0.5)])
    assert where(picture, GREEN)[30, 25:55].all()
    assert where(picture, GREEN)[35:65, 60].all()
    assert where(picture, GREEN).sum() == 2 * (41 + 39)  # one pixel wide, without a casing in so small a picture
    assert (picture[28, 25:55] == 128).all()
    assert (picture[40, 40] == 128).all()


OUTSIDE = [[-500, -500, -400, -400], [-1e9, -1e9, 1e9, 1e9], [630, 470, 900, 900], [0, 0, 640, 480], [-30, 200, 40, 300], [50, 50, 20, 20]]


@pytest.mark.parametrize("box", OUTSIDE)
def test_labels_stay_inside(box: list[float]) -> None:
    picture = gray(480, 640)
    face = Face(box, 0.5)
    plain = drawing.draw(picture, [face])
    for label in ("someone", "x" * 3000, "two\nlines"):
        x1, y1, x2, y2 = label_box(drawing.draw(picture, [face], [label]), plain)
        assert 0 <= x1 < x2 <= 640
        assert 0 <= y1 < y2 <= 480


def test_labels_avoid_each_other_and_the_face() -> None:
    faces = [Face([100, 100, 200, 200], 0.5), Face([110, 100, 210, 200], 0.5)]
    picture = gray(400, 400)
    one = drawing.draw(picture, faces, ["first label", None])
    both = drawing.draw(picture, faces, ["first label", "second label"])
    first = label_box(one, drawing.draw(picture, faces))
    second = label_box(both, one)
    assert second[1] >= first[3] or second[3] <= first[1] or second[0] >= first[2] or second[2] <= first[0]
    small = gray(64, 64)
    face = Face([19, 17, 45, 51], 0.5)
    _, y1, _, y2 = label_box(drawing.draw(small, [face], ["Jane"]), drawing.draw(small, [face]))
    assert y2 <= 18 or y1 >= 50


def test_many_points_are_small() -> None:
    points = np.stack(np.meshgrid(np.linspace(150, 250, 17), np.linspace(150, 250, 4)), axis=-1).reshape(68, 2)
    picture = drawing.draw(gray(400, 400), [Face([140, 140, 260, 260], 0.5, Landmarks(points, "ibug68"))])
    inner = picture[145:256, 145:256]
    assert 68 <= (inner != 128).any(axis=2).sum() < 68 * 20, "the points run together"
    assert np.array_equal(
        drawing.draw(gray(400, 400), [Face([140, 140, 260, 260], 0.5)]),
        drawing.draw(gray(400, 400), [Face([140, 140, 260, 260], 0.5, Landmarks(points, "ibug68"))], landmarks=False),
    )


def test_colors() -> None:
    faces = [Face([20, 40, 90, 120], 0.5), Face([150, 40, 220, 120], 0.5)]
    picture = drawing.draw(gray(200, 300), faces, ["a", "b"], color=[(255, 0, 0), (0, 0, 255)])
    assert where(picture, (255, 0, 0))[:, :140].any()
    assert not where(picture, (255, 0, 0))[:, 140:].any()
    assert where(picture, (0, 0, 255))[:, 140:].any()
    assert where(drawing.draw(gray(200, 300), faces, color=(1, 2, 3)), (1, 2, 3)).any()


# --- letters -------------------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def latin_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without any font but Pillow's own, that has not warned yet."""
    monkeypatch.setattr(drawing, "_system_fonts", tuple)
    monkeypatch.setattr(drawing, "_warned", [])


@pytest.mark.usefixtures("latin_only")
def test_letters_without_a_font_are_spelled_out_and_said_once() -> None:
    with pytest.warns(UserWarning, match=r"no font here can draw '.*국.*fonts-noto-cjk"):
        text, _ = drawing._writable("한국어 Ada 漢", 20, None)
    assert text == "hangukeo Ada U+6F22"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert drawing._writable("김민준", 20, None)[0] == "gimminjun"  # said once
        assert drawing._writable("Zoë 0.93 ±", 20, None)[0] == "Zoe 0.93 ±"  # Pillow's font has ± and no ë
        assert drawing._writable("a\u200bb\x07", 20, None)[0] == "ab"
        assert drawing._writable("Zoe\u0308", 20, None)[0] == "Zoe"


def test_romanization() -> None:
    """Syllables by Unicode's formula: 0xAC00 + 588 initial + 28 vowel + final; spellings of the National Institute of Korean Language."""
    names = {"서울": "seoul", "부산": "busan", "제주": "jeju", "값": "gap", "뷁": "bwek", "힣": "hit", "가": "ga"}
    for korean, latin in names.items():
        assert "".join(drawing._plain(c) for c in korean) == latin
    assert drawing._plain("é") == "e"
    assert drawing._plain("漢") == "U+6F22"


def test_a_system_font_with_the_letters_is_used() -> None:
    fonts = [font for font in drawing._system_fonts() if drawing._has(font, "한")]
    if not fonts:
        pytest.skip("no font with Hangul on this machine")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert drawing._writable("한국어", 20, None)[0] == "한국어"


@pytest.mark.usefixtures("latin_only")
def test_missing_glyphs_are_recognized() -> None:
    assert all(drawing._has("", c) for c in "AZaz09.,!%~")
    assert not any(drawing._has("", c) for c in "é한漢あ\uffff\U0010ffff")


def test_fonts_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.ttf").write_bytes(b"no font")
    for font in (str(tmp_path / "a.ttf"), str(tmp_path / "none.ttf")):
        with pytest.raises(ConfigError, match="cannot read the font"):
            drawing.draw(gray(100, 100), [face_in(100, 100)], ["a"], font=font)


@pytest.mark.parametrize("label", ["", " ", "\n", "\n\n\n", "\t", "\0", "\ud800", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl", "e" + "\u0301" * 500])
def test_strange_labels(label: str) -> None:
    assert drawing.draw(gray(60, 60), [face_in(60, 60)], [label]).shape == (60, 60, 3)


# --- sheets --------------------------------------------------------------------------------------------------------------------------------------


def test_side_by_side() -> None:
    row = drawing.side_by_side([gray(100, 50), gray(200, 300)], ["left", None])
    assert row.shape[1] > 100 + 300
    assert row.shape[0] > 200
    assert (row[0] == 255).all()
    assert where(row, (128, 128, 128)).sum() >= 200 * 100 + 200 * 300
    assert drawing.side_by_side([gray(100, 50)], height=40).shape[0] < 100
    assert drawing.side_by_side([gray(3000, 20)]).shape[0] < 1200


def test_grid() -> None:
    sheet = drawing.grid([gray(50, 50)] * 5, [f"p{i}" for i in range(5)], cell=(40, 60))
    assert where(sheet, (128, 128, 128)).sum() == pytest.approx(5 * 40 * 40, abs=400)  # letters are gray at their edges
    assert drawing.grid([gray(50, 50)] * 5, columns=5).shape[1] > 5 * 160
    assert drawing.grid([gray(1, 500), gray(500, 1)]).shape[2] == 3


def test_errors() -> None:
    with pytest.raises(InputError, match="2 labels for 1 faces"):
        drawing.draw(gray(9, 9), [face_in(9, 9)], ["a", "b"])
    with pytest.raises(InputError, match="2 colors for 1 faces"):
        drawing.draw(gray(9, 9), [face_in(9, 9)], color=[(1, 2, 3), (4, 5, 6)])
    for color in ((1, 2), (1, 2, 300), (0.5, 0.5, 0.5), "red"):
        with pytest.raises(InputError, match="a color is three integers"):
            drawing.draw(gray(9, 9), [face_in(9, 9)], color=color)
    with pytest.raises(ImageError, match="float"):
        drawing.draw(np.full((9, 9, 3), 77.0), [])
    for make in (drawing.grid, drawing.side_by_side):
        with pytest.raises(InputError, match="at least one picture"):
            make([])
        with pytest.raises(InputError, match="2 captions for 1 pictures"):
            make([gray(9, 9)], ["a", "b"])
