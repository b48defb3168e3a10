"""faceworks serve | serve keys add | list | revoke"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .options import common
from .output import note, print_json, print_table

__all__ = ["serve"]

DATA = click.option(
    "--data", metavar="DIR", default="faceworks-data", show_default=True, type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the service: keys, galleries, jobs.",
)  # fmt: skip


def _extra() -> None:
    from ..optional import require

    for module in ("fastapi", "uvicorn", "python_multipart", "prometheus_client"):
        require(module, "server", "the service")


@click.group(short_help="The service and its page.", invoke_without_command=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; beyond this machine a key must exist.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="Port; 0 takes a free one.")
@DATA
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Processes; each works on as many pictures at once as there are cores.",
)
@click.option("--allow-host", "hosts", multiple=True, metavar="NAME", help="Public name, behind a proxy; may be repeated.")
@click.option("--allow-origin", "origins", multiple=True, metavar="URL", help="Web origin whose pages may call the API (CORS); may be repeated.")
@click.option("--model", "models", multiple=True, metavar="NAME", help="A further model that requests may name; may be repeated.")
@click.option("--slots", type=click.IntRange(0), help="Pictures worked on at once in a worker. Default: one per core.")
@click.option("--queue", type=click.IntRange(1), help="Requests that wait for a slot; the next is answered 503.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Requests a second of one key in the long run.")
@click.option("--burst", type=click.IntRange(1), help="Requests of one key at once.")
@click.option("--concurrency", type=click.IntRange(1), help="Requests of one key that run or wait at the same time.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="Longest time of a request.")
@click.option("--max-image-pixels", type=click.IntRange(1), help="Largest picture, width x height.")
@click.option("--max-faces", type=click.IntRange(1), help="Most faces of a picture.")
@click.pass_context
def serve(ctx: click.Context, /, host: str, port: int, data: Path, workers: int, **options: Any) -> int:
    """Serve the API (/v1) and the page.

    Without keys it answers this machine alone. Other machines: make a key first (`faceworks serve keys add NAME --role admin`), and put a proxy with
    TLS before it (docs/howto/deploy.md). A signal to stop lets running requests finish.
    """
    if ctx.invoked_subcommand is not None:
        return 0
    _extra()
    from ..server import ServerOptions
    from ..server.running import run

    run(ServerOptions(data=data, host=host, port=port, **{name: value for name, value in options.items() if value not in (None, ())}), workers)
    return 0


@serve.group(short_help="API keys: add, list, revoke.")
def keys() -> None:
    """API keys. Roles: read (compare, find, identify), enroll (read, and people and samples), admin (all). Only a hash of a key is kept."""


@keys.command(short_help="Make a key.")
@click.argument("name")
@click.option("--role", type=click.Choice(["read", "enroll", "admin"]), default="read", show_default=True, help="What the key may do.")
@click.option("--days", type=click.FloatRange(0, min_open=True), help="Lifetime. Default: until it is revoked.")
@DATA
@common
def add(name: str, role: str, days: float | None, data: Path, as_json: bool, quiet: bool) -> int:
    """Make a key and print it, once. From the first key on nobody works without one."""
    store = _store(data)
    from ..server.security import keys as known

    try:
        key, text = known.add(store, name, role, days)
    finally:
        store.close()
    if as_json:
        print_json({"id": key.id, "name": key.name, "role": key.role, "key": text})
    else:
        click.echo(text)
        if not quiet:
            note(f"key {key.id} ({key.role}) for {key.name}; it is shown this once and kept nowhere")
    return 0


@keys.command(name="list", short_help="All keys, without their secrets.")
@DATA
@common
def list_(data: Path, as_json: bool, quiet: bool) -> int:
    """List keys with role, lifetime and state."""
    store = _store(data)
    from ..gallery.names import when
    from ..server.security import keys as known

    try:
        rows = known.listing(store)
    finally:
        store.close()
    date = [
        {"id": key.id, "name": key.name, "role": key.role, **{at: _when(getattr(key, at), when) for at in ("created", "expires", "revoked")}}
        for key in rows
    ]
    if as_json:
        print_json(date)
    elif quiet:
        for key in rows:
            click.echo(key.id)
    else:
        print_table(("id", "name", "role", "created", "expires", "revoked"), [[str(value or "") for value in row.values()] for row in date])
    return 0


def _when(seconds: float | None, when: Any) -> str | None:
    return None if seconds is None else when(int(seconds * 1e6))


@keys.command(short_help="End a key at once.")
@click.argument("id_", metavar="ID")
@DATA
@common
def revoke(id_: str, data: Path, as_json: bool, quiet: bool) -> int:
    """End a key and the page's sessions that were opened with it."""
    store = _store(data)
    from ..server.security import keys as known

    try:
        key = known.revoke(store, id_)
    finally:
        store.close()
    if as_json:
        print_json({"id": key.id, "revoked": True})
    elif not quiet:
        click.echo(f"{key.id} ({key.name}) is revoked")
    return 0


def _store(data: Path) -> Any:
    from ..server.options import ServerOptions
    from ..server.store import Store

    return Store(ServerOptions(data=data).database)
