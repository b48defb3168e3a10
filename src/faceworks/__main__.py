"""`python -m faceworks` and the console script `faceworks`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    try:
        from .cli import run
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 - an installation that is broken is an error (2), never "different" (1)
        sys.stderr.write(f"faceworks: error: the installation is incomplete ({error}); run: pip install --force-reinstall faceworks\n")
        sys.exit(2)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
