"""The opcode-level reader: equal to pickle, torch and joblib on honest files; on hostile ones an error, and nothing runs."""

from __future__ import annotations

import builtins
import collections
import contextlib
import io
import os
import pickle
import pickletools
import struct
import subprocess
import time
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stnp

from faceworks.assets import read_tensors
from faceworks.assets.lz4 import MAGIC, decode_frames
from faceworks.assets.opcodes import Placeholder
from faceworks.errors import ConversionError

SHARED = next((folder / "shared" for folder in Path(__file__).resolve().parents if (folder / "shared" / "weights").is_dir()), Path("/nowhere"))


def read(data: bytes, path: Path) -> Any:
    path.write_bytes(data)
    return read_tensors(path)


def same(got: Any, wanted: Any) -> None:
    """Equal in structure, type and every element (NaN equals NaN)."""
    if isinstance(wanted, np.ndarray) and wanted.dtype != object:
        assert got.dtype == wanted.dtype.newbyteorder("=")
        assert got.shape == wanted.shape
        np.testing.assert_array_equal(got, wanted)
    elif isinstance(wanted, dict):
        assert list(got) == list(wanted)
        for key in wanted:
            same(got[key], wanted[key])
    elif isinstance(wanted, (list, tuple)):
        assert type(got) is type(wanted)
        assert len(got) == len(wanted)
        for one, other in zip(got, wanted, strict=True):
            same(one, other)
    elif isinstance(wanted, float) and wanted != wanted:
        assert got != got
    else:
        assert got == wanted
        assert isinstance(got, bool) == isinstance(wanted, bool)


_DTYPES = stnp.integer_dtypes(endianness="?") | stnp.floating_dtypes(endianness="?", sizes=(16, 32, 64)) | stnp.boolean_dtypes()
_LEAVES = (
    st.none() | st.booleans() | st.integers(-(2**100), 2**100) | st.floats() | st.text(max_size=12) | st.binary(max_size=12)
    | stnp.arrays(_DTYPES, stnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)  # fmt: skip
_TREES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=4),
    max_leaves=10,
)


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(tree=_TREES, protocol=st.integers(0, 5))
def test_what_pickle_wrote_comes_back(tmp_path: Path, tree: Any, protocol: int) -> None:
    same(read(pickle.dumps(tree, protocol), tmp_path / "a"), tree)


@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(junk=st.binary(max_size=200))
def test_junk_gives_a_clear_error_or_data(tmp_path: Path, junk: bytes) -> None:
    with contextlib.suppress(ConversionError):  # any other exception fails the test
        read(junk, tmp_path / "a")


@pytest.mark.parametrize("protocol", range(6))
def test_containers(tmp_path: Path, protocol: int) -> None:
    value = {
        "ordered": collections.OrderedDict(a=1, b=[np.arange(6, dtype=np.float32).reshape(2, 3, order="F")]),
        "set": {1, 2},
        "frozen": frozenset("ab"),
        "default": collections.defaultdict(list, x=[1]),
        "counter": collections.Counter("aab"),
        "bytes": bytearray(b"xy\xff"),
        "complex": 1 + 2j,
        "scalar": np.float32(1.5),
        "fortran": np.asfortranarray(np.arange(12).reshape(3, 4)),
        "text": np.array(["ab", "cde"]),
        "big": np.arange(3, dtype=">i4"),
    }
    got = read(pickle.dumps(value, protocol), tmp_path / "a")
    assert type(got["ordered"]) is type(got["default"]) is type(got["counter"]) is dict
    for key, wanted in value.items():
        same(got[key], dict(wanted) if isinstance(wanted, dict) else bytes(wanted) if isinstance(wanted, bytearray) else wanted)
    array = read(pickle.dumps(np.arange(3), protocol), tmp_path / "a")
    assert not array.flags.writeable
    nested = np.empty((2, 2), object)
    nested[:] = [[1, "a"], [None, b"x"]]
    assert read(pickle.dumps(nested, protocol), tmp_path / "a") == [[1, "a"], [None, b"x"]]


class Foreign:
    """A class that must not be built."""

    def __init__(self) -> None:
        self.weights = np.ones(2)


@pytest.mark.parametrize("protocol", range(6))
def test_other_classes_are_placeholders(tmp_path: Path, protocol: int) -> None:
    got = read(pickle.dumps({"x": Foreign(), "c": Foreign}, protocol), tmp_path / "a")
    assert isinstance(got["x"], Placeholder)
    assert got["x"].kind.endswith("Foreign")
    np.testing.assert_array_equal(got["x"].state["weights"], np.ones(2))
    assert got["c"].kind.endswith("Foreign")


