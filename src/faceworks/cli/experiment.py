"""faceworks experiment mining | dimension | amount | jpeg | size"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from .options import common, debug
from .output import note, print_json, print_table

__all__ = ["experiment"]

NAMES = {
    "mining": "Semi-hard against hard against all triplets.",
    "dimension": "Length of the embedding: 64, 128, 256, 512.",
    "amount": "Amount of training data, as shares of the people.",
    "jpeg": "JPEG quality of the judged pictures.",
    "size": "Size of the judged pictures.",
}


@click.group(short_help="FaceNet's experiments, one command each, with plots.")
@debug
def experiment() -> None:
    """FaceNet's experiments (Schroff et al. 2015, section 5) on your data: each trains what it must and writes a table (CSV) and a plot (SVG).

    Figures are of the last epoch on people who were never trained on. Runs that are there already are not trained again.
    """


def _run(name: str, config: Path, data: Path | None, out: Path, changes: tuple[str, ...], values: str, seeds: int, as_json: bool, quiet: bool) -> int:
    import json

    from ..errors import ConfigError
    from ..train import read_config, run_experiment

    wanted = [*changes, *([f"data.source={json.dumps(str(data.resolve()))}"] if data else [])]
    chosen: list[Any] = [item.strip() for item in values.split(",") if item.strip()]
    if name != "mining":
        try:
            chosen = [float(item) if name == "amount" else int(item) for item in chosen]
        except ValueError as error:
            raise ConfigError(f"--values takes numbers, separated by commas, got {values!r}") from error
    report = (lambda line: None) if quiet else note
    rows = run_experiment(name, read_config(config, wanted), out, chosen, tuple(range(1, seeds + 1)), report)
    if as_json:
        print_json({"experiment": name, "rows": list(rows), "table": str(out / f"{name}.csv"), "plot": str(out / f"{name}.svg")})
    elif not quiet:
        shown = [(str(row.value), f"{row.auc:.4f}", f"{row.auc_std:.4f}", f"{row.tar:.3f}", f"{row.tar_std:.3f}", str(row.runs)) for row in rows]
        print_table((name, ">AUC", ">± runs", ">TAR at FMR 1 %", ">± runs", ">runs"), shown)
        click.echo(f"plot: {out / f'{name}.svg'}")
    return 0


def _command(name: str, short: str) -> click.Command:
    decorators: list[Callable[[Any], Any]] = [
        click.argument("config", metavar="CONFIG.toml", type=click.Path(path_type=Path)),
        click.option("--data", metavar="PATH", type=click.Path(path_type=Path), help="The pictures, instead of data.source."),
        click.option("--out", metavar="DIR", required=True, type=click.Path(path_type=Path), help="Where table, plot and runs go."),
        click.option("--set", "changes", metavar="KEY=VALUE", multiple=True, help="Change a key of the configuration. Repeatable."),
        click.option("--values", metavar="A,B,…", default="", help="Values instead of the paper's."),
        click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="Runs of each value, with seeds 1, 2, …"),
        common,
    ]
    function: Any = functools.partial(_run, name)
    for decorator in reversed(decorators):
        function = decorator(function)
    return click.command(name, short_help=short, help=f"{short} CONFIG.toml is a run of the task embedding, see examples/train.")(function)


for _name, _short in NAMES.items():
    experiment.add_command(_command(_name, _short))
