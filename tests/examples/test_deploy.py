"""The files of examples/deploy are what their schemas ask for, and agree with each other."""

from __future__ import annotations

import functools
import json
import re
import signal
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema
from deploy_files import (
    FOLDER,
    compose,
    container,
    dockerfile,
    environment,
    manifests,
    options,
    read,
    seconds,
    service_command,
    start,
    stop_time,
    unit,
)

from asgiserver.metrics.figures import FIGURES

SCHEMAS = Path(__file__).parent / "schemas"
NAME = {"app.kubernetes.io/name": "chat"}
MANIFESTS = manifests()
KUBERNETES = "1.34"
ADMIN = {"ASGISERVER_ADMIN_TOKEN": "token"}
MARGIN = 3  # seconds that a supervisor has for the end of its workers, beside all of the times


def check(document: dict[str, Any]) -> None:
    """Raise when a manifest is not what its schema asks for."""
    own = SCHEMAS / f"{document['kind']}.json"
    if own.exists():
        jsonschema.validate(document, json.loads(own.read_text()))
    else:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


@pytest.mark.parametrize("kind", MANIFESTS)
def test_a_manifest_is_what_its_schema_asks_for(kind: str) -> None:
    check(MANIFESTS[kind])


def test_a_schema_finds_a_misspelt_field() -> None:
    for kind in ("Deployment", "HTTPRoute", "PodMonitor"):
        document = json.loads(json.dumps(MANIFESTS[kind]))
        document["spec"]["selectors"] = {}
        with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
            check(document)


def test_the_compose_file_is_what_the_specification_asks_for() -> None:
    jsonschema.validate(compose(), get_builtin_schema("vendor.compose-spec"))


# Times that have to fit into each other --------------------------------------------------------


@functools.cache
def chat_in_kubernetes() -> dict[str, Any]:
    plain = {entry["name"]: entry["value"] for entry in container()["env"] if "value" in entry}
    return options(container()["args"], **{**dockerfile()[0], **plain, **ADMIN})


@functools.cache
def chat_in_compose() -> dict[str, Any]:
    service = compose()["services"]["chat-a"]
    return options(service["command"], **{**dockerfile()[0], **service["environment"]})


@functools.cache
def chat_of_systemd() -> dict[str, Any]:
    return options(service_command(), **ADMIN)


