"""A network of LeNet's size (LeCun et al. 1998, http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf) that embeds faces, and its mirror, an
autoencoder: for small sets, a processor, and minutes.

`LeNetEmbedder`: (N, C, H, W) → (N, dim). Three convolutions with pools and one linear layer; batch normalization, which LeNet did not have,
since losses with margins do not learn without it. `LeNetAutoencoder`: the same, and a decoder back to the picture.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from .initialization import he

__all__ = ["LeNetAutoencoder", "LeNetEmbedder"]

_WIDTHS = (16, 32, 64)


class LeNetEmbedder(nn.Module):
    """The embedder.

    Args:
        dim: length of the embedding.
        channels: of the input.
        size: (height, width) of the input, multiples of 8.
    """

    def __init__(self, dim: int = 64, channels: int = 1, size: tuple[int, int] = (56, 48)) -> None:
        super().__init__()
        if size[0] % 8 or size[1] % 8:
            raise TypeError(f"height and width must be multiples of 8, got {size}")
        layers: list[Any] = []
        before = channels
        for width, kernel in zip(_WIDTHS, (5, 3, 3), strict=True):
            layers += [nn.Conv2d(before, width, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)]
            before = width
        self.features = nn.Sequential(*layers)
        self.places = (size[0] // 8, size[1] // 8)
        self.embedding = nn.Sequential(nn.Flatten(), nn.Linear(before * self.places[0] * self.places[1], dim, bias=False), nn.BatchNorm1d(dim))
        he(self)

    def forward(self, x: Any) -> Any:
        """Embeddings (N, dim), not normalized."""
        return self.embedding(self.features(x))


class LeNetAutoencoder(nn.Module):
    """The embedder and a decoder that draws the picture from the embedding ("code") alone."""

    def __init__(self, dim: int = 64, channels: int = 1, size: tuple[int, int] = (56, 48)) -> None:
        super().__init__()
        self.encoder = LeNetEmbedder(dim, channels, size)
        rows, columns = self.encoder.places
        layers: list[Any] = [nn.Linear(dim, _WIDTHS[-1] * rows * columns), nn.ReLU(), nn.Unflatten(1, (_WIDTHS[-1], rows, columns))]
        for before, width in ((64, 32), (32, 16), (16, channels)):
            layers += [nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(before, width, 3, padding=1)]
            layers += [nn.BatchNorm2d(width), nn.ReLU()] if width != channels else []
        self.decoder = nn.Sequential(*layers)
        he(self.decoder)

    def forward(self, x: Any) -> tuple[Any, Any]:
        """Code (N, dim) and the picture drawn from it, shaped as the input."""
        code = self.encoder(x)
        return code, self.decoder(code)
