"""A candidate becomes champion only when it beats the champion on time neither has seen, after costs. Otherwise the champion stays.

Better means: on the later of both out-of-sample starts, with the same symbols, capital and risk profile, the candidate closed at least
LEAST_TRADES positions and had both the higher total return and the higher expectancy of a trade.
"""

from datetime import timedelta
from typing import NamedTuple

from django.conf import settings

from backtesting import runs
from backtesting.models import BacktestRun
from exchanges import candles
from exchanges.timeframes import TIMEFRAME_MS
from signals import registry
from signals.models import ModelStatus, ModelVersion
from traderai.lib import clock
from traderai.lib.errors import UserError

CAPITAL = 10_000
RISK_PROFILE = "medium"
LEAST_TRADES = 30
LEFT_BEHIND_AFTER = timedelta(minutes=15)
GIVEN_UP_AFTER = timedelta(hours=6)
"""A candidate that could not be judged by then needs a person; it stays a candidate."""


class Judgement(NamedTuple):
    """What one model did on the common span, after costs; expectancy in % of notional a trade."""

    trades: int
    expectancy_pct: float | None
    total_return_pct: float


def judge(model_id: int) -> ModelVersion:
    """Compare a candidate with its scope's champion on the later of both out-of-sample starts. Stores the verdict and its reason on the row."""
    candidate = ModelVersion.objects.get(pk=model_id)
    if candidate.status != ModelStatus.CANDIDATE:
        return candidate
    champion = registry.champion(candidate.scope)
    if champion is None:
        return registry.promote(candidate, "first of its scope")
    start_ms = max(candidate.oos_start_ms, champion.oos_start_ms)
    try:
        end_ms = _common_end_ms(candidate.symbols, start_ms)
        new, old = (_run(model, candidate.symbols, start_ms, end_ms) for model in (candidate, champion))
    except UserError as error:
        return _refuse(candidate, f"could not be compared with version {champion.version}: {error.message}")
    if registry.champion(candidate.scope) != champion:
        return judge(model_id)  # the champion changed meanwhile: the comparison no longer counts
    told = f"on the same out-of-sample span: {_words(new)} against {_words(old)} of version {champion.version}"
    if new.trades < LEAST_TRADES:
        return _refuse(candidate, f"too few trades to tell ({LEAST_TRADES} are needed) {told}")
    is_better = new.total_return_pct > old.total_return_pct and (new.expectancy_pct or 0.0) > (old.expectancy_pct or 0.0)
    if not is_better:
        return _refuse(candidate, f"not better {told}")
    try:
        return registry.promote(candidate, f"better {told}")
    except registry.NotPromotable:  # somebody decided while it was being judged
        candidate.refresh_from_db()
        return candidate


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


def _common_end_ms(symbols: list[str], start_ms: int) -> int | None:
    """Where both simulations end, so that a bar that closes between them is in neither. None when no bar is that new."""
    newest = [candles.last_open_ms(candles.find_market(symbol), settings.BASE_TIMEFRAME) for symbol in symbols]
    after = [open_ms for open_ms in newest if open_ms is not None and open_ms >= start_ms]
    return max(after) + TIMEFRAME_MS[settings.BASE_TIMEFRAME] if after else None


def _run(model: ModelVersion, symbols: list[str], start_ms: int, end_ms: int | None) -> Judgement:
    run: BacktestRun = runs.start(
        None, symbols=symbols, capital=CAPITAL, risk_profile=RISK_PROFILE, start_ms=start_ms, end_ms=end_ms, model=model, queue=False
    )
    runs.execute(run.pk)
    run.refresh_from_db()
    figures = run.metrics["metrics"]
    return Judgement(figures["trades"]["value"], figures["expectancy_pct"]["value"], figures["total_return_pct"]["value"])


def _words(judgement: Judgement) -> str:
    expectancy = "no expectancy" if judgement.expectancy_pct is None else f"{judgement.expectancy_pct:+.2f} % a trade"
    return f"{judgement.trades} trades, {expectancy}, {judgement.total_return_pct:+.2f} % in all"


def _refuse(candidate: ModelVersion, reason: str) -> ModelVersion:
    ModelVersion.objects.filter(pk=candidate.pk, status=ModelStatus.CANDIDATE).update(status=ModelStatus.REFUSED, reason=reason)
    candidate.refresh_from_db()
    return candidate
