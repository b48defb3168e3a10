"""The command line: translates words into calls of the library and results into tables or JSON. No logic of its own.

Exit codes: 0 done (verify: same), 1 different (verify with a result, and nothing else), 2 any error, 3 needs review (verify), 130 interrupted.
JSON on stdout is one document; progress, warnings and errors go to stderr. `--help` imports click and nothing heavy.
"""

from __future__ import annotations

from .app import app, exit_code, run

__all__ = ["app", "exit_code", "run"]
