"""Presentation attack detection (ISO/IEC 30107-3): error rates by attack species, the worst one counting.

`scores` (N,) are higher = more likely bona fide; accepted as bona fide at score ≥ threshold. APCER of a species = its attacks accepted;
BPCER = bona fide presentations refused. ACER = (worst APCER + BPCER) / 2 is a legacy number that the standard has dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from .intervals import Interval, clopper_pearson

__all__ = ["Pad", "bpcer_at_apcer", "pad_rates"]


@dataclass(frozen=True, slots=True)
class Pad:
    """Rates at one threshold.

    Attributes:
        threshold: accepted as bona fide at score ≥ this.
        apcer: species -> share of its attacks accepted; apcer_interval: its exact 95 % interval.
        worst: the species with the largest APCER (of equals the first by name); apcer_max: that rate.
        bpcer, bpcer_interval: share of bona fide presentations refused.
        acer: (apcer_max + bpcer) / 2, legacy.
        attacks, bona_fide: numbers of presentations (attacks by species).
    """

    threshold: float
    apcer: Mapping[str, float]
    apcer_interval: Mapping[str, Interval]
    worst: str
    apcer_max: float
    bpcer: float
    bpcer_interval: Interval
    acer: float
    attacks: Mapping[str, int]
    bona_fide: int


def _split(scores: ArrayLike, species: Sequence[str | None]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or len(species) != len(values):
        raise InputError(f"scores and species must have one length (N,), got {values.shape} and {len(species)}")
    if not np.isfinite(values).all():
        raise InputError("a score is NaN or infinite; a presentation without a score is a non-response: report it apart")
    kinds = np.array([item or "" for item in species], dtype=np.str_)
    bona_fide = values[kinds == ""]
    attacks = {str(name): values[kinds == name] for name in np.unique(kinds) if name}
    if not len(bona_fide) or not attacks:
        raise InputError(f"bona fide presentations and attacks are both needed, got {len(bona_fide)} and {len(values) - len(bona_fide)}")
    return bona_fide, attacks


def pad_rates(scores: ArrayLike, species: Sequence[str | None], threshold: float) -> Pad:
    """Rates at a threshold.

    Args:
        scores: (N,) higher = bona fide.
        species: (N,) name of the attack instrument species ("print", "replay", …); None or "" for a bona fide presentation.
        threshold: accepted at score ≥ this.
    """
    if np.isnan(threshold):
        raise InputError("a threshold must be a number, got NaN")
    bona_fide, attacks = _split(scores, species)
    passed = {name: int((values >= threshold).sum()) for name, values in attacks.items()}
    sizes = {name: len(values) for name, values in attacks.items()}
    apcer = {name: passed[name] / sizes[name] for name in attacks}
    worst = max(sorted(apcer), key=lambda name: apcer[name])
    refused = int((bona_fide < threshold).sum())
    return Pad(
        threshold=float(threshold),
        apcer=apcer,
        apcer_interval={name: clopper_pearson(passed[name], sizes[name]) for name in attacks},
        worst=worst,
        apcer_max=apcer[worst],
        bpcer=refused / len(bona_fide),
        bpcer_interval=clopper_pearson(refused, len(bona_fide)),
        acer=(apcer[worst] + refused / len(bona_fide)) / 2,
        attacks=sizes,
        bona_fide=len(bona_fide),
    )


def bpcer_at_apcer(scores: ArrayLike, species: Sequence[str | None], apcer: float = 0.05) -> Pad:
    """Rates at the lowest threshold (a score that occurs, or just above the highest) at which no species' APCER exceeds `apcer`: the smallest BPCER.

    Raises:
        InputError: apcer outside [0, 1].
    """
    if not 0.0 <= apcer <= 1.0:
        raise InputError(f"an attack presentation classification error rate lies in [0, 1], got {apcer}")
    bona_fide, attacks = _split(scores, species)
    every = np.unique(np.concatenate([bona_fide, *attacks.values()]))
    every = np.append(every, np.nextafter(every[-1], np.inf))
    worst = np.max([(len(v) - np.searchsorted(np.sort(v), every, side="left")) / len(v) for v in attacks.values()], axis=0)
    return pad_rates(scores, species, float(every[int(np.argmax(worst <= apcer))]))
