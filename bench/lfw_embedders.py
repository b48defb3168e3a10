"""Every embedder whose bytes can be had, on LFW View 2: the table of docs/embedders.md.

    python bench/lfw_embedders.py embed LFW PAIRS WORK     each picture once, detection shared; can be stopped and goes on where it was
    python bench/lfw_embedders.py report LFW PAIRS WORK --out docs/embedders.md

LFW is the folder of person folders (deep-funneled), PAIRS its pairs.txt, WORK a folder for vectors: it holds those of real people. `embed` writes into
WORK/vectors what `faceworks evaluate lfw` would have embedded (the first pictures are embedded by the plain pipeline too, and must agree), so that
`report` is that command's own code on each recipe. It needs dlib, for the reference beside ours: OpenCV's YuNet and its five-point crop, dlib's points and
chips, and the same network files. On that the same protocol is run, and decisions on each pair are compared (McNemar).
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faceworks import align, assets, batch, cards, image, similarity
from faceworks.attributes.quality import measure
from faceworks.embed import load_embedder
from faceworks.evaluate import (
    FusedReport,
    PairList,
    Report,
    compare_reports,
    evaluate_pairs,
    fuse_reports,
    fuse_scores,
    k_fold,
    mcnemar,
    read_lfw_pairs,
)
from faceworks.evaluate.score_fusion import write_report
from faceworks.evaluate.vectors import VectorStore
from faceworks.pipeline import Pipeline, PipelineSpec
from faceworks.types import Crop, Face, View

SFACE, DLIB, MOBILE, FUSION, LBPH = "sface-2021dec-int8bq", "dlib-resnet-v1", "mobilefacenet-068", "fusion-sface-dlib", "lbph"
PLAIN = (SFACE, DLIB, MOBILE, LBPH)
MIRRORED = (DLIB, MOBILE)
"""Also with the mirrored crop. SFace gains nothing by it."""
SHARD = 512


def spec_of(name: str, **options: Any) -> PipelineSpec:
    """The recipe as `faceworks evaluate lfw --embedder NAME` runs it."""
    return PipelineSpec(embedder=name, select="central", on_no_face="empty", threads=1, **options)


def store_of(work: Path, spec: PipelineSpec) -> VectorStore:
    """Where `faceworks evaluate` keeps a recipe's vectors."""
    return VectorStore(work / "vectors" / hashlib.sha256(batch.task_id(spec).encode()).hexdigest()[:16])


def vectors_of(pipeline: Pipeline, pictures: list[Any], faces: list[Face], mirror: bool) -> tuple[np.ndarray, np.ndarray]:
    """Vectors (N, D) of the faces' crops and of their mirrored crops."""
    crops = [pipeline.crop(picture, face) for picture, face in zip(pictures, faces, strict=True)]
    plain = np.stack([item.vector for item in pipeline.embed_crops(crops)])
    if not mirror:
        return plain, plain[:0]
    return plain, np.stack([item.vector for item in pipeline.embed_crops([align.mirror(item) for item in crops])])


