"""A report as sections, written as Markdown and as one HTML file that needs nothing else."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .provenance import write_whole

__all__ = ["Document", "Section", "Table", "to_html", "to_markdown", "write_document", "write_report"]


@dataclass(frozen=True, slots=True)
class Table:
    """Head and rows of text."""

    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report: a title, a paragraph, tables, charts (SVG), pictures (data URLs that belong together, their caption)."""

    title: str
    text: str = ""
    tables: Sequence[Table] = ()
    charts: Sequence[str] = ()
    pictures: Sequence[tuple[Sequence[str], str]] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """A report."""

    title: str
    lead: str
    sections: Sequence[Section]


_LIGHT = "--ink:#1d2127;--soft:#5b6470;--paper:#fff;--line:#dfe3e8;--raised:#f6f7f9"
_DARK = "--ink:#e4e7eb;--soft:#a3acb8;--paper:#14171b;--line:#343a42;--raised:#1d2126"
_SERIES = ("#7db3f2", "#f0907a", "#6ecb8f", "#c39af0", "#e0b84d", "#6fcbd1")
"""Colors of the charts' series on dark paper; on light paper the charts' own hold."""
_STYLE = (
    ":root{color-scheme:light dark;" + _LIGHT + "}"
    "*{box-sizing:border-box}"
    "body{font:15px/1.55 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:1000px;margin:2rem auto;padding:0 1rem;"
    "overflow-wrap:anywhere}"
    "h1{font-size:1.5rem;line-height:1.25;margin-bottom:.3rem}"
    "h2{font-size:1.15rem;margin-top:2rem;border-bottom:1px solid var(--line);padding-bottom:.2rem}"
    "p{max-width:48rem}p.lead{font-size:1.15rem}"
    "table{border-collapse:collapse;margin:.6rem 0 1rem;font-size:.92rem;overflow-wrap:normal;font-variant-numeric:tabular-nums}"
    "th,td{text-align:left;padding:.3rem 1.1rem .3rem 0;border-bottom:1px solid var(--line);vertical-align:top}"
    "th{color:var(--soft);font-weight:600}td{white-space:nowrap}td.wide{white-space:normal;min-width:14rem}.facts td{white-space:normal}"
    ".scroll{overflow-x:auto}"
    ".charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,440px),1fr));gap:1rem}"
    ".charts svg{width:100%;height:auto;border:1px solid var(--line);border-radius:4px}"
    ".pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,240px),1fr));gap:1.2rem 1rem}"
    "figure{margin:0;font-size:.8rem}figure img{height:112px;max-width:48%;object-fit:contain;margin-right:4px}figcaption{color:var(--soft);white-space:pre-line}"
    ".paper{fill:var(--paper)}.ink{fill:var(--ink)}.soft{fill:var(--soft)}.grid{stroke:var(--line)}"
    "@media screen and (prefers-color-scheme:dark){:root{"
    + _DARK
    + "}"
    + "".join(f"polyline.s{k}{{stroke:{color}}}:not(polyline).s{k}{{fill:{color}}}" for k, color in enumerate(_SERIES))
    + "}"
    "@media print{body{max-width:none;margin:0;font-size:10.5pt}h2{break-after:avoid}svg,figure,tr{break-inside:avoid}"
    ".charts{grid-template-columns:1fr 1fr}.scroll{overflow:visible}td{white-space:normal}}"
)


def to_html(document: Document) -> str:
    """One self-contained page: no script, no network, no font."""
    e = html.escape
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{e(document.title)}</title><style>{_STYLE}</style></head><body><h1>{e(document.title)}</h1><p class=lead>{e(document.lead)}</p>"
    ]
    for section in document.sections:
        parts.append(f"<h2>{e(section.title)}</h2>")
        parts += [f"<p>{e(paragraph)}</p>" for paragraph in section.text.split("\n\n") if paragraph]
        for table in section.tables:
            head = "".join(f"<th>{e(cell)}</th>" for cell in table.head)
            rows = "".join("<tr>" + "".join(_cell(cell) for cell in row) + "</tr>" for row in table.rows)
            parts.append(
                f"<div class=scroll tabindex=0><table{' class=facts' if len(table.head) == 2 else ''}><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
            )
        if section.charts:
            parts.append(f"<div class=charts>{''.join(section.charts)}</div>")
        if section.pictures:
            parts.append(f"<div class=pictures>{''.join(_figure(urls, caption) for urls, caption in section.pictures)}</div>")
    return "".join([*parts, "</body></html>\n"])


def _figure(urls: Sequence[str], caption: str) -> str:
    images = "".join(f'<img src="{url}" alt="">' for url in urls)  # the caption names them
    return f"<figure>{images}<figcaption>{html.escape(caption)}</figcaption></figure>"


def _cell(text: str) -> str:
    """Sentences wrap, numbers and names do not: those scroll. On paper all wrap, but no interval does."""
    whole = re.sub(r"\[[^\[\]]{1,40}\]", lambda found: found[0].replace(" ", "\u00a0"), text)
    return f"<td{' class=wide' if len(text) > 60 else ''}>{html.escape(whole)}</td>"


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


def write_report(content: Mapping[str, Any], document: Document, folder: Path) -> None:
    """`report.json`, `report.md` and `report.html`. `content` is plain JSON types."""
    write_whole(folder / "report.json", json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    write_document(document, folder)


def write_document(document: Document, folder: Path) -> None:
    """`report.md` and `report.html`."""
    write_whole(folder / "report.md", to_markdown(document))
    write_whole(folder / "report.html", to_html(document))
