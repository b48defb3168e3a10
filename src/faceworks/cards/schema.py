"""The model card: one strict TOML file describes one model. The loader refuses what it does not know, naming file, key and allowed keys.

The dataclasses below *are* the schema: a field is a key, its type is the type, no default means required. `docs/reference/cards.md` is generated
from them.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from ..errors import CardError

__all__ = ["Card", "FileSpec", "InputSpec", "License", "OutputSpec", "Part", "Published", "Threshold", "build", "options", "parse"]

T = TypeVar("T")
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class License:
    """Who may do what. `weights` may be stricter than `code`."""

    code: str
    weights: str
    commercial_use: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class FileSpec:
    """One file: what it is called in the card, what its bytes are, where it can be had.

    Exactly one of `sha256`, `git_blob` (git's own hash: sha1 over "blob SIZE\\0" + bytes) and `pin = "first-use"` (publisher gives no
    checksum) is set. `convert` names a function of `faceworks.convert`; its result is cached under the raw hash and the converter's version.
    """

    role: str
    from_: tuple[str, ...]
    sha256: str = ""
    git_blob: str = ""
    pin: Literal["", "first-use"] = ""
    bytes: int = 0
    name: str = ""
    archive_sha256: str = ""
    convert: str = ""
    convert_options: Mapping[str, Any] = field(default_factory=dict)
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One network input: which piece of the picture it eats and how the tensor is made: x ← (x − mean) / std on 0..255.

    `crop` is the crop grammar: a template of `align.TEMPLATES` with its size ("arcface-112x112", "dlib-150:0.25"), "square:1.3" (about the
    box center, 1.3 times its longer side), "box:1.0" (the box scaled, shape not kept), "box" (+ `margin` pixels), or "image".
    `points` needs no pixels, only landmarks of `scheme`.
    `size` is (height, width); () means any size, rounded up to `multiple`. For "image", a picture whose longer side is below `enlarge` is
    enlarged to it, by a factor of at most `enlarge_most` (`enlarge = 0`: never). `border` is what lies outside the picture: black, replicate, or
    shift ("box:K" alone: the crop is shrunk and moved until it lies inside). A model that sees several scales of a face has one input for each,
    with the role of its file ("box:2.7" for one, "box:4.0" for the other); their crops are one `View`.
    """

    crop: str
    size: tuple[int, ...] = ()
    role: str = "model"
    name: str = ""
    color: Literal["RGB", "BGR", "GRAY"] = "RGB"
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    batch: Literal["dynamic", "fixed"] = "dynamic"
    multiple: int = 1
    enlarge: int = 0
    enlarge_most: float = 2.0
    scheme: str = ""
    landmarker: str = ""
    border: Literal["black", "replicate", "shift"] = "black"
    interpolation: Literal["linear", "area", "cubic"] = "linear"
    margin: float = 0.0


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """One network output and what it means.

    `columns` = [first, last + 1] takes some numbers of a tensor that holds several answers. Of an attribute model, equal `labels` are added up, and
    outputs of one `attribute` with `combine = "mean"` are averaged; an expectation is Σ p · `weights`, a value is x · `scale` + `offset`, held in `range`; `error` is
    the measured root mean square of its error, which is its spread since it has no distribution of its own.
    """

    name: str
    kind: Literal["boxes", "points", "embedding", "classes", "expectation", "value"]
    role: str = "model"
    attribute: str = ""
    tensor: str = ""
    dim: int = 0
    normalize: Literal["", "l2", "inside"] = ""
    labels: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    activation: Literal["", "softmax", "sigmoid"] = ""
    unit: str = ""
    range: tuple[float, ...] = ()
    scale: float = 1.0
    offset: float = 0.0
    scheme: str = ""
    combine: Literal["", "mean", "sum", "concat"] = ""
    columns: tuple[int, ...] = ()
    error: float = 0.0


@dataclass(frozen=True, slots=True)
class Threshold:
    """A decision threshold and where it was measured. Ties are accepted. Of an attribute model the metric is "probability" (of the label `label`), and
    `bpcer` is the share of true ones (bona fide faces) that fall below."""

    metric: Literal["cosine", "euclidean", "euclidean_l2", "angular", "chi2", "probability"]
    kind: Literal["similarity", "distance"]
    value: float
    source: str
    fmr: float | None = None
    pairs: int = 0
    date: str = ""
    recipe: str = ""
    label: str = ""
    bpcer: float | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """A figure that somebody published."""

    dataset: str
    metric: str
    value: float
    source: str


