"""RetinaFace's multi-task loss (Deng et al. 2020, https://arxiv.org/abs/1905.00641, eq. 1; the seed's equation), for an anchor i:

    L = L_cls(pᵢ, pᵢ*) + λ₁ pᵢ* L_box(tᵢ, tᵢ*) + λ₂ pᵢ* L_pts(lᵢ, lᵢ*) + λ₃ pᵢ* L_pixel

pᵢ* is 1 for an anchor that stands for a face and 0 for one that does not: the last three terms count at faces alone. L_cls is softmax over face and
background, L_box and L_pts are smooth L1 over offsets from the anchor, L_pixel is in `mesh`. Boxes and points are encoded as `detect.retinaface` decodes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from ...errors import ConfigError
from ..boxes import FaceLabels

__all__ = ["BACKGROUND", "NEITHER", "PRESETS", "MultiTask", "Preset", "encode_boxes", "encode_points", "match_anchors", "preset"]

BACKGROUND, NEITHER = -1, -2
"""What an anchor is that stands for no face: background, or left out of the loss."""
_REACH = 0.2
"""A face takes its best anchor even below the threshold, but not one that overlaps it less than this."""


@dataclass(frozen=True, slots=True)
class Preset:
    """Numbers of the loss.

    Attributes:
        positive, negative: an anchor stands for a face from this IoU on, and is background below that; between, it is left out.
        box, points, pixel: λ₁, λ₂, λ₃.
        ratio: background anchors (the hardest) for each one with a face.
        variances: scale of center offsets and of log sides.
    """

    positive: float
    negative: float
    box: float
    points: float
    pixel: float
    ratio: float = 3.0
    variances: tuple[float, float] = (0.1, 0.2)


PRESETS = {
    "paper": Preset(0.5, 0.3, 0.25, 0.1, 0.01),
    "pytorch": Preset(0.35, 0.35, 2.0, 1.0, 0.0),
}
"""`paper`: section 3.1 and 4.2. `pytorch`: matching and weights of biubug6/Pytorch_Retinaface (which takes seven background anchors for a face: set
`overrides = { ratio = 7 }` for its numbers whole)."""


def preset(name: str, overrides: Mapping[str, Any]) -> Preset:
    """A preset with some numbers changed.

    Raises:
        ConfigError: no such preset, no such number, or thresholds that cross.
    """
    if name not in PRESETS:
        raise ConfigError(f"no preset is called {name!r}; known: {', '.join(PRESETS)}")
    if unknown := set(overrides) - set(Preset.__dataclass_fields__):
        raise ConfigError(f"detection.overrides may set {', '.join(Preset.__dataclass_fields__)}, got {', '.join(sorted(unknown))}")
    changes: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in overrides.items()}
    found = replace(PRESETS[name], **changes)
    if not 0 < found.negative <= found.positive <= 1:
        raise ConfigError(f"detection thresholds need 0 < negative <= positive <= 1, got {found.negative} and {found.positive}")
    return found


def _corners(anchors: Any) -> Any:
    return torch.cat([anchors[:, :2] - anchors[:, 2:] / 2, anchors[:, :2] + anchors[:, 2:] / 2], dim=1)


def _overlaps(a: Any, b: Any) -> Any:
    """IoU (M, N) of boxes (M, 4) and (N, 4)."""
    sides = (torch.minimum(a[:, None, 2:], b[None, :, 2:]) - torch.maximum(a[:, None, :2], b[None, :, :2])).clamp_min(0)
    inner = sides.prod(dim=2)
    outer = (a[:, 2:] - a[:, :2]).prod(dim=1)[:, None] + (b[:, 2:] - b[:, :2]).prod(dim=1)[None] - inner
    return inner / outer.clamp_min(1e-9)


def match_anchors(anchors: Any, boxes: Any, ignore: Any, positive: float, negative: float) -> Any:
    """Which face each anchor stands for.

    Args:
        anchors: (A, 3) center x, center y, side.
        boxes: (G, 4) faces; `ignore` (G,) bool.
        positive, negative: thresholds of IoU, see `Preset`.

    Returns:
        (A,) int64: place of the face, `BACKGROUND` or `NEITHER`. Anchors that overlap an ignored face by `negative` or more are neither, unless they
        stand for another face.
    """
    found = torch.full((len(anchors),), BACKGROUND, dtype=torch.int64)
    if not len(boxes):
        return found
    overlap = _overlaps(_corners(anchors), boxes)
    counted = torch.nonzero(~ignore)[:, 0]
    found[(overlap[:, ignore] >= negative).any(dim=1)] = NEITHER
    if not len(counted):
        return found
    best, which = overlap[:, counted].max(dim=1)
    found[best >= negative] = NEITHER
    found = torch.where(best >= positive, counted[which], found)
    nearest = overlap[:, counted].max(dim=0)
    for face in torch.argsort(nearest.values):  # the best pair last: it keeps the anchor where two faces want the same
        if nearest.values[face] >= _REACH:
            found[nearest.indices[face]] = counted[face]
    return found


def encode_boxes(boxes: Any, anchors: Any, variances: Sequence[float]) -> Any:
    """(N, 4) offsets of boxes from their anchors (N, 3): centers in sides · variance, logarithms of the sides' ratios / variance."""
    center, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).clamp_min(1e-3)
    return torch.cat([(center - anchors[:, :2]) / (variances[0] * anchors[:, 2:]), torch.log(sides / anchors[:, 2:]) / variances[1]], dim=1)


