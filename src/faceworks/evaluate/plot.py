"""`plot_roc`: the ROC as a picture file, as SVG without any package, as anything else with matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import ConfigError
from ..optional import require
from . import metrics
from .metrics import Counts
from .svg import Axis, Series, line_chart

__all__ = ["plot_roc"]


def plot_roc(scores: ArrayLike | Counts, labels: ArrayLike | None = None, path: str | Path = "roc.svg", log: bool = True) -> Path:
    """Draw the ROC curve (TAR over FMR) and return the file. Needs both classes.

    Args:
        path: `.svg` is drawn here; `.png`, `.pdf` need matplotlib (the extra `study`).
        log: FMR on a logarithmic axis, from one false match in all impostor comparisons.
    """
    c = metrics.counts(scores, labels)
    curve, target = metrics.roc(c), Path(path)
    low = 1 / c.impostors
    x = np.maximum(curve.fmr, low) if log else curve.fmr
    title = f"ROC, AUC {metrics.auc(c):.4f}"
    if target.suffix.lower() == ".svg":
        axis = Axis("FMR (false match rate)", min(low, 0.1), 1.0, "log") if log else Axis("FMR (false match rate)", 0.0, 1.0)
        text = line_chart(title, [Series("TAR", list(zip(x.tolist(), curve.tar.tolist(), strict=True)))], axis, Axis("TAR", 0.0, 1.0))
        target.write_text(text, encoding="utf-8")
        return target
    if target.suffix.lower() not in (".png", ".pdf", ".jpg"):
        raise ConfigError(f"a curve is written as .svg, .png, .pdf or .jpg, got {target.suffix!r}")
    figure: Any = require("matplotlib.figure", "study", f"writing {target.suffix}").Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    axes.step(x, curve.tar, where="post")
    axes.set(title=title, xlabel="FMR (false match rate)", ylabel="TAR", xscale="log" if log else "linear", ylim=(0, 1.01))
    axes.grid(alpha=0.3)
    figure.savefig(target, dpi=150)
    return target
