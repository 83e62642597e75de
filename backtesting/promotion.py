"""A candidate becomes champion only when it beats the champion on time neither has seen, after costs. Otherwise the champion stays.

Better means: on the later of both out-of-sample starts, with the same symbols, capital, risk profile and bars, the candidate closed at least
LEAST_TRADES positions in at least LEAST_DAYS, and a paired block bootstrap of the daily net results (backtesting.comparison) puts the lower
95 % bound of the difference above 0, with a p-value of at most the attempt's level: the levels of all tests against one champion add up to 5 %,
so challengers that are no better seldom replace it, however many they are and whatever bars they share. A champion without a trade earned nothing, every day: that is a result, and to be beaten like any other.
Every comparison is kept with its numbers (GateDecision) and in the audit trail.
"""

from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
from django.conf import settings
from django.db import transaction
from numpy.typing import NDArray

from accounts import audit
from backtesting import comparison, runs
from backtesting.models import BacktestRun, GateDecision, Verdict
from exchanges import candles
from exchanges.timeframes import TIMEFRAME_MS
from signals import registry
from signals.models import ModelStatus, ModelVersion
from traderai.lib import clock
from traderai.lib.errors import UserError

CAPITAL = 10_000
RISK_PROFILE = "medium"
LEAST_TRADES = 30
LEAST_DAYS = 20
LEAST_BALANCE = 0.01
"""Of the capital: what is left of a ruined account is no measure."""
DAY_MS = 86_400_000
LEFT_BEHIND_AFTER = timedelta(minutes=15)
GIVEN_UP_AFTER = timedelta(hours=6)
"""A candidate that could not be judged by then needs a person; it stays a candidate."""


class NotComparable(UserError):
    """Both simulations ran, but not on the same bars."""


class Judgement(NamedTuple):
    """What one model did on the common span, after costs; expectancy in % of notional a trade."""

    run: BacktestRun
    trades: int
    expectancy_pct: float | None
    total_return_pct: float


def judge(model_id: int) -> ModelVersion:
    """Compare a candidate with its scope's champion on the later of both out-of-sample starts. Stores the verdict, its numbers and its reason."""
    candidate = ModelVersion.objects.get(pk=model_id)
    if candidate.status != ModelStatus.CANDIDATE:
        return candidate
    champion = registry.champion(candidate.scope)
    if champion is None:
        audit.record(None, "model_promoted", model=candidate.pk, scope=candidate.scope, reason="first of its scope")
        return registry.promote(candidate, "first of its scope")
    start_ms = max(candidate.oos_start_ms, champion.oos_start_ms)
    try:
        end_ms = _common_end_ms(candidate.symbols, candidate.venue_slug, start_ms)
        new, old = (_run(model, candidate, start_ms, end_ms) for model in (candidate, champion))
        found = _compare(new.run, old.run)
    except UserError as error:
        reason = f"could not be compared with version {champion.version}: {error.message}"
        return _refuse(candidate, champion, Verdict.UNTOLD, reason)
    if registry.champion(candidate.scope) != champion:
        return judge(model_id)  # the champion changed meanwhile: the comparison no longer counts
    numbers = {
        "candidate_run": new.run,
        "champion_run": old.run,
        "start_ms": new.run.start_ms,
        "end_ms": new.run.end_ms,
        "candidate_trades": new.trades,
        "champion_trades": old.trades,
        **found._asdict(),
    }
    told = f"on the same out-of-sample span: {_words(new)} against {_words(old)} of version {champion.version}; {_difference(found)}"
    if new.trades < LEAST_TRADES:
        return _refuse(candidate, champion, Verdict.STAYED, f"too few trades to tell ({LEAST_TRADES} are needed) {told}", **numbers)
    if found.days < LEAST_DAYS:
        return _refuse(candidate, champion, Verdict.STAYED, f"too few days to tell ({LEAST_DAYS} are needed) {told}", **numbers)
    return _test(candidate, champion, found, told, numbers) or judge(model_id)


def _test(
    candidate: ModelVersion, champion: ModelVersion, found: comparison.Difference, told: str, numbers: dict[str, Any]
) -> ModelVersion | None:
    """Spend the level of the next attempt on this comparison; None when the champion fell meanwhile, so that the comparison no longer counts. Its
    row is held, so no two attempts spend the same."""
    with transaction.atomic():
        if ModelVersion.objects.select_for_update().get(pk=champion.pk).status != ModelStatus.CHAMPION:
            return None
        attempt = GateDecision.objects.filter(champion=champion, attempt__isnull=False).count() + 1
        level = comparison.level_of(attempt)
        told = f"{told}, at a level of {level:.4f} (attempt {attempt} at this champion)"
        numbers |= {"attempt": attempt, "level": level}
        if found.low > 0.0 and found.p_value <= level:
            return _promote(candidate, champion, f"better {told}", **numbers)
        return _refuse(candidate, champion, Verdict.STAYED, f"not better {told}", **numbers)


