"""faceworks models list | show | pull | verify | where | add"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import as_json as json_option
from .options import common, debug
from .options import quiet as quiet_option
from .output import note, print_facts, print_json, print_table

if TYPE_CHECKING:
    from ..cards import Card

__all__ = ["models"]

ORDER = ("ready", "pull", "manual")
WORDS = {"ready": "ready", "pull": "to fetch", "manual": "by hand"}


@click.group(short_help="The model catalog: list, show, pull, verify, where, add.")
@debug
def models() -> None:
    """The model catalog: every model with its license, source and checksum.

    A model is ready when its files lie in the cache or in a mirror folder; others are fetched when they are first needed, or by `models pull`.
    """


def status(card: Card) -> str:
    """The worst status of the files of a card and its parts; a model that is pure code is ready."""
    from .. import assets, cards

    return max((assets.status(file) for member in cards.members(card) for file in member.file), key=ORDER.index, default="ready")


def lacking(card: Card) -> list[str]:
    """Where the files that are not here come from: of each the first source, for a file that a person must fetch all of them."""
    from .. import assets, cards

    absent = [file for member in cards.members(card) for file in member.file if assets.status(file) != "ready"]
    return [source for file in absent for source in (file.from_ if assets.status(file) == "manual" else file.from_[:1])]


def defaults() -> tuple[str, ...]:
    """Names of the models that are used when none is named."""
    from ..pipeline import PipelineSpec

    spec = PipelineSpec()
    return (spec.detector, spec.embedder)


def entry(card: Card, usual: tuple[str, ...]) -> dict[str, Any]:
    """A line of `models list --json`."""
    return {
        "name": card.name,
        "task": card.task,
        "status": status(card),
        "from": [] if status(card) == "ready" else lacking(card),
        "default": card.name in usual,
        "license": card.license,
        "reliability": card.reliability,
        "summary": card.summary,
    }


@models.command(name="list", short_help="All models, those that are ready first.")
@click.option("--task", type=click.Choice(["detect", "landmark", "embed", "attribute", "data"]), help="Only one task (data: sample pictures).")
@click.option("--license", "license_", type=click.Choice(["any", "commercial"]), default="any", help='"commercial" leaves out what forbids it.')
@common
def list_(task: str | None, license_: str, as_json: bool, quiet: bool) -> int:
    """List all models, those that are ready first. A star marks what is used when no model is named.

    "ready": the files are here. "to fetch": the first use, or `models pull`, fetches them. "by hand": a person must fetch a file, from where stands below.
    """
    from .. import cards

    usual = defaults()
    found = [cards.get(name) for name in cards.names(task) if task or cards.get(name).task != "data"]
    rows = [entry(card, usual) for card in found if license_ == "any" or cards.commercial(card)]
    rows.sort(key=lambda row: (ORDER.index(row["status"]), cards.TASKS.index(row["task"]), row["name"]))
    if as_json:
        print_json(rows)
    elif quiet:
        for row in rows:
            click.echo(row["name"])
    else:
        columns = ("name", "task", "status", "license of the weights", "commercial", "reliability", "what it is")
        print_table(columns, [_row(row) for row in rows])
        by_hand = [(row["name"], source.removeprefix("manual:")) for row in rows if row["status"] == "manual" for source in row["from"]]
        if by_hand:
            title = "To fetch by hand: put the file into a folder that FACEWORKS_MIRRORS names, and the model is ready"
            print_table(("name", "from"), by_hand, title)
    return 0


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    name = f"{row['name']} *" if row["default"] else row["name"]
    commercial = "yes" if row["license"].commercial_use else "no"
    return (name, row["task"], WORDS[row["status"]], row["license"].weights, commercial, row["reliability"], row["summary"])


@models.command(short_help="Everything about one model.")
@click.argument("name")
@json_option
@debug
def show(name: str, as_json: bool) -> int:
    """Show a model's card: license, paper, files with sources and checksums, inputs, thresholds and published figures."""
    from .. import assets, cards
    from ..types import to_dict

    card = cards.get(name)
    if as_json:
        whole = to_dict(card)
        for item, file in zip(whole["file"], card.file, strict=True):
            item["from"] = item.pop("from_")
            item["status"] = assets.status(file)
        print_json(whole | {"status": status(card)})
        return 0
    rows = [("summary", card.summary), ("task", f"{card.task}, adapter {card.adapter}"), ("paper", card.paper), ("code", card.code)]
    commercial = "commercial use allowed" if card.license.commercial_use else "no commercial use"
    rows.append(
        ("license", f"weights: {card.license.weights}, {commercial}; code: {card.license.code}" + f"; {card.license.note}" * bool(card.license.note))
    )
    rows += [("reliability", card.reliability), ("status", WORDS[status(card)])]
    for file in card.file:
        digest = file.sha256 or (f"git-blob {file.git_blob}" if file.git_blob else "pinned at first use")
        rows.append(
            (
                f"file {file.role}",
                f"{WORDS[assets.status(file)]}; {f'{file.bytes} bytes' if file.bytes else 'size not stated'}; sha256 {digest}"
                + f"; made ready by {file.convert}" * bool(file.convert),
            )
        )
        rows += [("", f"from {source}") for source in file.from_]
    for view in card.input:
        size = "x".join(str(side) for side in view.size) or "any size"
        rows.append((f"input {view.role}", f"{view.crop}, {size}, {view.color} {view.layout}, mean {list(view.mean)}, std {list(view.std)}"))
    for part in card.part:
        rows.append(("part", f"{part.model}, share {part.weight:g}" + ", with its mirrored crop" * part.flip))
    rows += [("threshold", f"{item.metric} {item.kind} {item.value:g}, from: {item.source}") for item in card.threshold]
    rows += [("published", f"{item.dataset}, {item.metric}: {item.value:g} ({item.source})") for item in card.published]
    rows += [("notes", card.notes)] * bool(card.notes) + [("credits", card.attribution.strip())] * bool(card.attribution)
    print_facts(rows, card.name)
    return 0


