"""The container's and systemd's files against rules (no engine runs here): what hadolint's and the CIS benchmark's main rules ask, read from the files."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from faceworks.cli.serve import serve

ROOT = Path(__file__).resolve().parents[2]
KNOWN = {"ARG", "FROM", "WORKDIR", "ENV", "COPY", "RUN", "LABEL", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "CMD", "ENTRYPOINT"}


def instructions() -> list[tuple[str, str]]:
    text = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
    joined = re.sub(r"\\\n\s*", " ", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE))
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in joined.splitlines() if line.strip()]


def last_stage() -> list[tuple[str, str]]:
    rows = instructions()
    return rows[max(i for i, (name, _) in enumerate(rows) if name == "FROM") :]


def test_every_instruction_is_known_and_the_base_is_pinned() -> None:
    rows = instructions()
    assert {name for name, _ in rows} <= KNOWN
    arguments = dict(value.split("=", 1) for name, value in rows if name == "ARG")
    for name, value in rows:
        if name == "FROM":
            image = re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], value.split()[0])
            assert re.fullmatch(r"[a-z0-9./-]+:[\w.-]+", image), "a base image has a tag"
            assert not image.endswith(":latest")


def test_it_runs_without_rights() -> None:
    users = [value for name, value in last_stage() if name == "USER"]
    assert users
    assert all(re.fullmatch(r"[1-9]\d*:[1-9]\d*", user) for user in users), "numeric and not root, so that runAsNonRoot can check it"
    order = [name for name, _ in last_stage()]
    assert order.index("USER") < order.index("CMD")
    assert "RUN" not in order[order.index("USER") :]


def test_commands_take_signals_and_health_is_checked() -> None:
    rows = dict(last_stage())
    assert rows["CMD"].startswith("["), "the exec form: a shell would swallow SIGTERM"
    assert re.search(r"--interval=\d+s --timeout=\d+s --start-period=\d+s --retries=\d +CMD \[", rows["HEALTHCHECK"])
    words = [word.strip(" ,") for word in shlex.split(rows["CMD"].strip("[]").replace(",", " "))]
    assert words[:2] == ["faceworks", "serve"]
    options = {name for item in serve.params for name in item.opts}
    assert {word for word in words if word.startswith("--")} <= options


def test_nothing_is_fetched_that_is_not_named_and_no_secret_is_built_in() -> None:
    for name, value in instructions():
        assert name != "ADD"
        if name == "RUN":
            assert not re.search(r"curl|wget|sudo|apt-get|chmod 777", value)
        assert not re.search(r"(?i)password|secret|token|fw_[0-9a-f]", value)
        if name == "COPY" and "--from" not in value:
            assert all((ROOT / source).exists() for source in value.split()[:-1]), value
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignored[0] == "*", "a list of what goes in, not of what stays out"


def test_compose_is_closed_by_default() -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    service = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text(encoding="utf-8"))["services"]["faceworks"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert "no-new-privileges:true" in service["security_opt"]
    assert (ROOT / "docker" / service["build"]["context"] / service["build"]["dockerfile"]).resolve().is_file()


def test_the_unit_is_hardened_and_its_command_exists() -> None:
    unit = configparser.RawConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(ROOT / "docker" / "faceworks.service", encoding="utf-8")
    service = unit["Service"]
    for name in ("NoNewPrivileges", "PrivateTmp", "PrivateDevices", "DynamicUser", "ProtectHome", "RestrictSUIDSGID", "LockPersonality"):
        assert service[name] == "yes", name
    assert service["ProtectSystem"] == "strict"
    assert service["UMask"] == "0077"
    words = shlex.split(service["ExecStart"])
    assert words[0].endswith("/faceworks")
    assert {word for word in words if word.startswith("--")} <= {name for item in serve.params for name in item.opts}
    assert "127.0.0.1" in words


def test_systemd_itself_finds_no_fault(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    text = (ROOT / "docker" / "faceworks.service").read_text(encoding="utf-8")
    unit = tmp_path / "faceworks.service"
    unit.write_text(text.replace("/opt/faceworks/bin/faceworks", "/bin/true"), encoding="utf-8")  # the program is not installed where tests run
    for words in (["verify", "--man=no"], ["security", "--offline=true", "--no-pager", "--threshold=20"]):  # 2.0 of 10: "OK" begins below 4
        done = subprocess.run(["systemd-analyze", *words, str(unit)], capture_output=True, text=True, check=False, timeout=60)
        if "Unknown" in done.stderr or "unrecognized option" in done.stderr:
            pytest.skip("this systemd-analyze is too old")
        assert (done.returncode, done.stderr) == (0, ""), done.stdout[-2000:] + done.stderr


def test_the_howto_names_files_and_options_that_exist() -> None:
    text = (ROOT / "docs" / "howto" / "deploy.md").read_text(encoding="utf-8")
    for path in re.findall(r"`((?:docker|tests|docs)/[\w./-]+)`", text):
        assert (ROOT / path).exists(), path
    options = {name for item in serve.params for name in item.opts}
    for line in re.findall(r"^faceworks serve (?!keys)(.*)$", text, re.MULTILINE):
        assert {word for word in line.split("#")[0].split() if word.startswith("--")} <= options, line
