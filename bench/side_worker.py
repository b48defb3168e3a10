"""One package of bench/side_by_side.py, in its own environment: `python side_worker.py PACKAGE PLAN.json cold | serve`.

"cold" answers once whether two pictures show one person (or, where a package only detects, finds the faces of both) and ends. "serve" opens everything, then reads
names of tasks from stdin and answers each with a line of JSON: wall and processor milliseconds, and what came out. Nothing but the standard library and the
package itself is imported, faceworks only for faceworks.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Tasks = dict[str, Callable[[], Any]]
FIND = (10_000, 1_000_000)


def known(count: int) -> Any:
    """Vectors of nobody, the same in every package: (count, 128) float32."""
    import numpy as np

    return np.random.default_rng(0).standard_normal((count, 128), np.float32)


def faceworks(plan: dict[str, Any]) -> Tasks:
    """The default models, YuNet and SFace; or SCRFD 2.5g, as insightface and uniface get it here."""
    from faceworks import api
    from faceworks.similarity import unit

    options = {"threads": plan["threads"], **plan["options"]}
    pair, many = plan["pair"], plan["folder"]

    def folder() -> int:
        from faceworks import PipelineSpec, map_images

        spec = PipelineSpec(select="all", on_no_face="empty", **plan["options"])
        return sum(len(item.result) for item in map_images(spec, many, "threads"))

    tasks: Tasks = {
        "cold": lambda: api.verify(*pair, **options).verified,
        "detect": lambda: len(api.detect(plan["group"], **options)),
        "embed": lambda: len(api.embed(pair[0], **options)),
        "verify": lambda: api.verify(*pair, **options).verified,
        "folder": folder,
    }

    def finder(count: int) -> Callable[[], Any]:
        from faceworks.gallery import open_gallery
        from faceworks.pipeline import Pipeline, PipelineSpec

        gallery = open_gallery("memory:", "a")
        gallery.enroll_vectors([f"P{i}" for i in range(count)], known(count), Pipeline(PipelineSpec()).embedding_id)
        query = unit(known(1))
        return lambda: gallery.look_up(query, 5)[0][0][1] > 0.999

    return tasks | {f"find {count}": Later(finder, count) for count in FIND}


class Later:
    """A task that is made when it is first asked for."""

    def __init__(self, make: Callable[[int], Callable[[], Any]], count: int) -> None:
        self.make, self.count = make, count
        self.made: Callable[[], Any] | None = None

    def __call__(self) -> Any:
        if self.made is None:
            self.made = self.make(self.count)
        return self.made()


def deepface(plan: dict[str, Any]) -> Tasks:
    """The same two networks: YuNet and SFace."""
    from deepface import DeepFace

    options = {"detector_backend": "yunet", "enforce_detection": False}
    pair = plan["pair"]
    return {
        "cold": lambda: bool(DeepFace.verify(*pair, model_name="SFace", silent=True, **options)["verified"]),
        "detect": lambda: len(DeepFace.extract_faces(plan["group"], **options)),
        "embed": lambda: len(DeepFace.represent(pair[0], model_name="SFace", **options)),
        "verify": lambda: bool(DeepFace.verify(*pair, model_name="SFace", silent=True, **options)["verified"]),
        "folder": lambda: sum(len(DeepFace.represent(path, model_name="SFace", **options)) for path in plan["folder"]),
    }


def face_recognition(plan: dict[str, Any]) -> Tasks:
    """HOG and dlib's ResNet, its defaults."""
    import warnings

    warnings.simplefilter("ignore")
    import face_recognition as package

    def vectors(path: str) -> Any:
        return package.face_encodings(package.load_image_file(path))

    def verify() -> bool:
        a, b = (vectors(path)[0] for path in plan["pair"])
        return bool(package.compare_faces([a], b)[0])

    def finder(count: int) -> Callable[[], Any]:
        store = known(count).astype("float64")
        return lambda: float(package.face_distance(store, store[0]).min()) < 1e-6

    return {
        "cold": verify,
        "detect": lambda: len(package.face_locations(package.load_image_file(plan["group"]))),
        "embed": lambda: len(vectors(plan["pair"][0])),
        "verify": verify,
        "folder": lambda: sum(len(vectors(path)) for path in plan["folder"]),
    } | {f"find {count}": Later(finder, count) for count in FIND}


def facenet_pytorch(plan: dict[str, Any]) -> Tasks:
    """MTCNN with its weights, InceptionResnetV1 with random ones (they are downloaded elsewhere): the time is the same, the answer is nobody's."""
    import torch
    from facenet_pytorch import MTCNN, InceptionResnetV1
    from PIL import Image

    torch.set_num_threads(plan["threads"])
    detector, network = MTCNN(keep_all=True), InceptionResnetV1(num_classes=10, classify=False).eval()

    @torch.no_grad()
    def vectors(path: str) -> Any:
        faces = detector(Image.open(path).convert("RGB"))
        return [] if faces is None else network(faces)

    def verify() -> Any:
        a, b = (vectors(path)[0] for path in plan["pair"])
        return float((a - b).norm()) < 1.1 or None

    return {
        "cold": verify,
        "detect": lambda: len(detector.detect(Image.open(plan["group"]).convert("RGB"))[0]),
        "embed": lambda: len(vectors(plan["pair"][0])),
        "verify": verify,
        "folder": lambda: sum(len(vectors(path)) for path in plan["folder"]),
    }