@models.command(short_help="Fetch models now, for work without network.")
@click.argument("names", metavar="NAME…", nargs=-1)
@click.option("--all-default", is_flag=True, help="The models that are used when none is named.")
@click.option("--for", "study", metavar="study.toml", type=click.Path(path_type=Path), help="The models of a study that can be fetched.")
@click.option("--license", "license_", type=click.Choice(["any", "commercial"]), help='"commercial" refuses weights that forbid commercial use.')
@quiet_option
@debug
def pull(names: tuple[str, ...], all_default: bool, study: Path | None, license_: str | None, quiet: bool) -> int:
    """Fetch the files of models, verify their checksums, and convert them, so that later work needs no network."""
    if not names and not all_default and study is None:
        raise click.UsageError("name at least one model, or give --all-default or --for study.toml", click.get_current_context())
    from .. import assets, cards

    wanted = list(dict.fromkeys([*names, *(defaults() if all_default else ()), *(of_study(study) if study is not None else ())]))
    chosen = [cards.get(name) for name in wanted]
    for card in chosen:
        cards.check_license(card, license_)
    for name in dict.fromkeys(member.name for card in chosen for member in cards.members(card)):
        card = cards.get(name)
        paths = assets.fetch_all(card.file, progress=not quiet)
        for file, path in zip(card.file, paths, strict=True):
            if file.convert:
                from .. import convert

                path = convert.prepare(card, file.role)
            if not quiet:
                click.echo(f"{card.name}\t{file.role}\t{path}")
    return 0


def of_study(path: Path) -> list[str]:
    """Models of a study that are not here and can be fetched; those that must be fetched by hand are named on stderr."""
    from ..study import check, config

    states = check.states(config.load(path / config.FILE if path.is_dir() else path))
    for state in states:
        for address, digest in state.files if state.state == "fetch by hand" else ():
            note(f"{state.name} must be fetched by hand: {address} (hash {digest}; license: {state.license})")
    return [state.name for state in states if state.state == "pull"]


