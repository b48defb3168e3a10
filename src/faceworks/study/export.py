"""T1 to T6 for papers: LaTeX (booktabs) and DOCX. The same tables give the same bytes."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

from .tables import Table

__all__ = ["docx_bytes", "latex", "write"]

_ESCAPE = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}",
           "^": r"\textasciicircum{}", "κ": r"$\kappa$", "α": r"$\alpha$", "−": r"$-$", "≤": r"$\leq$", "×": r"$\times$", "Δ": r"$\Delta$", "′": "$'$"}  # fmt: skip


def _tex(text: str) -> str:
    return "".join(_ESCAPE.get(letter, letter) for letter in text)


def latex(tables: Sequence[Table]) -> str:
    """All tables as LaTeX; needs the package booktabs, and a Korean-capable engine (XeLaTeX with kotex) for Korean labels."""
    out = ["% Written by faceworks study. Needs \\usepackage{booktabs,graphicx}; Korean labels: XeLaTeX with \\usepackage{kotex}."]
    for number, table in enumerate(tables, start=1):
        columns = "l" * table.left + "r" * (len(table.head) - table.left)
        out += ["", "\\begin{table}[htbp]", "\\centering", f"\\caption{{{_tex(table.title)}}}", f"\\label{{tab:{table.key.lower()}-{number}}}",
                f"\\resizebox{{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}}{{!}}{{\\begin{{tabular}}{{{columns}}}", "\\toprule",
                " & ".join(map(_tex, table.head)) + " \\\\", "\\midrule", *(" & ".join(map(_tex, row)) + " \\\\" for row in table.rows), "\\bottomrule",
                "\\end{tabular}}", *([f"\\par\\smallskip\\footnotesize {_tex(table.note)}"] if table.note else []), "\\end{table}"]  # fmt: skip
    return "\n".join(out) + "\n"


def docx_bytes(tables: Sequence[Table], title: str, paragraphs: Sequence[str]) -> bytes:
    """All tables and the methods as a Word document (landscape), through python-docx."""
    import docx
    from docx.enum.section import WD_ORIENT
    from docx.enum.text import WD_ALIGN_PARAGRAPH
    from docx.oxml.ns import qn
    from docx.shared import Mm, Pt

    document = docx.Document()
    section = document.sections[0]
    section.orientation, section.page_width, section.page_height = WD_ORIENT.LANDSCAPE, Mm(297), Mm(210)
    section.left_margin = section.right_margin = section.top_margin = section.bottom_margin = Mm(18)
    style = document.styles["Normal"]
    style.font.name, style.font.size = "Calibri", Pt(9)
    style.element.rPr.rFonts.set(qn("w:eastAsia"), "Malgun Gothic")
    document.add_heading(title, 1)
    for text in paragraphs:
        document.add_paragraph(text)
    for table in tables:
        document.add_heading(f"{table.key}. {table.title}", 2)
        grid = document.add_table(rows=1, cols=len(table.head), style="Light Shading")
        for row_number, cells in enumerate((table.head, *table.rows)):
            row = (grid.rows[0] if row_number == 0 else grid.add_row()).cells
            for place, text in enumerate(cells):
                paragraph = row[place].paragraphs[0]
                run = paragraph.add_run(text)
                run.font.size, run.bold = Pt(8), row_number == 0
                if place >= table.left:
                    paragraph.alignment = WD_ALIGN_PARAGRAPH.RIGHT
        if table.note:
            document.add_paragraph(table.note).runs[0].italic = True
    out = io.BytesIO()
    document.save(out)
    return _timeless(out.getvalue())


def _timeless(data: bytes) -> bytes:
    """The same archive with the zip format's first date on every member: two runs shall give the same bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), old.read(name), zipfile.ZIP_DEFLATED)
    return out.getvalue()


def write(tables: Sequence[Table], title: str, paragraphs: Sequence[str], folder: Path) -> None:
    """`tables.tex` and `tables.docx`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tables.tex").write_text(latex(tables), encoding="utf-8")
    (folder / "tables.docx").write_bytes(docx_bytes(tables, title, paragraphs))
