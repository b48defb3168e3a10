"""Every detector side by side: what it finds, what it makes of LFW, how long it takes, under which license.

    python bench/detectors.py find   NAME… --data ../shared/data/detection/dlib --state DIR
    python bench/detectors.py lfw    NAME… --root LFW/images --pairs LFW/pairs.txt --state DIR [--each 30] [--landmarker CARD]
    python bench/detectors.py speed  NAME… --state DIR [--rounds 7]
    python bench/detectors.py write  --state DIR                       # docs/detectors.md

Without NAME: every detector whose files are at hand. Each step keeps its result in the state folder, one file for each detector, and LFW's vectors
besides (personal data: they stay there), so that a run that was stopped goes on where it was and a detector can be measured alone.
`--each N` takes the first N same and N different pairs of each of LFW's ten folds; 300 is all of View 2.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from faceworks import PipelineSpec, assets, cards, geometry, image
from faceworks.cards import Card
from faceworks.detect import load_detector
from faceworks.errors import FaceworksError
from faceworks.evaluate import k_fold, read_lfw_pairs
from faceworks.evaluate.run import compare_pairs
from faceworks.evaluate.vectors import VectorStore
from faceworks.landmarks import DEFAULTS, scheme_of
from faceworks.pipeline import Pipeline
from faceworks.runtime import SessionOptions

ROOT = Path(__file__).resolve().parent.parent
OVERLAP = 0.4
"""dlib's boxes are tighter than most detectors': half of the union would call right boxes wrong."""
UNALIGNED = "square:1"
SIZES = ((480, 640), (1440, 1920))


def ready(names: Sequence[str]) -> list[str]:
    """The detectors named, or all whose files are here and whose packages are installed."""
    found = []
    for name in names or cards.names("detect"):
        try:
            load_detector(name)
        except FaceworksError as error:
            if names:
                raise
            print(f"{name}: left out, {str(error).splitlines()[0][:140]}")
            continue
        found.append(name)
    return found


def keep(state: Path, step: str, name: str, result: Mapping[str, Any]) -> None:
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    stamp = {"date": datetime.date.today().isoformat(), "file": [item.sha256[:12] for item in cards.get(name).file]}
    (state / f"{step}-{name}.json").write_text(json.dumps(dict(result) | stamp, indent=1) + "\n", encoding="utf-8")
    print(f"{step} {name}: {json.dumps(result)}", flush=True)


# --- what it finds ---------------------------------------------------------------------------------------------------------------------------


def annotated(folder: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """dlib's example photos with their boxes (N, 4)."""
    found = []
    for name in ("training.xml", "testing.xml"):
        for item in ElementTree.parse(folder / name).getroot().iter("image"):
            sides = np.array([[float(box.get(key, "0")) for key in ("left", "top", "width", "height")] for box in item.iter("box")])
            found.append((image.load(folder / str(item.get("file"))), np.concatenate([sides[:, :2], sides[:, :2] + sides[:, 2:]], axis=1)))
    return found


