"""A study of edited faces: one manifest in, a report out. Is it still the same person, and does the face show what it should?

study.begin("faces/")                                   # manifest.csv and study.toml
study.run("faces/manifest.csv", "out/")                 # run.json, report.html, tables/, figures/
study.report("out/", ratings=["ratings.csv"])           # again with ratings; no model runs
"""

from __future__ import annotations

from .run import report, run
from .start import Start, begin, scan

__all__ = ["Start", "begin", "report", "run", "scan"]
