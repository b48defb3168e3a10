"""Inference: mixed models of ratings, through statsmodels; where one does not converge, the bootstrap by identity and rater says so and stands in."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .affect import STAND_INS
from .config import StudyConfig
from .ratings import Ratings, scaled
from .stats import adjusted, bootstrap_by, power_tost
from .words import speaker

__all__ = ["infer", "mixed"]

Row = Mapping[str, Any]
NO_MODEL = "the mixed model did not converge ({why}); means by emotion with a bootstrap of identities and raters"
NUMERIC = ("intensity", "valence", "arousal", "naturalness", "sureness")


def infer(config: StudyConfig, faces: Sequence[Row], pairs: Sequence[Row], ratings: Ratings) -> dict[str, Any]:
    """Mixed model of every numeric rating, the sensitivity of identity to the embedder, and the power helper."""
    places = {row["picture"]: row for row in faces if row["role"] in ("source", "edit")}
    models = []
    for question in NUMERIC:
        rows: list[dict[str, Any]] = [
            {"value": scaled(question, float(r.value), config.ratings), "rater": f"{r.source}:{r.rater}", "source": r.source,
             "identity": places[r.picture]["identity"], "emotion": "source" if places[r.picture]["role"] == "source" else places[r.picture]["condition"]}
            for r in ratings.of(question) if r.picture in places
        ]  # fmt: skip
        if question in ("valence", "arousal") and config.affect and config.affect not in STAND_INS and rows:
            rows += [
                {"value": row[question], "rater": f"model:{config.affect}", "source": "model", "identity": row["identity"],
                 "emotion": "source" if row["role"] == "source" else row["condition"]}
                for row in places.values() if row[question] is not None
            ]  # fmt: skip
        if rows:
            models.append({"question": question, **mixed(rows, config)})
    effects = [effect for model in models for effect in model["effects"]]
    for method in ("holm", "fdr_bh"):
        for effect, p in zip(effects, adjusted([e["p"] for e in effects], method), strict=True):
            effect[f"p_{method}"] = p
    return {"models": models, "identity": _identity(config, pairs), "power": _power(config, pairs)}


def mixed(rows: Sequence[Row], config: StudyConfig) -> dict[str, Any]:
    """rating ~ emotion × source + (1 | identity) + (1 | rater) by REML; crossed effects as one group with variance components.

    Effects are in units of the rating; `d` is the effect over the square root of all variance components together (a standardized difference).
    """
    emotions = sorted({row["emotion"] for row in rows}, key=lambda name: (name != "neutral", name != "source", name))
    kinds = sorted({row["source"] for row in rows}, key=lambda name: (name != "human", name))
    formula = "value ~ C(emotion, Treatment(base))" if len(emotions) > 1 else "value ~ 1"
    formula += (" * C(source)" if len(emotions) > 1 else " + C(source)") if len(kinds) > 1 else ""
    raters, identities = len({row["rater"] for row in rows}), len({row["identity"] for row in rows})
    found: dict[str, Any] = {"n": len(rows), "raters": raters, "identities": identities, "formula": f"value ~ emotion{' × source' * (len(kinds) > 1)}"
                             f"{' + (1|identity)' * (identities > 1)}{' + (1|rater)' * (raters > 1)}", "base": emotions[0]}  # fmt: skip
    fitted, why = _fit(rows, formula, emotions[0], raters > 1, identities > 1)
    if fitted is None:
        say = speaker(config.language)
        return found | {"method": "bootstrap", "note": say(NO_MODEL, why=say(why)),
                        "effects": _bootstrap(rows, emotions, config)}  # fmt: skip
    spread = float(np.sqrt(fitted.scale + fitted.vcomp.sum()))
    interval = fitted.conf_int()
    effects = []
    for name in fitted.fe_params.index:
        value = float(fitted.fe_params[name])
        effects.append({"term": _plain(name), "estimate": value, "low": float(interval.loc[name].iloc[0]), "high": float(interval.loc[name].iloc[1]),
                        "p": float(fitted.pvalues[name]) if name != "Intercept" else None, "d": value / spread if name != "Intercept" and spread else None})  # fmt: skip
    parts = dict(zip(fitted.model.exog_vc.names, (float(v) for v in fitted.vcomp), strict=True))
    return found | {"method": "mixed model (REML)", "note": "", "effects": effects, "variance": parts | {"residual": float(fitted.scale)}}


def _fit(rows: Sequence[Row], formula: str, base: str, by_rater: bool, by_identity: bool) -> tuple[Any, str]:
    import pandas
    import statsmodels.formula.api as smf

    frame = pandas.DataFrame(list(rows))
    parts = {"identity": "0 + C(identity)"} if by_identity else {}
    parts |= {"rater": "0 + C(rater)"} if by_rater else {}
    if not parts or frame["value"].nunique() < 2:
        return None, "too few raters and identities, or no spread"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            one = np.ones(len(frame))
            fitted = smf.mixedlm(formula.replace("base", repr(base)), frame, groups=one, vc_formula=parts).fit(reml=True, method=["lbfgs", "powell"])
        except (np.linalg.LinAlgError, ValueError) as error:
            return None, f"{type(error).__name__}: {error}"
    trouble = [str(item.message) for item in caught if "onverge" in str(item.message)]
    if not fitted.converged or trouble or not np.isfinite(np.asarray(fitted.bse_fe, float)).all():
        return None, trouble[0] if trouble else "no finite standard errors"
    return fitted, ""


def _plain(term: str) -> str:
    """A term of the formula in words."""
    text = term
    for piece in ("C(emotion, Treatment(", "C(source)"):
        while piece in text:
            start = text.index(piece)
            end = text.index("[T.", start)
            text = text[:start] + text[end + 3 :].replace("]", "", 1)
    return text.replace(":", " × ")


def _bootstrap(rows: Sequence[Row], emotions: Sequence[str], config: StudyConfig) -> list[dict[str, Any]]:
    values = np.array([row["value"] for row in rows], np.float64)
    shown = np.array([row["emotion"] for row in rows])
    found = []
    for index, name in enumerate(emotions):

        def statistic(chosen: Any, label: str = name, first: bool = index == 0) -> float | None:
            here, base = values[chosen][shown[chosen] == label], values[chosen][shown[chosen] == emotions[0]]
            if not len(here) or not len(base):
                return None
            return float(here.mean()) if first else float(here.mean() - base.mean())

        everything = np.arange(len(values))
        ends = [bootstrap_by([row[key] for row in rows], statistic, config.bootstrap, config.seed) for key in ("identity", "rater")]
        known = [end for end in ends if end is not None]
        found.append({"term": "Intercept" if index == 0 else name, "estimate": statistic(everything), "p": None, "d": None,
                      "low": min((end[0] for end in known), default=None), "high": max((end[1] for end in known), default=None)})  # fmt: skip
    return found


def _identity(config: StudyConfig, pairs: Sequence[Row]) -> list[dict[str, Any]]:
    """Sensitivity to the embedder: mean z over all edits that aim at an emotion, with a bootstrap by identity, for each and for all together."""
    table = []
    for name in (*config.embedders, "all"):
        rows = [row for row in pairs if row["z"] is not None and not row["baseline"] and name in (row["embedder"], "all")]
        if not rows:
            continue
        values = np.array([row["z"] for row in rows], np.float64)
        ends = bootstrap_by([row["identity"] for row in rows], lambda chosen, v=values: float(v[chosen].mean()), config.bootstrap, config.seed)
        table.append(
            {"embedder": name, "n": len(rows), "z": float(values.mean()), "low": ends[0] if ends else None, "high": ends[1] if ends else None}
        )
    return table


def _power(config: StudyConfig, pairs: Sequence[Row]) -> list[dict[str, Any]]:
    """Identities that an equivalence test at the margin would need with the spread of the drop seen here (power 0.8, true difference 0)."""
    from ..errors import InputError
    from .identity_summary import drops

    table = []
    for entry in drops(config, pairs)["table"]:
        spread, mean = entry["drop"]["sd"], entry["drop"]["mean"]
        try:
            needed: int | None = power_tost(spread, entry["margin"]) if spread else None
        except InputError:
            needed = None
        table.append(
            {
                "embedder": entry["embedder"],
                "condition": entry["condition"],
                "sd": spread,
                "seen": mean,
                "margin": entry["margin"],
                "identities": needed,
            }
        )
    return table
