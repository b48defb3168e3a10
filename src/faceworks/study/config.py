"""`study.toml`: everything that decides what a study computes. Strict: an unknown key, a wrong type or a value that cannot hold is a `ConfigError`."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .. import cards, similarity
from ..cards.schema import build
from ..errors import CardError, ConfigError
from .naming import EMOTIONS
from .words import speaker

__all__ = ["FILE", "Scales", "StudyConfig", "default_text", "load"]

FILE = "study.toml"


@dataclass(frozen=True, slots=True)
class Scales:
    """What raters are asked.

    Attributes:
        questions: subset of emotion, intensity, valence, arousal, naturalness, identity, in this order.
        valence_arousal_points, naturalness_points: points of the scales (odd numbers of at least 3).
        per_rater: pictures for one rater; 0 shows all to everybody.
        raters: blocks that are made.
        attention_checks: pictures in each block whose answer is told in the question.
        practice: pictures before the first that counts.
        max_failed_checks: raters who fail more are excluded. min_seconds: a median time per picture below this excludes.
        consent: text shown before the start; "" takes the built-in one.
    """

    questions: tuple[str, ...] = ("emotion", "intensity", "valence", "arousal", "naturalness", "identity")
    valence_arousal_points: int = 9
    naturalness_points: int = 7
    per_rater: int = 0
    raters: int = 12
    attention_checks: int = 2
    practice: int = 2
    max_failed_checks: int = 0
    min_seconds: float = 1.0
    consent: str = ""


@dataclass(frozen=True, slots=True)
class StudyConfig:
    """One study.

    Attributes:
        title, language: of the report ("en" or "ko").
        seed: of everything drawn at random.
        neutral: an identity's sources, if it has several: "first" alone, the "mean" of their vectors, or "each" on its own row.
        detector: fixed for all embedders. landmarker: gives the 68 points for regions and displacements.
        embedders: cards; raw scores are never compared between them.
        emotion: cards that give emotion probabilities. affect: card that gives valence and arousal; "" takes none.
        metrics: distances on each pair row; the first decides.
        fmrs: false match rates at which pairs are verified, descending.
        margin: equivalence margin of the drop against the no-op baseline, in standard deviations of the set's impostors.
        margin_without_baseline: the same where there is no baseline: against the picture compared with itself.
        unsure: a most probable emotion below this is "unsure".
        bootstrap: replicates.
        aliases: the study's own words for conditions -> label.
    """

    title: str = "Identity and expression of edited faces"
    language: Literal["en", "ko"] = "en"
    seed: int = 0
    neutral: Literal["first", "mean", "each"] = "first"
    detector: str = "retinaface-mnet025"
    landmarker: str = "dlib-68"
    embedders: tuple[str, ...] = ("sface-2021dec-int8bq", "dlib-resnet-v1", "mobilefacenet-068")
    emotion: tuple[str, ...] = ()
    affect: str = ""
    metrics: tuple[str, ...] = ("cosine", "angular", "euclidean_l2", "euclidean")
    fmrs: tuple[float, ...] = (1e-3, 1e-4)
    margin: float = 1.0
    margin_without_baseline: float = 5.0
    unsure: float = 0.3
    bootstrap: int = 1000
    aliases: Mapping[str, str] = field(default_factory=dict)
    ratings: Scales = field(default_factory=Scales)

    def __post_init__(self) -> None:
        scales = self.ratings
        known = Scales().questions
        object.__setattr__(self, "aliases", dict(self.aliases))
        for right, text in (
            (self.embedders and len(set(self.embedders)) == len(self.embedders), f"embedders: name at least one, each once, got {self.embedders}"),
            (len(set(self.emotion)) == len(self.emotion), f"emotion: each model once, got {self.emotion}"),
            (self.metrics and set(self.metrics) <= set(similarity.METRICS) - {"chi2"} and len(set(self.metrics)) == len(self.metrics),
             f"metrics: of cosine, angular, euclidean_l2 and euclidean, each once, got {self.metrics}"),
            (self.metrics and self.metrics[0] == "cosine", f"metrics: the first decides and must be cosine, got {self.metrics}"),
            (self.fmrs and all(0 < f < 1 for f in self.fmrs) and tuple(sorted(self.fmrs, reverse=True)) == self.fmrs,
             f"fmrs: rates in (0, 1), descending, got {self.fmrs}"),
            (self.margin > 0 and self.margin_without_baseline > 0, "margins must be positive"),
            (0 <= self.unsure < 1, f"unsure lies in [0, 1), got {self.unsure}"),
            (self.bootstrap >= 100, f"bootstrap: at least 100 replicates, got {self.bootstrap}"),
            (self.seed >= 0, f"seed must be 0 or more, got {self.seed}"),
            (all(label in EMOTIONS for label in self.aliases.values()), f"aliases: values must be of {', '.join(EMOTIONS)}"),
            (scales.questions and set(scales.questions) <= set(known) and len(set(scales.questions)) == len(scales.questions),
             f"ratings.questions: of {', '.join(known)}, each once, got {scales.questions}"),
            (all(points >= 3 and points % 2 for points in (scales.valence_arousal_points, scales.naturalness_points)),
             "ratings: points of a scale must be odd and at least 3"),
            (scales.per_rater >= 0 and scales.raters >= 1 and scales.attention_checks >= 0 and scales.practice >= 0,
             "ratings: per_rater, attention_checks and practice must be 0 or more, raters at least 1"),
        ):  # fmt: skip
            if not right:
                raise ConfigError(str(text))

    @property
    def digest(self) -> str:
        """First sixteen digits of the hash over all values; stands in `run.json`."""
        return _hash(dataclasses.asdict(self))

    @property
    def models(self) -> dict[str, str]:
        """Card name -> task of every model the study needs."""
        found = {self.detector: "detect", self.landmarker: "landmark"} | dict.fromkeys(self.embedders, "embed")
        return found | dict.fromkeys((*self.emotion, *([self.affect] if self.affect else [])), "attribute")


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=dict).encode()).hexdigest()[:16]


def load(path: str | Path) -> StudyConfig:
    """Read `study.toml`.

    Raises:
        ConfigError: unreadable, not TOML, an unknown key, a wrong type, or a value that cannot hold; the message names file and key.
        UnknownModel: a model that has no card.
    """
    path = Path(path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}; make one with: faceworks study init FOLDER") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    try:
        found = build(StudyConfig, table, str(path))
    except CardError as error:
        raise ConfigError(str(error)) from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    for name, task in found.models.items():
        cards.get(name, task)
    return found


def default_text(language: str, emotion: tuple[str, ...], affect: str, embedders: tuple[str, ...]) -> str:
    """The `study.toml` that `study init` writes, with a comment for each key."""
    listed = json.dumps
    return f"""# What this study computes. Keys left out take the values shown here.
