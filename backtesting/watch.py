"""After a promotion: does the new champion do worse than it should? Then the one it replaced comes back, by itself and once.

Two questions. Does it predict worse than the former? Both models answer for the same bars, decided after the promotion and outcomes known
since; what is compared is their log loss by day. Do its signals earn less than it was promoted on? What their positions earned, paper or live,
is held against the lower bound that it showed out of sample (backtesting.realised). It is looked at after each of WATCH_LOOK_DAYS of market time, and
the two questions at all looks share WATCH_LEVEL, the chance that a sound champion is sent away over the whole watch (Bonferroni, which holds
however they hang together). After the last look the champion is left alone.
A former champion that comes back this way, or that staff bring back, is not watched against the model it replaced: nothing flaps.
"""

from typing import Any, NamedTuple

import numpy as np
import structlog
from django.conf import settings
from django.db import transaction
from numpy.typing import NDArray

from accounts import audit
from backtesting import comparison, realised
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

QUESTIONS = 2
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
    taken = list(WatchLook.objects.filter(champion=champion, former=former).values_list("level", flat=True))
    if len(taken) >= len(settings.WATCH_LOOK_DAYS):
        return None
    plan = champion.plan
    start_ms = clock.to_ms(champion.promoted_at)
    end_ms = start_ms + settings.WATCH_LOOK_DAYS[len(taken)] * DAY_MS
    markets = [candles.find_market(symbol, venue=champion.venue_slug) for symbol in champion.symbols]
    newest = [candles.last_open_ms(market, champion.timeframe) or 0 for market in markets]
    if max(newest) < end_ms + plan.max_hold_ms:
        return None  # not all of its outcomes are known yet
    seen, earned = losses(champion, former, start_ms, end_ms), realised.of_signals(champion, start_ms, end_ms)
    facts, failings, words = _judged(champion, former, seen, earned, realised.promised_pct(champion), level_of(taken))
    return _decide(champion, former, len(taken) + 1, {"start_ms": start_ms, "end_ms": end_ms, **facts}, failings, words)


def level_of(taken: list[float]) -> float:
    """What p has to reach at the next look, for either question: an even share of what the levels of the looks taken have left."""
    left = settings.WATCH_LEVEL - QUESTIONS * sum(taken)
    return max(0.0, left / (QUESTIONS * (len(settings.WATCH_LOOK_DAYS) - len(taken))))


def losses(champion: ModelVersion, former: ModelVersion, start_ms: int, end_ms: int) -> Losses:
    """Both models on bars of the champion's markets with start_ms <= open < end_ms whose outcome is known on both sides; none when their plans
    differ, for then they foretell different things."""
    if champion.plan != former.plan:
        return Losses(np.empty(0), np.empty(0), 0)
    from signals import features, labels
    from signals.ensemble import FLOOR
    from signals.training.panel import bitcoin_market

    plan, bar_ms = champion.plan, TIMEFRAME_MS[champion.timeframe]
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


def _judged(
    champion: ModelVersion, former: ModelVersion, seen: Losses, earned: realised.Realised, promised: float | None, level: float
) -> tuple[dict[str, Any], list[str], str]:
    """The numbers of a look as the row keeps them, what failed, and both in words."""
    facts: dict[str, Any] = {
        "rows": seen.rows,
        "days": seen.champion.size,
        "level": level,
        "signals": earned.signals,
        "promised_pct": promised,
    }
    failings, words = [], []
    if champion.plan != former.plan:
        words.append(f"its barriers are others than those of v{former.version}, so their predictions cannot be compared")
    elif seen.champion.size < LEAST_DAYS:
        words.append(f"{seen.champion.size} days with outcomes are too few to tell how it predicts")
    else:
        found = comparison.paired(seen.champion, seen.former)
        facts |= {"mean": found.mean, "low": found.low, "high": found.high, "p_value": found.p_value}
        if found.mean > 0.0 and found.p_value <= level:
            failings.append(f"it predicts worse than v{former.version}")
        words.append(
            f"log loss {seen.champion.mean():.4f} against {seen.former.mean():.4f} of v{former.version} on the same {seen.rows} new bars "
            f"of {found.days} days, difference {found.mean:+.4f}, p {found.p_value:.4f}"
        )
    chance = None if promised is None else realised.p_below(earned, promised)
    if earned.signals:
        facts["realised_pct"] = float(earned.by_day.mean())
    if promised is None or chance is None:
        words.append(f"{earned.signals} of its signals closed, too few or nothing to hold them against")
    else:
        facts["realised_p"] = chance
        if chance <= level:
            failings.append("its signals earned less than it was promoted on")
        words.append(
            f"{earned.signals} of its signals earned {facts['realised_pct']:+.2f} % a day's mean after costs, at least {promised:+.2f} % were promised, p {chance:.4f}"
        )
    return facts, failings, f"{'; '.join(words)}; at a level of {level:.4f} each"


def _decide(
    champion: ModelVersion, former: ModelVersion, number: int, facts: dict[str, Any], failings: list[str], words: str
) -> WatchLook | None:
    """Keep the look, and bring the former back when anything failed. None when the champion changed meanwhile."""
    words = f"look {number}: {words}"
    with transaction.atomic():
        if ModelVersion.objects.select_for_update().get(pk=champion.pk).status != ModelStatus.CHAMPION:
            return None  # somebody decided meanwhile
        look, is_new = WatchLook.objects.get_or_create(
            champion=champion, former=former, number=number, defaults={**facts, "is_worse": bool(failings), "reason": words}
        )
        if is_new and failings:
            registry.roll_back(champion, f"v{champion.version} was sent back, because {' and '.join(failings)}: {words}")
            audit.record(None, "model_rolled_back", model=former.pk, replaced=champion.pk, scope=champion.scope, look=look.pk, reason=words)
    return look
