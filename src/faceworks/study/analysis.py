"""All results of a study from its rows: pairs, faces, locality, ratings. No model runs here, so that a report can be made again with new ratings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import cards
from ..errors import InputError
from . import affect, expression, identity_summary, inference, locality
from .check import labels_of
from .config import StudyConfig
from .identity import rate_key
from .naming import EMOTIONS, display
from .ratings import OTHER, Ratings, reliability
from .words import speaker

__all__ = ["FEW", "results", "sample", "warnings"]

Row = Mapping[str, Any]
FEW = 10
"""Fewer identities than this carry no statement about others."""


def results(
    config: StudyConfig, faces: Sequence[Row], pairs: Sequence[Row], local: Sequence[Row], about: Mapping[str, Any], ratings: Ratings
) -> dict[str, Any]:
    """Everything that the report says, by section."""
    everything = (faces, pairs, local)
    faces, pairs, local = ([row for row in rows if not row["control"]] for rows in everything)
    found: dict[str, Any] = {
        "sample": sample(faces),
        "identity": identity_summary.summarize(config, pairs),
        "expression": {
            "models": expression.model_tables(config, faces, {name: labels_of(cards.get(name)) for name in config.emotion}),
            "raters": _rated(config, faces, ratings),
            "lazy": expression.lazy(config, faces, pairs),
        },
        "affect": affect.t4(config, faces, ratings),
        "intensity": affect.t5(config, faces, ratings),
        "locality": {"rows": list(local), "regression": locality.regress(local, pairs, config.embedders)},
        "reliability": {
            "table": reliability(ratings, config.ratings), "with_ai": reliability(ratings, config.ratings, ("human", "ai")) if _has_ai(ratings) else [],
            "raters": ratings.raters, "excluded": dict(sorted(ratings.excluded.items())),
        },
        "inference": inference.infer(config, faces, pairs, ratings),
    }  # fmt: skip
    found["controls"] = controls(config, *everything)
    return found | {"warnings": warnings(config, found, about)}


def controls(config: StudyConfig, faces: Sequence[Row], pairs: Sequence[Row], local: Sequence[Row]) -> list[dict[str, Any]]:
    """One row for each kind of control: pairs verified at the first rate, edits in the lazy corner, verdicts of locality."""
    key = f"verified_cosine_{rate_key(config.fmrs[0])}"
    kinds = sorted({row["control"] for row in faces if row["control"]})
    corner = {point["picture"]: point["quadrant"] for point in expression.lazy(config, faces, pairs)["points"]} if kinds else {}
    table = []
    for kind in kinds:
        edits = [row["picture"] for row in faces if row["control"] == kind and row["role"] == "edit"]
        some = [row for row in pairs if row["control"] == kind]
        verdicts = [row["verdict"] for row in local if row["control"] == kind]
        table.append({
            "control": kind, "edits": len(edits), "pairs": len(some), "verified": sum(row[key] is True for row in some),
            "lazy": sum(corner.get(name) == "lazy" for name in edits), **{name: verdicts.count(name) for name in ("local", "global", "unregistered")},
        })  # fmt: skip
    return table


def _has_ai(ratings: Ratings) -> bool:
    return any(row.source == "ai" for row in ratings.rows)


def sample(faces: Sequence[Row]) -> dict[str, Any]:
    """T1: identities and pictures by role, condition and generator, with the faces that were not found."""
    table = []
    for role in ("source", "edit", "reference"):
        for condition in EMOTIONS:
            rows = [row for row in faces if row["role"] == role and row["condition"] == condition]
            if rows:
                found = [row for row in rows if row["status"] == "ok"]
                sizes = sorted(row["face_width"] for row in found)
                table.append({
                    "role": role, "condition": condition, "identities": len({row["identity"] for row in rows}), "pictures": len(rows),
                    "no_face": sum(row["status"] == "no face" for row in rows), "unreadable": sum(row["status"] == "unreadable" for row in rows),
                    "several_faces": sum(row["faces"] > 1 for row in rows), "face_width": sizes[len(sizes) // 2] if sizes else None,
                })  # fmt: skip
    return {
        "table": table,
        "identities": len({row["identity"] for row in faces if row["role"] != "reference"}),
        "edits": sum(row["role"] == "edit" for row in faces),
        "generators": sorted({row["generator"] for row in faces if row["generator"]}),
    }


def _rated(config: StudyConfig, faces: Sequence[Row], ratings: Ratings) -> dict[str, Any]:
    """Target x rater (every answer counts) and rater x model (most frequent answer of each picture), for people and for outside models."""
    edits = {row["picture"]: row for row in faces if row["role"] == "edit"}
    targets = [label for label in EMOTIONS if any(row["condition"] == label for row in edits.values())]
    places = {row["picture"]: ("source" if row["role"] == "source" else row["condition"]) for row in faces if row["role"] != "reference"}
    found: dict[str, Any] = {}
    for kind in ("human", "ai"):
        answers = [(places[row.picture], str(row.value)) for row in ratings.of("emotion", kind) if row.picture in places]
        if not answers:
            continue
        columns = [label for label in EMOTIONS if label in {*targets, "neutral", *(answer for _, answer in answers)}] + [OTHER]
        majority = ratings.majority("emotion", kind)
        entry: dict[str, Any] = {"target": expression.matrix(answers, targets, columns), "models": {}, "other": None}
        if kind == "ai" and (people := ratings.majority("emotion")):
            common = [(people[name], majority[name]) for name, row in edits.items() if name in people and name in majority]
            entry["other"] = (
                expression.matrix(common, [label for label in columns if any(one == label for one, _ in common)], columns) if common else None
            )
        for model in config.emotion:
            both = [(majority[row["picture"]], row[f"emotion_{model}"]) for row in faces if row["picture"] in majority and row["role"] == "edit"]
            rows = [label for label in (*columns, "unsure") if any(one == label for one, _ in both)]
            space = [label for label in EMOTIONS if label in {*labels_of(cards.get(model))}]
            entry["models"][model] = expression.matrix(both, rows, [*space, "unsure", "no face"])
        found[kind] = entry
    return found


def warnings(config: StudyConfig, found: Mapping[str, Any], about: Mapping[str, Any]) -> list[str]:
    """What a reader must know before any number, in the report's language. They stand at the top of the report."""
    say = speaker(config.language)
    texts = []
    people = found["sample"]["identities"]
    if people < FEW:
        texts.append(
            say("Only {people} identities: with fewer than {few} nothing here speaks of other people; intervals and tests are shown for completeness.",
                people=people, few=FEW)
        )  # fmt: skip
    if len(config.embedders) == 1:
        texts.append(
            say(
                "One embedder alone ({name}): whether another one agrees is unknown. Name at least two of different training.",
                name=config.embedders[0],
            )
        )
    bare = [name for name in config.embedders if not about[name]["calibrated"]]
    if bare:
        text = say("No calibration exists for {names} with {detector}: the thresholds come from this set’s own impostors, and there is no probability.",
                   names=", ".join(bare), detector=config.detector)  # fmt: skip
        limits = {entry["limit"] for name in bare for entry in about[name]["thresholds"] if entry["metric"] == "cosine" and entry["limit"]}
        if limits:
            text += " " + say("They vouch for no false match rate below {limit} (rule of three).", limit=f"{max(limits):.2g}")
        texts.append(text)
    for model, table in found["expression"]["models"].items():
        if table["never_said"]:
            texts.append(
                say("{model} never says {labels} on this set: its misses there say more about the model than about the pictures.",
                    model=model, labels=", ".join(display(label, config.language) for label in table["never_said"]))
            )  # fmt: skip
    if not config.emotion:
        texts.append(say("No emotion model: whether the intended emotion is shown rests on human ratings alone."))
    if found["affect"]["stand_in"]:
        texts.append(
            say("Valence and arousal come from a stand-in, a function of the emotion probabilities. It says nothing of its own and stays out of agreement and "
                "inference. EmoNet is used when its file is here (faceworks study check).")
        )  # fmt: skip
    drops = found["identity"]["drops"]
    if drops["against"] == "itself":
        texts.append(
            say("No edit aims at neutral: there is no no-op baseline. The drop is measured against the picture itself, with the margin {margin} SD of "
                "study.toml. It counts as fixed beforehand only if you chose it before this run.",
                margin=f"{drops['margin']:g}")
        )  # fmt: skip
    lazy = found["expression"]["lazy"]["counts"]
    if lazy["lazy"]:
        texts.append(
            say(
                "{count} of {total} edits lie in the lazy corner: identity is kept because nothing changed.",
                count=lazy["lazy"],
                total=sum(lazy.values()),
            )
        )
    for name in config.embedders:
        near = about[name]["neighbors"]
        if near and near["alike"]:
            texts.append(
                say("{count} of {total} identities have another so close that {name} takes both for one person at FMR {fmr}.",
                    count=len(near["alike"]), total=near["identities"], name=name, fmr=f"{near['fmr']:g}")
            )  # fmt: skip
            break
    lost = sum(row["no_face"] + row["unreadable"] for row in found["sample"]["table"])
    if lost:
        texts.append(say("{count} pictures have no face or cannot be read; they count as failures, not as absent.", count=lost))
    return texts


def require_edits(faces: Sequence[Row]) -> None:
    """Raise InputError when no edit was measured at all: a report over nothing would be empty."""
    if not any(row["role"] == "edit" and row["status"] == "ok" for row in faces):
        raise InputError("no face was found in any edit; look at the pictures, or name another detector in study.toml")
