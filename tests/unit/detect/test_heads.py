"""Decoding heads on made tensors with known boxes: the answer is built by hand, so the networks' files are not needed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from faceworks import cards
from faceworks.cards import options
from faceworks.detect import letterbox, retinaface, scrfd, ssd, yolo
from faceworks.detect.letterbox import grid

BOX = np.array([200.0, 120.0, 296.0, 248.0])
POINTS = np.array([[225.0, 160.0], [268.0, 161.0], [247.0, 190.0], [229.0, 214.0], [264.0, 215.0]])


def logit(p: float) -> float:
    return math.log(p / (1 - p))


@pytest.mark.parametrize("name", ["yolov5n-face", "yolov5s-face"])
def test_yolov5_rows(name: str) -> None:
    card = cards.get(name)
    assert options(card, yolo.Decode).head == "yolov5"
    rows = np.zeros((25200, 16), np.float32)
    for row, objectness, probability in ((100, 0.9, 0.8), (101, 0.9, 0.3), (20000, 0.4, 0.9)):
        rows[row, :4] = [*((BOX[:2] + BOX[2:]) / 2), *(BOX[2:] - BOX[:2])]
        rows[row, 4], rows[row, 15], rows[row, 5:15] = objectness, probability, POINTS.reshape(-1)
    boxes, scores, points = yolo.decode_v5(rows, 0.5)
    assert np.abs(boxes - BOX).max() < 1e-4
    assert scores == pytest.approx([0.72], abs=1e-6)
    assert np.abs(points[0] - POINTS).max() < 1e-4


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_yolov8_map(stride: int) -> None:
    """Side distances as two-bin distributions, whose expectation is any fraction between two bins."""
    decode = options(cards.get("yolov8n-face"), yolo.Decode)
    rows, columns = 640 // stride, 480 // stride
    maps = np.full((4 * decode.bins + 16, rows, columns), -30.0, np.float32)
    row, column = int(184 // stride), int(248 // stride)
    center = (np.array([column, row]) + 0.5) * stride
    distances = np.concatenate([center - BOX[:2], BOX[2:] - center]) / stride
    for side, distance in enumerate(distances):
        low, share = int(distance), distance - int(distance)
        maps[side * decode.bins + low, row, column] = math.log(max(1 - share, 1e-9))
        maps[side * decode.bins + low + 1, row, column] = math.log(max(share, 1e-9))
    maps[4 * decode.bins, row, column] = logit(0.8)
    offsets = (POINTS / stride - [column, row]) / 2
    maps[4 * decode.bins + 1 :, row, column] = np.concatenate([offsets, np.full((5, 1), 3.0)], axis=1).reshape(-1)
    boxes, scores, points = yolo.decode_v8(maps, stride, decode.bins, 0.5)
    if distances.max() < decode.bins - 1:
        assert np.abs(boxes - BOX).max() < 1e-3
    assert scores == pytest.approx([0.8], abs=1e-5)
    assert np.abs(points[0] - POINTS).max() < 1e-3


def test_retinaface_priors() -> None:
    """In the network's order: level, row, column, size; a picture that no step divides has a last cell beyond its edge."""
    decode = options(cards.get("retinaface-mnet025"), retinaface.Decode)
    found = retinaface.priors((50, 70), decode.steps, decode.min_sizes)
    cells = [(math.ceil(50 / step), math.ceil(70 / step)) for step in (8, 16, 32)]
    assert len(found) == 2 * sum(rows * columns for rows, columns in cells)
    assert found[0].tolist() == [4, 4, 16]
    assert found[1].tolist() == [4, 4, 32]
    assert found[2].tolist() == [12, 4, 16]
    first = 2 * cells[0][0] * cells[0][1]
    assert found[first].tolist() == [8, 8, 64]
    assert found[-1].tolist() == [80, 48, 512]


def test_ssd_priors() -> None:
    """8,892 priors; the shapes of the first cell by the paper's formula."""
    decode = options(cards.get("ssd-res10"), ssd.Decode)
    found = ssd.priors(decode)
    assert found.shape == (8892, 4)
    root = math.sqrt(2)
    shapes = [(30, 30), (math.sqrt(1800), math.sqrt(1800)), (30 * root, 30 / root), (30 / root, 30 * root)]
    assert np.abs(found[:4, 2:] - shapes).max() < 1e-4
    assert found[:4, :2].tolist() == [[4, 4]] * 4
    assert found[4, :2].tolist() == [12, 4]


def test_grid_is_row_by_row() -> None:
    assert grid((16, 24), 8).tolist() == [[0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [2, 1]]


class _Fake:
    """A SCRFD session: one face at a known cell, outputs in a given order and with or without a batch axis."""

    def __init__(self, order: list[int], batch: bool) -> None:
        self.order, self.batch = order, batch
        self.input_shape, self.dynamic_batch = (1, 3, 640, 640), False
        self.provider, self.threads = "CPUExecutionProvider", 1

    def run(self, blob: np.ndarray, outputs: object = None) -> list[np.ndarray]:
        tensors = []
        for width in (1, 4, 10):
            for stride in (8, 16, 32):
                tensors.append(np.zeros((2 * (640 // stride) ** 2, width), np.float32))
        row = 2 * (10 * 40 + 15) + 1  # row 10, column 15 at stride 16, second anchor
        tensors[1][row] = 0.9
        center = np.array([15, 10]) * 16
        tensors[4][row] = np.concatenate([center - BOX[:2], BOX[2:] - center]) / 16
        tensors[7][row] = ((POINTS - center) / 16).reshape(-1)
        chosen = [tensors[index] for index in self.order]
        return [tensor[None] for tensor in chosen] if self.batch else chosen


@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize("order", [list(range(9)), [0, 3, 6, 1, 4, 7, 2, 5, 8], [8, 2, 5, 7, 1, 4, 6, 0, 3]])
def test_scrfd_finds_its_outputs_by_shape(order: list[int], batch: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letterbox, "open_session", lambda card, options: _Fake(order, batch))
    detector = scrfd.Scrfd(cards.get("scrfd-10g"), None)  # type: ignore[arg-type]
    (faces,) = detector.detect([np.zeros((640, 640, 3), np.uint8)])
    assert len(faces) == 1
    assert np.abs(faces[0].box - BOX).max() < 1e-3
    assert faces[0].landmarks is not None
    assert np.abs(faces[0].landmarks.points - POINTS).max() < 1e-3
    assert faces[0].score == pytest.approx(0.9)
