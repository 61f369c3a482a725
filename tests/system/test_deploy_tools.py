"""The programs that will read the files of examples/deploy find no fault with them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from proxies import program

FOLDER = Path(__file__).parents[2] / "examples" / "deploy"


def passes(*command: str, cwd: Path = FOLDER) -> str:
    """Run a command that has to say nothing but that all is well, and return its output."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warn" not in done.stderr.lower(), done.stderr
    return done.stdout


def test_nginx(tmp_path):
    nginx = program("nginx")
    # In a network of compose the names of the services have addresses.
    text = (FOLDER / "nginx.conf").read_text().replace("server chat-", "server 127.0.0.1; #")
    config = tmp_path / "nginx.conf"
    config.write_text(f"pid {tmp_path}/nginx.pid;\n{text}")
    passes(nginx, "-t", "-p", str(tmp_path), "-c", str(config), "-e", "stderr")


def test_haproxy():
    passes(program("haproxy"), "-c", "-f", "haproxy.cfg")


def test_promtool(tmp_path):
    promtool = program("promtool")
    # compose puts the two files beside each other.
    for source in (FOLDER / "prometheus.yml", FOLDER.parent / "monitoring" / "alerts.yml"):
        shutil.copy(source, tmp_path)
    passes(promtool, "check", "config", "prometheus.yml", cwd=tmp_path)


def test_systemd(tmp_path):
    analyze = program("systemd-analyze")
    # The service's own environment of Python is on no other machine.
    for name in ("chat.service", "chat.socket"):
        text = (FOLDER / "systemd" / name).read_text()
        text = text.replace("/srv/chat/venv/bin/asgiserver", sys.executable)
        (tmp_path / name).write_text(text)
    units = (str(tmp_path / name) for name in ("chat.service", "chat.socket"))
    done = subprocess.run([analyze, "verify", *units], capture_output=True, text=True, timeout=110)
    found = [line for line in done.stderr.splitlines() if "chat." in line]
    assert not found
    assert done.returncode == 0, done.stderr


def test_hadolint():
    beside = Path(sys.executable).parent
    hadolint = shutil.which("hadolint", path=os.pathsep.join((str(beside), os.environ["PATH"])))
    if hadolint is None:
        pytest.skip("hadolint is not installed: there is no wheel for this machine")
    passes(hadolint, "Dockerfile")


def test_kustomize_makes_manifests_of_the_overlay():
    made = passes(program("kubectl"), "kustomize", "kubernetes/production")
    documents = {document["kind"]: document for document in yaml.safe_load_all(made)}
    for document in documents.values():
        assert document["metadata"]["namespace"] == "chat"
        if document["kind"] not in ("HTTPRoute", "PodMonitor"):
            kubernetes_validate.validate(document, "1.34", strict=True)
    (container,) = documents["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["image"].startswith("registry.example.com/chat:")
    assert documents["HorizontalPodAutoscaler"]["spec"]["minReplicas"] == 3
    assert documents["HTTPRoute"]["spec"]["hostnames"] == ["chat.example.org"]
    # A changed ConfigMap has another name, so that pods are replaced.
    name = documents["ConfigMap"]["metadata"]["name"]
    assert container["envFrom"] == [{"configMapRef": {"name": name}}]
