"""dlib's two face networks to ONNX: the converters' door, which imports onnx only when something is converted (`dlib_graph` does the work)."""

from __future__ import annotations

from . import Source

__all__ = ["VERSION", "mmod", "resnet"]

VERSION = 1


def resnet(source: Source) -> bytes:
    """`dlib_face_recognition_resnet_model_v1.dat` as ONNX: image (batch, 3, 150, 150) → embedding (batch, 128)."""
    from . import dlib_graph

    return dlib_graph.resnet(source)


def mmod(source: Source) -> bytes:
    """`mmod_human_face_detector.dat` as ONNX: image (batch, 3, height, width) → scores (batch, 1, rows, columns)."""
    from . import dlib_graph

    return dlib_graph.mmod(source)
