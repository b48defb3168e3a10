"""The shape of the project, held by tests: imports, names, sizes, errors, values, cards, docstrings."""

from __future__ import annotations

import ast
import copy
import importlib
import importlib.util
import inspect
import os
import pickle
import pkgutil
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import faceworks
from faceworks import cards, errors, settings, types
from faceworks.evaluate import metrics
from faceworks.pipeline import PipelineSpec
from faceworks.runtime import SessionOptions
from faceworks.types import Categorical, Crop, Embedding, Face, FaceResult, Identification, Landmarks, Match, Scalar, Verification, View
from faceworks.verification import Decision

SOURCE = Path(faceworks.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))

PUBLIC = [
    *("Categorical", "Crop", "Embedding", "Face", "FaceResult", "FaceworksError", "Identification", "Landmarks", "Match", "Pipeline"),
    *("PipelineSpec", "Scalar", "Verification", "__version__", "align", "detect", "draw", "embed", "embed_crops", "errors", "evaluate"),
    *("geometry", "get_pipeline", "image", "load_image", "map_images", "save_image", "settings", "similarity", "to_dict", "types", "verify"),
    *("Gallery", "analyze", "identify", "open_gallery", "verify_person", "to_dataframe", "to_supervision"),
]
"""A snapshot: a change here is a change of the public interface, and belongs into the changelog."""


