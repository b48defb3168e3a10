"""Structures of networks whose authors publish Keras weights without a configuration: written here from their published code, as Keras would save them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import ConversionError

__all__ = ["STRUCTURES", "structure"]

Layer = dict[str, Any]


def _layer(kind: str, name: str, **settings: Any) -> Layer:
    return {"class_name": kind, "config": {"name": name, **settings}}


def _convolution(name: str, filters: int, size: int, padding: str = "valid", activation: str = "relu") -> Layer:
    window = {
        "kernel_size": [size, size],
        "strides": [1, 1],
        "dilation_rate": [1, 1],
        "padding": padding,
        "data_format": "channels_last",
        "groups": 1,
    }
    return _layer("Conv2D", name, filters=filters, activation=activation, use_bias=True, **window)


def _pool(kind: str, name: str, size: int, stride: int) -> Layer:
    return _layer(kind, name, pool_size=[size, size], strides=[stride, stride], padding="valid", data_format="channels_last")


def _dense(name: str, units: int, activation: str) -> Layer:
    return _layer("Dense", name, units=units, activation=activation, use_bias=True)


def _deepface_emotion(classes: int = 7) -> list[Layer]:
    """48 → 44 → 20 → 18 → 16 → 7 → 5 → 3 → 1: the small network that DeepFace prints for FER2013."""
    return [
        _layer("InputLayer", "input", batch_shape=[None, 48, 48, 1]),
        _convolution("conv2d_1", 64, 5),
        _pool("MaxPooling2D", "max_pooling2d_1", 5, 2),
        _convolution("conv2d_2", 64, 3),
        _convolution("conv2d_3", 64, 3),
        _pool("AveragePooling2D", "average_pooling2d_1", 3, 2),
        _convolution("conv2d_4", 128, 3),
        _convolution("conv2d_5", 128, 3),
        _pool("AveragePooling2D", "average_pooling2d_2", 3, 2),
        _layer("Flatten", "flatten_1", data_format="channels_last"),
        _dense("dense_1", 1024, "relu"),
        _layer("Dropout", "dropout_1", rate=0.2),
        _dense("dense_2", 1024, "relu"),
        _layer("Dropout", "dropout_2", rate=0.2),
        _dense("dense_3", classes, "softmax"),
    ]


def _vgg_face(classes: int) -> list[Layer]:
    """VGG-16 up to fc7, then a 1x1 convolution with a softmax: DeepFace's age (101), gender (2) and race (6)."""
    layers = [_layer("InputLayer", "input", batch_shape=[None, 224, 224, 3])]
    count = 0
    for block, (filters, times) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), start=1):
        for _ in range(times):
            count += 1
            layers.append(_convolution(f"conv2d_{count}", filters, 3, "same"))
        layers.append(_pool("MaxPooling2D", f"max_pooling2d_{block}", 2, 2))
    layers += [
        _convolution("conv2d_14", 4096, 7),
        _layer("Dropout", "dropout_1", rate=0.5),
        _convolution("conv2d_15", 4096, 1),
        _layer("Dropout", "dropout_2", rate=0.5),
        _convolution("predictions", classes, 1, activation="linear"),
        _layer("Flatten", "flatten", data_format="channels_last"),
        _layer("Activation", "softmax", activation="softmax"),
    ]
    return layers


STRUCTURES = {"deepface-emotion": _deepface_emotion, "vgg-face": _vgg_face}
"""Name (a card's `convert_options.structure`) -> its layers."""


def structure(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a Sequential model, as `keras_h5.build` takes it.

    Raises:
        ConversionError: no such structure, or an option that it does not have.
    """
    if name not in STRUCTURES:
        raise ConversionError(f"no structure is called {name!r}; known: {', '.join(STRUCTURES)}")
    try:
        layers = STRUCTURES[name](**options)
    except TypeError as error:
        raise ConversionError(f"the structure {name} does not take these options: {error}") from error
    return {"class_name": "Sequential", "config": {"name": name, "layers": layers}}
