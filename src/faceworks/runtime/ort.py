"""Sessions over onnxruntime: opened once, shared by threads, quiet, and honest about the device they run on.

Nothing process-wide is touched, except that onnxruntime is asked not to report to its maker (`settings.silence_telemetry`). Every session has its own
thread pool with spinning switched off: the default pools of several sessions spin against each other and end up slower than one thread
(`docs/decisions/0003-threads.md`), and a global pool would break foreign sessions of a host program.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import assets, convert, settings
from ..cards import Card
from ..errors import AssetUnavailable, ConfigError, DeviceUnavailable, ModelError
from ..types import FloatArray

settings.silence_telemetry()
import onnxruntime  # noqa: E402 - after telemetry is silenced

__all__ = ["DEVICES", "Session", "SessionOptions", "open_file", "open_session"]

DEVICES = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
"""Device names and the onnxruntime provider that each stands for."""
_AUTO = ("cuda", "rocm", "directml", "coreml")


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How a network runs.

    Attributes:
        device: "cpu", "cuda", …, or "auto": the first accelerator that loads, else the CPU.
        threads: threads inside one run; 0 takes the setting, whose 0 means one per core this process may use.
    """

    device: str = "auto"
    threads: int = 0

    def __post_init__(self) -> None:
        if self.device != "auto" and self.device not in DEVICES:
            raise ConfigError(f"unknown device {self.device!r}; known: auto, {', '.join(DEVICES)}")
        if self.threads < 0:
            raise ConfigError(f"threads must be 0 (one per core) or more, got {self.threads}")


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        return os.cpu_count() or 1


class Session:
    """One network, ready to run. Safe to share between threads.

    Attributes:
        provider: the onnxruntime provider that runs it (the one that really loaded).
        inputs, outputs: tensor names.
        input_shape: shape of the first input; None where an axis is free.
        dynamic_batch: whether the first axis is free.
        threads: threads inside one run.
    """

    def __init__(self, session: Any, provider: str) -> None:
        self._session = session
        self.provider = provider
        self.threads = int(session.get_session_options().intra_op_num_threads)
        self.inputs: tuple[str, ...] = tuple(item.name for item in session.get_inputs())
        self.outputs: tuple[str, ...] = tuple(item.name for item in session.get_outputs())
        self.input_shape: tuple[int | None, ...] = tuple(n if isinstance(n, int) else None for n in session.get_inputs()[0].shape)
        self.dynamic_batch = bool(self.input_shape) and self.input_shape[0] is None

    def run(self, blob: FloatArray | dict[str, FloatArray], outputs: Sequence[str] | None = None) -> list[FloatArray]:
        """Run once. `blob` feeds the first input, a dict feeds several; returns all outputs or the named ones, float32."""
        feed = blob if isinstance(blob, dict) else {self.inputs[0]: blob}
        results: list[FloatArray] = self._session.run(list(outputs) if outputs else None, feed)
        return results


def _options(threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or settings.current().threads or _cores()
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options


@functools.cache
def _cpu_flags() -> str:
    """What an optimized graph depends on besides the file: onnxruntime picks layouts by the processor."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        flags = next((line for line in text.splitlines() if line.startswith(("flags", "Features"))), "")
    except OSError:
        flags = platform.processor()
    return hashlib.sha256(f"{platform.machine()} {flags}".encode()).hexdigest()[:12]


def _open_cpu(path: Path, threads: int) -> Any:
    """Open on the CPU through a cached optimized graph: optimizing at every start costs more than reading the result."""
    stat = path.stat()
    key = f"{path.name}|{stat.st_size}|{stat.st_mtime_ns}|{onnxruntime.__version__}|CPU|{_cpu_flags()}"
    options = _options(threads)
    try:
        cached = assets.cache_folder("optimized") / f"{path.stem[:48]}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.onnx"
    except AssetUnavailable:  # a cache that cannot be written must not stop the work
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    if cached.is_file():
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            return onnxruntime.InferenceSession(str(cached), options, providers=["CPUExecutionProvider"])
        except Exception:  # noqa: BLE001 - a damaged cache entry is dropped and made again
            cached.unlink(missing_ok=True)
            options = _options(threads)
    temporary = cached.with_name(f"{cached.stem}.{os.getpid()}.{threading.get_ident()}.tmp")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        options.optimized_model_filepath = str(temporary)
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        os.replace(temporary, cached)
    except Exception:  # noqa: BLE001 - a cache that cannot be written must not stop the work
        temporary.unlink(missing_ok=True)
        options = _options(threads)
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session


def open_file(path: Path, options: SessionOptions | None = None) -> Session:
    """Open an ONNX file, without memoizing.

    Raises:
        DeviceUnavailable: the requested device did not load (never for "auto").
        ModelError: onnxruntime refuses the file.
    """
    options = options or SessionOptions()
    wanted = [options.device] if options.device != "auto" else [*_AUTO, "cpu"]
    available = set(onnxruntime.get_available_providers())
    for device in wanted:
        provider = DEVICES[device]
        if provider not in available:
            continue
        try:
            if device == "cpu":
                return Session(_open_cpu(path, options.threads), provider)
            session = onnxruntime.InferenceSession(str(path), _options(options.threads), providers=[provider, "CPUExecutionProvider"])
            if session.get_providers()[0] == provider:
                return Session(session, provider)
        except Exception as error:
            if options.device == "auto" and device != "cpu":
                continue
            raise ModelError(f"onnxruntime cannot open {path.name}: {str(error).splitlines()[0][:300]}") from error
    have = ", ".join(sorted(name for name, provider in DEVICES.items() if provider in available))
    raise DeviceUnavailable(
        f"device {options.device!r} did not load in onnxruntime {onnxruntime.__version__}; available here: {have}; or take the device auto"
    )


_sessions: dict[tuple[str, SessionOptions], Session] = {}
_lock = threading.Lock()
_building: dict[tuple[str, SessionOptions], threading.Lock] = {}


def open_session(card: Card, role: str = "model", options: SessionOptions | None = None) -> Session:
    """The session of one of a card's files; fetched, converted and opened once per process and options, then shared."""
    options = options or SessionOptions()
    path = convert.prepare(card, role)
    file = card.file_for(role)
    key = (str(path) if file.convert else file.sha256 or file.git_blob or str(path), options)
    with _lock:
        if key in _sessions:
            return _sessions[key]
        building = _building.setdefault(key, threading.Lock())
    with building:
        with _lock:
            if key in _sessions:
                return _sessions[key]
        session = open_file(path, options)
        with _lock:
            _sessions[key] = session
            _building.pop(key, None)
        return session


def forget_sessions() -> None:
    """Drop all memoized sessions (their memory returns when no one uses them any more)."""
    with _lock:
        _sessions.clear()
        _building.clear()
