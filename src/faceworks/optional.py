"""Optional packages, imported at the moment they are needed."""

from __future__ import annotations

import importlib
from types import ModuleType

from .errors import MissingDependency

__all__ = ["require"]


def require(module: str, extra: str, why: str) -> ModuleType:
    """Import `module` or raise `MissingDependency` with the pip line that brings it.

    `extra` is the name of the faceworks extra that holds it, `why` completes "… needs it".
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        message = f"{why} needs the package {module.partition('.')[0]!r}, which is not installed ({error}); run: pip install 'faceworks[{extra}]'"
        raise MissingDependency(message) from error
