"""Networks: one session layer over onnxruntime, one place that makes tensors."""

from __future__ import annotations

from .ort import DEVICES, Session, SessionOptions, open_file, open_session
from .preprocess import bucket, to_blob
from .run import run_batched

__all__ = ["DEVICES", "Session", "SessionOptions", "bucket", "open_file", "open_session", "run_batched", "to_blob"]
