"""The files of deploy/ as far as they can be checked without a container engine.

What they name must exist: settings, commands, files, metrics; and what they promise must be in
them: no root, bounded stops longer than the service's own, nothing open to the network.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click import Command
from prometheus_client import CollectorRegistry

from gateway.cli.root import cli
from gateway.observability import Metrics
from gateway.settings import ROLES, Settings
from gateway.settings_loading import example_toml
from routing.lanes import Lane
from routing.states import TransportState

ROOT = Path(__file__).parent.parent.parent.parent
DEPLOY = ROOT / "deploy"
UNITS = ("lienthong.service", "lienthong@.service")
#: Read by the command line or by pip, not by `Settings`.
OTHER_NAMES = {"LIENTHONG_CONFIG"}


def _setting_names(text: str) -> set[str]:
    return set(re.findall(r"\bLIENTHONG_[A-Z_]+", text))


def _known_settings() -> set[str]:
    return {f"LIENTHONG_{name.upper()}" for name in Settings.model_fields} | OTHER_NAMES


def _shutdown_seconds() -> float:
    return float(Settings.model_fields["shutdown_seconds"].default)


# --- Dockerfile -----------------------------------------------------------------------------------


def _instructions() -> list[tuple[str, str]]:
    """Instruction and arguments, one pair each, continuation lines joined, comments left out."""
    lines = (DEPLOY / "Dockerfile").read_text("utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", " ", text)
    pairs = [line.split(None, 1) for line in joined.splitlines() if line.strip()]
    return [(word.upper(), rest.strip()) for word, rest in pairs]


def _final_stage() -> list[tuple[str, str]]:
    instructions = _instructions()
    last = max(at for at, (word, _) in enumerate(instructions) if word == "FROM")
    return instructions[last:]


def test_image_is_built_in_stages_from_names_without_a_registry_host() -> None:
    """Every base is a plain name with a tag: the builder's machine decides about the registry."""
    bases = [rest.split()[0] for word, rest in _instructions() if word == "FROM"]
    assert len(bases) == 2
    for base in bases:
        assert re.fullmatch(r"[a-z]+:[a-z0-9.-]+", base), base


def test_image_takes_packages_by_hash_and_nothing_else() -> None:
    """The first pip checks the hashes of the lock file, the second may not reach any index."""
    runs = [rest for word, rest in _instructions() if word == "RUN" and "pip" in rest]
    assert len(runs) == 2
    assert "--require-hashes" in runs[0] and "requirements.lock" in runs[0]
    assert "--no-index" in runs[1] and "/wheels" in runs[1]
    assert "--hash=sha256:" in (ROOT / "requirements.lock").read_text("utf-8")


def test_everything_that_is_copied_exists_and_reaches_the_builder() -> None:
    """Each source of COPY is a file or folder of the project that the ignore file lets through."""
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    let_through = {line[1:] for line in ignored if line.startswith("!")}
    copied = set()
    for word, rest in _instructions():
        if word == "COPY" and not rest.startswith("--from="):
            copied |= set(shlex.split(rest)[:-1])
    assert copied == let_through
    for source in copied:
        assert (ROOT / source).exists(), source


def test_the_image_holds_every_package_of_the_project() -> None:
    """A package that pyproject.toml names is copied: without it the program would not start."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    copied = " ".join(rest for word, rest in _instructions() if word == "COPY")
    assert all(re.search(rf"\b{package} {package}\b", copied) for package in packages)


def test_the_service_does_not_run_as_root() -> None:
    """After everything is installed a USER without rights takes over, and stays."""
    stage = _final_stage()
    words = [word for word, _ in stage]
    [user] = [rest for word, rest in stage if word == "USER"]
    assert user not in ("root", "0")
    after = words[words.index("USER") :]
    assert not {"RUN", "COPY", "ADD"} & set(after)
    assert any(word == "RUN" and "useradd" in rest and user in rest for word, rest in stage)


def test_the_image_starts_the_command_that_exists_as_process_one() -> None:
    """Exec form: SIGTERM reaches the service itself, not a shell."""
    stage = dict(_final_stage())
    program, *arguments = yaml.safe_load(stage["ENTRYPOINT"])
    assert program == "lienthong"
    assert isinstance(cli.get_command(None, arguments[0]), Command)  # type: ignore[arg-type]
    assert stage["STOPSIGNAL"] == "SIGTERM"


def test_the_image_has_a_healthcheck_in_exec_form() -> None:
    """It asks /healthz on the port the image listens on."""
    stage = dict(_final_stage())
    probe = stage["HEALTHCHECK"].split("CMD", 1)[1]
    command = yaml.safe_load(probe)
    assert command[:2] == ["python", "-c"]
    compile(command[2], "healthcheck", "exec")
    assert f":{stage['EXPOSE']}/healthz" in command[2]
    assert f"LIENTHONG_LISTEN=0.0.0.0:{stage['EXPOSE']}" in stage["ENV"]


def test_the_image_writes_to_one_volume_only() -> None:
    """The data folder is the volume, so that the rest can be read-only."""
    stage = dict(_final_stage())
    [volume] = yaml.safe_load(stage["VOLUME"])
    assert f"LIENTHONG_DATA_DIR={volume}" in stage["ENV"]


@pytest.mark.parametrize("name", sorted(path.name for path in DEPLOY.iterdir()))
def test_every_setting_that_is_named_exists(name: str) -> None:
    """LIENTHONG_… in any file of the folder is a setting, and no registry or index is named."""
    text = (DEPLOY / name).read_text("utf-8")
    assert _setting_names(text) <= _known_settings()
    assert not re.search(r"pypi|docker\.io|ghcr|quay\.io|--index-url", text)


# --- compose --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The services by name, and the volumes."""
    data = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    assert isinstance(data, dict)
    return data


