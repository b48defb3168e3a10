"""What the service says to browsers, and what it lets them say: secure headers, `Host`, `Origin`."""

from __future__ import annotations

import re

from starlette.types import Scope

from ..body import header
from ..options import ServerOptions, is_loopback
from ..problems import Problem

__all__ = ["PAGE_POLICY", "RATING_POLICY", "REPORT_POLICY", "SECURE", "check_host", "check_origin", "cors"]

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy of everything but reports: nothing inline, nothing from elsewhere, never in a frame."""
REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
"""Of reports, which are single files with their own styles and figures: no scripts at all, and an origin of their own (sandbox)."""
RATING_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; sandbox allow-scripts allow-downloads"
)
"""Of the page on which people rate: one file with its own script. `sandbox` gives it an origin of its own, so that it can neither call the service with
the rater's session nor reach anybody else."""
SECURE = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(self), microphone=(), geolocation=(), payment=(), usb=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
SAFE = ("GET", "HEAD", "OPTIONS")


def _name(host: str) -> str:
    """A Host header without its port."""
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]/@\s]+)(?::\d{1,5})?", host)
    return match[1].strip("[]").lower() if match else ""


def check_host(scope: Scope, options: ServerOptions) -> None:
    """Refuse a foreign `Host`: a page elsewhere may have pointed its own name at this address (DNS rebinding).

    Raises:
        Problem: 421.
    """
    name = _name(header(scope, b"host"))
    known = {options.host.strip("[]").lower(), *(item.lower() for item in options.hosts)}
    unspecified = options.host in ("0.0.0.0", "::", "") and not options.hosts  # all addresses, and nobody has said under which names
    if not name or not (name in known or is_loopback(name) or unspecified):  # no page elsewhere can make a browser say "127.0.0.1"
        raise Problem(421, "this service is not known under that host name; the operator adds names with --allow-host", "wrong-host")


def check_origin(scope: Scope, options: ServerOptions) -> None:
    """Refuse what a page of another site makes a browser send, unless its origin is configured. Programs send no such headers and pass.

    Raises:
        Problem: 403.
    """
    origin, site = header(scope, b"origin"), header(scope, b"sec-fetch-site")
    if origin in options.origins:
        return
    if origin:
        own = {f"{scheme}://{header(scope, b'host').lower()}" for scheme in ("http", "https")}
        if origin.lower() not in own:
            raise Problem(403, "pages of other sites may not call this service", "cross-origin")
    elif site in ("cross-site", "same-site") and scope["method"] not in SAFE:
        raise Problem(403, "pages of other sites may not call this service", "cross-origin")
    elif site in ("cross-site", "same-site") and scope["path"].startswith("/v1/"):
        raise Problem(403, "pages of other sites may not read this service", "cross-origin")


def cors(scope: Scope, options: ServerOptions) -> list[tuple[bytes, bytes]]:
    """Headers for a configured origin; none for any other."""
    origin = header(scope, b"origin")
    if not origin or origin not in options.origins:
        return []
    allowed = b"authorization, content-type, idempotency-key, x-request-id"
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"Origin"), (b"access-control-max-age", b"600"),
        (b"access-control-allow-methods", b"GET, POST, PATCH, DELETE"), (b"access-control-allow-headers", allowed),
        (b"access-control-expose-headers", b"x-request-id, retry-after, idempotent-replayed"),
    ]  # fmt: skip
