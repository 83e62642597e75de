"""Finding a market by what a person typed."""

import re
from decimal import Decimal
from difflib import get_close_matches
from reprlib import repr as repr_

from django.conf import settings

from exchanges.models import Market, Venue
from exchanges.venues import registry
from traderai.lib.errors import UserError

FINEST_STEP = Decimal("0.00000001")
LONGEST = 40
"""Characters of a symbol that can be stored."""


class UnknownSymbol(UserError):
    """No such market on the venue."""


class UnknownVenue(UserError):
    """No such venue."""


def find_market(symbol: str, *, venue: str | None = None, field: str = "symbol") -> Market:
    """The market called `symbol` (ccxt's spelling) on the venue (settings.DEFAULT_VENUE when none is named). Raises UnknownSymbol,
    which blames `field`: that is what the caller's input calls it; and UnknownVenue."""
    slug = venue or settings.DEFAULT_VENUE
    listed = Market.objects.select_related("venue").filter(venue__slug=slug, symbol=symbol)
    market = listed.first() if (slug + symbol).isprintable() else None  # no database takes NUL and lone surrogates
    if market is not None:
        return market
    find_venue(slug)
    known = sorted(Market.objects.filter(venue__slug=slug).values_list("symbol", flat=True))
    raise UnknownSymbol(f"{field}: {repr_(symbol)} is not listed on {slug}; {_advice(symbol, known)}", field=field)


def find_venue(slug: str) -> Venue:
    """Raises UnknownVenue."""
    venue = Venue.objects.filter(slug=slug).first() if slug.isprintable() else None
    if venue is None:
        known = ", ".join(Venue.objects.order_by("slug").values_list("slug", flat=True))
        raise UnknownVenue(f"venue: {repr_(slug)} is not known; use one of {known}", field="venue")
    return venue


def add_market(symbol: str, *, venue: str | None = None) -> Market:
    """The market, created with cautious steps when it is not there: BASE/QUOTE is spot, or a share at a broker's, BASE/QUOTE:QUOTE a linear
    perpetual. Raises UserError."""
    found = find_venue(venue or settings.DEFAULT_VENUE)
    pair, _, settle = symbol.partition(":")
    base, _, quote = pair.partition("/")
    if not (
        symbol.isascii()
        and re.fullmatch(r"[A-Z0-9]+([.&-][A-Z0-9]+)*", base)
        and quote.isalnum()
        and symbol == symbol.upper()
        and settle in ("", quote)
        and len(symbol) <= LONGEST
    ):
        raise UnknownSymbol(
            f"symbol: {repr_(symbol)} is not spelled like BTC/USDT (spot, or a share's AAPL/USD) or BTC/USDT:USDT (perpetual); correct it",
            field="symbol",
        )
    kind = registry.kind_of(found.slug, symbol)
    defaults = {"base": base, "quote": quote, "kind": kind, "tick_size": FINEST_STEP, "step_size": FINEST_STEP}
    defaults["max_leverage"] = 20 if settle else 1
    market, _created = Market.objects.select_related("venue").get_or_create(venue=found, symbol=symbol, defaults=defaults)
    return market


def _advice(symbol: str, known: list[str]) -> str:
    if not known:
        return "import_candles --new-market adds it"
    plain = {_plain(name): name for name in known}
    close = [] if len(symbol) > LONGEST else get_close_matches(_plain(symbol), plain, n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(plain[name] for name in close)}?"
    return f"it has {', '.join(known[:5])}{' and more' if len(known) > 5 else ''}; import_candles --new-market adds one"


def _plain(symbol: str) -> str:
    """BTC/USDT:USDT as most people type it: BTCUSDTUSDT, upper case."""
    return "".join(letter for letter in symbol.upper() if letter.isalnum())
