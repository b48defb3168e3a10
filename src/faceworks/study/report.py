"""report.html: one offline page with every table, every figure, the methods, and each person's row of pictures, worst first."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..evaluate.provenance import write_whole
from . import export, figures
from .config import StudyConfig
from .identity import rate_key
from .methods import methods
from .naming import EMOTIONS
from .tables import between, measure_name, numbered
from .words import KOREAN, Say, speaker

__all__ = ["contact_rows", "write_report"]

TEMPLATES = Path(__file__).parent / "templates"
MOST = 60
"""Identities on the contact sheet; the worst come first, the rest are in tables/pairs.csv."""
HEATS = 12
SECTIONS = {
    "identity": "Is it still the same person?", "drop": "What the edit costs, and equivalence", "expression": "Does it show what it should?",
    "lazy": "Lazy edits", "affect": "Valence and arousal", "intensity": "Intensity and naturalness", "locality": "Where did the picture change?",
    "reliability": "Raters", "inference": "Inference", "contact": "Every person, worst first", "methods": "Methods", "models": "Models and versions",
}  # fmt: skip
"""Anchor -> heading, in the order of the page."""


def write_report(document: dict[str, Any], config: StudyConfig, out: Path) -> None:
    """report.html, figures/, tables/tables.tex and .docx, methods.{en,ko}.txt. Nothing in them depends on the clock."""
    import jinja2

    say = speaker(config.language)
    title = _title(config)
    drawn, lacking = figures.draw_all(document, config)
    if lacking:
        text = say(
            "No installed font has the letters {letters}: the figures show boxes there. Install a Korean font (fonts-nanum).", letters=lacking[:20]
        )
        document["results"]["warnings"].append(text)
    figures.save(drawn, out / "figures")
    tables = numbered(config, document["results"])
    both = {language: methods(document, config, language) for language in ("en", "ko")}
    for language, paragraphs in both.items():
        write_whole(out / f"methods.{language}.txt", "\n\n".join(paragraphs) + "\n")
    export.write(tables, title, both[config.language], out / "tables")
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    page = environment.get_template("report.html").render(
        config=config, title=title, doc=document, found=document["results"], t=say, methods=both, sections=SECTIONS,
        figures={key: {"caption": caption, "svg": figures.inline_svg(forms["svg"], key)} for key, caption, forms in drawn},
        tables={key: [table for table in tables if table.key == key] for key in ("T1", "T2", "T3", "T4", "T5", "T6")},
        cards=_cards(document, config, say), rows=contact_rows(document, config, out)[:MOST],
        hidden=max(0, document["results"]["sample"]["identities"] - MOST), heats=_heats(document, out), drops=document["results"]["identity"]["drops"]["table"],
        verdicts=_verdicts(document), between=between, measure_name=measure_name, origin=lambda about, limit: _origin(say, about, limit),
        rate=rate_key(config.fmrs[0]),
    )  # fmt: skip
    write_whole(out / "report.html", page)


def _title(config: StudyConfig) -> str:
    """The study's title; the one that a new study.toml has follows the report's language."""
    usual = StudyConfig().title
    return speaker(config.language)(usual) if config.title in (usual, KOREAN[usual]) else config.title


def _origin(say: Say, about: Mapping[str, Any], limit: Mapping[str, Any]) -> str:
    """Where a threshold comes from, in the report's language; `limit["source"]` says it in English, at length, for run.json."""
    if limit["kind"] == "calibration":
        known = about["calibration"]
        return say("calibration: {dataset}, {people} people, {date}", dataset=known["dataset"], people=known["people"], date=known["date"])
    if limit["kind"] == "none":
        return say("none: one identity alone has no impostors")
    parts = [say("set impostors, n = {n}", n=about["impostors"]["n"])]
    if limit["limit"]:
        parts.append(say("vouches for FMR ≤ {limit} only (rule of three)", limit=f"{limit['limit']:.2g}"))
    return ", ".join(parts)