@models.command(name="verify", short_help="Hash the local files again.")
@click.argument("names", metavar="[NAME]…", nargs=-1)
@json_option
@quiet_option
@debug
def verify_(names: tuple[str, ...], as_json: bool, quiet: bool) -> int:
    """Hash the local files of models again and compare with their cards: of the named ones, else of all that are ready.

    A file that is damaged or, of a named model, absent makes the exit code 2.
    """
    from .. import assets, cards
    from ..errors import ChecksumMismatch

    rows = []
    wanted = dict.fromkeys(member.name for name in names or cards.names() for member in cards.members(cards.get(name)))
    for card in map(cards.get, wanted):
        for file in card.file:  # a fusion's parts are cards of their own
            if assets.status(file) == "ready":
                rows.append({"name": card.name, "role": file.role, "result": "ok" if assets.verify(file) else "damaged"})
            elif names:
                rows.append({"name": card.name, "role": file.role, "result": "absent"})
    if as_json:
        print_json(rows)
    elif not quiet:
        print_table(("name", "file", "result"), [(row["name"], row["role"], row["result"]) for row in rows])
    wrong = [f"{row['name']} ({row['role']}: {row['result']})" for row in rows if row["result"] != "ok"]
    if wrong:
        raise ChecksumMismatch(
            f"{len(wrong)} file{'s are' if len(wrong) > 1 else ' is'} not as the card says: {', '.join(wrong)}; run: faceworks models pull"
        )
    if not rows:
        note("no model is ready yet; run: faceworks models pull --all-default")
    return 0


@models.command(short_help="Where files lie.")
@click.argument("names", metavar="[NAME]…", nargs=-1)
@json_option
@debug
def where(names: tuple[str, ...], as_json: bool) -> int:
    """Print the cache folder, the mirror folders and the folder of your own cards; or, with names, the path of each file of these models."""
    from .. import assets, cards, settings

    active = settings.current()
    if not names:
        places = {
            "cache": str(active.cache),
            "mirrors": [str(path) for path in active.mirrors],
            "cards": str(cards.user_folder()),
            "offline": active.offline,
        }
        if as_json:
            print_json(places)
        else:
            mirrors = ", ".join(str(path) for path in active.mirrors) or "none (FACEWORKS_MIRRORS)"
            print_facts(
                [("cache", str(active.cache)), ("mirrors", mirrors), ("your cards", str(cards.user_folder())), ("offline", str(active.offline))]
            )
        return 0
    found = [(card.name, file.role, assets.locate(file)) for name in names for card in cards.members(cards.get(name)) for file in card.file]
    if as_json:
        print_json([{"name": name, "role": role, "path": None if path is None else str(path)} for name, role, path in found])
    else:
        for name, role, path in found:
            click.echo(f"{name}\t{role}\t{path or 'not here; run: faceworks models pull ' + name}")
    return 0


@models.command(short_help="Register a checkpoint of your own.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--like", required=True, metavar="NAME", help="The card whose preprocessing, converter and outputs hold for the file.")
@click.option("--name", metavar="NAME", help="What it shall be called. Default: the card's name and the file's.")
@json_option
@quiet_option
@debug
def add(file: Path, like: str, name: str | None, as_json: bool, quiet: bool) -> int:
    """Register a checkpoint of your own: FILE is copied into the cache, converted and opened as the card NAME says, and gets a card beside your others.

    The new card has no threshold and no published figures, since they were measured with other weights, and its license is unknown: edit it.
    """
    from ..runtime.adding import add_model

    card = add_model(file, like, name)
    if as_json:
        print_json({"name": card.name, "task": card.task, "like": like, "card": card.path, "sha256": card.file[0].sha256})
    elif quiet:
        click.echo(card.name)
    else:
        click.echo(f"{card.name}\t{card.task}\t{card.path}")
    return 0
