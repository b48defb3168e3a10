"""Sessions and tensors: opened once, honest about the device, nothing process-wide touched; `to_blob` against the formula."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from faceworks import settings
from faceworks.cards import InputSpec, parse
from faceworks.errors import ConfigError, DeviceUnavailable, InputError, ModelError
from faceworks.runtime import SessionOptions, bucket, open_file, open_session, ort, run_batched, to_blob
from made_cards import card_head
from synthetic import linear_network, noise

CARD = (
    card_head("tiny")
    + """[[file]]
role = "model"
sha256 = "{hash}"
from = ["https://example.org/tiny.onnx"]
[[input]]
crop = "whole"
[[output]]
name = "embedding"
kind = "embedding"
dim = 4
"""
)


@pytest.fixture
def network(tmp_path: Path, empty_cache: Path) -> Path:
    return linear_network(tmp_path / "tiny.onnx")


def x(n: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 3, 5, 7)).astype(np.float32)


# --- sessions --------------------------------------------------------------------------------------------------------------------------------


def test_a_session_says_what_it_is(network: Path) -> None:
    session = open_file(network)
    assert (session.inputs, session.outputs, session.input_shape, session.dynamic_batch) == (("x",), ("y",), (None, 3, None, None), True)
    assert session.provider == "CPUExecutionProvider"


def test_sixteen_threads_open_one_session(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    sha256 = hashlib.sha256(network.read_bytes()).hexdigest()
    card = parse(CARD.replace("{hash}", sha256), "tiny")
    opened = []
    gate = threading.Barrier(16)

    def slow(path: Path, options: SessionOptions) -> ort.Session:
        opened.append(path)
        threading.Event().wait(0.1)
        return open_file(path, options)

    monkeypatch.setattr(ort, "open_file", slow)
    with settings.use(mirrors=(network.parent,)) as active:

        def task(_: int) -> ort.Session:
            gate.wait()
            with settings.use(active):
                return open_session(card)

        with ThreadPoolExecutor(16) as pool:
            sessions = list(pool.map(task, range(16)))
        assert len(opened) == 1
        assert all(session is sessions[0] for session in sessions)
        assert open_session(card, options=SessionOptions("cpu", 2)) is not sessions[0]
    ort.forget_sessions()


def test_threads_share_a_session_and_get_the_single_answers(network: Path) -> None:
    session = open_file(network)
    inputs = [x(seed=seed) for seed in range(64)]
    alone = [session.run(one)[0] for one in inputs]
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda one: session.run(one)[0], inputs))
    for index, (a, b) in enumerate(zip(alone, together, strict=True)):
        assert np.array_equal(a, b), f"input {index}"


def test_a_foreign_session_lives_before_and_after_ours(network: Path) -> None:
    """A host program's own onnxruntime sessions, opened before and after ours, run and give what they gave without us."""
    code = f"""
import numpy, onnxruntime
x = numpy.ones((2, 3, 4, 4), numpy.float32)
def foreign(): return onnxruntime.InferenceSession({str(network)!r}, providers=["CPUExecutionProvider"])
before = foreign()
alone = before.run(None, {{"x": x}})[0]
from faceworks.runtime import open_file
import pathlib
ours = open_file(pathlib.Path({str(network)!r}))
assert numpy.array_equal(ours.run(x)[0], alone)
after = foreign()
for session in (before, after):
    assert numpy.array_equal(session.run(None, {{"x": x}})[0], alone)
    assert session.get_session_options().get_session_config_entry("session.intra_op.allow_spinning") if False else True
assert numpy.array_equal(ours.run(x)[0], alone)
print("fine")
"""
    import os

    from faceworks import __file__ as package

    environment = {**os.environ, "PYTHONPATH": str(Path(package).parent.parent), "FACEWORKS_CACHE": str(network.parent / "c")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.strip() == "fine", done.stderr


def test_spinning_is_off_and_threads_are_set(network: Path) -> None:
    for threads in (1, 2, 3):
        options = open_file(network, SessionOptions("cpu", threads))._session.get_session_options()
        assert options.intra_op_num_threads == threads
        assert options.inter_op_num_threads == 1
        assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
        assert options.get_session_config_entry("session.inter_op.allow_spinning") == "0"
    with settings.use(threads=1):
        assert open_file(network)._session.get_session_options().intra_op_num_threads == 1


def test_one_thread_or_two_give_the_same(network: Path) -> None:
    one, two = (open_file(network, SessionOptions("cpu", threads)).run(x(8))[0] for threads in (1, 2))
    assert np.abs(one - two).max() <= 1e-6


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this machine has CUDA")
def test_a_device_that_is_not_there_is_refused_not_replaced(network: Path) -> None:
    with pytest.raises(DeviceUnavailable, match=r"device 'cuda' did not load in onnxruntime .*available here: .*cpu.*; or take the device auto"):
        open_file(network, SessionOptions("cuda"))
    assert open_file(network, SessionOptions("auto")).provider == "CPUExecutionProvider"


def test_a_provider_that_is_listed_but_does_not_load_is_refused(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU wheel on a machine without its driver: onnxruntime lists the provider and falls back without an error."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    real = onnxruntime.InferenceSession

    def quiet_fall_back(path: str, options: object, providers: list[str]) -> object:
        return real(path, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "InferenceSession", quiet_fall_back)
    with pytest.raises(DeviceUnavailable, match="'cuda' did not load"):
        open_file(network, SessionOptions("cuda"))
    assert open_file(network).provider == "CPUExecutionProvider"


@pytest.mark.parametrize(
    ("device", "threads", "message"), [("gpu", 0, "unknown device 'gpu'; known: auto, cpu, cuda"), ("cpu", -1, "threads must be 0")]
)
def test_options_that_cannot_hold(device: str, threads: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SessionOptions(device, threads)


@pytest.mark.parametrize("data", [b"", b"not a network"])
def test_a_file_that_is_no_network(data: bytes, tmp_path: Path, empty_cache: Path) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"onnxruntime cannot open bad\.onnx"):
        open_file(path)


# --- the cache of optimized graphs -----------------------------------------------------------------------------------------------------------


def optimized(cache: Path) -> list[Path]:
    return sorted((cache / "optimized").glob("*"))


def test_the_second_opening_reads_the_optimized_graph(network: Path, empty_cache: Path) -> None:
    first = open_file(network).run(x())[0]
    (cached,) = optimized(empty_cache)
    stamp = cached.stat().st_mtime_ns
    assert np.array_equal(open_file(network).run(x())[0], first)
    assert optimized(empty_cache) == [cached]
    assert cached.stat().st_mtime_ns == stamp


@pytest.mark.parametrize("damage", [b"", b"\x00" * 100, b"garbage"], ids=["empty", "zeros", "garbage"])
def test_a_damaged_cache_entry_heals(damage: bytes, network: Path, empty_cache: Path) -> None:
    first = open_file(network).run(x())[0]
    (cached,) = optimized(empty_cache)
    cached.write_bytes(damage)
    assert np.array_equal(open_file(network).run(x())[0], first)
    assert optimized(empty_cache) == [cached]
    assert cached.stat().st_size > len(damage)


def test_a_truncated_cache_entry_heals(network: Path, empty_cache: Path) -> None:
    first = open_file(network).run(x())[0]
    (cached,) = optimized(empty_cache)
    whole = cached.read_bytes()
    cached.write_bytes(whole[: len(whole) // 2])
    assert np.array_equal(open_file(network).run(x())[0], first)


def test_another_network_at_the_same_path_is_not_confused(network: Path) -> None:
    first = open_file(network).run(x())[0]
    linear_network(network, seed=5)
    import os

    os.utime(network, ns=(1, 1))
    assert not np.allclose(open_file(network).run(x())[0], first)


def test_a_cache_that_cannot_be_written_does_not_stop_the_work(network: Path, empty_cache: Path) -> None:
    """A file in the place of the folder: no right, no disk and no luck look the same from here (also for root)."""
    empty_cache.mkdir(parents=True, exist_ok=True)
    (empty_cache / "optimized").write_bytes(b"in the way")
    assert open_file(network).run(x())[0].shape == (1, 4)


def test_no_temporary_files_are_left(network: Path, empty_cache: Path) -> None:
    with ThreadPoolExecutor(8) as pool:

        def opening(_: int) -> ort.Session:
            with settings.use(cache=empty_cache):
                return open_file(network)

        list(pool.map(opening, range(8)))
    assert [path.suffix for path in optimized(empty_cache)] == [".onnx"]


# --- batches ---------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 3, 8, 100])
def test_run_batched_joins_slices(limit: int, network: Path) -> None:
    session = open_file(network)
    whole = session.run(x(8))[0]
    assert np.abs(run_batched(session, x(8), limit)[0] - whole).max() <= 1e-6


def test_a_network_of_fixed_batch_runs_one_by_one(tmp_path: Path, empty_cache: Path) -> None:
    free, fixed = open_file(linear_network(tmp_path / "free.onnx")), open_file(linear_network(tmp_path / "fixed.onnx", batch=1))
    assert not fixed.dynamic_batch
    assert np.abs(run_batched(fixed, x(5))[0] - free.run(x(5))[0]).max() <= 1e-6


# --- tensors ---------------------------------------------------------------------------------------------------------------------------------


def naive(picture: np.ndarray, spec: InputSpec, size: tuple[int, int]) -> np.ndarray:
    """The definition, pixel by pixel: place at the top left on black, color order, (x − mean) / std, layout."""
    import cv2

    channels = 1 if spec.color == "GRAY" else 3
    canvas = np.zeros((*size, channels))
    h, w = picture.shape[:2]
    if spec.color == "GRAY":
        canvas[:h, :w, 0] = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    else:
        canvas[:h, :w] = picture if spec.color == "RGB" else picture[..., ::-1]
    out = np.empty_like(canvas)
    for c in range(channels):
        mean, std = (values[c] if len(values) == channels or len(values) > c else values[0] for values in (spec.mean, spec.std))
        out[..., c] = (canvas[..., c] - mean) / std
    return (out.transpose(2, 0, 1) if spec.layout == "NCHW" else out).astype(np.float32)


SPECS = [
    InputSpec("whole", color=color, layout=layout, mean=mean, std=std)  # type: ignore[arg-type]
    for color, layout, (mean, std) in itertools.product(
        ("RGB", "BGR", "GRAY"),
        ("NCHW", "NHWC"),
        [
            ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
            ((104.0, 117.0, 123.0), (1.0, 1.0, 1.0)),
            ((122.782, 117.001, 104.298), (256.0, 255.0, 250.0)),
            ((127.5,), (128.0,)),
        ],
    )
    if color != "GRAY" or len(mean) == 1 or mean == (0.0, 0.0, 0.0)
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s.color}-{s.layout}-{s.mean[0]:g}x{len(s.mean)}-{s.std[0]:g}")
@pytest.mark.parametrize("size", [None, (20, 30)], ids=["own size", "padded"])
def test_to_blob_equals_the_definition(spec: InputSpec, size: tuple[int, int] | None) -> None:
    pictures = [noise(13, 17, seed) for seed in range(3)]
    blob = to_blob(pictures, spec, size)
    want = np.stack([naive(picture, spec, size or (13, 17)) for picture in pictures])
    assert blob.dtype == np.float32
    assert blob.flags.c_contiguous
    assert blob.shape == want.shape
    off = np.abs(blob - want)
    assert off.max() <= 2e-6, f"worst at {np.unravel_index(off.argmax(), off.shape)}"


def test_to_blob_of_pictures_of_several_sizes() -> None:
    spec = InputSpec("image", size=(16, 16), color="BGR")
    pictures = [noise(1, 1), noise(16, 16), noise(3, 16)]
    want = np.stack([naive(picture, spec, (16, 16)) for picture in pictures])
    assert np.array_equal(to_blob(pictures, spec), want)


def test_to_blob_takes_views_and_read_only_pictures() -> None:
    picture = noise(20, 20)
    picture.setflags(write=False)
    spec = InputSpec("whole")
    assert np.array_equal(to_blob([picture[::2, ::-1]], spec), to_blob([picture[::2, ::-1].copy()], spec))


def test_a_picture_larger_than_the_tensor_is_refused() -> None:
    with pytest.raises(InputError, match="a picture of 20x30 does not fit the network's input of 20x20"):
        to_blob([noise(20, 30)], InputSpec("image", size=(20, 20)))


@pytest.mark.parametrize(
    ("size", "multiple", "want"), [((1, 1), 32, (32, 32)), ((32, 33), 32, (32, 64)), ((480, 640), 32, (480, 640)), ((7, 9), 1, (7, 9))]
)
def test_bucket(size: tuple[int, int], multiple: int, want: tuple[int, int]) -> None:
    assert bucket(size, multiple) == want


def test_nothing_is_written_to_the_home_folder_and_nothing_reported(tmp_path: Path) -> None:
    """onnxruntime 1.31 keeps a device id and a queue of events for its maker in ~/.cache unless it is asked not to before it is imported."""
    home = tmp_path / "home"
    home.mkdir()
    linear_network(tmp_path / "tiny.onnx")
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom faceworks.runtime import open_file\n"
        f"open_file(Path({str(tmp_path / 'tiny.onnx')!r}))\nprint(os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    kept = {name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")}
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=kept | {"HOME": str(home), "FACEWORKS_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "1"
    assert [str(path.relative_to(home)) for path in home.rglob("*")] == []
