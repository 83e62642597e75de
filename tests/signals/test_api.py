import pytest

from signals.models import SignalStatus
from tests.signals import scenes
from tests.signals.scenes import BAR_MS, BTC, ETH

pytestmark = pytest.mark.django_db
API = "/api/v1"


@pytest.fixture
def market():
    return scenes.make_market(ETH, bars=20)


@pytest.fixture
def caller(client_for, alice):
    return client_for(alice)


def post(client, path, body):
    return client.post(f"{API}{path}", body, content_type="application/json")


@pytest.mark.parametrize(
    "path", ["/signals", "/signals/1", "/signals/1/candles", "/strategies", "/strategies/auto-trade/status", "/train/status/1"]
)
def test_it_wants_a_session(client, path):
    assert client.get(f"{API}{path}").status_code == 401


def test_it_lists_signals(caller, market):
    signal = scenes.make_signal(market)
    body = caller.get(f"{API}/signals").json()
    assert body["count"] == 1
    [item] = body["items"]
    assert (item["id"], item["symbol"], item["simulated"], item["side"], item["status"]) == (signal.pk, ETH, True, "long", "open")
    assert item["votes"][0]["reasons"][0]["text"].startswith("RSI")
    assert item["sizing"]["medium"]["leverage"] == 5


@pytest.mark.parametrize(
    ("query", "count"), [("side=short", 1), ("status=expired", 1), (f"symbol={BTC}", 0), ("limit=1", 2), ("offset=5", 2)]
)
def test_it_filters_and_pages(caller, market, query, count):
    scenes.make_signal(market, bar_ms=BAR_MS, status=SignalStatus.EXPIRED)
    scenes.make_signal(market, side="short")
    body = caller.get(f"{API}/signals?{query}").json()
    assert body["count"] == count
    assert len(body["items"]) == {"limit=1": 1, "offset=5": 0}.get(query, count)


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "offset=-1", "side=up", "status=gone", "nonsense=1", "limit=x"])
def test_it_refuses_a_bad_query(caller, query):
    assert caller.get(f"{API}/signals?{query}").status_code == 422


def test_it_gives_one_signal(caller, market):
    signal = scenes.make_signal(market)
    assert caller.get(f"{API}/signals/{signal.pk}").json()["entry"] == signal.entry
    assert caller.get(f"{API}/signals/{signal.pk + 1}").status_code == 404


def test_it_gives_the_candles_around_a_signal(caller, market):
    signal = scenes.make_signal(market)
    scenes.next_bars(market, [(100.0, 101.0, 99.0, 100.5)])
    body = caller.get(f"{API}/signals/{signal.pk}/candles").json()
    assert len(body["candles"]) == 21
    assert body["candles"][-1][1:5] == [100.0, 101.0, 99.0, 100.5]
    assert body["markers"][0]["time_ms"] == signal.bar_ms == body["candles"][-2][0]
    assert {line["label"]: line["price"] for line in body["lines"]} == {"Entry": 100, "Stop": 98, "TP1": 102, "TP2": 104, "TP3": 106}
    assert body["simulated"] is True


# --- strategies


def test_it_lists_templates_and_my_configurations_only(caller, alice, bob):
    mine = scenes.make_config(alice, scenes.make_account(alice))
    scenes.make_config(bob, scenes.make_account(bob))
    body = caller.get(f"{API}/strategies").json()
    assert [template["slug"] for template in body["templates"]] == ["ml-ensemble"]
    assert [config["id"] for config in body["configs"]] == [mine.pk]
    assert body["configs"][0]["environment"] == "paper"


def test_it_starts_and_stops_auto_trade(caller, alice):
    config = scenes.make_config(alice, scenes.make_account(alice))
    started = post(caller, "/strategies/auto-trade/start", {"config_id": config.pk}).json()
    assert started["auto_trade"] is True
    assert started["started_at"] is not None
    status = caller.get(f"{API}/strategies/auto-trade/status").json()
    assert [entry["config"]["id"] for entry in status] == [config.pk]
    assert (status[0]["orders_made"], status[0]["orders_denied"], status[0]["newest_orders"]) == (0, 0, [])
    assert post(caller, "/strategies/auto-trade/stop", {"config_id": config.pk}).json()["auto_trade"] is False


@pytest.mark.parametrize("action", ["start", "stop"])
def test_a_strangers_configuration_is_not_found(caller, bob, action):
    config = scenes.make_config(bob, scenes.make_account(bob))
    assert post(caller, f"/strategies/auto-trade/{action}", {"config_id": config.pk}).status_code == 404
    config.refresh_from_db()
    assert not config.auto_trade


@pytest.mark.parametrize("body", [{}, {"config_id": 0}, {"config_id": "x"}, {"config_id": 1, "force": True}])
def test_it_refuses_a_bad_body(caller, body):
    assert post(caller, "/strategies/auto-trade/start", body).status_code == 422


def test_it_refuses_to_start_on_an_account_that_is_switched_off(caller, alice):
    config = scenes.make_config(alice, scenes.make_account(alice, is_active=False))
    response = post(caller, "/strategies/auto-trade/start", {"config_id": config.pk})
    assert response.status_code == 422
    assert "switched off" in response.json()["detail"]
