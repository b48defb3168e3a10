"""The calibration of a recipe, measured on a folder of person folders; and its pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..calibration import Calibration
from ..errors import InputError
from ..types import to_dict
from .calibrate import RATES, Reliability, fit_calibration
from .document import Document, Section, Table, write_document
from .folder import kept_vectors, people_of
from .pages import percent, reliability_chart
from .provenance import software
from .vectors import Embedded, embed_pictures

if TYPE_CHECKING:
    from ..pipeline import PipelineSpec

__all__ = ["calibrate_embedded", "calibrate_folder", "calibrate_with_checks", "write_calibration_pages"]


def calibrate_with_checks(
    root: str | Path,
    spec: PipelineSpec | None = None,
    *,
    dataset: str,
    store: str | Path | None = None,
    rates: Sequence[float] | None = None,
    executor: Literal["serial", "threads", "processes"] = "serial",
    progress: bool = True,
) -> tuple[Calibration, list[Reliability], Embedded]:
    """Embed a folder of person folders and fit a calibration on all comparisons. Returns it, its reliability on unused people, and the vectors."""
    from ..pipeline import PipelineSpec

    spec = (spec or PipelineSpec(select="central", on_no_face="empty")).with_options(metric="cosine")
    pictures = [picture for group in people_of(root).values() for picture in group]
    embedded = embed_pictures(pictures, spec, kept_vectors(store, None), executor=executor, progress=progress)
    return *calibrate_embedded(pictures, embedded, spec, dataset=dataset, rates=rates), embedded


def calibrate_embedded(
    pictures: Sequence[Path], embedded: Embedded, spec: PipelineSpec, *, dataset: str, rates: Sequence[float] | None = None
) -> tuple[Calibration, list[Reliability]]:
    """The calibration of vectors that are there already; the person of a picture is its folder.

    Raises:
        InputError: no face in any picture; and what `fit_calibration` refuses.
    """
    from ..pipeline import Pipeline

    kept = [picture for picture in pictures if embedded.vectors[picture] is not None]
    if not kept:
        raise InputError(f"no face was found in any of {len(pictures)} pictures below {Path(*pictures[0].parts[:-2]) if pictures else dataset}")
    pipeline = Pipeline(spec.with_options(metric="cosine"))
    return fit_calibration(
        np.stack([embedded.vectors[picture] for picture in kept]),  # type: ignore[misc]
        [picture.parent.name for picture in kept],
        recipe=pipeline.recipe_id,
        dataset=dataset,
        models=pipeline.models,
        software=software(),
        failures=len(pictures) - len(kept),
        rates=RATES if rates is None else rates,
    )


def calibrate_folder(root: str | Path, spec: PipelineSpec | None = None, **options: Any) -> Calibration:
    """The calibration of `calibrate_with_checks` alone."""
    return calibrate_with_checks(root, spec, **options)[0]


def write_calibration_pages(calibration: Calibration, checks: Sequence[Reliability], folder: str | Path) -> None:
    """`report.md` and `report.html` of a calibration."""
    c = calibration
    rows = [
        (
            f"{row.fmr:g}",
            f"{row.threshold:.4f} [{row.threshold_low:.4f}, {row.threshold_high:.4f}]",
            f"{row.reached:.2e} [{row.low:.2e}, {row.high:.2e}], {row.false_matches}",
            f"{percent(row.fnmr)} [{100 * row.fnmr_low:.2f}, {100 * row.fnmr_high:.2f}]",
            ", ".join(f"{rate:.2e}" for rate in row.held_out),
        )
        for row in c.rows
    ]
    head = ("FMR", "threshold (cosine)", "FMR reached, false matches", "FNMR", "reached on the other half of the people")
    lead = (
        f"{c.impostors} impostor and {c.genuine} genuine comparisons of {c.people} people ({c.pictures} pictures, {c.failures} more without a face)."
    )
    text = (
        f"Score to log-likelihood ratio: {c.method}, llr = {c.slope:.4f} · score {c.intercept:+.4f}, cut to "
        f"[{c.llr_range[0]:.2f}, {c.llr_range[1]:.2f}] "
        f"(natural logarithm). Cllr on people not used for fitting: logistic {c.cllr['logistic']:.4f}, isotonic {c.cllr['isotonic']:.4f} bits; "
        f"min Cllr {c.cllr['min']:.4f}."
    )
    sections = [
        Section("Thresholds", "In square brackets: 95 % interval by resampling people.", [Table(head, rows)]),
        Section("Probability", text, charts=[reliability_chart([to_dict(row) for row in checks], "Reliability on people not used for fitting")]),
        Section("Methods", f"All comparisons of all pictures, split by people. Recipe {c.recipe}: {', '.join(c.models.values())}. Date: {c.date}. "
                f"Software: {', '.join(f'{name} {version}' for name, version in c.software.items())}."),
    ]  # fmt: skip
    write_document(Document(f"Calibration on {c.dataset}", lead, sections), Path(folder))
