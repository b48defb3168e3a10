"""Record what deepface and face_recognition answer, as `tests/golden/compat_*.json`. Runs in THEIR environments, so it imports nothing of ours.

    python -m venv A && A/bin/pip install deepface==0.0.103 werkzeug
    A/bin/python tools/record_peers.py deepface PICTURES GOLDEN
    python -m venv B && B/bin/pip install face_recognition==1.3.0 dlib-bin "setuptools<81"
    B/bin/python tools/record_peers.py face_recognition PICTURES GOLDEN

PICTURES is the folder `peers/face_recognition/examples` of the shared data (face_recognition's own example pictures). deepface looks for the weights
of SFace and YuNet in `~/.deepface/weights` (setting `DEEPFACE_HOME`) and for `haarcascade_*.xml` beside its own OpenCV.

A *shape* says a value's type; of a dict the keys in their order, of a list the shape of its first element.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

PAIR = ("obama_small.jpg", "obama-240p.jpg")
OTHER = "knn_examples/train/biden/biden.jpg"
TWO = "two_people.jpg"
NAMES = ("verify", "represent", "extract_faces", "find", "analyze", "register", "search")
FUNCTIONS = (
    *("load_image_file", "face_locations", "batch_face_locations", "face_landmarks"),
    *("face_encodings", "compare_faces", "face_distance"),
)


def shape(value: Any) -> Any:
    """Type names, recursively; key order is kept."""
    if isinstance(value, dict):
        return {str(key): shape(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, shape(value[0])] if value else [type(value).__name__]
    if type(value).__name__ == "ndarray":
        return f"ndarray {value.ndim} {value.dtype}"
    return type(value).__name__


def parameters(function: Any) -> list[list[Any]]:
    """Names and defaults in order; a parameter without a default has the name alone."""
    items = inspect.signature(function).parameters.values()
    return [[item.name] if item.default is item.empty else [item.name, item.default] for item in items]


def write(folder: Path, name: str, package: str, body: dict[str, Any]) -> None:
    """One document, with what made it."""
    made = {"tool": "tools/record_peers.py", "package": package, "version": importlib.metadata.version(package)}
    text = json.dumps({"made": made, **body}, indent=1, ensure_ascii=False)
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def deepface(pictures: Path, folder: Path) -> None:
    """Signatures, shapes, thresholds and confidences of deepface."""
    from deepface import DeepFace
    from deepface.config.threshold import thresholds
    from deepface.modules import verification

    a, b, two = str(pictures / PAIR[0]), str(pictures / PAIR[1]), str(pictures / TWO)
    detectors = ("yunet", "skip", "opencv")
    body: dict[str, Any] = {"signatures": {name: parameters(getattr(DeepFace, name)) for name in NAMES}}
    body["verify"] = {item: shape(DeepFace.verify(a, b, model_name="SFace", detector_backend=item)) for item in detectors}
    vector = DeepFace.represent(a, model_name="SFace", detector_backend="yunet")[0]["embedding"]
    body["verify"]["vectors"] = shape(DeepFace.verify(vector, vector, model_name="SFace", silent=True))
    body["represent"] = {item: shape(DeepFace.represent(a, model_name="SFace", detector_backend=item)) for item in detectors}
    body["represent"]["face"] = shape(DeepFace.represent(a, model_name="SFace", detector_backend="yunet", return_face=True))
    body["represent"]["two"] = shape(DeepFace.represent(two, model_name="SFace", detector_backend="yunet"))
    body["represent"]["batch"] = shape(DeepFace.represent([a, b], model_name="SFace", detector_backend="yunet"))
    body["represent"]["batch of one"] = shape(DeepFace.represent([a], model_name="SFace", detector_backend="yunet"))
    body["extract_faces"] = {item: shape(DeepFace.extract_faces(a, detector_backend=item)) for item in detectors}
    body["extract_faces"]["gray"] = shape(DeepFace.extract_faces(a, detector_backend="yunet", color_face="gray"))
    body["extract_faces"]["uint8"] = shape(DeepFace.extract_faces(a, detector_backend="yunet", normalize_face=False))
    body["extract_faces"]["batch"] = shape(DeepFace.extract_faces([a, b], detector_backend="yunet"))
    body["values"] = {
        "picture": PAIR[0],
        "facial_area": DeepFace.extract_faces(a, detector_backend="yunet")[0]["facial_area"],
        "facial_area_expanded": DeepFace.extract_faces(a, detector_backend="yunet", expand_percentage=20)[0]["facial_area"],
        "skip": DeepFace.extract_faces(a, detector_backend="skip")[0]["facial_area"],
    }
    body["thresholds"] = thresholds
    body["confidences"] = [
        [model, metric, distance, same, verification.find_confidence(distance, model, same, metric)]
        for model, table in thresholds.items()
        for metric, limit in table.items()
        for distance, same in [(0.0, True), *((round(limit * part, 6), part <= 1) for part in (0.2, 0.6, 0.99, 1, 1.01, 1.3, 2.2))]
    ]
    body["find"], body["search"] = searches(DeepFace, pictures)
    body["analyze"] = analyses(DeepFace, a)
    write(folder, "compat_deepface", "deepface", body)


def analyses(module: Any, picture: str) -> dict[str, Any]:
    """Shapes of `analyze` with its own code; its networks are on GitHub, so that in their place stand fixed answers."""
    import numpy as np
    from deepface.modules import modeling

    answers = {"Emotion": np.full(7, 1 / 7), "Age": np.float64(30.0), "Gender": np.array([0.25, 0.75]), "Race": np.full(6, 1 / 6)}

    class Fixed:
        def __init__(self, name: str) -> None:
            self.name = name

        def predict(self, _: Any) -> Any:
            return answers[self.name]

    real = modeling.build_model
    modeling.build_model = lambda task, model_name: Fixed(model_name) if task == "facial_attribute" else real(task=task, model_name=model_name)
    try:
        kinds = {"all": ("emotion", "age", "gender", "race"), "age first": ("age", "emotion"), "one": ("gender",)}
        return {name: shape(module.analyze(picture, actions=actions, detector_backend="yunet", silent=True)) for name, actions in kinds.items()}
    finally:
        modeling.build_model = real


def frame(table: Any) -> dict[str, Any]:
    """Columns of a pandas table in their order, with their types (of text: str, whatever pandas calls it)."""
    kinds = {"O": "text", "T": "text", "U": "text"}
    return {str(name): kinds.get(getattr(kind, "kind", "O"), str(kind)) for name, kind in zip(table.columns, table.dtypes, strict=True)}


def searches(module: Any, pictures: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Shapes of `find` in a folder, and of `register` and `search` in its SQLite store."""
    options = {"model_name": "SFace", "detector_backend": "yunet"}
    probe = str(pictures / PAIR[0])
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        for picture in (PAIR[1], TWO, OTHER):
            shutil.copy(pictures / picture, Path(name) / Path(picture).name)
        for kind, more in (("plain", {}), ("all", {"similarity_search": True}), ("first", {"similarity_search": True, "k": 1})):
            tables = module.find(probe, name, return_type="pandas", silent=True, **more, **options)
            found[kind] = {"faces": len(tables), "rows": len(tables[0]), "columns": frame(tables[0])}
            rows = module.find(probe, name, return_type="dict", silent=True, **more, **options)
            found[f"{kind}, dict"] = {"faces": len(rows), "rows": len(rows[0]), "keys": sorted(rows[0][0])}
        found["two"] = len(module.find(str(pictures / TWO), name, return_type="pandas", silent=True, **options))
        store = {"database_type": "sqlite", "connection_details": str(Path(name) / "faces.db")}
        searched: dict[str, Any] = {"register": module.register(str(pictures / PAIR[1]), **store, **options)}
        searched["register two"] = module.register(str(pictures / TWO), img_name="two", **store, **options)
        searched["register again"] = module.register(str(pictures / PAIR[1]), **store, **options)
        for kind, more in (("plain", {}), ("all", {"similarity_search": True}), ("first", {"similarity_search": True, "k": 1})):
            table = module.search(probe, return_type="pandas", **more, **store, **options)[0]
            searched[kind] = {"rows": len(table), "columns": frame(table)}
            searched[f"{kind}, dict"] = shape(module.search(probe, return_type="dict", **more, **store, **options))
    return found, searched


