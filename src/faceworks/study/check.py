"""`study check`: which models of a study are ready, which are to be pulled, and which must be fetched by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from .. import assets, cards, optional
from ..cards import Card
from ..errors import AssetUnavailable, ConfigError
from .config import StudyConfig
from .naming import canonical

__all__ = ["PACKAGES", "ModelState", "labels_of", "outputs_of", "refuse_blind", "require_packages", "states", "suggested", "usable"]

PACKAGES = ("scipy", "statsmodels", "pandas", "matplotlib", "docx", "jinja2")
"""What the extra `study` brings."""
EMOTIONS_FIRST = ("emotion-face-api", "emotion-mini-xception")
"""Emotion models of a new study: both say all seven emotions, are trained on different faces, and can be fetched by everybody."""
_WORDS = {"ready": "ready", "pull": "pull", "manual": "fetch by hand"}


@dataclass(frozen=True, slots=True)
class ModelState:
    """A model of a study.

    Attributes:
        name, task: of its card. role: detector, landmarker, embedder, emotion, affect.
        state: "ready", "pull" or "fetch by hand".
        license: of the weights. files: (address, hash) of those that are not here.
    """

    name: str
    task: str
    role: str
    state: str
    license: str
    files: tuple[tuple[str, str], ...]


def states(config: StudyConfig) -> list[ModelState]:
    """Every model of a study, in the order of the work."""
    roles = [(config.detector, "detector"), (config.landmarker, "landmarker"), *((name, "embedder") for name in config.embedders)]
    roles += [*((name, "emotion") for name in config.emotion), *([(config.affect, "affect")] if config.affect else [])]
    return [_state(cards.get(name), role) for name, role in roles]


def _state(card: Card, role: str) -> ModelState:
    files = [file for member in cards.members(card) for file in member.file]
    order = list(_WORDS)
    worst = max((assets.status(file) for file in files), key=order.index, default="ready")
    lacking = [file for file in files if assets.status(file) != "ready"]
    return ModelState(card.name, card.task, role, _WORDS[worst], card.license.weights,
                      tuple((file.from_[0], file.sha256 or file.git_blob or "pinned at first use") for file in lacking))  # fmt: skip


def usable(config: StudyConfig, skip_missing: bool = False) -> tuple[StudyConfig, list[ModelState]]:
    """The config with the models that are here, and those left out.

    Raises:
        AssetUnavailable: a model is missing and `skip_missing` is not set; or the detector or landmarker, or all embedders are.
    """
    missing = [state for state in states(config) if state.state != "ready"]
    if not missing:
        return config, []
    text = "; ".join(f"{state.name} ({state.state})" for state in missing)
    if not skip_missing:
        raise AssetUnavailable(
            f"{len(missing)} models of the study are not here: {text}. Run: faceworks models pull --for study.toml; `faceworks study check` says where "
            "the others are had; --skip-missing runs without them and says so in the report"
        )
    gone = {state.name for state in missing}
    if config.detector in gone or config.landmarker in gone:
        raise AssetUnavailable(f"the detector and the landmarker cannot be skipped: {text}")
    embedders = tuple(name for name in config.embedders if name not in gone)
    if not embedders:
        raise AssetUnavailable(f"all embedders are missing: {text}")
    kept = dataclasses.replace(
        config,
        embedders=embedders,
        emotion=tuple(name for name in config.emotion if name not in gone),
        affect="" if config.affect in gone else config.affect,
    )
    return kept, missing


def outputs_of(card: Card) -> set[str]:
    """Names of the attributes that a card gives."""
    return {output.attribute or output.name for output in card.output}


def labels_of(card: Card) -> tuple[str, ...]:
    """The emotions that a card can say, as labels of the study; () for a model without emotions."""
    for output in card.output:
        if (output.attribute or output.name) in ("emotion", "expression") and output.labels:
            return tuple(canonical(label) or label for label in output.labels)
    return ()


def refuse_blind(config: StudyConfig, targets: Sequence[str]) -> None:
    """Refuse an emotion model that cannot say one of the targets: its errors there would be its label space, not the pictures.

    Raises:
        ConfigError: naming the model and what it lacks; or a model that gives no emotion at all.
    """
    for name in config.emotion:
        labels = labels_of(cards.get(name))
        if not labels:
            raise ConfigError(
                f"{name} gives no emotion; the models that do: {', '.join(n for n in cards.names('attribute') if labels_of(cards.get(n)))}"
            )
        if lacking := [target for target in targets if target not in labels]:
            raise ConfigError(
                f"{name} cannot say {', '.join(lacking)} (its labels: {', '.join(labels)}), which this study aims at; take it out of emotion in study.toml"
            )
    if config.affect and not {"valence", "arousal"} <= outputs_of(cards.get(config.affect)):
        raise ConfigError(f"{config.affect} gives no valence and arousal; take another model for affect in study.toml")


def require_packages() -> None:
    """Raise `MissingDependency` unless the packages of the extra `study` are here."""
    for name in PACKAGES:
        optional.require(name, "study", "a study's report")


def suggested() -> tuple[tuple[str, ...], str, tuple[str, ...]]:
    """Emotion models, affect model and embedders for a new study: those of `EMOTIONS_FIRST` and of the defaults that are here or can be pulled."""

    def had(name: str) -> bool:
        return _state(cards.get(name), "").state != "fetch by hand"

    embedders = tuple(name for name in StudyConfig().embedders if _state(cards.get(name), "").state == "ready") or StudyConfig().embedders[:1]
    emotion = tuple(name for name in EMOTIONS_FIRST if had(name))
    affect = "emonet-8" if _state(cards.get("emonet-8"), "").state == "ready" else "affect-from-emotion"
    return emotion, affect, embedders
