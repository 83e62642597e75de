import ccxt
import pytest
import requests

from tests.venue_itself.clients import BTC, ETH, MAKERS, binance
from tests.venue_itself.conftest import BARS, QUARTER_MS

TICKERS = {"binance": "/fapi/v1/ticker/24hr", "okx": "/api/v5/market/ticker"}
CANDLES = {"binance": "/fapi/v1/klines", "okx": "/api/v5/market/candles"}
KLINES = CANDLES["binance"]


@pytest.fixture(params=list(MAKERS))
def client(request, venue):
    made = MAKERS[request.param](venue, timeout=250)
    made.load_markets()
    return made


@pytest.mark.parametrize(
    ("kind", "how", "raised"),
    [
        ("timeout", {}, {"binance": ccxt.RequestTimeout, "okx": ccxt.RequestTimeout}),
        ("reset", {}, {"binance": ccxt.NetworkError, "okx": ccxt.NetworkError}),
        ("status", {"status": 429, "retry_after": 7}, {"binance": ccxt.DDoSProtection, "okx": ccxt.RateLimitExceeded}),
        ("status", {"status": 418, "retry_after": 7}, {"binance": ccxt.DDoSProtection}),
        (
            "status",
            {"status": 500, "body": "Internal Server Error"},
            {"binance": ccxt.ExchangeNotAvailable, "okx": ccxt.ExchangeNotAvailable},
        ),
        (
            "status",
            {"status": 503, "body": "Service Unavailable."},
            {"binance": ccxt.ExchangeNotAvailable, "okx": ccxt.ExchangeNotAvailable},
        ),
        ("status", {"status": 504, "body": "Gateway Timeout"}, {"binance": ccxt.RequestTimeout, "okx": ccxt.RequestTimeout}),
        ("status", {"status": 503, "body": '{"code":-1,"msg":"Unknown error, please check."}'}, {"binance": ccxt.ExchangeError}),
        ("status", {"status": 400, "body": '{"code":-1003,"msg":"Too many requests."}'}, {"binance": ccxt.RateLimitExceeded}),
        ("status", {"status": 400, "body": '{"code":-1021,"msg":"Timestamp ahead."}'}, {"binance": ccxt.InvalidNonce}),
        ("status", {"status": 403, "body": "<html>WAF</html>"}, {"binance": ccxt.ExchangeNotAvailable}),
        ("status", {"status": 500}, {"binance": ccxt.OperationFailed, "okx": ccxt.OnMaintenance}),
        ("status", {"status": 200, "body": '{"code":"50004","msg":"timeout","data":[]}'}, {"okx": ccxt.RequestTimeout}),
        ("status", {"status": 200, "body": '{"code":"50013","msg":"busy","data":[]}'}, {"okx": ccxt.ExchangeNotAvailable}),
    ],
)
def test_a_reply_that_is_no_answer_is_the_clients_error(client, venue, kind, how, raised):
    name = "binance" if client.id == "binanceusdm" else "okx"
    if name not in raised:
        pytest.skip("the other venue's reply")
    venue.script(TICKERS[name], kind, **how)
    with pytest.raises(raised[name]) as caught:
        client.fetch_ticker(BTC)
    assert isinstance(caught.value, ccxt.BaseError)
    if "retry_after" in how:
        assert client.last_response_headers["Retry-After"] == "7"
    assert client.fetch_ticker(BTC)["last"], "it was to happen once"
    assert [(route, struck) for route, struck, _ in venue.faults.struck] == [(TICKERS[name], kind)]


def test_half_a_reply_or_a_page_of_html_pass_for_an_answer(client, venue):
    """Which is why the product's adapter insists on JSON."""
    name = "binance" if client.id == "binanceusdm" else "okx"
    for kind in ("html", "truncated"):
        venue.script(CANDLES[name], kind)
        try:
            assert not [row for row in client.fetch_ohlcv(BTC, "15m") if row[4]]
        except (AttributeError, TypeError, ValueError):
            continue


