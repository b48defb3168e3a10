"""Run the commands of README.md as a new user would: every line `$ faceworks …` of its console blocks, and its Python blocks.

A comment `# exit code N` behind a command says which one is expected (else 0). `--folder DIR` is where they run: it must hold what
`faceworks demo` wrote. `--list` prints them only.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def commands(text: str) -> list[tuple[str, int]]:
    """The shell lines and the exit code that each promises."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in re.findall(r"^\$ (faceworks .*)$", block, re.MULTILINE):
            command, _, comment = line.partition("  #")
            code = re.search(r"exit code (\d+)", comment)
            found.append((command.strip(), int(code[1]) if code else 0))
    return found


def programs(text: str) -> list[str]:
    """The Python blocks."""
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def main() -> int:
    """Run all; 1 when one behaves otherwise than the README says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path())
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    tasks = [(command, re.sub(r"^faceworks\b", f'"{sys.executable}" -m faceworks', command), code) for command, code in commands(text)]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    wrong = 0
    for shown, command, expected in tasks:
        print(f"$ {shown}", flush=True)
        if options.list:
            continue
        done = subprocess.run(command, shell=True, cwd=options.folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != expected:
            wrong += 1
            print(f"exit code {done.returncode}, the README promises {expected}\n{done.stdout}{done.stderr}", flush=True)
    for program in [] if options.list else programs(text):
        print("python block", flush=True)
        done = subprocess.run([sys.executable, "-c", program], cwd=options.folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            wrong += 1
            print(done.stdout + done.stderr, flush=True)
    print(f"{len(tasks)} commands, {wrong} not as the README says")
    return 1 if wrong or not tasks else 0


if __name__ == "__main__":
    sys.exit(main())
