"""faceworks gallery enroll | remove | restore | clear | rename | merge | export | import | migrate | reindex | purge | forget"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .gallery import advancing, elsewhere, gallery, gallery_options, opened
from .options import common, detector_options, embedder_options
from .output import if_interrupted, note, print_json, print_table

if TYPE_CHECKING:
    from ..gallery import Enrolled, NewFace

__all__ = ["enroll", "sources_of"]

yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


def say(answer: dict[str, Any], text: str, as_json: bool, quiet: bool) -> int:
    """One sentence, or the JSON of it."""
    if as_json:
        print_json(answer)
    elif not quiet:
        click.echo(text)
    return 0


def ask(question: str) -> None:
    """Go on only if the answer is yes; else nothing is done, and that is said."""
    import sys

    try:
        agreed, answered = click.confirm(question, err=True), sys.stdin.isatty()
    except click.Abort:
        agreed = answered = False
    if not agreed:
        if not answered:  # nobody has pressed the key that ends the line
            click.echo(err=True)
        stop = click.Abort()
        stop.add_note("nothing was deleted (--yes does not ask)")
        raise stop


@gallery.command(short_help="Enroll pictures of people.")
@click.argument("paths", metavar="PATH…", nargs=-1, type=click.Path())
@click.option("--from", "table", metavar="TABLE", type=click.Path(exists=True), help="Faces that batch embed wrote; nothing is embedded again.")
@click.option("--person", metavar="NAME", help="All pictures show this person.")
@click.option("--id", "id_", metavar="ID", help="The person's key; with --person.")
@click.option("--name-from", metavar="PATTERN", help="Names stand in the file names, for example '{name}_{n:4d}'.")
@click.option("--meta", multiple=True, metavar="KEY=VALUE", help="Metadata of a new person; may be repeated.")
@click.option("--consent", default="", metavar="TEXT", help="On what ground the pictures are held.")
@click.option("--expires", metavar="DATE", help="When they stop being found: 2027-01-31.")
@click.option("--min-quality", type=click.FloatRange(0, 100), metavar="Q", help="Refuse faces of a lower quality (0 to 100).")
@click.option("--keep-duplicates", is_flag=True, help="Enroll pictures that are nearly the same as one that is here.")
@embedder_options
@detector_options
@gallery_options
@common
def enroll(paths: tuple[str, ...], table: str | None, person: str | None, id_: str | None, name_from: str | None, meta: tuple[str, ...], min_quality: float | None,
           keep_duplicates: bool, as_json: bool, quiet: bool, **options: Any) -> int:  # fmt: skip
    """Enroll pictures: of one person (--person), or a folder of person folders, a CSV (name, source, …), or files named after people (--name-from).

    The largest face of each picture is taken. A picture that cannot be used is named on stderr, the others are enrolled, and the exit code is 2.
    With --from, names are those of the pictures' folders, or --name-from, or --person.
    """
    if bool(paths) == bool(table):
        raise click.UsageError("give pictures (PATH…), or a table (--from TABLE)", click.get_current_context())
    if table is not None:
        if min_quality is not None or keep_duplicates or id_ is not None or meta:
            raise click.UsageError("--from takes none of --min-quality, --keep-duplicates, --id, --meta", click.get_current_context())
        return enroll_table(table, person, name_from, as_json, quiet, options)
    common_facts = {"consent": options.pop("consent"), "expires": options.pop("expires"), "metadata": pairs(meta)}
    faces = sources_of(paths, person, id_, name_from, common_facts)
    kept = f"what was enrolled stays in {options['url']}; given again, the command passes over it as duplicates"
    with (
        if_interrupted(kept if not keep_duplicates else f"what was enrolled stays in {options['url']}"),
        opened("a", options) as found,
        advancing("enrolling", len(faces), quiet) as advance,
    ):
        done = []
        for item in found.enroll_many(faces, min_quality=min_quality, keep_duplicates=keep_duplicates):
            done.append(item)
            advance(1)
    report(done, as_json, quiet, options["url"])
    return 2 if any(item.error for item in done) else 0


def enroll_table(table: str, person: str | None, name_from: str | None, as_json: bool, quiet: bool, options: dict[str, Any]) -> int:
    """Enroll what `batch embed` wrote."""
    from ..batch.tables import read_rows
    from ..gallery.adding import add_table
    from ..gallery.enrolling import namer

    facts = {"consent": options.pop("consent"), "expires": options.pop("expires")}
    name_of = (lambda _: person) if person is not None else namer(name_from)
    rows = read_rows(table, ["source", "box", "vector", "norm", "model", "error"])
    with opened("a", options) as found:
        if found.binding is None:
            found.pipeline  # noqa: B018 - a new gallery remembers it, so that pictures can be looked for in it
        done = list(add_table(found, rows, name_of, **facts))
    missed = [source for source, sample in done if sample is None]
    for source in missed:
        note(f"error: {source}: the table has no face with a vector")
    count = len(done) - len(missed)
    say({"enrolled": count, "missed": missed}, f"enrolled {count} faces of {table} in {options['url']}", as_json, quiet)
    return 2 if missed else 0


def pairs(meta: tuple[str, ...]) -> dict[str, str]:
    """KEY=VALUE as a mapping."""
    for item in meta:
        if "=" not in item:
            raise click.UsageError(f"--meta takes KEY=VALUE, got {item!r}", click.get_current_context())
    return dict(item.split("=", 1) for item in meta)


def sources_of(paths: tuple[str, ...], person: str | None, id_: str | None, name_from: str | None, facts: dict[str, Any]) -> list[NewFace]:
    """Who is enrolled from which picture."""
    from ..batch import expand
    from ..gallery import NewFace
    from ..gallery.enrolling import from_csv, from_folders, from_names

    if person is not None:
        return [NewFace(person, path, id_, **facts) for path in expand(paths)]
    if id_ is not None:
        raise click.UsageError("--id needs --person", click.get_current_context())
    if name_from is not None:
        return from_names(expand(paths), name_from, **facts)
    found: list[NewFace] = []
    for path in paths:
        if path.lower().endswith(".csv"):
            found += from_csv(path)
        elif Path(path).is_dir():
            found += from_folders(path, **facts)
        else:
            raise click.UsageError(f"who is in {path}? give --person NAME or --name-from PATTERN", click.get_current_context())
    return found


def report(done: list[Enrolled], as_json: bool, quiet: bool, url: str) -> None:
    """What became of each picture."""
    if as_json:
        print_json(
            [
                {"source": str(item.face.source), "person": item.person.name if item.person else None, "id": item.person.id if item.person else None,
                 "sample": item.sample, "quality": item.quality.score if item.quality else None, "warnings": list(item.warnings)}
                | ({"error": str(item.error)} if item.error else {})
                for item in done
            ]
        )  # fmt: skip
    for item in done:
        if item.error is not None:
            name = str(item.face.source)
            note(f"error: {item.error}" if name in str(item.error) else f"error: {name}: {item.error}")
        elif not quiet:
            for text in item.warnings:
                note(f"warning: {item.face.source}: {text}")
    if not as_json and not quiet:
        taken = [item for item in done if item.sample is not None]
        rows: dict[str, tuple[str, str, int]] = {}
        for item in taken:
            assert item.person is not None
            rows[item.person.id] = (item.person.id, item.person.name, rows.get(item.person.id, ("", "", 0))[2] + 1)
        if len(rows) <= 50:
            print_table(["id", "name", ">new samples"], [(id, name, str(count)) for id, name, count in rows.values()])
        click.echo(f"{len(taken)} of {len(done)} pictures enrolled, {len(rows)} {'people' if len(rows) != 1 else 'person'}, in {url}")


@gallery.command(short_help="Remove a person or samples (= delete).")
@click.argument("person")
@click.option("--sample", "samples", type=int, multiple=True, metavar="ID", help="Only this sample; may be repeated.")
@gallery_options
@common
def remove(person: str, samples: tuple[int, ...], as_json: bool, quiet: bool, **options: Any) -> int:
    """Remove a person, or some samples. For 15 minutes `restore` undoes it; then `purge` deletes for good."""
    with opened("r+", options) as found:
        count = found.remove(person, list(samples) or None)
    return say(
        {"removed": count},
        f"removed {count} sample{'s' * (count != 1)}; undo within 15 minutes: faceworks gallery restore {shlex.quote(person)}{elsewhere(options)}",
        as_json,
        quiet,
    )


@gallery.command(short_help="Undo a removal of the last 15 minutes.")
@click.argument("person")
@gallery_options
@common
def restore(person: str, as_json: bool, quiet: bool, **options: Any) -> int:
    """Bring back a person, or samples of a person, removed in the last 15 minutes."""
    with opened("r+", options) as found:
        back = found.restore(person)
    return say({"restored": back.id, "name": back.name}, f"{back.name} ({back.id}) is back", as_json, quiet)


@gallery.command(short_help="Delete everybody.")
@yes_option
@gallery_options
@common
def clear(yes: bool, as_json: bool, quiet: bool, **options: Any) -> int:
    """Delete everybody for good. Asks first, unless --yes."""
    with opened("r+", options) as found:
        if not yes:
            ask(f"delete all {found.info.people} people of {options['url']} for good?")
        count = found.clear()
    return say({"removed": count}, f"deleted {count} samples; {options['url']} is empty", as_json, quiet)


@gallery.command(short_help="Delete a person beyond recovery.")
@click.argument("person")
@yes_option
@gallery_options
@common
def forget(person: str, yes: bool, as_json: bool, quiet: bool, **options: Any) -> int:
    """Delete a person for good: samples, name, key and audit token, and rewrite the files. It cannot be undone. Asks first, unless --yes."""
    with opened("r+", options) as found:
        if not yes:
            found.meant(person) or found.person(person)  # nobody of that name: said before the question
            ask(f"delete {person!r} from {options['url']} beyond recovery?")
        gone = found.forget(person)
    return say({"forgotten": gone.id}, f"{gone.id} is forgotten", as_json, quiet)


@gallery.command(short_help="Give a person another name.")
@click.argument("person")
@click.argument("name")
@gallery_options
@common
def rename(person: str, name: str, as_json: bool, quiet: bool, **options: Any) -> int:
    """Give a person another name; the id stays."""
    with opened("r+", options) as found:
        now = found.rename(person, name)
    return say({"id": now.id, "name": now.name}, f"{now.id} is now called {now.name}", as_json, quiet)


@gallery.command(short_help="Two entries are one person.")
@click.argument("into")
@click.argument("other")
@gallery_options
@common
def merge(into: str, other: str, as_json: bool, quiet: bool, **options: Any) -> int:
    """Give all samples of OTHER to INTO; OTHER is gone."""
    with opened("r+", options) as found:
        kept = found.merge(into, other)
        count = len(found.get(kept.id).samples)
    return say({"id": kept.id, "samples": count}, f"{kept.name} ({kept.id}) has {count} samples", as_json, quiet)


layout_option = click.option("--layout", type=click.Choice(["jsonl", "parquet", "seed"]), help="Default: by the file's suffix (.h5 is seed).")


@gallery.command(short_help="Write people to a file.")
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--person", "people", multiple=True, help="Only this person; may be repeated.")
@layout_option
@gallery_options
@common
def export(file: str, people: tuple[str, ...], layout: Any, as_json: bool, quiet: bool, **options: Any) -> int:
    """Write everybody, or single people, as JSON lines, Parquet, or HDF5 in the layout of the course notes. The file holds personal data, unsealed."""
    from ..gallery.transfer import export as write

    with opened("r", options) as found:
        count = write(found, file, people or None, layout)
    return say({"file": file, "samples": count}, f"wrote {count} samples to {file}", as_json, quiet)


@gallery.command(name="import", short_help="Read people from a file of export.")
@click.argument("file", type=click.Path(dir_okay=False))
@layout_option
@gallery_options
@common
def import_(file: str, layout: Any, as_json: bool, quiet: bool, **options: Any) -> int:
    """Read people from JSON lines or Parquet, in one transaction."""
    from ..gallery.transfer import import_ as read

    with opened("a", options) as found:
        count = read(found, file, layout)
    return say({"file": file, "samples": count}, f"read {count} samples from {file}", as_json, quiet)


@gallery.command(short_help="Bring over a file of the course notes.")
@click.argument("file", type=click.Path(dir_okay=False))
@embedder_options
@detector_options
@gallery_options
@common
def migrate(file: str, as_json: bool, quiet: bool, **options: Any) -> int:
    """Bring people over from an HDF5 file in a layout of the course notes. Such a file names no model: --embedder says whose vectors they are."""
    if not options["embedder"]:
        raise click.UsageError(f"{file} names no model: say whose vectors it holds with --embedder NAME", click.get_current_context())
    from ..gallery.transfer import migrate as bring

    with opened("a", options) as found:
        count = bring(file, found, found.pipeline)
    return say({"file": file, "samples": count}, f"brought {count} samples of {file} to {options['url']}", as_json, quiet)


@gallery.command(short_help="Embed anew, or build the search index.")
@click.option("--index", is_flag=True, help="Build the index for --fast searches instead; the vectors stay.")
@click.option("--drop-missing", is_flag=True, help="Give up samples whose pictures are gone.")
@embedder_options
@detector_options
@gallery_options
@common
def reindex(index: bool, drop_missing: bool, as_json: bool, quiet: bool, **options: Any) -> int:
    """Embed all samples anew with another model, from their pictures; all or nothing. With --index, build the search index."""
    if index:
        with opened("r+", options) as found, advancing("indexing", found.info.samples, quiet) as advance:
            count = found.build_index(advance)
        return say({"indexed": count}, f"indexed {count} samples", as_json, quiet)
    from ..api import get_pipeline
    from ..gallery.transfer import reindex as embed_anew
    from .options import make_spec

    pipeline = get_pipeline(make_spec(options))
    place = {name: options[name] for name in ("url", "wait", "actor", "key_file", "audit_file")}
    with opened("r+", place) as found, advancing("embedding", found.info.samples, quiet) as advance:
        count, lost = embed_anew(found, pipeline, drop_missing=drop_missing, progress=advance)
    for text in lost:
        note(f"warning: given up: {text}")
    return say({"samples": count, "lost": lost}, f"{count} samples are now of {pipeline.embedding_id}", as_json, quiet)


@gallery.command(short_help="Change the key of an encrypted gallery.")
@click.option("--new-key-file", required=True, metavar="FILE", type=click.Path(dir_okay=False), help="The new key; it is made if it does not exist.")
@gallery_options
@common
def rekey(new_key_file: str, as_json: bool, quiet: bool, **options: Any) -> int:
    """Seal an encrypted gallery with another key. When this returns, the old key opens nothing any more but old copies: destroy it, and them."""
    with opened("r+", options) as found:
        if not found.info.encrypted:
            from ..errors import ConfigError

            raise ConfigError(f"{options['url']} is not encrypted; there is no key to change")
        if not Path(new_key_file).exists():
            from ..gallery.sealing import new_key_file as make

            make(Path(new_key_file))
        found.rotate_key(Path(new_key_file))
    return say({"gallery": options["url"], "key_file": new_key_file}, f"{options['url']} is now opened by {new_key_file}", as_json, quiet)


@gallery.command(short_help="Delete what has expired.")
@gallery_options
@common
def purge(as_json: bool, quiet: bool, **options: Any) -> int:
    """Delete for good what has expired and what was removed more than 15 minutes ago, and rewrite the files."""
    with opened("r+", options) as found:
        count = found.purge()
        found.backend.compact()
    return say({"purged": count}, f"purged {count} sample{'s' * (count != 1)}", as_json, quiet)
