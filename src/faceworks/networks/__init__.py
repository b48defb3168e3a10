"""PyTorch modules of published architectures: written once, used by `convert.torch_state` (checkpoint → ONNX) and by `train`.

Parameter names and shapes equal those of the official checkpoints, so that a published state dict fits as it is. `NETWORKS` holds strings:
importing this package imports no torch. `build` makes a network in train mode with the initialization its paper states.
"""

from __future__ import annotations

import difflib
from typing import Any

from ..errors import ConfigError
from ..optional import require
from ..plugins import resolve

__all__ = ["NETWORKS", "build"]

NETWORKS = {
    "iresnet-18": "faceworks.networks.iresnet:iresnet18",
    "iresnet-34": "faceworks.networks.iresnet:iresnet34",
    "iresnet-50": "faceworks.networks.iresnet:iresnet50",
    "iresnet-100": "faceworks.networks.iresnet:iresnet100",
    "adaface-ir-18": "faceworks.networks.adaface_ir:ir18",
    "adaface-ir-50": "faceworks.networks.adaface_ir:ir50",
    "adaface-ir-101": "faceworks.networks.adaface_ir:ir101",
    "ir-se-50": "faceworks.networks.ir_se:ir_se50",
    "ir-se-100": "faceworks.networks.ir_se:ir_se100",
    "ir-se-152": "faceworks.networks.ir_se:ir_se152",
    "mobilefacenet": "faceworks.networks.mobilefacenet:MobileFaceNet",
    "inception-resnet-v1": "faceworks.networks.inception_resnet_v1:InceptionResnetV1",
    "retinaface-mobilenet-0.25": "faceworks.networks.retinaface:retinaface_mobilenet025",
    "retinaface-resnet-50": "faceworks.networks.retinaface:retinaface_resnet50",
    "retinaface-dense-mobilenet-0.25": "faceworks.networks.retinaface_dense:retinaface_dense_mobilenet025",
    "retinaface-dense-resnet-50": "faceworks.networks.retinaface_dense:retinaface_dense_resnet50",
    "emonet": "faceworks.networks.emonet:EmoNet",
    "minifasnet-v2": "faceworks.networks.minifasnet:minifasnet_v2",
    "minifasnet-v1se": "faceworks.networks.minifasnet:minifasnet_v1se",
    "nn1": "faceworks.networks.nn1:NN1",
    "nn2": "faceworks.networks.nn2:NN2",
    "emotion-cnn": "faceworks.networks.emotion_cnn:EmotionCNN",
    "mini-xception": "faceworks.networks.mini_xception:MiniXception",
    "levi-hassner": "faceworks.networks.levi_hassner:LeviHassner",
    "lenet": "faceworks.networks.lenet:LeNetEmbedder",
    "lenet-autoencoder": "faceworks.networks.lenet:LeNetAutoencoder",
}
"""Network name → "module:builder". A builder is called with keyword arguments and returns an `nn.Module`."""


def build(name: str, **arguments: Any) -> Any:
    """A new network, in train mode, initialized.

    Args:
        name: key of `NETWORKS`.
        arguments: the builder's keyword arguments (`dim`, `classes`, …).

    Raises:
        MissingDependency: torch is not installed.
        ConfigError: no such network, or arguments that it does not take.
    """
    if name not in NETWORKS:
        near = difflib.get_close_matches(name, NETWORKS, n=3)
        raise ConfigError(f"no network is called {name!r}; {'did you mean ' + ', '.join(near) + '?' if near else 'known: ' + ', '.join(NETWORKS)}")
    require("torch", "torch", f"the network {name}")
    builder = resolve(NETWORKS[name])
    try:
        return builder(**arguments)
    except TypeError as error:
        raise ConfigError(f"network {name}: {error}") from error