def find(name: str, data: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    """True and false positives at the card's own score; faces are matched one to one, best score first."""
    found = load_detector(name).detect([picture for picture, _ in data])
    hits = 0
    for faces, (_, truth) in zip(found, data, strict=True):
        left = list(range(len(truth)))
        for face in faces:
            overlaps = geometry.iou(face.box[None], truth[left])[0] if left else np.zeros(0)
            if overlaps.size and overlaps.max() > OVERLAP:
                left.pop(int(overlaps.argmax()))
                hits += 1
    return {"faces": sum(len(boxes) for _, boxes in data), "hits": hits, "false": sum(map(len, found)) - hits}


# --- what an embedder makes of it ------------------------------------------------------------------------------------------------------------


def lfw(name: str, pairs_file: Path, root: Path, state: Path, each: int, landmarker: str) -> dict[str, Any]:
    """Ten-fold accuracy with the default embedder on the same boxes, cut by five points and as the plain square about the box."""
    pairs = read_lfw_pairs(pairs_file, root)
    seen: dict[tuple[int, bool], int] = {}
    mask = []
    for fold, same in zip(pairs.folds.tolist(), pairs.labels.tolist(), strict=True):
        seen[fold, same] = seen.get((fold, same), 0) + 1
        mask.append(seen[fold, same] <= each)
    pairs = pairs.only(mask, f"the first {each} of each kind in each fold")
    aligned = Pipeline(PipelineSpec(detector=name, select="central", on_no_face="empty", landmarker=landmarker, threads=1))
    plain = Pipeline(PipelineSpec(detector=name, select="central", on_no_face="empty", align=UNALIGNED, threads=1))
    works = {"aligned": aligned, "unaligned": plain}
    folder = state / "vectors" / "-".join([name, *([landmarker] if landmarker else [])])
    stores = {key: VectorStore(folder / f"{key}-{work.recipe_id}") for key, work in works.items()}
    keys = {picture: picture.relative_to(root).as_posix() for picture in pairs.pictures}
    todo = [picture for picture, key in keys.items() if any(key not in store.vectors for store in stores.values())]
    try:
        for start in range(0, len(todo), 8):
            batch = todo[start : start + 8]
            pictures = [image.load(path) for path in batch]
            faces = aligned.find(pictures)
            for key, work in works.items():
                for path, vectors in zip(batch, work.embed_faces(pictures, faces), strict=True):
                    stores[key].add(keys[path], vectors[0].vector if vectors else None)
    finally:
        for store in stores.values():
            store.flush()
    points = aligned.models.get("landmarker", "").partition("@")[0]
    out: dict[str, Any] = {"pairs": len(pairs), "each": each, "landmarker": landmarker, "points": points}
    for key, work in works.items():
        vectors = {picture: stores[key].vectors[keys[picture]] for picture in pairs.pictures}
        scores, undetected = compare_pairs(pairs, vectors, work.spec)
        folds = k_fold(scores, pairs.labels, pairs.folds, undetected)
        out[key] = [round(100 * folds.mean, 3), round(100 * folds.stderr, 3)]
        out["missed"] = sum(vector is None for vector in vectors.values())
        out[f"{key}_correct"] = "".join("01"[int(right)] for right in folds.correct)
    return out


# --- how long it takes -----------------------------------------------------------------------------------------------------------------------


def speed(names: Sequence[str], rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds of processor time a picture, one thread, median: 29 faces at two sizes.

    On a machine that does nothing else that is the time on the wall; on a busy one it still says what the detector costs.
    """
    cv2.setNumThreads(1)
    group = image.load(assets.fetch(cards.get("samples").file_for("group")))
    pictures = {f"{width}x{height}": image.resize(group, (height, width)) for height, width in SIZES}
    detectors = {name: load_detector(name, SessionOptions(device="cpu", threads=1)) for name in names}
    times: dict[str, dict[str, list[float]]] = {name: {size: [] for size in pictures} for name in names}
    for turn in range(rounds + 1):
        for name, detector in detectors.items():
            for size, picture in pictures.items():
                begin = time.process_time()
                detector.detect([picture])
                if turn:
                    times[name][size].append(1e3 * (time.process_time() - begin))
    return {name: {size: round(statistics.median(values), 2) for size, values in sizes.items()} for name, sizes in times.items()}


# --- the page --------------------------------------------------------------------------------------------------------------------------------


def significant(found: Mapping[str, Any]) -> str:
    """Two-sided exact sign test (McNemar) over the pairs that only one of the two ways judges right."""
    from math import comb

    pairs = list(zip(found["aligned_correct"], found["unaligned_correct"], strict=True))
    gained, lost = pairs.count(("1", "0")), pairs.count(("0", "1"))
    n = gained + lost
    p = min(1.0, 2 * sum(comb(n, k) for k in range(min(gained, lost) + 1)) / 2**n)
    return f"{gained} : {lost}, p {p:.2g}" if n else "0 : 0"


def points_of(card: Card, measured: Mapping[str, Any]) -> str:
    """Who gives the five points: as it was measured, else as it would be now."""
    name = measured.get("points", "" if scheme_of(card) == "arcface5" else DEFAULTS["arcface5"])
    return f"`{name}`" if name else "its own"


def page(state: Path) -> str:
    """docs/detectors.md"""

    def read(step: str, name: str) -> dict[str, Any]:
        path = state / f"{step}-{name}.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    rows = []
    each, dates = set(), set()
    for name in cards.names("detect"):
        card, got, acc, ms = cards.get(name), read("find", name), read("lfw", name), read("speed", name)
        if not (got or acc or ms):
            continue
        dates |= {item["date"] for item in (got, acc, ms) if item}
        each |= {acc["each"]} if acc else set()
        rows.append(
            [
                f"`{name}`",
                f"{got['hits']} / {got['false']}" if got else "",
                points_of(card, acc),
                f"{acc['aligned'][0]:.2f} ± {acc['aligned'][1]:.2f}" if acc else "",
                f"{acc['unaligned'][0]:.2f} ± {acc['unaligned'][1]:.2f}" if acc else "",
                significant(acc) if acc else "",
                str(acc["missed"]) if acc else "",
                str(acc["pairs"]) if acc else "",
                *(f"{ms[f'{width}x{height}']:.0f}" if ms else "" for height, width in SIZES),
                card.license.weights,
            ]
        )
    head = ["detector", "hits / other boxes of 43", "five points", "LFW aligned, %", "LFW unaligned, %", "pairs gained : lost by aligning",
            "pictures without a face", "pairs", *(f"ms, {width}x{height}" for height, width in SIZES), "license of the weights"]  # fmt: skip
    absent = [name for name in cards.names("detect") if f"`{name}`" not in {row[0] for row in rows}]
    others = []
    for path in sorted(state.glob("lfw-*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["landmarker"]:
            name = path.stem.removeprefix("lfw-").removesuffix(f"+{found['landmarker']}")
            others.append([f"`{name}`", f"`{found['landmarker']}`", f"{found['aligned'][0]:.2f} ± {found['aligned'][1]:.2f}", significant(found)])
    processor = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), processor)
    part = "All of View 2."
    if min(each, default=0) < 300:
        part = "**A part of View 2**: the column *pairs* says how many of its 6,000, the first same and different ones of each fold; `--each 300` takes all."
    return f"""# Detectors side by side

Written by `python bench/detectors.py write` from what its steps measured ({", ".join(sorted(dates))}); {os.cpu_count()} cores of {processor}.

{_table(head, rows)}

- **Hits**: faces found in dlib's nine annotated example photos (43 faces) at the card's own score, IoU > {OVERLAP} (dlib's boxes are tight). "Other boxes" are
  boxes that match no marked face; some of them are real faces that nobody marked.
- **LFW**: deep-funneled, `{PipelineSpec().embedder}`, the central face, thresholds chosen on the other nine folds, mean ± standard error over ten folds.
  {part}
  A picture without a face makes its pairs wrong. *Aligned*: the embedder's own crop, by five points (the detector's own, or a landmarker's in its box).
  *Unaligned*: the square about the same box (`--align {UNALIGNED}`). LFW's deep-funneled pictures are upright already, so they show the least that alignment gives.
  "Gained : lost" counts pairs that only one of the two ways judges right, with the exact sign test.
- **ms**: processor time of one thread, one picture with 29 faces, everything from the decoded picture to faces, median.
- Empty cells: not measured yet.
- Not measured, since their files are at their publishers alone: {", ".join(f"`{name}`" for name in absent) or "none"}.

## Which landmarker for boxes without points

The same, with the points of the landmarkers in the boxes of detectors that give none:

{_table(["detector", "landmarker", "LFW aligned, %", "gained : lost against unaligned"], others)}
"""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join([f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(f"| {' | '.join(row)} |" for row in rows)])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("step", choices=["find", "lfw", "speed", "write"])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--root", type=Path)
    parser.add_argument("--pairs", type=Path)
    parser.add_argument("--each", type=int, default=30)
    parser.add_argument("--landmarker", default="")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--again", action="store_true", help="measure what was measured already, too")
    given = parser.parse_intermixed_args()
    if given.step == "write":
        target = ROOT / "docs" / "detectors.md"
        target.write_text(page(given.state), encoding="utf-8")
        print(f"wrote {target}")
        return
    label = f"+{given.landmarker}" if given.landmarker else ""
    names = [name for name in ready(given.names) if given.again or not (given.state / f"{given.step}-{name}{label}.json").is_file()]
    if given.step == "speed" and names:
        for name, result in speed(names, given.rounds).items():
            keep(given.state, "speed", name, result)
    data = annotated(given.data) if given.step == "find" and names else []
    for name in names:
        if given.step == "find":
            keep(given.state, "find", name, find(name, data))
        elif given.step == "lfw":
            result = lfw(name, given.pairs, given.root, given.state, given.each, given.landmarker)
            (given.state / f"lfw-{name}{label}.json").write_text(
                json.dumps(result | {"date": datetime.date.today().isoformat()}, indent=1) + "\n", encoding="utf-8"
            )
            print(f"lfw {name}{label}: { ({key: value for key, value in result.items() if not key.endswith('correct')}) }", flush=True)


if __name__ == "__main__":
    main()
