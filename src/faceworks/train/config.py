"""What a training run is, as one TOML file. Strict: an unknown key, a wrong type or a value that cannot hold is a `ConfigError` that says where.

The dataclasses below are the schema; a field is a key, no default means required. Paths are taken from the file's own folder.
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..cards.schema import InputSpec, build
from ..cards.writing import plain_toml
from ..errors import CardError, ConfigError

__all__ = [
    "AugmentConfig",
    "DataConfig",
    "DetectionConfig",
    "LicenseConfig",
    "NamedConfig",
    "OptimizerConfig",
    "PairsConfig",
    "RunConfig",
    "TrainConfig",
    "dump_config",
    "fingerprint",
    "parse_config",
    "read_config",
]


@dataclass(frozen=True, slots=True)
class DataConfig:
    """The pictures. `kind`: folders (of person folders), classes (a folder for each class), csv, fer2013, utkface, adience, recordio (insightface's
    `.rec`; `source` without the suffix), wider (label list; pictures below `root`), imglab (dlib's XML).

    `targets` are the labels that are learned; `people` is the label that keeps people apart (train and held-out share none), "" where pictures are
    split alone, stratified by the first target. `held_out` is the share of people (or pictures) that is never trained on. `detector` finds the face
    ("whole": the picture is one). `most_people` and `most_pictures` (of a person) take a part; 0 takes all.
    """

    kind: Literal["folders", "classes", "csv", "fer2013", "utkface", "adience", "recordio", "wider", "imglab"]
    source: str
    root: str = ""
    targets: tuple[str, ...] = ("person",)
    people: str = "person"
    held_out: float = 0.25
    detector: str = "whole"
    most_people: int = 0
    most_pictures: int = 0
    jpeg_quality: int = 0
    shrink: int = 0
    ignore_levels: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class NamedConfig:
    """Something by name, with its arguments: a network, a loss."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AugmentConfig:
    """Random changes of training pictures: `mirror` (half of them), `shift` (pixels, both ways), `brightness` and `contrast` (shares, both ways)."""

    mirror: bool = True
    shift: int = 0
    brightness: float = 0.0
    contrast: float = 0.0


@dataclass(frozen=True, slots=True)
class OptimizerConfig:
    """`rate` is the learning rate; `schedule`: constant, cosine (to 0), steps (times `factor` at each of `milestones`, epochs); `warmup`: epochs over which
    the rate rises linearly."""

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: Literal["constant", "cosine", "steps"] = "cosine"
    milestones: tuple[int, ...] = ()
    factor: float = 0.1
    warmup: float = 0.0


@dataclass(frozen=True, slots=True)
class RunConfig:
    """How long and how. A batch is `batch` pictures, or `people` · `pictures` where both are given; with `accumulate` steps of the optimizer see so many
    batches. `patience`: epochs without a better evaluation after which it ends (0: never). `checkpoint_every`: steps between checkpoints inside an
    epoch (0: at its end alone). `precision`: of the forward pass. `keep`: the weights of the best epoch by the held-out figures (which are then a
    little too good: they chose it), or of the last. `steps`: batches of an epoch (0: as many as go through the pictures once)."""

    epochs: int = 20
    batch: int = 64
    people: int = 0
    pictures: int = 0
    steps: int = 0
    accumulate: int = 1
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    clip: float = 0.0
    patience: int = 0
    evaluate_every: int = 1
    keep: Literal["best", "last"] = "best"
    checkpoint_every: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = 0
    tensorboard: bool = False


@dataclass(frozen=True, slots=True)
class PairsConfig:
    """A pairs protocol that judges each epoch: `format` lfw (`pairs.txt`) or csv; pictures below `root`, found by `detector` ("": the data's)."""

    list: str
    root: str
    format: Literal["lfw", "csv"] = "lfw"
    detector: str = ""


@dataclass(frozen=True, slots=True)
class DetectionConfig:
    """RetinaFace: `preset` of the loss (see `losses.detection.PRESETS`), `size` of the square input, anchors, and the share of the picture's shorter side
    that a random square crop takes; `dense` adds the mesh branch and its pixel loss."""

    preset: str = "paper"
    size: int = 640
    steps: tuple[int, ...] = (8, 16, 32)
    min_sizes: tuple[tuple[int, ...], ...] = ((16, 32), (64, 128), (256, 512))
    crop_shares: tuple[float, ...] = (0.3, 0.45, 0.6, 0.8, 1.0)
    dense: bool = False
    overrides: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LicenseConfig:
    """What the user states of the weights: pictures' licenses bind them too. Stands in the card as it is here."""

    weights: str
    commercial_use: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """A run. `task`: embedding (vectors of faces), classes (labels of faces), autoencoder (embedding by drawing), detection (RetinaFace)."""

    name: str
    task: Literal["embedding", "classes", "autoencoder", "detection"]
    data: DataConfig
    network: NamedConfig
    input: InputSpec
    license: LicenseConfig
    summary: str = ""
    seed: int = 0
    loss: NamedConfig = NamedConfig("")
    augment: AugmentConfig = AugmentConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    run: RunConfig = RunConfig()
    pairs: PairsConfig | None = None
    detection: DetectionConfig = DetectionConfig()

    def __post_init__(self) -> None:
        _check(self)


def _check(config: TrainConfig) -> None:
    """Values that contradict each other, before any work."""
    data, run = config.data, config.run
    problems = [
        (not all(letter.isascii() and (letter.isalnum() or letter in "._-") for letter in config.name) or not config.name[:1].isalnum()
         or config.name != config.name.lower(), f"name is a model's name (small letters, digits, dots, hyphens), got {config.name!r}"),
        (
            not (0 < data.held_out < 1 or (config.task == "detection" and data.held_out == 0)),
            f"data.held_out is a share in (0, 1) (0 with the task detection: judged on what is trained), got {data.held_out}",
        ),
        (config.task != "detection" and len(config.input.size) != 2, "input.size must be [height, width]"),
        (config.task == "detection" and data.kind not in ("wider", "imglab"), f"detection needs boxes: data.kind wider or imglab, got {data.kind}"),
        (config.task != "detection" and data.kind in ("wider", "imglab"), f"data.kind {data.kind} is for the task detection"),
        (config.task == "embedding" and not config.loss.name, "the task embedding needs [loss] name"),
        (bool(run.people) != bool(run.pictures), "run.people and run.pictures go together"),
        (run.pictures == 1, "run.pictures = 1 gives no pair of one person"),
        (min(run.epochs, run.batch, run.accumulate, run.evaluate_every) < 1, "run.epochs, batch, accumulate and evaluate_every are at least 1"),
        (not 0 <= data.jpeg_quality <= 100, f"data.jpeg_quality is 1 to 100 (0: as they are), got {data.jpeg_quality}"),
        (not data.targets, "data.targets must name at least one label"),
        (config.optimizer.rate <= 0, f"optimizer.rate must be positive, got {config.optimizer.rate}"),
        (config.input.layout != "NCHW" or config.input.role != "model", 'input.layout is "NCHW" and input.role "model" for networks that are trained here'),
    ]  # fmt: skip
    wrong = [text for bad, text in problems if bad]
    if wrong:
        raise ConfigError("; ".join(wrong))


def _override(table: dict[str, Any], text: str) -> None:
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise ConfigError(f"expected KEY=VALUE (run.epochs=5), got {text!r}")
    try:
        found = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        found = value.strip()  # a bare word is text
    *above, last = key.strip().split(".")
    for name in above:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise ConfigError(f"{text!r}: {name} is no table")
    table[last] = found


def parse_config(text: str, where: str, folder: Path, changes: Sequence[str] = ()) -> TrainConfig:
    """A run from TOML text. `folder` is what its relative paths are taken from; `changes` are `KEY=VALUE`, values in TOML.

    Raises:
        ConfigError: not TOML, an unknown key, a wrong type, values that contradict each other.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: not valid TOML: {error}") from error
    for change in changes:
        _override(table, change)
    try:
        config = build(TrainConfig, table, where)
    except (CardError, ConfigError) as error:
        raise ConfigError(str(error) if where in str(error) else f"{where}: {error}") from error

    def absolute(path: str) -> str:
        return str((folder / Path(path).expanduser()).resolve()) if path else ""

    data = dataclasses.replace(config.data, source=absolute(config.data.source), root=absolute(config.data.root))
    pairs = config.pairs and dataclasses.replace(config.pairs, list=absolute(config.pairs.list), root=absolute(config.pairs.root))
    return dataclasses.replace(config, data=data, pairs=pairs)


def read_config(path: str | Path, changes: Sequence[str] = ()) -> TrainConfig:
    """A run from a TOML file; `changes` are `KEY=VALUE` (`run.epochs=5`, `data.source="faces"`; such a path is taken from the file's folder too).

    Raises:
        ConfigError: see `parse_config`; or the file cannot be read.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    return parse_config(text, str(path), path.resolve().parent, changes)


def dump_config(config: TrainConfig) -> str:
    """TOML that `parse_config` reads as an equal run."""
    return plain_toml(config)


def fingerprint(config: TrainConfig) -> str:
    """Text that two runs share when one may go on where the other stopped: all but how long it runs, what it logs and where its pictures lie."""
    table = dataclasses.asdict(_plain(config))
    for key in ("epochs", "patience", "device", "threads", "tensorboard", "checkpoint_every", "evaluate_every"):
        table["run"].pop(key)
    for key in ("source", "root"):
        table["data"].pop(key)
    table.pop("pairs")
    table.pop("license")
    table.pop("summary")
    return json.dumps(table, sort_keys=True, default=str)


def _plain(config: TrainConfig) -> TrainConfig:
    """Mappings as dicts (`asdict` copies them, which a read-only view refuses)."""
    return dataclasses.replace(
        config,
        network=NamedConfig(config.network.name, dict(config.network.arguments)),
        loss=NamedConfig(config.loss.name, dict(config.loss.arguments)),
        detection=dataclasses.replace(config.detection, overrides=dict(config.detection.overrides)),
    )
