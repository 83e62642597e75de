"""Drivers by venue, loaded on first use: the web process never imports ccxt."""

import threading
from collections.abc import Callable
from functools import cache
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from exchanges.models import Market
from exchanges.ports import MarketDataVenue, TradingVenue, VenueError, VenueRefused
from exchanges.venues.specs import SPECS

MARKET_DATA = dict.fromkeys(SPECS, "exchanges.venues.ccxt_venue.CcxtVenue")
TRADING = {"paper": "exchanges.venues.paper.PaperVenue"}


@cache
def market_data(slug: str) -> MarketDataVenue:
    """The venue's public data, one driver (and one rate limit) per process. Raises VenueRefused when it has none."""
    return _market_data(slug)


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

    import_string(MARKET_DATA[slug])  # outside the time limit: importing ccxt takes a second
    caller = threading.Thread(target=ask, daemon=True)
    caller.start()
    caller.join(timeout_s)
    return answered.is_set()


def _market_data(slug: str, **options: Any) -> Any:
    if slug not in MARKET_DATA:
        raise VenueRefused(f"{slug} has no market data here; use {', '.join(MARKET_DATA)}")
    return import_string(MARKET_DATA[slug])(SPECS[slug], base_url=settings.VENUE_BASE_URLS.get(slug, ""), **options)
