"""Pages of the documentation: run their code, and write them in one language with what the code printed.

    python tools/pages.py docs/tutorials/verification.md --language en      the page with outputs, on stdout
    python tools/pages.py docs/tutorials/*.md --notebooks notebooks         the same pages as notebooks NAME.LANGUAGE.ipynb

A page is Markdown. `<!-- en -->`, `<!-- ko -->` and `<!-- both -->` say whose the prose below is. Blocks that start with ```python share one namespace and are
run from top to bottom; in ```console blocks the lines that start with `$ faceworks` are run, everything else in them is what a reader sees. A block whose
fence says `not-run="why"` is shown with its reason (`not-run="why | 까닭"`: one for each language). The folder in which they run holds the sample pictures in
`pictures/`; figures that the code saves there and the page names (`![…](figure.png)`) are put into the page, and below it stand the credits of the sample
pictures that it uses. Any error ends the run: a page that lies is not built. What a page printed is kept in build/pages/ for as long as neither the page nor the
sources change, so that tests and site run it once.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import io
import json
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Block", "credits_line", "executed", "languages", "notebook", "parse", "render", "run"]

ROOT = Path(__file__).resolve().parent.parent
ROLES = ("person_a_1", "person_a_2", "person_b_1", "person_b_2", "impostor_1", "impostor_2", "group")

FENCE = re.compile(r'^```(?P<kind>\w*)\s*(?:not-run="(?P<why>[^"]*)")?\s*$')
SWITCH = re.compile(r"^<!-- (en|ko|both) -->$")
FIGURE = re.compile(r"!\[(?P<text>[^\]]*)\]\((?P<name>[\w.-]+\.(?:png|svg|jpg))\)")


@dataclass(frozen=True)
class Block:
    """Prose (kind "") or a fenced block of a page."""

    kind: str
    text: str
    language: str = "both"
    why: str | None = None


def parse(text: str) -> list[Block]:
    """The blocks of a page, in order."""
    blocks: list[Block] = []
    language, kind, why, lines = "both", None, None, list[str]()

    def close(kind: str | None) -> None:
        if kind is not None or "".join(lines).strip():
            blocks.append(Block(kind or "", "\n".join(lines), language if kind is None else "both", why))
        lines.clear()

    for line in text.splitlines():
        fence, switch = FENCE.match(line), SWITCH.match(line)
        if kind is not None:
            if line == "```":
                close(kind)
                kind = why = None
            else:
                lines.append(line)
        elif fence and fence["kind"]:
            close(None)
            kind, why = fence["kind"], fence["why"]
        elif switch:
            close(None)
            language = switch[1]
        else:
            lines.append(line)
    if kind is not None:
        raise SystemExit(f"a block of {kind} is not closed")
    close(None)
    return blocks


def languages(text: str) -> set[str]:
    """The languages that a page has prose in."""
    return {block.language for block in parse(text)} - {"both"} or {"en"}


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    from faceworks import assets, cards

    card, before = cards.get("samples"), Path.cwd()
    with tempfile.TemporaryDirectory(prefix="faceworks-page-") as name:
        folder = Path(name)
        (folder / "pictures").mkdir()
        for role in ROLES:
            shutil.copyfile(assets.fetch(card.file_for(role), progress=False), folder / "pictures" / f"{role}.jpg")
        os.chdir(folder)
        try:
            yield folder
        finally:
            os.chdir(before)


def run(blocks: list[Block], name: str) -> tuple[list[str], dict[str, bytes]]:
    """What each block printed ("" for prose), and the figures that the page names."""
    from faceworks import settings

    outputs, figures = [], {}
    namespace: dict[str, Any] = {"__name__": "__main__"}
    with _folder() as folder:
        for number, block in enumerate(blocks):
            out = io.StringIO()
            if block.why is None and block.kind == "python":
                with contextlib.redirect_stdout(out):
                    exec(compile(block.text, f"{name}, block {number}", "exec"), namespace)
            elif block.why is None and block.kind == "console":
                for line in block.text.splitlines():
                    if line.startswith("$ faceworks "):
                        _command(line[len("$ faceworks ") :], out, name)
            printed = out.getvalue().replace(str(folder) + os.sep, "")
            outputs.append(printed.replace(str(settings.current().cache), "~/.cache/faceworks"))
        for block in blocks:
            for found in FIGURE.finditer(block.text) if not block.kind else ():
                figures[found["name"]] = (folder / found["name"]).read_bytes()
    return outputs, figures


def _state() -> str:
    """A hash of all that an output may depend on besides the page itself: the package and this file."""
    digest = hashlib.sha256()
    for path in [Path(__file__), *sorted(path for path in (ROOT / "src").rglob("*") if path.is_file() and path.suffix not in (".pyc", ".pyo"))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def executed(page: Path) -> tuple[list[Block], list[str], dict[str, bytes]]:
    """Blocks, outputs and figures of a page; run once in a state of page and sources (two processes that want the same page wait for each other)."""
    text = page.read_text(encoding="utf-8")
    blocks = parse(text)
    if not any(block.why is None and block.kind in ("python", "console") for block in blocks):
        return blocks, [""] * len(blocks), {}
    kept = ROOT / "build" / "pages" / f"{page.stem}-{hashlib.sha256(f'{_state()}{text}'.encode()).hexdigest()[:16]}.json"
    kept.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        if os.name == "posix":
            import fcntl

            lock = stack.enter_context(kept.with_suffix(".lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.is_file():
            outputs, figures = run(blocks, page.name)
            encoded = {name: base64.b64encode(data).decode() for name, data in figures.items()}
            for older in kept.parent.glob(f"{page.stem}-*.json"):
                older.unlink()
            fresh = kept.with_suffix(".part")
            fresh.write_text(json.dumps({"outputs": outputs, "figures": encoded}), encoding="utf-8")
            fresh.replace(kept)
        found = json.loads(kept.read_text(encoding="utf-8"))
    return blocks, found["outputs"], {name: base64.b64decode(data) for name, data in found["figures"].items()}


def credits_line(text: str, language: str) -> str:
    """Who made the sample pictures that a page shows or uses ("" for none)."""
    from faceworks import cards

    lines = dict(line.split(": ", 1) for line in cards.get("samples").attribution.strip().splitlines())
    wide = "faceworks.study.demo" in text  # a demo of its own takes all portraits
    used = [lines[role] for role in ROLES if re.search(rf"\b{role}\b", text) or (wide and role != "group")]
    linked = [re.sub(r", (https?://\S+)$", lambda found: f" ([{'출처' if language == 'ko' else 'source'}]({found[1]}))", line) for line in used]
    return f"{'사진' if language == 'ko' else 'Pictures'}: {'; '.join(linked)}." if used else ""


def _command(line: str, out: io.StringIO, name: str) -> None:
    from faceworks.cli import run as command

    errors = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        code = command(shlex.split(line, comments=True))
    wanted = int(found[1]) if (found := re.search(r"#\s*exit (\d)", line)) else 0
    if code != wanted:
        raise SystemExit(f"{name}: `faceworks {line}` ended with {code}, not {wanted}: {errors.getvalue()}")


def render(blocks: list[Block], outputs: list[str], figures: dict[str, bytes], language: str, site: bool = False) -> str:
    """The page in one language, with outputs and figures inside; `site`: outputs carry a class, for its style sheet."""
    parts = []
    for block, output in zip(blocks, outputs, strict=True):
        if block.kind:
            shown = re.sub(r"\s*# exit \d$", "", block.text, flags=re.MULTILINE)
            parts.append(f"```{block.kind}\n{shown}\n```")
            if block.why is not None:
                parts.append(_reason(block.why, language))
            if output.strip():
                parts.append(f"``` {{ .text .output }}\n{output.rstrip()}\n```" if site else f"```text\n{output.rstrip()}\n```")
        elif block.language in ("both", language):
            parts.append(FIGURE.sub(lambda found: _inline(found, figures), block.text))
    if figures and (credit := credits_line("\n".join(block.text for block in blocks), language)):
        parts.append(f"<small>{credit}</small>")
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _reason(why: str, language: str) -> str:
    english, _, korean = why.partition(" | ")
    return f"*여기서는 실행하지 않음: {korean or english}*" if language == "ko" else f"*Not run here: {english}*"


def _inline(found: re.Match[str], figures: dict[str, bytes]) -> str:
    if found["name"] not in figures:
        return found[0]
    kind = {"svg": "image/svg+xml", "png": "image/png", "jpg": "image/jpeg"}[found["name"].rpartition(".")[2]]
    return f'<img alt="{found["text"]}" src="data:{kind};base64,{base64.b64encode(figures[found["name"]]).decode()}">'


SETUP = """import pathlib, shutil
from faceworks import assets, cards

