"""Cutting a face out of a picture the way a network was trained to see it.

The crop grammar, as cards and `--strategy` write it:

    arcface-112x112, arcface-112x96   five points, least-squares similarity onto the ArcFace template
    chip-64x64                        five points onto where they lie in dlib's chip with a padding of 0.2
    dlib-N:P, dlib-chip               dlib's chip of N pixels with P of the face's size as padding (dlib-chip: 0.25, at any size), dlib's own sampling
    eyes:K                            turned until the eyes are level, then the square of K times the box's longer side about its center
    facealigner:X, facealigner:X,Y    imutils' FaceAligner: the left eye at the fractions X, Y of the crop (default .35,.35), the eyes level
    square:K                          the square about the box center, K times its longer side: nothing is flattened, outside is black
    box:K                             the box scaled by K about its center, stretched to the size (shape not kept); with `border="shift"` shrunk and
                                      moved until it lies inside the picture
    box                               the box grown by `margin` pixels of the *crop* in all (FaceNet's rule)
    whole, none                       the whole picture, stretched
    frontalize                        68 or 468 points: the face turned to the front (`align.frontalize`)

Every crop keeps its (2, 3) matrix from picture to crop, so that anything found in it can be carried back.
"""

from __future__ import annotations

from .cropping import crop, matrix_for, mirror, mirror_view, needs_scheme, schemes, shifted, square, template_points
from .frontal import Frontal, Pose, fit_pose, frontalize
from .templates import EYES, TEMPLATES, eye_centers

__all__ = [
    "EYES",
    "TEMPLATES",
    "Frontal",
    "Pose",
    "crop",
    "eye_centers",
    "fit_pose",
    "frontalize",
    "matrix_for",
    "mirror",
    "mirror_view",
    "needs_scheme",
    "schemes",
    "shifted",
    "square",
    "template_points",
]
