"""From pair rows to what the report says of identity: T2, drop and equivalence, separation, agreement of embedders. Pure arithmetic on the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from ..errors import InputError
from ..evaluate import metrics
from ..evaluate.agreement import confusion, kappa
from ..evaluate.rates import d_prime
from .config import StudyConfig
from .identity import rate_key, same_order
from .impostors import Impostors
from .naming import EMOTIONS
from .stats import adjusted, cohens_dz, mean_interval, share, tost

__all__ = ["agreement", "drops", "separation", "summarize", "t2"]

Row = Mapping[str, Any]


def summarize(config: StudyConfig, pairs: Sequence[Row]) -> dict[str, Any]:
    """Everything about identity that follows from the pair rows alone."""
    of = {name: [row for row in pairs if row["embedder"] == name] for name in config.embedders}
    return {
        "t2": t2(config, pairs),
        "drops": drops(config, pairs),
        "agreement": agreement(config, pairs),
        "metrics": {name: same_order(rows, config.metrics) for name, rows in of.items()},
        "verified": {
            name: {rate_key(f): _verified([row for row in rows if not row["baseline"]], f) for f in config.fmrs} for name, rows in of.items()
        },
    }


def _verified(rows: Sequence[Row], fmr: float) -> dict[str, Any]:
    """Failures to detect count as not verified; without a threshold there is nothing to say."""
    key = f"verified_cosine_{rate_key(fmr)}"
    judged = [row for row in rows if row[key] is not None]
    return share(sum(bool(row[key]) for row in judged), len(judged))


def t2(config: StudyConfig, pairs: Sequence[Row]) -> list[dict[str, Any]]:
    """Identity by emotion and embedder: n, mean, SD, 95 % interval of the cosine and of z; verified at each rate; failures to detect."""
    table = []
    for embedder in config.embedders:
        rows = [row for row in pairs if row["embedder"] == embedder]
        for condition in (*(label for label in EMOTIONS if any(row["condition"] == label for row in rows)), "all"):
            some = [row for row in rows if row["condition"] == condition or (condition == "all" and not row["baseline"])]
            if not some:
                continue
            good = [row for row in some if row["status"] == "ok"]
            with_z = [row for row in good if row["z"] is not None]
            table.append({
                "embedder": embedder, "condition": condition, "failures": len(some) - len(good),
                "similarity": mean_interval([row["similarity"] for row in good], [row["identity"] for row in good]),
                "z": mean_interval([row["z"] for row in with_z], [row["identity"] for row in with_z]),
                "verified": {rate_key(f): _verified(some, f) for f in config.fmrs},
            })  # fmt: skip
    return table


def drops(config: StudyConfig, pairs: Sequence[Row]) -> dict[str, Any]:
    """What the edit costs, in SD of the set's impostors: against the identity's own no-op edits where there are any, else against the picture itself.

    One difference for each identity (mean over its pairs): baseline minus edit, so that a loss is positive. Equivalence by TOST.
    """
    against = "baseline" if any(row["baseline"] and row["z"] is not None for row in pairs) else "itself"
    margin = config.margin if against == "baseline" else config.margin_without_baseline
    table: list[dict[str, Any]] = []
    for embedder in config.embedders:
        rows = [row for row in pairs if row["embedder"] == embedder and row["z"] is not None]
        reference = _by_identity([row for row in rows if row["baseline"]]) if against == "baseline" else _itself(rows)
        for condition in (label for label in EMOTIONS if label != "neutral" or against == "itself"):
            edits = _by_identity([row for row in rows if row["condition"] == condition])
            names = [name for name in edits if name in reference]
            if not names:
                continue
            differences = [reference[name] - edits[name] for name in names]
            entry = {"embedder": embedder, "condition": condition, "drop": mean_interval(differences, names), "dz": cohens_dz(differences),
                     "margin": margin, "p": None, "equivalent": None, "low90": None, "high90": None}  # fmt: skip
            if len(names) > 1:
                test = tost(differences, margin)
                entry |= {"p": test.p, "equivalent": test.equivalent, "low90": test.low, "high90": test.high}
            table.append(entry)
    for method in ("holm", "fdr_bh"):
        for entry, p in zip(table, adjusted([entry["p"] for entry in table], method), strict=True):
            entry[f"p_{method}"] = p
    return {"against": against, "margin": margin, "table": table}


def _by_identity(rows: Sequence[Row]) -> dict[str, float]:
    groups: dict[str, list[float]] = {}
    for row in rows:
        groups.setdefault(row["identity"], []).append(row["z"])
    return {name: float(np.mean(values)) for name, values in groups.items()}


def _itself(rows: Sequence[Row]) -> dict[str, float]:
    """z of a picture compared with itself (cosine 1): the line through two of the rows' (similarity, z), since z is linear in the cosine."""
    distinct = sorted({(row["similarity"], row["z"]) for row in rows})
    if len(distinct) < 2 or distinct[-1][0] - distinct[0][0] < 1e-9:
        return {}
    (x0, y0), (x1, y1) = distinct[0], distinct[-1]
    top = y0 + (1.0 - x0) * (y1 - y0) / (x1 - x0)
    return {row["identity"]: top for row in rows}


