"""Settings: defaults, then a TOML file, then the environment (``LIENTHONG_…``), the later wins.

Every setting is documented on its field, and nowhere else: `gateway.settings_loading` prints the
commented example from exactly that. One long list on purpose: operators read it top to bottom.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from adapters.tls import ClientAuth, TlsFiles
from gateway.setting_words import (
    a_day_or_never,
    base_path,
    data_when_empty,
    durations,
    host_words,
    http_address,
    http_endpoint,
    issuer_url,
    list_urls,
    listen_address,
    none_when_empty,
    organ_code,
    payload_place,
    profile_words,
    role_pairs,
    scanner_address,
    times_of,
)

Role = Literal["api", "relay", "worker", "timer"]
ROLES: tuple[Role, ...] = ("api", "relay", "worker", "timer")

MIB = 1024 * 1024


class Settings(BaseSettings):
    """All settings of one gateway process."""

    model_config = SettingsConfigDict(env_prefix="LIENTHONG_", extra="forbid", frozen=True)

    data_dir: Annotated[Path, BeforeValidator(data_when_empty)] = Field(
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
    key_file: Annotated[Path | None, BeforeValidator(none_when_empty)] = Field(
        None,
        description="File with the key that seals partners' secrets in the database, made when it "
        "is missing; the same for all processes. Empty: secret.key in the data folder.",
    )
    payload_url: Annotated[str, AfterValidator(payload_place)] = Field(
        "disk",
        description="Where packages are stored: disk (in the data folder), or s3://BUCKET/PREFIX, "
        "which gateways on several machines can share.",
    )
    payload_s3_endpoint: Annotated[str, AfterValidator(http_address)] = Field(
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
    payload_orphan_hours: Annotated[int, AfterValidator(a_day_or_never)] = Field(
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
    signing_password_file: Annotated[Path | None, BeforeValidator(none_when_empty)] = Field(
        None,
        description="File whose first line is the password of the PKCS#12 file or the token's PIN.",
    )
    seal_seconds: float = Field(
        60.0,
        ge=0.05,
        le=86400,
        description="How often the event log is sealed with a signature.",
    )
    timestamp_url: Annotated[str, AfterValidator(http_endpoint)] = Field(
        "",
        description="Address of a time-stamping authority (RFC 3161, https://HOST/PATH) that the "
        "timer role asks for a stamp of each seal; it sees nothing but a SHA-256. Empty: none.",
    )
    malware_scanner: Annotated[str, AfterValidator(scanner_address)] = Field(
        "",
        description="ClamAV's clamd: unix:/path/of/socket or tcp://host:port. While it is away "
        "packages are accepted and held. Empty: nothing is scanned.",
    )
    signature_checks: bool = Field(
        False,
        description="Verify the signatures of packages and of their PDFs, with trust_dir.",
    )
    trust_dir: Annotated[Path | None, BeforeValidator(none_when_empty)] = Field(
        None,
        description="Folder with trust anchors, agencies' certificates and revocation lists. "
        "Empty: trust in the data folder.",
    )
    revocation_hosts: Annotated[str, AfterValidator(host_words)] = Field(
        "",
        description="Hosts of authorities (HOST or HOST:PORT) that the timer role asks for lists "
        "and answers about revocation; no others are ever asked. Empty: none.",
    )
    revocation_urls: Annotated[str, AfterValidator(list_urls)] = Field(
        "",
        description="Lists (CRL) to be kept fresh beside those that certificates name; their hosts "
        "must be among revocation_hosts.",
    )
    agency_profiles: Annotated[str, AfterValidator(profile_words)] = Field(
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
    listen: Annotated[str, AfterValidator(listen_address)] = Field(
        "127.0.0.1:8080",
        description="HOST:PORT of the HTTP API.",
    )
    public_url: str = Field(
        "",
        description="The address that others see, for links in answers. Empty: http://LISTEN, or "
        "https://LISTEN with tls_certificate.",
    )
    tls_certificate: Annotated[Path | None, BeforeValidator(none_when_empty)] = Field(
        None,
        description="PEM file with the certificate of the HTTP API and its chain; with it only "
        "TLS 1.2 and newer is spoken. Read again when it changes. Empty: plain HTTP, for loopback "
        "or behind a proxy that speaks TLS.",
    )
    tls_key: Annotated[Path | None, BeforeValidator(none_when_empty)] = Field(
        None,
        description="PEM file with the key that belongs to tls_certificate.",
    )
    tls_key_password_file: Annotated[Path | None, BeforeValidator(none_when_empty)] = Field(
        None,
        description="File whose first line is the password of tls_key.",
    )
    tls_client_ca: Annotated[Path | None, BeforeValidator(none_when_empty)] = Field(
        None,
        description="PEM file with the authorities that certificates of clients must come from.",
    )
    tls_client_auth: ClientAuth = Field(
        ClientAuth.OFF,
        description="off, optional or required: whether who connects shows a certificate. With "
        "the option client_certificate a connection's token counts only together with its own.",
    )
    oidc_issuer: Annotated[str, AfterValidator(issuer_url)] = Field(
        "",
        description="OpenID Connect provider of the people under /v1/admin, https://HOST/PATH. "
        "Empty: only people of `lienthong people`.",
    )
    oidc_audience: str = Field(
        "",
        description="What the provider writes into `aud` for this gateway; tokens for others are "
        "refused.",
    )
    oidc_ca: Annotated[Path | None, BeforeValidator(none_when_empty)] = Field(
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
    oidc_roles: Annotated[str, AfterValidator(role_pairs)] = Field(
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
    vxp_base_path: Annotated[str, AfterValidator(base_path)] = Field(
        "/XrdAdapter/RestService/forward",
        description="Path under which the operations of the national axis protocol (VXP) answer.",
    )
    metrics_token: SecretStr = Field(
        SecretStr(""),
        description="Bearer token without which /metrics is refused; names of connections are "
        "among the figures. Empty: whoever reaches the address may read them.",
    )
    calendar_file: Annotated[Path | None, BeforeValidator(none_when_empty)] = Field(
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
    organ_id: Annotated[str, AfterValidator(organ_code)] = Field(
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
    attempt_waits: Annotated[str, AfterValidator(durations)] = Field(
        "5s 30s 2m 7.5m 15m 30m 1h 2h 4h 8h 16h",
        description="Waits after the 1st, 2nd ... attempt to hand a package over that failed (s, "
        "m, h), each stretched by up to a quarter at random; after the last an operator decides.",
    )
    callback_waits: Annotated[str, AfterValidator(durations)] = Field(
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
        return times_of(self.callback_waits)

    @property
    def attempt_schedule(self) -> tuple[timedelta, ...]:
        """`attempt_waits` as times."""
        return times_of(self.attempt_waits)

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
    def local_url(self) -> str:
        """Where commands on this machine find the HTTP API; ends with port 0 when it is chosen
        by the system."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104  (compared, not bound)
        scheme = "https" if self.tls_certificate else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def embedded_broker(self) -> bool:
        """Whether the broker lives in this process."""
        return self.broker_url.startswith("embedded:")
