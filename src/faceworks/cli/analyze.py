"""faceworks analyze PATH… and faceworks analyze fuse"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .detect import complain, picture_targets, told
from .options import common, detector_options, make_spec, save_option
from .output import note, print_json, print_table

if TYPE_CHECKING:
    from ..batch import Item

__all__ = ["analyze", "parse_models"]


class _WithCommands(click.Group):
    """A command with a word of its own for a second job: `analyze fuse` is the command, `analyze ./fuse` a picture of that name."""

    allow_interspersed_args = True

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the words of a command that stands first for that command."""
        if args and args[0] in self.commands:
            ctx.meta["faceworks.below"] = list(args)
            return []
        return click.Command.parse_args(self, ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was named, else this one."""
        words = ctx.meta.get("faceworks.below")
        if not words:
            return click.Command.invoke(self, ctx)
        command = self.commands[words[0]]
        with command.make_context(words[0], words[1:], parent=ctx) as below:
            return command.invoke(below)


def parse_models(ctx: click.Context, _: click.Parameter, values: Sequence[str]) -> dict[str, str]:
    """ATTRIBUTE=NAME words as a mapping."""
    found: dict[str, str] = {}
    for value in values:
        attribute, equals, name = value.partition("=")
        if not (attribute and equals and name):
            raise click.BadParameter(f"must be ATTRIBUTE=MODEL, such as emotion=emonet-8; got {value!r}", ctx)
        found[attribute.strip()] = name.strip()
    return found


@click.group(
    cls=_WithCommands, subcommand_metavar="", no_args_is_help=False, short_help="What faces show: emotion, age, gender, liveness, pose, quality."
)
@click.argument("paths", metavar="PATH…", nargs=-1, required=True, type=click.Path())
@click.option("--attributes", default="emotion,age,gender", show_default=True, metavar="A,B",
              help="emotion, intensity, valence, arousal, age, gender, race, liveness, pose, quality.")  # fmt: skip
@click.option("--model", "models", multiple=True, callback=parse_models, metavar="ATTRIBUTE=NAME",
              help="Who answers an attribute (see `faceworks models list --task attribute`); repeatable.")  # fmt: skip
@click.option("--abstain", type=click.FloatRange(0, 1), default=0.0, metavar="P", help='A label less probable than this is given as "unsure".')
@click.option(
    "--bpcer", type=click.FloatRange(0, 1), metavar="RATE", help="Liveness: take the threshold measured for this share of living faces refused."
)
@click.option("--space", type=click.Choice(["six", "seven", "eight"]), help="Labels of the emotion. Default: the model's own.")
@click.option("--reference", metavar="PICTURE", type=click.Path(), help="The person at rest: intensity is then the distance moved from it.")
@click.option("--require-live", is_flag=True, help="Exit 2 unless every face is called real.")
@click.option("--csv", "csv_file", metavar="OUT.csv", type=click.Path(dir_okay=False, path_type=Path), help="Write one row for each face.")
@click.option(
    "--executor", type=click.Choice(["serial", "threads", "processes"]), default="threads", show_default=True, help="How to run many pictures."
)
@detector_options
@save_option
@common
def analyze(
    paths: tuple[str, ...], attributes: str, models: dict[str, str], abstain: float, bpcer: float | None, space: str | None,
    reference: str | None, require_live: bool, csv_file: Path | None,
    executor: str, save: str | None, as_json: bool, quiet: bool, **options: Any,
) -> int:  # fmt: skip
    """Say what the faces in pictures show; PATH is a picture, a folder, or a quoted glob.

    Every answer is a distribution or a number with its spread, and names its model; none is a fact about a person. What each model reaches on which
    group: docs/attributes.md. A picture that cannot be read is named on stderr, the others are done, and the exit code is 2. With several pictures
    --save names a folder.
    """
    wanted = [item.strip() for item in attributes.split(",") if item.strip()]
    wanted += ["liveness"] * (require_live and "liveness" not in wanted)
    spec = make_spec(options, select="all", on_no_face="empty")
    from ..analysis import Analyzer
    from ..batch import expand, map_images
    from ..image import load

    sources = expand(paths)
    many = len(sources) > 1
    if many and executor != "serial" and spec.threads == 0:
        spec = spec.with_options(threads=1)  # one thread a network, one worker a core
    analyzer = Analyzer(spec, wanted, models, abstain, bpcer, space, None if reference is None else load(reference))
    run: Any = executor if many else "serial"
    items = list(map_images(analyzer, sources, run, batch_size=8 if many else 1, progress=not quiet and len(sources) > 8))
    if csv_file is not None:
        _write_csv(csv_file, items)
    if save is not None:
        told(_save(save, items), as_json, quiet)
    if csv_file is not None and not (as_json or quiet):
        note(f"wrote {csv_file}")
    if as_json:
        print_json([_entry(item) for item in items])
    elif quiet:
        for item in items:
            click.echo(f"{item.source}\t{'error' if item.error else len(item.result)}")
    else:
        _table(items, analyzer.models_used)
    return _verdict(items, complain(items), require_live)


def _entry(item: Item) -> dict[str, Any]:
    from ..types import to_dict

    faces = [{**to_dict(face.face), "attributes": to_dict(face.attributes)} for face in item.result or []]
    return {"source": str(item.source), "faces": faces} | ({} if item.error is None else {"error": str(item.error)})


def _table(items: Sequence[Item], models: dict[str, str]) -> None:
    from ..attributes.table import words

    done = [item for item in items if item.error is None]
    names = list(dict.fromkeys(name for item in done for face in item.result for name in face.attributes))
    rows = []
    for item in done:
        for number, face in enumerate(item.result, start=1):
            rows.append([str(item.source), str(number), *(words(face.attributes[name]) if name in face.attributes else "-" for name in names)])
        if not item.result:
            rows.append([str(item.source), "-", *(["no face found"] if names else []), *["-"] * (len(names) - 1)])
    print_table(["picture", ">face", *names], rows)
    used = ", ".join(f"{attribute}: {name}" for attribute, name in models.items())
    click.echo(f"{used}. Distributions of a model, not facts about a person; figures: docs/attributes.md")


def _write_csv(path: Path, items: Sequence[Item]) -> None:
    from ..attributes.table import flat, write_csv

    rows: list[dict[str, Any]] = []
    for item in items:
        rows += [{"source": str(item.source), "face": number, **flat(face)} for number, face in enumerate(item.result or [], start=1)]
        if not item.result:
            rows.append({"source": str(item.source), "error": "" if item.error is None else str(item.error)})
    write_csv(path, rows)


def _save(save: str, items: Sequence[Item]) -> list[Path]:
    from .. import image
    from ..attributes.picture import annotate

    done = [item for item in items if item.error is None]
    targets = picture_targets(save, [item.source for item in done]) if done else []
    for item, path in zip(done, targets, strict=True):
        image.save(path, annotate(image.load(item.source), item.result))
    return targets


def _verdict(items: Sequence[Item], code: int, require_live: bool) -> int:
    if not require_live or code:
        return code
    refused = [f"{item.source}, face {number}" for item in items for number, face in enumerate(item.result, start=1) if not _live(face)]
    refused += [f"{item.source}: no face" for item in items if not item.result]
    for text in refused:
        note(f"not called real: {text}")
    return 2 if refused else 0


def _live(face: Any) -> bool:
    return bool(face.attributes["liveness"].label == "real")
