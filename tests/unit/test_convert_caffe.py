"""The Caffe reader and converter on small files written here byte by byte, against layers written out in NumPy."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from faceworks import assets, cards
from faceworks.convert import Source
from faceworks.convert.caffe import caffe
from faceworks.convert.caffe_files import read_structure, read_weights
from faceworks.errors import ConversionError
from made_cards import card_head

CARD = (
    card_head("toy", "attribute")
    + """[[file]]
role = "model"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
from = ["https://example.org/toy.caffemodel"]
convert = "caffe"
convert_options = { outputs = OUTPUTS }
[[file]]
role = "structure"
sha256 = "1111111111111111111111111111111111111111111111111111111111111111"
from = ["https://example.org/toy.prototxt"]
"""
)


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def field(number: int, body: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(body)) + body


def blob(values: np.ndarray, legacy: bool = False) -> bytes:
    data = field(5, values.astype("<f4").tobytes())
    if not legacy:
        return field(7, field(1, b"".join(varint(n) for n in values.shape))) + data
    sides = (1,) * (4 - values.ndim) + values.shape
    return b"".join(varint((index + 1) << 3) + varint(n) for index, n in enumerate(sides)) + data


def layer(name: str, *blobs: np.ndarray) -> bytes:
    return field(100, field(1, name.encode()) + b"".join(field(7, blob(item)) for item in blobs))


def run(structure: str, weights: bytes, x: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outputs: str = "[]") -> list[np.ndarray]:
    model, text = tmp_path / "toy.caffemodel", tmp_path / "toy.prototxt"
    model.write_bytes(weights)
    text.write_text(structure)
    card = cards.parse(CARD.replace("OUTPUTS", outputs), "toy")
    monkeypatch.setattr(assets, "fetch", lambda file, progress=True: text if file.role == "structure" else model)
    session = onnxruntime.InferenceSession(caffe(Source(model, card.file_for(), card)), providers=["CPUExecutionProvider"])
    found: list[np.ndarray] = session.run(None, {"data": x.astype(np.float32)})
    return found


HEAD = 'input: "data" input_shape { dim: 1 dim: 3 dim: 7 dim: 6 }\n'
rng = np.random.default_rng(0)
X = rng.normal(size=(2, 3, 7, 6))


def test_batch_norm_scale_and_relu_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stored mean and variance are sums over `factor` batches."""
    mean, variance, gamma, beta = rng.normal(size=(4, 3))
    variance = variance**2 + 0.5
    text = (
        HEAD
        + """
    layer { name: "bn" type: "BatchNorm" bottom: "data" top: "data_bn" batch_norm_param { eps: 0.01 } }  # in place from here
    layer { name: "sc" type: "Scale" bottom: "data_bn" top: "data_bn" scale_param { bias_term: true } }
    layer { name: "re" type: "ReLU" bottom: "data_bn" top: "data_bn" relu_param { negative_slope: 0.25 } }"""
    )
    weights = layer("bn", mean * 4, variance * 4, np.array([4.0])) + layer("sc", gamma, beta)
    (got,) = run(text, weights, X, tmp_path, monkeypatch)
    shaped = (item.reshape(1, 3, 1, 1) for item in (mean, variance, gamma, beta))
    m, v, g, b = shaped
    y = (X - m) / np.sqrt(v + 0.01) * g + b
    assert np.abs(got - np.where(y > 0, y, 0.25 * y)).max() < 1e-5


def test_pooling_rounds_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = HEAD + 'layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param { pool: MAX kernel_size: 3 stride: 2 } }'
    (got,) = run(text, layer("none", np.ones(1)), X, tmp_path, monkeypatch)
    assert got.shape == (2, 3, 3, 3)
    for i in range(3):
        for j in range(3):
            assert np.abs(got[:, :, i, j] - X[:, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].max(axis=(2, 3))).max() < 1e-6


