"""What routes share: the state, who asks and may they, values as JSON, one picture after the other."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.responses import Response

from ...errors import FaceworksError
from ...types import to_dict
from ..problems import Problem, problem_of
from ..security.keys import Key
from ..state import State
from ..uploads import FilePart, Form, read_form

__all__ = ["Admin", "Enroller", "Reader", "StateOf", "as_json", "each_picture", "picture_form", "state_of_app"]


def state_of_app(request: Request) -> State:
    """The worker's state."""
    found: State = request.app.state.faceworks
    return found


def needs(role: str) -> Callable[[Request], Key]:
    """A dependency: the key of the request, if its role covers `role`."""

    def check(request: Request) -> Key:
        key: Key = request.state.key
        if not key.may(role):
            raise Problem(403, f"this needs the role {role}, the key has {key.role}", "role")
        return key

    return check


StateOf = Annotated[State, Depends(state_of_app)]
Reader = Annotated[Key, Depends(needs("read"))]
Enroller = Annotated[Key, Depends(needs("enroll"))]
Admin = Annotated[Key, Depends(needs("admin"))]


def as_json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Values in the form that the command line prints too."""
    text = json.dumps(to_dict(value), ensure_ascii=False, allow_nan=False)
    return Response(text, status, dict(headers or {}), "application/json")


async def picture_form(request: Request, state: State, *names: str, many: str = "", least: int = 1) -> Form:
    """A form with these pictures, one each, or with up to `max_pictures` under the name `many`."""
    options = state.options
    parts = {name: FilePart(least=least, bytes=options.max_image_bytes) for name in names}
    if many:
        parts[many] = FilePart(least=least, most=options.max_pictures, bytes=options.max_image_bytes)
    return await read_form(request, parts)


async def each_picture(
    state: State, form: Form, one: Callable[[bytes], Any], together: Callable[[Sequence[bytes]], Sequence[Any]] | None = None, kind: Any = None,
    entry: Callable[[Any], dict[str, Any]] = lambda found: {"faces": to_dict(found)},
) -> list[dict[str, Any]]:  # fmt: skip
    """Work on the pictures of a form one after the other, so that a request with many takes no more than its share of the slots.

    A single picture that cannot be used is an error of the request; of several, the entry says so and the others are answered.
    """
    pictures, results = form.files["pictures"], []
    for name, picture in zip(form.names["pictures"], pictures, strict=True):
        try:
            results.append({"source": name, **entry(await state.queue.run(one, picture, together=together, kind=kind))})
        except FaceworksError as error:
            problem = problem_of(error)
            if len(pictures) == 1 or problem.status >= 500:  # what is wrong with the service is wrong for all of them
                raise
            results.append({"source": name, "faces": [], "error": problem.detail})
    state.metrics.count("pictures")
    return results
