"""The files in deploy/ agree with the settings, the web routes and each other."""

from __future__ import annotations

import re
import tomllib
from configparser import ConfigParser
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any, cast

import kubernetes_validate
import pytest
import yaml  # type: ignore[import-untyped]
from aiohttp import web

from esl_controller.cli.arguments import parser
from esl_controller.config.loading import load
from esl_controller.config.settings import Settings
from esl_controller.secretaries.folder import read_all
from esl_controller.server.listener import STOP_S
from esl_controller.server.loop_watch import WATCH_S
from esl_controller.server.shutdown import HAND_OVER_S
from esl_controller.server.web.routes import web_routes
from tests.paths import ROOT

UNIT = ROOT / "deploy" / "systemd" / "esl-controller.service"
MANIFESTS = ROOT / "deploy" / "kubernetes"
STOPPED_S = 10
POD_IP = "10.0.0.20"


@pytest.fixture(scope="module")
def service() -> dict[str, str]:
    """The unit's [Service] section; of a key that comes twice the last one."""
    unit = ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(UNIT)
    return dict(unit["Service"])


@pytest.fixture(scope="module")
def resources() -> dict[tuple[str, str], Any]:
    """All manifests, by kind and name."""
    documents = [
        document
        for path in sorted(MANIFESTS.glob("*.yaml"))
        if path.name != "kustomization.yaml"
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]
    return {(one["kind"], one["metadata"]["name"]): one for one in documents}


@pytest.fixture(scope="module")
def pod(resources: dict[tuple[str, str], Any]) -> Any:
    return resources["StatefulSet", "esl-controller"]["spec"]["template"]["spec"]


@pytest.fixture(scope="module")
def container(pod: Any) -> Any:
    (only,) = pod["containers"]
    return only


def environment(resources: dict[tuple[str, str], Any], container: Any) -> dict[str, str]:
    """What the controller finds in its environment, as Kubernetes puts it together."""
    config = resources["ConfigMap", "esl-controller"]["data"]
    secret = resources["Secret", "esl-controller"]["stringData"]
    own = {one["name"]: one.get("value", POD_IP) for one in container["env"]}
    everything = {**config, **secret, **own}
    return {name: value.replace("$(POD_IP)", POD_IP) for name, value in everything.items()}


@pytest.mark.parametrize("of", ["1.29", "1.31", "1.37"])
def test_kubernetes_knows_every_field(resources: dict[tuple[str, str], Any], of: str) -> None:
    assert len(resources) >= 7
    for resource in resources.values():
        kubernetes_validate.validate(resource, of, strict=True)
    budget = resources["PodDisruptionBudget", "esl-controller"]
    misspelt = {**budget, "spec": {**budget["spec"], "maxUnavailble": 1}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(misspelt, of, strict=True)


def test_a_stop_has_the_time_that_it_takes(service: dict[str, str], pod: Any) -> None:
    assert HAND_OVER_S + STOP_S <= STOPPED_S
    assert STOPPED_S < float(service["TimeoutStopSec"].removesuffix("s")) <= 30
    command = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    limit_s = parser().parse_args(command[1:]).limit
    assert command[0] == "esl-controller"
    assert pod["terminationGracePeriodSeconds"] > limit_s + STOPPED_S


def test_the_unit_restarts_it_and_gives_it_what_it_needs(service: dict[str, str]) -> None:
    command = service["ExecStart"].split()
    assert Path(command[0]).name == "esl-controller"
    assert parser().parse_args(command[1:]).command == "serve"
    assert service["Restart"] == "always"
    assert service["KillSignal"] == "SIGTERM"
    assert Settings().store.url == "sqlite:///esl-controller.db", "a file of WorkingDirectory"
    assert service["WorkingDirectory"] == f"%S/{service['StateDirectory']}"


def test_systemd_ends_a_controller_that_is_frozen(service: dict[str, str]) -> None:
    assert service["Type"] == "notify"
    assert 3 * WATCH_S <= float(service["WatchdogSec"].removesuffix("s")) <= 10
    assert service["WatchdogSignal"] == "SIGKILL", "nothing else ends one that is stopped"
    assert "AF_UNIX" in service["RestrictAddressFamilies"]


def test_one_that_eats_up_the_machine_does_not_take_freeswitch_with_it(
    service: dict[str, str],
) -> None:
    limit = re.fullmatch(r"(\d+)G", service["MemoryMax"])
    assert limit is not None
    needed_mb = 140 + 0.2 * Settings().esl.max_calls  # as the unit says
    assert 2 * needed_mb <= int(limit[1]) * 1024 <= 4096


def test_what_is_installed_was_checked_against_the_lock() -> None:
    for file, times in (("Makefile", 2), ("Dockerfile", 1)):
        text = re.sub(r"\\\n\s*", "", (ROOT / file).read_text(encoding="utf-8"))
        commands = [each for each in re.split(r"[\n;]|&&", text) if not each.startswith("#")]
        locked = [
            each for each in commands if re.search(r"-r(equirement)? requirements\.lock", each)
        ]
        assert len(locked) == times, file
        assert all(" --require-hashes " in each for each in locked), file
    install = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\ninstall:")[2]
    pip = [
        each for each in install.partition("\n\n")[0].split(";") if re.match(r'[\s\\]*pip "', each)
    ]
    assert len(pip) == 4
    offline = ("--require-hashes", "--no-index", "--no-deps --wheel-dir")
    assert all(any(word in each for word in offline) for each in pip), "nothing else is fetched"


def test_the_ports_are_those_of_the_settings(
    resources: dict[tuple[str, str], Any], container: Any
) -> None:
    settings = Settings()
    ports = {"esl": settings.esl.port, "media": settings.media.port, "web": settings.web.port}
    assert {one["name"]: one["containerPort"] for one in container["ports"]} == ports
    service = resources["Service", "esl-controller"]
    assert {one["name"]: one["port"] for one in service["spec"]["ports"]} == ports
    lane = settings.media.lane_ports
    assert f"{lane.first}-{lane.last}" in (MANIFESTS / "statefulset.yaml").read_text("utf-8")


def test_the_probes_ask_what_is_there(container: Any) -> None:
    nothing = cast(Any, None)
    routes = web_routes(nothing, nothing, nothing)
    paths = {route.path for route in routes if isinstance(route, web.RouteDef)}
    probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("readiness", "liveness")}
    assert probes["readiness"] == {"path": "/readyz", "port": "web"}
    assert probes["liveness"] == {"path": "/healthz", "port": "web"}
    assert {probe["path"] for probe in probes.values()} <= paths