def separation(pairs: Sequence[Row], impostors: Mapping[str, Impostors]) -> dict[str, Any]:
    """d′, AUC, EER and a ROC of at most 400 points by embedder: edits with their source (the no-op baseline left out) against the set's impostors."""
    found: dict[str, Any] = {}
    for embedder, other in impostors.items():
        genuine = [
            row["similarity"] for row in pairs if row["embedder"] == embedder and row["status"] == "ok" and not row["baseline"] and not row["control"]
        ]
        if len(genuine) < 2 or other.n < 2:
            found[embedder] = None
            continue
        scores = np.concatenate([genuine, other.cosine])
        labels = np.arange(len(scores)) < len(genuine)
        counted = metrics.counts(scores, labels)
        curve = metrics.roc(counted)
        keep = np.unique(np.linspace(0, len(curve.fmr) - 1, min(400, len(curve.fmr))).astype(int))
        try:
            sensitivity: float | None = d_prime(scores, labels)
        except InputError:
            sensitivity = None
        found[embedder] = {
            "genuine": len(genuine), "impostors": other.n, "d_prime": sensitivity, "auc": metrics.auc(counted), "eer": metrics.eer(counted),
            "roc": [[float(a), float(b)] for a, b in zip(curve.fmr[keep], curve.tar[keep], strict=True)],
            "histogram": _histogram(np.array(genuine), other.cosine),
        }  # fmt: skip
    return found


def _histogram(genuine: Any, impostor: Any) -> dict[str, list[float]]:
    edges = np.linspace(-0.4, 1.0, 57)
    counts = [np.histogram(np.clip(values, -0.4, 1.0), edges)[0] / len(values) for values in (genuine, impostor)]
    return {"edges": edges.round(6).tolist(), "genuine": counts[0].tolist(), "impostors": counts[1].tolist()}


def agreement(config: StudyConfig, pairs: Sequence[Row]) -> list[dict[str, Any]]:
    """Two embedders at a time: Spearman's correlation of z, and of the decisions at the first rate the agreement and Cohen's kappa."""
    from scipy import stats

    key = f"verified_cosine_{rate_key(config.fmrs[0])}"
    of = {
        name: {(row["edit"], row["source"]): row for row in pairs if row["embedder"] == name and row["status"] == "ok"} for name in config.embedders
    }
    table = []
    for a, b in combinations(config.embedders, 2):
        common = [place for place in of[a] if place in of[b] and of[a][place]["z"] is not None and of[b][place]["z"] is not None]
        x, y = ([of[name][place]["z"] for place in common] for name in (a, b))
        said = [(of[a][place][key], of[b][place][key]) for place in common if None not in (of[a][place][key], of[b][place][key])]
        rho = float(stats.spearmanr(x, y).statistic) if len(set(x)) > 2 and len(set(y)) > 2 else None
        try:
            chance: float | None = kappa(confusion([str(one) for one, _ in said], [str(two) for _, two in said])) if said else None
        except InputError:
            chance = None
        table.append({"a": a, "b": b, "n": len(common), "spearman": rho, "kappa": chance, "same": share(sum(u == v for u, v in said), len(said))})
    return table