@dataclass(frozen=True, slots=True)
class Part:
    """A member of a fusion card. Of embedders (`adapter = "concat"`): its share in the cosine (shares are divided by their sum), and whether the mirrored
    crop is added to its vector. Of attribute models (`adapter = "pool"`): the exponent of its probabilities, or its share in a mean of numbers, and whether
    it is asked of the mirrored crop too (`attributes.pool.pool_views`)."""

    model: str
    weight: float
    flip: bool = False


@dataclass(frozen=True, slots=True)
class Card:
    """A model, as data."""

    schema: int
    name: str
    task: Literal["detect", "landmark", "embed", "attribute", "data"]
    adapter: str
    summary: str
    paper: str
    code: str
    license: License
    file: tuple[FileSpec, ...] = ()
    reliability: Literal["high", "medium", "low"] = "medium"
    input: tuple[InputSpec, ...] = ()
    output: tuple[OutputSpec, ...] = ()
    threshold: tuple[Threshold, ...] = ()
    published: tuple[Published, ...] = ()
    part: tuple[Part, ...] = ()
    decode: Mapping[str, Any] = field(default_factory=dict)
    attribution: str = ""
    notes: str = ""
    path: str = ""

    def file_for(self, role: str = "model") -> FileSpec:
        """The file with that role."""
        for item in self.file:
            if item.role == role:
                return item
        raise CardError(f"card {self.name}: no file with the role {role!r}; it has {', '.join(item.role for item in self.file) or 'none'}")

    def input_for(self, role: str = "model") -> InputSpec:
        """The first input with that role."""
        for item in self.input:
            if item.role == role:
                return item
        raise CardError(f"card {self.name}: no input with the role {role!r}; it has {', '.join(item.role for item in self.input) or 'none'}")

    def threshold_for(self, metric: str) -> Threshold | None:
        """The card's threshold for a metric, or None."""
        return next((item for item in self.threshold if item.metric == metric), None)


def _key(name: str) -> str:
    return name.rstrip("_")


def _convert(value: Any, wanted: Any, where: str) -> Any:
    """Check `value` against a type hint; numbers widen from int to float, lists become tuples. Raises CardError."""
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if wanted is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _convert(value, next(item for item in arguments if item is not type(None)), where)
    if origin is Literal:
        if value not in arguments or isinstance(value, bool):
            raise CardError(f"{where}: must be one of {', '.join(repr(item) for item in arguments)}, got {value!r}")
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise CardError(f"{where}: must be a list, got {type(value).__name__}")
        return tuple(_convert(item, arguments[0], f"{where}[{index}]") for index, item in enumerate(value))
    if origin in (Mapping, dict) or wanted is Mapping:
        if not isinstance(value, dict):
            raise CardError(f"{where}: must be a table, got {type(value).__name__}")
        return types.MappingProxyType(value)
    if dataclasses.is_dataclass(wanted):
        assert isinstance(wanted, type)
        return build(wanted, value, where)
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        raise CardError(f"{where}: must be {wanted.__name__}, got {type(value).__name__} ({value!r})")
    if wanted is float and not math.isfinite(value):
        raise CardError(f"{where}: must be a finite number, got {value!r}")
    return value


def build(kind: type[T], table: Any, where: str) -> T:
    """Build a frozen dataclass from a TOML table, strictly: unknown keys, missing keys and wrong types raise `CardError` naming `where`."""
    assert dataclasses.is_dataclass(kind)
    if not isinstance(table, Mapping):
        raise CardError(f"{where}: must be a table, got {type(table).__name__}")
    hints = typing.get_type_hints(kind)
    known = {_key(item.name): item for item in dataclasses.fields(kind) if item.name != "path"}
    for name in table:
        if name not in known:
            raise CardError(f"{where}: unknown key {name!r}; allowed: {', '.join(sorted(known))}")
    values: dict[str, Any] = {}
    for name, item in known.items():
        if name in table:
            values[item.name] = _convert(table[name], hints[item.name], f"{where}: {name}")
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            raise CardError(f"{where}: the key {name!r} is missing")
    try:
        return kind(**values)
    except (ValueError, TypeError) as error:
        raise CardError(f"{where}: {error}") from error


def options(card: Card, kind: type[T]) -> T:
    """The card's `[decode]` table as the adapter's frozen options dataclass."""
    return build(kind, card.decode, f"card {card.name}: [decode]")