def encode_points(points: Any, anchors: Any, variances: Sequence[float]) -> Any:
    """(N, 10) offsets of points (N, 5, 2) from their anchors' centers, in sides · variance."""
    return ((points - anchors[:, None, :2]) / (variances[0] * anchors[:, None, 2:])).reshape(len(points), 10)


class MultiTask(nn.Module):
    """The loss over a batch of pictures. Each term is a mean: of L_cls over the anchors that count, with the hardest background ones, `ratio` for each face
    anchor of the batch (at least `ratio` in all); of the others over face anchors (of L_pts over those whose face has points)."""

    anchors: Any

    def __init__(self, anchors: Any, numbers: Preset) -> None:
        super().__init__()
        self.numbers = numbers
        self.register_buffer("anchors", torch.as_tensor(anchors, dtype=torch.float32), persistent=False)

    def match(self, faces: Sequence[FaceLabels]) -> Any:
        """(N, A) what each anchor of each picture stands for."""
        rows = []
        for item in faces:
            boxes, ignore = torch.from_numpy(item.boxes), torch.from_numpy(item.ignore)
            rows.append(match_anchors(self.anchors.cpu(), boxes, ignore, self.numbers.positive, self.numbers.negative))
        return torch.stack(rows).to(self.anchors.device)

    def forward(self, boxes: Any, logits: Any, points: Any, faces: Sequence[FaceLabels], pixel: Any = None) -> tuple[Any, dict[str, Any]]:
        """Sum of the weighted terms, and the terms without weights (`cls`, `box`, `pts`, `pixel`).

        Args:
            boxes, logits, points: (N, A, 4), (N, A, 2), (N, A, 10) of the network in train mode.
            faces: of the N pictures, in pixels of the tensor.
            pixel: called with (pictures (P,), anchors (P,)) of the face anchors, gives L_pixel; None: the network has no mesh branch.
        """
        numbers = self.numbers
        matched = self.match(faces)
        picture, anchor = torch.nonzero(matched >= 0, as_tuple=True)
        count = len(picture)
        each = nn.functional.cross_entropy(logits.reshape(-1, 2), (matched >= 0).long().reshape(-1), reduction="none").reshape(matched.shape)
        background = matched == BACKGROUND
        wanted = min(int(numbers.ratio * max(count, 1)), int(background.sum()))
        hardest = each.detach().masked_fill(~background, -1.0).reshape(-1).topk(wanted).indices
        chosen = each.reshape(-1)[hardest]
        terms = {"cls": (each[picture, anchor].sum() + chosen.sum()) / max(count + wanted, 1)}
        zero = (boxes.sum() + points.sum()) * 0.0
        terms |= {"box": zero, "pts": zero, "pixel": zero}
        if count:
            place = matched[picture, anchor]
            own = self.anchors[anchor]
            truth = torch.cat([torch.from_numpy(faces[n].boxes)[place[picture == n].cpu()] for n in picture.unique().tolist()]).to(own.device)
            marks = torch.cat([torch.from_numpy(faces[n].points)[place[picture == n].cpu()] for n in picture.unique().tolist()]).to(own.device)
            target = encode_boxes(truth, own, numbers.variances)
            terms["box"] = nn.functional.smooth_l1_loss(boxes[picture, anchor], target, reduction="sum") / count
            pointed = ~torch.isnan(marks).any(dim=2).any(dim=1)
            if pointed.any():
                target = encode_points(marks[pointed], own[pointed], numbers.variances)
                found = points[picture[pointed], anchor[pointed]]
                terms["pts"] = nn.functional.smooth_l1_loss(found, target, reduction="sum") / int(pointed.sum())
            if pixel is not None:
                terms["pixel"] = pixel(picture, anchor)
        total = terms["cls"] + numbers.box * terms["box"] + numbers.points * terms["pts"] + numbers.pixel * terms["pixel"]
        return total, {key: value.detach() for key, value in terms.items()}
