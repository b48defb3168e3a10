"""Figures of the report as SVG, PDF and PNG at 300 dpi. The same numbers give the same bytes: no dates, fixed names inside the SVG."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .config import StudyConfig
from .fonts import covering
from .naming import EMOTIONS, display
from .words import KOREAN, speaker

__all__ = ["COLORS", "Figure", "draw_all", "save"]

COLORS: Mapping[str, str] = {
    "source": "#8a8f98", "neutral": "#6b7280", "happy": "#d99a00", "sad": "#2f6db5", "angry": "#c8382e", "disgust": "#4b8b3b", "fear": "#7b4fa3",
    "surprise": "#1f9aa0", "contempt": "#8c5a3c",
}  # fmt: skip
SERIES = ("#2f6db5", "#c8382e", "#4b8b3b", "#d99a00", "#7b4fa3", "#1f9aa0", "#8c5a3c", "#6b7280")
QUADRANTS = {"good": "#4b8b3b", "lazy": "#d99a00", "identity lost": "#c8382e", "neither": "#6b7280"}


class Figure:
    """A finished drawing: its key, its caption, and the matplotlib figure."""

    def __init__(self, key: str, caption: str, drawn: Any) -> None:
        self.key, self.caption, self.drawn = key, caption, drawn


def _say(config: StudyConfig, text: str, **facts: object) -> str:
    return speaker(config.language)(text, **facts)


@contextmanager
def _style(config: StudyConfig) -> Iterator[str]:
    """Settings for one report, without touching the caller's; yields the letters that no font has."""
    import matplotlib

    texts = [*KOREAN.values()] if config.language == "ko" else []
    families, lacking = covering([*texts, "−×κ′α≤ΔéÀ[]%"])
    options = {
        "font.family": families, "svg.hashsalt": "faceworks", "svg.fonttype": "path", "pdf.fonttype": 3, "axes.unicode_minus": False, "font.size": 9,
        "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 10, "legend.frameon": False, "figure.dpi": 100, "savefig.dpi": 300,
    }  # fmt: skip
    with matplotlib.rc_context(options):
        yield lacking


def draw_all(document: Mapping[str, Any], config: StudyConfig) -> tuple[list[tuple[str, str, dict[str, bytes]]], str]:
    """(key, caption, form -> bytes) of every figure for which there are data, and the letters that no installed font has."""
    found = []
    with _style(config) as lacking, warnings.catch_warnings():
        if lacking:  # the report says it once; matplotlib would say it for every letter
            warnings.filterwarnings("ignore", message="Glyph .* missing")
        makers: list[Callable[[Mapping[str, Any], StudyConfig], Iterator[Figure]]] = [_z, _separation, _confusions, _circumplex, _lazy, _locality]
        for maker in makers:
            for figure in maker(document, config):
                found.append((figure.key, figure.caption, _bytes(figure.drawn)))
    return found, lacking


def save(figures: Sequence[tuple[str, str, Mapping[str, bytes]]], folder: Path) -> None:
    """Write every figure in every form."""
    folder.mkdir(parents=True, exist_ok=True)
    for key, _, forms in figures:
        for form, data in forms.items():
            (folder / f"{key}.{form}").write_bytes(data)