def _hexadecimal(text: str, length: int) -> bool:
    return len(text) == length and all(letter in "0123456789abcdef" for letter in text)


def _check_file(item: FileSpec, where: str) -> None:
    if sum(bool(part) for part in (item.sha256, item.git_blob, item.pin)) != 1:
        raise CardError(f'{where}: exactly one of sha256, git_blob and pin = "first-use" must stand')
    if item.sha256 and not _hexadecimal(item.sha256, 64):
        raise CardError(f"{where}: sha256 must be 64 lower-case hexadecimal digits, got {item.sha256!r}")
    if item.git_blob and not _hexadecimal(item.git_blob, 40):
        raise CardError(f"{where}: git_blob must be 40 lower-case hexadecimal digits, got {item.git_blob!r}")
    if not item.from_:
        raise CardError(f"{where}: from must name at least one source")


def _check(card: Card, where: str) -> None:
    if card.schema != SCHEMA:
        raise CardError(f"{where}: schema {card.schema} is not known; this version reads schema {SCHEMA}")
    for key in ("name", "adapter", "summary", "paper", "code"):
        if not getattr(card, key).strip():
            raise CardError(f'{where}: {key} must not be empty (say "none" and why in notes where there is none)')
    for key in ("code", "weights"):
        if not getattr(card.license, key).strip():
            raise CardError(f'{where}: license.{key} must not be empty ("unknown" is an answer)')
    if card.license.commercial_use and card.license.weights.lower().startswith(("unknown", "non-commercial")):
        raise CardError(f"{where}: commercial_use = true contradicts license.weights = {card.license.weights!r}")
    if not card.file and not card.part and card.license.weights != "none":
        raise CardError(f'{where}: a model needs at least one [[file]] or [[part]]; one that is pure code says license.weights = "none"')
    if card.part and (card.file or card.input):
        raise CardError(f"{where}: a fusion has no [[file]] and no [[input]] of its own: its parts' cards say them")
    if any(part.weight <= 0 for part in card.part):
        raise CardError(f"{where}: the weight of a part must be positive")
    roles = [item.role for item in card.file]
    if len(set(roles)) != len(roles):
        raise CardError(f"{where}: two files have the same role")
    for index, item in enumerate(card.file):
        _check_file(item, f"{where}: file[{index}]")
    for index, entry in enumerate(card.input):
        spot = f"{where}: input[{index}]"
        channels = 1 if entry.color == "GRAY" else 3
        if len(entry.size) not in (0, 2) or any(side <= 0 for side in entry.size):
            raise CardError(f"{spot}: size must be [height, width] or absent, got {list(entry.size)}")
        if len(entry.mean) not in (1, channels) and entry.mean != InputSpec.__dataclass_fields__["mean"].default:
            raise CardError(f"{spot}: mean needs {channels} numbers for {entry.color}, got {len(entry.mean)}")
        if len(entry.std) not in (1, channels) and entry.std != InputSpec.__dataclass_fields__["std"].default:
            raise CardError(f"{spot}: std needs {channels} numbers for {entry.color}, got {len(entry.std)}")
        if any(value == 0 for value in entry.std):
            raise CardError(f"{spot}: std must not hold 0")
        if entry.multiple < 1:
            raise CardError(f"{spot}: multiple must be at least 1")
        if entry.enlarge < 0 or (entry.size and entry.enlarge > min(entry.size)):
            raise CardError(f"{spot}: enlarge must lie between 0 and the smaller side of size, got {entry.enlarge}")
    for index, output in enumerate(card.output):
        spot = f"{where}: output[{index}]"
        if output.kind == "embedding" and output.dim <= 0:
            raise CardError(f"{spot}: an embedding needs dim")
        if output.kind in ("classes", "expectation") and not (output.labels or output.weights):
            raise CardError(f"{spot}: {output.kind} needs labels or weights")


def parse(text: str, where: str) -> Card:
    """Read a card from TOML text; `where` stands in every message.

    Raises:
        CardError: not TOML, or against the schema.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CardError(f"{where}: not valid TOML: {error}") from error
    card = build(Card, table, where)
    _check(card, where)
    stem = Path(where).stem if where.endswith(".toml") else card.name
    if stem != card.name:
        raise CardError(f"{where}: the file must be called {card.name}.toml, since the name is the key")
    return dataclasses.replace(card, path=where)
