"""What MkDocs asks of us: a start page from the README, and every tutorial once for each language, with what its code printed (see tools/pages.py)."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))
import pages

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\]\((?:\./)?(?P<target>(?!https?:|#|data:)[^)\s]+)\)")


def on_files(files: Files, config: Any) -> Files:
    """Replace tutorials by their rendered forms, add the start page."""
    for file in [item for item in files if item.src_uri.startswith("tutorials/") and item.src_uri.endswith(".md")]:
        source = Path(str(file.abs_src_path))
        text = source.read_text(encoding="utf-8")
        blocks = pages.parse(text)
        outputs, figures = pages.run(blocks, source.name)
        files.remove(file)
        for language in sorted(pages.languages(text)):
            name = f"tutorials/{source.stem}.{language}.md" if language != "en" else file.src_uri
            files.append(File.generated(config, name, content=pages.render(blocks, outputs, figures, language)))
    files.append(File.generated(config, "index.md", content=_start(ROOT / "README.md")))
    if (ROOT / "README.ko.md").is_file():
        files.append(File.generated(config, "index.ko.md", content=_start(ROOT / "README.ko.md")))
    return files


def _start(readme: Path) -> str:
    """The README with links as seen from docs/: files of the repository that are no pages become plain words."""

    def turned(found: re.Match[str]) -> str:
        target = found["target"]
        if target.startswith("docs/") and (ROOT / target.partition("#")[0]).is_file():
            return f"]({target.removeprefix('docs/')})"
        return f"](index{'.ko' if target == 'README.ko.md' else ''}.md)" if target in ("README.md", "README.ko.md") else "](#)"

    return LINK.sub(turned, readme.read_text(encoding="utf-8"))
