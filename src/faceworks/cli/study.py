"""faceworks study …: from a folder of edited faces to a report. `faceworks.study` computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .options import common, debug, license_option
from .output import if_interrupted, note, print_facts, print_json, print_table

__all__ = ["study"]

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)


@click.group(short_help="Edited faces: same person? right emotion?")
@debug
def study() -> None:
    """Edited faces: is it still the same person, and does it show what it should?

    \b
    faceworks study init faces/                     manifest.csv and study.toml
    faceworks study check faces/                    which models are here
    faceworks models pull --for faces/study.toml    fetch the others
    faceworks study run faces/manifest.csv --out out/
    faceworks study rate faces/manifest.csv --out rating.html
    faceworks study report out/ --ratings ratings.csv
    """


@study.command(short_help="Make manifest.csv and study.toml from a folder.")
@click.argument("folder", type=FOLDER)
@click.option(
    "--pattern", metavar="PATTERN", help="'{identity}_{condition}_{replicate}', '{condition}/{identity}', … Default: the one that explains all files."
)
@click.option("--language", type=click.Choice(["en", "ko"]), default="en", show_default=True, help="Of the report.")
@common
def init(folder: Path, pattern: str | None, language: str, as_json: bool, quiet: bool) -> int:
    """Read identity, emotion and replicate from file names; write manifest.csv and study.toml into FOLDER. Nothing is overwritten.

    Neutral pictures are sources; where an identity has an "original" too, its neutral pictures are edits that aim at neutral (the no-op baseline).
    """
    from ..study import begin

    found = begin(folder, pattern, language)
    if as_json:
        counts = [{"identity": name, "column": column, "pictures": n} for (name, column), n in found.counts.items()]
        print_json({"pattern": found.pattern, "identities": len(found.identities), "pictures": len(found.rows), "counts": counts,
                    "gaps": [list(gap) for gap in found.gaps], "unmatched": list(found.unmatched)})  # fmt: skip
    elif quiet:
        click.echo(folder / "manifest.csv")
    else:
        rows = [(name, *(str(found.counts.get((name, column), 0) or "–") for column in found.columns)) for name in found.identities]
        total = ("all", *(str(sum(found.counts.get((name, column), 0) for name in found.identities)) for column in found.columns))
        print_table(("identity", *(f">{column}" for column in found.columns)), [*rows, total], f"{len(found.rows)} pictures, pattern {found.pattern}")
        for name, column in found.gaps:
            note(f"gap: {name} has no {column}")
        for name in found.unmatched:
            note(f"not matched, left out: {name}")
        note(f"wrote {folder / 'manifest.csv'} and {folder / 'study.toml'}; next: faceworks study check {folder}")
    return 0


@study.command(short_help="Which models are here, and where the others are had.")
@click.argument("place", type=click.Path(path_type=Path), default=Path("study.toml"))
@common
def check(place: Path, as_json: bool, quiet: bool) -> int:
    """Say of each model of a study.toml (or of the one in a folder) whether it is ready, can be pulled, or must be fetched by hand."""
    from ..study import check as checking
    from ..study import config, manifest

    path = place / config.FILE if place.is_dir() else place
    chosen = config.load(path)
    listed = path.parent / manifest.FILE
    targets = manifest.read(listed, chosen.aliases).targets if listed.is_file() else []
    checking.refuse_blind(chosen, targets)
    states = checking.states(chosen)
    missing = [state for state in states if state.state != "ready"]
    if as_json:
        print_json({"models": states, "ready": not missing, "manifest": str(listed) if listed.is_file() else None})
    elif quiet:
        for state in states:
            click.echo(f"{state.name}\t{state.state}")
    else:
        print_table(("model", "role", "state", "license of the weights"), [(s.name, s.role, s.state, s.license) for s in states])
        for state in missing:
            for address, digest in state.files:
                note(f"{state.name}: {state.state}: {address} (hash {digest}; license: {state.license})")
        if not chosen.emotion:
            note("no emotion model is named in study.toml: expression will rest on human ratings alone")
        if any(state.state == "pull" for state in missing):
            note(f"fetch: faceworks models pull --for {path}")
    return 0 if not missing else 2


def _withdrawn(function: Any) -> Any:
    for option in (
        click.option("--withdrawn", metavar="CODE", multiple=True, help="Leave out all answers of a rater who withdrew (repeatable)."),
        click.option("--ratings", metavar="FILE", type=FILE, multiple=True, help="Ratings: long CSV, or exports of the rating page (repeatable)."),
    ):
        function = option(function)
    return function


def _say(document: dict[str, Any], out: Path, as_json: bool, quiet: bool) -> int:
    found = document["results"]
    if as_json:
        print_json({"out": str(out), "config_hash": document["config_hash"], "pairs": len(document["pairs"]), "results": found})
        return 0
    if quiet:
        click.echo(out / "report.html")
        return 0
    facts = [("identities", str(found["sample"]["identities"])), ("edits", str(found["sample"]["edits"]))]
    for name, rates in found["identity"]["verified"].items():
        facts += [(f"verified at FMR {rate}", f"{value['k']}/{value['n']} ({name})") for rate, value in rates.items()]
    for model, table in found["expression"]["models"].items():
        value = table["open"]["accuracy"]
        facts += [("intended emotion", f"{value['k']}/{value['n']} ({model})")] if value else []
    lazy = found["expression"]["lazy"]["counts"]
    facts.append(("edits by quadrant", ", ".join(f"{count} {name}" for name, count in lazy.items())))
    print_facts(facts, document["config"]["title"])
    for text in found["warnings"]:
        note(f"warning: {text}")
    note(f"wrote {out / 'report.html'}, run.json, tables/, figures/")
    return 0


@study.command(short_help="Measure everything and write the report.")
@click.argument("manifest", type=FILE)
@click.option(
    "--out", required=True, metavar="DIR", type=FOLDER, help="Where report.html, run.json, tables/ and figures/ go; what is done there is kept."
)
@click.option("--config", "config_path", metavar="FILE", type=FILE, help="Default: study.toml beside the manifest.")
@click.option("--neutral", type=click.Choice(["first", "mean", "each"]), help="Several sources of one identity; default as study.toml says.")
@click.option("--skip-missing", is_flag=True, help="Run without models that are not here; the report names them.")
@click.option(
    "--executor", type=click.Choice(["serial", "threads", "processes"]), default="threads", show_default=True, help="How pictures are measured."
)
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Default: one for each core.")
@_withdrawn
@license_option
@common
def run(manifest: Path, out: Path, as_json: bool, quiet: bool, ratings: tuple[Path, ...], withdrawn: tuple[str, ...], **options: Any) -> int:
    """Measure identity, expression, valence, arousal and locality of every edit in MANIFEST, and write the report. A killed run continues."""
    from ..study import run as run_study

    with if_interrupted(f"what is measured stays in {out}; the same command goes on"):
        document = run_study(manifest, out, ratings=ratings, withdrawn=withdrawn, progress=not quiet, **options)
    return _say(document, out, as_json, quiet)


@study.command(short_help="The report again, with ratings; no model runs.")
@click.argument("folder", metavar="DIR", type=FOLDER)
@_withdrawn
@click.option("--language", type=click.Choice(["en", "ko"]), help="Default: as study.toml said.")
@common
def report(folder: Path, ratings: tuple[Path, ...], withdrawn: tuple[str, ...], language: str | None, as_json: bool, quiet: bool) -> int:
    """Write the report of a finished run in DIR again, with ratings by people or by outside models."""
    from ..study import report as write

    return _say(write(folder, ratings, withdrawn, language), folder, as_json, quiet)


@study.command(short_help="Make the page on which people rate.")
@click.argument("manifest", type=FILE)
@click.option("--out", default="rating.html", show_default=True, metavar="FILE", type=FILE, help="The page; it works without any network.")
@click.option("--config", "config_path", metavar="FILE", type=FILE, help="Default: study.toml beside the manifest.")
@click.option(
    "--per-rater", type=click.IntRange(min=0), metavar="N", help="Pictures for one rater, in balanced blocks; 0 = all. Default: as study.toml says."
)
@click.option("--raters", type=click.IntRange(min=1), metavar="N", help="Blocks that are made. Code R7 takes the seventh.")
@common
def rate(manifest: Path, out: Path, config_path: Path | None, per_rater: int | None, raters: int | None, as_json: bool, quiet: bool) -> int:
    """Write one HTML page with pictures, questions and orders inside: Korean and English, by keyboard or touch, resumes after a reload, exports CSV and JSON."""
    from ..evaluate.provenance import write_whole
    from ..study.rating_page import rating_page

    text, data = rating_page(*_beside(manifest, config_path), per_rater, raters)
    write_whole(out, text)
    facts = {
        "page": str(out),
        "bytes": len(text.encode()),
        "pictures": len(data["items"]),
        "blocks": len(data["blocks"]),
        "trials": len(data["blocks"][0]),
    }
    if as_json:
        print_json(facts)
    elif quiet:
        click.echo(out)
    else:
        print_facts([(key, str(value)) for key, value in facts.items()], "rating page")
        note(f"give each rater a code (R1, R2, …) and the page; then: faceworks study report DIR --ratings FILE… ({len(data['blocks'])} blocks)")
    return 0


def _beside(manifest: Path, config_path: Path | None) -> tuple[Any, Any]:
    """Configuration and manifest."""
    from ..study import config
    from ..study import manifest as manifests

    chosen = config.load(config_path or manifest.parent / config.FILE)
    return chosen, manifests.read(manifest, chosen.aliases)


def _write_ratings(found: Any, out: Path, as_json: bool, quiet: bool) -> int:
    from ..study.ratings import COLUMNS, to_rows
    from ..study.tables import write_csv

    write_csv(out, to_rows(found), COLUMNS)
    facts = {"out": str(out), "answers": len(found), "raters": len({item.rater for item in found}), "pictures": len({item.picture for item in found})}
    if as_json:
        print_json(facts)
    elif quiet:
        click.echo(out)
    else:
        print_facts([(key, str(value)) for key, value in facts.items()], "ratings")
        note(f"next: faceworks study report DIR --ratings {out}")
    return 0


_config_option = click.option("--config", "config_path", metavar="FILE", type=FILE, help="Default: study.toml beside the manifest.")
_out_option = click.option("--out", required=True, metavar="FILE", type=FILE, help="Where the result goes.")


@study.group(short_help="Ratings from other programs.")
@debug
def ratings() -> None:
    """Ratings from other programs."""


@ratings.command(name="import", short_help="Qualtrics, Google Forms, jsPsych, any CSV.")
@click.argument("file", type=FILE)
@click.argument("manifest", type=FILE)
@click.option("--map", "map_path", required=True, metavar="map.toml", type=FILE, help="What the file's columns are.")
@_out_option
@_config_option
@common
def import_(file: Path, manifest: Path, map_path: Path, out: Path, config_path: Path | None, as_json: bool, quiet: bool) -> int:
    """Read the ratings in FILE, which another program wrote, as the map says, check them against MANIFEST, and write the long form."""
    from ..study.ratings_import import import_file, read_map

    chosen, listed = _beside(manifest, config_path)
    names = [item.name for item in listed.pictures if item.role != "reference"]
    return _write_ratings(import_file(file, read_map(map_path), names, chosen.ratings, chosen.aliases), out, as_json, quiet)


@study.group(name="ai-rate", short_help="Ratings by an outside vision-language model.")
@debug
def ai_rate() -> None:
    """Ratings by an outside vision-language model: tasks out, answers in. faceworks sends nothing to anybody."""


@ai_rate.command(short_help="Write the tasks as JSONL.")
@click.argument("manifest", type=FILE)
@_out_option
@_config_option
@common
def export(manifest: Path, out: Path, config_path: Path | None, as_json: bool, quiet: bool) -> int:
    """Write a line for each edit: the picture's hash, a fixed prompt in Korean and English, and the JSON schema of the answer."""
    from ..evaluate.provenance import write_whole
    from ..study import ai_rate as rating

    text = rating.export(*_beside(manifest, config_path))
    write_whole(out, text)
    lines = text.count("\n")
    if as_json:
        print_json({"out": str(out), "tasks": lines, "prompt_version": rating.PROMPT_VERSION})
    else:
        click.echo(out if quiet else f"{lines} tasks in {out}")
    return 0


