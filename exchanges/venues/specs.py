"""What is known about each venue before it is asked: ccxt's name for it, and the options without which it makes needless or forbidden calls."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Client:
    """One ccxt client: `exchange` is ccxt's class, `page` the most candles one request brings."""

    exchange: str
    options: Mapping[str, Any]
    page: int
    funding_page: int = 100
    lists_currencies: bool = False  # ccxt would call a signed or slow endpoint for them


@dataclass(frozen=True, slots=True)
class VenueSpec:
    """A venue and its clients by kind of market."""

    slug: str
    perpetual: Client
    spot: Client
    extra: Mapping[str, Any] = field(default_factory=dict)


NO_EXTRAS = {"fetchCurrencies": False, "fetchMargins": False}

SPECS: dict[str, VenueSpec] = {
    spec.slug: spec
    for spec in (
        VenueSpec(
            "binance",
            perpetual=Client("binanceusdm", NO_EXTRAS, page=1000, funding_page=1000),
            spot=Client("binance", {**NO_EXTRAS, "fetchMarkets": {"types": ["spot"]}, "defaultType": "spot"}, page=1000),
        ),
        VenueSpec(
            "okx",
            perpetual=Client("okx", {"fetchMarkets": {"types": ["swap"]}, "defaultType": "swap"}, page=100),
            spot=Client("okx", {"fetchMarkets": {"types": ["spot"]}, "defaultType": "spot"}, page=100),
        ),
        VenueSpec(
            "bybit",
            perpetual=Client(
                "bybit",
                {"defaultType": "swap", "defaultSubType": "linear", "fetchMarkets": {"types": ["linear"]}},
                page=1000,
                funding_page=200,
            ),
            spot=Client("bybit", {"defaultType": "spot", "fetchMarkets": {"types": ["spot"]}}, page=1000),
        ),
        VenueSpec(
            "bitget",
            perpetual=Client("bitget", {"defaultType": "swap", "uta": False, "fetchMarkets": {"types": ["swap"]}}, page=200),
            spot=Client("bitget", {"defaultType": "spot", "uta": False, "fetchMarkets": {"types": ["spot"]}}, page=200),
        ),
    )
}
