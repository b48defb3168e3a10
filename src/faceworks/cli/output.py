"""What commands print: one JSON document or a readable table on stdout, notes on stderr."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ..types import Face, FaceResult

__all__ = ["box_text", "console", "faces_entry", "if_interrupted", "note", "print_facts", "print_json", "print_table", "write_vectors"]


def print_json(value: Any) -> None:
    """Write values as one JSON document."""
    from ..types import to_dict

    plain = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    click.echo(json.dumps(to_dict(value), ensure_ascii=plain, indent=2 if sys.stdout.isatty() else None, allow_nan=False))


def note(text: str) -> None:
    """A line for a person, on stderr."""
    from .app import one_line

    click.echo(f"faceworks: {one_line(text)}", err=True)


@contextlib.contextmanager
def if_interrupted(left: str) -> Iterator[None]:
    """Let the line that ends an interrupted command say what is left and how to go on."""
    try:
        yield
    except KeyboardInterrupt as error:
        error.add_note(f"interrupted; {left}")
        raise


def console() -> Console:
    """The console on stdout; in a pipe it is wide, so that no cell is cut."""
    from rich.console import Console

    wide = None if sys.stdout.isatty() else 160
    return Console(width=wide, highlight=False, markup=False, emoji=False)


def _table(**options: Any) -> Table:
    from rich import box
    from rich.table import Table

    return Table(box=box.SIMPLE_HEAD, pad_edge=False, **options)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None) -> None:
    """A table with a head; columns whose name starts with ">" are right-aligned."""
    table = _table(title=title, title_justify="left")
    for name in columns:
        table.add_column(name.lstrip(">"), justify="right" if name.startswith(">") else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console().print(table)


def print_facts(rows: Iterable[tuple[str, str]], headline: str = "", style: str = "") -> None:
    """A headline and lines "word   what it is". Without rich: importing it costs a tenth of a cold `verify`."""
    lines = list(rows)
    indent = max((len(name) for name, _ in lines), default=0) + 2
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    if headline:
        click.secho(headline, bold=True, fg=style or None)
    for name, value in lines:
        pieces = textwrap.wrap(value, max(20, width - indent)) if width else [value]
        click.echo(click.style(name.ljust(indent), bold=True) + f"\n{' ' * indent}".join(pieces))


def box_text(face: Face) -> str:
    """A box as "x1,y1 x2,y2" in whole pixels."""
    x1, y1, x2, y2 = (f"{value:.0f}" for value in face.box)
    return f"{x1},{y1} {x2},{y2}"


def faces_entry(source: Any, faces: Sequence[Any], error: Exception | None = None) -> dict[str, Any]:
    """The JSON form of one picture's answer: {"source", "faces": […]}, with "error" where it could not be used."""
    from ..types import FaceResult, to_dict

    def plain(item: Any) -> Any:
        return {**to_dict(item.face), "embedding": to_dict(item.embedding)} if isinstance(item, FaceResult) else to_dict(item)

    return {"source": str(source), "faces": [plain(item) for item in faces]} | ({} if error is None else {"error": str(error)})


def write_vectors(path: Path, rows: Sequence[tuple[str, FaceResult]], recipe: str, model: str) -> None:
    """Write vectors as a NumPy archive without pickle: whole or not at all.

    Arrays: names (F,) text, the picture of each face; boxes (F, 4) float32; scores (F,) float32; vectors (F, D) float32; model and recipe: text.
    """
    import numpy as np

    from ..errors import ConfigError

    if path.suffix.lower() != ".npz":
        raise ConfigError(f"--out must name a file that ends in .npz, got {path}")
    if not path.parent.is_dir():
        raise ConfigError(f"--out {path}: the folder {path.parent} does not exist; create it first")
    vectors = [face.embedding.vector for _, face in rows if face.embedding is not None]
    arrays = {
        "names": np.array([name for name, _ in rows], dtype=np.str_),
        "boxes": np.array([face.face.box for _, face in rows], dtype=np.float32).reshape(-1, 4),
        "scores": np.array([face.face.score for _, face in rows], dtype=np.float32),
        "vectors": np.stack(vectors) if vectors else np.zeros((0, 0), np.float32),
        "model": np.array(model),
        "recipe": np.array(recipe),
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        os.replace(temporary, path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
