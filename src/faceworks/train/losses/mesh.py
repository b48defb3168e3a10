"""RetinaFace's self-supervised branch: a face as a small colored mesh, drawn by a differentiable projection and compared with the picture.

The paper (section 3.2) predicts, for an anchor, shape and texture parameters P_ST, a camera P_cam = [x_c, y_c, z_c, x′_c, y′_c, z′_c, f_c] (place, pose,
focal length) and a light P_ill = [x_l, y_l, z_l, r_l, g_l, b_l, r_a, g_a, b_a] (place of a point light, its color, ambient color); a decoder of graph
convolutions D makes a colored mesh, R draws it, and (eq. 5)

    L_pixel = 1/(W · H) Σᵢ Σⱼ ‖ R(D(P_ST), P_cam, P_ill)ᵢⱼ − I*ᵢⱼ ‖₁

Its decoder was trained beforehand on scans that are not public. Here the mesh is a small piece of an ellipsoid and the decoder begins at random and learns with
the rest; the drawing spreads each vertex's color over nearby pixels (soft splatting) instead of filling triangles, so that every output has a slope.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

__all__ = ["CAMERA", "LIGHT", "ChebyshevConvolution", "MeshDecoder", "draw", "face_grid", "pixel_loss", "project", "rotation"]

CAMERA, LIGHT = 7, 9
"""Numbers of a camera and of a light."""
_DISTANCE, _FOCAL = 4.0, 3.2
"""The resting camera: so far in front of the face, with such a focal length, the face about fills the square."""


def face_grid(rows: int = 13, columns: int = 11) -> tuple[Any, Any]:
    """Vertices (V, 3) of the front of an ellipsoid (x right, y down, z away from the camera) and triangles (F, 3)."""
    v, u = torch.meshgrid(torch.linspace(-1.25, 1.25, rows), torch.linspace(-1.25, 1.25, columns), indexing="ij")
    vertices = torch.stack([0.8 * torch.sin(u) * torch.cos(v), torch.sin(v), -0.7 * torch.cos(u) * torch.cos(v)], dim=2).reshape(-1, 3)
    place = torch.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = place[:-1, :-1], place[:-1, 1:], place[1:, :-1], place[1:, 1:]
    triangles = torch.cat([torch.stack([a, b, c], dim=2).reshape(-1, 3), torch.stack([b, d, c], dim=2).reshape(-1, 3)])
    return vertices, triangles


def scaled_laplacian(vertices: int, triangles: Any) -> Any:
    """2 L/λ_max − I of the normalized graph Laplacian L of a mesh, (V, V), with eigenvalues in [−1, 1]."""
    adjacency = torch.zeros(vertices, vertices)
    for first, second in ((0, 1), (1, 2), (2, 0)):
        adjacency[triangles[:, first], triangles[:, second]] = 1
    adjacency = torch.maximum(adjacency, adjacency.T)
    root = adjacency.sum(dim=1).clamp_min(1).rsqrt()
    laplacian = torch.eye(vertices) - root[:, None] * adjacency * root[None, :]
    return 2 * laplacian / torch.linalg.eigvalsh(laplacian)[-1] - torch.eye(vertices)


class ChebyshevConvolution(nn.Module):
    """Graph convolution (Defferrard et al. 2016, https://arxiv.org/abs/1606.09375; the paper's eq. 3):   y = Σₖ θₖ Tₖ(L̃) x,   T₀ = x, T₁ = L̃x,
    Tₖ = 2 L̃ Tₖ₋₁ − Tₖ₋₂. `order` terms; (N, V, C) → (N, V, width)."""

    def __init__(self, channels: int, width: int, order: int = 3) -> None:
        super().__init__()
        self.order = order
        self.linear = nn.Linear(channels * order, width)

    def forward(self, x: Any, laplacian: Any) -> Any:
        """Features (N, V, width)."""
        terms = [x]
        for k in range(1, self.order):
            terms.append(laplacian @ x if k == 1 else 2 * laplacian @ terms[-1] - terms[-2])
        return self.linear(torch.cat(terms, dim=2))


class MeshDecoder(nn.Module):
    """D: parameters (N, code) → vertices (N, V, 3) about the resting ones and colors (N, V, 3) in (0, 1)."""

    resting: Any
    triangles: Any
    laplacian: Any

    def __init__(self, code: int = 32, width: int = 16, rows: int = 13, columns: int = 11) -> None:
        super().__init__()
        vertices, triangles = face_grid(rows, columns)
        self.code, self.width = code, width
        self.register_buffer("resting", vertices, persistent=False)
        self.register_buffer("triangles", triangles, persistent=False)
        self.register_buffer("laplacian", scaled_laplacian(len(vertices), triangles), persistent=False)
        self.spread = nn.Linear(code, len(vertices) * width)
        self.hidden = ChebyshevConvolution(width, width)
        self.last = ChebyshevConvolution(width, 6)

    def forward(self, code: Any) -> tuple[Any, Any]:
        """Vertices (N, V, 3) and colors (N, V, 3)."""
        x = nn.functional.elu(self.spread(code).reshape(len(code), len(self.resting), self.width))
        x = self.last(nn.functional.elu(self.hidden(x, self.laplacian)), self.laplacian)
        return self.resting + 0.1 * torch.tanh(x[..., :3]), torch.sigmoid(x[..., 3:])


def rotation(angles: Any) -> Any:
    """Rotation matrices (N, 3, 3) about x, then y, then z, from angles (N, 3) in radians."""
    sine, cosine = torch.sin(angles), torch.cos(angles)
    one, zero = torch.ones_like(sine[:, 0]), torch.zeros_like(sine[:, 0])
    rows = (
        (one, zero, zero, zero, cosine[:, 0], -sine[:, 0], zero, sine[:, 0], cosine[:, 0]),
        (cosine[:, 1], zero, sine[:, 1], zero, one, zero, -sine[:, 1], zero, cosine[:, 1]),
        (cosine[:, 2], -sine[:, 2], zero, sine[:, 2], cosine[:, 2], zero, zero, zero, one),
    )
    x, y, z = (torch.stack(row, dim=1).reshape(-1, 3, 3) for row in rows)
    return z @ y @ x


def project(vertices: Any, camera: Any) -> tuple[Any, Any]:
    """Perspective projection: places (N, V, 2) on the square (−1 to 1, y down) and depths (N, V) > 0.

    `camera` (N, 7) holds *changes* of the resting camera: place, pose (radians), logarithm of the focal length; zeros look at the face from the front.
    """
    turned = vertices @ rotation(camera[:, 3:6]).transpose(1, 2) - camera[:, None, :3]
    depth = (turned[..., 2] + _DISTANCE).clamp_min(0.5)
    return _FOCAL * torch.exp(camera[:, 6])[:, None, None] * turned[..., :2] / depth[..., None], depth


def normals(vertices: Any, triangles: Any) -> Any:
    """Vertex normals (N, V, 3) of length 1, toward the camera where the mesh faces it."""
    a, b, c = (vertices[:, triangles[:, k]] for k in range(3))
    flat = torch.linalg.cross(c - a, b - a)
    total = torch.zeros_like(vertices)
    for k in range(3):
        total = total.index_add(1, triangles[:, k], flat)
    return total / (total.pow(2).sum(dim=2, keepdim=True) + 1e-12).sqrt()


def shade(vertices: Any, colors: Any, triangles: Any, light: Any) -> Any:
    """Lambert's colors (N, V, 3): ambient plus a point light. `light` (N, 9) holds changes of white ambient light of 0.6 and a white lamp of 0.5 at the camera."""
    place = light[:, None, :3] + torch.tensor([0.0, 0.0, -_DISTANCE], dtype=light.dtype, device=light.device)
    toward = place - vertices
    toward = toward / (toward.pow(2).sum(dim=2, keepdim=True) + 1e-12).sqrt()
    facing = nn.functional.softplus(8 * (normals(vertices, triangles) * toward).sum(dim=2, keepdim=True)) / 8
    return colors * ((0.6 + light[:, None, 6:]) + (0.5 + light[:, None, 3:6]) * facing)


def draw(vertices: Any, colors: Any, triangles: Any, camera: Any, light: Any, size: int = 16) -> tuple[Any, Any]:
    """R: picture (N, 3, size, size) and how far the mesh covers each pixel (N, size, size), 0 to 1; differentiable in all of it.

    A pixel's color is the mean of the vertices' colors, weighted by a Gaussian of their distance on the square, by nearness (a softmax over depth: the front
    hides the back) and by facing the camera.
    """
    places, depth = project(vertices, camera)
    shaded = shade(vertices, colors, triangles, light)
    line = (torch.arange(size, dtype=vertices.dtype, device=vertices.device) + 0.5) / size * 2 - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    pixels = torch.stack([x, y], dim=2).reshape(-1, 2)
    spacing = 2.2 / math.sqrt(vertices.shape[1])
    apart = (pixels[None, :, None] - places[:, None]).pow(2).sum(dim=3)
    near = torch.exp(-apart / (2 * spacing**2))
    front = torch.exp(-(depth - depth.amin(dim=1, keepdim=True).detach()) / 0.2)
    weight = near * front[:, None]
    picture = (weight @ shaded) / (weight.sum(dim=2, keepdim=True) + 1e-6)
    cover = 1 - torch.exp(-near.sum(dim=2))
    return picture.transpose(1, 2).reshape(-1, 3, size, size), cover.reshape(-1, size, size)


def pixel_loss(drawn: Any, cover: Any, wanted: Any) -> Any:
    """L_pixel: mean over pictures and their pixels of ‖drawn − wanted‖₁ over colors, where the mesh covers the pixel (`cover` carries no gradient: hiding is no
    way to be right); (N, 3, H, W), (N, H, W), (N, 3, H, W) → scalar."""
    return ((drawn - wanted).abs().sum(dim=1) * cover.detach()).mean()
