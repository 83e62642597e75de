"""Requirement S5: which candidates become signals, and when a signal ends.

One transaction per decision, under a lock on its market, so that scans that run side by side decide each (market, strategy, bar) once.
Time is the market's: the close of its newest stored bar or its newest price, whichever is later. Where the candles come from a
venue as it trades, the wall clock counts too, because a feed that went silent must not keep a signal alive.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from django.conf import settings
from django.db import transaction

from exchanges import candles, streams
from exchanges.models import Market, Provenance
from exchanges.timeframes import TIMEFRAME_MS
from signals import events
from signals.models import Rejection, Signal, SignalStatus
from signals.net_profit import EntryRule
from signals.ports import Template
from traderai.lib import clock
from traderai.lib.events import send_after_commit

EXPIRE_AFTER_BARS = 4
"""An entry is meant for the bar after the decision; an hour later its numbers no longer describe the market."""

JUDGED_CODES = {
    "abstained": "The model abstains",
    "confidence": "Probability too low",
    "agreement": "Models disagree",
    "net_profit": "Too little left after costs",
    "expectancy": "Loses on average after costs",
    "no_plan": "No valid price levels",
    "open_signal": "A signal is already open",
}
"""Final for their bar: the candidate was seen and judged."""

UNJUDGED_CODES = {
    "no_model": "No model to ask",
    "no_history": "Not enough history",
    "in_sample": "The model learned from this bar",
    "stale_data": "Candles are too old",
    "sessions": "The market closes at night",
    "error": "The scan failed here",
}
"""The next scan of the same bar tries again."""

REJECTION_CODES = JUDGED_CODES | UNJUDGED_CODES


def bar_ms(timeframe: str | None = None) -> int:
    """The length of a bar of the base timeframe."""
    return TIMEFRAME_MS[timeframe or settings.BASE_TIMEFRAME]


def entry_rule(template: Template) -> EntryRule:
    """The template's thresholds, never below the platform's floors."""
    return replace(
        template.rule,
        min_confidence=max(template.rule.min_confidence, settings.SCAN_MIN_CONFIDENCE),
        min_net_profit_pct=max(template.rule.min_net_profit_pct, settings.MIN_NET_PROFIT_PCT),
        coverage=max(template.rule.coverage, settings.SCAN_COVERAGE),
    )


def clock_ms(market: Market) -> int:
    """What time it is in this market, ms UTC; 0 when it has no price yet."""
    newest = candles.last_open_ms(market, settings.BASE_TIMEFRAME)
    tick = streams.latest_tick(market)
    known = [0 if newest is None else newest + bar_ms(), 0 if tick is None else tick.ts_ms]
    if market.provenance == Provenance.VENUE:
        known.append(clock.now_ms())
    return max(known)


def decided(market: Market, strategy: str, at_bar_ms: int) -> Signal | Rejection | None:
    """What was already decided on this bar, if anything was."""
    same = {"market": market, "strategy": strategy, "bar_ms": at_bar_ms}
    signal = Signal.objects.filter(**same).first()
    return signal or Rejection.objects.filter(**same, code__in=JUDGED_CODES).order_by("id").first()


def prioritise(signals: Iterable[Signal]) -> list[Signal]:
    """Best expectancy first, so that the risk gate's free places go to the best ideas; equals by symbol."""
    return sorted(signals, key=lambda signal: (-signal.expectancy_pct, signal.market.symbol))


def reject(rejection: Rejection) -> Rejection:
    """Store an unsaved rejection; the one that is already there when the same was found before on this bar."""
    stored, _ = Rejection.objects.get_or_create(
        market=rejection.market,
        strategy=rejection.strategy,
        bar_ms=rejection.bar_ms,
        code=rejection.code,
        defaults={"scan": rejection.scan, "side": rejection.side, "reason": rejection.reason, "numbers": rejection.numbers},
    )
    return stored


def admit(signal: Signal) -> Signal | Rejection:
    """Store an unsaved signal and announce it, or reject it because one of the same side is still open.

    An open signal of the opposite side is superseded. When the bar was decided before, that decision is returned and nothing changes.
    """
    with transaction.atomic():
        Market.objects.select_for_update().get(pk=signal.market_id)
        known = decided(signal.market, signal.strategy, signal.bar_ms)
        if known:
            return known
        current = Signal.objects.open().filter(market=signal.market, strategy=signal.strategy).first()
        if current and current.side == signal.side:
            return reject(_still_open(signal, current))
        if current:
            end(current, status=SignalStatus.SUPERSEDED, reason=f"A {signal.side} signal came at a later bar.")
        signal.save()
        send_after_commit(events.signal_issued, signal_id=signal.pk)
        return signal


def _still_open(signal: Signal, current: Signal) -> Rejection:
    return Rejection(
        market=signal.market,
        strategy=signal.strategy,
        scan=signal.scan,
        bar_ms=signal.bar_ms,
        side=signal.side,
        code="open_signal",
        reason=f"A {current.side} signal of {clock.from_ms(current.bar_ms):%Y-%m-%d %H:%M} UTC is still open.",
        numbers={
            "open_signal": current.pk,
            "probability": signal.probability,
            "net_profit_pct": signal.net_profit_pct,
            "expectancy_pct": signal.expectancy_pct,
        },
    )


def end(signal: Signal, *, status: SignalStatus, reason: str) -> bool:
    """Move an open signal to `status`. False when somebody else ended it first."""
    won = Signal.objects.open().filter(pk=signal.pk).update(status=status, ended_reason=reason) == 1
    if won:
        send_after_commit(events.signal_ended, signal_id=signal.pk)
    return won


def expire(markets: Iterable[Market] | None = None) -> int:
    """End the open signals whose time is over or whose price is gone, of these markets or of all. Returns how many ended."""
    waiting = Signal.objects.open().select_related("market").order_by("id")
    if markets is not None:
        waiting = waiting.filter(market__in=list(markets))
    ended = 0
    for signal in waiting:
        reason = why_over(signal)
        if reason:
            ended += end(signal, status=SignalStatus.EXPIRED, reason=reason)
    return ended


def why_over(signal: Signal) -> str:
    """Why an open signal may no longer be taken; "" while it may."""
    now: datetime = clock.from_ms(clock_ms(signal.market))
    if now >= signal.expires_at:
        return f"Not taken within {EXPIRE_AFTER_BARS} bars."
    after = candles.read(signal.market, signal.timeframe, start_ms=signal.bar_ms + bar_ms(signal.timeframe))
    lows, highs = [float(low) for low in after.low], [float(high) for high in after.high]
    tick = streams.latest_tick(signal.market)
    if tick is not None and tick.ts_ms > signal.bar_ms + bar_ms(signal.timeframe):
        lows.append(tick.price)
        highs.append(tick.price)
    if not lows:
        return ""
    lowest, highest = min(lows), max(highs)
    if lowest <= signal.stop if signal.is_long else highest >= signal.stop:
        return "The price passed the stop."
    if highest >= signal.tp1 if signal.is_long else lowest <= signal.tp1:
        return "The price passed the first take-profit."
    return ""
