"""The command line as a whole: help, exit codes, settings, the schema, the language."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import click
import pytest

from gateway.cli.failures import FAULT, REFUSED, UNAVAILABLE, WRONG_USE, causes, failure_of
from gateway.cli.output import visible
from gateway.cli.root import COMMANDS, cli
from gateway.settings import Settings
from gateway.settings_loading import load_settings
from tests.unit.gateway.cli_runner import Lienthong


def test_help_lists_every_command_and_the_exit_codes(lienthong: Lienthong) -> None:
    """Who asks for help sees all doors, and what a script may rely on."""
    text = lienthong("--help").stdout
    assert all(f"\n  {name}" in text for name in COMMANDS)
    assert "Exit codes:" in text and "3  unavailable" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(lienthong: Lienthong, name: str) -> None:
    """Each command loads and explains itself without a database or a service."""
    assert "Usage:" in lienthong(name, "--help").stdout
    assert not lienthong.data.exists()


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["send"], ["--config", "missing.toml", "demo"]]
)
def test_wrong_use_exits_2(lienthong: Lienthong, arguments: list[str]) -> None:
    """Unknown commands, missing arguments, files that are not there."""
    assert lienthong(*arguments, code=WRONG_USE).stderr


def test_wrong_settings_are_named_one_by_one(lienthong: Lienthong) -> None:
    """The key, where it was set and what is allowed; exit code 2."""
    result = lienthong("agencies", "list", code=WRONG_USE, LIENTHONG_LISTEN="8080")
    assert "LIENTHONG_LISTEN" in result.stderr and "HOST:PORT" in result.stderr


def test_an_unreachable_database_exits_3(lienthong: Lienthong) -> None:
    """The same command may work later."""
    nobody = "postgresql://u:p@127.0.0.1:1/x"
    result = lienthong("agencies", "list", code=UNAVAILABLE, LIENTHONG_DATABASE_URL=nobody)
    (told,) = result.stderr.splitlines()
    assert told.startswith("The database cannot be reached: [Errno 111] Connect call failed")
    again = lienthong("-v", "agencies", "list", code=UNAVAILABLE, LIENTHONG_DATABASE_URL=nobody)
    assert "Traceback" in again.stderr


def test_a_fault_shows_its_causes_and_exits_4() -> None:
    """Each cause once, the innermost last."""
    try:
        try:
            raise KeyError("inner")
        except KeyError as inner:
            raise RuntimeError("outer") from inner
    except RuntimeError as error:
        assert causes(error) == "outer\n  because: 'inner'"
        assert failure_of(error).exit_code == FAULT


def test_a_database_of_a_newer_program_is_left_alone(lienthong: Lienthong) -> None:
    """It is refused with what to do, and nothing in it changes."""
    lienthong("database", "migrate")
    with sqlite3.connect(lienthong.data / "lienthong.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    result = lienthong("agencies", "list", code=WRONG_USE)
    assert "newer lienthong" in result.stderr
    with sqlite3.connect(lienthong.data / "lienthong.db") as database:
        assert database.execute("SELECT version_num FROM alembic_version").fetchone() == ("9999",)


def test_an_older_schema_asks_to_be_migrated(lienthong: Lienthong) -> None:
    """Commands other than serve and migrate do not change a schema that somebody uses."""
    lienthong("database", "migrate")
    with sqlite3.connect(lienthong.data / "lienthong.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '0001'")
    result = lienthong("agencies", "list", code=WRONG_USE)
    assert "older" in result.stderr and "lienthong database migrate" in result.stderr


def test_database_migrate_says_what_it_did(lienthong: Lienthong) -> None:
    """Empty at first, current afterwards."""
    assert lienthong.json("database", "migrate") == {"before": "empty", "after": "current"}
    assert "up to date already" in lienthong("database", "migrate").stdout


def test_config_example_is_a_file_that_can_be_used(lienthong: Lienthong, tmp_path: Path) -> None:
    """Printed, saved and given back it changes nothing; without its # every line is right."""
    file = tmp_path / "lienthong.toml"
    text = lienthong("config", "example").stdout
    file.write_text(
        "".join(
            f"{line.lstrip('#')}\n"
            for line in text.splitlines()
            if " = " in line and line.startswith("#") and not line.startswith("# ")
        ),
        "utf-8",
    )
    assert load_settings(file).model_dump() == Settings.model_construct().model_dump()
    lienthong("--config", file, "database", "migrate")
    lienthong("--config", file, "agencies", "list")


def test_config_check_is_good_on_the_default(lienthong: Lienthong) -> None:
    """Before anything was started, and once there is a database."""
    assert lienthong.json("config", "check", LIENTHONG_MIN_FREE_MIB="0")["ok"] is True
    assert not lienthong.data.exists()
    lienthong("database", "migrate")
    result = lienthong("config", "check", LIENTHONG_MIN_FREE_MIB="0")
    assert "schema current" in result.stdout and "TROUBLE" not in result.stdout