def _bytes(figure: Any) -> dict[str, bytes]:
    """The figure in every form; it is laid out and measured once, then drawn once for each."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    canvas = FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    box = figure.get_tightbbox(canvas.get_renderer()).padded(0.1)
    figure.set_layout_engine("none")
    forms = {}
    for form, kind, options in (
        ("svg", FigureCanvasSVG, {"metadata": {"Date": None, "Creator": "faceworks"}}),
        ("pdf", FigureCanvasPdf, {"metadata": {"CreationDate": None, "ModDate": None, "Producer": "faceworks", "Creator": "faceworks"}}),
        ("png", FigureCanvasAgg, {"metadata": {"Software": "faceworks"}, "dpi": 300}),
    ):
        out = io.BytesIO()
        kind(figure).print_figure(out, format=form, bbox_inches=box, **options)
        forms[form] = out.getvalue()
    return forms


def _new(width: float, height: float, columns: int = 1) -> tuple[Any, Any]:
    from matplotlib.figure import Figure as Drawn

    figure = Drawn(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(1, columns, squeeze=False)[0]


def _z(document: Mapping[str, Any], config: StudyConfig) -> Iterator[Figure]:
    rows = [row for row in document["pairs"] if row["z"] is not None and not row["control"]]
    conditions = [label for label in EMOTIONS if any(row["condition"] == label for row in rows)]
    if not rows:
        return
    figure, (axis,) = _new(max(4.2, 1.3 * len(conditions) + 1.8), 3.2)
    names = [name for name in config.embedders if any(row["embedder"] == name for row in rows)]
    random = np.random.default_rng(config.seed)
    named: set[str] = set()
    for k, name in enumerate(names):
        color = SERIES[k % len(SERIES)]
        place = (k - (len(names) - 1) / 2) * 0.8 / max(1, len(names))
        for x, label in enumerate(conditions):
            values = [row["z"] for row in rows if row["embedder"] == name and row["condition"] == label]
            jitter = random.uniform(-0.08, 0.08, len(values))
            axis.plot(x + place + jitter, values, "o", ms=2.4, alpha=0.35, color=color, mew=0)
            entry = next((e for e in document["results"]["identity"]["t2"] if e["embedder"] == name and e["condition"] == label), None)
            if entry and entry["z"]["mean"] is not None:
                low, high = entry["z"]["low"], entry["z"]["high"]
                spread = None if low is None else [[entry["z"]["mean"] - low], [high - entry["z"]["mean"]]]
                axis.errorbar([x + place], [entry["z"]["mean"]], yerr=spread, fmt="s", ms=4.5, color=color, capsize=3, lw=1.2, mec="white", mew=0.6,
                              label=None if name in named else name)  # fmt: skip
                named.add(name)
    axis.axhline(0, color="#8a8f98", lw=0.8, ls=":")
    axis.set_xticks(range(len(conditions)), [display(label, config.language) for label in conditions])
    axis.set_ylabel(_say(config, "z by emotion"))
    axis.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    caption = (
        "Identity of every edit with its source, in standard deviations of what different people of this set score (0 = a stranger). "
        "Squares: mean with 95 % interval."
    )
    yield Figure("identity-z", _say(config, caption), figure)


def _separation(document: Mapping[str, Any], config: StudyConfig) -> Iterator[Figure]:
    known = {name: entry for name, entry in document["separation"].items() if entry}
    if not known:
        return
    figure, axes = _new(3.1 * len(known), 2.6, len(known))
    for axis, (name, entry) in zip(axes, known.items(), strict=True):
        edges = np.array(entry["histogram"]["edges"])
        for key, text, color in (("impostors", "set impostors", "#8a8f98"), ("genuine", "same identity", "#2f6db5")):
            axis.stairs(entry["histogram"][key], edges, fill=True, alpha=0.45, color=color, label=_say(config, text))
            axis.stairs(entry["histogram"][key], edges, color=color, lw=0.8)
        limit = next((t for t in document["embedders"][name]["thresholds"] if t["metric"] == "cosine" and t["distance"] is not None), None)
        if limit:
            axis.axvline(1 - limit["distance"], color="#c8382e", lw=1, ls="--", label=_say(config, "verified {rate}", rate=f"{limit['fmr']:g}"))
        title = f"{name}\nd′ {entry['d_prime']:.2f}, " if entry["d_prime"] is not None else f"{name}\n"
        axis.set_title(f"{title}AUC {entry['auc']:.4f}, EER {100 * entry['eer']:.2f} %", fontsize=8)
        axis.set_xlabel(_say(config, "cosine"))
    axes[0].set_ylabel(_say(config, "share of comparisons"))
    axes[0].legend(fontsize=6.5)
    caption = (
        "Cosines of edits with their own source and of different identities showing the same emotion, with the threshold of the first rate. "
        "Cosines of different embedders are not comparable."
    )
    yield Figure("separation", _say(config, caption), figure)
    figure, (axis,) = _new(3.4, 3.0)
    for k, (name, entry) in enumerate(known.items()):
        curve = np.array(entry["roc"])
        axis.step(np.maximum(curve[:, 0], 0.3 / entry["impostors"]), curve[:, 1], where="post", color=SERIES[k % len(SERIES)], label=name, lw=1.3)
    axis.set_xscale("log")
    axis.set_xlabel(_say(config, "FMR"))
    axis.set_ylabel(_say(config, "TAR"))
    axis.set_ylim(min([0.9, *(v for e in known.values() for rate, v in e["roc"] if rate > 0)]) - 0.02, 1.005)
    axis.legend(fontsize=7, loc="lower right")
    yield Figure("roc", _say(config, "Receiver operating characteristic of each embedder on this set."), figure)


def _confusions(document: Mapping[str, Any], config: StudyConfig) -> Iterator[Figure]:
    for number, (model, entry) in enumerate(document["results"]["expression"]["models"].items(), start=1):
        yield _matrix(
            config, entry["open"], f"confusion-{number}", _say(config, "{model}, open set: share of each target, count below.", model=model)
        )
    for kind, entry in document["results"]["expression"]["raters"].items():
        caption = "People: share of each target, count below." if kind == "human" else "Outside model: share of each target, count below."
        yield _matrix(config, entry["target"], f"confusion-{kind}", _say(config, caption))


def _matrix(config: StudyConfig, matrix: Mapping[str, Any], key: str, caption: str) -> Figure:
    counts = np.array(matrix["counts"], float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, (axis,) = _new(0.72 * counts.shape[1] + 1.6, 0.52 * counts.shape[0] + 1.3)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1.15, aspect="auto")
    for y, x in np.ndindex(counts.shape):
        if counts[y, x]:
            axis.text(
                x,
                y,
                f"{100 * shares[y, x]:.0f} %\n{counts[y, x]:.0f}",
                ha="center",
                va="center",
                fontsize=7,
                color="white" if shares[y, x] > 0.6 else "#1f2328",
            )
    axis.set_xticks(range(counts.shape[1]), [display(name, config.language) for name in matrix["columns"]], rotation=30, ha="right")
    axis.set_yticks(range(counts.shape[0]), [_say(config, name) for name in matrix["rows"]])
    axis.set_xlabel(_say(config, "said"))
    axis.set_ylabel(_say(config, "target"))
    for side in axis.spines.values():
        side.set_visible(False)
    return Figure(key, caption, figure)


def _circumplex(document: Mapping[str, Any], config: StudyConfig) -> Iterator[Figure]:
    clouds = document["results"]["affect"]["clouds"]
    kinds = [kind for kind in ("model", "human", "ai") if any(cloud["who"] == kind for cloud in clouds)]
    if not kinds:
        return
    from matplotlib.patches import Circle, Ellipse

    figure, axes = _new(3.6 * len(kinds), 3.7, len(kinds))
    for axis, kind in zip(axes, kinds, strict=True):
        axis.add_patch(Circle((0, 0), 1, fill=False, color="#8a8f98", lw=0.8))
        axis.axhline(0, color="#8a8f98", lw=0.6)
        axis.axvline(0, color="#8a8f98", lw=0.6)
        for cloud in (cloud for cloud in clouds if cloud["who"] == kind):
            color = COLORS[cloud["condition"]]
            axis.plot(cloud["x"], cloud["y"], "o", ms=2.6, alpha=0.45, color=color, mew=0)
            shape = cloud["ellipse"]
            if shape:
                axis.add_patch(
                    Ellipse((shape["x"], shape["y"]), 2 * shape["a"], 2 * shape["b"], angle=shape["angle"], fill=False, color=color, lw=1.2)
                )
            axis.plot(
                [float(np.mean(cloud["x"]))],
                [float(np.mean(cloud["y"]))],
                "s",
                ms=5,
                color=color,
                mec="white",
                mew=0.7,
                label=_say(config, cloud["condition"]),
            )
        stand_in = f" ({_say(config, 'stand-in')})" if kind == "model" and document["results"]["affect"]["stand_in"] else ""
        axis.set_title(_say(config, kind) + stand_in)
        axis.set(xlim=(-1.08, 1.08), ylim=(-1.08, 1.08), aspect="equal", xlabel=_say(config, "valence"), ylabel=_say(config, "arousal"))
        axis.legend(fontsize=6.5, loc="upper right", handletextpad=0.2)
    yield Figure("circumplex", _say(config, "Valence and arousal of every picture, mean (square) and 95 % ellipse by emotion."), figure)


def _lazy(document: Mapping[str, Any], config: StudyConfig) -> Iterator[Figure]:
    lazy = document["results"]["expression"]["lazy"]
    points = [point for point in lazy["points"] if point["z"] is not None]
    if not points:
        return
    figure, (axis,) = _new(4.2, 3.1)
    for name, color in QUADRANTS.items():
        some = [point for point in points if point["quadrant"] == name]
        axis.plot([p["displacement"] for p in some], [p["z"] for p in some], "o", ms=3.6, alpha=0.6, color=color, mew=0,
                  label=f"{_say(config, name)} ({len(some)})")  # fmt: skip
    axis.axvline(lazy["limits"]["displacement"], color="#8a8f98", lw=0.8, ls="--")
    axis.set_xlabel(_say(config, "expression changed (points)"))
    axis.set_ylabel(_say(config, "identity kept (mean z)"))
    axis.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    caption = (
        "Identity kept against expression changed. Left of the line, at high z, lies the lazy corner: identity is kept because nothing changed "
        "(an edit counts as changed, too, where the emotions’ distribution moved)."
    )
    yield Figure("lazy-edits", _say(config, caption), figure)


def _locality(document: Mapping[str, Any], config: StudyConfig) -> Iterator[Figure]:
    outside = {row["edit"]: row["delta_e_outside"] for row in document["locality"] if row["delta_e_outside"] is not None}
    rows = [row for row in document["pairs"] if row["edit"] in outside and row["z"] is not None and not row["control"]]
    if len(outside) < 4 or not rows:
        return
    figure, (axis,) = _new(4.2, 3.0)
    for k, name in enumerate(config.embedders):
        some = [row for row in rows if row["embedder"] == name]
        axis.plot(
            [outside[row["edit"]] for row in some],
            [row["z"] for row in some],
            "o",
            ms=2.6,
            alpha=0.5,
            color=SERIES[k % len(SERIES)],
            mew=0,
            label=name,
        )
    axis.set_xlabel(_say(config, "ΔE2000 outside the face"))
    axis.set_ylabel(_say(config, "z by emotion"))
    axis.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    caption = "Identity against how much the picture changed outside the face, edits that could be registered."
    yield Figure("locality", _say(config, caption), figure)


def inline_svg(data: bytes, key: str) -> str:
    """An SVG for a page: without its head, with names of its own, scaling with the column."""
    text = data.decode("utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r'(id="|url\(#|href="#)', lambda m: m.group(1) + f"{key}-", text)
    return re.sub(
        r'<svg [^>]*?viewBox="([^"]*)"[^>]*?>',
        r'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="\1">',
        text,
        count=1,
        flags=re.S,
    )
