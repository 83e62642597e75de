"""Markets: what can be looked at, and one market with its chart, book and funding."""

from collections.abc import Callable
from itertools import accumulate
from operator import itemgetter
from typing import Any, cast

from django.contrib.auth.decorators import login_required
from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from exchanges import candles, charts, quotes
from exchanges.forms import MarketFilterForm
from exchanges.live import Book
from exchanges.models import Market, Position
from exchanges.quotes import Quote
from exchanges.streams import publishing
from exchanges.views import figures
from traderai.lib import clock
from traderai.lib.http import wants_fragment

PAGE_SIZE = 50
FRAMES = ("1m", "15m", "1h", "4h", "1d")
FIRST_FRAME = "15m"
TABLE_BARS = 30
FUNDING_SPAN_MS = 14 * quotes.DAY_MS
BOOK_LEVELS = 20
SORTS: dict[str, Callable[[Quote], float | None]] = {
    "change": lambda quote: quote.change_pct,
    "volume": lambda quote: quote.volume_quote,
    "funding": lambda quote: quote.funding.rate if quote.funding else None,
}


@login_required
@require_safe
def market_list(request: HttpRequest) -> HttpResponse:
    """Every market with candles; the table alone when htmx asks."""
    form = MarketFilterForm(request.GET)
    known = Market.objects.with_candles().select_related("venue")
    page, shown = _page(form.narrow(known).order_by("symbol", "pk"), form.sort_by, request.GET.get("page"))
    context = {
        "form": form,
        "page": page,
        "rows": [_row(quote) for quote in shown],
        "sort": form.sort_by,
        "has_markets": bool(shown) or known.exists(),
    }
    return render(request, "exchanges/markets.html#table" if wants_fragment(request) else "exchanges/markets.html", context)


@login_required
@require_safe
def market_by_id(request: HttpRequest, pk: int) -> HttpResponse:
    """Where other pages link to: they know a market's row, and not its venue's name."""
    return redirect(address(get_object_or_404(Market.objects.select_related("venue"), pk=pk)))


@login_required
@require_safe
def market_detail(request: HttpRequest, venue: str, symbol: str) -> HttpResponse:
    """One market. The chart's data come from the API, what moves through the socket; without either the page shows what is stored."""
    market = find(venue, symbol)
    frames = charts.offered(market, FRAMES)
    asked = request.GET.get("timeframe", FIRST_FRAME)
    timeframe = asked if asked in frames else next((name for name in (FIRST_FRAME, *frames) if name in frames), FIRST_FRAME)
    quote = quotes.of([market])[0]
    book = cast("Book | None", publishing.latest(market.pk, "book"))
    qty_places = figures.qty_places(market)
    positions = list(Position.objects.for_user(request.user).open().filter(market=market).select_related("account").order_by("pk"))
    context = {
        **_row(quote),
        "frames": frames,
        "timeframe": timeframe,
        "bars": _table(quote, timeframe) if frames else [],
        "origin_text": figures.SOURCES[quote.source][2],
        "volume_base": figures.compact(quote.volume_base),
        "qty_places": qty_places,
        **_book(book, qty_places),
        # A venue's book may begin any moment and has its place; played and generated markets never have one.
        "has_book": book is not None or quote.source == "venue",
        "positions": positions,
        "lines": [line for position in positions for line in _lines(position)],
        "funding": _funding(quote),
    }
    return render(request, "exchanges/market.html", context)


def address(market: Market) -> str:
    """The market's page."""
    return reverse("markets:detail", args=[market.venue.slug, market.symbol])


def find(venue: str, symbol: str) -> Market:
    """The market, also one that is no longer traded: positions and signals of it lead here. Raises Http404."""
    if not (venue + symbol).isprintable():  # no database takes NUL
        raise Http404
    return get_object_or_404(Market.objects.select_related("venue"), venue__slug=venue, symbol=symbol)


