"""`lienthong status` on a database alone: no process of the service runs."""

from __future__ import annotations

from gateway.cli.failures import REFUSED, WRONG_USE
from tests.unit.gateway.cli_runner import Lienthong
from tests.unit.gateway.test_cli_deliveries import Seed, seed

__all__ = ["seed"]

#: Nothing listens there.
NOBODY = "http://127.0.0.1:1"


def test_what_the_database_knows_is_shown_without_a_service(
    lienthong: Lienthong, seed: Seed
) -> None:
    """Queues by connection and state, what is dead, who does not answer; exit code 1."""
    told = lienthong.json("status", "--url", NOBODY, code=REFUSED)
    assert told["dead"] == 1 and told["held"] == 0 and told["database"]["ok"]
    shown = {(one["connection"], one["state"]): one["count"] for one in told["queues"]}
    assert shown == {("beta", "offered"): 1, ("gamma", "dead"): 1}
    sentences = [one["en"] for one in told["attention"]]
    assert any(NOBODY in one for one in sentences)
    assert any("Dead" in one for one in sentences)
    screen = lienthong("status", "--url", NOBODY, code=REFUSED).stdout
    assert "NO ANSWER" in screen and "ATTENTION" in screen and "gamma" in screen
    vietnamese = lienthong("--lang", "vi", "status", "--url", NOBODY, code=REFUSED).stdout
    assert "chờ người vận hành quyết định: 1" in vietnamese


def test_held_for_long_is_told(lienthong: Lienthong, seed: Seed) -> None:
    """The delivery of these tests is of 2026-03-02: held since, somebody forgot it."""
    lienthong("deliveries", "hold", seed.beta.id, "--reason", "chờ xác minh")
    sentences = [
        one["en"] for one in lienthong.json("status", "--url", NOBODY, code=REFUSED)["attention"]
    ]
    assert any("held for more than a day" in one for one in sentences)


def test_a_wrong_folder_or_address_is_wrong_use(lienthong: Lienthong) -> None:
    """Where no gateway is there is no status of one; nothing is made."""
    assert "no gateway" in lienthong("status", code=WRONG_USE).stderr
    assert not lienthong.data.exists()
    assert "no address" in lienthong("status", "--url", "localhost", code=WRONG_USE).stderr
