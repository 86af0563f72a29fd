"""The deployment files against the server they start: its flags, its settings, its paths."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from darl.cli.main import app
from darl.serving.auth import KeyRing
from darl.serving.settings import load_settings

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["darl"]
DEPLOYMENT, SERVICE = yaml.safe_load_all((DEPLOY / "kubernetes/darl.yaml").read_text())
CONTAINER = DEPLOYMENT["spec"]["template"]["spec"]["containers"][0]
MONITOR = yaml.safe_load((DEPLOY / "kubernetes/monitor.yaml").read_text())
PAGE = (DEPLOY.parent / "docs/deploy.md").read_text()
UNIT = (DEPLOY / "darl.service").read_text()
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()


def commands() -> dict[str, list[str]]:
    """What follows `darl serve` in each file."""
    image = re.search(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    unit = re.search(r"^ExecStart=\S+/darl serve (.*)$", UNIT, re.MULTILINE)
    assert image
    assert unit
    return {
        "image": yaml.safe_load(image.group(1)),
        "compose": COMPOSE["command"],
        "kubernetes": CONTAINER["args"],
        "systemd": shlex.split(unit.group(1)),
    }


def environment() -> dict[str, Any]:
    found = dict(COMPOSE["environment"]) | {entry["name"]: entry["value"] for entry in CONTAINER["env"]}
    return found | dict(part.split("=", 1) for part in re.findall(r"DARL_\w+=\S+", UNIT))


@pytest.mark.parametrize("where", commands())
def test_the_command_line_is_one_that_darl_takes(where: str) -> None:
    serve = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    context = serve.make_context("serve", list(commands()[where]), resilient_parsing=False)
    assert context.params["port"] == 8080


def test_every_variable_is_a_setting_of_the_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    named = {name: value for name, value in environment().items() if name.startswith("DARL_SERVE_")}
    assert named
    for name, value in named.items():
        monkeypatch.setenv(name, str(value))
    settings = load_settings(None, model=tmp_path)
    for name, value in named.items():
        assert float(getattr(settings, name.removeprefix("DARL_SERVE_").lower())) == float(value)


def test_the_drain_ends_before_the_platform_kills() -> None:
    compose = float(COMPOSE["environment"]["DARL_SERVE_DRAIN_SECONDS"])
    assert float(COMPOSE["stop_grace_period"].removesuffix("s")) > compose
    kubernetes = next(float(entry["value"]) for entry in CONTAINER["env"] if entry["name"].endswith("DRAIN_SECONDS"))
    asleep = float(CONTAINER["lifecycle"]["preStop"]["exec"]["command"][1])
    assert DEPLOYMENT["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > kubernetes + asleep
    stop, drain = (re.search(pattern, UNIT) for pattern in (r"TimeoutStopSec=(\d+)", r"DRAIN_SECONDS=(\d+)"))
    assert stop
    assert drain
    assert int(stop.group(1)) > int(drain.group(1))


def test_health_is_asked_where_it_is_answered() -> None:
    assert "/health" in DOCKERFILE
    assert "/health" in COMPOSE["healthcheck"]["test"][-1]
    for probe in ("startupProbe", "readinessProbe"):
        assert CONTAINER[probe]["httpGet"] == {"path": "/health", "port": "http"}
    assert SERVICE["spec"]["selector"] == DEPLOYMENT["spec"]["template"]["metadata"]["labels"]


def test_a_new_model_can_take_the_place_of_what_is_mounted() -> None:
    """A mount stays with the folder it was given: what is replaced must lie inside it."""
    mounts = re.findall(r"-v \$PWD/(\S+):(/model):ro", PAGE) + re.findall(r"(?<=MODEL=\$PWD/)(\S+)()", PAGE)
    mounts += [re.fullmatch(r"\$\{MODEL:-\.\./(.*)\}:(/model):ro", COMPOSE["volumes"][0]).groups()]  # type: ignore[union-attr]
    assert len(mounts) == 3
    for source, target in mounts:
        assert source == "runs/insurance", "the run's folder, not its model's"
        assert target in ("", commands()["image"][0], COMPOSE["command"][0])


def test_prometheus_brings_a_key() -> None:
    pod = DEPLOYMENT["spec"]["template"]["metadata"]
    assert not any(name.startswith("prometheus.io") for name in pod.get("annotations", {})), "it would get 401"
    assert MONITOR["spec"]["selector"]["matchLabels"] == pod["labels"]
    (endpoint,) = MONITOR["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] in [port["name"] for port in CONTAINER["ports"]]
    assert endpoint["path"] == "/metrics"
    (inline,) = re.findall(r"`authorization: (\{.*\})`", PAGE)
    for authorization in (endpoint["authorization"], yaml.safe_load(inline)):
        header = f"{authorization['type']} s3cret".encode()
        assert KeyRing(["s3cret"]).opens([(b"authorization", header)])


def test_what_the_image_copies_and_installs_is_there() -> None:
    root = DEPLOY.parent
    for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (root / source).exists(), source
    pyproject = (root / "pyproject.toml").read_text()
    for extra in re.findall(r'"\.\[(\w+)\]"', DOCKERFILE):
        assert re.search(rf"^{extra} = \[", pyproject, re.MULTILINE)


def test_nobody_is_root() -> None:
    assert re.search(r"^USER darl$", DOCKERFILE, re.MULTILINE)
    assert DEPLOYMENT["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"]
    assert "User=darl" in UNIT
