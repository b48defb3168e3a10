"""The public and private sets that face recognition was trained on: the seed's table, whole, with license and present status.

The six columns up to `features` stand as the seed has them (after Wang and Deng, "Deep Face Recognition: A Survey", https://arxiv.org/abs/1804.06655,
table 6); license and status were added here. "Withdrawn" means that its makers do not offer it any more; copies that circulate do not change
what its subjects and its makers allow.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TRAINING_SETS", "TrainingSet"]


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """One set. `photos`, `subjects` and `per_subject` are text, as printed ("10M 3.8M(clean)", "87/362.6/843": least, mean, most)."""

    name: str
    published: int
    photos: str
    subjects: str
    per_subject: str
    features: str
    license: str
    status: str


_MICROSOFT = "withdrawn by Microsoft in 2019; cleaned derivatives still circulate"

TRAINING_SETS = (
    TrainingSet(
        "MS-Celeb-1M (Challenge 1)", 2016, "10M 3.8M(clean)", "100,000 85K(clean)", "100",
        "breadth; central part of long tail; celebrity; knowledge base", "non-commercial research", _MICROSOFT,
    ),
    TrainingSet(
        "MS-Celeb-1M (Challenge 2)", 2016, "1.5M(base set) 1K(novel set)", "20K(base set) 1K(novel set)", "1/-/100",
        "low-shot learning; tailed data; celebrity", "non-commercial research", _MICROSOFT,
    ),
    TrainingSet(
        "MS-Celeb-1M (Challenge 3)", 2018, "4M(MSv1c) 2.8M(Asian-Celeb)", "80K(MSv1c) 100K(Asian-Celeb)", "-",
        "breadth; central part of long tail; celebrity", "non-commercial research", "withdrawn with MS-Celeb-1M, from which it was made",
    ),
    TrainingSet(
        "MegaFace", 2016, "4.7M", "672,057", "3/7/2469", "breadth; the whole long tail; commonality",
        "non-commercial research; photos under their Creative Commons licenses", "withdrawn: decommissioned by the University of Washington in 2020",
    ),
    TrainingSet(
        "VGGFace2", 2017, "3.31M", "9,131", "87/362.6/843", "depth; head part of long tail; cross pose, age and ethnicity; celebrity",
        "CC BY-SA 4.0 was stated for the annotations; research", "withdrawn: its makers offer no download any more",
    ),
    TrainingSet(
        "CASIA WebFace", 2014, "494,414", "10,575", "2/46.8/804", "celebrity",
        "non-commercial research, by signed agreement", "not offered by its makers at present; copies circulate",
    ),
    TrainingSet(
        "UMDFaces-Videos", 2017, "22,075", "3,107", "-", "video", "non-commercial research", "not offered at present: the project's site is gone",
    ),
    TrainingSet(
        "VGGFace", 2015, "2.6M", "2,622", "1,000", "depth; celebrity; annotation with bounding boxes and coarse pose",
        "CC BY-NC 4.0 (the list)", "a list of addresses, not pictures; many of them are dead",
    ),
    TrainingSet("CelebFaces+", 2014, "202,599", "10,177", "19.9", "private", "private", "never released; CelebA (non-commercial research) was made from it"),
    TrainingSet("Google", 2015, ">500M", ">10M", "50", "private", "private", "never released"),
    TrainingSet("Facebook", 2014, "4.4M", "4K", "800/1100/1200", "private", "private", "never released"),
)  # fmt: skip
"""The rows, in the seed's order."""