class Attack:
    """Reduces to a call that the test would notice."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_runs(tmp_path: Path, protocol: int) -> None:
    mark = tmp_path / "ran"
    calls = (
        Attack(os.system, f"touch {mark}"),
        Attack(eval, f"open({str(mark)!r}, 'w')"),
        Attack(exec, f"open({str(mark)!r}, 'w')"),
        Attack(open, str(mark), "w"),
        Attack(subprocess.Popen, ["touch", str(mark)]),
        Attack(builtins.__import__, "antigravity"),
        Attack(getattr, "a", "upper"),
    )
    for call in calls:
        got = read(pickle.dumps([call, 1], protocol), tmp_path / "a")
        assert isinstance(got[0], Placeholder)
        assert got[1] == 1
    assert not mark.exists()


def op(*parts: bytes) -> bytes:
    return b"\x80\x04" + b"".join(parts) + b"."


def text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


_HUGE = b"\x8a\x06" + (2**40).to_bytes(6, "little")
_CALL = lambda name, arguments: text(name.rpartition(".")[0]) + text(name.rpartition(".")[2]) + b"\x93" + arguments + b"R"  # noqa: E731
_EMPTY_ARRAY = _CALL("numpy.core.multiarray._reconstruct", b")")
_F4 = _CALL("numpy.dtype", text("f4") + b"\x85")
HOSTILE = {
    "empty": b"",
    "truncated": pickle.dumps(list(range(1000)))[:-100],
    "no stop": b"\x80\x04]",
    "unknown opcode": b"\x80\x04\xff.",
    "bytes of 2**40": op(b"\x8e" + struct.pack("<Q", 2**40) + b"abc"),
    "text of 2**62": op(b"\x8d" + struct.pack("<Q", 2**62)),
    "negative length": b"\x80\x02T\xff\xff\xff\xff.",
    "array of 2**40": op(_EMPTY_ARRAY, b"(K\x01", _HUGE + b"\x85", _F4, b"\x89", b"C\x04abcd", b"tb"),
    "array with negative side": op(_EMPTY_ARRAY, b"(K\x01", b"J\xff\xff\xff\xff\x85", _F4, b"\x89", b"C\x04abcd", b"tb"),
    "array without state": op(_EMPTY_ARRAY),
    "array of nothing, 2**47 wide": op(
        _EMPTY_ARRAY, b"(K\x01", b"K\x00" + b"\x8a\x06" + (2**47).to_bytes(6, "little") + b"\x86", _F4, b"\x89", b"C\x01a", b"tb"
    ),
    "object dtype over bytes": op(
        _EMPTY_ARRAY, b"(K\x01", b"K\x01\x85", _CALL("numpy.dtype", text("O8") + b"\x85"), b"\x89", b"C\x08abcdefgh", b"tb"
    ),
    "structured dtype": op(_CALL("numpy.dtype", text("V8") + b"\x85")),
    "dtype that is code": op(_CALL("numpy.dtype", text("f4,f4") + b"\x85")),
    "bytes(2**40)": op(_CALL("builtins.bytes", _HUGE + b"\x85")),
    "bytearray(2**40)": op(_CALL("builtins.bytearray", _HUGE + b"\x85")),
    "integer of a million digits": b"L" + b"9" * 1_000_000 + b"L\n.",
    "integer of 100 kB": op(b"\x8b" + struct.pack("<i", 100_000) + b"\x01" * 100_000),
    "list that holds itself": op(b"]\x94h\x00a"),
    "dict that holds itself": op(b"}\x94K\x01h\x00s"),
    "deep lists": op(b"]" * 30_000, b"a" * 29_999),
    "deep tuples": op(b")", b"\x85" * 50_000),
    "deep tuple as key": op(b"})", b"\x85" * 50_000, b"K\x01s"),
    "list as key": op(b"}]K\x01s"),
    "billion laughs": op(b"]\x94", b"".join(b"](" + b"h" + bytes([n]) + b"h" + bytes([n]) + b"e\x94" for n in range(60))),
    "memo that is not there": op(b"h\x05"),
    "stack underflow": op(b"\x86"),
    "no mark": op(b"K\x01t"),
    "mark as value": op(b"("),
    "pop of nothing": op(b"0"),
    "append to a number": op(b"K\x01K\x02a"),
    "odd dictionary": op(b"(K\x01d"),
    "class by number": op(b"K\x01K\x02\x93"),
    "arguments no tuple": op(_CALL("a.b", b"K\x01")),
    "extension registry": op(b"\x82\x01"),
    "out-of-band buffer": b"\x80\x05\x97.",
    "outside": op(b"K\x01Q"),
    "bytes from a unicode bomb": op(_CALL("_codecs.encode", text("x") + text("rot13") + b"\x86")),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(tmp_path: Path, name: str) -> None:
    begin = time.monotonic()
    with pytest.raises(ConversionError, match="cannot read tensors"):
        read(HOSTILE[name], tmp_path / "a")
    assert time.monotonic() - begin < 5


# torch files, written here opcode for opcode as torch writes them


class FakeStorage:
    """Stands for a storage: the pickler below gives its persistent id."""

    def __init__(self, key: str, values: np.ndarray, kind: str, count: int | None = None) -> None:
        self.key, self.values, self.kind = key, values, kind
        self.count = values.size if count is None else count


def torch_pickle(value: Any, legacy: bool = False, protocol: int = 2) -> bytes:
    """A pickle with torch's globals and persistent ids, built by Python's own pickler."""
    import sys
    import types

    names = {"torch": types.ModuleType("torch"), "torch._utils": types.ModuleType("torch._utils")}
    fakes: dict[str, type] = {}
    for kind in ("Float", "Double", "Half", "BFloat16", "Long", "Bool", "Quantized"):
        fakes[kind] = type(f"{kind}Storage", (), {"__module__": "torch", "__qualname__": f"{kind}Storage"})
        setattr(names["torch"], f"{kind}Storage", fakes[kind])

    def _rebuild_tensor_v2(*_: Any) -> None: ...

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    names["torch._utils"]._rebuild_tensor_v2 = _rebuild_tensor_v2  # type: ignore[attr-defined]

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing: Any) -> Any:
            if isinstance(thing, FakeStorage):
                return ("storage", fakes[thing.kind], thing.key, "cpu", thing.count, *((None,) if legacy else ()))
            return None

        def reducer_override(self, thing: Any) -> Any:
            if isinstance(thing, tuple) or not hasattr(thing, "torch_arguments"):
                return NotImplemented
            return _rebuild_tensor_v2, (*thing.torch_arguments, False, collections.OrderedDict())

    out = io.BytesIO()
    before = {name: sys.modules.get(name) for name in names}
    sys.modules.update(names)
    try:
        Pickler(out, protocol).dump(value)
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
    return out.getvalue()


class FakeTensor:
    """Reduces to torch._utils._rebuild_tensor_v2(storage, offset, size, stride, …)."""

    def __init__(self, storage: FakeStorage, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> None:
        self.torch_arguments = (storage, offset, size, stride)


def torch_zip(path: Path, value: Any, storages: list[FakeStorage], order: str = "little", method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as bundle:
        bundle.writestr("archive/data.pkl", torch_pickle(value))
        bundle.writestr("archive/byteorder", order)
        for storage in storages:
            stored = storage.values.astype(storage.values.dtype.newbyteorder("<" if order == "little" else ">"))
            bundle.writestr(f"archive/data/{storage.key}", stored.tobytes())
    return path


@pytest.mark.parametrize("order", ["little", "big"])
def test_torch_zip(tmp_path: Path, order: str) -> None:
    values = np.arange(24, dtype=np.float32)
    whole, flags = FakeStorage("0", values, "Float"), FakeStorage("1", np.array([True, False]), "Bool")
    half, brain = (
        FakeStorage("2", values.astype(np.float16), "Half"),
        FakeStorage("3", (values.view(np.uint32) >> 16).astype(np.uint16), "BFloat16"),
    )
    state = collections.OrderedDict(
        a=FakeTensor(whole, 0, (4, 6), (6, 1)), transposed=FakeTensor(whole, 0, (6, 4), (1, 6)), part=FakeTensor(whole, 6, (2, 3), (6, 1)),
        flags=FakeTensor(flags, 0, (2,), (1,)), half=FakeTensor(half, 0, (24,), (1,)), brain=FakeTensor(brain, 0, (24,), (1,)),
        scalar=FakeTensor(whole, 5, (), ()), none=FakeTensor(whole, 0, (0, 3), (3, 1)),
    )  # fmt: skip
    checkpoint = {"state_dict": state, "epoch": 3, "hyper_parameters": Foreign(), "optimizer_states": [{"lr": 0.1}]}
    got = read_tensors(torch_zip(tmp_path / "a.ckpt", checkpoint, [whole, flags, half, brain], order))
    square = values.reshape(4, 6)
    wanted = {
        "a": square,
        "transposed": square.T,
        "part": square[1:3, :3],
        "flags": np.array([True, False]),
        "half": values.astype(np.float16),
        "brain": values,
        "scalar": np.float32(5),
        "none": np.zeros((0, 3), np.float32),
    }
    assert list(got["state_dict"]) == list(wanted)
    for key, array in wanted.items():
        np.testing.assert_array_equal(got["state_dict"][key], array, err_msg=key)
        assert got["state_dict"][key].dtype == array.dtype
    assert (got["epoch"], got["optimizer_states"]) == (3, [{"lr": 0.1}])
    assert isinstance(got["hyper_parameters"], Placeholder)


def test_torch_legacy(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.float64)
    storage = FakeStorage("140234", values, "Double")
    content = torch_pickle({"w": FakeTensor(storage, 0, (3, 4), (4, 1))}, legacy=True)
    head = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2)
    tail = pickle.dumps(["140234"], 2) + struct.pack("<q", 12) + values.tobytes()
    np.testing.assert_array_equal(read(head + content + tail, tmp_path / "a")["w"], values.reshape(3, 4))
    for broken in (head + content, head + content + tail[:-1], head + content + tail[:20], head):
        with pytest.raises(ConversionError):
            read(broken, tmp_path / "a")


@pytest.mark.parametrize(
    ("tensor", "count", "kind", "why"),
    [
        ((0, (2**20, 2**20), (2**20, 1)), None, "Float", "leaves its storage"),
        ((0, (2**40,), (0,)), None, "Float", "leaves its storage"),
        ((2**40, (1,), (1,)), None, "Float", "leaves its storage"),
        ((-1, (1,), (1,)), None, "Float", "shape"),
        ((0, (4,), (-1,)), None, "Float", "shape"),
        ((0, (4,), (1, 1)), None, "Float", "more sides than strides"),
        ((0, (4,), (1,)), 2**40, "Float", "declares 1099511627776 elements"),
        ((0, (4,), (1,)), None, "Quantized", "not read here"),
    ],
)
def test_hostile_torch(tmp_path: Path, tensor: Any, count: int | None, kind: str, why: str) -> None:
    storage = FakeStorage("0", np.zeros(4, np.float32), kind, count)
    with pytest.raises(ConversionError, match=why):
        read_tensors(torch_zip(tmp_path / "a.pt", {"w": FakeTensor(storage, *tensor)}, [storage]))


def test_torch_zip_that_is_none_or_broken(tmp_path: Path) -> None:
    storage = FakeStorage("0", np.zeros(300_000, np.float32), "Float")
    with pytest.raises(ConversionError, match="unpacks to more than"):
        read_tensors(torch_zip(tmp_path / "bomb.pt", {}, [storage], method=zipfile.ZIP_DEFLATED), limit=1_000_000)
    path = torch_zip(tmp_path / "a.pt", {"w": FakeTensor(FakeStorage("0", np.zeros(4, np.float32), "Float"), 0, (4,), (1,))}, [])
    with pytest.raises(ConversionError, match="lacks the storage 0"):
        read_tensors(path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ConversionError, match="broken zip"):
        read_tensors(path)
    with zipfile.ZipFile(path, "w") as bundle:
        bundle.writestr("x", b"")
    with pytest.raises(ConversionError, match="not a torch checkpoint"):
        read_tensors(path)


def test_insightface_bin(tmp_path: Path) -> None:
    """Python 2 wrote these: pictures are BINSTRING, and no ASCII; the flags are booleans."""
    pictures = [b"\xff\xd8\xff" + os.urandom(300), b"\x89PNG" + os.urandom(200)]
    body = b"".join(b"T" + struct.pack("<i", len(item)) + item for item in pictures)
    got = read(b"\x80\x02](" + body + b"e](\x88\x89e\x86.", tmp_path / "lfw.bin")
    assert got == (pictures, [True, False])
    assert read(pickle.dumps((pictures, [True, False]), 4), tmp_path / "lfw.bin") == (pictures, [True, False])


def joblib_pickle(array: np.ndarray, padded: bool) -> bytes:
    """A joblib file: NumpyArrayWrapper with its state, then the array's bytes, then the pickle goes on."""
    dtype = pickle.dumps(array.dtype, 2)[2:-1]
    state = b"}(" + text("subclass") + b"cnumpy\nndarray\n" + text("shape") + pickle.dumps(array.shape, 2)[2:-1] + text("order") + text("C")
    state += text("dtype") + dtype + text("allow_mmap") + b"\x88" + (text("numpy_array_alignment_bytes") + b"K\x10" if padded else b"") + b"u"
    padding = b"\x03\xff\xff\xff" if padded else b""
    return b"\x80\x04]cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81" + state + b"b" + padding + array.tobytes() + b"aK\x07a."


