"""The networks that training brings, against their papers' tables, and mini-XCEPTION against its published file."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="networks need torch")

from faceworks import networks  # noqa: E402
from faceworks.errors import ConfigError  # noqa: E402


def weights(module) -> int:
    return sum(item.numel() for item in module.parameters())


def made(name, **arguments):
    """Without memory for the weights: counting needs none."""
    with torch.device("meta"):
        return networks.build(name, **arguments)


def sides(module, shape, kinds=(torch.nn.Conv2d, torch.nn.MaxPool2d, torch.nn.AvgPool2d)):
    """Height after each convolution and pool."""
    found = []
    hooks = [layer.register_forward_hook(lambda _, __, out: found.append(out.shape[2])) for layer in module.modules() if isinstance(layer, kinds)]
    with torch.no_grad():
        output = module.eval()(torch.zeros(shape, device=next(module.parameters()).device))
    for hook in hooks:
        hook.remove()
    return found, output


NN1_TABLE = [  # table 1: layer, parameters as printed; weights and biases
    ("conv1.0", 9e3, 500),
    ("conv2.2.0", 4e3, 500),
    ("conv2.3.0", 111e3, 500),
    ("stages.0.0", 37e3, 500),
    ("stages.1.0", 664e3, 500),
    ("stages.3.0", 148e3, 500),
    ("stages.4.0", 885e3, 500),
    ("stages.5.0", 66e3, 500),
    ("stages.6.0", 590e3, 500),
    ("stages.7.0", 66e3, 500),
    ("stages.8.0", 590e3, 500),
    ("fc1", 103e6, 5e5),
    ("fc2", 34e6, 5e5),
    ("fc7128", 524e3, 500),
]


def test_nn1_has_the_papers_parameters_layer_by_layer():
    network = made("nn1")
    for name, printed, half in NN1_TABLE:
        assert abs(weights(network.get_submodule(name)) - printed) <= half, name
    assert abs(weights(network) - 140e6) <= 0.5e6
    found, output = sides(network, (2, 3, 220, 220))
    assert found == [110, 55, 55, 55, 28, 28, 28, 14, 14, 14, 14, 14, 14, 14, 7]
    assert output.shape == (2, 128)


NN2_TABLE = [
    ("3a", 164e3, 256, 28),
    ("3b", 228e3, 320, 28),
    ("3c", 398e3, 640, 14),
    ("4a", 545e3, 640, 14),
    ("4b", 595e3, 640, 14),
    ("4c", 654e3, 640, 14),
    ("4d", 722e3, 640, 14),
    ("4e", 717e3, 1024, 7),
    ("5a", 1.6e6, 1024, 7),
    ("5b", 1.6e6, 1024, 7),
]


def test_nn2_has_the_papers_parameters_module_by_module():
    network = made("nn2")
    shapes = {}
    for name, module in network.inception.items():
        module.register_forward_hook(lambda _, __, out, name=name: shapes.__setitem__(name, tuple(out.shape[1:])))
    assert network.eval()(torch.zeros(1, 3, 224, 224, device="meta")).shape == (1, 128)
    for name, printed, width, side in NN2_TABLE:
        # 4b is printed as 595K; its row gives 594,896 weights and 784 biases: printed figures round weights, or weights and biases
        count = weights(network.inception[name])
        assert abs(count - printed) <= (1500 if printed < 1e6 else 5e4), (name, count)
        assert shapes[name] == (width, side, side)
    assert abs(weights(network) - 7.5e6) <= 0.05e6


def test_facenet_networks_give_unit_vectors():
    torch.manual_seed(0)
    for network in (networks.build("nn2", dim=32), networks.build("nn1", dim=32, size=64, width=64)):
        found = network.eval()(torch.rand(2, 3, 64, 64))
        np.testing.assert_allclose(found.norm(dim=1).detach(), 1, atol=1e-5)
        assert (found[0] - found[1]).abs().max() > 1e-4


def test_l2_pooling_is_the_root_of_the_mean_of_squares_and_differentiable_at_zero():
    from faceworks.networks.nn2 import _L2Pool

    pool = _L2Pool(1)
    x = torch.zeros(1, 1, 3, 3, requires_grad=True)
    pool(x).sum().backward()
    assert torch.isfinite(x.grad).all()
    assert float(pool(torch.arange(9.0).reshape(1, 1, 3, 3))[0, 0, 1, 1]) == pytest.approx(np.sqrt(np.mean(np.arange(9) ** 2.0)))


def test_the_seeds_emotion_network():
    network = made("emotion-cnn")
    assert weights(network) == 1_485_831
    found, output = sides(network, (2, 1, 48, 48))
    assert found == [44, 20, 18, 16, 7, 5, 3, 1]
    assert output.shape == (2, 7)
    spread = [networks.build("emotion-cnn", initialization=kind).features[0].weight.std().item() for kind in ("he", "default")]
    assert spread[0] == pytest.approx((2 / 25) ** 0.5, rel=0.05)
    assert spread[1] == pytest.approx((1 / 75) ** 0.5, rel=0.05)


def test_hes_beginning_keeps_the_size_of_what_goes_through_a_plain_stack():
    torch.manual_seed(0)
    x = torch.randn(16, 1, 48, 48)
    size = {kind: float(networks.build("emotion-cnn", initialization=kind, dropout=0.0)(x).detach().std(dim=0).mean()) for kind in ("he", "default")}
    assert 0.02 < size["he"] < 3, "pictures differ in their logits"
    assert size["default"] < 0.005, "by torch's own beginning hardly"


def test_levi_hassner_has_the_papers_layers():
    network = made("levi-hassner")
    found, output = sides(network, (2, 3, 227, 227))
    assert found == [56, 28, 28, 14, 14, 7]
    assert output.shape == (2, 8)
    layers = [weights(layer) for layer in network.modules() if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear))]
    assert layers == [14_208, 614_656, 885_120, 384 * 49 * 512 + 512, 512 * 512 + 512, 512 * 8 + 8]
    small = networks.build("levi-hassner", size=115, classes=2)
    assert small.eval()(torch.zeros(1, 3, 115, 115)).shape == (1, 2)


@pytest.mark.parametrize("size", [48, 64, 63])
def test_mini_xception_takes_these_sizes(size):
    network = made("mini-xception")
    assert weights(network) == 56_951
    assert sum(item.numel() for name, item in network.named_buffers() if "running" in name) == 1_472
    assert network(torch.zeros(2, 1, size, size, device="meta")).shape == (2, 7)


def _order(name: str) -> tuple[int, str]:
    kind, _, number = name.rpartition("_")
    return int(number), kind


@pytest.mark.shared
def test_mini_xception_equals_its_published_file(shared):
    """The authors' weights, put layer by layer into the module, give what the converter of Keras files makes of the file."""
    import onnxruntime

    from faceworks.convert import keras_h5

    config, arrays = keras_h5.read_file(shared / "weights" / "fer2013_mini_XCEPTION.102-0.66.hdf5")
    network = networks.build("mini-xception").eval()
    by_kind: dict[str, list] = {"conv2d": [], "separable_conv2d": [], "batch_normalization": []}
    for name in sorted((name for name in arrays if arrays[name]), key=_order):
        by_kind[_order(name)[1]].append(arrays[name])
    plain, separable, norms = (iter(by_kind[kind]) for kind in by_kind)
    depthwise_next: list = []
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                entry = next(norms)
                keys = (("weight", "gamma"), ("bias", "beta"), ("running_mean", "moving_mean"), ("running_var", "moving_variance"))
                for own, theirs in keys:
                    getattr(layer, own).copy_(torch.from_numpy(entry[theirs]))
            elif isinstance(layer, torch.nn.Conv2d):
                if layer.groups > 1:
                    depthwise_next = [next(separable)]
                    layer.weight.copy_(torch.from_numpy(depthwise_next[0]["depthwise_kernel"].transpose(2, 3, 0, 1)))
                elif depthwise_next:
                    layer.weight.copy_(torch.from_numpy(depthwise_next.pop()["pointwise_kernel"].transpose(3, 2, 0, 1)))
                else:
                    entry = next(plain)
                    layer.weight.copy_(torch.from_numpy(entry["kernel"].transpose(3, 2, 0, 1)))
                    if layer.bias is not None:
                        layer.bias.copy_(torch.from_numpy(entry["bias"]))
    session = onnxruntime.InferenceSession(keras_h5.build(config, arrays).SerializeToString())
    x = np.random.default_rng(0).uniform(-1, 1, (3, 64, 64, 1)).astype(np.float32)
    wanted = session.run(None, {session.get_inputs()[0].name: x})[0]
    with torch.no_grad():
        got = torch.softmax(network(torch.from_numpy(x.transpose(0, 3, 1, 2))), dim=1)
    np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_lenet_and_its_autoencoder():
    network = networks.build("lenet", dim=32)
    assert network(torch.rand(2, 1, 56, 48)).shape == (2, 32)
    assert weights(network) < 150_000
    code, drawn = networks.build("lenet-autoencoder", dim=32)(torch.rand(2, 1, 56, 48))
    assert (code.shape, drawn.shape) == ((2, 32), (2, 1, 56, 48))
    with pytest.raises(ConfigError, match="multiples of 8"):
        networks.build("lenet", size=(56, 46))
