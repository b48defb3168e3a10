"""Training and held-out pictures. People are never shared: a network that knows a face by heart proves nothing with it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..evaluate.labeled import LabeledPictures
from .config import DataConfig

__all__ = ["assert_disjoint", "limit", "split", "split_people", "split_pictures"]

Mask = NDArray[np.bool_]


def assert_disjoint(people: NDArray[np.int64], held: Mask) -> None:
    """Refuse a split that shares a person.

    Raises:
        InputError: somebody has pictures on both sides; the message counts them.
    """
    shared = np.intersect1d(people[held], people[~held])
    if len(shared):
        raise InputError(f"{len(shared)} of {len(np.unique(people))} people have pictures on both sides of the split; people must be kept apart")


def split_people(people: NDArray[np.int64], share: float, seed: int) -> Mask:
    """Mask (N,) of the held-out pictures: all pictures of the share `share` of the people, rounded, drawn with `seed`.

    Raises:
        InputError: fewer than two people on either side.
    """
    everyone = np.unique(people)
    count = round(share * len(everyone))
    if count < 2 or len(everyone) - count < 2:
        raise InputError(f"holding out {share:g} of {len(everyone)} people leaves fewer than two on a side; take another share or more people")
    held = np.isin(people, np.random.default_rng(seed).permutation(everyone)[:count])
    assert_disjoint(people, held)
    return held


def split_pictures(labels: NDArray[np.int64], share: float, seed: int) -> Mask:
    """Mask (N,) of the held-out pictures: the share `share` of each class, rounded, drawn with `seed`."""
    rng, held = np.random.default_rng(seed), np.zeros(len(labels), bool)
    for value in np.unique(labels):
        own = rng.permutation(np.flatnonzero(labels == value))
        held[own[: round(share * len(own))]] = True
    if held.all() or not held.any():
        raise InputError(f"holding out {share:g} of {len(labels)} pictures leaves none on a side")
    return held


def limit(pictures: LabeledPictures, config: DataConfig, seed: int) -> LabeledPictures:
    """The first `most_people` people (in an order drawn with `seed`) and `most_pictures` of each, where the configuration asks for a part."""
    if not (config.most_people or config.most_pictures):
        return pictures
    people = np.asarray(pictures.labels[config.people or config.targets[0]], np.int64)
    chosen = np.random.default_rng(seed).permutation(np.unique(people))[: config.most_people or None]
    kept = np.isin(people, chosen)
    if config.most_pictures:
        for person in chosen:
            kept[np.flatnonzero(people == person)[config.most_pictures :]] = False
    return pictures.take(kept)


def split(pictures: LabeledPictures, config: DataConfig, seed: int) -> Mask:
    """Mask (N,) of the held-out pictures: the data set's own split where it has one ("train" against the rest), else by people, else by pictures."""
    if config.people and config.people not in pictures.labels:
        raise InputError(
            f"{pictures.source}: has no label {config.people!r} to keep people apart (it has {', '.join(pictures.labels)}); "
            'data.people = "" splits pictures'
        )
    if pictures.split is not None and (pictures.split == "train").any() and not (pictures.split == "train").all():
        held: Mask = pictures.split != "train"
        if config.people:
            assert_disjoint(np.asarray(pictures.labels[config.people], np.int64), held)
        return held
    if config.people:
        return split_people(np.asarray(pictures.labels[config.people], np.int64), config.held_out, seed)
    labels = np.asarray(pictures.labels[config.targets[0]])
    classes = labels.astype(np.int64) if labels.dtype.kind == "i" else np.zeros(len(labels), np.int64)
    return split_pictures(classes, config.held_out, seed)