class Reference:
    """The same networks behind other people's detection and cropping: OpenCV's and dlib's own code."""

    def __init__(self) -> None:
        import cv2
        import dlib

        self.cv2, self.dlib = cv2, dlib
        self.yunet = cv2.FaceDetectorYN_create(str(assets.fetch(cards.get("yunet-2023mar").file[0])), "", (0, 0), 0.7)
        self.aligner = cv2.FaceRecognizerSF_create(str(assets.fetch(cards.get(SFACE).file[0])), "")
        self.points = dlib.shape_predictor(str(assets.fetch(cards.get("dlib-5").file[0])))

    def crops(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """The 112x112 crop and dlib's 150x150 chip of the central face, RGB."""
        height, width = picture.shape[:2]
        self.yunet.setInputSize((width, height))
        rows = self.yunet.detect(np.ascontiguousarray(picture[:, :, ::-1]))[1]
        if rows is None:
            return None
        offsets = rows[:, :2] + rows[:, 2:4] / 2 - [(width - 1) / 2, (height - 1) / 2]
        row = rows[np.argmax(rows[:, 2] * rows[:, 3] - 2 * (offsets**2).sum(axis=1))]
        crop = np.ascontiguousarray(self.aligner.alignCrop(np.ascontiguousarray(picture[:, :, ::-1]), row)[:, :, ::-1])
        x, y, w, h = (round(float(value)) for value in row[:4])
        points = self.points(picture, self.dlib.rectangle(x, y, x + w - 1, y + h - 1))
        return crop, self.dlib.get_face_chip(picture, points, 150, 0.25)


def by_hand(name: str, pixels: list[np.ndarray]) -> np.ndarray:
    """Vectors of crops that others cut."""
    face = Face(np.array([0, 0, 1, 1], np.float32), 1.0, None, "reference")
    views = [View(face, (250, 250), 1, (Crop(item, np.eye(2, 3), "reference"),)) for item in pixels]
    return load_embedder(name).embed(views)[0]


def collect(pictures: list[Path], pipelines: dict[str, Pipeline], reference: Reference, known: dict[str, Any]) -> dict[str, np.ndarray]:
    """Everything about one shard of pictures; rows of pictures without a face are zero. `known`: SFace's vectors from an earlier evaluation."""
    rows: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(pictures), 8):
        loaded = [image.load(path) for path in pictures[start : start + 8]]
        every = pipelines[SFACE].detect(loaded)
        found = [pipelines[SFACE].select(faces, picture.shape[:2]) for faces, picture in zip(every, loaded, strict=True)]
        here = [k for k, faces in enumerate(found) if faces]
        chosen, faces = [loaded[k] for k in here], [found[k][0] for k in here]

        def keep(key: str, values: np.ndarray, places: list[int], count: int = len(loaded)) -> None:
            full = np.zeros((count, *values.shape[1:]), np.float32)
            full[places] = values
            rows.setdefault(key, []).append(full)

        keep("found", np.ones((len(here), 1)), here)
        keep("quality", np.array([[measure(p, f, n_faces=1).score] for p, f in zip(chosen, faces, strict=True)]), here)
        before = [known.get(image.content_hash(pictures[start + k])) for k in here]
        for name in PLAIN:
            if name == SFACE and all(vector is not None for vector in before):
                keep(name, np.stack(before), here)
                continue
            plain, mirrored = vectors_of(pipelines[name], chosen, faces, name in MIRRORED)
            keep(name, plain, here)
            if name in MIRRORED:
                keep(f"{name} mirrored", mirrored, here)
        cut = [(k, pair) for k, picture in enumerate(loaded) if (pair := reference.crops(picture)) is not None]
        places = [k for k, _ in cut]
        chips = [pair[1] for _, pair in cut]
        keep("reference found", np.ones((len(cut), 1)), places)
        keep(f"reference {SFACE}", by_hand(SFACE, [pair[0] for _, pair in cut]), places)
        keep(f"reference {DLIB}", by_hand(DLIB, chips), places)
        keep(f"reference {DLIB} mirrored", by_hand(DLIB, [np.ascontiguousarray(chip[:, ::-1]) for chip in chips]), places)
    return {key: np.concatenate(values) for key, values in rows.items()}


def embed(root: Path, pairs: Path, work: Path, limit: int) -> None:
    work.mkdir(parents=True, exist_ok=True, mode=0o700)
    pictures = list(read_lfw_pairs(pairs, root).pictures)[: limit or None]
    pipelines = {name: Pipeline(spec_of(name)) for name in PLAIN}
    check(pictures[:4], pipelines)
    reference, known = Reference(), store_of(work, spec_of(SFACE)).vectors
    for start in range(0, len(pictures), SHARD):
        shard = work / f"shard-{start:05d}.npz"
        if not shard.exists():
            data = collect(pictures[start : start + SHARD], pipelines, reference, known)
            keys = np.array([image.content_hash(path) for path in pictures[start : start + SHARD]])
            temporary = shard.with_suffix(".tmp")
            with temporary.open("wb") as file:
                np.savez(file, keys=keys, **data)
            temporary.replace(shard)
            print(f"{start + len(keys)} of {len(pictures)}", file=sys.stderr, flush=True)


