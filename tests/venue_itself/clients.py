"""The real clients, pointed at the test venue. `library` is ccxt, ccxt.async_support or ccxt.pro."""

from typing import Any

import ccxt

from exchanges.venues.ccxt_client import point
from tests.venue import TestVenue

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"


def binance(venue: TestVenue, library: Any = ccxt, **config: Any) -> Any:
    client = library.binanceusdm({"enableRateLimit": False, "options": {"fetchCurrencies": False, "fetchMargins": False}, **config})
    return point(client, venue.url)


def okx(venue: TestVenue, library: Any = ccxt, **config: Any) -> Any:
    options = {"fetchMarkets": {"types": ["swap"]}, "defaultType": "swap"}
    client = library.okx({"enableRateLimit": False, "options": options, **config})
    client.has["fetchCurrencies"] = False
    return point(client, venue.url)


MAKERS = {"binance": binance, "okx": okx}
