"""A run's trades on the candles of their market: what the chart on the report's page draws."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import HttpRequest, JsonResponse, QueryDict
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from backtesting.models import BacktestRun, BacktestTrade
from exchanges import candles, charts
from exchanges.models import JobStatus, Market
from exchanges.timeframes import TIMEFRAME_MS
from traderai.lib import clock

FRAMES = ("15m", "1h", "4h", "1d")
BARS_AROUND = 60
MOST_BARS_OF_A_TRADE = 300
MOST_BARS = 1_500
MOST_TRADES = 200
KIND = {"entry_price": "entry", "stop": "stop", "tp1": "target"}
WORDS = {"entry_price": "entry", "stop": "stop", "tp1": "TP1"}


@login_required
@require_safe
def run_chart(request: HttpRequest, pk: int) -> JsonResponse:
    """The chart's data: ?trade=NUMBER for the bars around one, ?symbol=...&whole=1 for the whole span."""
    run = get_object_or_404(BacktestRun.objects.for_user(request.user), pk=pk, status=JobStatus.DONE)
    return JsonResponse(drawing(request.GET, run))


def drawing(query: QueryDict, run: BacktestRun) -> dict[str, Any]:
    """Candles, markers and price lines of a market of the run; what the query does not know is ignored.

    {symbol, timeframe, length_ms, candles: [[open_ms, open, high, low, close]], markers, lines, trades: those in sight, focus, previous, next:
    numbers of trades or null, text: what is shown, in words}
    """
    asked = query.get("trade", "")
    focus = BacktestTrade.objects.filter(run=run, number=int(asked)).first() if asked.isdecimal() and len(asked) < 10 else None
    symbol = focus.symbol if focus else query.get("symbol", "")
    if symbol not in run.symbols:
        symbol = run.symbols[0]
    own = BacktestTrade.objects.filter(run=run, symbol=symbol)
    if focus is None and not query.get("whole"):
        focus = own.order_by("number").first()
    market = Market.objects.filter(venue__slug=run.venue_slug, symbol=symbol).first()
    timeframe, start_ms, end_ms = _window(market, run, focus)
    bars = candles.read(market, timeframe, start_ms=start_ms, end_ms=end_ms) if market and timeframe else None
    seen = list(own.filter(entry_ms__lt=end_ms, exit_ms__gte=start_ms).order_by("number")[: MOST_TRADES + 1])
    length_ms = TIMEFRAME_MS.get(timeframe, 0)
    return {
        "symbol": symbol,
        "timeframe": timeframe,
        "length_ms": length_ms,
        "candles": [] if bars is None else [list(row) for row in zip(*(column.tolist() for column in bars[2:7]), strict=True)],
        "markers": [marker for trade in seen[:MOST_TRADES] for marker in _markers(trade, length_ms, is_focus=trade == focus)],
        "lines": [{"price": getattr(focus, name), "label": WORDS[name], "kind": kind} for name, kind in KIND.items()] if focus else [],
        "trades": [_told(trade) for trade in seen[:MOST_TRADES]],
        "focus": focus.number if focus else None,
        **_neighbours(own, focus),
        "text": _text(run, symbol, focus, len(seen)),
    }


def _window(market: Market | None, run: BacktestRun, focus: BacktestTrade | None) -> tuple[str, int, int]:
    """(timeframe, start_ms, end_ms): around one trade, or the whole span, in the finest bars that are not too many. No timeframe: no candles."""
    first_ms, last_ms = (focus.entry_ms, focus.exit_ms) if focus else (run.start_ms or 0, run.end_ms or 0)
    most = MOST_BARS_OF_A_TRADE if focus else MOST_BARS
    offered = charts.offered(market, FRAMES) if market else []
    fitting = [name for name in offered if (last_ms - first_ms) / TIMEFRAME_MS[name] <= most]
    timeframe = next(iter(fitting or offered[-1:]), "")
    room_ms = BARS_AROUND * TIMEFRAME_MS[timeframe] if focus and timeframe else 0
    return timeframe, first_ms - room_ms, last_ms + room_ms + 1


def _markers(trade: BacktestTrade, length_ms: int, *, is_focus: bool) -> list[dict[str, Any]]:
    """Entry and exit on the bars that hold them."""
    ends = (("entry", trade.entry_ms, str(trade.number)), ("exit", trade.exit_ms, f"{trade.pnl_pct:+.1f} %" if is_focus else ""))
    return [
        {"time_ms": at // length_ms * length_ms, "kind": kind, "side": trade.side, "text": text, "trade": trade.number}
        for kind, at, text in ends
        if length_ms
    ]


def _told(trade: BacktestTrade) -> dict[str, Any]:
    return {
        "number": trade.number,
        "side": trade.side,
        "entry_ms": trade.entry_ms,
        "entry_price": trade.entry_price,
        "exit_ms": trade.exit_ms,
        "exit_price": trade.exit_price,
        "reason": trade.exit_reason.replace("_", " "),
        "pnl": round(trade.pnl, 4),
        "pnl_pct": round(trade.pnl_pct, 4),
    }


def _neighbours(own: QuerySet[BacktestTrade], focus: BacktestTrade | None) -> dict[str, int | None]:
    if focus is None:
        return {"previous": None, "next": None}
    numbers = own.values_list("number", flat=True)
    return {
        "previous": numbers.filter(number__lt=focus.number).order_by("-number").first(),
        "next": numbers.filter(number__gt=focus.number).order_by("number").first(),
    }


def _text(run: BacktestRun, symbol: str, focus: BacktestTrade | None, seen: int) -> str:
    if focus is None:
        many = (
            f"the first {MOST_TRADES} trades are"
            if seen > MOST_TRADES
            else f"{seen} trade{'' if seen == 1 else 's'} {'is' if seen == 1 else 'are'}"
        )
        return f"{symbol}, the whole span: {many} marked."
    entered, left = (f"{clock.from_ms(at):%Y-%m-%d %H:%M}" for at in (focus.entry_ms, focus.exit_ms))
    return (
        f"Trade {focus.number}: {focus.side} {symbol} from {focus.entry_price:.6g} ({entered}) to {focus.exit_price:.6g} ({left} UTC), "
        f"left by {focus.exit_reason.replace('_', ' ')}, {focus.pnl:+.2f} {run.currency} net."
    )