def test_a_pod_has_time_to_end() -> None:
    grace = MANIFESTS["Deployment"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    pre_stop = container()["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert grace >= pre_stop + stop_time(chat_in_kubernetes()) + MARGIN
    # Each line of the comment that tells the times.
    told = [int(number) for number in re.findall(r"^#  +(\d+)  ", read_deployment(), re.MULTILINE)]
    values = chat_in_kubernetes()
    steps = [0, pre_stop, values["drain_delay"], values["timeout_graceful_shutdown"]]
    steps.append(values["timeout_lifespan_shutdown"])
    assert told == [sum(steps[: count + 1]) for count in range(len(steps))]
    assert f"at {grace} it would be killed" in read_deployment()


def read_deployment() -> str:
    return read("kubernetes/base/deployment.yaml")


def test_a_container_of_compose_has_time_to_end() -> None:
    for name in ("chat-a", "chat-b"):
        service = compose()["services"][name]
        assert seconds(service["stop_grace_period"]) >= stop_time(chat_in_compose()) + MARGIN


def test_the_service_of_systemd_has_time_to_end() -> None:
    assert seconds(unit("chat.service")["Service"]["TimeoutStopSec"]) >= (
        stop_time(chat_of_systemd()) + MARGIN
    )


def test_haproxy_leaves_a_server_out_before_it_stops_listening() -> None:
    checks = re.search(r"inter (\S+) fall (\d+) rise", read("haproxy.cfg"))
    # One check may have begun just before the drain.
    notices = seconds(checks[1]) * (int(checks[2]) + 1)
    assert notices < chat_of_systemd()["drain_delay"]


def test_readiness_is_lost_within_the_drain() -> None:
    probe = container()["readinessProbe"]
    values = chat_in_kubernetes()
    assert probe["periodSeconds"] * probe["failureThreshold"] <= values["drain_delay"]


# Names and ports that are the same ---------------------------------------------------------------


def test_probes_ask_the_admin_listener() -> None:
    ports = {port["name"]: port["containerPort"] for port in container()["ports"]}
    values = chat_in_kubernetes()
    assert values["host"] == "0.0.0.0"
    assert values["port"] == ports["http"]
    assert values["admin"] == f"0.0.0.0:{ports['admin']}"
    asked = {
        kind: (probe["httpGet"]["path"], probe["httpGet"]["port"])
        for kind, probe in container().items()
        if kind.endswith("Probe")
    }
    assert asked == {
        "startupProbe": ("/startupz", "admin"),
        "readinessProbe": ("/readyz", "admin"),
        "livenessProbe": ("/livez", "admin"),
    }


def test_everything_means_the_same_pods() -> None:
    spec = {kind: document["spec"] for kind, document in MANIFESTS.items()}
    template = spec["Deployment"]["template"]
    assert template["metadata"]["labels"] == NAME
    assert spec["Service"]["selector"] == NAME
    (spread,) = template["spec"]["topologySpreadConstraints"]
    for kind in ("Deployment", "PodDisruptionBudget", "PodMonitor"):
        assert spec[kind]["selector"] == {"matchLabels": NAME}
    assert spread["labelSelector"] == {"matchLabels": NAME}
    deployment = MANIFESTS["Deployment"]
    assert spec["HorizontalPodAutoscaler"]["scaleTargetRef"] == {
        "apiVersion": deployment["apiVersion"],
        "kind": "Deployment",
        "name": deployment["metadata"]["name"],
    }
    assert "replicas" not in spec["Deployment"]  # the autoscaler's, at each rollout too


def test_the_route_leads_to_ports_of_the_service() -> None:
    service, route = MANIFESTS["Service"], MANIFESTS["HTTPRoute"]
    ports = {port["port"]: port for port in service["spec"]["ports"]}
    assert {port["targetPort"] for port in ports.values()} == {"http"}
    spoken = {}
    for rule in route["spec"]["rules"]:
        (backend,) = rule["backendRefs"]
        assert backend["name"] == service["metadata"]["name"]
        (match,) = rule.get("matches", [{"path": {"value": "/"}}])
        spoken[match["path"]["value"]] = ports[backend["port"]]["appProtocol"]
    assert spoken == {"/rooms": "kubernetes.io/ws", "/": "kubernetes.io/h2c"}


def test_the_autoscaler_asks_for_a_figure_that_there_is() -> None:
    (metric,) = MANIFESTS["HorizontalPodAutoscaler"]["spec"]["metrics"]
    name = metric["pods"]["metric"]["name"]
    gauges = {figure.metric or figure.name for figure in FIGURES if figure.kind == "gauge"}
    assert name in {f"asgiserver_{gauge}" for gauge in gauges}
    (rule,) = yaml.safe_load(read("kubernetes/prometheus-adapter.yaml"))["rules"]["custom"]
    assert rule["seriesQuery"].startswith(f"{name}{{")


def test_prometheus_has_the_token_and_names_the_job_as_the_alerts_do() -> None:
    (endpoint,) = MANIFESTS["PodMonitor"]["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] in {port["name"] for port in container()["ports"]}
    (token,) = [entry for entry in container()["env"] if "valueFrom" in entry]
    assert token["name"] == "ASGISERVER_ADMIN_TOKEN"
    assert endpoint["authorization"]["credentials"] == token["valueFrom"]["secretKeyRef"]
    assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": "asgiserver"}]
    assert 'up{job="asgiserver"}' in (FOLDER.parent / "monitoring" / "alerts.yml").read_text()


def test_haproxy_and_systemd_agree() -> None:
    values, proxy = chat_of_systemd(), read("haproxy.cfg")
    port = unit("chat.socket")["Socket"]["ListenStream"]
    servers = re.findall(r"^    server \w+ ([\d.]+):(\d+)$", proxy, re.MULTILINE)
    assert len(servers) == 2
    assert {listened for _, listened in servers} == {port}
    checked = re.search(r"check port (\d+) ", proxy)[1]
    assert values["admin"] == f"0.0.0.0:{checked}"
    assert "option httpchk GET /readyz" in proxy
    assert "send-proxy-v2" in proxy
    assert values["proxy_protocol"] == "v2"
    assert values["proxy_protocol_allow_ips"] not in ("", "*", ["*"])


def test_systemd_starts_the_service_with_its_socket() -> None:
    service = unit("chat.service")
    assert service["Unit"]["Requires"] == "chat.socket"
    assert "chat.socket" in service["Unit"]["After"].split()
    assert service["Service"]["KillMode"] == "mixed"


def test_the_parts_of_compose_know_each_other() -> None:
    services = compose()["services"]
    for service in services.values():
        wanted = service.get("depends_on", {})
        assert set(wanted) <= set(services)
        if isinstance(wanted, dict):
            for name, condition in wanted.items():
                assert condition == {"condition": "service_healthy"}
                assert "healthcheck" in services[name]
        for volume in service.get("volumes", []):
            assert (FOLDER / volume.split(":")[0]).exists(), volume
    values = chat_in_compose()
    chats = {name for name, service in services.items() if service.get("image") == "chat"}
    upstream = set(re.findall(r"^ +server (\S+:\d+) ", read("nginx.conf"), re.MULTILINE))
    assert upstream == {f"{name}:{values['port']}" for name in chats}
    (job,) = yaml.safe_load(read("prometheus.yml"))["scrape_configs"]
    admin = values["admin"].rpartition(":")[2]
    assert set(job["static_configs"][0]["targets"]) == {f"{name}:{admin}" for name in chats}
    assert job["job_name"] == "asgiserver"
    for name in chats:
        assert services[name]["hostname"] == name
        assert services[name]["environment"]["REDIS_URL"] == "redis://redis:6379"
        assert f":{admin}/readyz" in services[name]["healthcheck"]["test"][-1]


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    volumes = [volume.split(":") for volume in compose()["services"]["grafana"]["volumes"]]
    (source,) = yaml.safe_load(read("grafana/datasource.yaml"))["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load(read("grafana/dashboards.yaml"))["providers"]
    boards = [target for _, target, _ in volumes if target.endswith(".json")]
    assert [str(Path(board).parent) for board in boards] == [provider["options"]["path"]]


# The image ---------------------------------------------------------------------------------------


def test_the_command_of_the_image_honours_port(tmp_path: Path) -> None:
    variables, command = dockerfile()
    assert options(command, **variables)["port"] == 8000
    assert options(command, **{**variables, "PORT": "8123"})["port"] == 8123
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*start(command), "--ready-fd", "1"],
            cwd=FOLDER,
            env=environment(**{**variables, "PORT": "0"}),
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
        )
    with process:
        try:
            line = process.stdout.readline()
            assert line, log.read_text()
            port = json.loads(line)["addresses"][0].rpartition(":")[2]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
                assert json.load(answer)["client"] == "127.0.0.1"
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)
            assert process.returncode == 0
        finally:
            process.kill()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert lines  # JSON, as the image asks for
