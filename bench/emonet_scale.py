"""How far EmoNet's valence and arousal move when the face's box is larger or smaller, for whoever has the authors' checkpoint.

python -m bench.emonet_scale PICTURE… [--model emonet-8]
"""

from __future__ import annotations

import argparse
import dataclasses

import numpy as np

from faceworks import geometry
from faceworks.analysis import Analyzer
from faceworks.batch import expand
from faceworks.image import load
from faceworks.types import Scalar

SCALES = (0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2)


def main() -> None:
    """Print the mean absolute change by scale, in units of the [-1, 1] range."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="+")
    parser.add_argument("--model", default="emonet-8")
    arguments = parser.parse_args()
    analyzer = Analyzer(None, ("valence", "arousal"), {"valence": arguments.model, "arousal": arguments.model})
    images = [load(path) for path in expand(arguments.pictures)]
    faces = analyzer.pipeline.find(images)
    values: dict[float, np.ndarray] = {}
    for scale in SCALES:
        grown = [[dataclasses.replace(face, box=geometry.scale_about_center(face.box, scale)) for face in group] for group in faces]
        rows = []
        for group in analyzer.analyze_faces(images, grown):
            for face in group:
                pair = [face.attributes["valence"], face.attributes["arousal"]]
                rows.append([item.value for item in pair if isinstance(item, Scalar)])
        values[scale] = np.array(rows)
    print(f"{len(values[1.0])} faces, {arguments.model}\n| box | valence | arousal |\n|---|---|---|")
    for scale in SCALES:
        change = np.abs(values[scale] - values[1.0]).mean(axis=0)
        print(f"| x {scale:g} | {change[0]:.3f} | {change[1]:.3f} |")


if __name__ == "__main__":
    main()
