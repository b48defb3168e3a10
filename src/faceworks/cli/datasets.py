"""faceworks datasets list"""

from __future__ import annotations

import click

from .options import common, debug
from .output import print_json, print_table

__all__ = ["datasets"]


@click.group(short_help="Training sets, and whether they can be had.")
@debug
def datasets() -> None:
    """Training sets of face recognition: how large they are, what their licenses say, and whether they can still be had."""


@datasets.command(name="list", short_help="All sets, with license and status.")
@common
def list_(as_json: bool, quiet: bool) -> int:
    """List the sets that face recognition was trained on. Several were withdrawn by their makers: the last column says so."""
    from ..train.training_sets import TRAINING_SETS

    if as_json:
        print_json(list(TRAINING_SETS))
    elif quiet:
        for item in TRAINING_SETS:
            click.echo(item.name)
    else:
        head = ("set", ">published", "photos", "subjects", "photos of a subject", "key features", "license", "status")
        rows = [
            (item.name, str(item.published), item.photos, item.subjects, item.per_subject, item.features, item.license, item.status)
            for item in TRAINING_SETS
        ]
        print_table(head, rows)
    return 0