def _cards(document: Mapping[str, Any], config: StudyConfig, say: Say) -> list[tuple[str, str, str]]:
    """The few numbers at the top: (big, small, class)."""
    found = document["results"]
    first = rate_key(config.fmrs[0])
    cards = [(str(found["sample"]["identities"]), say("identities"), ""), (str(found["sample"]["edits"]), say("edits"), "")]
    for name, entry in found["identity"]["verified"].items():
        value = entry[first]
        if value["share"] is not None:
            mark = "good" if value["share"] >= 0.99 else "bad" if value["share"] < 0.9 else "fair"
            cards.append((f"{100 * value['share']:.1f} %", f"{say('verified at FMR')} {first}, {name} ({value['k']}/{value['n']})", mark))
    for model, entry in found["expression"]["models"].items():
        value = entry["open"]["accuracy"]
        if value:
            cards.append((f"{100 * value['share']:.1f} %", f"{say('intended emotion recognized')}, {model} ({value['k']}/{value['n']})", ""))
    for kind, entry in found["expression"]["raters"].items():
        value = entry["target"]["accuracy"]
        if value:
            who = say("people" if kind == "human" else "outside model")
            cards.append((f"{100 * value['share']:.1f} %", f"{say('intended emotion recognized')}, {who} ({value['k']}/{value['n']})", ""))
    lazy = found["expression"]["lazy"]["counts"]["lazy"]
    cards.append((str(lazy), say("lazy edits"), "bad" if lazy else "good"))
    if found["reliability"]["table"]:
        cards.append((str(found["reliability"]["raters"]), say("raters"), ""))
    return cards


def _image(path: Path) -> str:
    """A picture as a data address, or "" where it was deleted."""
    try:
        return "data:image/jpeg;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
    except OSError:
        return ""


def contact_rows(document: Mapping[str, Any], config: StudyConfig, out: Path) -> list[dict[str, Any]]:
    """One entry for each identity, worst first (its lowest mean z): the source, then each edit with what was found."""
    zs: dict[str, list[float]] = {}
    votes: dict[str, list[bool]] = {}
    key = f"verified_cosine_{rate_key(config.fmrs[0])}"
    for row in document["pairs"]:
        if row["z"] is not None:
            zs.setdefault(row["edit"], []).append(row["z"])
        if row[key] is not None:
            votes.setdefault(row["edit"], []).append(row[key])
    quadrants = {point["picture"]: point["quadrant"] for point in document["results"]["expression"]["lazy"]["points"]}
    local = {row["edit"]: row for row in document["locality"]}
    found: dict[str, dict[str, Any]] = {}
    order = {label: place for place, label in enumerate(EMOTIONS)}
    for face in sorted((f for f in document["faces"] if f["role"] == "edit"), key=lambda f: (order[f["condition"]], f["replicate"])):
        entry = found.setdefault(face["identity"], {"identity": face["identity"], "source": "", "edits": [], "worst": float("inf")})
        row = local.get(face["picture"])
        if row and not entry["source"]:
            entry["source"] = _image(out / "thumbs" / f"{row['source_thumb']}.jpg")
        z = sum(zs[face["picture"]]) / len(zs[face["picture"]]) if face["picture"] in zs else None
        entry["worst"] = min(entry["worst"], -99.0 if z is None else z)
        said = [face[f"emotion_{name}"] for name in config.emotion]
        entry["edits"].append({
            "condition": face["condition"], "image": _image(out / "thumbs" / f"{row['thumb']}.jpg") if row else "", "z": z, "said": said,
            "hit": bool(said) and said.count(face["condition"]) * 2 > len(said), "kept": sum(votes.get(face["picture"], [])), "of": len(votes.get(face["picture"], [])),
            "quadrant": quadrants.get(face["picture"], ""), "verdict": row["verdict"] if row else "", "status": face["status"], "picture": face["picture"],
            "control": face["control"],
        })  # fmt: skip
    return sorted(found.values(), key=lambda entry: (entry["worst"], entry["identity"]))


def _heats(document: Mapping[str, Any], out: Path) -> list[dict[str, Any]]:
    """Difference maps of the edits that changed most outside the face, and of the least."""
    rows = sorted((row for row in document["locality"] if row["delta_e_outside"] is not None), key=lambda row: (-row["delta_e_outside"], row["edit"]))
    chosen = rows if len(rows) <= HEATS else rows[: HEATS - 4] + rows[-4:]
    return [row | {"image": _image(out / "thumbs" / f"{row['thumb']}-heat.jpg")} for row in chosen]


def _verdicts(document: Mapping[str, Any]) -> dict[str, int]:
    return {name: sum(row["verdict"] == name for row in document["locality"]) for name in ("local", "global", "unregistered")}
