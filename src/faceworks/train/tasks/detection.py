"""Detection: RetinaFace on labeled boxes and points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ... import geometry, image, networks
from ...cards import OutputSpec, Published
from ...detect.retinaface import priors
from ...errors import ConfigError, ImageError, InputError
from ...evaluate.detection import detection_ap
from ...runtime import to_blob
from ...types import ImageArray
from ..boxes import BoxedPicture, FaceLabels, read_imglab, read_wider
from ..config import TrainConfig
from ..distributed import Group
from ..losses.detection import MultiTask, preset
from ..losses.mesh import CAMERA, LIGHT, MeshDecoder, draw, pixel_loss
from ..samplers import Shuffled
from . import Exported, Sampler

__all__ = ["DetectionTask"]

_KEPT = 64
"""Pictures kept decoded in memory; the rest is read anew each time."""
_MESHES = 64
"""Face anchors of a batch whose meshes are drawn: the branch costs as much as the network above a hundred."""
_SIDE = 16
_MIN_SCORE, _IOU, _CANDIDATES = 0.5, 0.4, 5000
_JUDGED_IOU = 0.4


class _Step(nn.Module):
    """Pixels and faces → the four terms."""

    def __init__(self, network: Any, loss: MultiTask, decoder: MeshDecoder | None) -> None:
        super().__init__()
        self.network, self.loss, self.decoder = network, loss, decoder

    def _pixel(self, mesh: Any, scene: Any, picture: Any, anchor: Any) -> Any:
        """L_pixel of some face anchors: their meshes against the squares of the picture that the anchors cover."""
        assert self.decoder is not None
        chosen = torch.randperm(len(picture), device="cpu")[:_MESHES].to(picture.device)
        picture, anchor = picture[chosen], anchor[chosen]
        code, camera, light = mesh[picture, anchor].split([self.decoder.code, CAMERA, LIGHT], dim=1)
        vertices, colors = self.decoder(code)
        drawn, cover = draw(vertices, colors, self.decoder.triangles, 0.3 * torch.tanh(camera), 0.5 * torch.tanh(light), _SIDE)
        return pixel_loss(drawn, cover, pieces(scene, picture, self.loss.anchors[anchor], _SIDE))

    def forward(self, pixels: Any, faces: Sequence[FaceLabels], scene: Any) -> tuple[Any, dict[str, Any]]:
        outputs = self.network(pixels)
        boxes, logits, points, *mesh = (item.float() for item in outputs)
        pixel = None
        if self.decoder is not None:

            def pixel(picture: Any, anchor: Any) -> Any:
                return self._pixel(mesh[0], scene, picture, anchor)

        total, terms = self.loss(boxes, logits, points, faces, pixel)
        if self.decoder is not None:  # every parameter gets a gradient in every batch, as several processes need it
            total = total + 0.0 * (mesh[0].sum() + sum(item.sum() for item in self.decoder.parameters()))
        return total, terms


def pieces(scene: Any, picture: Any, anchors: Any, side: int) -> Any:
    """(P, 3, side, side): the squares that anchors (P, 3) cover of pictures (N, 3, H, W) at places (P,); black outside."""
    height, width = scene.shape[2:]
    line = (torch.arange(side, device=scene.device) + 0.5) / side - 0.5
    y, x = torch.meshgrid(line, line, indexing="ij")
    grid = torch.stack([x, y], dim=2)[None] * anchors[:, None, None, 2:] + anchors[:, None, None, :2]
    grid = (grid + 0.5) / torch.tensor([width, height], dtype=grid.dtype, device=grid.device) * 2 - 1
    return nn.functional.grid_sample(scene[picture], grid.to(scene.dtype), align_corners=False)


class DetectionTask:
    """See `tasks.Task`. Judged by average precision at IoU 0.4 on whole held-out pictures; with `data.held_out = 0` on the training pictures themselves,
    which shows that it can learn, not that it generalizes."""

    score = "ap"

    def __init__(self, config: TrainConfig, folder: Path, group: Group, device: Any, report: Callable[[str], None]) -> None:
        from ..scenes import fit_scene  # cv2 is not needed before pictures are

        self.config, self._device, self._size = config, device, config.detection.size
        self._fit = fit_scene
        if self._size % 32:
            raise ConfigError(f"detection.size must be a multiple of 32, got {self._size}")
        if config.input.color == "GRAY":
            raise ConfigError("RetinaFace takes three colors: input.color RGB or BGR")
        self._cache: dict[Path, ImageArray] = {}
        every, self.skipped = self._readable(self._read())
        rng = np.random.default_rng(config.seed)
        count = round(config.data.held_out * len(every))
        order = rng.permutation(len(every))
        self._held = [every[k] for k in sorted(order[:count])] if config.data.held_out else every
        self._train = [every[k] for k in sorted(order[count:])] if config.data.held_out else every
        if not self._train or not self._held:
            raise InputError(f"{config.data.source}: {len(every)} pictures leave none to train on or none held out")
        faces = sum(int((~item.faces.ignore).sum()) for item in self._train)
        report(f"{len(self._train)} pictures with {faces} faces to train on, {len(self._held)} held out, {len(self.skipped)} skipped")
        options = config.detection
        anchors = priors((self._size, self._size), options.steps, options.min_sizes)
        numbers = preset(options.preset, options.overrides)
        decoder = MeshDecoder() if options.dense else None
        arguments = dict(config.network.arguments)
        if (decoder is not None) != ("dense" in config.network.name):
            raise ConfigError(
                f"a network with a mesh branch (retinaface-dense-mobilenet-0.25) and detection.dense go together, got {config.network.name}, "
                f"dense = {str(options.dense).lower()}"
            )
        if decoder is not None:
            arguments["numbers"] = decoder.code + CAMERA + LIGHT
        self.network = networks.build(config.network.name, **arguments).to(device)
        self.step = _Step(self.network, MultiTask(anchors, numbers), decoder).to(device)

    def _read(self) -> list[BoxedPicture]:
        data = self.config.data
        if data.kind == "wider":
            return read_wider(data.source, data.root or Path(data.source).parent / "images", data.ignore_levels)
        return read_imglab(data.source, data.ignore_levels)

    def _readable(self, pictures: list[BoxedPicture]) -> tuple[list[BoxedPicture], tuple[tuple[str, str], ...]]:
        """Pictures that can be decoded and hold a box, and why the others are left out."""
        kept, skipped = [], []
        for item in pictures:
            try:
                self._load(item)
            except ImageError as error:
                skipped.append((item.name, str(error)))
                continue
            if len(item.faces):
                kept.append(item)
            else:
                skipped.append((item.name, "it has no box: background is learned from what lies between faces"))
        if not kept:
            raise InputError(f"{self.config.data.source}: none of {len(pictures)} pictures can be used; the first: {': '.join(skipped[0])}")
        return kept, tuple(skipped)

    def _load(self, item: BoxedPicture) -> ImageArray:
        if item.path in self._cache:
            return self._cache[item.path]
        pixels = image.load(item.path)
        if len(self._cache) < _KEPT:
            self._cache[item.path] = pixels
        return pixels

    def sampler(self, epoch: int) -> Sampler:
        """All pictures in a new order."""
        return Shuffled(len(self._train), min(self.config.run.batch, len(self._train)), self.config.seed)

    def batch(self, places: NDArray[np.int64], rng: np.random.Generator) -> tuple[Any, ...]:
        """Pixels (N, 3, size, size), the faces of each, and the pictures themselves, (N, 3, size, size) in 0..1."""
        from ..scenes import change_scene

        scenes, faces = [], []
        for place in places:
            item = self._train[place]
            changed = change_scene(self._load(item), item.faces, self._size, self.config.detection.crop_shares, self.config.augment, rng)
            scenes.append(changed[0])
            faces.append(changed[1])
        pixels = torch.from_numpy(to_blob(scenes, self.config.input, (self._size, self._size))).to(self._device)
        scene = torch.from_numpy(np.stack(scenes).transpose(0, 3, 1, 2).astype(np.float32) / 255).to(self._device)
        return pixels, faces, scene

    def _detect(self, pixels: ImageArray) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Boxes, scores and points (N, 5, 2) of a square picture, decoded as `detect.retinaface` does."""
        numbers = self.step.loss.numbers
        with torch.no_grad():
            blob = torch.from_numpy(to_blob([pixels], self.config.input, (self._size, self._size))).to(self._device)
            deltas, classes, marks = (item[0].float().cpu().numpy() for item in self.network(blob)[:3])
        chosen = np.flatnonzero(classes[:, 1] >= _MIN_SCORE)
        anchors = self.step.loss.anchors.cpu().numpy()[chosen]
        near, far = numbers.variances
        middle = anchors[:, :2] + deltas[chosen, :2] * near * anchors[:, 2:]
        half = anchors[:, 2:] * np.exp(np.clip(deltas[chosen, 2:] * far, -10, 10)) / 2
        points = anchors[:, None, :2] + marks[chosen].reshape(-1, 5, 2) * near * anchors[:, None, 2:]
        boxes, scores = np.concatenate([middle - half, middle + half], axis=1), classes[chosen, 1]
        kept = geometry.non_maximum_suppression(boxes, scores, _IOU, top=_CANDIDATES)
        return boxes[kept], scores[kept], points[kept]

    def evaluate(self) -> dict[str, float]:
        """Average precision, recall and precision at a score of 0.5 and IoU 0.4; mean distance of the points of found faces, in shares of the box's side."""
        training = self.network.training
        self.network.eval()
        found, truth, errors = {}, {}, []
        for item in self._held:
            scene, faces = self._fit(self._load(item), item.faces, self._size)
            boxes, scores, points = self._detect(scene)
            found[item.name] = [{"box": box, "score": float(score)} for box, score in zip(boxes, scores, strict=True)]
            truth[item.name] = [{"box": box, "ignore": bool(skip)} for box, skip in zip(faces.boxes, faces.ignore, strict=True)]
            errors += _point_errors(boxes, points, faces)
        self.network.train(training)
        result = detection_ap(found, truth, _JUDGED_IOU)
        precision = result.hits / result.found if result.found else 0.0
        figures = {"ap": result.ap, "recall": result.hits / result.faces, "precision": precision}
        return figures | ({"point_error": float(np.mean(errors))} if errors else {})

    def state(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing."""

    def exported(self) -> Exported:
        """A detector for pictures of any size."""
        options, numbers = self.config.detection, self.step.loss.numbers
        what = f"{len(self._held)} {'held-out' if self.config.data.held_out else 'TRAINING'} pictures, IoU {_JUDGED_IOU}, score {_MIN_SCORE}"
        published = tuple(Published(what, name, round(value, 6), "faceworks train") for name, value in self.evaluate().items())
        decode = {
            "min_score": _MIN_SCORE,
            "steps": list(options.steps),
            "min_sizes": [list(sides) for sides in options.min_sizes],
            "variances": list(numbers.variances),
            "iou": _IOU,
            "candidates": _CANDIDATES,
        }
        outputs = (OutputSpec("faces", "boxes"), OutputSpec("points", "points", scheme="arcface5"))
        faces = sum(int((~item.faces.ignore).sum()) for item in self._train)
        return Exported(self.network, "detect", "retinaface", outputs, (), published, f"{len(self._train)} pictures, {faces} faces", True, decode)


def _point_errors(boxes: NDArray[np.float32], points: NDArray[np.float32], faces: FaceLabels) -> list[float]:
    """For each true face with points: mean distance to those of the found box that overlaps it most, over the longer side of the true box."""
    found = []
    overlap = geometry.iou(faces.boxes, boxes) if len(boxes) and len(faces) else np.zeros((len(faces), 0))
    for k in range(len(faces)):
        if not faces.ignore[k] and not np.isnan(faces.points[k]).any() and overlap.shape[1] and overlap[k].max() >= _JUDGED_IOU:
            side = (faces.boxes[k, 2:] - faces.boxes[k, :2]).max()
            found.append(float(np.linalg.norm(points[overlap[k].argmax()] - faces.points[k], axis=1).mean() / side))
    return found
