"""Pages of a sorted list: a cursor is the sort key of the last item, so that entries that come or go between two pages move no others."""

from __future__ import annotations

import base64
import json
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import Query

from .problems import Problem

__all__ = ["Cursor", "Limit", "foreign", "page", "read", "write"]

T = TypeVar("T")
Limit = Annotated[int, Query(ge=1, le=200, description="Most items of a page.")]
Cursor = Annotated[str | None, Query(max_length=70_000, description="`next` of the page before.")]


def foreign() -> Problem:
    """The refusal of a cursor."""
    return Problem(422, "the cursor is none that this service wrote; begin without one", "cursor")


def page(items: Sequence[T], sort_key: Callable[[T], list[Any]], cursor: str | None, limit: int) -> tuple[Sequence[T], str | None]:
    """The items after the cursor, at most `limit`, and the cursor of the next page (None = this was the last). `items` are sorted by `sort_key`.

    Raises:
        Problem: 422, a cursor that this service did not write.
    """
    start = 0
    if cursor is not None:
        try:
            start = bisect_right([sort_key(item) for item in items], read(cursor))
        except TypeError:  # a cursor of another list
            raise foreign() from None
    found = items[start : start + limit]
    return found, write(sort_key(found[-1])) if start + limit < len(items) else None


def write(after: list[Any]) -> str:
    """The cursor behind the item with this sort key."""
    return base64.urlsafe_b64encode(json.dumps(after).encode()).decode().rstrip("=")


def read(cursor: str) -> list[Any]:
    """The sort key in a cursor.

    Raises:
        Problem: 422.
    """
    try:
        after = json.loads(base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)))
    except (ValueError, RecursionError):
        raise foreign() from None
    if not isinstance(after, list):
        raise foreign()
    return after