@pytest.mark.parametrize(
    ("part", "environment"),
    [
        ("settings", {"LIENTHONG_LISTEN": "nowhere"}),
        ("settings", {"LIENTHONG_BROKER_URL": "ftp://x"}),
        ("data", {"LIENTHONG_MIN_FREE_MIB": "999999999"}),
        ("data", {"LIENTHONG_DATA_DIR": "/dev/null/x"}),
        ("database", {"LIENTHONG_DATABASE_URL": "postgresql://u:p@127.0.0.1:1/x"}),
        ("database", {"LIENTHONG_DATABASE_URL": "mysql://x/y"}),
        ("broker", {"LIENTHONG_BROKER_URL": "amqp://127.0.0.1:1/"}),
    ],
)
def test_config_check_names_the_trouble(
    lienthong: Lienthong, part: str, environment: dict[str, str]
) -> None:
    """One line each; exit code 1; the part that is wrong says why."""
    items = lienthong.json("config", "check", code=REFUSED, **environment)["items"]
    wrong = {item["part"]: item["detail"] for item in items if not item["ok"]}
    assert wrong.get(part)


def test_serve_refuses_roles_that_cannot_be(lienthong: Lienthong) -> None:
    """Unknown roles, and an embedded broker split between processes."""
    assert "api, relay, worker" in lienthong("serve", "--role", "api,x", code=WRONG_USE).stderr
    assert "RabbitMQ" in lienthong("serve", "--role", "relay", code=WRONG_USE).stderr


def test_foreign_text_cannot_move_the_cursor() -> None:
    """Control characters in a subject are shown, not sent to the terminal."""
    assert visible("a\x1b[2Jb\u202e\x9b") == "a\\x1b[2Jb\\u202e\\x9b"
    assert visible("Tiếng Việt\nhai dòng") == "Tiếng Việt\nhai dòng"


def test_commands_over_rest_without_service_or_token(lienthong: Lienthong) -> None:
    """One clear line and exit 3 for no service; exit 2 for no token or no address."""
    nobody = {"LIENTHONG_URL": "http://127.0.0.1:1", "LIENTHONG_TOKEN": "lt_x"}
    lines = lienthong("inbox", code=UNAVAILABLE, **nobody).stderr.splitlines()
    assert len(lines) == 1 and "No service answers at http://127.0.0.1:1" in lines[0]
    told = lienthong("--lang", "vi", "confirm", "x", code=UNAVAILABLE, **nobody)
    assert "Không có dịch vụ" in told.stderr
    problem = json.loads(lienthong("inbox", "--json", code=UNAVAILABLE, **nobody).stdout)
    assert problem["code"] == "unreachable"
    assert "LIENTHONG_TOKEN" in lienthong("inbox", code=WRONG_USE).stderr
    lienthong("inbox", "--url", "nowhere", "--token", "x", code=WRONG_USE)


def test_a_command_in_the_wrong_folder_begins_no_gateway(lienthong: Lienthong) -> None:
    """It says where it looked and makes nothing; adding a connection begins one, and says so."""
    for words in (("deliveries", "list"), ("trace", "X"), ("connections", "list")):
        result = lienthong(*words, code=WRONG_USE)
        assert str(lienthong.data / "lienthong.db") in result.stderr
    assert not lienthong.data.exists()
    begun = lienthong("connections", "add", "A", "--kind", "pull", "--agency", "H41")
    assert "new gateway begins here" in begun.stderr


def test_a_slip_in_the_environment_is_refused_by_name(lienthong: Lienthong) -> None:
    """A misspelt setting would otherwise mean its default."""
    result = lienthong("config", "check", code=1, LIENTHONG_DATADIR="/x")
    assert "LIENTHONG_DATADIR" in result.stdout + result.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_says_what_each_command_says_of_itself(name: str) -> None:
    """The list is written beside the commands, so that showing it imports none of them."""
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert COMMANDS[name].summary == command.get_short_help_str(80)


def test_commands_find_the_service_where_the_settings_put_it(
    lienthong: Lienthong, tmp_path: Path
) -> None:
    """--url, then LIENTHONG_URL, then `listen` of the environment or the file, then 8080."""
    file = tmp_path / "lienthong.toml"
    file.write_text('listen = "[::]:3"\ntls_certificate = "a.pem"\ntls_key = "a.key"\n', "utf-8")
    environment = {"LIENTHONG_TOKEN": "lt_x", "LIENTHONG_LISTEN": "0.0.0.0:2"}

    def asked(*words: str | Path, **more: str) -> str:
        result = lienthong(*words, code=UNAVAILABLE, **{**environment, **more})
        return result.stderr

    assert "http://127.0.0.1:1 " in asked("inbox", "--url", "http://127.0.0.1:1")
    assert "http://127.0.0.1:1 " in asked("inbox", LIENTHONG_URL="http://127.0.0.1:1")
    assert "http://127.0.0.1:2 " in asked("inbox")
    assert "https://[::1]:3 " in asked("--config", file, "inbox", LIENTHONG_LISTEN="[::1]:3")
    del environment["LIENTHONG_LISTEN"]
    assert "https://[::1]:3 " in asked("--config", file, "confirm", "x")
    assert Settings.model_construct().local_url == "http://127.0.0.1:8080"
    told = lienthong("inbox", code=WRONG_USE, LIENTHONG_TOKEN="x", LIENTHONG_LISTEN="127.0.0.1:0")
    assert "--url" in told.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("agencies", "list"),
        ("inbox",),
        ("inbox", "--limit", "0"),
        ("trace", "X"),
        ("inbox", "--nope"),
        ("--config", "nothing.toml", "inbox"),
        ("nonsense",),
        ("agencies", "nonsense"),
    ],
)
def test_a_failure_is_json_where_json_was_asked_for(
    lienthong: Lienthong, words: tuple[str, ...]
) -> None:
    """Programs that read stdout as JSON read the reason there, too; nothing else is printed."""
    result = lienthong(*words, "--json", code=WRONG_USE)
    told = json.loads(result.stdout)
    assert told["code"] == "wrong-use" and told["detail"] and told["detailVi"] and not result.stderr