def test_every_service_is_watched_restarted_and_kept(compose: dict[str, Any]) -> None:
    """Health check, restart policy, a named volume that is declared, an image by plain name."""
    for name, service in compose["services"].items():
        assert service["healthcheck"]["test"][0] == "CMD", name
        assert service["restart"] == "unless-stopped", name
        [volume] = service["volumes"]
        assert volume.split(":")[0] in compose["volumes"], name
        assert re.fullmatch(r"[a-z]+(:[0-9.]+)?", service["image"]), name


def test_dependencies_have_conditions_and_only_the_database_is_waited_for(
    compose: dict[str, Any],
) -> None:
    """The broker's absence delays documents and must not keep the gateway from starting."""
    needs = compose["services"]["gateway"]["depends_on"]
    conditions = {name: need["condition"] for name, need in needs.items()}
    assert conditions == {"postgres": "service_healthy", "rabbitmq": "service_started"}
    assert set(needs) < set(compose["services"])


def test_nothing_is_open_to_the_network(compose: dict[str, Any]) -> None:
    """Ports are on 127.0.0.1 alone, and only the gateway has one."""
    for name, service in compose["services"].items():
        ports = service.get("ports", [])
        assert bool(ports) == (name == "gateway")
        assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_gateway_is_confined_and_has_time_to_stop(compose: dict[str, Any]) -> None:
    """Read-only, no capabilities; the grace period is longer than shutdown_seconds."""
    gateway = compose["services"]["gateway"]
    assert gateway["read_only"] is True
    assert gateway["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in gateway["security_opt"]
    assert float(gateway["stop_grace_period"].removesuffix("s")) > _shutdown_seconds() + 10
    build = gateway["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()
    stage = dict(_final_stage())
    assert gateway["volumes"][0].split(":")[1] == yaml.safe_load(stage["VOLUME"])[0]


def test_the_broker_keeps_its_name(compose: dict[str, Any]) -> None:
    """RabbitMQ's data folder is named after its host: without a fixed one it would be lost."""
    assert compose["services"]["rabbitmq"]["hostname"]


def test_no_password_is_written_down(compose: dict[str, Any]) -> None:
    """Secrets come from the environment file; the example leaves them empty and names them all."""
    example = dict(
        line.split("=", 1)
        for line in (DEPLOY / "compose.env.example").read_text("utf-8").splitlines()
        if line and not line.startswith("#")
    )
    used: set[str] = set()
    for service in compose["services"].values():
        for name, value in service["environment"].items():
            used |= set(re.findall(r"\$\{([A-Z_]+)", value))
            secret = "PASS" in name or "://" in value
            assert not secret or re.search(r"\$\{[A-Z_]+PASSWORD:\?", value), name
    used |= set(re.findall(r"\$\{([A-Z_]+)", str(compose["services"]["gateway"]["ports"])))
    assert set(example) == used
    assert all(value == "" for name, value in example.items() if name.endswith("PASSWORD"))


def test_the_compose_settings_are_accepted(
    compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With passwords filled in, the settings are right one by one and together."""
    from gateway.settings_loading import load_settings, problems_between

    for name in _known_settings():
        monkeypatch.delenv(name, raising=False)
    for name, value in compose["services"]["gateway"]["environment"].items():
        filled = re.sub(r"\$\{[A-Z_]+:\?[^}]*\}", "s3cret", value)
        filled = re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", filled)
        monkeypatch.setenv(name, filled)
    settings = load_settings()
    assert problems_between(settings, ROLES) == []
    assert not settings.embedded_broker
    assert settings.effective_database_url.startswith("postgresql://")


# --- systemd --------------------------------------------------------------------------------------


def _unit(name: str) -> dict[tuple[str, str], list[str]]:
    """Values by section and key; whatever is no comment, section or assignment is an error."""
    section, values = "", {}
    for line in (DEPLOY / name).read_text("utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if head := re.fullmatch(r"\[(Unit|Service|Install)\]", line):
            section = head[1]
            continue
        assignment = re.fullmatch(r"([A-Z][A-Za-z]+)=(.*)", line)
        assert assignment is not None, f"{name}: {line!r}"
        values.setdefault((section, assignment[1]), []).append(assignment[2])
    return values


@pytest.mark.parametrize("name", UNITS)
def test_units_are_hardened_and_have_time_to_stop(name: str) -> None:
    """An own user, a read-only system, one folder to write to, a stop longer than the service's."""
    unit = _unit(name)

    def service(key: str) -> str:
        [value] = unit["Service", key]
        return value

    assert service("User") not in ("", "root")
    assert service("ProtectSystem") == "strict"
    assert service("NoNewPrivileges") == "yes"
    assert service("CapabilityBoundingSet") == ""
    assert service("Restart") == "on-failure"
    assert float(service("TimeoutStopSec")) > _shutdown_seconds() + 10
    data = f"LIENTHONG_DATA_DIR=/var/lib/{service('StateDirectory')}"
    assert data in service("Environment").split()
    assert re.search(r"^#MemoryMax=", (DEPLOY / name).read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("name", UNITS)
def test_units_start_a_command_that_exists(name: str) -> None:
    """The command line is one that `lienthong` takes; roles are those of the service."""
    [line] = _unit(name)["Service", "ExecStart"]
    program, *arguments = shlex.split(line.replace("%i", ROLES[0]))
    assert Path(program).name == "lienthong"
    assert arguments[0] == "--config"
    command = cli.get_command(None, arguments[2])  # type: ignore[arg-type]
    assert isinstance(command, Command)
    command.make_context("serve", arguments[3:])


@pytest.mark.parametrize("name", UNITS)
def test_systemd_has_nothing_to_say_about_the_units(name: str, tmp_path: Path) -> None:
    """`systemd-analyze verify`, where systemd is installed; its tool knows every key and value."""
    program = shutil.which("systemd-analyze")
    text = (DEPLOY / name).read_text("utf-8")
    if program is None:
        # The strict parse above is what there is on machines without systemd.
        assert _unit(name)
        return
    place = tmp_path / name.replace("@.", f"@{ROLES[0]}.")
    place.write_text(re.sub(r"/opt/lienthong/bin/lienthong", "/bin/true", text), "utf-8")
    done = subprocess.run(
        [program, "verify", "--man=no", str(place)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    told = [line for line in done.stderr.splitlines() if place.name in line]
    assert (done.returncode, told) == (0, [])


# --- settings example and alerts ------------------------------------------------------------------


def test_the_example_of_the_settings_is_the_present_one() -> None:
    """`lienthong config example > deploy/lienthong.example.toml` was run after the last change."""
    assert (DEPLOY / "lienthong.example.toml").read_text("utf-8") == example_toml()


def _alerts() -> Iterator[Any]:
    data = yaml.safe_load((DEPLOY / "prometheus-alerts.yaml").read_text("utf-8"))
    for group in data["groups"]:
        for rule in group["rules"]:
            yield pytest.param(rule, id=rule["alert"])


def _samples(registry: CollectorRegistry) -> dict[str, set[str]]:
    """Every sample name that /metrics can show, with its labels."""
    known: dict[str, set[str]] = {}
    for collector in list(registry._collector_to_names):
        labels = set(collector._labelnames)
        for name in registry._collector_to_names[collector]:
            known[name] = labels
    return known


@pytest.mark.parametrize("rule", list(_alerts()))
def test_alerts_name_metrics_and_labels_that_exist(rule: dict[str, Any]) -> None:
    """A renamed metric must not leave an alert that never rings."""
    known = _samples(Metrics().registry)
    expression = rule["expr"]
    named = re.findall(r"\b(lienthong_\w+)(?:\{([^}]*)\})?", expression)
    assert named
    for metric, selector in named:
        assert metric in known, metric
        wanted = dict(re.findall(r"(\w+)=~?\"([^\"]*)\"", selector))
        assert set(wanted) <= known[metric], (metric, selector)
        if "state" in wanted:
            assert set(wanted["state"].split("|")) <= {str(state) for state in TransportState}
        if "lane" in wanted:
            assert wanted["lane"] in set(Lane)
    kept = re.findall(r"\bby \(([^)]*)\)", expression)
    shown = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
    if shown:
        assert shown <= {label.strip() for label in kept[0].split(",")}
    assert expression.count("(") == expression.count(")")
    assert rule["labels"]["severity"] in ("warning", "critical")


@pytest.mark.parametrize("rule", list(_alerts()))
def test_every_alert_is_explained_to_operators(rule: dict[str, Any]) -> None:
    """Its runbook is a heading of docs/operators.md."""
    file, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / file).read_text("utf-8"), re.MULTILINE)
    assert anchor in {heading.lower().replace(" ", "-") for heading in headings}
    assert anchor == rule["alert"].lower()


def test_alerts_cover_what_operators_must_hear_of() -> None:
    """Age of queues, dead deliveries, free space, the beat of the roles."""
    expressions = " ".join(param.values[0]["expr"] for param in _alerts())
    for metric in (
        "lienthong_deliveries_oldest_seconds",
        'lienthong_deliveries_open{state="dead"}',
        "lienthong_payload_free_bytes",
        "lienthong_role_last_round_timestamp_seconds",
    ):
        assert metric in expressions
