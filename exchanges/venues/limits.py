"""What each venue counts per address of the internet, as its documentation says: data, no behaviour but looking it up.

A bucket is one counter of a venue: so much `cost` in `per_s` seconds. A route is the path of a request, and says what a request costs.
"""

from collections.abc import Mapping
from math import inf
from typing import NamedTuple


class Limit(NamedTuple):
    """At most `cost` within any `per_s` seconds."""

    cost: float
    per_s: float


class Charge(NamedTuple):
    """What a request costs in which bucket: `cost`, or where the venue charges by a parameter, that of the first step (up to, cost) that
    holds the parameter's value, or how many it names; `cost` where the request leaves the parameter out."""

    bucket: str
    cost: float = 1.0
    by: str = ""
    steps: tuple[tuple[float, float], ...] = ()


WEIGHT, SPOT_WEIGHT, FUNDING = "weight", "spot weight", "funding"
OTHER = "other"
"""The bucket of every route that is not listed."""
USED_WEIGHT = "X-MBX-USED-WEIGHT-1M"
COUNTED = (WEIGHT, SPOT_WEIGHT)
"""The buckets of which Binance says in that header how much it has counted this minute."""

LIMITS: dict[str, Mapping[str, Limit]] = {
    # https://developers.binance.com/docs/derivatives/usds-margined-futures/general-info and .../binance-spot-api-docs/rest-api/limits
    "binance": {WEIGHT: Limit(2400, 60), SPOT_WEIGHT: Limit(6000, 60), FUNDING: Limit(500, 300), OTHER: Limit(300, 60)},
    # https://www.okx.com/docs-v5/en/: each endpoint counts by itself
    "okx": {
        "instruments": Limit(20, 2),
        "time": Limit(10, 2),
        "candles": Limit(40, 2),
        "history candles": Limit(20, 2),
        "tickers": Limit(20, 2),
        "books": Limit(40, 2),
        FUNDING: Limit(10, 2),
        OTHER: Limit(10, 2),
    },
    # https://bybit-exchange.github.io/docs/v5/rate-limit: one counter per address
    "bybit": {OTHER: Limit(600, 5)},
    # https://www.bitget.com/api-doc/contract/intro: each endpoint counts by itself
    "bitget": {
        **{
            f"{market}{endpoint}": Limit(20, 1)
            for market in ("", "spot ")
            for endpoint in ("instruments", "candles", "history candles", "tickers", "books")
        },
        "time": Limit(20, 1),
        FUNDING: Limit(20, 1),
        OTHER: Limit(10, 1),
    },
    # https://docs.alpaca.markets/docs/about-market-data-api, the free plan; the trading host, which has calendar and assets, counts by itself
    "alpaca": {"data": Limit(200, 60), OTHER: Limit(200, 60)},
    # https://kite.trade/docs/connect/v3/exceptions/#api-rate-limit
    "zerodha": {"historical": Limit(3, 1), "quote": Limit(1, 1), OTHER: Limit(10, 1)},
}

ROUTES: dict[str, Mapping[str, Charge]] = {
    "binance": {
        "/fapi/v1/time": Charge(WEIGHT),
        "/fapi/v1/exchangeInfo": Charge(WEIGHT),
        "/fapi/v1/klines": Charge(WEIGHT, 5, "limit", ((99, 1), (499, 2), (1000, 5), (inf, 10))),
        "/fapi/v1/depth": Charge(WEIGHT, 10, "limit", ((50, 2), (100, 5), (500, 10), (inf, 20))),
        "/fapi/v1/ticker/24hr": Charge(WEIGHT, 40, "symbol", ((inf, 1),)),
        "/fapi/v1/premiumIndex": Charge(WEIGHT, 10, "symbol", ((inf, 1),)),
        "/fapi/v1/fundingRate": Charge(FUNDING),
        "/api/v3/time": Charge(SPOT_WEIGHT),
        "/api/v3/exchangeInfo": Charge(SPOT_WEIGHT, 20),
        "/api/v3/klines": Charge(SPOT_WEIGHT, 2),
        "/api/v3/depth": Charge(SPOT_WEIGHT, 5, "limit", ((100, 5), (500, 25), (1000, 50), (inf, 250))),
        "/api/v3/ticker/24hr": Charge(SPOT_WEIGHT, 80, "symbols", ((20, 2), (100, 40), (inf, 80))),
    },
    "okx": {
        "/api/v5/public/instruments": Charge("instruments"),
        "/api/v5/public/time": Charge("time"),
        "/api/v5/market/candles": Charge("candles"),
        "/api/v5/market/history-candles": Charge("history candles"),
        "/api/v5/market/ticker": Charge("tickers"),
        "/api/v5/market/tickers": Charge("tickers"),
        "/api/v5/market/books": Charge("books"),
        "/api/v5/public/funding-rate-history": Charge(FUNDING),
    },
    "bybit": {
        "/v5/market/time": Charge(OTHER),
        "/v5/market/instruments-info": Charge(OTHER),
        "/v5/market/kline": Charge(OTHER),
        "/v5/market/tickers": Charge(OTHER),
        "/v5/market/orderbook": Charge(OTHER),
        "/v5/market/funding/history": Charge(OTHER),
    },
    "bitget": {
        "/api/v2/mix/market/contracts": Charge("instruments"),
        "/api/v2/public/time": Charge("time"),
        "/api/v2/mix/market/candles": Charge("candles"),
        "/api/v2/mix/market/history-candles": Charge("history candles"),
        "/api/v2/mix/market/tickers": Charge("tickers"),
        "/api/v2/mix/market/merge-depth": Charge("books"),
        "/api/v2/mix/market/history-fund-rate": Charge(FUNDING),
        "/api/v2/spot/public/symbols": Charge("spot instruments"),
        "/api/v2/margin/currencies": Charge("spot instruments"),
        "/api/v2/spot/market/candles": Charge("spot candles"),
        "/api/v2/spot/market/history-candles": Charge("spot history candles"),
        "/api/v2/spot/market/tickers": Charge("spot tickers"),
        "/api/v2/spot/market/orderbook": Charge("spot books"),
    },
    "alpaca": {
        "/v2/stocks/bars": Charge("data"),
        "/v2/stocks/snapshots": Charge("data"),
        "/v2/stocks/quotes/latest": Charge("data"),
        "/v2/clock": Charge(OTHER),
        "/v2/calendar": Charge(OTHER),
        "/v2/assets": Charge(OTHER),
        "/v2/assets/{symbol}": Charge(OTHER),
    },
    "zerodha": {
        "/instruments/NSE": Charge(OTHER),
        "/instruments/historical/{token}/{interval}": Charge("historical"),
        "/quote": Charge("quote"),
        "/quote/ltp": Charge("quote"),
    },
}


def charge(venue: str, path: str, query: Mapping[str, str]) -> tuple[str, float]:
    """The bucket and the cost of a request."""
    route = ROUTES.get(venue, {}).get(path, Charge(OTHER))
    value = query.get(route.by)
    if value is None:
        return route.bucket, route.cost
    amount = float(value) if value.isdecimal() else value.count(",") + 1
    return route.bucket, next((cost for most, cost in route.steps if amount <= most), route.cost)
