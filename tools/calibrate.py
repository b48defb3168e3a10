"""Measure the packaged calibrations again: `python tools/calibrate.py LFW_IMAGES [--vectors DIR]`.

Embeds every picture of LFW (folder of person folders; vectors are kept, a second run embeds nothing; recipes with one detector share its pass),
compares all of them, writes `src/faceworks/calibrations/<recipe>.json` for each recipe and removes those whose recipe no longer exists. Run it after
every change of a detector, crop, embedder or converter of these recipes (a test names those that lack theirs). About 15 minutes a detector on one core.

It also fits each recipe on one half of the people and prints what the thresholds do on the other half, with the interval promised for it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

import numpy as np  # noqa: E402

from faceworks import calibration  # noqa: E402
from faceworks.evaluate import fit_calibration, realized  # noqa: E402
from faceworks.evaluate.bootstrap import SEED  # noqa: E402
from faceworks.evaluate.folder import kept_vectors, people_of  # noqa: E402
from faceworks.evaluate.folder_calibration import calibrate_embedded  # noqa: E402
from faceworks.evaluate.vectors import embed_with_each  # noqa: E402
from faceworks.pipeline import Pipeline, PipelineSpec  # noqa: E402

DETECTORS = ("yunet-2023mar-int8bq", "retinaface-mnet025")
EMBEDDERS = ("sface-2021dec-int8bq", "dlib-resnet-v1", "fusion-sface-dlib", "mobilefacenet-068")
"""Each with each detector. The last is what studies may compare with the others; its weights are for research."""
DATASET = "LFW, the 7,701 pictures of View 2, deep-funneled"


def recipes() -> dict[str, list[PipelineSpec]]:
    """Detector -> its specs."""
    return {
        detector: [PipelineSpec(detector=detector, embedder=embedder, select="central", on_no_face="empty") for embedder in EMBEDDERS]
        for detector in DETECTORS
    }


def halves(vectors: np.ndarray, people: np.ndarray) -> None:
    """Fit on half of the people, try on the other half."""
    names = np.unique(people)
    chosen = np.random.default_rng(SEED).permutation(len(names)) < len(names) // 2
    fit = np.isin(people, names[chosen])
    found, _ = fit_calibration(vectors[fit], people[fit].tolist(), recipe="half", dataset="half", rates=(1e-2, 1e-3, 1e-4))
    for row, rate, impostors in realized(found, vectors[~fit], people[~fit].tolist()):
        low, high = row.promised(found.people, len(names) - found.people)
        verdict = "inside" if low <= rate <= high else "OUTSIDE"
        print(f"  half/half, FMR {row.fmr:g}: {rate:.3e} on the other half, promised {low:.2e} to {high:.2e}: {verdict} ({impostors} comparisons)")


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path)
    parser.add_argument("--dataset", default=DATASET)
    parser.add_argument("--vectors", type=Path, help="folder of kept vectors; default: the cache")
    parser.add_argument("--detector", choices=DETECTORS, action="append", help="only the recipes of this detector")
    chosen = parser.parse_args()
    store = kept_vectors(chosen.vectors, None)
    pictures = [picture for group in people_of(chosen.images).values() for picture in group]
    current = set()
    for detector, specs in recipes().items():
        current |= {f"{Pipeline(spec).recipe_id}.json" for spec in specs}
        if chosen.detector and detector not in chosen.detector:
            continue
        for spec, embedded in zip(specs, embed_with_each(pictures, specs, store), strict=True):
            found, _ = calibrate_embedded(pictures, embedded, spec, dataset=chosen.dataset)
            path = calibration.PACKAGED / f"{found.recipe}.json"
            calibration.save(found, path)
            print(f"{detector}, {spec.embedder}: {path.relative_to(ROOT)}; {found.impostors} impostor comparisons, {found.failures} without a face")
            for row in found.rows:
                print(f"  FMR {row.fmr:g}: score {row.threshold:.4f}, reached {row.low:.2e} to {row.high:.2e}, FNMR {row.fnmr:.4f}")
            kept = [picture for picture in pictures if embedded.vectors[picture] is not None]
            halves(np.stack([embedded.vectors[picture] for picture in kept]), np.array([picture.parent.name for picture in kept]))
            sys.stdout.flush()
    for path in calibration.PACKAGED.glob("*.json"):
        if path.name not in current:
            path.unlink()
            print(f"removed {path.name}: its recipe is none of these any more")


if __name__ == "__main__":
    main()