def recipes() -> dict[str, tuple[PipelineSpec, Any]]:
    """What is judged: label -> (recipe, function from a shard to its vectors)."""

    def flipped(name: str) -> Any:
        return lambda data: data[name] + data[f"{name} mirrored"]

    table: dict[str, tuple[PipelineSpec, Any]] = {}
    for name in (SFACE, DLIB, MOBILE):
        for metric in ("cosine", "euclidean"):
            table[f"{name}, {metric}"] = spec_of(name, metric=metric), lambda data, name=name: data[name]
            if name in MIRRORED:
                table[f"{name}, flip, {metric}"] = spec_of(name, metric=metric, flip=True), flipped(name)
    for metric in ("cosine", "euclidean"):
        table[f"{FUSION}, {metric}"] = spec_of(FUSION, metric=metric), lambda data: load_embedder(FUSION).join([data[SFACE], flipped(DLIB)(data)])
    for metric in ("chi2", "cosine", "euclidean"):
        table[f"{LBPH}, {metric}"] = spec_of(LBPH, metric=metric), lambda data: data[LBPH]
    return table


def check(pictures: list[Path], pipelines: dict[str, Pipeline]) -> None:
    """What is shared here must be what the plain pipeline gives."""
    data = {}
    loaded = [image.load(path) for path in pictures]
    faces = [Pipeline(spec_of(SFACE)).find([picture])[0][0] for picture in loaded]
    for name in PLAIN:
        data[name], data[f"{name} mirrored"] = vectors_of(pipelines[name], loaded, faces, name in MIRRORED)
    for label, (spec, make) in recipes().items():
        if spec.metric in ("cosine", "chi2"):
            plain = np.stack([Pipeline(spec).embed([picture])[0][0].embedding.vector for picture in loaded])
            worst = float(np.abs(plain - make(data)).max() / np.abs(plain).max())
            print(f"{label}: {worst:.1e} from the plain pipeline", file=sys.stderr)
            if worst > 1e-5:
                sys.exit(f"{label}: the shared pass is not the pipeline")


def fill(work: Path) -> None:
    """Put the shards into the vector stores of their recipes."""
    shards = [dict(np.load(path, allow_pickle=False)) for path in sorted(work.glob("shard-*.npz"))]
    for spec, make in recipes().values():
        store = store_of(work, spec)
        for data in shards:
            if all(key in store.vectors for key in data["keys"]):
                continue
            vectors = np.zeros((0, 0)) if not data["found"].any() else make({k: v[data["found"][:, 0] > 0] for k, v in data.items()})
            rows = iter(np.asarray(vectors, np.float32))
            for key, there in zip(data["keys"], data["found"][:, 0] > 0, strict=True):
                store.add(str(key), next(rows) if there else None)
        store.flush()


