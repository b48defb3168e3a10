"""What MkDocs asks of us: start pages from the READMEs, and every page with what its code printed, once for each language (see tools/pages.py).

Pages below reference/ and those that scripts write are shown as they are. Notebooks of the tutorials are written beside them.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parent))
import pages

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\]\((?:\./)?(?P<target>(?!https?:|#|data:)[^)\s]+)\)")
NAMES = {"en": "English", "ko": "한국어"}


SECTIONS = {".": "Measured", "howto": "How to", "concepts": "Concepts", "reference": "Reference", "tutorials": "Tutorials"}
"""Folder -> where pages go that the navigation does not name."""


def on_config(config: Any) -> Any:
    """Name every decision record in the navigation, and every page that it forgot, at the end of its folder's section."""
    records = [f"decisions/{path.name}" for path in sorted((ROOT / "docs" / "decisions").glob("*.md"))]
    sections = {name: items for section in config.nav for name, items in section.items()}
    named: set[str] = set()
    for items in sections.values():
        for item in items:
            for name, value in item.items():
                if value == "decisions/*":
                    item[name] = records
                else:
                    named.add(value)
    for folder, name in SECTIONS.items():
        for path in sorted((ROOT / "docs" / folder).glob("*.md")):
            uri = path.relative_to(ROOT / "docs").as_posix()
            if uri not in named:
                sections[name].append(uri)
    return config


def on_files(files: Files, config: Any) -> Files:
    """Replace pages by their rendered forms, add the start pages and the notebooks."""
    for file in [item for item in files if item.src_uri.endswith(".md") and not item.src_uri.startswith("reference/")]:
        source = Path(str(file.abs_src_path))
        text = source.read_text(encoding="utf-8")
        if "```" not in text:
            continue
        spoken = sorted(pages.languages(text))
        rendered = pages.executed(source)
        files.remove(file)
        for language in spoken:
            name = _named(file.src_uri, language)
            content = pages.render(*rendered, language, site=True)
            if len(spoken) > 1:
                content = _languages(content, file.src_uri, spoken, language, notebook=file.src_uri.startswith("tutorials/"))
            files.append(File.generated(config, name, content=content))
            if file.src_uri.startswith("tutorials/"):
                book = json.dumps(pages.notebook(rendered[0], language), ensure_ascii=False, indent=1)
                files.append(File.generated(config, f"tutorials/{source.stem}.{language}.ipynb", content=book))
    for language, readme in (("en", "README.md"), ("ko", "README.ko.md")):
        files.append(File.generated(config, _named("index.md", language), content=_start(ROOT / readme, language)))
    return files


def on_post_page(output: str, page: Page, config: Any) -> str:
    """`<html lang>` of Korean pages."""
    del config
    return output.replace('<html lang="en"', '<html lang="ko"', 1) if page.file.src_uri.endswith(".ko.md") else output


def _named(uri: str, language: str) -> str:
    return uri if language == "en" else f"{uri.removesuffix('.md')}.{language}.md"


def _languages(content: str, uri: str, spoken: list[str], language: str, notebook: bool) -> str:
    """A line below the title: the other languages, and the page as a notebook."""
    base = Path(uri).name
    links = [NAMES[item] if item == language else f"[{NAMES[item]}]({_named(base, item)})" for item in spoken]
    if notebook:
        links.append(f"[{'노트북' if language == 'ko' else 'Notebook'}]({Path(uri).stem}.{language}.ipynb)")
    title, _, rest = content.partition("\n")
    return f"{title}\n\n{' · '.join(links)}\n{{: .languages }}\n{rest}"


def _start(readme: Path, language: str) -> str:
    """The README with links as seen from docs/: files of the repository that are no pages become plain words."""

    def turned(found: re.Match[str]) -> str:
        target = found["target"]
        if target == "docs/decisions/":
            return f"](decisions/{min((ROOT / 'docs' / 'decisions').glob('*.md')).name})"
        if target.startswith("docs/") and (ROOT / target.partition("#")[0]).is_file():
            return f"]({target.removeprefix('docs/')})"
        return f"](index{'.ko' if target == 'README.ko.md' else ''}.md)" if target in ("README.md", "README.ko.md") else "]()"

    text = LINK.sub(turned, readme.read_text(encoding="utf-8"))
    text = re.sub(r"\[([^\]]+)\]\(\)", r"\1", text)
    other = "[한국어](index.ko.md)" if language == "en" else "[English](index.md)"
    text = text.replace("[English](index.md) · 한국어\n\n", "")
    title, _, rest = text.partition("\n")
    return f"{title}\n\n{'English · ' + other if language == 'en' else other + ' · 한국어'}\n{{: .languages }}\n{rest}"
