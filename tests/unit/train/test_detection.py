"""RetinaFace's training: labels, augmentation, matching, the four terms, the mesh, and an overfit on made faces."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceworks import image
from faceworks.errors import ConfigError, ManifestError

torch = pytest.importorskip("torch", reason="training needs torch")

from faceworks.detect.retinaface import priors  # noqa: E402
from faceworks.train import boxes as labels  # noqa: E402
from faceworks.train import read_config, scenes, train  # noqa: E402
from faceworks.train.config import AugmentConfig  # noqa: E402
from faceworks.train.losses import detection as loss  # noqa: E402
from faceworks.train.losses import mesh  # noqa: E402

POINTS = np.array([[12, 14], [20, 14], [16, 19], [13, 24], [19, 24]], np.float32)


def faces(*boxes, points=None, ignore=()) -> labels.FaceLabels:
    rows = [(box, None if points is None else points[k], 0, k in ignore) for k, box in enumerate(boxes)]
    return labels.make_faces(rows)


def picture(path: Path, side: int = 32) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, np.zeros((side, side, 3), np.uint8))
    return path


# --- labels ----------------------------------------------------------------------------------------------------------------------------------


def _row(box, flags, tail=""):
    return (
        " ".join([*map(str, box), *(f"{x} {y} {flag}" if flag != -1 else "-1 -1 -1" for (x, y), flag in zip(POINTS, flags, strict=True))])
        + f" {tail}"
    )


def test_retinafaces_list_gives_points_levels_and_what_is_ignored(tmp_path):
    picture(tmp_path / "images" / "a" / "b.jpg")
    rows = [
        "# a/b.jpg",
        _row((8, 8, 16, 20), [0] * 5, "0.82"),
        _row((8, 8, 16, 20), [0, 0, 1, 0, 0], "0.4"),
        _row((2, 2, 4, 4), [-1] * 5, "0.1"),
        _row((8, 8, 16, 20), [0] * 5, "0.9 2"),
        "1 2 3 4",
        _row((8, 8, 0, 20), [0] * 5, "0.9"),
    ]
    (tmp_path / "label.txt").write_text("\n".join(rows) + "\n")
    (item,) = labels.read_wider(tmp_path / "label.txt", tmp_path / "images", ignore_levels=(4,))
    found = item.faces
    np.testing.assert_array_equal(found.levels, [3, 4, 5, 2, 0, 3])
    np.testing.assert_array_equal(found.ignore, [False, True, False, False, False, True])
    np.testing.assert_array_equal(np.isnan(found.points).all(axis=(1, 2)), [False, False, True, False, True, False])
    np.testing.assert_array_equal(found.boxes[0], [8, 8, 24, 28])
    np.testing.assert_array_equal(found.points[0], POINTS)


def test_widers_own_list_with_invalid_faces_and_pictures_without(tmp_path):
    for name in ("a/b.jpg", "a/c.jpg", "a/d.jpg", "a/e.jpg"):
        picture(tmp_path / name)
    text = "a/b.jpg\n2\n1 2 10 12 0 0 0 0 0 0\n5 5 3 3 2 0 0 1 0 0\na/c.jpg\n0\n0 0 0 0 0 0 0 0 0 0\na/d.jpg\n0\na/e.jpg\n1\n1 1 9 9 0 0 0 0 0 0\n"
    (tmp_path / "list.txt").write_text(text)
    found = labels.read_wider(tmp_path / "list.txt", tmp_path)
    assert [len(item.faces) for item in found] == [2, 0, 0, 1]
    np.testing.assert_array_equal(found[0].faces.ignore, [False, True])
    np.testing.assert_array_equal(found[0].faces.boxes[0], [1, 2, 11, 14])


@pytest.mark.parametrize(
    ("text", "why", "line"),
    [
        ("# a.jpg\n1 2 3\n", "4, 19, 20 or 21", 2),
        ("# a.jpg\n1 2 3 x\n", "numbers", 2),
        ("# a.jpg\n" + _row((1, 1, 9, 9), [0] * 5, "0.5 6") + "\n", "1 to 5", 2),
        ("a.jpg\n2\n1 1 9 9 0 0 0 0 0 0\n", "10 numbers", 4),
        ("a.jpg\nmany\n", "number of faces", 2),
        ("# ../a.jpg\n1 2 3 4\n", "no path below", None),
        ("# gone.jpg\n1 2 3 4\n", "not below", None),
    ],
)
def test_a_wrong_label_is_named(tmp_path, text, why, line):
    picture(tmp_path / "a.jpg")
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(ManifestError, match=why) as caught:
        labels.read_wider(tmp_path / "list.txt", tmp_path)
    assert caught.value.line == line


def test_imglab_gives_five_of_68_points(tmp_path):
    picture(tmp_path / "p.jpg")
    parts = "".join(f"<part name='{k:02d}' x='{k}' y='{2 * k}'/>" for k in range(68))
    body = f"<box top='3' left='4' width='10' height='12'>{parts}</box><box top='1' left='1' width='5' height='5' ignore='1'/>"
    (tmp_path / "x.xml").write_text(f"<dataset><images><image file='p.jpg'>{body}</image></images></dataset>")
    (item,) = labels.read_imglab(tmp_path / "x.xml")
    np.testing.assert_array_equal(item.faces.boxes[0], [4, 3, 14, 15])
    np.testing.assert_allclose(item.faces.points[0][:, 0], [38.5, 44.5, 30, 48, 54])
    np.testing.assert_array_equal(item.faces.ignore, [False, True])
    (tmp_path / "x.xml").write_text("<dataset>")
    with pytest.raises(ManifestError, match="imglab"):
        labels.read_imglab(tmp_path / "x.xml")


# --- augmentation ----------------------------------------------------------------------------------------------------------------------------


def spotted(side: int, points) -> np.ndarray:
    """A black picture with one pixel of its own brightness at each point."""
    pixels = np.zeros((side, side, 3), np.uint8)
    for k, (x, y) in enumerate(np.round(points).astype(int)):
        pixels[y, x] = 50 + 40 * k
    return pixels


def test_mirroring_keeps_every_point_on_its_pixel_and_swaps_sides():
    own = faces([8, 8, 24, 28], points=[POINTS])
    mirrored = scenes.mirror_faces(own, 32)
    pixels = spotted(32, POINTS)[:, ::-1]
    values = [int(pixels[int(y), int(x), 0]) for x, y in mirrored.points[0]]
    assert values == [90, 50, 130, 210, 170], "left eye and right eye, left and right corner change names; the nose stays"
    assert mirrored.points[0][0, 0] < mirrored.points[0][1, 0], "the first eye is the one that the viewer sees left"
    np.testing.assert_array_equal(mirrored.boxes, [[8, 8, 24, 28]])
    again = scenes.mirror_faces(mirrored, 32)
    np.testing.assert_array_equal(again.points, own.points)
    np.testing.assert_array_equal(scenes.mirror_faces(faces([1, 2, 11, 12]), 32).boxes, [[21, 2, 31, 12]])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.booleans())
def test_points_stay_on_their_pixels_whatever_is_drawn(seed, mirror):
    """Pieces at their own size (no resampling): the brightness under each point is the one it was marked with."""
    rng = np.random.default_rng(seed)
    size = 64
    points = np.array([[30, 40], [44, 40], [37, 47], [31, 54], [43, 54]], np.float32) + rng.integers(-8, 8, 2)
    pixels = np.zeros((96, 128, 3), np.uint8)
    for k, (x, y) in enumerate(points.astype(int)):
        pixels[y, x] = 50 + 40 * k
    own = faces([points[:, 0].min() - 4, points[:, 1].min() - 4, points[:, 0].max() + 4, points[:, 1].max() + 4], points=[points])
    changed, found = scenes.change_scene(pixels, own, size, (64 / 96,), AugmentConfig(mirror=mirror), rng)
    if not len(found):
        return
    order = [50 + 40 * k for k in range(5)]
    swapped = [order[k] for k in (1, 0, 2, 4, 3)]
    inside = [(x, y) for x, y in found.points[0] if 0 <= x < size and 0 <= y < size]
    values = [int(changed[int(y), int(x), 0]) for x, y in inside]
    if len(values) == 5:
        assert values in (order, swapped)
        assert mirror or values == order


def test_a_resized_scene_keeps_the_points_places():
    pixels = np.zeros((50, 100, 3), np.uint8)
    pixels[20:24, 60:64] = 255
    own = faces([50, 10, 80, 40], points=[np.tile(np.array([[61.5, 21.5]], np.float32), (5, 1))])
    fitted, found = scenes.fit_scene(pixels, own, 200)
    x, y = found.points[0][0]
    spot = np.argwhere(fitted[..., 0] > 128)
    np.testing.assert_allclose([y, x], spot.mean(axis=0), atol=0.6)
    np.testing.assert_allclose(found.boxes, [[100, 20, 160, 80]])


def test_faces_outside_a_piece_are_left_out_and_tiny_ones_ignored():
    own = faces([0, 0, 10, 10], [40, 40, 60, 60], [20, 20, 22, 22])
    _, found = scenes.cut_scene(np.zeros((64, 64, 3), np.uint8), own, (0, 0, 32), 32)
    np.testing.assert_array_equal(found.boxes, [[0, 0, 10, 10], [20, 20, 22, 22]])
    np.testing.assert_array_equal(found.ignore, [False, True])


# --- matching and the loss -------------------------------------------------------------------------------------------------------------------

ANCHORS = torch.tensor([[16.0, 16.0, 16.0], [16.0, 16.0, 32.0], [48.0, 48.0, 16.0], [18.0, 16.0, 16.0], [56.0, 16.0, 16.0]])


def match(boxes, ignore=(), positive=0.5, negative=0.3):
    ignored = torch.tensor([k in ignore for k in range(len(boxes))], dtype=torch.bool)
    return loss.match_anchors(ANCHORS, torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), ignored, positive, negative).tolist()


def test_anchors_are_matched_by_overlap():
    # IoU with the face: 1; 0.25; 0; 14/18 = 0.78; 0
    assert match([[8, 8, 24, 24]]) == [0, -1, -1, 0, -1]
    assert match([[8, 8, 24, 24]], positive=0.9, negative=0.2) == [0, -2, -1, -2, -1]
    assert match([]) == [-1] * 5


def test_a_face_takes_its_best_anchor_below_the_threshold_but_not_a_far_one():
    assert match([[40, 40, 50, 50]])[2] == 0, "IoU 100/256 = 0.39"
    assert match([[40, 40, 46, 46]])[2] == -1, "IoU 36/256 = 0.14"


def test_ignored_faces_are_neither_found_nor_background():
    assert match([[8, 8, 24, 24]], ignore=(0,)) == [-2, -1, -1, -2, -1]
    assert match([[8, 8, 24, 24], [8, 8, 24, 24]], ignore=(0,)) == [1, -1, -1, 1, -1]


def test_two_faces_that_want_one_anchor_share_by_overlap():
    found = match([[40, 40, 56, 56], [42, 42, 58, 58]])
    assert found[2] == 0


@settings(max_examples=30, deadline=None)
@given(st.tuples(*(st.floats(5, 60) for _ in range(4))), st.integers(0, 4))
def test_encoding_is_the_inverse_of_the_detectors_decoding(numbers, anchor):
    x, y, w, h = numbers
    own = ANCHORS[anchor : anchor + 1]
    box, variances = torch.tensor([[x, y, x + w, y + h]]), (0.1, 0.2)
    encoded = loss.encode_boxes(box, own, variances)
    middle = own[:, :2] + encoded[:, :2] * variances[0] * own[:, 2:]
    half = own[:, 2:] * torch.exp(encoded[:, 2:] * variances[1]) / 2
    np.testing.assert_allclose(torch.cat([middle - half, middle + half], dim=1), box, atol=1e-3)
    points = torch.tensor(POINTS)[None]
    offsets = loss.encode_points(points, own, variances)
    np.testing.assert_allclose(own[:, None, :2] + offsets.reshape(1, 5, 2) * variances[0] * own[:, None, 2:], points, atol=1e-3)


def outputs(pictures: int = 1, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(pictures, len(ANCHORS), width, generator=generator).requires_grad_() for width in (4, 2, 10)]


def test_the_terms_are_their_equations():
    """One face that two anchors stand for; 2 · 3 background anchors are wanted, three there: all count."""
    numbers = loss.PRESETS["paper"]
    boxes, logits, points = outputs()
    own = faces([8, 8, 24, 24], points=[POINTS])
    total, terms = loss.MultiTask(ANCHORS, numbers)(boxes, logits, points, [own], lambda picture, anchor: torch.tensor(7.0))
    stands = [1, 0, 0, 1, 0]
    log = torch.log_softmax(logits[0], dim=1).detach().numpy()
    assert float(terms["cls"]) == pytest.approx(-np.mean([log[k, stands[k]] for k in range(5)]), rel=1e-5)

    def smooth(x):
        return np.where(np.abs(x) < 1, x**2 / 2, np.abs(x) - 0.5).sum()

    box = pts = 0.0
    for k in (0, 3):
        cx, cy, side = ANCHORS[k].numpy()
        target = np.array([(16 - cx) / (0.1 * side), (16 - cy) / (0.1 * side), math.log(16 / side) / 0.2, math.log(16 / side) / 0.2])
        box += smooth(boxes[0, k].detach().numpy() - target)
        pts += smooth(points[0, k].detach().numpy() - ((POINTS - [cx, cy]) / (0.1 * side)).reshape(10))
    assert float(terms["box"]) == pytest.approx(box / 2, rel=1e-5)
    assert float(terms["pts"]) == pytest.approx(pts / 2, rel=1e-5)
    wanted = float(terms["cls"]) + 0.25 * float(terms["box"]) + 0.1 * float(terms["pts"]) + 0.01 * 7
    assert float(total.detach()) == pytest.approx(wanted, rel=1e-6)


def test_without_faces_three_terms_are_zero_and_so_are_their_gradients():
    boxes, logits, points = outputs()
    called = []
    total, terms = loss.MultiTask(ANCHORS, loss.PRESETS["paper"])(boxes, logits, points, [faces()], lambda *places: called.append(places))
    total.backward()
    assert not called
    assert [float(terms[name]) for name in ("box", "pts", "pixel")] == [0, 0, 0]
    assert float(terms["cls"]) > 0
    assert not boxes.grad.any()
    assert not points.grad.any()
    assert logits.grad.any()


def test_faces_without_points_are_masked_out_of_the_point_term_alone():
    boxes, logits, points = outputs()
    total, terms = loss.MultiTask(ANCHORS, loss.PRESETS["paper"])(boxes, logits, points, [faces([8, 8, 24, 24])])
    total.backward()
    assert float(terms["pts"]) == 0
    assert float(terms["box"]) > 0
    assert not points.grad.any()


def test_background_anchors_contribute_to_the_first_term_alone():
    boxes, logits, points = outputs()
    total, _ = loss.MultiTask(ANCHORS, loss.PRESETS["paper"])(boxes, logits, points, [faces([8, 8, 24, 24], points=[POINTS])])
    total.backward()
    for grown in (boxes.grad, points.grad):
        np.testing.assert_array_equal(grown[0].abs().sum(dim=1) > 0, [True, False, False, True, False])


def test_the_hardest_background_is_taken_three_for_one():
    anchors = torch.cat(
        [
            torch.tensor([[16.0, 16.0, 16.0]]),
            torch.stack([torch.full((50,), 200.0) + torch.arange(50) * 20, torch.full((50,), 200.0), torch.full((50,), 16.0)], dim=1),
        ]
    )
    boxes, points = torch.zeros(1, 51, 4), torch.zeros(1, 51, 10)
    logits = torch.zeros(1, 51, 2)
    logits[0, 1:, 1] = torch.linspace(-5, 5, 50)
    logits.requires_grad_()
    total, _ = loss.MultiTask(anchors, loss.PRESETS["paper"])(boxes, logits, points, [faces([8, 8, 24, 24])])
    total.backward()
    touched = torch.nonzero(logits.grad[0].abs().sum(dim=1))[:, 0].tolist()
    assert touched == [0, 48, 49, 50]


def test_presets_are_named_and_checked():
    paper, other = loss.preset("paper", {}), loss.preset("pytorch", {"ratio": 7})
    assert (paper.positive, paper.negative, paper.box, paper.points, paper.pixel, paper.ratio) == (0.5, 0.3, 0.25, 0.1, 0.01, 3)
    assert (other.positive, other.negative, other.box, other.ratio) == (0.35, 0.35, 2.0, 7)
    for name, changes, why in (("papr", {}, "paper"), ("paper", {"lamda": 1}, "lamda"), ("paper", {"negative": 0.9}, "negative <= positive")):
        with pytest.raises(ConfigError, match=why):
            loss.preset(name, changes)


# --- the mesh --------------------------------------------------------------------------------------------------------------------------------


def test_chebyshev_convolution_is_its_recurrence():
    vertices, triangles = mesh.face_grid(4, 3)
    laplacian = mesh.scaled_laplacian(len(vertices), triangles)
    values = np.linalg.eigvalsh(laplacian.numpy())
    assert values.min() >= -1 - 1e-5
    assert values.max() == pytest.approx(1, abs=1e-5)
    layer = mesh.ChebyshevConvolution(2, 3, order=4)
    x = torch.randn(1, len(vertices), 2)
    spectrum, vectors = np.linalg.eigh(laplacian.double().numpy())
    wanted = layer.linear.bias.detach().double().numpy()
    for k in range(4):  # T_k(cos a) = cos(k a), on the eigenvalues
        term = vectors @ np.diag(np.cos(k * np.arccos(spectrum.clip(-1, 1)))) @ vectors.T
        wanted = wanted + term @ x[0].double().numpy() @ layer.linear.weight[:, 2 * k : 2 * k + 2].detach().double().numpy().T
    np.testing.assert_allclose(layer(x, laplacian)[0].detach(), wanted, atol=1e-5)


def test_projection_is_a_pinhole():
    vertices = torch.tensor([[[0.5, -0.25, -0.5], [0.0, 0.0, 0.0]]], dtype=torch.float64)
    camera = torch.zeros(1, 7, dtype=torch.float64)
    places, depth = mesh.project(vertices, camera)
    np.testing.assert_allclose(places[0, 0], [3.2 * 0.5 / 3.5, 3.2 * -0.25 / 3.5])
    np.testing.assert_allclose(depth[0], [3.5, 4.0])
    camera[0, 2] = 1.0  # a camera nearer by 1: z_c grows, depth falls
    assert mesh.project(vertices, camera)[1][0, 1] == 3.0
    camera = torch.tensor([[0, 0, 0, 0, 0, math.pi / 2, 0]], dtype=torch.float64)
    np.testing.assert_allclose(mesh.project(vertices, camera)[0][0, 0], [3.2 * 0.25 / 3.5, 3.2 * 0.5 / 3.5], atol=1e-12)


def test_the_drawn_face_lies_in_the_middle_and_faces_the_camera():
    vertices, triangles = mesh.face_grid()
    colors = torch.ones(1, len(vertices), 3) * 0.5
    drawn, cover = mesh.draw(vertices[None], colors, triangles, torch.zeros(1, 7), torch.zeros(1, 9))
    assert (mesh.normals(vertices[None], triangles)[0, :, 2] < 0).float().mean() > 0.9
    assert cover[0, 8, 8] > 0.9
    assert cover[0, 0, 0] < 0.5
    assert drawn.shape == (1, 3, 16, 16)
    lit = mesh.draw(vertices[None], colors, triangles, torch.zeros(1, 7), torch.tensor([[0.0] * 3 + [0.4, 0, 0] + [0.0] * 3]))[0]
    assert (lit[0, 0, 8, 8] - drawn[0, 0, 8, 8]) > 0.05
    assert lit[0, 1, 8, 8] == drawn[0, 1, 8, 8]


def test_the_drawings_slope_is_that_of_finite_differences():
    torch.manual_seed(1)
    decoder = mesh.MeshDecoder(code=4, width=4, rows=4, columns=4).double()
    code = (torch.randn(2, 4, dtype=torch.float64) * 0.5).requires_grad_()
    camera = (torch.randn(2, 7, dtype=torch.float64) * 0.1).requires_grad_()
    light = (torch.randn(2, 9, dtype=torch.float64) * 0.1).requires_grad_()
    wanted = torch.rand(2, 3, 6, 6, dtype=torch.float64)

    def value(code, camera, light):
        vertices, colors = decoder(code)
        drawn, _ = mesh.draw(vertices, colors, decoder.triangles, camera, light, 6)
        return (drawn - wanted).pow(2).sum()

    assert torch.autograd.gradcheck(value, (code, camera, light), eps=1e-6, atol=1e-5)


def test_pixel_loss_is_the_mean_over_covered_pixels():
    drawn, wanted = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    cover = torch.rand(2, 4, 4)
    by_hand = np.mean(
        [[[np.abs((drawn - wanted)[n, :, i, j].numpy()).sum() * cover[n, i, j].item() for j in range(4)] for i in range(4)] for n in range(2)]
    )
    assert float(mesh.pixel_loss(drawn, cover, wanted)) == pytest.approx(by_hand, rel=1e-5)


def test_a_made_face_is_found_again_by_descent():
    """A face drawn with known colors, pose and light: the loss falls to a small share when parameters follow its slope."""
    torch.manual_seed(0)
    vertices, triangles = mesh.face_grid(7, 6)
    colors = torch.rand(1, len(vertices), 3)
    camera = torch.tensor([[0.1, -0.05, 0.0, 0.1, -0.2, 0.1, 0.05]])
    wanted, _ = mesh.draw(vertices[None], colors, triangles, camera, torch.zeros(1, 9), 12)
    decoder = mesh.MeshDecoder(code=8, rows=7, columns=6)
    code, pose = torch.zeros(1, 8, requires_grad=True), torch.zeros(1, 7, requires_grad=True)
    optimizer = torch.optim.Adam([code, pose, *decoder.parameters()], lr=0.02)
    losses = []
    for _ in range(150):
        drawn, covered = mesh.draw(*decoder(code), triangles, pose, torch.zeros(1, 9), 12)
        value = mesh.pixel_loss(drawn, covered, wanted)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(float(value.detach()))
    assert losses[-1] < 0.2 * losses[0]


# --- a run -----------------------------------------------------------------------------------------------------------------------------------

CONFIG = """
name = "made-detector"
task = "detection"
[data]
kind = "wider"
source = "label.txt"
root = "images"
held_out = 0.0
[input]
crop = "image"
size = [64, 64]
multiple = 32
color = "BGR"
mean = [104.0, 117.0, 123.0]
[network]
name = "retinaface-dense-mobilenet-0.25"
[detection]
size = 64
crop_shares = []
dense = true
[augment]
mirror = true
[optimizer]
name = "adam"
rate = 0.003
[run]
epochs = 2
batch = 4
[license]
weights = "MIT"
commercial_use = true
"""


@pytest.fixture
def made(tmp_path):
    """Pale disks with dark eyes and mouth on noise."""
    rng = np.random.default_rng(0)
    lines = []
    for k in range(4):
        pixels = rng.integers(0, 60, (64, 64, 3)).astype(np.uint8)
        x, y, r = rng.integers(20, 44), rng.integers(20, 44), 14
        yy, xx = np.mgrid[:64, :64]
        pixels[(xx - x) ** 2 + (yy - y) ** 2 < r * r] = (210, 180, 160)
        points = [(x - 5, y - 4), (x + 5, y - 4), (x, y + 1), (x - 4, y + 7), (x + 4, y + 7)]
        for px, py in points:
            pixels[py - 1 : py + 2, px - 1 : px + 2] = 20
        (tmp_path / "images").mkdir(exist_ok=True)
        image.save(tmp_path / "images" / f"{k}.png", pixels)
        lines += [f"# {k}.png", " ".join(map(str, [x - r, y - r, 2 * r, 2 * r, *(v for px, py in points for v in (px, py, 0)), 0.9]))]
    (tmp_path / "images" / "bad.png").write_bytes(b"no")
    lines += ["# bad.png", "1 2 3 4"]
    (tmp_path / "label.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "config.toml").write_text(CONFIG)
    return tmp_path


@pytest.mark.slow
def test_a_run_logs_all_four_terms_and_exports_a_plain_detector(made):
    pytest.importorskip("onnxscript", reason="torch's current exporter needs onnxscript")
    from faceworks import settings
    from faceworks.detect import load_detector
    from faceworks.train import export_run

    result = train(read_config(made / "config.toml"), made / "run")
    row = result.history[-1]
    assert all(row[name] > 0 for name in ("cls", "box", "pts", "pixel"))
    assert row["loss"] == pytest.approx(row["cls"] + 0.25 * row["box"] + 0.1 * row["pts"] + 0.01 * row["pixel"], rel=1e-4)
    assert row["loss"] < result.history[0]["loss"]
    assert "bad.png" in (made / "run" / "skipped.csv").read_text()
    with settings.use(cache=made / "cache", offline=True, mirrors=()):
        card = export_run(made / "run", registered=True)
        assert "TRAINING" in card.published[0].dataset
        found = load_detector("made-detector", min_score=0.0).detect([image.load(made / "images" / "0.png"), np.zeros((90, 130, 3), np.uint8)])
        assert len(found) == 2
        assert found[0][0].landmarks.scheme == "arcface5"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (["detection.size=100"], "multiple of 32"),
        (['network.name="retinaface-mobilenet-0.25"'], "mesh branch"),
        (['data.kind="folders"'], "wider or imglab"),
        (['detection.preset="papr"'], "paper"),
    ],
)
def test_wrong_runs_are_refused(made, changes, why):
    with pytest.raises(ConfigError, match=why):
        train(read_config(made / "config.toml", changes), made / "run")


def test_anchors_are_the_detectors():
    assert len(priors((64, 64), (8, 16, 32), ((16, 32), (64, 128), (256, 512)))) == 2 * (64 + 16 + 4)
