"""Tutorial pages: run their code, and write them in one language with what the code printed.

    python tools/pages.py docs/tutorials/verification.md --language en      the page with outputs, on stdout

A page is Markdown. `<!-- en -->`, `<!-- ko -->` and `<!-- both -->` say whose the prose below is. Blocks that start with ```python share one namespace and are
run from top to bottom; in ```console blocks the lines that start with `$ faceworks` are run, everything else in them is what a reader sees. A block whose
fence says `not-run="why"` is shown with its reason. The folder in which they run holds the sample pictures in `pictures/`; figures that the code saves there and the
page names (`![…](figure.png)`) are put into the page. Any error ends the run: a page that lies is not built.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
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

__all__ = ["Block", "languages", "parse", "render", "run"]

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
        for role in ("person_a_1", "person_a_2", "person_b_1", "person_b_2", "impostor_1", "impostor_2", "group"):
            shutil.copyfile(assets.fetch(card.file_for(role), progress=False), folder / "pictures" / f"{role}.jpg")
        os.chdir(folder)
        try:
            yield folder
        finally:
            os.chdir(before)


def run(blocks: list[Block], name: str) -> tuple[list[str], dict[str, bytes]]:
    """What each block printed ("" for prose), and the figures that the page names."""
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
            outputs.append(out.getvalue().replace(str(folder) + os.sep, ""))
        for block in blocks:
            for found in FIGURE.finditer(block.text) if not block.kind else ():
                figures[found["name"]] = (folder / found["name"]).read_bytes()
    return outputs, figures


def _command(line: str, out: io.StringIO, name: str) -> None:
    from faceworks.cli import run as command

    errors = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        code = command(shlex.split(line, comments=True))
    wanted = int(found[1]) if (found := re.search(r"#\s*exit (\d)", line)) else 0
    if code != wanted:
        raise SystemExit(f"{name}: `faceworks {line}` ended with {code}, not {wanted}: {errors.getvalue()}")


def render(blocks: list[Block], outputs: list[str], figures: dict[str, bytes], language: str) -> str:
    """The page in one language, with outputs and figures inside."""
    parts = []
    for block, output in zip(blocks, outputs, strict=True):
        if block.kind:
            shown = re.sub(r"\s*# exit \d$", "", block.text, flags=re.MULTILINE)
            parts.append(f"```{block.kind}\n{shown}\n```")
            if block.why is not None:
                parts.append(f"*{'실행하지 않음' if language == 'ko' else 'Not run here'}: {block.why}*")
            if output.strip():
                parts.append(f"```text\n{output.rstrip()}\n```")
        elif block.language in ("both", language):
            parts.append(FIGURE.sub(lambda found: _inline(found, figures), block.text))
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _inline(found: re.Match[str], figures: dict[str, bytes]) -> str:
    kind = {"svg": "image/svg+xml", "png": "image/png", "jpg": "image/jpeg"}[found["name"].rpartition(".")[2]]
    return f'<img alt="{found["text"]}" src="data:{kind};base64,{base64.b64encode(figures[found["name"]]).decode()}">'


def main() -> None:
    """Run one page and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("page", type=Path)
    parser.add_argument("--language", choices=["en", "ko"], default="en")
    options = parser.parse_args()
    blocks = parse(options.page.read_text(encoding="utf-8"))
    sys.stdout.write(render(blocks, *run(blocks, options.page.name), options.language))


if __name__ == "__main__":
    main()