def python(code: str, *options: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE.parent)}
    done = subprocess.run([sys.executable, *options, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- imports ---------------------------------------------------------------------------------------------------------------------------------


def test_import_is_light_and_silent() -> None:
    heavy = ["cv2", "onnxruntime", "onnx", "numpy", "PIL", "h5py", "rich", "click", "torch", "scipy", "pandas", "matplotlib", "sklearn"]
    loaded = python(f"import sys, faceworks; print([name for name in {heavy!r} if name in sys.modules])", "-W", "error")
    assert loaded.strip() == "[]", f"`import faceworks` pulled {loaded.strip()}"


@pytest.mark.parametrize("name", ["types", "errors", "settings", "similarity", "geometry", "cards", "plugins"])
def test_pure_modules_stay_pure(name: str) -> None:
    heavy = ["cv2", "onnxruntime", "onnx", "PIL", "h5py", "rich", "click", "torch", "scipy"]
    loaded = python(f"import sys, faceworks.{name}; print([name for name in {heavy!r} if name in sys.modules])", "-W", "error")
    assert loaded.strip() == "[]", f"`import faceworks.{name}` pulled {loaded.strip()}"


def test_deciding_needs_neither_networks_nor_pictures() -> None:
    code = "import sys, faceworks.verification; print([n for n in ('cv2', 'onnxruntime', 'onnx', 'h5py', 'torch') if n in sys.modules])"
    assert python(code, "-W", "error").strip() == "[]"


def test_a_converters_version_is_read_without_its_heavy_packages() -> None:
    """Every start asks for the version, to find the cached result; only a conversion may import what converts."""
    code = (
        "import sys\nfrom faceworks import cards, convert\n"
        "found = [convert.version(file) for name in cards.names() for file in cards.get(name).file]\n"
        "print('fold-' in ' '.join(found), [name for name in ('onnx', 'torch', 'h5py', 'onnxruntime') if name in sys.modules])"
    )
    assert python(code).strip() == "True []"


def test_functions_survive_the_import_of_packages_with_their_names() -> None:
    code = "import faceworks, faceworks.detect, faceworks.embed; from faceworks.detect import load_detector; print(faceworks.detect.__name__)"
    assert python(code).strip() == "detect"


def test_a_misspelt_public_name_raises() -> None:
    with pytest.raises(AttributeError, match="verfy"):
        _ = faceworks.verfy  # type: ignore[attr-defined]


# --- names and sizes -------------------------------------------------------------------------------------------------------------------------


def test_public_names_equal_the_snapshot() -> None:
    assert sorted(faceworks.__all__) == sorted(PUBLIC)
    assert sorted(dir(faceworks)) == sorted(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(faceworks, name) is not None


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_module_is_small_and_named_for_what_it_does(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 400, f"{path.relative_to(SOURCE)} has {lines} lines: it has become two modules"
    parts = {part.removesuffix(".py") for part in path.relative_to(SOURCE).parts}
    assert not parts & {"utils", "util", "helpers", "helper", "common", "core", "base", "manager", "misc"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_public_functions_and_classes_have_docstrings(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    # a module that only runs its package, and the typing overloads of a documented function, say nothing themselves
    assert ast.get_docstring(tree) or path.name == "__main__.py", f"{path.name} has no docstring"
    bare: list[str] = []

    def look(body: list[ast.stmt], prefix: str, inside_class: bool) -> None:
        for node in body:
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) or node.name.startswith("_"):
                continue
            overloaded = any("overload" in ast.unparse(item) for item in node.decorator_list)
            if not overloaded and not ast.get_docstring(node):
                bare.append(prefix + node.name)
            if isinstance(node, ast.ClassDef) and not inside_class:
                look(node.body, f"{prefix}{node.name}.", True)

    look(tree.body, "", False)
    assert not bare, f"{path.relative_to(SOURCE)}: without a docstring: {', '.join(bare)}"


TORCH = ("faceworks.networks.", "faceworks.convert.torch_state", "faceworks.train.")
"""Where torch is spoken; it is an extra."""


def test_every_name_in_all_exists() -> None:
    for info in pkgutil.walk_packages([str(SOURCE)], "faceworks."):
        if info.name.endswith("__main__") or ".cli" in info.name or "stop_at_build" in info.name:
            continue
        if info.name.startswith(TORCH) and importlib.util.find_spec("torch") is None:
            continue
        if info.name.startswith("faceworks.server.") and importlib.util.find_spec("fastapi") is None:
            continue
        module = importlib.import_module(info.name)
        missing = [name for name in getattr(module, "__all__", []) if not hasattr(module, name)]
        assert not missing, f"{info.name}.__all__ names {missing}"


def test_no_seconds_of_environment_or_pickle() -> None:
    """ruff bans them too; this holds where someone runs the tests alone."""
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        names = {alias.name for node in ast.walk(ast.parse(text)) if isinstance(node, (ast.Import, ast.ImportFrom)) for alias in node.names}
        assert "pickle" not in names, path
        if path.name != "settings.py":
            assert "os.environ" not in text, path
            assert "os.getenv" not in text, path


# --- errors ----------------------------------------------------------------------------------------------------------------------------------


def subclasses(kind: type) -> list[type]:
    return [kind, *(leaf for child in kind.__subclasses__() for leaf in subclasses(child))]


def error_tree() -> list[type]:
    return [kind for kind in dict.fromkeys(subclasses(errors.FaceworksError)) if kind.__module__.startswith("faceworks")]


def test_all_errors_stand_in_errors_py() -> None:
    assert {kind.__name__ for kind in error_tree()} == set(errors.__all__)
    assert all(kind.__module__ == "faceworks.errors" for kind in error_tree())


@pytest.mark.parametrize("kind", error_tree(), ids=lambda kind: kind.__name__)
def test_every_error_leads_to_exit_code_2(kind: type[Exception]) -> None:
    cli = pytest.importorskip("faceworks.cli", reason="the command line is not there")
    assert cli.exit_code(kind("what went wrong")) == 2


@pytest.mark.parametrize("kind", [*error_tree(), RuntimeError, MemoryError, SystemError], ids=lambda kind: kind.__name__)
def test_an_error_inside_a_command_leaves_with_2_and_one_line(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cli = pytest.importorskip("faceworks.cli", reason="the command line is not there")

    def broken(*_: object, **__: object) -> None:
        raise kind("what went wrong")

    monkeypatch.setattr("faceworks.api.verify", broken)
    assert cli.run(["verify", "a.jpg", "b.jpg"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "what went wrong" in err


def test_errors_pickle_with_what_they_carry() -> None:
    for kind in error_tree():
        error = kind("what went wrong")
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is kind
        assert str(again) == str(error)
    wrong = pickle.loads(pickle.dumps(errors.ManifestError("no such file", 3, "path")))
    assert (str(wrong), wrong.line, wrong.column) == ("line 3, column path: no such file", 3, "path")
    assert pickle.loads(pickle.dumps(errors.AssetUnavailable("none", ("a", "b")))).tried == ("a", "b")


def test_errors_are_also_what_python_expects() -> None:
    assert issubclass(errors.InputError, ValueError)
    assert issubclass(errors.MissingDependency, ImportError)


# --- values ----------------------------------------------------------------------------------------------------------------------------------


def values() -> dict[str, Any]:
    points = Landmarks(np.arange(10).reshape(5, 2), "arcface5", np.full(5, 0.5))
    face = Face(np.array([1, 2, 30, 40]), 0.75, points, "yunet", "tile")
    vector = Embedding(np.array([3.0, 4.0]), 5.0, "sface@0123")
    crop = Crop(np.zeros((4, 4, 3), np.uint8), np.eye(2, 3), "square:1")
    label = Categorical("happy", {"happy": 0.75, "sad": 0.25}, "m")
    age = Scalar(31.5, "years", (0, 100), 4.0, "m")
    match = Match("Ada", 0.5, "ada_1")
    return {
        "Landmarks": points,
        "Face": face,
        "Embedding": vector,
        "Crop": crop,
        "View": View(face, (40, 50), 1, (crop,), vector),
        "Categorical": label,
        "Scalar": age,
        "FaceResult": FaceResult(face, vector, {"emotion": label, "age": age}),
        "Verification": Verification(True, 0.5, 0.5, "cosine", 0.637, "zoo", None, None, (face, face), {"detector": "y"}, {"load": 0.1}),
        "Match": match,
        "Identification": Identification(face, "Ada", (match,)),
        "PipelineSpec": PipelineSpec(select="all", threshold=0.5),
        "SessionOptions": SessionOptions("cpu", 2),
        "Settings": settings.Settings(Path("cache")),
        "Decision": Decision("cosine", 0.637, "zoo", 0.02),
    }


def plain(value: Any) -> Any:
    """Any value as nested tuples, to be compared."""
    if isinstance(value, np.ndarray):
        return (str(value.dtype), value.shape, value.tolist())
    if is_dataclass(value):
        return (type(value).__name__, tuple((item.name, plain(getattr(value, item.name))) for item in fields(value)))
    if isinstance(value, dict):
        return tuple((key, plain(item)) for key, item in value.items())
    return tuple(plain(item) for item in value) if isinstance(value, (list, tuple)) else value


def arrays(value: Any) -> list[np.ndarray]:
    if isinstance(value, np.ndarray):
        return [value]
    if is_dataclass(value):
        return [found for item in fields(value) for found in arrays(getattr(value, item.name))]
    return [found for item in value for found in arrays(item)] if isinstance(value, (list, tuple)) else []


def test_the_table_of_values_is_complete() -> None:
    known = {name for name, kind in vars(types).items() if inspect.isclass(kind) and is_dataclass(kind)}
    assert known <= set(values())


@pytest.mark.parametrize("name", values())
def test_value_is_frozen(name: str) -> None:
    value = values()[name]
    field = fields(value)[0].name
    with pytest.raises(FrozenInstanceError):
        setattr(value, field, None)
    with pytest.raises((AttributeError, TypeError)):
        value.mispelt = 1
    for array in arrays(value):
        assert not array.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", values())
def test_value_survives_a_pickle(name: str, protocol: int) -> None:
    value = values()[name]
    again = pickle.loads(pickle.dumps(value, protocol))
    assert plain(again) == plain(value)
    assert all(not array.flags.writeable for array in arrays(again)), "an array became writable on the way"


@pytest.mark.parametrize("name", values())
def test_value_survives_a_deep_copy(name: str) -> None:
    value = values()[name]
    again = copy.deepcopy(value)
    assert plain(again) == plain(value)
    assert all(not array.flags.writeable for array in arrays(again)), "an array became writable on the way"


def test_a_spec_is_a_key() -> None:
    assert {PipelineSpec(): 1}[PipelineSpec()] == 1
    assert hash(PipelineSpec(select="all")) == hash(PipelineSpec(select="all"))


def test_evaluation_values_are_frozen_too() -> None:
    found = metrics.roc(np.array([0.1, 0.9, 0.4]), np.array([0, 1, 0]))
    with pytest.raises((FrozenInstanceError, AttributeError, TypeError)):
        found.mispelt = 1  # type: ignore[attr-defined]


# --- cards -----------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", cards.names())
def test_every_card_loads_with_its_provenance(name: str) -> None:
    card = cards.get(name)
    assert card.name == name
    assert card.license.code
    assert card.license.weights
    assert card.paper
    for file in card.file:
        assert file.sha256 or file.git_blob or file.pin
        assert file.from_
    for threshold in card.threshold:
        assert threshold.source
