"""Drivers by venue, loaded on first use: the web process never imports ccxt."""

import re
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from exchanges.models import Market, MarketKind
from exchanges.ports import LiveVenue, MarketDataVenue, NotConfigured, TradingVenue, VenueError, VenueRefused
from exchanges.venues.specs import SPECS

BROKERS = {"alpaca": "exchanges.venues.alpaca.AlpacaVenue", "zerodha": "exchanges.venues.kite.KiteVenue"}
"""Venues of shares. Each needs the extra of its own name, and keys."""
MARKET_DATA = dict.fromkeys(SPECS, "exchanges.venues.ccxt_venue.CcxtVenue") | BROKERS
LIVE = dict.fromkeys(SPECS, "exchanges.venues.ccxt_live.CcxtLive")
TRADING = {"paper": "exchanges.venues.paper.PaperVenue"}


def kind_of(slug: str, symbol: str) -> str:
    """Of which kind a symbol is at a venue. Shares are spelled as coins are, so the venue decides."""
    if slug in BROKERS:
        return MarketKind.EQUITY
    return MarketKind.PERPETUAL if ":" in symbol else MarketKind.SPOT


@cache
def market_data(slug: str) -> MarketDataVenue:
    """The venue's public data, one driver (and one rate limit) per process. Raises VenueRefused when it has none."""
    return _market_data(slug)


def live(slug: str) -> LiveVenue:
    """The venue's sockets; its prices polled by REST where it has none. Raises VenueRefused."""
    venue = market_data(slug)
    if slug not in LIVE:
        polled: LiveVenue = import_string("exchanges.venues.polled.PolledLive")(venue)
        return polled
    driver: LiveVenue = import_string(LIVE[slug])(venue, base_url=_base_url(slug))
    return driver


@cache
def trading(slug: str, latest_tick: Callable[[Market], Any]) -> TradingVenue:
    """The venue's order desk, handed our own price source. Raises VenueRefused when it has none."""
    if slug not in TRADING:
        raise VenueRefused(f"{slug} takes no orders here; use {', '.join(TRADING)}")
    driver: TradingVenue = import_string(TRADING[slug])(latest_tick)
    return driver


def reachable(slug: str, *, timeout_s: float = 2.5) -> bool:
    """Whether the venue's public API answers, within about timeout_s: a name server that hangs does not hold the caller up."""
    answered = threading.Event()

    def ask() -> None:
        try:
            _market_data(slug, timeout_ms=int(timeout_s * 1000)).time_ms()
        except VenueError:
            return
        answered.set()

    try:
        _driver(slug)  # outside the time limit: importing ccxt takes a second
    except NotConfigured:
        return False
    caller = threading.Thread(target=ask, daemon=True)
    caller.start()
    caller.join(timeout_s)
    return answered.is_set()


def _market_data(slug: str, **options: Any) -> Any:
    if slug not in MARKET_DATA:
        raise VenueRefused(f"{slug} has no market data here; use {', '.join(MARKET_DATA)}")
    described = [SPECS[slug]] if slug in SPECS else []
    return _driver(slug)(*described, base_url=_base_url(slug), **options)


def _base_url(slug: str) -> str:
    """Where the venue is asked instead of at its own hosts; "" for those."""
    address = settings.VENUE_BASE_URLS.get(slug, "")
    if address and not re.match(r"https?://[^/]", str(address)):
        raise VenueRefused(f"VENUE_BASE_URLS: {address!r} is no address of {slug}; write one like http://127.0.0.1:8080")
    return address


def _driver(slug: str) -> Any:
    try:
        return import_string(MARKET_DATA[slug])
    except ModuleNotFoundError as error:
        if slug not in BROKERS:
            raise
        raise NotConfigured(
            f"{slug} is not configured: install its client (uv pip install -r pyproject.toml --extra {slug}), set its keys, and restart"
        ) from error