def test_refused_and_unavailable_as_json(lienthong: Lienthong) -> None:
    """What a registry has not, and a database that is away: codes beside the exit codes."""
    lienthong("database", "migrate")
    assert lienthong.json("connections", "show", "x", code=REFUSED)["code"] == "refused"
    nobody = "postgresql://u:p@127.0.0.1:1/x"
    told = lienthong.json("agencies", "list", code=UNAVAILABLE, LIENTHONG_DATABASE_URL=nobody)
    assert told["code"] == "unavailable"


def test_an_option_of_the_root_behind_the_command_is_pointed_out(lienthong: Lienthong) -> None:
    """`serve --config f` is what people type first."""
    told = lienthong("serve", "--config", "x.toml", code=WRONG_USE).stderr
    assert "before the command: lienthong --config … serve" in told
    assert "before" not in lienthong("serve", "--nonsense", code=WRONG_USE).stderr


def test_slips_in_settings_are_told_in_few_words(lienthong: Lienthong, tmp_path: Path) -> None:
    """The nearest name, the port's range, what is no file: one line each, no library's words."""

    def told(*words: str | Path, **environment: str) -> str:
        text = lienthong(*words, code=WRONG_USE, **environment).stderr
        assert "Value error" not in text and len(text) < 400
        return text

    assert "did you mean LIENTHONG_LISTEN?" in told("agencies", "list", LIENTHONG_LISTN="x")
    file = tmp_path / "slip.toml"
    file.write_text('data_dri = "x"\n', "utf-8")
    assert "did you mean data_dir?" in told("--config", file, "agencies", "list")
    assert "1–65535" in told("agencies", "list", LIENTHONG_LISTEN="127.0.0.1:99999")
    assert "is no file" in told("--config", tmp_path, "agencies", "list")
    for words in (("serve",), ("agencies", "list"), ("connections", "add", "A", "--agency", "H41")):
        assert f"{file} is a file" in told(*words, LIENTHONG_DATA_DIR=str(file))


def test_an_empty_data_folder_is_none_that_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty path would be the current folder, with a gateway in the midst of other files."""
    monkeypatch.setenv("LIENTHONG_DATA_DIR", "")
    assert load_settings().data_dir == Path("data")


def test_times_for_programs_are_written_one_way(lienthong: Lienthong) -> None:
    """UTC with a Z, as in the REST API."""
    added = lienthong.json("connections", "add", "A", "--agency", "H41")
    rotated = lienthong.json("connections", "rotate", "A")
    person = lienthong.json("people", "add", "Lan", "--role", "auditor")
    for time in (added["createdAt"], rotated["oldTokensEnd"], person["tokenEnds"]):
        assert time.endswith("Z") and "+" not in time


def test_a_folder_that_cannot_be_written_to_is_named(lienthong: Lienthong) -> None:
    """Not the temporary file in it, of which nobody knows."""
    told = lienthong("fetch", "x", "-o", "/proc/x", code=WRONG_USE, LIENTHONG_TOKEN="lt_x").stderr
    assert told.startswith("/proc cannot be written to") and ".lienthong-" not in told


@pytest.mark.parametrize("code", ["02", "16"])
def test_a_report_that_needs_a_reason_asks_for_the_option(lienthong: Lienthong, code: str) -> None:
    """In words of the command line, before anything is sent."""
    words = ("report", "x", "--status", code, "--reason", " ")
    told = lienthong(*words, code=WRONG_USE, LIENTHONG_TOKEN="lt_x").stderr
    assert f"--reason is required with --status {code}" in told


def test_an_address_that_is_asked_as_it_stands_keeps_its_slash(lienthong: Lienthong) -> None:
    """A time-stamping authority may insist on it; a base address has none."""
    settings = Settings(timestamp_url="https://tsa.example/tsr/", public_url="https://a.example/")
    assert settings.timestamp_url.endswith("/tsr/")
    told = lienthong("config", "check", code=REFUSED, LIENTHONG_TIMESTAMP_URL="tsa.example")
    assert "https://HOST/PATH" in told.stderr + told.stdout
