"""Foreign weight files become ONNX graphs that onnxruntime runs well. One module per format; the result is cached.

A card's `convert = "fold"` names an entry of `CONVERTERS`. A converter is a function `Source -> bytes` (a serialized ONNX model) in a module with
an integer `VERSION` (and a `SUFFIX` where the result is no ONNX file); raising the version makes every cached result of it stale.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from .. import assets, plugins
from ..cards import Card, FileSpec
from ..errors import CardError, ConversionError, FaceworksError

__all__ = ["CONVERTERS", "Converter", "Source", "converted_path", "prepare", "version"]


class Converter(NamedTuple):
    """Where a converter is ("module:function"), which version of its results is current, and the suffix of its results.

    `version` goes up when the numbers change: thresholds and calibrations of older recipes then no longer hold. `layout` goes up when the same numbers
    come from a better graph: results in the cache are made anew, and nothing else notices.
    """

    reference: str
    version: int
    suffix: str = ".onnx"
    layout: int = 0


CONVERTERS = {
    "caffe": Converter("faceworks.convert.caffe:caffe", 1),
    "dlib_mmod": Converter("faceworks.convert.dlib:mmod", 1),
    "dlib_resnet": Converter("faceworks.convert.dlib:resnet", 1, layout=1),
    "dlib_shape": Converter("faceworks.convert.dlib_shape:shape_predictor", 1, ".npz"),
    "fold": Converter("faceworks.convert.fold:fold", 2),
    "face_api": Converter("faceworks.convert.face_api:face_api", 1),
    "keras_h5": Converter("faceworks.convert.keras_h5:keras_h5", 1),
    "mtcnn": Converter("faceworks.convert.mtcnn:mtcnn", 2),
    "tfjs": Converter("faceworks.convert.tfjs:tfjs", 1),
    "tflite": Converter("faceworks.convert.tflite:tflite", 1),
    "torch_state": Converter("faceworks.convert.torch_state:torch_state", 1),
}


@dataclass(frozen=True, slots=True)
class Source:
    """What a converter gets: the verified raw file, its entry in the card, and the card (for sibling files and output names)."""

    path: Path
    file: FileSpec
    card: Card

    def sibling(self, role: str) -> Path:
        """Another file of the same card, fetched and verified."""
        return assets.fetch(self.card.file_for(role))

    def option(self, name: str, default: Any = None) -> Any:
        """An entry of `convert_options`."""
        return self.file.convert_options.get(name, default)


def _converter(name: str) -> Converter:
    if name not in CONVERTERS:
        raise CardError(f"no converter is called {name!r}; known: {', '.join(sorted(CONVERTERS))}")
    return CONVERTERS[name]


def version(file: FileSpec) -> str:
    """ "fold-3" for a converted file, "" for one that is used as it is."""
    return f"{file.convert}-{_converter(file.convert).version}" if file.convert else ""


def _key(card: Card, file: FileSpec) -> str:
    """Hash over everything that the result depends on."""
    recipe = {
        "file": file.sha256 or file.git_blob or hashlib.sha256(assets.fetch(file).read_bytes()).hexdigest(),
        "siblings": [item.sha256 or item.git_blob or item.role for item in card.file if item.role != file.role],
        "converter": version(file) + (f".{CONVERTERS[file.convert].layout}" if CONVERTERS[file.convert].layout else ""),
        "options": json.loads(json.dumps(dict(file.convert_options), sort_keys=True, default=dict)),
        "ignore": list(file.ignore),
        "outputs": [[item.name, item.tensor] for item in card.output],
    }
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


def converted_path(card: Card, role: str = "model") -> Path:
    """Where the converted file of that role lies, or would lie."""
    file = card.file_for(role)
    suffix = _converter(file.convert).suffix if file.convert else ".onnx"
    return assets.cache_folder("converted") / f"{card.name}-{role}-{_key(card, file)[:16]}{suffix}"


def prepare(card: Card, role: str = "model") -> Path:
    """Path of a file that onnxruntime opens: fetched, verified and, where the card says so, converted (once; the result is cached).

    Raises:
        ConversionError: the file holds something that the converter does not understand.
    """
    file = card.file_for(role)
    if not file.convert:
        return assets.fetch(file)
    target = converted_path(card, role)
    if target.is_file():
        return target
    convert = plugins.resolve(_converter(file.convert).reference)
    source = Source(assets.fetch(file), file, card)
    try:
        data = convert(source)
    except FaceworksError:
        raise
    except Exception as error:
        raise ConversionError(
            f"{card.name}: the file {source.path.name} cannot be converted by {version(file)}: {type(error).__name__}: {error}"
        ) from error
    assets.atomic_write(target, lambda out: out.write(data))
    return target


def forget(card: Card) -> None:
    """Remove what was converted for a card."""
    for path in assets.cache_folder("converted").glob(f"{card.name}-*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