def test_convolution_with_groups_and_uneven_geometry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, bias = rng.normal(size=(6, 1, 3, 2)), rng.normal(size=6)
    text = (
        HEAD
        + """layer { name: "c" type: "Convolution" bottom: "data" top: "c"
      convolution_param { num_output: 6 group: 3 kernel_h: 3 kernel_w: 2 pad_h: 1 pad_w: 0 stride: 2 } }"""
    )
    (got,) = run(text, layer("c", kernel, bias), X, tmp_path, monkeypatch)
    padded = np.pad(X, ((0, 0), (0, 0), (1, 1), (0, 0)))
    assert got.shape == (2, 6, 4, 3)
    for channel in range(6):
        for i in range(4):
            for j in range(3):
                patch = padded[:, channel // 2, 2 * i : 2 * i + 3, 2 * j : 2 * j + 2]
                assert np.abs(got[:, channel, i, j] - ((patch * kernel[channel, 0]).sum(axis=(1, 2)) + bias[channel])).max() < 1e-5


def test_lrn_and_inner_product_of_the_older_generation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`layers`, types in capitals, four-axis blobs: the age and gender networks of 2015."""
    weight, bias = rng.normal(size=(4, 3 * 7 * 6)), rng.normal(size=4)
    text = """name: "old" input: "data" input_dim: 1 input_dim: 3 input_dim: 7 input_dim: 6
    layers { name: "n" type: LRN bottom: "data" top: "n" lrn_param { local_size: 3 alpha: 0.3 beta: 0.75 } }
    layers { name: "d" type: DROPOUT bottom: "n" top: "n" dropout_param { dropout_ratio: 0.5 } }
    layers { name: "f" type: INNER_PRODUCT bottom: "n" top: "f" inner_product_param { num_output: 4 } }
    layers { name: "s" type: SOFTMAX bottom: "f" top: "s" }"""
    old = field(2, field(4, b"f") + b"".join(field(6, blob(item, legacy=True)) for item in (weight, bias)))
    (got,) = run(text, old, X, tmp_path, monkeypatch)
    squares = np.pad(X**2, ((0, 0), (1, 1), (0, 0), (0, 0)))
    total = squares[:, :-2] + squares[:, 1:-1] + squares[:, 2:]
    logits = (X / (1 + 0.3 / 3 * total) ** 0.75).reshape(2, -1) @ weight.T + bias
    want = np.exp(logits - logits.max(axis=1, keepdims=True))
    assert np.abs(got - want / want.sum(axis=1, keepdims=True)).max() < 1e-5


def test_ssd_layers_and_chosen_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Normalize, Permute, Flatten, Reshape, Softmax, Concat, Eltwise; the PriorBox that nobody asked for is not read."""
    factor = rng.normal(size=3)
    text = (
        HEAD
        + """
    layer { name: "n" type: "Normalize" bottom: "data" top: "n" norm_param { across_spatial: false channel_shared: false } }
    layer { name: "p" type: "Permute" bottom: "n" top: "p" permute_param { order: 0 order: 2 order: 3 order: 1 } }
    layer { name: "f" type: "Flatten" bottom: "p" top: "f" flatten_param { axis: 1 } }
    layer { name: "b" type: "PriorBox" bottom: "n" bottom: "data" top: "b" prior_box_param { min_size: 30.0 } }
    layer { name: "c" type: "Concat" bottom: "f" bottom: "f" top: "c" concat_param { axis: 1 } }
    layer { name: "r" type: "Reshape" bottom: "c" top: "r" reshape_param { shape { dim: 0 dim: -1 dim: 2 } } }
    layer { name: "s" type: "Softmax" bottom: "r" top: "s" softmax_param { axis: 2 } }
    layer { name: "e" type: "Eltwise" bottom: "f" bottom: "f" top: "e" eltwise_param { operation: SUM coeff: 2 coeff: -0.5 } }"""
    )
    softmax, flat = run(text, layer("n", factor), X, tmp_path, monkeypatch, '["s", "e"]')
    unit = X / np.sqrt((X**2).sum(axis=1, keepdims=True) + 1e-10) * factor.reshape(1, 3, 1, 1)
    want = unit.transpose(0, 2, 3, 1).reshape(2, -1)
    assert np.abs(flat - 1.5 * want).max() < 1e-5
    pairs = np.exp(np.concatenate([want, want], axis=1).reshape(2, -1, 2))
    assert np.abs(softmax - pairs / pairs.sum(axis=2, keepdims=True)).max() < 1e-5


def test_prototxt() -> None:
    text = "a: 1 b { c: -2.5e1 c: 'x y' } b: < d: true > # note\n e: MAX; f: \"#\""
    assert read_structure(text) == {"a": [1], "b": [{"c": [-25.0, "x y"]}, {"d": [True]}], "e": ["MAX"], "f": ["#"]}


@pytest.mark.parametrize("text", ["a {", "a: }", "a", "}", "a: 1 }", "a { " * 50, 'a: "open', "a: [1"])
def test_broken_prototxt(text: str) -> None:
    with pytest.raises(ConversionError, match="not a prototxt"):
        read_structure(text)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"\xff" * 20,
        field(100, b"\x0a\x7f"),
        b"\x13\x00",
        field(100, field(7, field(7, field(1, b"\x05")) + field(5, bytes(4)))),
        bytes(64),
    ],
)
def test_broken_caffemodel(data: bytes) -> None:
    with pytest.raises(ConversionError, match="not a caffemodel"):
        read_weights(data)


def test_floats_one_by_one_and_doubles() -> None:
    """Unpacked floats and the double form are read too."""
    single = b"".join(varint(5 << 3 | 5) + struct.pack("<f", n) for n in (1.5, -2.0))
    double = field(8, struct.pack("<2d", 3.0, 4.0))
    shape = field(7, field(1, varint(2)))
    found = read_weights(field(100, field(1, b"l") + field(7, shape + single) + field(7, shape + double)))
    assert [item.tolist() for item in found["l"]] == [[1.5, -2.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + 'layer { name: "z" type: "Python" bottom: "data" top: "z" }', "layer 'z' has the type 'Python'"),
        (HEAD + 'layer { name: "z" type: "ReLU" bottom: "gone" top: "z" }', "reads 'gone'"),
        (HEAD + 'layer { name: "z" type: "InnerProduct" bottom: "data" top: "z" }', "needs 2 blobs of weights, the caffemodel has 0"),
        (HEAD, "has no layers"),
        ('layer { name: "z" type: "ReLU" bottom: "data" top: "z" }', "must declare one input"),
    ],
)
def test_refusals_name_the_layer(text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConversionError, match=message):
        run(text, layer("other", np.ones(1)), X, tmp_path, monkeypatch)
