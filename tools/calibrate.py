"""Measure the packaged calibrations again: `python tools/calibrate.py LFW_IMAGES [--vectors DIR]`.

Embeds every picture of LFW (folder of person folders; vectors are kept, a second run embeds nothing), compares all of them, writes
`src/faceworks/calibrations/<recipe>.json` for each default recipe and removes those whose recipe no longer exists. Run it after every change of a
detector, crop, embedder or converter of these recipes. Recipes whose cards are not there are left out.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from faceworks import calibration, cards  # noqa: E402
from faceworks.evaluate import calibrate_folder  # noqa: E402
from faceworks.pipeline import Pipeline, PipelineSpec  # noqa: E402

RECIPES = (
    {},
    {"detector": "retinaface-mnet025"},
    {"embedder": "dlib-resnet-v1"},
    {"embedder": "fusion-sface-dlib"},
)
"""Options of `PipelineSpec` that make a recipe; {} is the default pipeline."""
DATASET = "LFW, the 7,701 pictures of View 2, deep-funneled"


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path)
    parser.add_argument("--dataset", default=DATASET)
    parser.add_argument("--vectors", type=Path, help="folder of kept vectors; default: the cache")
    parser.add_argument("--only", type=int, nargs="*", help="numbers of RECIPES")
    chosen = parser.parse_args()
    current = set()
    for number, options in enumerate(RECIPES):
        if any(isinstance(name, str) and name not in cards.names() for name in options.values()):
            print(f"left out: {options} (no such card)")
            continue
        spec = PipelineSpec(select="central", on_no_face="empty", **options)  # type: ignore[arg-type]
        current.add(f"{Pipeline(spec).recipe_id}.json")
        if chosen.only is not None and number not in chosen.only:
            continue
        found = calibrate_folder(chosen.images, spec, dataset=chosen.dataset, store=chosen.vectors, progress=True)
        path = calibration.PACKAGED / f"{found.recipe}.json"
        calibration.save(found, path)
        print(f"{options or 'default'}: {path.relative_to(ROOT)}; {found.impostors} impostor comparisons")
        for row in found.rows:
            print(f"  FMR {row.fmr:g}: score {row.threshold:.4f}, reached {row.low:.2e} to {row.high:.2e}, FNMR {row.fnmr:.4f}")
    for path in calibration.PACKAGED.glob("*.json"):
        if path.name not in current:
            path.unlink()
            print(f"removed {path.name}: its recipe is not among RECIPES as they are now")


if __name__ == "__main__":
    main()