def test_a_page_may_be_empty_and_late(client, venue):
    name = "binance" if client.id == "binanceusdm" else "okx"
    venue.script(CANDLES[name], "empty")
    assert not [row for row in client.fetch_ohlcv(BTC, "15m") if row[4]]
    venue.script(CANDLES[name], "timeout", seconds=0.05)
    assert not [row for row in client.fetch_ohlcv(BTC, "15m") if row[4]]
    assert len(client.fetch_ohlcv(BTC, "15m")) >= 100


def test_a_fault_waits_for_its_call_its_symbol_and_ends(client, venue):
    name = "binance" if client.id == "binanceusdm" else "okx"
    wire_id = "ETHUSDT" if name == "binance" else "ETH-USDT-SWAP"
    venue.script(TICKERS[name], "reset", nth=2, times=2, symbol=wire_id)
    outcome = []
    for _ in range(4):
        client.fetch_ticker(BTC)
        try:
            client.fetch_ticker(ETH)
            outcome.append(True)
        except ccxt.NetworkError:
            outcome.append(False)
    assert outcome == [True, False, False, True]
    venue.script(TICKERS[name], "reset", times=10)
    venue.faults.clear()
    assert client.fetch_ticker(ETH)


def told(client, state) -> list[int]:
    return [row[0] for row in client.fetch_ohlcv(BTC, "15m", state.now_ms // QUARTER_MS * QUARTER_MS - 9 * QUARTER_MS, 20)]


def test_pages_lose_double_shuffle_and_falsify_their_rows(client, venue, state):
    route = CANDLES["binance" if client.id == "binanceusdm" else "okx"]
    whole = told(client, state)
    assert len(whole) == 10
    venue.script(route, "gap", count=3)
    assert set(told(client, state)) < set(whole)
    venue.script(route, "gap", first_ms=whole[2], last_ms=whole[4], times=2)
    assert told(client, state) == told(client, state) == [*whole[:2], *whole[5:]]
    venue.script(route, "duplicate")
    assert len(told(client, state)) == 11
    venue.script(route, "wrong", field_name=3, value="0.5", row=4)
    assert 0.5 in [row[3] for row in client.fetch_ohlcv(BTC, "15m", whole[0], 10)]
    venue.script(route, "disorder", row=4)
    assert sorted(told(client, state)) == whole


def test_rows_come_out_of_order_on_the_wire(venue, state):
    venue.script(KLINES, "disorder", row=4)
    page = requests.get(f"{venue.url}{KLINES}?symbol=BTCUSDT&interval=15m&limit=10").json()
    times = [row[0] for row in page]
    assert times != sorted(times)
    assert times[-1] == state.candles["BTCUSDT", "15m"].timestamp[BARS - 6]


def test_the_control_port_scripts_lists_and_forgets_faults(venue):
    url, client = venue.url + "/_control/faults", binance(venue)
    client.load_markets()
    assert requests.post(url, json={"route": KLINES, "kind": "status", "status": 503, "body": "away"}).status_code == 200
    with pytest.raises(ccxt.ExchangeNotAvailable):
        client.fetch_ohlcv(BTC)
    assert [(struck["route"], struck["kind"]) for struck in requests.get(url).json()] == [(KLINES, "status")]
    requests.post(url, json={"route": KLINES, "kind": "reset", "times": 9})
    requests.delete(url)
    assert client.fetch_ohlcv(BTC)
    assert requests.post(url, json={"route": KLINES, "kind": "flood"}).status_code == 400
    assert requests.post(url, json={"road": KLINES}).status_code == 400
    assert requests.post(url, json={"route": KLINES, "kind": "drop"}).json() == {"error": f"kind: 'drop' cannot happen to {KLINES}"}
    assert requests.post(url, json={"route": "/ws", "kind": "gap"}).status_code == 400