def mtcnn(plan: dict[str, Any]) -> Tasks:
    """Detection alone, under TensorFlow."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    from mtcnn import MTCNN
    from mtcnn.utils.images import load_image

    detector = MTCNN()

    def count(path: str) -> int:
        return len(detector.detect_faces(load_image(path)))

    return {"cold": lambda: [count(path) for path in plan["pair"]] and None, "detect": lambda: count(plan["group"])}


def insightface(plan: dict[str, Any]) -> Tasks:
    """Its classes over ONNX files from our cache: SCRFD 2.5g, and SFace as ArcFace's stand-in (its own packs are downloaded elsewhere)."""
    import contextlib
    import io
    import warnings

    import cv2
    from insightface.app.common import Face
    from insightface.model_zoo import model_zoo

    warnings.simplefilter("ignore")  # of scikit-image, at each face
    with contextlib.redirect_stdout(io.StringIO()):
        detector, embedder = (model_zoo.get_model(plan[name], providers=["CPUExecutionProvider"]) for name in ("scrfd", "sface"))
        detector.prepare(-1, input_size=(640, 640), det_thresh=0.5)

    def vectors(path: str) -> list[Any]:
        picture = cv2.imread(path)
        boxes, points = detector.detect(picture)
        faces = [Face(bbox=box[:4], kps=five, det_score=box[4]) for box, five in zip(boxes, points, strict=True)]
        return [embedder.get(picture, face) for face in faces]

    def verify() -> bool:
        a, b = (vectors(path)[0] for path in plan["pair"])
        return bool(embedder.compute_sim(a, b) > 0.363)

    return {
        "cold": verify,
        "detect": lambda: len(detector.detect(cv2.imread(plan["group"]))[0]),
        "embed": lambda: len(vectors(plan["pair"][0])),
        "verify": verify,
        "folder": lambda: sum(len(vectors(path)) for path in plan["folder"]),
    }


def uniface(plan: dict[str, Any]) -> Tasks:
    """Its classes over the same two files; its own are downloaded elsewhere and cannot be named by path, so the function that fetches them is replaced."""
    import cv2
    import uniface.detection.scrfd as module
    from uniface.recognition.base import BaseRecognizer, PreprocessConfig

    module.verify_model_weights = lambda *_, **__: plan["scrfd flat"]

    class SFace(BaseRecognizer):  # type: ignore[misc]
        def __init__(self) -> None:  # SFace takes pixels as they are: its graph holds mean and scale
            super().__init__(model_path=plan["sface"], preprocessing=PreprocessConfig(0.0, 1.0), providers=["CPUExecutionProvider"])

    detector, embedder = module.SCRFD(providers=["CPUExecutionProvider"]), SFace()

    def vectors(path: str) -> list[Any]:
        picture = cv2.imread(path)
        return [embedder.get_normalized_embedding(picture, face.landmarks).ravel() for face in detector.detect(picture)]

    def verify() -> bool:
        a, b = (vectors(path)[0] for path in plan["pair"])
        return bool(a @ b > 0.363)

    def finder(count: int) -> Callable[[], Any]:
        import numpy as np
        from uniface.stores import FAISS

        rows = known(count)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        store = FAISS(embedding_size=128, db_path=plan["scratch"])
        for number, row in enumerate(rows):
            store.add(row, {"person": number})
        return lambda: store.search(rows[0])[1] > 0.999

    return {
        "cold": verify,
        "detect": lambda: len(detector.detect(cv2.imread(plan["group"]))),
        "embed": lambda: len(vectors(plan["pair"][0])),
        "verify": verify,
        "folder": lambda: sum(len(vectors(path)) for path in plan["folder"]),
    } | {f"find {count}": Later(finder, count) for count in FIND}


PACKAGES = {
    "faceworks": faceworks,
    "faceworks, SCRFD 2.5g": faceworks,
    "deepface": deepface,
    "face_recognition": face_recognition,
    "facenet-pytorch": facenet_pytorch,
    "mtcnn": mtcnn,
    "insightface": insightface,
    "uniface": uniface,
}


def main() -> None:
    """See the module's docstring."""
    name, plan, mode = sys.argv[1], json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")), sys.argv[3]
    plan["options"] = {"detector": "scrfd-2.5g"} if "SCRFD" in name else {}
    answers, sys.stdout = sys.stdout, sys.stderr  # what packages print shall not be taken for an answer
    tasks = PACKAGES[name](plan)
    if mode == "cold":
        print(json.dumps({"result": tasks["cold"]()}), file=answers, flush=True)
        return
    print(json.dumps(sorted(tasks)), file=answers, flush=True)
    for line in sys.stdin:
        wall, busy = time.perf_counter(), time.process_time()
        result = tasks[line.strip()]()
        print(json.dumps([(time.perf_counter() - wall) * 1e3, (time.process_time() - busy) * 1e3, result]), file=answers, flush=True)


if __name__ == "__main__":
    main()
