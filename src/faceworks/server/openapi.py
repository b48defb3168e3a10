"""The OpenAPI document: what routes share, and forms with files, which are read by hand and therefore described by hand."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from .examples import ANSWERS, PARAMETERS, REQUESTS, TEXTS
from .schemas import ProblemOut

__all__ = ["describe", "form_body", "problems"]

MEANING = {
    400: "The request is malformed.", 401: "No key, or an unknown one.", 403: "The key's role does not allow this, or another site asked.",
    404: "No such thing.", 408: "The body came too slowly.", 409: "It contradicts what is there.", 413: "Larger than the limits.",
    415: "Not the content type that is read here.", 421: "Unknown host name.", 422: "Understood, but it cannot be done.",
    429: "Too many requests of this key; see Retry-After.", 500: "A fault of the service.", 501: "A package or model is not installed.",
    503: "Busy, stopping or waiting for a writer; see Retry-After.", 504: "Took too long; see Retry-After.",
}  # fmt: skip
ALWAYS = (400, 401, 403, 413, 421, 422, 429, 500, 503, 504)


def problems(*more: int) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route: what each may answer besides success, and `more`."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemOut"}}}
    return {status: {"description": MEANING[status], "content": content} for status in sorted({*ALWAYS, *more})}


def form_body(model: type[BaseModel] | None, **files: bool | None) -> dict[str, Any]:
    """`openapi_extra` of a form: text fields of the model, and files (True = many, False = one, None = one that may be left out)."""
    schema: dict[str, Any] = (
        {"type": "object", "properties": {}} if model is None else model.model_json_schema(ref_template="#/components/schemas/{model}")
    )
    schema.pop("$defs", None)
    binary = {"type": "string", "format": "binary"}
    for name, many in files.items():
        schema["properties"][name] = {"type": "array", "items": binary, "minItems": 1} if many else binary
    schema["required"] = [*schema.get("required", []), *(name for name, many in files.items() if many is not None)]
    schema["additionalProperties"] = False
    encoding = {name: {"contentType": "image/*, application/octet-stream"} for name in files}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema, "encoding": encoding}}}}


def _exemplify(name: str, operation: dict[str, Any]) -> None:
    """Put the examples where readers look for them: beside each body, answer and parameter."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        content["example"] = REQUESTS[name]
    for answer in operation["responses"].values():
        for kind, content in answer.get("content", {}).items():
            reference = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
            if reference in ANSWERS:
                content["example"] = ANSWERS[reference]
            elif kind in TEXTS and not reference:
                content["example"] = TEXTS[kind]
    for parameter in operation.get("parameters", ()):
        is_file = parameter["name"] == "name" and name.endswith("{id}/{name}")
        parameter["example"] = "report.html" if is_file else PARAMETERS[parameter["name"]]


def describe(app: FastAPI) -> dict[str, Any]:
    """The document, made once."""
    if app.openapi_schema:
        return app.openapi_schema
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes, license_info={"name": "MIT"})
    parts = document.setdefault("components", {})
    schemas = parts.setdefault("schemas", {})
    schemas["ProblemOut"] = ProblemOut.model_json_schema()
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    parts["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer", "description": "An API key: faceworks serve keys add NAME --role read"}}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            _exemplify(f"{method.upper()} {path}", operation)
            if path not in ("/v1/health", "/v1/ready", "/v1/session"):
                operation["security"] = [{"key": []}]
    app.openapi_schema = document
    return document
