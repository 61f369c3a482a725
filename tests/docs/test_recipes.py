"""The recipes of the pages about deployment, each given to the program that it is for."""

from __future__ import annotations

import json
import re
import shlex
import signal
import tomllib
import urllib.request
from typing import TYPE_CHECKING

import pytest
import yaml
from cli_server import Command
from pki import Authority
from ports import held_port
from recipes import blocks, program, recipe, run

if TYPE_CHECKING:
    from pathlib import Path

APP = """
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})
"""


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """Files with a certificate and its key, for the names of the recipes."""
    certfile, keyfile = Authority().issue("shop.example").write(tmp_path, "shop")
    return certfile, keyfile


def with_certificate(text: str, certificate: tuple[Path, Path]) -> str:
    certfile, keyfile = certificate
    text = text.replace("/etc/ssl/shop/fullchain.pem", str(certfile))
    return text.replace("/etc/ssl/shop/key.pem", str(keyfile))


def test_nginx_takes_its_recipe(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    nginx = program("nginx")
    site = with_certificate(recipe("deployment/nginx.md", "nginx", "shop.conf"), certificate)
    temporary = "".join(
        f"{name}_temp_path {tmp_path}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"pid {tmp_path}/pid; error_log stderr;\n"
        f"events {{}}\nhttp {{ access_log off;\n{temporary}{site} }}\n"
    )
    checked = run(nginx, "-t", "-c", config, "-p", tmp_path)
    assert checked.returncode == 0, checked.stdout
    assert "warn" not in checked.stdout


def test_apache_takes_its_recipe(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    apache = program("apache2")
    site = with_certificate(recipe("deployment/apache.md", "apache", "shop.conf"), certificate)
    modules = "/usr/lib/apache2/modules"
    names = ("mpm_event", "authz_core", "alias", "headers", "proxy", "proxy_http", "ssl")
    config = tmp_path / "apache.conf"
    config.write_text(
        f"ServerRoot {tmp_path}\nServerName localhost\nPidFile {tmp_path}/pid\n"
        f"DefaultRuntimeDir {tmp_path}\nErrorLog {tmp_path}/error.log\nListen 80\nListen 443\n"
        + "".join(f"LoadModule {name}_module {modules}/mod_{name}.so\n" for name in names)
        + site
    )
    checked = run(apache, "-t", "-f", config)
    assert checked.returncode == 0, checked.stdout
    assert "warn" not in checked.stdout.lower()


def test_haproxy_takes_its_recipe(tmp_path: Path) -> None:
    haproxy = program("haproxy")
    config = tmp_path / "haproxy.cfg"
    config.write_text(recipe("deployment/haproxy.md", "text", "haproxy.cfg"))
    checked = run(haproxy, "-c", "-V", "-f", config)
    assert checked.returncode == 0, checked.stdout
    assert "WARNING" not in checked.stdout


@pytest.mark.parametrize("name", ["/etc/caddy/Caddyfile", "# Caddyfile, for two servers"])
def test_caddy_takes_its_recipes(tmp_path: Path, name: str) -> None:
    caddy = program("caddy")
    config = tmp_path / "Caddyfile"
    config.write_text(recipe("deployment/caddy.md", "text", name))
    checked = run(caddy, "adapt", "--validate", "--config", config, cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("name", ["shop.service", "shop.socket"])
def test_systemd_takes_its_units(tmp_path: Path, name: str) -> None:
    analyze = program("systemd-analyze")
    server = "/srv/shop/venv/bin/asgiserver"
    for unit in ("shop.service", "shop.socket"):
        text = recipe("deployment/systemd.md", "ini", unit)
        (tmp_path / unit).write_text(text.replace(server, "/bin/true"))
    checked = run(analyze, "verify", "--man=no", tmp_path / name)
    assert (checked.returncode, checked.stdout) == (0, "")


def test_docker_lints_its_recipe(tmp_path: Path) -> None:
    hadolint = program("hadolint")
    file = tmp_path / "Dockerfile"
    file.write_text(recipe("deployment/docker.md", "dockerfile", "Dockerfile"))
    checked = run(hadolint, file)
    assert (checked.returncode, checked.stdout) == (0, "")


@pytest.mark.parametrize("environment", [{}, {"PORT": "free"}])
def test_the_container_listens_where_the_platform_says(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    """Without a container: its command with its variables, and PORT as a platform sets it."""
    text = recipe("deployment/docker.md", "dockerfile", "Dockerfile").replace("\\\n", "")
    variables = dict(
        pair.split("=", 1)
        for line in re.findall(r"^ENV (.+)$", text, re.MULTILINE)
        for pair in shlex.split(line)
    )
    (command,) = re.findall(r"^CMD (.+)$", text, re.MULTILINE)
    name, *args = json.loads(command)
    assert name == "asgiserver"
    free = held_port()
    if environment:
        environment = {"PORT": str(free)}
    else:
        args += ["--port", str(free)]
    (tmp_path / "main.py").write_text(APP)
    server = Command(tmp_path, *args, env=variables | environment)
    try:
        server.wait_ready()
        with urllib.request.urlopen(f"http://127.0.0.1:{free}/", timeout=30) as response:
            assert response.read() == b"hello"
        server.kill(signal.SIGTERM)
        assert server.wait() == 0
    finally:
        server.close()
    lines = [json.loads(line) for line in server.output.splitlines()]
    assert any(f"http://0.0.0.0:{free}" in line.get("message", "") for line in lines)


def kubernetes_resources() -> list[dict[str, object]]:
    return list(yaml.safe_load_all(recipe("deployment/kubernetes.md", "yaml", "shop.yaml")))


@pytest.mark.parametrize("version", ["1.30", "1.34"])
def test_kubernetes_knows_every_field_of_its_recipe(version: str) -> None:
    validator = pytest.importorskip("kubernetes_validate")
    for resource in kubernetes_resources():
        validator.validate(resource, version, strict=True)


def seconds(args: list[str], option: str, default: float) -> float:
    found = [arg.partition("=")[2] for arg in args if arg.startswith(f"{option}=")]
    return float(found[0].removesuffix("s")) if found else default


def test_a_pod_is_killed_only_after_everything_had_its_time() -> None:
    pod = kubernetes_resources()[0]["spec"]["template"]["spec"]  # type: ignore[index]
    container = pod["containers"][0]
    pre_stop = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    args = container["args"]
    delay = seconds(args, "--drain-delay", 0)
    total = pre_stop + delay
    total += seconds(args, "--timeout-graceful-shutdown", 25)
    total += seconds(args, "--timeout-lifespan-shutdown", 30)
    assert total < pod["terminationGracePeriodSeconds"]
    probe = container["readinessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] <= delay


def test_what_is_yaml_or_toml_can_be_read() -> None:
    for page in ("docker", "traefik"):
        for text in blocks(f"deployment/{page}.md", "yaml"):
            assert isinstance(yaml.safe_load(text), dict)
    fly = tomllib.loads(recipe("deployment/platforms.md", "toml", "fly.toml"))
    assert fly["processes"]["app"].startswith("asgiserver main:app")


def test_docker_compose_takes_its_recipe() -> None:
    compose = yaml.safe_load(recipe("deployment/docker.md", "yaml", "compose.yaml"))
    assert int(compose["services"]["shop"]["stop_grace_period"].removesuffix("s")) > 25 + 30