title = "{speaker(language)(StudyConfig().title)}"
language = "{language}"            # of the report: "en" or "ko"
seed = 0                     # of everything drawn at random: order of rating pages, bootstrap
neutral = "first"            # several sources of one identity: "first", "mean" (of the vectors) or "each"

detector = "retinaface-mnet025"          # fixed for every embedder
landmarker = "dlib-68"                   # 68 points: regions, displacements
embedders = {listed(list(embedders))}
emotion = {listed(list(emotion))}        # models of emotion probabilities
affect = {listed(affect)}                # valence and arousal

metrics = ["cosine", "angular", "euclidean_l2", "euclidean"]   # the first decides
fmrs = [1e-3, 1e-4]          # false match rates at which a pair is verified
margin = 1.0                 # equivalence margin against the no-op baseline (edits whose target is neutral), in SD of the set's impostors
margin_without_baseline = 5.0   # the same against the picture itself, where there is no baseline
unsure = 0.3                 # a most probable emotion below this is "unsure"
bootstrap = 1000             # replicates

[aliases]                    # your own words for conditions, e.g. "glad" = "happy"

[ratings]
questions = ["emotion", "intensity", "valence", "arousal", "naturalness", "identity"]
valence_arousal_points = 9
naturalness_points = 7
per_rater = 0                # pictures for one rater; 0 = all
raters = 12                  # blocks that are made when per_rater is not 0
attention_checks = 2
practice = 2
max_failed_checks = 0        # raters who fail more are excluded
min_seconds = 1.0            # a median time per picture below this excludes
consent = ""                 # your ethics text; "" = the built-in one
"""