def face_recognition(pictures: Path, folder: Path) -> None:
    """Signatures, shapes and values of face_recognition."""
    import face_recognition as module

    images = {name: module.load_image_file(str(pictures / name)) for name in (*PAIR, OTHER, TWO)}
    a = next(iter(images.values()))
    known = module.face_encodings(a)
    values: dict[str, Any] = {}
    for name, picture in images.items():
        values[name] = {
            "size": list(picture.shape),
            "sum": int(picture.sum()),
            "hog": module.face_locations(picture),
            "hog 0": module.face_locations(picture, 0),
            "large": module.face_landmarks(picture),
            "small": module.face_landmarks(picture, model="small"),
            "encodings": [[round(float(x), 7) for x in row] for row in module.face_encodings(picture)],
            "encodings large": [[round(float(x), 7) for x in row] for row in module.face_encodings(picture, model="large")],
        }
    gray = module.load_image_file(str(pictures / PAIR[0]), "L")
    small = a[:240, :320].copy()  # dlib without a GPU takes minutes for more
    jittered = module.face_encodings(a, num_jitters=20)[0]
    body = {
        "signatures": {name: parameters(getattr(module, name)) for name in FUNCTIONS},
        "shapes": {
            "load_image_file": shape(a),
            "load_image_file L": shape(gray),
            "face_locations": shape(module.face_locations(a)),
            "face_locations none": shape(module.face_locations(a[:60, :60])),
            "batch_face_locations": shape(module.batch_face_locations([small], 0)),
            "face_landmarks": shape(module.face_landmarks(a)),
            "face_landmarks small": shape(module.face_landmarks(a, model="small")),
            "face_encodings": shape(known),
            "face_distance": shape(module.face_distance(known, known[0])),
            "face_distance none": shape(module.face_distance([], known[0])),
            "compare_faces": shape(module.compare_faces(known, known[0])),
        },
        "cnn": module.face_locations(small, 0, "cnn"),
        "gray": int(gray.sum()),
        "jittered": [round(float(x), 7) for x in jittered],
        "values": values,
    }
    write(folder, "compat_face_recognition", "face_recognition", body)


if __name__ == "__main__":
    {"deepface": deepface, "face_recognition": face_recognition}[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
