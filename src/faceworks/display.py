"""How values look in a notebook and on a terminal: small tables, nothing fetched, no picture."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["as_html", "as_rich", "facts"]

SHOWN = 12
"""Numbers of a list that are shown."""


def facts(plain: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Rows (name, text) of a nested mapping of plain values; long lists are cut."""
    for name, value in plain.items():
        label = f"{prefix}{name}"
        if isinstance(value, Mapping) and value:
            yield from facts(value, f"{label} · ")
        elif isinstance(value, (list, tuple)) and value and isinstance(value[0], Mapping):
            for number, item in enumerate(value[:SHOWN], start=1):
                yield from facts(item, f"{label} {number} · ")
            if len(value) > SHOWN:
                yield label, f"… {len(value) - SHOWN} more"
        else:
            yield label, _text(value)


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        shown = ", ".join(_text(item) for item in value[:SHOWN])
        return shown if len(value) <= SHOWN else f"{shown}, … ({len(value)} in all)"
    return str(value)


def as_html(title: str, plain: Mapping[str, Any]) -> str:
    """A table for notebooks; every text is escaped."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{html.escape(name)}</th><td style='text-align:left'>{html.escape(text)}</td></tr>"
        for name, text in facts(plain)
    )
    return f"<table><caption style='text-align:left;font-weight:bold'>{html.escape(title)}</caption>{rows}</table>"


def as_rich(title: str, plain: Mapping[str, Any]) -> Any:
    """The same as a table of rich, for `rich.print`."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=box.SIMPLE, show_header=False, pad_edge=False)
    for name, text in facts(plain):
        table.add_row(Text(name, style="bold"), Text(text))
    return table
