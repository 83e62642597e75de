"""The adapters of market data, each with what the tests of all of them have to know of its venue.

A new adapter is a line in CASES; its venue is a dialect in tests/venue/.
"""

from dataclasses import dataclass, field
from typing import Any

from exchanges.venues import registry
from tests.exchanges.conformance.listed import BTC
from tests.venue import Instrument


@dataclass(frozen=True)
class Case:
    """One adapter: the venue's slug, the suffix of symbols ("" is spot), and the routes that the test makes stumble.

    `history` is where the oldest candles come from. `spec` are the facts of an instrument that this venue tells otherwise. `frames` are
    timeframes that it has to offer, `levels` how many of an order book. A broker's shares trade round the clock here, as coins do: their
    sessions are in test_alpaca.py and test_kite.py.
    """

    slug: str
    suffix: str
    instruments: str
    history: str
    tickers: str
    book: str
    time: str
    funding: str = ""
    quotes: bool = True
    lists_delisted: bool = True
    spec: dict[str, Any] = field(default_factory=dict)
    quote: str = "USDT"
    frames: tuple[str, ...] = ("1m", "15m", "1h", "4h", "1d")
    levels: int = 50

    def symbol(self, instrument: Instrument) -> str:
        return f"{instrument.base}/{self.quote}{self.suffix}"

    @property
    def is_broker(self) -> bool:
        return self.slug in registry.BROKERS

    @property
    def kind(self) -> str:
        return str(registry.kind_of(self.slug, self.symbol(BTC)))


FAPI, SPOT, OKX, BYBIT, BITGET = "/fapi/v1", "/api/v3", "/api/v5", "/v5/market", "/api/v2/mix/market"
BITGET_SPOT = "/api/v2/spot"
CASES = {
    "binance": Case(
        "binance", ":USDT", f"{FAPI}/exchangeInfo", f"{FAPI}/klines", f"{FAPI}/ticker/24hr", f"{FAPI}/depth", f"{FAPI}/time",
        funding=f"{FAPI}/fundingRate", quotes=False,
    ),
    "binance spot": Case(
        "binance", "", f"{SPOT}/exchangeInfo", f"{SPOT}/klines", f"{SPOT}/ticker/24hr", f"{SPOT}/depth", f"{FAPI}/time",
        spec={"max_leverage": 1},
    ),
    "okx spot": Case(
        "okx", "", f"{OKX}/public/instruments", f"{OKX}/market/history-candles", f"{OKX}/market/tickers", f"{OKX}/market/books",
        f"{OKX}/public/time", spec={"kind": "spot", "min_notional": 0.0, "max_leverage": 10},
    ),
    "bybit spot": Case(
        "bybit", "", f"{BYBIT}/instruments-info", f"{BYBIT}/kline", f"{BYBIT}/tickers", f"{BYBIT}/orderbook", f"{BYBIT}/time",
        lists_delisted=False, spec={"kind": "spot", "max_leverage": 1},
    ),
    "bitget spot": Case(
        "bitget", "", f"{BITGET_SPOT}/public/symbols", f"{BITGET_SPOT}/market/history-candles", f"{BITGET_SPOT}/market/tickers",
        f"{BITGET_SPOT}/market/orderbook", "/api/v2/public/time", spec={"kind": "spot", "max_leverage": 1},
    ),
    "okx": Case(
        "okx", ":USDT", f"{OKX}/public/instruments", f"{OKX}/market/history-candles", f"{OKX}/market/tickers", f"{OKX}/market/books",
        f"{OKX}/public/time", funding=f"{OKX}/public/funding-rate-history",
        spec={"contract_size": 0.01, "min_notional": 0.0, "max_leverage": 100},
    ),
    "bybit": Case(
        "bybit", ":USDT", f"{BYBIT}/instruments-info", f"{BYBIT}/kline", f"{BYBIT}/tickers", f"{BYBIT}/orderbook", f"{BYBIT}/time",
        funding=f"{BYBIT}/funding/history", lists_delisted=False, spec={"max_leverage": 100},
    ),
    "bitget": Case(
        "bitget", ":USDT", f"{BITGET}/contracts", f"{BITGET}/history-candles", f"{BITGET}/tickers", f"{BITGET}/merge-depth",
        "/api/v2/public/time", funding=f"{BITGET}/history-fund-rate", spec={"max_leverage": 125},
    ),
    "alpaca": Case(
        "alpaca", "", "/v2/assets", "/v2/stocks/bars", "/v2/stocks/snapshots", "/v2/stocks/quotes/latest", "/v2/clock",
        quote="USD", frames=("1m", "3m", "5m", "15m", "30m", "1h"), levels=1, lists_delisted=False,
        spec={"tick_size": 0.01, "step_size": 1e-9, "min_notional": 1.0, "min_qty": 0.0, "max_leverage": 1},
    ),
    "zerodha": Case(
        "zerodha", "", "/instruments/NSE", "/instruments/historical/{token}/{interval}", "/quote", "/quote", "/quote/ltp",
        quote="INR", frames=("1m", "3m", "5m", "15m"), levels=3, lists_delisted=False,
        spec={"step_size": 1.0, "min_notional": 0.0, "min_qty": 1.0, "max_leverage": 1},
    ),
}  # fmt: skip
