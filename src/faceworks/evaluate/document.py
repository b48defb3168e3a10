"""A report as sections, written as Markdown and as one HTML file that needs nothing else."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .provenance import write_whole

__all__ = ["Document", "Section", "Table", "to_html", "to_markdown", "write_document"]


@dataclass(frozen=True, slots=True)
class Table:
    """Head and rows of text."""

    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report: a title, a paragraph, tables, charts (SVG), pictures (data URL, caption)."""

    title: str
    text: str = ""
    tables: Sequence[Table] = ()
    charts: Sequence[str] = ()
    pictures: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """A report."""

    title: str
    lead: str
    sections: Sequence[Section]


_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#222;background:#fff;max-width:1000px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin-bottom:.3rem}h2{font-size:1.15rem;margin-top:2rem;border-bottom:1px solid #ddd;padding-bottom:.2rem}
p.lead{font-size:1.15rem}table{border-collapse:collapse;margin:.6rem 0 1rem;font-size:.92rem}
th,td{text-align:left;padding:.25rem .8rem .25rem 0;border-bottom:1px solid #eee;vertical-align:top}
.charts{display:flex;flex-wrap:wrap;gap:1rem}.charts svg{max-width:100%;height:auto;border:1px solid #eee}
figure{display:inline-block;margin:.4rem;font-size:.8rem}figure img{height:110px}.scroll{overflow-x:auto}
"""


def to_html(document: Document) -> str:
    """One self-contained page: no script, no network, no font."""
    e = html.escape
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{e(document.title)}</title><style>{_STYLE}</style></head><body><h1>{e(document.title)}</h1><p class=lead>{e(document.lead)}</p>"
    ]
    for section in document.sections:
        parts.append(f"<h2>{e(section.title)}</h2>")
        parts += [f"<p>{e(paragraph)}</p>" for paragraph in section.text.split("\n\n") if paragraph]
        for table in section.tables:
            head = "".join(f"<th>{e(cell)}</th>" for cell in table.head)
            rows = "".join("<tr>" + "".join(f"<td>{e(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
            parts.append(f"<div class=scroll><table><tr>{head}</tr>{rows}</table></div>")
        if section.charts:
            parts.append(f"<div class=charts>{''.join(section.charts)}</div>")
        parts += [f'<figure><img src="{url}" alt="{e(caption)}"><figcaption>{e(caption)}</figcaption></figure>' for url, caption in section.pictures]
    return "".join([*parts, "</body></html>\n"])


def to_markdown(document: Document) -> str:
    """The same words and tables; charts stand in the HTML."""
    parts = [f"# {document.title}", "", document.lead, ""]
    for section in document.sections:
        if section.charts and not section.text and not section.tables:
            continue
        parts += [f"## {section.title}", ""]
        if section.text:
            parts += [section.text, ""]
        for table in section.tables:
            rows = [table.head, tuple("---" for _ in table.head), *table.rows]
            parts += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
            parts.append("")
    return "\n".join(parts)


def write_document(document: Document, folder: Path) -> None:
    """`report.md` and `report.html`."""
    write_whole(folder / "report.md", to_markdown(document))
    write_whole(folder / "report.html", to_html(document))
