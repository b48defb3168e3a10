"""Run pip so that it downloads a source archive and never runs it.

`pip download` of a source archive starts the archive's own build backend in a child process, only to learn its dependencies. This script is run as
`python -P stop_at_build.py PROJECT KEEP_FOLDER ARGUMENTS-of-pip…` in a throwaway process. It sets a PEP 578 audit hook, which cannot be taken away.
The hook notes the archive of PROJECT that pip opens. When pip then tries to start any process but its own small helpers (which tell its user agent
what machine this is, and passwords), the hook copies the archive to KEEP_FOLDER and the whole process ends. Whatever goes wrong in the hook ends it
too: nothing starts.

It imports nothing of faceworks and is never imported by it.
"""

from __future__ import annotations

import os
import re
import runpy
import shutil
import sys

_ARCHIVES = (".tar.gz", ".tgz", ".zip", ".tar.bz2", ".tar.xz")
_STARTS = {
    "subprocess.Popen", "os.posix_spawn", "os.spawn", "os.exec", "os.system", "os.fork", "os.forkpty", "pty.spawn",
    "_winapi.CreateProcess", "os.startfile", "os.startfile/2",
}  # fmt: skip
_HELPERS = frozenset(("lsb_release", "uname", "rustc", "keyring"))
STOPPED, REFUSED = 42, 43


def _helper(details: tuple[object, ...]) -> bool:
    """Whether a process-start event names one of pip's own helpers, found on the search path (not in a folder that an archive made)."""
    return bool(details) and isinstance(details[0], str) and (details[0] in _HELPERS or details[0] == shutil.which("keyring"))


def main() -> None:
    """Run pip with the hook in force."""
    project, keep, arguments = re.sub(r"[-_.]+", "-", sys.argv[1]).lower(), sys.argv[2], sys.argv[3:]
    seen = ""

    def take() -> int:
        if not seen:
            os.write(2, b"ERROR: pip wanted to start a process before the archive was there\n")
            return REFUSED
        shutil.copyfile(seen, os.path.join(keep, os.path.basename(seen)))
        return STOPPED

    ending = False

    def hook(event: str, details: tuple[object, ...]) -> None:
        nonlocal seen, ending
        if ending:
            return
        if event == "open" and not seen and isinstance(details[0], str) and details[0].lower().endswith(_ARCHIVES):
            name = os.path.basename(details[0])
            if re.sub(r"[-_.]+", "-", name).lower().startswith(project + "-"):
                seen = os.path.abspath(details[0])
        elif event in _STARTS:
            ending = True  # opening files below is our own doing
            code = REFUSED
            try:
                if _helper(details):
                    ending = False
                    return
                code = take()
            finally:
                if ending:
                    os._exit(code)

    sys.addaudithook(hook)
    sys.argv = ["pip", *arguments]
    runpy.run_module("pip", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
