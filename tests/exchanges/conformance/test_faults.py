"""A venue that cannot be asked: what is said of it."""

import pytest

from exchanges.ports import VenueRefused, VenueUnavailable
from exchanges.venues import registry
from tests.exchanges.conformance.listed import BTC, DAY_MS, FIRST_MS, NOW_MS

FAULTS = {
    "no answer": ("timeout", {}, "did not answer in time"),
    "a reset": ("reset", {}, "cannot be reached"),
    "too many requests": ("status", {"status": 429, "retry_after": 0.05}, "limits our requests"),
    "a ban": ("status", {"status": 418, "retry_after": 0.05}, "has banned this address for a while"),
    "an inner error": ("status", {"status": 500}, "is not available|is under maintenance"),
    "a gateway's error": ("status", {"status": 502, "body": "<html>Bad Gateway</html>"}, "is not available"),
    "maintenance": ("status", {"status": 503, "retry_after": 90}, "is not available|is under maintenance"),
    "HTML": ("html", {}, "sent something unreadable"),
    "half a reply": ("truncated", {}, "sent something unreadable"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("what", ["history", "instruments", "tickers", "funding", "time"])
def test_it_names_what_went_wrong_without_address_or_key(case, adapter, venue, settings, what, fault):
    route = getattr(case, what)
    if not route:
        pytest.skip("spot has no funding")
    kind, how, words = FAULTS[fault]
    impatient = registry._market_data(case.slug, timeout_ms=250 if kind == "timeout" else 5_000)
    symbol = case.symbol(BTC)
    asks = {
        "history": lambda driver: driver.candles(symbol, "15m", FIRST_MS, 10),
        "instruments": lambda driver: driver.markets(case.kind),
        "tickers": lambda driver: driver.tickers([symbol]),
        "funding": lambda driver: list(driver.funding(symbol, NOW_MS - 5 * DAY_MS)),
        "time": lambda driver: driver.time_ms(),
    }
    venue.script(route, kind, **how)
    with pytest.raises(VenueUnavailable, match=f"^{case.slug} ({words}) when asked for ") as caught:
        asks[what](impatient)
    assert "http" not in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)
    assert caught.value.retry_after_s == how.get("retry_after")
    assert asks[what](adapter), "and the next question is answered"


def test_a_venue_that_is_not_offered_here_says_so(case, adapter, venue):
    if case.is_broker:
        pytest.skip("a broker's keys are refused instead")
    venue.script(case.instruments, "status", status=451, body='{"code": 0, "msg": "Service unavailable from a restricted location"}')
    with pytest.raises(VenueRefused, match=r"is not offered where this computer is .* use another venue"):
        adapter.candles(case.symbol(BTC), "15m", FIRST_MS, 1)


@pytest.mark.parametrize(
    ("scheme", "complaint"),
    [
        ("https://", "shows a certificate that is not trusted here: look for a proxy"),
        ("ftp://", "VENUE_BASE_URLS: 'ftp://127.0.0.1:.*' is no address of .*; write one like http://"),
        ("", "VENUE_BASE_URLS: '127.0.0.1:.*' is no address"),
    ],
)
def test_it_says_what_is_wrong_with_a_gateway(case, adapter, venue, settings, scheme, complaint):
    settings.VENUE_BASE_URLS = {case.slug: f"{scheme}{venue.url.removeprefix('http://')}"}
    with pytest.raises(VenueRefused, match=complaint):
        registry._market_data(case.slug).candles(case.symbol(BTC), "15m", FIRST_MS, 1)