def _page(markets: QuerySet[Market], sort: str, number: str | None) -> tuple[Page[Any], list[Quote]]:
    """A page, and what it shows. By name only the page's own markets are looked at; any other order needs all of them."""
    value = SORTS.get(sort.removeprefix("-"))
    if value is None:
        listed = Paginator(markets, PAGE_SIZE).get_page(number)
        return listed, quotes.of(list(listed))
    valued = [(value(quote), quote) for quote in quotes.of(list(markets))]
    known = sorted(((each, quote) for each, quote in valued if each is not None), key=itemgetter(0), reverse=sort.startswith("-"))
    unknown = [quote for each, quote in valued if each is None]  # last, whichever the order
    page = Paginator([*(quote for _, quote in known), *unknown], PAGE_SIZE).get_page(number)
    return page, list(page)


def _row(quote: Quote) -> dict[str, Any]:
    market, funding = quote.market, quote.funding
    return {
        "market": market,
        "quote": quote,
        "url": address(market),
        "places": figures.places(market, quote.price),
        "at": clock.from_ms(quote.at_ms) if quote.at_ms else None,
        "volume": figures.compact(quote.volume_quote),
        "funding_pct": funding.rate * 100.0 if funding else None,
        "funding_title": figures.funding_title(funding) if funding else "",
        "spark": figures.spark(quote.bars),
        "rising": quote.bars is not None and bool(quote.bars.close[-1] >= quote.bars.close[0]),
        "stream": figures.stream(quote),
        "origin": figures.origin(quote.source),
    }


def _table(quote: Quote, timeframe: str) -> list[dict[str, Any]]:
    """The newest bars that have closed by the time of the price, newest first."""
    end_ms = None if quote.at_ms is None else quote.at_ms - candles.length_ms(timeframe) + 1
    frame = charts.window(quote.market, timeframe, limit=TABLE_BARS, end_ms=end_ms).frame
    rows = zip(*(column.tolist() for column in frame[2:]), strict=True)
    names = ("open", "high", "low", "close", "volume")
    return [{"at": clock.from_ms(at), **dict(zip(names, values, strict=True))} for at, *values in rows][::-1]


def _book(book: Book | None, qty_places: int) -> dict[str, Any]:
    """The asks from far to near and the bids from near to far, always as many rows, so that nothing moves when they fill."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for side in ("asks", "bids"):
        levels = getattr(book, side)[:BOOK_LEVELS] if book else ()
        totals = accumulate(qty for _, qty in levels)
        rows[side] = [
            {"price": price, "qty": f"{qty:.{qty_places}f}", "total": f"{total:.{qty_places}f}"}
            for (price, qty), total in zip(levels, totals, strict=True)
        ]
        rows[side] += [{}] * (BOOK_LEVELS - len(levels))
    rows["asks"].reverse()
    spread = book.asks[0][0] - book.bids[0][0] if book and book.asks and book.bids else None
    return {
        "book_at": clock.from_ms(book.ts_ms) if book else None,
        "spread": spread,
        "spread_bp": spread / book.bids[0][0] * 10_000.0 if book and spread is not None else None,
        **rows,
    }


def _lines(position: Position) -> list[dict[str, Any]]:
    """What the chart draws of an open position: entry, stop as it stands, targets that were not reached."""
    targets = [(f"TP{i}", price) for i, price in enumerate((position.tp1, position.tp2, position.tp3), 1) if i > position.tps_hit]
    plan = [
        ("entry", "Entry", position.entry_price),
        ("stop", "Stop", position.stop_price),
        *(("target", label, price) for label, price in targets),
    ]
    return [{"kind": kind, "label": f"{label} ({position.side})", "price": float(price)} for kind, label, price in plan]


def _funding(quote: Quote) -> dict[str, Any]:
    """The newest boundaries up to the time of the price, oldest first, and what they add up to in % of notional."""
    if quote.market.is_cash or quote.at_ms is None:
        return {}
    found = candles.funding(quote.market, start_ms=quote.at_ms - FUNDING_SPAN_MS, end_ms=quote.at_ms + 1)
    if not len(found.timestamp):
        return {}
    pct = found.rate * 100.0
    columns = figures.funding_columns(found.timestamp, found.rate)
    return {"columns": columns, "width": len(columns) * 10, "high": float(pct.max()), "low": float(pct.min()), "sum": float(pct.sum())}
