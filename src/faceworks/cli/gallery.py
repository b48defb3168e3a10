"""faceworks gallery create | enroll | people | show | identify | check | audit | stats; the verbs that change people are in `gallery_change`."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .options import SPEC_OPTIONS, common, decision_options, detector_options, embedder_options, save_option
from .output import box_text, note, print_facts, print_json, print_table

if TYPE_CHECKING:
    from ..gallery import Entry, Gallery
    from ..types import Identification

__all__ = ["advancing", "elsewhere", "gallery", "gallery_options", "opened"]

F = TypeVar("F", bound=Callable[..., Any])


class Verbs(click.Group):
    """The gallery's verbs, with their other names."""

    ALIASES = {"list": "people", "delete": "remove"}  # noqa: RUF012

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Find a verb; those that change people are imported now."""
        from . import gallery_change  # noqa: F401 - registers its verbs

        return super().get_command(ctx, self.ALIASES.get(cmd_name, cmd_name))

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, in the order they are written."""
        from . import gallery_change  # noqa: F401

        return list(self.commands)


def gallery_options(function: F) -> F:
    """Where the gallery is and how it is opened."""
    for option in (
        click.option("--wait", type=click.FloatRange(min=0), default=5.0, metavar="SECONDS", help="Longest wait for another writer."),
        click.option("--audit-file", metavar="FILE", type=click.Path(dir_okay=False), help="Where the audit log is, if not beside the gallery."),
        click.option("--actor", default="", metavar="NAME", help="Who is working, for the audit log."),
        click.option("--key-file", metavar="FILE", type=click.Path(dir_okay=False), help="Key of an encrypted gallery (or FACEWORKS_GALLERY_KEY)."),
        click.option("--gallery", "url", default="people.h5", show_default=True, metavar="URL", help="File, memory:, postgresql://… or milvus://…"),
    ):
        function = option(function)
    return function


def elsewhere(options: dict[str, Any]) -> str:
    """The words that send a suggested command to the gallery of this one: none for the one that is taken by itself."""
    import shlex

    words = [f"--gallery {shlex.quote(options['url'])}"] * (options["url"] != "people.h5")
    words += [f"--key-file {shlex.quote(options['key_file'])}"] * bool(options.get("key_file"))
    words += [f"--audit-file {shlex.quote(options['audit_file'])}"] * bool(options.get("audit_file"))
    return "".join(f" {word}" for word in words)


@contextlib.contextmanager
def opened(mode: Any, options: dict[str, Any], **more: Any) -> Iterator[Gallery]:
    """The gallery of a command's options."""
    import warnings

    from .. import open_gallery
    from ..errors import UnknownPerson
    from ..gallery import RecipeWarning

    spec = {name: options[name] for name in SPEC_OPTIONS if options.get(name) is not None}
    place = {name: options[name] for name in ("wait", "actor")} | {"key": options["key_file"]}
    if options.get("audit_file"):
        more["audit"] = options["audit_file"]
    with warnings.catch_warnings(record=True) as doubts:
        warnings.simplefilter("always", RecipeWarning)
        found = open_gallery(options["url"], mode, **{**place, **spec, **more})
    for doubt in doubts:
        note(f"warning: {doubt.message}")
    with found:
        try:
            yield found
        except UnknownPerson as error:
            near = difflib.get_close_matches(error.reference, [entry.person.name for entry in found.people()], n=3) if error.reference else []
            error.add_note((f"did you mean {' or '.join(near)}? " if near else "") + f"see: faceworks gallery people{elsewhere(options)}")
            raise


