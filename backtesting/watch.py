"""After a promotion: does the new champion predict new bars worse than the one it replaced? Then the former comes back, by itself and once.

Both models answer for the same bars, decided after the promotion and outcomes known since; what is compared is their log loss by day. It is
looked at after 14, 28 and 42 days of market time, each time with a third of the 5 % that a sound champion may be sent away with over
the whole watch (Bonferroni, which holds however the looks hang together). After the last look the champion is left alone.
A former champion that comes back this way, or that staff bring back, is not watched against the model it replaced: nothing flaps.
"""

from typing import NamedTuple

import numpy as np
import structlog
from django.db import transaction
from numpy.typing import NDArray

from accounts import audit
from backtesting import comparison
from backtesting.models import WatchLook
from exchanges import candles
from exchanges.costs import CostModel
from exchanges.timeframes import TIMEFRAME_MS
from signals import registry
from signals.models import ModelStatus, ModelVersion
from signals.ports import FeatureFrame
from traderai.lib import clock
from traderai.lib.errors import UserError

log = structlog.get_logger(__name__)
F = NDArray[np.float64]

LOOK_DAYS = (14, 28, 42)
LEVEL = 0.05 / len(LOOK_DAYS)
DAY_MS = 86_400_000
LEAST_DAYS = 10
"""Days with outcomes that a look needs: markets that stood still for the rest tell too little."""


class Losses(NamedTuple):
    """Mean log loss by day, float64 [days], of both models on the same rows."""

    champion: F
    former: F
    rows: int


def watch_champions() -> list[WatchLook]:
    """Take the looks that are due, at every scope's champion. What cannot be looked at is logged and does not stop the others."""
    looks = []
    for champion in (
        ModelVersion.objects.filter(status=ModelStatus.CHAMPION, replaces__isnull=False).select_related("replaces").order_by("pk")
    ):
        try:
            look = watch(champion)
        except UserError as error:
            log.warning("champion could not be watched", model=champion.pk, error=error.message)
        else:
            looks += [] if look is None else [look]
    return looks


def watch(champion: ModelVersion) -> WatchLook | None:
    """Take the next look at a champion when its time has come, and roll back when it is significantly worse; None when none is due.

    Raises ModelDamaged when a model's files are not intact, UnknownSymbol.
    """
    former = champion.replaces
    if former is None or champion.promoted_at is None or champion.timeframe != former.timeframe:
        return None
    number = WatchLook.objects.filter(champion=champion, former=former).count()
    if number >= len(LOOK_DAYS):
        return None
    from signals.plan import PlanConfig

    plan = PlanConfig()
    start_ms = clock.to_ms(champion.promoted_at)
    end_ms = start_ms + LOOK_DAYS[number] * DAY_MS
    markets = [candles.find_market(symbol, venue=champion.venue_slug) for symbol in champion.symbols]
    newest = [candles.last_open_ms(market, champion.timeframe) or 0 for market in markets]
    if max(newest) < end_ms + plan.max_hold_ms:
        return None  # not all of its outcomes are known yet
    return _decide(champion, former, number + 1, start_ms, end_ms, losses(champion, former, start_ms, end_ms))


def losses(champion: ModelVersion, former: ModelVersion, start_ms: int, end_ms: int) -> Losses:
    """Both models on bars of the champion's markets with start_ms <= open < end_ms whose outcome is known on both sides."""
    from signals import features, labels
    from signals.ensemble import FLOOR
    from signals.plan import PlanConfig
    from signals.training.panel import bitcoin_market

    plan, bar_ms = PlanConfig(), TIMEFRAME_MS[champion.timeframe]
    known_until_ms = end_ms + plan.max_hold_ms + 2 * bar_ms
    since_ms = start_ms - features.WARMUP_BARS * bar_ms
    days, found = [], []
    for symbol in champion.symbols:
        market = candles.find_market(symbol, venue=champion.venue_slug)
        frame = candles.read(market, champion.timeframe, start_ms=since_ms, end_ms=known_until_ms)
        if not len(frame):
            continue
        other = bitcoin_market(market)
        btc = None if other is None else candles.read(other, champion.timeframe, start_ms=since_ms, end_ms=known_until_ms)
        computed = features.compute(frame, funding=candles.funding(market), btc=btc if btc is not None and len(btc) else None)
        atr = features.plan_atr(frame, plan)
        asked = (frame.timestamp >= start_ms) & (frame.timestamp < end_ms) & np.isfinite(atr)
        rows = np.flatnonzero(asked & (frame.timestamp // bar_ms % int(champion.params.get("stride", 4)) == 0))
        hit = labels.outcomes(frame, atr, plan, CostModel(), rows=rows).tp1_hit[rows]
        answers = [_answers(model, computed, rows, bar_ms) for model in (champion, former)]
        usable = (hit >= 0).all(axis=1) & np.isfinite(answers[0]).all(axis=1) & np.isfinite(answers[1]).all(axis=1)
        hit, chances = hit[usable], [np.clip(answer[usable], FLOOR, 1.0 - FLOOR) for answer in answers]
        days.append(frame.timestamp[rows][usable] // DAY_MS)
        found.append(np.column_stack([-np.where(hit == 1, np.log(p), np.log1p(-p)).mean(axis=1) for p in chances]))
    if not days:
        return Losses(np.empty(0), np.empty(0), 0)
    _, place, counts = np.unique(np.concatenate(days), return_inverse=True, return_counts=True)
    loss = np.concatenate(found)
    by_day = [np.bincount(place, weights=loss[:, column]) / counts for column in (0, 1)]
    return Losses(by_day[0], by_day[1], int(loss.shape[0]))


def _answers(model: ModelVersion, computed: FeatureFrame, rows: NDArray[np.int64], bar_ms: int) -> F:
    from signals.sequences import run_starts

    values = computed.values[:, [computed.names.index(name) for name in model.features]]
    return registry.load(model).predict(values, starts=run_starts(computed.timestamp, values, bar_ms), at=rows).probability


def _decide(champion: ModelVersion, former: ModelVersion, number: int, start_ms: int, end_ms: int, seen: Losses) -> WatchLook | None:
    facts = {"start_ms": start_ms, "end_ms": end_ms, "rows": seen.rows, "days": seen.champion.size, "level": LEVEL}
    if seen.champion.size < LEAST_DAYS:
        found, is_worse = None, False
        words = f"look {number}: {seen.champion.size} days with outcomes are too few to tell"
    else:
        found = comparison.paired(seen.champion, seen.former)
        is_worse = found.mean > 0.0 and found.p_value <= LEVEL
        words = (
            f"look {number}: log loss {seen.champion.mean():.4f} against {seen.former.mean():.4f} of v{former.version} on the same {seen.rows} new bars "
            f"of {found.days} days, difference {found.mean:+.4f}, p {found.p_value:.4f} at a level of {LEVEL:.4f}"
        )
        facts |= {"mean": found.mean, "low": found.low, "high": found.high, "p_value": found.p_value}
    with transaction.atomic():
        current = registry.champion(champion.scope)
        if current is None or current.pk != champion.pk:
            return None  # somebody decided meanwhile
        look, is_new = WatchLook.objects.get_or_create(
            champion=champion, former=former, number=number, defaults={**facts, "is_worse": is_worse, "reason": words}
        )
        if is_new and is_worse:
            registry.roll_back(champion, f"v{champion.version} predicts worse than v{former.version}, {words}")
            audit.record(None, "model_rolled_back", model=former.pk, replaced=champion.pk, scope=champion.scope, look=look.pk, reason=words)
    return look
