"""`fold` against onnx's own reference evaluator: the graph before and after gives the same numbers, for one picture and for many."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from faceworks import cards, convert
from faceworks.cards import parse
from faceworks.convert import Source, fold, graph
from faceworks.errors import CardError, ConversionError
from faceworks.runtime import open_file
from made_cards import card_head

RNG = np.random.default_rng(7)
CHANNELS = 8


def card_text(path: Path, extra: str = "") -> str:
    return (
        card_head("tiny")
        + f"""[[file]]
role = "model"
pin = "first-use"
from = ["https://example.org/{path.name}"]
convert = "fold"
{extra}
[[input]]
crop = "whole"
size = [8, 8]
[[output]]
name = "embedding"
kind = "embedding"
dim = 6
"""
    )


def folded(model: onnx.ModelProto, tmp_path: Path, extra: str = "") -> onnx.ModelProto:
    path = tmp_path / "tiny.onnx"
    path.write_bytes(model.SerializeToString())
    card = parse(card_text(path, extra), "tiny")
    return onnx.load_from_string(fold.fold(Source(path, card.file[0], card)))


def quantized(name: str, weight: np.ndarray, block: int, axis: int) -> tuple[list[onnx.TensorProto], onnx.NodeProto]:
    """int8 weights with one scale for each block along an axis, and the node that makes them floats again."""
    groups = [slice(start, start + block) for start in range(0, weight.shape[axis], block)]
    scale = np.concatenate([np.abs(weight).take(range(weight.shape[axis])[g], axis).max(axis, keepdims=True) / 127 for g in groups], axis)
    full = np.repeat(scale, block, axis)
    tensors = [
        numpy_helper.from_array(np.round(weight / full).astype(np.int8), f"{name}_q"),
        numpy_helper.from_array(scale.astype(np.float32), f"{name}_scale"),
        numpy_helper.from_array((np.arange(scale.size) % 7 - 3).reshape(scale.shape).astype(np.int8), f"{name}_zero"),
    ]
    node = helper.make_node("DequantizeLinear", [f"{name}_q", f"{name}_scale", f"{name}_zero"], [name], axis=axis, block_size=block)
    return tensors, node


def network(published: bool = True, target: tuple[int, ...] = (1, -1), batch: int = 1) -> onnx.ModelProto:
    """What the zoo's files have: quantized weights, Dropout, three kinds of PReLU, Reshape for one picture, inputs that are not inputs.

    `published=False` leaves out the one thing that the reference evaluator refuses too: a block size beside a scale for the whole tensor.
    """
    tensors, nodes = quantized("w1", RNG_W1, 1, 1)
    extra, dequantize = quantized("w3", RNG_W3, 4, 0)
    tensors += extra
    nodes = [nodes, dequantize]
    tensors += [
        numpy_helper.from_array(np.clip(RNG_W2 * 60, -127, 127).astype(np.int8), "w2_q"),
        numpy_helper.from_array(np.array([1 / 60], np.float32), "w2_scale"),
        numpy_helper.from_array(np.array([0], np.int8), "w2_zero"),
        numpy_helper.from_array(np.linspace(0.05, 0.6, CHANNELS, dtype=np.float32).reshape(CHANNELS, 1, 1), "slope"),
        numpy_helper.from_array(np.full((1, 1, 1), 0.2, np.float32), "shared_slope"),
        numpy_helper.from_array(np.array(target, np.int64), "target"),
        numpy_helper.from_array(np.zeros(3, np.float32), "never_used"),
        numpy_helper.from_array(np.array([CHANNELS, CHANNELS, 1, 1], np.int64), "w2_shape"),
        numpy_helper.from_array(np.array(0.5, np.float32), "ratio"),
    ]
    per_tensor = {"axis": 0, "block_size": 4} if published else {}
    nodes += [
        helper.make_node("DequantizeLinear", ["w2_q", "w2_scale", "w2_zero"], ["w2_flat"], **per_tensor),
        helper.make_node("Reshape", ["w2_flat", "w2_shape"], ["w2"]),
        helper.make_node("Conv", ["x", "w1"], ["a"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("PRelu", ["a", "slope"], ["b"]),
        helper.make_node("Conv", ["b", "w2"], ["c"]),
        helper.make_node("PRelu", ["c", "shared_slope"], ["d"]),
        helper.make_node("Dropout", ["d", "ratio"], ["e"]),
        helper.make_node("GlobalAveragePool", ["e"], ["f"]),
        helper.make_node("PRelu", ["e", "f"], ["g"]),
        helper.make_node("Identity", ["g"], ["h"]),
        helper.make_node("Reshape", ["h", "target"], ["i"]),
        helper.make_node("MatMul", ["i", "w3"], ["y"]),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, 8, 8])]
    inputs += [helper.make_tensor_value_info(item.name, item.data_type, list(item.dims)) for item in tensors[:3]]
    inputs.append(helper.make_tensor_value_info("ghost", TensorProto.FLOAT, [1]))
    made = helper.make_graph(nodes, "tiny", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 6])], tensors)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


RNG_W1 = RNG.normal(size=(CHANNELS, 3, 3, 3)).astype(np.float32) * 0.3
RNG_W2 = RNG.normal(size=(CHANNELS * CHANNELS,)).astype(np.float32) * 0.3
RNG_W3 = RNG.normal(size=(CHANNELS * 16, 6)).astype(np.float32) * 0.2
PICTURES = RNG.normal(size=(3, 3, 8, 8)).astype(np.float32)


def reference(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    evaluator = ReferenceEvaluator(model)
    feed = {name: x if name == "x" else np.zeros(1, np.float32) for name in evaluator.input_names if name in ("x", "ghost")}
    return np.asarray(evaluator.run(["y"], feed)[0])


def assert_close(got: np.ndarray, want: np.ndarray, tolerance: float = 1e-5) -> None:
    assert got.shape == want.shape
    off = np.abs(got - want)
    place = np.unravel_index(off.argmax(), off.shape)
    assert off.max() <= tolerance, f"worst element {place}: {got[place]} instead of {want[place]}"


def truth(x: np.ndarray) -> np.ndarray:
    return np.concatenate([reference(network(published=False), one[None]) for one in x])


# --- the whole function ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extra", ["", "convert_options = { prelu = false }"], ids=["prelu rewritten", "prelu kept"])
def test_folded_equals_published(extra: str, tmp_path: Path) -> None:
    after = folded(network(), tmp_path, extra)
    for one in PICTURES:
        assert_close(reference(after, one[None]), reference(network(published=False), one[None]))


def test_three_pictures_equal_three_times_one(tmp_path: Path) -> None:
    after = folded(network(), tmp_path)
    assert_close(reference(after, PICTURES), truth(PICTURES))


def test_onnxruntime_agrees(tmp_path: Path, empty_cache: Path) -> None:
    path = tmp_path / "folded.onnx"
    onnx.save(folded(network(), tmp_path), path)
    session = open_file(path)
    assert session.dynamic_batch
    assert session.inputs == ("x",)
    assert_close(session.run(PICTURES)[0], truth(PICTURES))
    assert_close(np.concatenate([session.run(one[None])[0] for one in PICTURES]), truth(PICTURES))


def test_what_is_left_in_the_graph(tmp_path: Path) -> None:
    after = folded(network(), tmp_path)
    kinds = [node.op_type for node in after.graph.node]
    assert not {"DequantizeLinear", "Dropout", "Identity", "Constant"} & set(kinds)
    assert kinds.count("PRelu") == 2, "a shared slope and a computed one stay"
    assert kinds.count("Reshape") == 1, "the weights' own reshape is folded"
    assert [item.name for item in after.graph.input] == ["x"]
    names = {item.name for item in after.graph.initializer}
    assert not names & {"never_used", "w1_q", "w1_scale", "w2_q", "ratio", "w2_shape"}
    assert after.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert after.graph.output[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_folding_twice_changes_nothing(tmp_path: Path) -> None:
    once = folded(network(), tmp_path)
    twice = folded(once, tmp_path)
    assert_close(reference(twice, PICTURES), reference(once, PICTURES))
    assert len(twice.graph.node) == len(once.graph.node)


@pytest.mark.parametrize("target", [(2, -1), (-1, 16), (CHANNELS, -1), (-1, 64)], ids=str)
def test_a_graph_that_mixes_pictures_is_refused(target: tuple[int, ...], tmp_path: Path) -> None:
    model = network(published=False, target=target)
    width = CHANNELS * 16 // target[0] if target[0] > 0 else target[1]
    for item in model.graph.initializer:
        if item.name == "w3_q":
            item.CopyFrom(numpy_helper.from_array(np.ones((width, 6), np.int8), "w3_q"))
        if item.name in ("w3_scale", "w3_zero"):
            kind = np.float32 if item.name == "w3_scale" else np.int8
            item.CopyFrom(numpy_helper.from_array(np.ones((width // 4, 6), kind), item.name))
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = CHANNELS * 16 // width
    with pytest.raises(ConversionError, match=r"mixes pictures; set convert_options\.batch = false"):
        folded(model, tmp_path)
    kept = folded(model, tmp_path, "convert_options = { batch = false }")
    assert_close(reference(kept, PICTURES[:1]), reference(model, PICTURES[:1]))


def test_a_reshape_that_keeps_pictures_apart_is_accepted(tmp_path: Path) -> None:
    """(−1, everything of one picture) is the batch axis by another name."""
    model = network(target=(-1, CHANNELS * 16))
    assert_close(reference(folded(model, tmp_path), PICTURES), truth(PICTURES))


def test_a_batch_that_is_already_free(tmp_path: Path) -> None:
    model = network(target=(0, -1))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "n"
    assert_close(reference(folded(model, tmp_path), PICTURES), truth(PICTURES))


def test_free_sizes(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(RNG.normal(size=(2, 3, 3, 3)).astype(np.float32), "w")
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
    info = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8]), helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 8, 8])]
    model = helper.make_model(helper.make_graph([node], "g", info[:1], info[1:], [weight]), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    after = folded(model, tmp_path, "convert_options = { free_sizes = true }")
    large = RNG.normal(size=(2, 3, 12, 20)).astype(np.float32)
    assert reference(after, large).shape == (2, 2, 12, 20)


# --- refusals --------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"not onnx at all", b"\x00" * 64, b"\xff" * 64])
def test_what_is_not_onnx_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    path.write_bytes(data)
    card = parse(card_text(path), "tiny")
    with pytest.raises(ConversionError, match="tiny"):
        fold.fold(Source(path, card.file[0], card))


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    path.write_bytes(network().SerializeToString()[:-200])
    card = parse(card_text(path), "tiny")
    with pytest.raises(ConversionError):
        fold.fold(Source(path, card.file[0], card))


def test_unknown_converters_are_named(tmp_path: Path) -> None:
    card = parse(card_text(tmp_path / "tiny.onnx").replace('convert = "fold"', 'convert = "unfold"'), "tiny")
    with pytest.raises(CardError, match=r"no converter is called 'unfold'; known: .*fold"):
        convert.version(card.file[0])


# --- the cache of results --------------------------------------------------------------------------------------------------------------------


@pytest.mark.assets
@pytest.mark.parametrize("name", ["yunet-2023mar-int8bq", "sface-2021dec-int8bq"])
def test_the_key_changes_with_version_and_options(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    card = cards.get(name)
    before = convert.converted_path(card)
    assert convert.prepare(card) == before
    monkeypatch.setitem(convert.CONVERTERS, "fold", convert.CONVERTERS["fold"]._replace(version=999))
    assert convert.converted_path(card) != before


@pytest.mark.assets
def test_sface_rewritten_equals_the_exported_graph() -> None:
    """The published weights: PReLU rewritten or left, the vectors agree to float32 rounding (relative to their length)."""
    from faceworks import assets

    model = onnx.load(str(assets.fetch(cards.get("sface-2021dec-int8bq").file_for())))
    graph.drop_stale_inputs(model)
    graph.fold_constants(model)
    graph.remove_dropout(model)
    plain = model.SerializeToString()
    assert graph.rewrite_prelu(model) == 27
    import onnxruntime

    x = RNG.uniform(0, 255, (1, 3, 112, 112)).astype(np.float32)
    results = []
    for data in (plain, model.SerializeToString()):
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        results.append(session.run(None, {session.get_inputs()[0].name: x})[0][0])
    assert_close(results[1], results[0], 2e-5 * float(np.linalg.norm(results[0])))