def test_the_environment_is_understood(
    resources: dict[tuple[str, str], Any], container: Any
) -> None:
    settings = load(None, environment(resources, container)).settings
    assert settings.media.public_url == f"ws://{POD_IP}:{settings.media.port}"
    assert settings.media.lane_host == POD_IP
    assert settings.store.url.startswith("postgresql://"), "several controllers share it"
    assert settings.web.token.get_secret_value(), "/calls is asked for over the network"
    (mount,) = (one for one in container["volumeMounts"] if one["name"] == "secretaries")
    assert settings.secretaries.folder == mount["mountPath"]


def test_the_secretaries_are_right(resources: dict[tuple[str, str], Any], tmp_path: Path) -> None:
    for name, text in resources["ConfigMap", "esl-controller-secretaries"]["data"].items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    files = read_all(tmp_path.iterdir(), Settings().agent, {})
    assert files
    assert all(file.in_force for file in files.values()), files


def test_the_resources_name_each_other(resources: dict[tuple[str, str], Any], pod: Any) -> None:
    listed = yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text("utf-8"))
    there = {path.name for path in MANIFESTS.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(listed["resources"]) == there
    labels = resources["StatefulSet", "esl-controller"]["spec"]["template"]["metadata"]["labels"]
    spec = resources["StatefulSet", "esl-controller"]["spec"]
    assert spec["replicas"] == 2
    assert ("Service", spec["serviceName"]) in resources
    budget = resources["PodDisruptionBudget", "esl-controller"]["spec"]
    for selector in (spec["selector"]["matchLabels"], budget["selector"]["matchLabels"]):
        assert selector == labels
    assert resources["Service", "esl-controller"]["spec"]["selector"] == labels
    (container,) = pod["containers"]
    for source in container["envFrom"]:
        ((kind, named),) = source.items()
        kinds = {"configMapRef": "ConfigMap", "secretRef": "Secret"}
        assert (kinds[kind], named["name"]) in resources
    for volume in pod["volumes"]:
        if "configMap" in volume:
            assert ("ConfigMap", volume["configMap"]["name"]) in resources


def test_the_image_is_the_dockerfile_s(pod: Any) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert f"--uid {pod['securityContext']['runAsUser']} " in dockerfile
    (container,) = pod["containers"]
    assert container["image"].endswith(f"esl-controller:{version('esl-controller')}")
    exposed = re.search(r"^EXPOSE (.*)$", dockerfile, re.MULTILINE)
    assert exposed is not None
    assert {int(port) for port in exposed[1].split()} == {
        one["containerPort"] for one in container["ports"]
    }


def test_everything_that_is_asked_for_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    names = {re.split(r"[^\w-]", requirement)[0] for requirement in asked} - {project["name"]}
    locked = set(re.findall(r"^([\w-]+)==", (ROOT / "requirements.lock").read_text(), re.M))
    assert names - locked == set(), "make lock"
