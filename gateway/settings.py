"""Settings: defaults, then a TOML file, then the environment (``LIENTHONG_…``), the later wins.

Every setting is documented on its field; `example_toml` prints the commented example from exactly
that, so the two cannot drift apart. An unknown key is refused by name.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from adapters.malware import ClamAv
from adapters.tls import ClientAuth, TlsFiles
from gateway.access.people import PersonRole
from identifiers.organ_id import MalformedOrganId, OrganId
from schemas.catalogue import profile_names

Role = Literal["api", "relay", "worker", "timer"]
ROLES: tuple[Role, ...] = ("api", "relay", "worker", "timer")

MIB = 1024 * 1024

_BASE_PATH = re.compile(r"(/[A-Za-z0-9._-]+)+")
#: First parts of paths that the REST API has.
_OWN_PATHS = {"v1", "healthz", "readyz", "metrics", "openapi.json", "docs"}
_HOST = re.compile(r"(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::\d{1,5})?")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def _listen_address(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise ValueError("write it as HOST:PORT, for example 127.0.0.1:8080")
    return value


def _payload_url(value: str) -> str:
    bucket = value.removeprefix("s3://").partition("/")[0]
    if value != "disk" and not (value.startswith("s3://") and _BUCKET.fullmatch(bucket)):
        raise ValueError("write disk, or s3://BUCKET/PREFIX (3 to 63 small letters, digits, . -)")
    return value


def _http_address(value: str) -> str:
    if value and not value.startswith(("http://", "https://")):
        raise ValueError("write it as https://HOST or https://HOST:PORT")
    return value.rstrip("/")


def _base_path(value: str) -> str:
    if not _BASE_PATH.fullmatch(value) or value.split("/")[1] in _OWN_PATHS:
        raise ValueError("write it as /PART/PART of letters, digits, . _ -, and not under /v1")
    return value


def _a_day_or_never(value: int) -> int:
    if 0 < value < 24:
        raise ValueError("at least 24, or 0 for never")
    return value


def _hosts(value: str) -> str:
    for word in value.split():
        if not _HOST.fullmatch(word):
            raise ValueError(f"{word!r}: write HOST or HOST:PORT, in small letters")
    return value


def _list_urls(value: str) -> str:
    for word in value.split():
        if not word.startswith(("http://", "https://")):
            raise ValueError(f"{word!r}: write it as http://HOST/PATH")
    return value


def _none_when_empty(value: Any) -> Any:
    return None if value == "" else value


def _organ_id(value: str) -> str:
    parsed = OrganId.parse(value)
    if isinstance(parsed, MalformedOrganId):
        raise ValueError(parsed.reason.en)
    return parsed.text


def _scanner(value: str) -> str:
    if value:
        ClamAv(value)
    return value


def _issuer(value: str) -> str:
    parts = urlsplit(value)
    local = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if value and not (parts.hostname and (parts.scheme == "https" or local)):
        raise ValueError("write it as https://HOST/PATH (http only on the machine itself)")
    return value


def _role_words(value: str) -> str:
    for word in value.split():
        role, equals, name = word.partition("=")
        if not equals or not name or role not in set(PersonRole):
            raise ValueError(f"{word!r}: write ROLE=WORD; roles are {', '.join(PersonRole)}")
    return value


def _profiles(value: str) -> str:
    for word in value.split():
        code, equals, name = word.partition("=")
        if not equals or isinstance(OrganId.parse(code), MalformedOrganId):
            raise ValueError(f"{word!r}: write CODE=NAME, for example H34=kon-tum")
        if name not in profile_names():
            raise ValueError(f"{name!r} is no profile; there are: {', '.join(profile_names())}")
    return value


_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smh])")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def _durations(value: str) -> str:
    for word in value.split():
        if not _DURATION.fullmatch(word):
            raise ValueError(f"{word!r} is no wait; write them like 5s 30s 2m 1h")
    return value


def _times(waits: str) -> tuple[timedelta, ...]:
    found = _DURATION.findall(waits)
    return tuple(timedelta(seconds=float(count) * _UNITS[unit]) for count, unit in found)


class Settings(BaseSettings):
    """All settings of one gateway process."""

    model_config = SettingsConfigDict(env_prefix="LIENTHONG_", extra="forbid", frozen=True)

    data_dir: Path = Field(
        Path("data"),
        description="Folder for payloads and, by default, the SQLite database.",
    )
    database_url: str = Field(
        "",
        description="sqlite:////path/file.db or postgresql://user:password@host/name. "
        "Empty: SQLite in the data folder.",
    )
    database_allow_unsafe: bool = Field(
        False,
        description="Start on a PostgreSQL that may forget commits (fsync=off). For tests only.",
    )
    key_file: Annotated[Path | None, BeforeValidator(_none_when_empty)] = Field(
        None,
        description="File with the key that seals partners' secrets in the database, made when it "
        "is missing; the same for all processes. Empty: secret.key in the data folder.",
    )
    payload_url: Annotated[str, AfterValidator(_payload_url)] = Field(
        "disk",
        description="Where packages are stored: disk (in the data folder), or s3://BUCKET/PREFIX, "
        "which gateways on several machines can share.",
    )
    payload_s3_endpoint: Annotated[str, AfterValidator(_http_address)] = Field(
        "",
        description="Address of the S3-compatible server. Empty: AWS.",
    )
    payload_s3_region: str = Field(
        "",
        description="Region of the bucket. Empty: AWS_REGION, or us-east-1.",
    )
    payload_s3_access_key_id: str = Field(
        "",
        description="Empty: the environment (AWS_ACCESS_KEY_ID ...) or the machine's own role.",
    )
    payload_s3_secret_access_key: SecretStr = Field(
        SecretStr(""),
        description="Belongs to payload_s3_access_key_id; best set in the environment.",
    )
    payload_orphan_hours: Annotated[int, AfterValidator(_a_day_or_never)] = Field(
        24,
        ge=0,
        description="Stored bytes that no record speaks of are removed after so many hours (24 at "
        "least). 0: never.",
    )
    payload_check_mib_per_second: float = Field(
        1.0,
        ge=0,
        le=10_000,
        description="How fast stored packages are read again to see whether they are unchanged. "
        "0: never.",
    )
    signing_key: str = Field(
        "",
        description="Key that signs receipts and seals: pkcs12:/path/key.p12, or "
        "pkcs11:/path/library.so?token=T&label=L. Empty: a key made in the data folder, whose "
        "certificate no authority vouches for.",
        pattern=r"^(pkcs12:/.+|pkcs11:/.+)?$",
    )
    signing_password_file: Annotated[Path | None, BeforeValidator(_none_when_empty)] = Field(
        None,
        description="File whose first line is the password of the PKCS#12 file or the token's PIN.",
    )
    seal_seconds: float = Field(
        60.0,
        ge=0.05,
        le=86400,
        description="How often the event log is sealed with a signature.",
    )
    malware_scanner: Annotated[str, AfterValidator(_scanner)] = Field(
        "",
        description="ClamAV's clamd: unix:/path/of/socket or tcp://host:port. While it is away "
        "packages are accepted and held. Empty: nothing is scanned.",
    )
    signature_checks: bool = Field(
        False,
        description="Verify the signatures of packages and of their PDFs, with trust_dir.",
    )
    trust_dir: Annotated[Path | None, BeforeValidator(_none_when_empty)] = Field(
        None,
        description="Folder with trust anchors, agencies' certificates and revocation lists. "
        "Empty: trust in the data folder.",
    )
    revocation_hosts: Annotated[str, AfterValidator(_hosts)] = Field(
        "",
        description="Hosts of authorities (HOST or HOST:PORT) that the timer role asks for lists "
        "and answers about revocation; no others are ever asked. Empty: none.",
    )
    revocation_urls: Annotated[str, AfterValidator(_list_urls)] = Field(
        "",
        description="Lists (CRL) to be kept fresh beside those that certificates name; their hosts "
        "must be among revocation_hosts.",
    )
    agency_profiles: Annotated[str, AfterValidator(_profiles)] = Field(
        "",
        description="Rule profiles of agencies and all below them, CODE=NAME each: "
        "H34=kon-tum H17=son-la. The connection's own profile otherwise.",
    )
    broker_url: str = Field(
        "embedded:",
        description="embedded: (in this process) or amqp://user:password@host:5672/vhost.",
    )
    broker_prefix: str = Field(
        "lienthong",
        description="First part of the names of exchanges and queues in RabbitMQ.",
        pattern=r"^[A-Za-z0-9._-]{1,60}$",
    )
    broker_admin_url: str = Field(
        "",
        description="The management API of RabbitMQ, http(s)://user:password@host:15672, through "
        "which connections of kind amqp get user and queues. Empty: on the broker's host, with "
        "the user of broker_url.",
        pattern=r"^(https?://[^/\s]+/?)?$",
    )
    listen: Annotated[str, AfterValidator(_listen_address)] = Field(
        "127.0.0.1:8080",
        description="HOST:PORT of the HTTP API.",
    )
    public_url: str = Field(
        "",
        description="The address that others see, for links in answers. Empty: http://LISTEN, or "
        "https://LISTEN with tls_certificate.",
    )
    tls_certificate: Annotated[Path | None, BeforeValidator(_none_when_empty)] = Field(
        None,
        description="PEM file with the certificate of the HTTP API and its chain; with it only "
        "TLS 1.2 and newer is spoken. Read again when it changes. Empty: plain HTTP, for loopback "
        "or behind a proxy that speaks TLS.",
    )
    tls_key: Annotated[Path | None, BeforeValidator(_none_when_empty)] = Field(
        None,
        description="PEM file with the key that belongs to tls_certificate.",
    )
    tls_key_password_file: Annotated[Path | None, BeforeValidator(_none_when_empty)] = Field(
        None,
        description="File whose first line is the password of tls_key.",
    )
    tls_client_ca: Annotated[Path | None, BeforeValidator(_none_when_empty)] = Field(
        None,
        description="PEM file with the authorities that certificates of clients must come from.",
    )
    tls_client_auth: ClientAuth = Field(
        ClientAuth.OFF,
        description="off, optional or required: whether who connects shows a certificate. With "
        "the option client_certificate a connection's token counts only together with its own.",
    )
    oidc_issuer: Annotated[str, AfterValidator(_issuer)] = Field(
        "",
        description="OpenID Connect provider of the people under /v1/admin, https://HOST/PATH. "
        "Empty: only people of `lienthong people`.",
    )
    oidc_audience: str = Field(
        "",
        description="What the provider writes into `aud` for this gateway; tokens for others are "
        "refused.",
    )
    oidc_ca: Annotated[Path | None, BeforeValidator(_none_when_empty)] = Field(
        None,
        description="PEM file with the authorities of the provider's own certificate. Empty: "
        "those of the system.",
    )
    oidc_name_claim: str = Field(
        "sub",
        min_length=1,
        description="Claim that names a person in the event log; it must never pass to another "
        "person.",
    )
    oidc_role_claim: str = Field(
        "roles",
        min_length=1,
        description="Claim with a person's roles; dots lead inward: realm_access.roles.",
    )
    oidc_roles: Annotated[str, AfterValidator(_role_words)] = Field(
        "operator=lienthong-operator auditor=lienthong-auditor clerk=lienthong-clerk",
        description="What the provider calls our roles, ROLE=WORD each; a role may have several.",
    )
    oidc_agencies_claim: str = Field(
        "agencies",
        min_length=1,
        description="Claim with the agency codes of a clerk, who sees these and all below them.",
    )
    oidc_longest_hours: float = Field(
        12.0,
        gt=0,
        le=24 * 31,
        description="Tokens of the provider that live longer than this are refused: an account "
        "that it closed is shut out when its last token ends.",
    )
    vxp_base_path: Annotated[str, AfterValidator(_base_path)] = Field(
        "/XrdAdapter/RestService/forward",
        description="Path under which the operations of the national axis protocol (VXP) answer.",
    )
    metrics_token: SecretStr = Field(
        SecretStr(""),
        description="Bearer token without which /metrics is refused; names of connections are "
        "among the figures. Empty: whoever reaches the address may read them.",
    )
    calendar_file: Annotated[Path | None, BeforeValidator(_none_when_empty)] = Field(
        None,
        description="TOML file with office hours, holidays and make-up days per profile. "
        "Empty: the public holidays of Vietnam, 07:30-11:30 and 13:30-17:00.",
    )
    handling_hours: float = Field(
        2.0,
        gt=0,
        le=400,
        description="Working hours within which a receiver accepts or refuses (KG 3.3).",
    )
    recall_hours: float = Field(
        8.0,
        gt=0,
        le=400,
        description="Working hours within which a receiver answers a recall (ĐB 8.3).",
    )
    organ_id: Annotated[str, AfterValidator(_organ_id)] = Field(
        "LIENTHONG",
        description="The gateway's own agency code: sender of the status packages it issues.",
    )
    organ_name: str = Field(
        "Trục liên thông văn bản (lienthong)",
        description="The gateway's own name in the status packages it issues.",
    )
    max_package_mib: int = Field(
        512,
        ge=1,
        le=16_384,
        description="Largest package taken in, MiB of XML on the wire.",
    )
    max_attachment_mib: int = Field(
        384,
        ge=1,
        le=16_384,
        description="Largest single attachment, MiB after decoding.",
    )
    intake_seconds: int = Field(
        900,
        ge=1,
        description="Longest time that one submission may take to arrive.",
    )
    intake_min_rate_kib: int = Field(
        16,
        ge=0,
        description="Slowest rate at which a body may arrive, KiB per second after a grace time.",
    )
    intake_grace_seconds: float = Field(
        10.0,
        ge=0.1,
        description="How long a body may be slower than intake_min_rate_kib, or stand still.",
    )
    intake_concurrency: int = Field(
        64,
        ge=1,
        description="Submissions that are received at the same time by one process.",
    )
    intake_per_connection: int = Field(
        16,
        ge=1,
        description="Submissions that are received at the same time from one connection.",
    )
    min_free_mib: int = Field(
        512,
        ge=0,
        description="Free disk space below which no package is taken in (507).",
    )
    longest_poll_seconds: int = Field(
        60,
        ge=0,
        le=300,
        description="Longest wait of GET /v1/inbox?wait=SECONDS.",
    )
    lost_doorbell_seconds: float = Field(
        600.0,
        ge=0.05,
        description="After this long in the broker a doorbell counts as lost and is rung again.",
    )
    timer_seconds: float = Field(
        5.0,
        ge=0.01,
        description="How often the timer role looks for what crashes left behind.",
    )
    relay_poll_seconds: float = Field(
        1.0,
        ge=0.01,
        description="How often the relay looks for work that other processes recorded.",
    )
    relay_claim_seconds: float = Field(
        20.0,
        ge=0.1,
        description="How long doorbells that a relay was about to ring wait for it if it dies.",
    )
    attempt_waits: Annotated[str, AfterValidator(_durations)] = Field(
        "5s 30s 2m 7.5m 15m 30m 1h 2h 4h 8h 16h",
        description="Waits after the 1st, 2nd ... attempt to hand a package over that failed (s, "
        "m, h), each stretched by up to a quarter at random; after the last an operator decides.",
    )
    callback_waits: Annotated[str, AfterValidator(_durations)] = Field(
        "5s 30s 2m 5m 15m 30m 1h 2h 4h 8h 12h 20h",
        description="Waits after the 1st, 2nd ... failed callback (s, m, h), each stretched by up "
        "to a quarter at random; after the last the callback is parked.",
    )
    callbacks_by_partners: bool = Field(
        False,
        description="Whether partners may register addresses for callbacks themselves (public "
        "https ones, POST /v1/callbacks); else only lienthong callbacks add does.",
    )
    callback_timeout_seconds: float = Field(
        15.0,
        ge=0.1,
        le=50,
        description="How long a receiver of callbacks may take to answer.",
    )
    shutdown_seconds: float = Field(
        20.0,
        ge=0.1,
        description="How long running requests and deliveries may go on after SIGTERM.",
    )
    log_format: Literal["json", "console"] = Field(
        "console",
        description="json for log collectors, console for people.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info",
        description="Least level that is logged.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment before file; what is given in code comes first."""
        toml = cls.model_config.get("toml_file")
        sources: tuple[PydanticBaseSettingsSource, ...] = (init_settings, env_settings)
        return (*sources, TomlConfigSettingsSource(settings_cls)) if toml else sources

    @property
    def effective_database_url(self) -> str:
        """The database URL, with the default filled in."""
        if self.database_url:
            return self.database_url
        return f"sqlite:///{(self.data_dir / 'lienthong.db').resolve()}"

    @property
    def callback_schedule(self) -> tuple[timedelta, ...]:
        """`callback_waits` as times."""
        return _times(self.callback_waits)

    @property
    def attempt_schedule(self) -> tuple[timedelta, ...]:
        """`attempt_waits` as times."""
        return _times(self.attempt_waits)

    @property
    def profile_assignments(self) -> dict[str, str]:
        """`agency_profiles` as code to profile."""
        pairs = (word.partition("=") for word in self.agency_profiles.split())
        return {code: name for code, _, name in pairs}

    @property
    def effective_trust_dir(self) -> Path:
        """The trust folder, with the default filled in."""
        return self.trust_dir or self.data_dir / "trust"

    @property
    def effective_key_file(self) -> Path:
        """The key file, with the default filled in."""
        return self.key_file or self.data_dir / "secret.key"

    @property
    def payloads_on_disk(self) -> bool:
        """Whether packages are stored in the data folder."""
        return self.payload_url == "disk"

    @property
    def host(self) -> str:
        """Host part of `listen`."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """Port part of `listen`; 0 lets the system choose."""
        return int(self.listen.rpartition(":")[2])

    @property
    def role_words(self) -> list[tuple[str, str]]:
        """`oidc_roles` as pairs: our role, the provider's word."""
        pairs = (word.partition("=") for word in self.oidc_roles.split())
        return [(role, word) for role, _, word in pairs]

    @property
    def tls_files(self) -> TlsFiles | None:
        """What TLS needs; None for plain HTTP."""
        if self.tls_certificate is None or self.tls_key is None:
            return None
        return TlsFiles(
            certificate=self.tls_certificate,
            key=self.tls_key,
            password_file=self.tls_key_password_file,
            client_ca=self.tls_client_ca,
            client_auth=self.tls_client_auth,
        )

    @property
    def own_url(self) -> str:
        """The address that others see, without a slash at its end."""
        scheme = "https" if self.tls_certificate else "http"
        return (self.public_url or f"{scheme}://{self.listen}").rstrip("/")

    @property
    def embedded_broker(self) -> bool:
        """Whether the broker lives in this process."""
        return self.broker_url.startswith("embedded:")


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
        known = ", ".join(sorted(f"LIENTHONG_{name.upper()}" for name in Settings.model_fields))
        lines = [f"{name}: there is no such setting (in the environment)" for name in slips]
        raise SettingsProblem("\n".join([*lines, f"known are: {known}"]))
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
        known = ", ".join(sorted(Settings.model_fields))
        return f"{key}: there is no such setting (in {where}); known are: {known}"
    found = str(item.get("input"))
    shown = (
        "(not shown)" if any(word in key for word in ("url", "secret", "token")) else repr(found)
    )
    return f"{key} (LIENTHONG_{key.upper()}, or {where}): {item['msg']}; found {shown}"


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