def run(pairs: PairList, work: Path, label: str, spec: PipelineSpec) -> Report:
    """`faceworks evaluate lfw --out WORK/runs/LABEL`; all runs share one folder of vectors, in which nothing must be missing."""
    folder = work / "runs" / label.replace(", ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "vectors").exists():
        (folder / "vectors").symlink_to(work.resolve() / "vectors")
    report = evaluate_pairs(pairs, spec, out=folder, dataset="LFW View 2, deep-funneled", progress=False)
    print(
        f"{label}: {100 * report.accuracy.mean:.2f} ± {100 * report.accuracy.stderr:.2f}, {report.counts['embedded']} embedded",
        file=sys.stderr,
        flush=True,
    )
    return report


def complete(pairs: PairList, work: Path, spec: PipelineSpec) -> bool:
    """Whether every picture's vector is kept."""
    kept = store_of(work, spec).vectors
    return all(image.content_hash(picture) in kept for picture in pairs.pictures)


def percent(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f}"


def tar(points: Any, rate: str = "0.001") -> str:
    return (
        "–"
        if rate not in points
        else f"{percent(points[rate].tar, 1)} [{percent(points[rate].tar_interval[0], 1)}, {percent(points[rate].tar_interval[1], 1)}]"
    )


def row(label: str, report: Report) -> str:
    """A line of the table."""
    found, threshold = report.accuracy, float(np.mean(report.accuracy.thresholds))
    stock = "–" if report.stock is None else f"{percent(report.stock.accuracy)} ({report.stock.metric} {report.stock.threshold:.3g})"
    cells = (label, f"{percent(found.mean)} ± {percent(found.stderr)}", f"[{percent(found.interval[0])}, {percent(found.interval[1])}]",
             f"{report.auc:.5f}", percent(report.eer), tar(report.tar_at_fmr), f"{threshold:.3f}", stock, str(report.failures_to_detect.pictures))  # fmt: skip
    return f"| {' | '.join(cells)} |"


HEAD = [
    "embedder, metric",
    "accuracy, %",
    "95 %",
    "AUC",
    "EER, %",
    "TAR % at FMR 1e-3",
    "mean threshold (score)",
    "at verify's threshold, %",
    "no face",
]


def reference_rows(pairs: PairList, work: Path, ours: dict[str, NDArray[np.bool_]]) -> list[str]:
    """The same protocol on crops that OpenCV and dlib cut, and McNemar's test against ours."""
    shards = [dict(np.load(path, allow_pickle=False)) for path in sorted(work.glob("shard-*.npz"))]
    place = {str(key): (k, n) for k, data in enumerate(shards) for n, key in enumerate(data["keys"]) if f"reference {SFACE}" in data}
    keys = {picture: image.content_hash(picture) for picture in pairs.pictures}
    kept = np.array([keys[pair.first] in place and keys[pair.second] in place for pair in pairs.pairs])
    if not kept.any():
        return []
    whole = np.isin(pairs.folds, [fold for fold in np.unique(pairs.folds) if kept[pairs.folds == fold].all()])
    chosen = [pair for pair, take in zip(pairs.pairs, whole, strict=True) if take]
    labels, folds = pairs.labels[whole], pairs.folds[whole]

    def scores(make: Any) -> NDArray[np.float64]:
        vectors = [make(data) for data in shards]
        sides = [[vectors[place[keys[side]][0]][place[keys[side]][1]] for side in (pair.first, pair.second)] for pair in chosen]
        return np.array([similarity.similarity(a, b) for a, b in sides])

    dlib = f"reference {DLIB}"
    table = {
        f"{SFACE}, cosine": scores(lambda data: data[f"reference {SFACE}"]),
        f"{DLIB}, cosine": scores(lambda data: data[dlib]),
        f"{DLIB}, flip, cosine": scores(lambda data: data[dlib] + data[f"{dlib} mirrored"]),
    }
    table[f"{FUSION}, cosine"] = 0.3 * table[f"{SFACE}, cosine"] + 0.7 * table[f"{DLIB}, flip, cosine"]
    results = {label: k_fold(values, labels, folds) for label, values in table.items()}
    results[LOGISTIC] = fuse_scores(np.stack([table[f"{SFACE}, cosine"], table[f"{DLIB}, flip, cosine"]]), labels, folds).result
    lines = []
    for label, result in results.items():
        test = mcnemar(ours[label][whole], result.correct)
        mine = ours[label][whole].mean()
        lines.append(
            f"| {label} | {percent(float(mine))} | {percent(result.mean)} ± {percent(result.stderr)} | {test.only_a} | {test.only_b} | {test.p_value:.2g} |"
        )
    note = f"Folds {', '.join(map(str, np.unique(folds)))}, {len(labels)} pairs."
    return [
        "| what | ours, % | reference, % | only ours right | only the reference right | p |",
        "| --- | --- | --- | --- | --- | --- |",
        *lines,
        "",
        note,
    ]


LOGISTIC = "logistic fusion of SFace and dlib (flip)"


def report(root: Path, pairs_file: Path, work: Path, page: Path | None) -> None:
    pairs = read_lfw_pairs(pairs_file, root)
    fill(work)
    done = {label: run(pairs, work, label, spec) for label, (spec, _) in recipes().items() if complete(pairs, work, spec)}
    lines = [f"| {' | '.join(HEAD)} |", "| --- " * len(HEAD) + "|", *(row(label, item) for label, item in done.items())]
    correct = {label: item.correct for label, item in done.items()}
    parts = [f"{SFACE}, cosine", f"{DLIB}, flip, cosine"]
    folders = {label: work / "runs" / label.replace(", ", "-") for label in done}
    fused: dict[str, FusedReport] = {}
    for label, method, members in (
        (LOGISTIC, "logistic", parts),
        ("1/σ fusion of SFace and dlib (flip)", "sigma", parts),
        ("logistic fusion, MobileFaceNet (flip) as a third", "logistic", [*parts, f"{MOBILE}, flip, cosine"]),
        ("1/σ fusion, MobileFaceNet (flip) as a third", "sigma", [*parts, f"{MOBILE}, flip, cosine"]),
    ):
        if all(member in folders for member in members):
            fused[label] = fuse_reports([folders[member] for member in members], method)
            write_report(fused[label], work / "runs" / label.replace(", ", "-").replace("/", ""))
    extra = ["| fusion of scores | accuracy, % | 95 % | AUC | EER, % | TAR % at FMR 1e-3 | weights |", "| --- " * 7 + "|"]
    for label, item in fused.items():
        result, summary, weights = item.fusion.result, item.summary, item.fusion.weights
        correct[label] = result.correct
        extra.append(
            f"| {label} | {percent(result.mean)} ± {percent(result.stderr)} | [{percent(item.interval[0])}, {percent(item.interval[1])}] | "
            f"{summary.auc:.5f} | {percent(summary.eer)} | {tar(summary.tar_at_fmr)} | {', '.join(f'{w:.3g}' for w in weights.mean(axis=0))} |"
        )
    against = ["| against it | only the fusion right | only the other right | p (Holm) |", "| --- | --- | --- | --- |"]
    if f"{FUSION}, cosine" in folders:
        others = [label for label in (*parts, f"{MOBILE}, flip, cosine") if label in folders]
        for label, item in zip(others, compare_reports([folders[f"{FUSION}, cosine"], *(folders[label] for label in others)]), strict=True):
            against.append(f"| {label} | {item.mcnemar.only_a} | {item.mcnemar.only_b} | {item.p_holm:.2g} |")
    text = {"table": lines, "fusion": extra, "mcnemar": against, "reference": reference_rows(pairs, work, correct)}
    for name, block in text.items():
        print(f"\n{name}\n" + "\n".join(block))
    if page is not None:
        whole = page.read_text(encoding="utf-8")
        for name, block in text.items():
            before, _, rest = whole.partition(f"<!-- {name} -->\n")
            whole = f"{before}<!-- {name} -->\n" + "\n".join(block) + f"\n<!-- /{name} -->" + rest.partition(f"<!-- /{name} -->")[2]
        page.write_text(whole, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("step", choices=["embed", "report"])
    parser.add_argument("root", type=Path)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--limit", type=int, default=0, help="pictures; 0 takes all")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.step == "embed":
        embed(arguments.root, arguments.pairs, arguments.work, arguments.limit)
    else:
        report(arguments.root, arguments.pairs, arguments.work, arguments.out)


if __name__ == "__main__":
    main()