@ai_rate.command(name="import", short_help="Check and read the answers.")
@click.argument("file", type=FILE)
@click.argument("manifest", type=FILE)
@_out_option
@_config_option
@common
def import_answers(file: Path, manifest: Path, out: Path, config_path: Path | None, as_json: bool, quiet: bool) -> int:
    """Check the answers in FILE (JSONL: picture_sha256, model, date, answer) against MANIFEST and write them as ratings of the source "ai"."""
    from ..study import ai_rate as rating

    return _write_ratings(rating.read_answers(file, *_beside(manifest, config_path)), out, as_json, quiet)


@study.command(short_help="A whole study whose conclusions are known beforehand.")
@click.option("--out", default="study-demo", show_default=True, metavar="DIR", type=FOLDER, help="Where the material and the report go.")
@click.option(
    "--executor", type=click.Choice(["serial", "threads", "processes"]), default="threads", show_default=True, help="How pictures are measured."
)
@common
def demo(out: Path, executor: str, as_json: bool, quiet: bool) -> int:
    """Edit sample portraits by our own deterministic warps, add controls (identity swap, no change, re-encoding), run the whole study, and compare its
    conclusions with what is known. Exit code 2 if one of them is not as it must be.
    """
    from ..study.demo import run_demo, verdicts

    document = run_demo(out, executor, not quiet)
    found = verdicts(document)
    if as_json:
        print_json({"out": str(out), "conclusions": [{"what": what, "held": held, "figures": text} for what, held, text in found]})
    elif quiet:
        click.echo(out / "report.html")
    else:
        print_table(("what must come out", "held", "figures"), [(what, "yes" if held else "NO", text) for what, held, text in found], "study demo")
        note(f"wrote {out / 'report.html'}; the material and its credits lie in {out / 'study'}")
    return 0 if all(held for _, held, _ in found) else 2