@contextlib.contextmanager
def advancing(label: str, total: int, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr, when a person looks at it."""
    import sys

    if quiet or not sys.stderr.isatty() or total < 8:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=total)
        yield lambda count: bar.advance(task, count)


@click.group(cls=Verbs, short_help="People enrolled, found, removed.")
def gallery() -> None:
    """People enrolled, found, removed.

    PERSON is an id or a name; where several people have the name, the message lists their ids. A gallery remembers its model and is opened with it.
    """


@gallery.command(short_help="Make a new gallery.")
@click.option("--audit", is_flag=True, help="Keep a log of who enrolled, searched, removed.")
@click.option("--encrypt", is_flag=True, help="Seal it at rest; --key-file is made if it does not exist.")
@gallery_options
@common
def create(audit: bool, encrypt: bool, as_json: bool, quiet: bool, **options: Any) -> int:
    """Make a new, empty gallery. The first enrollment decides its model. (`enroll` makes one too, where none is.)"""
    if encrypt and options["key_file"] and not Path(options["key_file"]).exists():
        from ..gallery.sealing import new_key_file

        new_key_file(Path(options["key_file"]))
        note(f"wrote a new key to {options['key_file']}; who loses it loses the gallery, so keep a copy elsewhere")
    with opened("x", options, encrypt=encrypt, audit=audit or None) as found:
        answer = {"gallery": found.info.url, "encrypted": found.info.encrypted, "audited": found.audit is not None}
    if as_json:
        print_json(answer)
    elif not quiet:
        click.echo(f"made {answer['gallery']}" + ", encrypted" * encrypt + ", audited" * audit)
    return 0


def entry_json(entry: Entry, whole: bool) -> dict[str, Any]:
    """The JSON form of a person."""
    from ..gallery.names import when
    from ..types import to_dict

    person, samples = entry.person, entry.samples
    plain = {"id": person.id, "name": person.name, "metadata": dict(person.metadata), "samples": len(samples), "created": when(person.created)}
    if not whole:
        return plain | {"head": to_dict(samples.vectors[0][:4] * samples.length[0]) if len(samples) else []}
    rows = [
        {"id": row.id, "source": row.source, "quality": row.quality, "norm": row.norm, "box": to_dict(row.box), "time": when(row.time),
         "consent": row.consent, "expires": when(row.expires), "vector": to_dict(row.vector * row.length)}
        for row in samples
    ]  # fmt: skip
    return plain | {"samples": rows}


@gallery.command(short_help="Everybody (= list).")
@gallery_options
@common
def people(as_json: bool, quiet: bool, **options: Any) -> int:
    """List everybody: id, name, samples, the head of the first vector, the model, the date."""
    with opened("r", options) as found:
        entries, binding = found.people(), found.binding
    model = binding.model if binding else "none"
    if as_json:
        print_json([entry_json(entry, False) | {"model": model} for entry in entries])
    elif quiet:
        for entry in entries:
            click.echo(f"{entry.person.id}\t{entry.person.name}")
    else:
        rows = [entry_json(entry, False) for entry in entries]
        heads = [" ".join(f"{value:.3f}" for value in row["head"]) for row in rows]
        table = [
            (row["id"], _short(row["name"]), str(row["samples"]), head, (row["created"] or "")[:10]) for row, head in zip(rows, heads, strict=True)
        ]
        print_table(["id", "name", ">samples", "vector", "since"], table)
        click.echo(f"{len(rows)} {'people' if len(rows) != 1 else 'person'} in {options['url']}; model {model}")
    return 0


def _short(text: str) -> str:
    from .app import one_line

    text = one_line(text)
    return text if len(text) <= 60 else f"{text[:57]}…"


@gallery.command(short_help="Everything about one person.")
@click.argument("person")
@gallery_options
@common
def show(person: str, as_json: bool, quiet: bool, **options: Any) -> int:
    """Show a person with all samples; --json gives everything that is held of the person, vectors too."""
    with opened("r", options) as found:
        entry = found.get(person)
    plain = entry_json(entry, True)
    if as_json:
        print_json(plain)
        return 0
    facts = [("id", plain["id"]), ("since", str(plain["created"]))] + [(key, str(value)) for key, value in plain["metadata"].items()]
    facts += [(f"sample {row['id']}", _sample(row)) for row in plain["samples"]]
    print_facts(facts, plain["name"])
    return 0


def _sample(row: dict[str, Any]) -> str:
    parts = [row["source"] or "no source", f"enrolled {row['time']}"]
    parts += [f"quality {row['quality']:.0f}"] if row["quality"] is not None else []
    parts += [f"consent: {row['consent']}"] if row["consent"] else []
    parts += [f"until {row['expires']}"] if row["expires"] else []
    return "; ".join(parts)


@gallery.command(short_help="Who is in pictures?")
@click.argument("paths", metavar="PATH…", nargs=-1, required=True, type=click.Path())
@click.option("-k", "k", type=click.IntRange(min=1), default=5, show_default=True, help="Candidates for each face.")
@click.option("--person", help="Compare with this person alone: is it them?")
@click.option("--fpir", type=float, metavar="RATE", help="Threshold at which this share of strangers is taken for somebody; needs a calibration.")
@click.option(
    "--template", type=click.Choice(["best", "mean", "weighted"]), default="best", show_default=True, help="How a person's samples are compared."
)
@click.option("--fast", is_flag=True, help="Let the index answer, where there is one (see reindex --index).")
@decision_options
@embedder_options
@detector_options
@save_option
@gallery_options
@common
def identify(paths: tuple[str, ...], k: int, person: str | None, fpir: float | None, template: Any, fast: bool, save: str | None, as_json: bool,
             quiet: bool, **options: Any) -> int:  # fmt: skip
    """Say who the faces in pictures are: a name, or a stranger. PATH is a picture, a folder, or a quoted glob."""
    from .. import similarity
    from .detect import complain, picture_targets, run_over

    threshold = options.pop("threshold")
    ask = {"threshold": threshold, "fpir": fpir, "template": template}
    with opened("r", options) as found:
        if person is not None:
            items = run_over(lambda pictures: [[found.verify_person(picture, person, **ask)] for picture in pictures], paths, quiet)
        else:
            items = run_over(lambda pictures: found.identify(pictures, k, exact=not fast, **ask), paths, quiet)
        metric = found.pipeline.spec.metric
    if save is not None:
        _save(save, [item for item in items if item.error is None], picture_targets)
    if as_json:
        print_json(
            [
                {"source": str(item.source), "faces": [_flat(a) for a in item.result or []]} | ({"error": str(item.error)} if item.error else {})
                for item in items
            ]
        )
    elif quiet:
        for item in items:
            for answer in item.result or []:
                click.echo(f"{item.source}\t{answer.person or 'stranger'}")
    else:
        rows = [(str(item.source), *_row(answer)) for item in items for answer in item.result or []]
        print_table(["picture", ">box x1,y1 x2,y2", "person", ">similarity", "nearest"], rows)
        limits = {(answer.threshold, answer.threshold_source) for item in items for answer in item.result or []}
        for limit, source in sorted(limits):
            same = f" (--threshold {similarity.from_cosine(limit, metric):.4f})" if metric not in similarity.RAW else ""
            click.echo(f"a name needs a similarity of {limit:.4f} or more{same}; threshold from: {source}")
    return complain(items)


def _flat(answer: Identification) -> dict[str, Any]:
    from ..types import to_dict

    plain = to_dict(answer)
    return {**plain.pop("face"), **plain}


def _row(answer: Identification) -> tuple[str, str, str, str]:
    best = answer.candidates[0] if answer.candidates else None
    near = ", ".join(f"{_short(match.person)} {match.similarity:.3f}" for match in answer.candidates[:3])
    return box_text(answer.face), _short(answer.person) if answer.person else "stranger", f"{best.similarity:.3f}" if best else "-", near


def _save(save: str, items: list[Any], targets: Callable[..., list[Path]]) -> None:
    from .. import image
    from ..draw import draw

    for item, path in zip(items, targets(save, [item.source for item in items]) if items else [], strict=True):
        labels = [_short(answer.person or "stranger") for answer in item.result]
        image.save(path, draw(image.load(item.source), [answer.face for answer in item.result], labels))


@gallery.command(short_help="Are its files sound?")
@gallery_options
@common
def check(as_json: bool, quiet: bool, **options: Any) -> int:
    """Read everything again: checksums, lengths of the vectors, the audit chain, and what the index finds. Damage is an error (exit code 2)."""
    with opened("r", options) as found:
        answer = found.check()
    if as_json:
        print_json(answer)
    elif not quiet:
        print_facts(
            [(key, str(value)) for key, value in answer.items() if key != "notes"] + [("note", text) for text in answer["notes"]], "sound", "green"
        )
    return 0


@gallery.command(short_help="The log of who did what.")
@click.argument("what", type=click.Choice(["show", "verify"]), default="show")
@gallery_options
@common
def audit(what: str, as_json: bool, quiet: bool, **options: Any) -> int:
    """Show the audit log, or verify its chain of hashes. Lines name people by a token, which `forget` destroys."""
    from ..errors import ConfigError
    from ..gallery.names import when

    with opened("r", options) as found:
        log = found.audit
    if log is None:
        raise ConfigError(f"{options['url']} keeps no audit log; a new gallery does with: faceworks gallery create --audit")
    lines = log.verify() if what == "verify" else log.lines()
    if as_json:
        print_json({"lines": lines, "valid": True} if what == "verify" else lines)
    elif isinstance(lines, int):
        click.echo(f"{lines} lines, the chain holds")
    else:
        rows = [
            (str(line["n"]), str(when(line["time"])), line["actor"], line["action"], str(line["count"]), " ".join(line["tokens"][:3]))
            for line in lines
        ]
        print_table([">n", "time", "actor", "action", ">samples", "tokens"], rows)
    return 0


@gallery.command(short_help="How many, how large, which model.")
@gallery_options
@common
def stats(as_json: bool, quiet: bool, **options: Any) -> int:
    """Count people and samples, and name the model and the store."""
    with opened("r", options) as found:
        answer = found.stats()
    if as_json:
        print_json(answer)
    else:
        print_facts([(key.replace("_", " "), str(value)) for key, value in answer.items()], str(answer["gallery"]))
    return 0