def _compare(new: BacktestRun, old: BacktestRun) -> comparison.Difference:
    """Raises NotComparable unless both were simulated on the very same bars with the same money."""
    for name in ("start_ms", "end_ms", "symbols", "timeframe", "venue_slug", "capital", "risk_profile"):
        ours, theirs = getattr(new, name), getattr(old, name)
        if ours != theirs:
            raise NotComparable(f"{name} is {ours} for one and {theirs} for the other; judge it again")
    days_new, days_old = _daily_pct(new), _daily_pct(old)
    return comparison.paired(days_new, days_old, p_block_days=comparison.gate_block_days(days_new.size))


def _daily_pct(run: BacktestRun) -> NDArray[np.float64]:
    """Net result of the positions closed on each UTC day of the run, in % of the balance that the day began with; 0 for a day without.

    Not of the starting capital: sizes follow the balance, and late days would count for more than early ones.
    """
    assert run.start_ms is not None and run.end_ms is not None
    first = run.start_ms // DAY_MS
    out = np.zeros((run.end_ms - 1) // DAY_MS - first + 1)
    for exit_ms, pnl in run.trades.order_by("number").values_list("exit_ms", "pnl"):
        out[exit_ms // DAY_MS - first] += pnl
    capital = float(run.capital)
    balance = capital + np.concatenate((np.zeros(1), np.cumsum(out)[:-1]))
    return np.asarray(out / np.maximum(balance, LEAST_BALANCE * capital) * 100.0)


def sweep() -> int:
    """Judge the candidates that a lost message or a killed worker left behind. Returns how many were judged."""
    now = clock.now()
    left_behind = ModelVersion.objects.filter(
        status=ModelStatus.CANDIDATE, created_at__lt=now - LEFT_BEHIND_AFTER, created_at__gt=now - GIVEN_UP_AFTER
    )
    ids = list(left_behind.order_by("pk").values_list("pk", flat=True))
    for model_id in ids:
        judge(model_id)
    return len(ids)


def _common_end_ms(symbols: list[str], venue: str, start_ms: int) -> int | None:
    """Where both simulations end, so that a bar that closes between them is in neither. None when no bar is that new."""
    newest = [candles.last_open_ms(candles.find_market(symbol, venue=venue), settings.BASE_TIMEFRAME) for symbol in symbols]
    after = [open_ms for open_ms in newest if open_ms is not None and open_ms >= start_ms]
    return max(after) + TIMEFRAME_MS[settings.BASE_TIMEFRAME] if after else None


def _run(model: ModelVersion, candidate: ModelVersion, start_ms: int, end_ms: int | None) -> Judgement:
    """`model` on the candidate's markets."""
    run: BacktestRun = runs.start(
        None,
        symbols=candidate.symbols,
        venue=candidate.venue_slug,
        capital=CAPITAL,
        risk_profile=RISK_PROFILE,
        start_ms=start_ms,
        end_ms=end_ms,
        model=model,
        queue=False,
    )
    runs.execute(run.pk)
    run.refresh_from_db()
    figures = run.metrics["metrics"]
    return Judgement(run, figures["trades"]["value"], figures["expectancy_pct"]["value"], figures["total_return_pct"]["value"])


def _words(judgement: Judgement) -> str:
    expectancy = "no expectancy" if judgement.expectancy_pct is None else f"{judgement.expectancy_pct:+.2f} % a trade"
    return f"{judgement.trades} trades, {expectancy}, {judgement.total_return_pct:+.2f} % in all"


def _difference(found: comparison.Difference) -> str:
    return (
        f"difference of {found.mean:+.4f} % of the balance a day over {found.days} days, 90 % interval {found.low:+.4f} to {found.high:+.4f}, "
        f"p {found.p_value:.4f} (paired bootstrap in blocks of {found.block_days:.1f} days)"
    )


def _note(candidate: ModelVersion, champion: ModelVersion, verdict: Verdict, reason: str, **numbers: Any) -> None:
    made = GateDecision.objects.create(candidate=candidate, champion=champion, verdict=verdict, reason=reason, **numbers)
    action = "model_promoted" if verdict == Verdict.PROMOTED else "model_refused"
    audit.record(None, action, model=candidate.pk, champion=champion.pk, scope=candidate.scope, decision=made.pk, reason=reason)


def _promote(candidate: ModelVersion, champion: ModelVersion, reason: str, **numbers: Any) -> ModelVersion:
    try:
        with transaction.atomic():
            promoted = registry.promote(candidate, reason)
            _note(candidate, champion, Verdict.PROMOTED, reason, **numbers)
    except registry.NotPromotable:  # somebody decided while it was being judged
        candidate.refresh_from_db()
        return candidate
    return promoted


def _refuse(candidate: ModelVersion, champion: ModelVersion, verdict: Verdict, reason: str, **numbers: Any) -> ModelVersion:
    with transaction.atomic():
        waiting = ModelVersion.objects.filter(pk=candidate.pk, status=ModelStatus.CANDIDATE)
        if waiting.update(status=ModelStatus.REFUSED, reason=reason):
            _note(candidate, champion, verdict, reason, **numbers)
    candidate.refresh_from_db()
    return candidate