@pytest.mark.parametrize("padded", [False, True])
def test_joblib_layout(tmp_path: Path, padded: bool) -> None:
    array = np.arange(10, dtype=np.float32).reshape(2, 5)
    for pack in (bytes, zlib.compress):
        got = read(pack(joblib_pickle(array, padded)), tmp_path / "a")
        same(got, [array, 7])
    for cut in (5, 30, 60):
        with pytest.raises(ConversionError):
            read(joblib_pickle(array, padded)[:-cut], tmp_path / "a")


def test_joblib_itself(tmp_path: Path) -> None:
    joblib = pytest.importorskip("joblib")
    objects = np.empty(2, object)
    objects[:] = [{"a": 1}, "text"]
    value = {"w": [np.random.default_rng(0).normal(size=(40, 30)).astype(np.float32), np.arange(9)[::2]], "objects": objects}
    for compress in (0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)):
        joblib.dump(value, tmp_path / "a", compress=compress)
        got = read_tensors(tmp_path / "a")
        same(got["w"], value["w"])
        assert got["objects"] == [{"a": 1}, "text"]


@pytest.mark.slow
def test_torch_itself(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    value = {"state_dict": net.state_dict(), "half": torch.arange(6.0).to(torch.bfloat16), "t": torch.arange(6).reshape(2, 3).T}
    for new in (True, False):
        torch.save(value, tmp_path / "a", _use_new_zipfile_serialization=new)
        got = read_tensors(tmp_path / "a")
        for key, tensor in value["state_dict"].items():
            np.testing.assert_array_equal(got["state_dict"][key], tensor.numpy(), err_msg=key)
        np.testing.assert_array_equal(got["half"], value["half"].float().numpy())
        np.testing.assert_array_equal(got["t"], value["t"].numpy())


def test_lz4() -> None:
    def frame(*blocks: bytes, flags: int = 0x60) -> bytes:
        return MAGIC + bytes([flags, 0x40, 0]) + b"".join(blocks) + bytes(4)

    def block(data: bytes, stored: bool = False) -> bytes:
        return struct.pack("<I", len(data) | (1 << 31 if stored else 0)) + data

    assert decode_frames(frame(block(b"plain", stored=True)), 100) == b"plain"
    assert decode_frames(frame(block(b"\x30abc")), 100) == b"abc"
    assert decode_frames(frame(block(b"\x35abc\x03\x00\x10z")), 100) == b"abc" * 4 + b"z", "a match that overlaps itself"
    assert decode_frames(frame(block(b"\x1fa\x01\x00\x05\x10z")), 100) == b"a" * 25 + b"z", "a long match"
    assert decode_frames(frame(block(b"\xf0\x05" + b"x" * 20)), 100) == b"x" * 20, "long literals"
    assert decode_frames(frame(block(b"\x30abc")) * 2, 100) == b"abcabc"
    broken = (
        MAGIC, MAGIC + b"\x60\x40\0", frame(block(b"\x30abc"))[:-4], frame(block(b"\x34abc\x04\x00\x00")), frame(block(b"\x34abc\x00\x00\x00")),
        frame(block(b"\xf0\xff\xff")), frame(block(b"\x30ab")), frame(flags=0x20), frame(flags=0x61), b"junk" + frame(), frame() + b"junk",
        frame(block(b"\x1fa\x01\x00" + b"\xff" * 50 + b"\x00")),
    )  # fmt: skip
    for data in broken:
        with pytest.raises(ConversionError):
            decode_frames(data, 1000)


REAL = sorted(SHARED.glob("weights/*.pth")) + sorted(SHARED.glob("weights/*.ckpt"))


@pytest.mark.shared
@pytest.mark.skipif(not REAL, reason="../shared/weights is absent")
@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
def test_published_files(path: Path) -> None:
    content = read_tensors(path)
    state = content.get("net_state_dict", content)
    assert len(state) >= 300
    assert all(isinstance(value, np.ndarray) and np.isfinite(value).all() for value in state.values())


def test_pickletools_is_all_that_reads() -> None:
    """The reader splits opcodes with pickletools alone: every opcode of protocol 5 is handled or refused by name."""
    from faceworks.assets import opcodes

    known = set(opcodes.Reader(io.BytesIO(), {})._handlers()) | opcodes._PUSH_ARGUMENT | set(opcodes._CONSTANTS) | {"STOP"}
    assert {item.name for item in pickletools.opcodes} - known == {"EXT1", "EXT2", "EXT4", "NEXT_BUFFER"}
