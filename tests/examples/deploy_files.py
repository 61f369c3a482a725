"""The files of examples/deploy as data, and the options that their commands give to a server."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "examples" / "deploy"
BASE = FOLDER / "kubernetes" / "base"


def read(path: str) -> str:
    return (FOLDER / path).read_text()


def manifests() -> dict[str, Any]:
    """The manifests of the base, by their kind."""
    names = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    assert {*names, "kustomization.yaml"} == {path.name for path in BASE.iterdir()}
    documents = [yaml.safe_load((BASE / name).read_text()) for name in names]
    return {document["kind"]: document for document in documents}


def container() -> dict[str, Any]:
    """The one container of the Deployment."""
    (container,) = manifests()["Deployment"]["spec"]["template"]["spec"]["containers"]
    return container


def compose() -> dict[str, Any]:
    return yaml.safe_load(read("compose.yaml"))


def unit(name: str) -> configparser.ConfigParser:
    """A unit of systemd."""
    parser = configparser.ConfigParser(interpolation=None, delimiters="=", comment_prefixes="#")
    parser.optionxform = str
    parser.read_string(read(f"systemd/{name}"))
    return parser


def service_command() -> list[str]:
    """The command of the service, without the path of the interpreter's environment."""
    program, *arguments = shlex.split(unit("chat.service")["Service"]["ExecStart"])
    return [Path(program).name, *arguments]


def dockerfile() -> tuple[dict[str, str], list[str]]:
    """The variables and the command of the image."""
    text = read("Dockerfile").rpartition("\nFROM ")[2].replace("\\\n", " ")
    variables = shlex.split(re.search(r"^ENV (.*)$", text, re.MULTILINE)[1])
    command = json.loads(re.search(r"^CMD (\[.*\])$", text, re.MULTILINE)[1])
    return dict(variable.split("=", 1) for variable in variables), command


def environment(**variables: str) -> dict[str, str]:
    """This one without options of a server, with the package, and with `variables`."""
    ours = ("ASGISERVER_", "UVICORN_", "PORT", "WEB_CONCURRENCY")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "PYTHONPATH": str(ROOT), **variables}


def start(command: list[str]) -> list[str]:
    """A command of the files, for this interpreter."""
    program, *arguments = command
    assert program == "asgiserver"
    return [sys.executable, "-m", "asgiserver", *arguments]


def options(command: list[str], **variables: str) -> dict[str, Any]:
    """What the server makes of a command: every option and its value."""
    done = subprocess.run(
        [*start(command), "--print-config"],
        cwd=FOLDER,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    return tomllib.loads(done.stdout)


def stop_time(values: dict[str, Any]) -> float:
    """The longest time that a server takes to stop, in seconds."""
    times = ("drain_delay", "timeout_graceful_shutdown", "timeout_lifespan_shutdown")
    return sum(float(values[name]) for name in times)


def seconds(text: str) -> float:
    """A time of a file, such as 35s or 100ms; a bare number is seconds."""
    number, unit = re.fullmatch(r"(\d+)(ms|s|)", text).groups()
    return int(number) * (0.001 if unit == "ms" else 1)
