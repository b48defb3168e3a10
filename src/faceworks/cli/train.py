"""faceworks train CONFIG.toml"""

from __future__ import annotations

from pathlib import Path

import click

from .options import common
from .output import if_interrupted, note, print_facts, print_json

__all__ = ["train"]


@click.command(short_help="Train a model and use it like any shipped one.")
@click.argument("config", metavar="CONFIG.toml", type=click.Path(path_type=Path))
@click.option("--data", metavar="PATH", type=click.Path(path_type=Path), help="The pictures, instead of data.source.")
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="Folder of the run. Default: runs/NAME.")
@click.option("--set", "changes", metavar="KEY=VALUE", multiple=True, help="Change a key of the configuration: --set run.epochs=5. Repeatable.")
@click.option("--fresh", is_flag=True, help="Begin anew, even if the folder holds a run that could go on.")
@click.option("--register/--no-register", default=True, help="Enter the model in your catalog, so that every command knows its name. Default: yes.")
@common
def train(
    config: Path, data: Path | None, out: Path | None, changes: tuple[str, ...], fresh: bool, register: bool, as_json: bool, quiet: bool
) -> int:
    """Train as CONFIG.toml says (examples: examples/train), write the model as ONNX with its card, and register it.

    A run that was interrupted goes on where it was when the same command is given again. Start several processes with
    `torchrun --nproc-per-node N -m faceworks train CONFIG.toml`. Then: `faceworks verify --embedder NAME A B`.
    """
    import json

    from ..pipeline import PipelineSpec
    from ..train import export_run, read_config, refuse_taken
    from ..train import train as run

    wanted = [*changes, *([f"data.source={json.dumps(str(data.resolve()))}"] if data else [])]
    found = read_config(config, wanted)
    folder = out or Path("runs") / found.name
    if register:
        refuse_taken(found.name)
    with if_interrupted(f"what is kept in {folder} stays; the same command{' without --fresh' * fresh} goes on"):
        result = run(found, folder, resume=not fresh, progress=not quiet, report=(lambda line: None) if quiet else note)
    if not result.first:
        return 0
    card = export_run(folder, registered=register)
    best = {key: value for key, value in result.best.items() if key not in ("seconds", "evaluation_seconds")}
    if as_json:
        print_json(
            {
                "name": card.name,
                "task": card.task,
                "folder": str(folder),
                "registered": register,
                "epochs": len(result.history),
                "stopped_early": result.stopped_early,
                "best": best,
                "history": list(result.history),
            }
        )
    elif quiet:
        click.echo(card.name)
    else:
        rows = [("model", f"{folder / (card.name + '.onnx')}"), ("card", f"{folder / (card.name + '.toml')}")]
        rows += [("kept", f"epoch {best.pop('epoch'):g}: " + ", ".join(f"{key} {value:.4g}" for key, value in best.items()))]
        detector = (
            f" --detector {found.data.detector}" if found.data.detector != PipelineSpec().detector else ""
        )  # it was trained on this one's crops
        rows += [("use", f"faceworks verify --embedder {card.name}{detector} A B")] * (register and card.task == "embed")
        print_facts(rows, card.name)
    return 0
