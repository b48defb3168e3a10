"""`make audit`: what is installed beside faceworks, under which licenses, and whether the index knows of vulnerabilities.

    python tools/audit.py [--json] [--deny GPL,AGPL] [--vulnerabilities]

Licenses are read from the installed metadata of faceworks' dependencies (walked from its own requirements, extras included where they are installed).
A license on the deny list ends with 1. Vulnerabilities are asked of pip-audit where it is installed; without it, or without network, that is said and
is no success: the exit code is 3.
"""

from __future__ import annotations

import argparse
import importlib.metadata as metadata
import json
import re
import subprocess
import sys
from importlib.util import find_spec

DENIED = ("AGPL", "GPL")
EXTRAS = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")
ORACLES = {"dev", "oracles"}
"""Extras of tests alone: never part of what is delivered."""


def requirements(name: str, extras: set[str]) -> list[str]:
    """Names that a distribution requires, with its extras."""
    found = []
    for line in metadata.requires(name) or []:
        text, _, marker = line.partition(";")
        wanted = EXTRAS.search(marker)
        if wanted is None or wanted[1] in extras:
            match = re.match(r"[A-Za-z0-9._-]+", text.strip())
            if match:
                found.append(match[0])
    return found


def license_of(name: str) -> str:
    """What the metadata says: the SPDX expression, else the classifiers, else the first line of the license field."""
    facts = metadata.metadata(name)
    if facts.get("License-Expression"):
        return str(facts["License-Expression"])
    classes = [item.rpartition(" :: ")[2] for item in facts.get_all("Classifier") or [] if item.startswith("License ::")]
    text = str(facts.get("License") or "").strip().splitlines()
    return "; ".join(classes) or (text[0][:80] if text else "unknown")


def walk(root: str = "faceworks") -> list[dict[str, str]]:
    """The installed closure of a distribution's requirements."""
    provided = set(metadata.metadata(root).get_all("Provides-Extra") or []) - ORACLES - {"all"}
    waiting, seen, rows = requirements(root, provided), set[str](), []
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in seen or name == root:
            continue
        seen.add(name)
        try:
            rows.append({"name": name, "version": metadata.version(name), "license": license_of(name)})
        except metadata.PackageNotFoundError:
            continue  # an extra that is not installed
        waiting += requirements(name, set())
    return sorted(rows, key=lambda row: row["name"])


def denied(text: str, words: tuple[str, ...]) -> bool:
    """Whether a license is one of these families (LGPL is not GPL; a choice `MIT OR GPL-2.0` is not denied)."""
    parts = re.split(r"\s+OR\s+|;", text)
    return bool(parts) and all(any(re.search(rf"(?<![A-Za-z]){word}", part) for word in words) for part in parts)


def main() -> int:
    """Print the table; see the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--deny", default=",".join(DENIED))
    parser.add_argument("--vulnerabilities", action="store_true")
    asked = parser.parse_args()
    rows = walk()
    words = tuple(word for word in asked.deny.split(",") if word)
    bad = [row for row in rows if denied(row["license"], words)]
    if asked.json:
        print(json.dumps({"packages": rows, "denied": bad}, indent=1))
    else:
        for row in rows:
            print(f"{'DENIED ' if row in bad else ''}{row['name']:<32}{row['version']:<16}{row['license']}")
        print(
            f"{len(rows)} packages, {len(bad)} with a license that is not wanted, {sum(row['license'] == 'unknown' for row in rows)} without one in their metadata"
        )
    if bad:
        return 1
    if asked.vulnerabilities:
        if find_spec("pip_audit") is None:
            print("pip-audit is not installed: vulnerabilities were NOT looked up (pip install pip-audit)", file=sys.stderr)
            return 3
        pins = "".join(f"{row['name']}=={row['version']}\n" for row in rows)
        done = subprocess.run(
            [sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "-r", "/dev/stdin"], input=pins, text=True, check=False
        )
        return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