pathlib.Path("pictures").mkdir(exist_ok=True)
for role in {roles}:
    shutil.copyfile(assets.fetch(cards.get("samples").file_for(role), progress=False), f"pictures/{{role}}.jpg")"""


def notebook(blocks: list[Block], language: str) -> dict[str, Any]:
    """The page as a notebook (nbformat 4.5) without outputs: prose, code, commands behind `!`, each figure by a line of its own; what is not run is prose."""
    cells: list[dict[str, Any]] = []

    def add(kind: str, text: str) -> None:
        cell: dict[str, Any] = {"cell_type": kind, "id": f"cell-{len(cells)}", "metadata": {}, "source": text.strip("\n")}
        cells.append(cell | ({"execution_count": None, "outputs": []} if kind == "code" else {}))

    text = "\n".join(block.text for block in blocks)
    first = next(place for place, block in enumerate(blocks) if block.kind)
    for place, block in enumerate(blocks):
        if place == first:
            add("code", SETUP.format(roles=ROLES))
        if block.kind in ("python", "console") and block.why is None:
            lines = [f"!{line[2:]}" for line in block.text.splitlines() if line.startswith("$ ")] if block.kind == "console" else [block.text]
            add("code", re.sub(r"\s*# exit \d$", "", "\n".join(lines), flags=re.MULTILINE))
        elif block.kind:
            add("markdown", f"```{block.kind}\n{block.text}\n```" + (f"\n{_reason(block.why, language)}" if block.why else ""))
        elif block.language in ("both", language):
            for line in FIGURE.sub(lambda found: f"\0{found['name']}\0", block.text).split("\0"):
                if FIGURE.fullmatch(f"![]({line})"):
                    shown = f'display.{"SVG" if line.endswith("svg") else "Image"}("{line}")'
                    add("code", f"from IPython import display\n\n{shown}")
                elif line.strip():
                    add("markdown", re.sub(r"(?<!!)\[([^\]]+)\]\((?!https?:)[^)]+\)", r"\1", line))  # no pages lie beside a notebook
    if credit := credits_line(text, language):
        add("markdown", credit)
    meta = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}, "language_info": {"name": "python"}}
    return {"cells": cells, "metadata": meta, "nbformat": 4, "nbformat_minor": 5}


def main() -> None:
    """Run pages and print them, or write them as notebooks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("pages", type=Path, nargs="+")
    parser.add_argument("--language", choices=["en", "ko"], default="en")
    parser.add_argument("--notebooks", type=Path, metavar="DIR")
    options = parser.parse_args()
    for page in options.pages:
        if options.notebooks is None:
            sys.stdout.write(render(*executed(page), options.language))
            continue
        options.notebooks.mkdir(parents=True, exist_ok=True)
        text = page.read_text(encoding="utf-8")
        for language in sorted(languages(text)):
            document = json.dumps(notebook(parse(text), language), ensure_ascii=False, indent=1)
            (options.notebooks / f"{page.stem}.{language}.ipynb").write_text(document + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
