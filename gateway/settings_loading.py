"""Settings from a file and the environment, what is wrong between them, and the example file."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from adapters.tls import ClientAuth
from gateway.settings import Role, Settings


class SettingsProblem(Exception):
    """The settings cannot be used; one line per fault, naming the key and where it was set."""


#: Names of the environment that the command line reads for itself.
_COMMAND_LINE = {"URL", "TOKEN", "LANG", "CONFIG", "OPERATOR"}


def unknown_names(environment: Iterable[str]) -> list[str]:
    """``LIENTHONG_…`` names that mean nothing: most likely slips of the pen."""
    known = {name.upper() for name in Settings.model_fields} | _COMMAND_LINE
    prefix = "LIENTHONG_"
    return sorted(
        name
        for name in environment
        if name.startswith(prefix) and name.removeprefix(prefix) not in known
    )


def load_settings(config: Path | None = None) -> Settings:
    """The settings from a TOML file (if given) and the environment.

    Raises `SettingsProblem` with one line per fault; an unknown LIENTHONG_ name is one.
    """
    slips = unknown_names(os.environ)
    if slips:
        known = [f"LIENTHONG_{name.upper()}" for name in Settings.model_fields]
        raise SettingsProblem(
            "\n".join(
                f"{name}: there is no such setting (in the environment); {_nearest(name, known)}"
                for name in slips
            )
        )
    if config is None:
        return _build(Settings, "the environment")
    try:
        tomllib.loads(config.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsProblem(f"{config}: {error}") from error

    class FromFile(Settings):
        model_config = SettingsConfigDict(toml_file=config)

    return _build(FromFile, str(config))


def _build(kind: type[Settings], where: str) -> Settings:
    try:
        return kind()
    except ValidationError as error:
        raise SettingsProblem("\n".join(_explain(item, where) for item in error.errors())) from None


def _explain(item: Any, where: str) -> str:
    key = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        nearest = _nearest(key, list(Settings.model_fields))
        return f"{key}: there is no such setting (in {where}); {nearest}"
    found = str(item.get("input"))
    shown = (
        "(not shown)" if any(word in key for word in ("url", "secret", "token")) else repr(found)
    )
    return f"{key} (LIENTHONG_{key.upper()}, or {where}): {_words(item)}; found {shown}"


def _words(item: Any) -> str:
    """What a check says, without the library's name for its kind."""
    return str(item["msg"]).removeprefix("Value error, ")


def _nearest(name: str, known: Sequence[str]) -> str:
    """The settings that were most likely meant."""
    near = get_close_matches(name, known, n=2, cutoff=0.8)
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    return f"{meant}All of them: lienthong config example"


def problems_between(settings: Settings, roles: tuple[Role, ...]) -> list[str]:
    """What is wrong between settings that are right one by one; one sentence each."""
    problems = []
    scheme = settings.broker_url.partition(":")[0]
    if scheme not in ("embedded", "amqp", "amqps"):
        problems.append(
            f"broker_url: {scheme!r} is not known; use embedded: or amqp://user:password@host/"
        )
    if settings.embedded_broker and not {"relay", "worker"} <= set(roles):
        problems.append(
            "broker_url=embedded: works inside one process only, so the roles relay and worker "
            "cannot be separated. Use RabbitMQ (amqp://…), or start all roles together."
        )
    problems += _payload_problems(settings)
    problems += _access_problems(settings)
    problems += _revocation_problems(settings)
    if settings.max_attachment_mib > settings.max_package_mib:
        problems.append("max_attachment_mib is larger than max_package_mib: it could never arrive.")
    return problems


def data_dir_problem(settings: Settings) -> str | None:
    """Why the data folder cannot be one, as far as looking at it tells."""
    folder = settings.data_dir.resolve()
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    return None if existing.is_dir() else f"data_dir: {existing} is a file, no folder."


def _access_problems(settings: Settings) -> list[str]:
    problems = []
    if bool(settings.tls_certificate) != bool(settings.tls_key):
        problems.append("tls_certificate and tls_key belong together: set both, or neither.")
    asks = settings.tls_client_auth is not ClientAuth.OFF
    if asks and not (settings.tls_certificate and settings.tls_client_ca):
        problems.append(
            f"tls_client_auth={settings.tls_client_auth} needs tls_certificate, and tls_client_ca: "
            "without authorities no certificate of a client could be believed."
        )
    if settings.oidc_issuer and not settings.oidc_audience:
        problems.append(
            "oidc_issuer needs oidc_audience: without it tokens for any other program of the same "
            "provider would be taken."
        )
    return problems


def _revocation_problems(settings: Settings) -> list[str]:
    hosts = settings.revocation_hosts.split()
    return [
        f"revocation_urls: the host of {url} is not among revocation_hosts, so it is never asked."
        for url in settings.revocation_urls.split()
        if urlsplit(url).netloc.lower() not in hosts
    ]


def _payload_problems(settings: Settings) -> list[str]:
    problems = []
    secret = settings.payload_s3_secret_access_key.get_secret_value()
    if bool(settings.payload_s3_access_key_id) != bool(secret):
        problems.append(
            "payload_s3_access_key_id and payload_s3_secret_access_key belong together: set both, "
            "or neither to use AWS_ACCESS_KEY_ID of the environment or the machine's role."
        )
    named = settings.payload_s3_endpoint or settings.payload_s3_access_key_id or secret
    if settings.payloads_on_disk and named:
        problems.append(
            "payload_url=disk: settings that begin with payload_s3_ mean nothing then. "
            "Set payload_url to s3://BUCKET/PREFIX."
        )
    return problems


def example_toml() -> str:
    """The commented example file, written from the fields above."""
    lines = [
        "# Settings of lienthong. Every line shows the default; take away the # to change it.",
        "# Each can also be set in the environment: data_dir as LIENTHONG_DATA_DIR, and so on.",
    ]
    for name, field in Settings.model_fields.items():
        lines += ["", f"# {field.description}", f"#{name} = {_toml(field.default)}"]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if value is None:
        return '""'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return str(value)
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
