"""Markets and their candles over HTTP; mounted below /api/v1. For everybody who is signed in: the site's own charts ask here."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import numpy as np
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Field, Query, Router, Schema
from numpy.typing import NDArray
from pydantic import ConfigDict

from exchanges import charts, quotes
from exchanges.models import Market, Provenance
from exchanges.quotes import Quote
from exchanges.timeframes import TIMEFRAME_MS
from traderai.lib import clock
from traderai.lib.errors import UserError
from traderai.lib.http import refuse_unknown

router = Router(tags=["market data"])

Source = Literal["venue", "replay", "file", "simulated"]
SOURCES = "venue: its public API; file: imported history; replay: imported history played as if it were now; simulated: a generated market, no real prices"


class MarketFilter(Schema):
    model_config = ConfigDict(extra="forbid")

    venue: str | None = Field(None, max_length=50, examples=["binance"])
    symbol: str | None = Field(None, max_length=40, description="In ccxt's spelling, e.g. BTC/USDT:USDT.")
    limit: int = Field(50, ge=1, le=200)
    offset: int = Field(0, ge=0, le=1_000_000)


class FundingOut(Schema):
    rate: float = Field(description="Of the newest boundary, a fraction of notional per interval; positive: longs pay shorts.")
    at_ms: int
    interval_h: float | None = Field(description="Hours between the two newest boundaries.")
    annual_pct: float | None = Field(description="The rate paid for a year, without compounding.")


class FeedOut(Schema):
    state: Literal["live", "stale", "down"] = Field(description="stale: open, yet silent for too long; down: no connection.")
    ts_ms: int = Field(description="When it was last heard, in market time; 0 when it never was.")


class MarketOut(Schema):
    """A market as it stands; null where nothing is known. The 24 hours are those before `at_ms`, the time of the price."""

    id: int
    venue: str
    symbol: str
    base: str
    quote: str
    kind: Literal["spot", "perpetual", "equity"]
    source: Source = Field(description=SOURCES)
    price: float | None
    at_ms: int | None
    change_24h_pct: float | None
    high_24h: float | None
    low_24h: float | None
    volume_24h_base: float | None
    volume_24h_quote: float | None = Field(description="Each bar's volume at its close.")
    funding: FundingOut | None
    feed: FeedOut | None = Field(description="null: no stream is running.")


class MarketPage(Schema):
    items: list[MarketOut]
    count: int


class CandleQuery(Schema):
    """Times without a zone are UTC; milliseconds since 1970 are understood, too."""

    model_config = ConfigDict(extra="forbid")

    timeframe: str = Field("15m", max_length=3, examples=list(TIMEFRAME_MS))
    start: datetime | None = Field(None, description="The first open wanted.")
    end: datetime | None = Field(None, description="Opens are before this. For older candles: the open of the oldest one known.")
    limit: int = Field(300, ge=1, le=1_000, description="The newest so many of the span.")
    indicators: list[Literal["rsi", "macd"]] = Field([], max_length=2, description="rsi: 14 bars; macd: 12, 26 and 9 bars.")


Value = float | None
Bar = Annotated[
    tuple[int, float, float, float, float, float], Field(description="[open time in ms, open, high, low, close, volume in base]")
]


class CandlesOut(Schema):
    """Closed bars, oldest first, and the indicators' values at their closes (null while the history is too short for one)."""

    market_id: int
    symbol: str
    timeframe: str
    length_ms: int
    source: Source = Field(description=SOURCES)
    candles: list[Bar]
    indicators: dict[str, list[Value]] = Field(description="rsi; macd, macd_signal, macd_histogram. Each as long as `candles`.")
    has_older: bool = Field(description="Bars before the first one are stored.")


@router.get("/markets", response=MarketPage)
def list_markets(request: HttpRequest, query: Query[MarketFilter]) -> dict[str, Any]:
    """The markets that have candles, by symbol."""
    refuse_unknown(request, MarketFilter)
    wanted = {"venue__slug": query.venue, "symbol": query.symbol}
    rows = Market.objects.with_candles().select_related("venue").order_by("symbol", "pk")
    rows = rows.filter(**{field: value for field, value in wanted.items() if value})
    if not ((query.venue or "") + (query.symbol or "")).isprintable():  # no database takes NUL and lone surrogates
        rows = rows.none()
    page = list(rows[query.offset : query.offset + query.limit])
    return {"items": [_told(quote) for quote in quotes.of(page)], "count": rows.count()}


@router.get("/markets/{int:market_id}/candles", response=CandlesOut)
def get_market_candles(request: HttpRequest, market_id: int, query: Query[CandleQuery]) -> dict[str, Any]:
    """Closed candles of a market; frames that are not stored are derived from finer ones."""
    refuse_unknown(request, CandleQuery)
    market = get_object_or_404(Market.objects.exclude(provenance=Provenance.NONE), pk=market_id)
    start_ms, end_ms = _ms(query.start), _ms(query.end)
    if start_ms is not None and end_ms is not None and start_ms >= end_ms:
        raise UserError("start: has to be before end; correct one of them", field="start")
    found = charts.window(
        market, query.timeframe, limit=query.limit, start_ms=start_ms, end_ms=end_ms, indicators=sorted(set(query.indicators))
    )
    return {
        "market_id": market.pk,
        "symbol": market.symbol,
        "timeframe": query.timeframe,
        "length_ms": TIMEFRAME_MS[query.timeframe],
        "source": quotes.source(market),
        "candles": list(zip(*(column.tolist() for column in found.frame[2:]), strict=True)),
        "indicators": {name: _values(column) for name, column in found.values.items()},
        "has_older": found.has_older,
    }


def _told(quote: Quote) -> dict[str, Any]:
    market, funding, feed = quote.market, quote.funding, quote.feed
    return {
        "id": market.pk,
        "venue": market.venue.slug,
        "symbol": market.symbol,
        "base": market.base,
        "quote": market.quote,
        "kind": market.kind,
        "source": quote.source,
        "price": quote.price,
        "at_ms": quote.at_ms,
        "change_24h_pct": quote.change_pct,
        "high_24h": quote.high,
        "low_24h": quote.low,
        "volume_24h_base": quote.volume_base,
        "volume_24h_quote": quote.volume_quote,
        "funding": funding and {**funding._asdict(), "annual_pct": funding.annual_pct},
        "feed": feed and {"state": feed.state, "ts_ms": feed.ts_ms},
    }


def _values(column: NDArray[np.float64]) -> list[Value]:
    """JSON knows no NaN."""
    return [value if known else None for value, known in zip(column.tolist(), np.isfinite(column).tolist(), strict=True)]


def _ms(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    return clock.to_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
