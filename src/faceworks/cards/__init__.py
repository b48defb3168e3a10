"""Model cards: the catalog of everything faceworks can run, with license, source and checksum.

The folder names are the tasks; a file's name is the model's name. A user's own cards lie in `<cache>/cards/<task>/` (see `faceworks models add`).
"""

from __future__ import annotations

import difflib
from functools import lru_cache
from pathlib import Path

from .. import settings
from ..errors import CardError, LicenseRefused, UnknownModel
from .schema import Card, FileSpec, InputSpec, License, OutputSpec, Part, Published, Threshold, options, parse

__all__ = [
    "TASKS",
    "Card",
    "FileSpec",
    "InputSpec",
    "License",
    "OutputSpec",
    "Part",
    "Published",
    "Threshold",
    "check_license",
    "commercial",
    "get",
    "members",
    "names",
    "options",
    "parse",
    "user_folder",
]

TASKS = ("detect", "landmark", "embed", "attribute", "data")


def user_folder() -> Path:
    """Where a user's own cards lie."""
    return settings.current().cache / "cards"


@lru_cache(maxsize=8)
def _paths(user: Path, stamp: int) -> dict[str, Path]:
    """Card files by model name; a user's card must not hide a packaged one."""
    found: dict[str, Path] = {}
    for root in (Path(__file__).parent, user):
        for task in TASKS:
            folder = root / task
            for path in sorted(folder.glob("*.toml")) if folder.is_dir() else []:
                if path.stem in found:
                    raise CardError(f"two cards are called {path.stem!r}: {found[path.stem]} and {path}; rename one")
                found[path.stem] = path
    return found


def _catalog() -> dict[str, Path]:
    user = user_folder()
    stamp = sum((user / task).stat().st_mtime_ns for task in TASKS if (user / task).is_dir())
    return _paths(user, stamp)


@lru_cache(maxsize=512)
def _load(path: Path, stamp: int) -> Card:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CardError(f"{path}: cannot be read: {error}") from error
    card = parse(text, str(path))
    if path.parent.name != card.task:
        raise CardError(f"{path}: a card with task = {card.task!r} belongs into the folder {card.task}/")
    return card


def names(task: str | None = None) -> list[str]:
    """Names of all models, or of one task's, sorted."""
    return sorted(name for name, path in _catalog().items() if task is None or path.parent.name == task)


def get(name: str, task: str | None = None) -> Card:
    """The card called `name`.

    Raises:
        UnknownModel: no such card, or it is for another task; the message names the nearest.
    """
    catalog = _catalog()
    path = catalog.get(name)
    if path is None or (task is not None and path.parent.name != task):
        known = names(task)
        begins = [item for item in known if name and item.startswith(name.lower())]
        families = sorted({item.partition("-")[0] for item in known})  # sfase is nearer to sface than to any whole name
        of = [item for kin in difflib.get_close_matches(name.lower(), families, n=1, cutoff=0.75) for item in known if item.partition("-")[0] == kin]
        likely, close = (difflib.get_close_matches(name.lower(), known, n=3, cutoff=cutoff) for cutoff in (0.8, 0.5))
        near = list(dict.fromkeys([*begins, *likely, *sorted(of, key=len, reverse=True), *close]))[:4]
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
        kind = f"{task} model" if task else "model"
        other = f" ({name} is for the task {path.parent.name!r})" if path is not None else ""
        raise UnknownModel(f"no {kind} is called {name!r}{other}; {hint}")
    return _load(path, path.stat().st_mtime_ns)


def members(card: Card) -> tuple[Card, ...]:
    """The cards whose files and inputs a model consists of: its parts' for a fusion, else the card itself.

    Raises:
        UnknownModel: a part names no model of the same task.
        CardError: a part is a fusion itself.
    """
    if not card.part:
        return (card,)
    found = tuple(get(part.model, card.task) for part in card.part)
    for member in found:
        if member.part:
            raise CardError(f"card {card.name}: its part {member.name} is a fusion itself; name that card's parts with their weights instead")
    return found


def commercial(card: Card) -> bool:
    """Whether the card and all its parts allow commercial use."""
    return card.license.commercial_use and all(member.license.commercial_use for member in members(card))


def check_license(card: Card, policy: str | None = None) -> None:
    """Raise `LicenseRefused` when the policy ("any" or "commercial"; default: the setting) excludes the weights of the card or of one of its parts."""
    policy = policy or settings.current().license
    if policy == "commercial" and card.part and card.license.commercial_use:
        for member in members(card):
            try:
                check_license(member, policy)
            except LicenseRefused as error:
                raise LicenseRefused(f"{card.name} cannot be used, because of its part {error}") from error
    if policy == "commercial" and not card.license.commercial_use:
        raise LicenseRefused(
            f"{card.name}: its weights are {card.license.weights!r}, which --license commercial refuses; "
            f"`faceworks models list --license commercial` shows the others"
        )
