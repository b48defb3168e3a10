"""The checkpoint loader refuses by name, runs nothing, and the networks learn."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from faceworks import cards, convert, networks
from faceworks.convert import graph
from faceworks.convert.torch_state import export, torch_state
from faceworks.errors import CardError, ConfigError, ConversionError, MissingDependency
from golden import torch_cases

torch = pytest.importorskip("torch")

CASE = torch_cases.CASES["minifasnet_v2"]
State = dict[str, Any]


@pytest.fixture(scope="module")
def state() -> State:
    return {key: torch_cases.fill(key, tuple(value.shape)) for key, value in CASE.network().state_dict().items()}


def load(state: Any, folder: Path, **options: Any) -> bytes:
    return torch_state(torch_cases.source(CASE, torch_cases.save(state, folder / "file.pth"), **options))


def without(*keys: str) -> Callable[[State], State]:
    return lambda state: {key: value for key, value in state.items() if key not in keys}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("linear.weight"), r"1 parameters are missing: linear\.weight"),
        (without("bn.running_mean", "bn.running_var"), r"2 parameters are missing: bn\.running_mean, bn\.running_var"),
        (lambda state: {**state, "extra.weight": np.zeros(3, np.float32)}, r"1 keys are not the network's: extra\.weight"),
        (lambda state: {**state, "prob.weight": np.zeros((2, 128), np.float32)}, r"wrong shapes: prob\.weight is \(2, 128\), expected \(3, 128\)"),
        (lambda state: {**state, "prob.weight": "text"}, r"not tensors: prob\.weight \(str\)"),
        (lambda state: {f"net.{key}": value for key, value in state.items()}, r"parameters are missing: conv1\.conv\.weight.*and \d+ more"),
        (lambda state: {"state_dict": state}, "not a state dict of tensors, it holds state_dict"),
        (lambda state: [1, 2], "not a state dict of tensors, it holds list"),
        (lambda state: {}, "not a state dict of tensors"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_name(change: Callable[[State], Any], message: str, state: State, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=message) as caught:
        load(change(dict(state)), tmp_path)
    assert "minifasnet-v2-v1se" in str(caught.value)
    assert "file.pth" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_counters_may_be_missing_and_doubles_are_taken(state: State, tmp_path: Path) -> None:
    kept = {key: value.astype(np.float64) for key, value in state.items() if not key.endswith("num_batches_tracked")}
    assert load(kept, tmp_path) == load(state, tmp_path)


def test_ignored_keys_and_wrappings(state: State, tmp_path: Path) -> None:
    plain = load(state, tmp_path)
    assert load(torch_cases.parallel(state), tmp_path) == plain
    inner = {f"net.{key}": value for key, value in state.items()}
    assert load({"a": {"b": inner}}, tmp_path, unwrap="a/b", prefix="net.") == plain
    with pytest.raises(ConversionError, match="no 'b' in the checkpoint, which holds a"):
        load({"a": inner}, tmp_path, unwrap="b")
    stranger = {"a": {**inner, "head.kernel": np.zeros(2, np.float32)}}
    with pytest.raises(ConversionError, match=r"do not begin with 'net\.' and that the card does not list under ignore: head\.kernel"):
        load(stranger, tmp_path, unwrap="a", prefix="net.")
    source = torch_cases.source(CASE, torch_cases.save(stranger, tmp_path / "file.pth"), unwrap="a", prefix="net.")
    assert torch_state(dataclasses.replace(source, file=dataclasses.replace(source.file, ignore=("head.*",)))) == plain


class _Hostile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (str(self.path), "w")


def test_a_checkpoint_that_carries_code_runs_nothing(state: State, tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    loaded = {key: torch.from_numpy(value) for key, value in state.items()}
    for name, content, fits in [("beside", {"state_dict": loaded, "args": _Hostile(trap)}, True), ("inside", {"state_dict": _Hostile(trap)}, False)]:
        path = tmp_path / f"{name}.pth"
        torch.save(content, path)
        source = torch_cases.source(CASE, path, unwrap="state_dict")
        if fits:
            assert torch_state(source)
        else:
            with pytest.raises(ConversionError):
                torch_state(source)
        assert not trap.exists()
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(_Hostile(trap)))
    with pytest.raises(ConversionError):
        torch_state(torch_cases.source(CASE, tmp_path / "plain.pth"))
    assert not trap.exists()


@pytest.mark.parametrize("data", [b"", b"not a checkpoint", b"PK\x03\x04broken", b"<html>404</html>" * 50])
def test_what_is_no_checkpoint_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.pth"
    path.write_bytes(data)
    with pytest.raises(ConversionError, match=r"file\.pth"):
        torch_state(torch_cases.source(CASE, path))


def test_options_that_cannot_hold(state: State, tmp_path: Path) -> None:
    with pytest.raises(CardError, match=r"convert_options\.network must name one of"):
        load(state, tmp_path, network=None)
    with pytest.raises(ConfigError, match="did you mean minifasnet-v2"):
        load(state, tmp_path, network="minifasnet-v22")
    with pytest.raises(ConfigError, match="network minifasnet-v2"):
        load(state, tmp_path, arguments={"depth": 3})
    with pytest.raises(ConversionError, match="gives 1 outputs, the card names 2: a, b"):
        load(state, tmp_path, outputs=["a", "b"])


def test_without_torch_the_pip_line_is_named(state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = torch_cases.source(CASE, torch_cases.save(state, tmp_path / "file.pth"))
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependency, match=r"pip install 'faceworks\[torch\]'"):
        torch_state(source)
    with pytest.raises(MissingDependency, match=r"pip install 'faceworks\[torch\]'"):
        networks.build("minifasnet-v2")


def test_the_registry_and_the_converter_table_import_no_torch() -> None:
    code = (
        "import sys; from faceworks import convert, networks, cards; convert.version(cards.get('emonet-8').file_for()); print('torch' in sys.modules)"
    )
    environment = {"PYTHONPATH": str(Path(networks.__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_batch_is_free_and_prelu_rewritten(state: State, tmp_path: Path) -> None:
    data = load(state, tmp_path)
    model = onnx.load_from_string(data)
    assert not [node for node in model.graph.node if node.op_type == "PRelu"]
    assert [item.name for item in model.graph.output] == ["logits"]
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    x = torch_cases.make_input((5, 3, 80, 80), 0, 255)
    whole = session.run(None, {"input": x})[0]
    single = np.concatenate([session.run(None, {"input": x[i : i + 1]})[0] for i in range(5)])
    np.testing.assert_allclose(whole, single, rtol=1e-4, atol=1e-5)


def test_any_size_goes_through_the_detector() -> None:
    network = networks.build("retinaface-mobilenet-0.25")
    model = export(network, (3, 64, 96), ["loc", "conf", "landmarks"], free_sizes=True)
    graph.fold_constants(model)
    session = onnxruntime.InferenceSession(graph.serialize(model, "test"), providers=["CPUExecutionProvider"])
    for height, width in ((64, 96), (97, 150), (33, 31)):
        x = torch_cases.make_input((2, 3, height, width), -120, 130)
        anchors = 2 * sum(-(-height // step) * -(-width // step) for step in (8, 16, 32))
        with torch.no_grad():
            expected = [item.numpy() for item in network(torch.from_numpy(x))]
        for got, want in zip(session.run(None, {"input": x}), expected, strict=True):
            assert got.shape[:2] == (2, anchors)
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_current_exporter_gives_the_same(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("onnxscript")
    network = networks.build("mobilefacenet", size=(48, 48))
    x = torch_cases.make_input((3, 3, 48, 48), -1, 1)
    results = []
    for current in (False, True):
        model = export(network, (3, 48, 48), ["embedding"], current=current)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        results.append(session.run(["embedding"], {"input": x})[0])
    np.testing.assert_allclose(results[0], results[1], rtol=1e-4, atol=1e-5)


SIZES = {"inception-resnet-v1": (96, 96), "emonet": (256, 256), "retinaface-mobilenet-0.25": (64, 64), "minifasnet-v2": (80, 80)}


@pytest.mark.parametrize(
    "name",
    ["iresnet-18", "mobilefacenet", "retinaface-mobilenet-0.25", "minifasnet-v2", "minifasnet-v1se"]
    + [pytest.param(name, marks=pytest.mark.slow) for name in ("inception-resnet-v1", "adaface-ir-18", "emonet")],
)
def test_every_parameter_learns(name: str) -> None:
    """In train mode a loss over all outputs sends a finite gradient to every parameter that may learn."""
    torch.manual_seed(0)
    small = {"iresnet-18", "mobilefacenet"}
    network = networks.build(name, **({"size": (48, 48)} if name in small else {})).train()
    height, width = (48, 48) if name in small else SIZES.get(name, (80, 80) if "fas" in name else (112, 112))
    outputs = network(torch.randn(2, 3, height, width))
    terms = []
    for item in outputs if isinstance(outputs, tuple) else [outputs]:
        terms += [(item**2).mean(), (item[:1] * item[:1].detach().sign().flip(-1)).mean()]
    loss = sum(terms)
    loss.backward()
    learning = {key: value for key, value in network.named_parameters() if value.requires_grad}
    lost = [key for key, value in learning.items() if value.grad is None or not torch.isfinite(value.grad).all()]
    assert lost == []


def test_retinaface_gives_logits_while_it_learns() -> None:
    network = networks.build("retinaface-mobilenet-0.25")
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        probabilities = network.eval()(x)[1]
        logits = network.train()(x)[1]
    assert torch.allclose(probabilities.sum(-1), torch.ones(1))
    assert not torch.allclose(logits.sum(-1), torch.ones(1))


def test_instance_normalization_is_fixed_after_training() -> None:
    """EmoNet's trunk: while learning each picture is normalized by itself, afterwards by the running statistics, as torch's own layer does."""
    from faceworks.networks.emonet import _Norm

    ours, theirs = _Norm(4), torch.nn.InstanceNorm2d(4, affine=True, track_running_stats=True)
    x = torch.randn(3, 4, 5, 5) * 2 + 1
    for layer in (ours, theirs):
        layer.train()
        layer(x)
        layer.eval()
    assert torch.allclose(ours(x), theirs(x), atol=1e-6)


@pytest.mark.parametrize("name", [name for name in cards.names() if any(file.convert == "torch_state" for file in cards.get(name).file)])
def test_cards_name_networks_and_outputs(name: str) -> None:
    card = cards.get(name)
    for file in card.file:
        assert file.convert_options["network"] in networks.NETWORKS
        assert set(file.convert_options) <= {"network", "arguments", "unwrap", "strip", "prefix", "outputs", "free_sizes", "prelu"}
        assert card.input_for(file.role).size
        assert convert.version(file).startswith("torch_state-")
