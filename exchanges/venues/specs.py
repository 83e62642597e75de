"""What is known about each venue that ccxt speaks to before it is asked: ccxt's name for it, the options without which it makes needless
or forbidden calls, and how its pages behave, as its documentation and ccxt 4.5 have it. Limits on requests are in exchanges.venues.limits.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Client:
    """One ccxt client: `exchange` is ccxt's class, `page` the most candles one request brings.

    seeks: a page begins with the first bar from its start on, however far that is; elsewhere it is a window, and before the listing empty.
    reach: timeframes of which a request covers fewer bars than a page.
    lacks: timeframes that ccxt names and this market does not have.
    funding_older: the parameter that asks for rates older than ... where a venue tells the newest first; "" where it pages from a start.
    depths: the sizes of order books it offers.
    tickers_by_settle: one request brings the prices of one settlement currency only.
    """

    exchange: str
    options: Mapping[str, Any]
    page: int
    depths: tuple[int, ...]
    seeks: bool = False
    reach: Mapping[str, int] = field(default_factory=dict)
    lacks: frozenset[str] = frozenset()
    funding_page: int = 100
    funding_older: str = ""
    tickers_by_settle: bool = False


@dataclass(frozen=True, slots=True)
class VenueSpec:
    """A venue and its clients by kind of market. `passing` are the codes of errors that pass by themselves though ccxt files them as final."""

    slug: str
    perpetual: Client
    spot: Client
    passing: frozenset[str] = frozenset()


NO_EXTRAS = {"fetchCurrencies": False, "fetchMargins": False}

BINANCE = VenueSpec(
    "binance",
    perpetual=Client("binanceusdm", NO_EXTRAS, page=1000, depths=(5, 10, 20, 50, 100, 500, 1000), seeks=True, funding_page=1000),
    spot=Client(
        "binance",
        {**NO_EXTRAS, "fetchMarkets": {"types": ["spot"]}, "defaultType": "spot"},
        page=1000,
        depths=(5, 10, 20, 50, 100, 500, 1000, 5000),
        seeks=True,
    ),
    passing=frozenset({"-1"}),
)
OKX = VenueSpec(
    "okx",
    perpetual=Client(
        "okx",
        {"fetchMarkets": {"types": ["swap"]}, "defaultType": "swap"},
        page=300,
        depths=(1, 5, 20, 50, 100, 400),
        funding_older="after",
    ),
    spot=Client("okx", {"fetchMarkets": {"types": ["spot"]}, "defaultType": "spot"}, page=300, depths=(1, 5, 20, 50, 100, 400)),
)
BYBIT = VenueSpec(
    "bybit",
    perpetual=Client(
        "bybit",
        {"defaultType": "swap", "defaultSubType": "linear", "fetchMarkets": {"types": ["linear"]}},
        page=1000,
        depths=(1, 50, 200, 500),
        funding_page=200,
        funding_older="endTime",
    ),
    spot=Client("bybit", {"defaultType": "spot", "fetchMarkets": {"types": ["spot"]}}, page=1000, depths=(1, 50, 200)),
    passing=frozenset({"10000", "10016"}),
)
BITGET = VenueSpec(
    "bitget",
    perpetual=Client(
        "bitget",
        {"defaultType": "swap", "uta": False, "fetchMarkets": {"types": ["swap"]}},
        page=200,
        depths=(1, 5, 15, 50),
        reach={"12h": 180, "1d": 90},  # a request spans 90 days at most
        funding_older="pageNo",
        tickers_by_settle=True,
    ),
    spot=Client(
        "bitget",
        {"defaultType": "spot", "uta": False, "fetchMarkets": {"types": ["spot"]}},
        page=200,
        depths=(1, 5, 15, 50, 150),
        lacks=frozenset({"2h"}),
    ),
    passing=frozenset({"40010", "40015", "40725"}),
)

SPECS: dict[str, VenueSpec] = {spec.slug: spec for spec in (BINANCE, OKX, BYBIT, BITGET)}
