"""Make keras3-*.h5 and keras3.npz: small networks saved by Keras itself, with an input and what Keras answers. Not run by the tests.

Needs Keras 3 with any backend: KERAS_BACKEND=torch python tests/golden/keras_cases.py
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from keras import layers

HERE = Path(__file__).parent


def functional() -> keras.Model:
    """Every kind of window at stride 2 with even and odd sizes, a sum of branches, two outputs."""
    picture = keras.Input((17, 14, 3), name="picture")
    x = layers.Conv2D(6, 3, strides=2, padding="same", use_bias=False)(picture)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU(max_value=6)(x)
    a = layers.SeparableConv2D(8, (3, 5), padding="same", activation="relu", depth_multiplier=2)(x)
    a = layers.MaxPooling2D(3, strides=2, padding="same")(a)
    b = layers.DepthwiseConv2D(4, strides=2, padding="same")(x)
    b = layers.Conv2D(8, 1, activation="tanh")(b)
    x = layers.Add()([a, b])
    x = layers.AveragePooling2D(2, strides=2, padding="same")(x)
    x = layers.Activation("elu")(x)
    label = layers.Softmax(name="label")(layers.GlobalAveragePooling2D()(x))
    value = layers.Dense(1, activation="sigmoid", name="value")(layers.Flatten()(x))
    return keras.Model(picture, [label, value])


def sequential() -> keras.Model:
    """DeepFace's emotion network in small: valid windows, dropout, dense layers."""
    return keras.Sequential(
        [
            keras.Input((20, 20, 1)),
            layers.Conv2D(4, 5, activation="relu"),
            layers.MaxPooling2D(5, strides=2),
            layers.Conv2D(6, 3, dilation_rate=2, padding="same", activation="relu"),
            layers.AveragePooling2D(3, strides=2),
            layers.Flatten(),
            layers.Dense(10, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(7, activation="softmax"),
        ]
    )


def main() -> None:
    """Write the files."""
    arrays = {}
    for name, model in (("functional", functional()), ("sequential", sequential())):
        rng = np.random.default_rng(5)
        model.set_weights([rng.normal(0, 0.4, item.shape) for item in model.get_weights()])
        for layer in model.layers:
            if isinstance(layer, layers.BatchNormalization):
                gamma, beta, mean, _ = layer.get_weights()
                layer.set_weights([gamma, beta, mean, rng.uniform(0.5, 2, mean.shape)])
        picture = rng.normal(size=(2, *model.input_shape[1:])).astype(np.float32)
        answers = model.predict(picture, verbose=0)
        model.save(HERE / f"keras3-{name}.h5", include_optimizer=False)
        arrays[f"{name}.input"] = picture
        for index, answer in enumerate(answers if isinstance(answers, list) else [answers]):
            arrays[f"{name}.{index}"] = answer
    np.savez_compressed(HERE / "keras3.npz", **arrays)


if __name__ == "__main__":
    main()
