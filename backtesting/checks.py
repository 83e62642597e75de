"""Look-ahead checks as jobs: asked for on the strategy's page or by `manage.py check_lookahead`, run once, the newest result kept.

What is examined is the backtest's and the scan's own way from closed bars to a decision (`backtesting.preparation.decide`).
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction

from backtesting import events, runs
from backtesting.models import LookaheadCheck
from exchanges import candles
from exchanges.models import Market, Provenance
from signals import registry, strategies
from signals.models import ModelVersion, StrategyConfig
from traderai.lib import jobs
from traderai.lib.errors import UserError
from traderai.lib.events import send_after_commit
from traderai.lib.jobs import UNFINISHED, Claim, Withdrawn

if TYPE_CHECKING:
    from backtesting import lookahead, preparation
    from signals.ports import Template, TrainedEnsemble

log = structlog.get_logger(__name__)

Progress = Callable[[str, float], None]
STALE_AFTER = timedelta(minutes=5)
BARS = 4_000
LEAST_BEYOND = 400
"""Bars that a market must have beyond what a live decision is given: without them there is nothing to cut off."""
MOST_BARS = 50_000
CUTS = 40
MOST_CUTS = 500
ENDS = 3
MARKETS = 3


class NotCheckable(UserError):
    """The strategy cannot be examined as asked."""


def may_start(user: Any, strategy: str) -> bool:
    """Staff that has shown a second factor, and traders who have set the strategy up."""
    if not user.is_authenticated:
        return False
    return bool(user.is_staff and user.is_verified()) or StrategyConfig.objects.for_user(user).filter(template=strategy).exists()


def start(
    user: Any,
    *,
    strategy: str,
    symbols: Sequence[str] | None = None,
    bars: int | None = None,
    cuts: int | None = None,
    queue: bool = True,
) -> LookaheadCheck:
    """A check of the strategy with the champion, for a worker unless `queue` is off and the caller runs it at once.

    symbols -- markets to try, by default the first MARKETS of those the model learned from; bars -- the newest so many of each, by default BARS
    cuts -- places at which each market's data is cut off, by default CUTS
    One that is still unfinished is returned as it is. Raises NotCheckable, UnknownSymbol; nothing is stored then.
    """
    template = _template(strategy)
    bars, cuts, least = BARS if bars is None else bars, CUTS if cuts is None else cuts, _least_bars()
    if not least <= bars <= MOST_BARS:
        raise NotCheckable(f"bars: must be from {least} to {MOST_BARS}, not {bars}", field="bars")
    if not 1 <= cuts <= MOST_CUTS:
        raise NotCheckable(f"cuts: must be from 1 to {MOST_CUTS}, not {cuts}", field="cuts")
    model = _model()
    markets = runs.judgeable_markets(list(symbols) if symbols is not None else model.symbols[:MARKETS], venue=model.venue_slug)
    _require_kind(model, markets)
    for market in markets:
        _require_bars(market, least)
    facts = {
        "symbols": [market.symbol for market in markets],
        "timeframe": settings.BASE_TIMEFRAME,
        "bars": bars,
        "cuts": cuts,
        "provenance": markets[0].provenance,
        "requested_by": user,
    }
    try:
        with transaction.atomic():
            check = LookaheadCheck.objects.create(strategy=template.slug, model=model, **facts)
            if queue:
                send_after_commit(events.lookahead_requested, check_id=check.pk)
    except IntegrityError:
        other = LookaheadCheck.objects.newest(template.slug, model)  # it may have ended meanwhile: that is an answer, too
        if other is None:
            raise
        return other
    return check


def execute(check_id: int, *, progress: Progress | None = None) -> LookaheadCheck:
    """Run a queued check; one that somebody else has claimed is returned as it is. A failure is kept on the row and raised.

    progress -- called with the stage and the share that is done, 0 to 1
    """
    rows = LookaheadCheck.objects.select_related("model")
    held = Claim.take(rows, check_id)
    if held is None:
        return rows.get(pk=check_id)

    def tell(stage: str, share: float) -> None:
        held.beat(stage=stage, progress=share)
        if progress:
            progress(stage, share)

    try:
        with held.ending():
            _keep(held, _examine(held.row, tell))
    except Withdrawn:
        log.info("look-ahead check was withdrawn while it ran", check=check_id)
    return rows.filter(pk=check_id).first() or held.row


def sweep() -> int:
    """Queue again what a killed worker left, and wake what was never started. Returns how many checks were woken."""
    with transaction.atomic():
        ids = jobs.wake(LookaheadCheck.objects.all(), silent_for=STALE_AFTER)
        for check_id in ids:
            send_after_commit(events.lookahead_requested, check_id=check_id)
    return len(ids)


# --- what may be asked


def _template(strategy: str) -> "Template":
    try:
        return strategies.template(strategy)
    except strategies.UnknownTemplate as error:
        raise NotCheckable(f"strategy: {error}", field="strategy") from error


def _model() -> ModelVersion:
    model = registry.champion()
    if model is None:
        raise NotCheckable("model: there is no champion yet; train one first (manage.py train --symbols ...)", field="model")
    if model.timeframe != settings.BASE_TIMEFRAME:
        raise NotCheckable(
            f"model: version {model.version} learned from {model.timeframe} bars, decisions are made on {settings.BASE_TIMEFRAME} bars; "
            f"train one with --timeframe {settings.BASE_TIMEFRAME}",
            field="model",
        )
    return model


def _require_kind(model: ModelVersion, markets: Sequence[Market]) -> None:
    if any((market.provenance == Provenance.SIMULATED) != (model.provenance == Provenance.SIMULATED) for market in markets):
        raise NotCheckable(
            "symbols: the model and the markets must both be simulated or both be real; train a model on these markets", field="symbols"
        )


def _least_bars() -> int:
    from signals.features import WARMUP_BARS  # numba

    return WARMUP_BARS + LEAST_BEYOND


def _require_bars(market: Market, least: int) -> None:
    stored = len(candles.read(market, settings.BASE_TIMEFRAME, last=least))
    if stored < least:
        raise NotCheckable(
            f"symbols: {market.symbol} has {stored} bars of {settings.BASE_TIMEFRAME}, a check needs {least}; backfill or import more, or leave it out",
            field="symbols",
        )


# --- the work


def _examine(check: LookaheadCheck, tell: Progress) -> list[dict[str, Any]]:
    """One report for each market, as JSON."""
    from backtesting import lookahead
    from signals import features

    ensemble, template = registry.load(check.model), strategies.template(check.strategy)
    warmups = {spec.name: spec.warmup_bars for spec in features.CATALOGUE}
    markets = [candles.find_market(symbol, venue=check.model.venue_slug or None) for symbol in check.symbols]
    reports = []
    for number, market in enumerate(markets):
        stage = f"Shortening the history of {market.symbol} ({number + 1} of {len(markets)})"
        share = 1.0 / len(markets)

        def step(done: float, stage: str = stage, before: float = number * share, share: float = share) -> None:
            tell(stage, min(0.99, before + done * share))

        step(0.0)
        data = _data(market, check.bars)
        size, live = len(data.frame), features.WARMUP_BARS + ensemble.lookback - 1
        report = lookahead.examine(
            partial(_say, ensemble=ensemble, template=template, market=market),
            data,
            warmups=warmups,
            live_bars=live,
            cuts=lookahead.cut_points(data.frame, first=live + (size - live) // 4, count=check.cuts),
            ends=lookahead.end_rows(size, live_bars=live, count=ENDS),
            tell=step,
        )
        found = [finding._asdict() for finding in report.findings]
        reports.append({"symbol": market.symbol, **report._asdict(), "findings": found})
    return reports


def _data(market: Market, bars: int) -> "lookahead.Data":
    from backtesting import lookahead, preparation

    frame = candles.read(market, settings.BASE_TIMEFRAME, last=bars)
    since_ms = int(frame.timestamp[0])
    bitcoin = preparation.bitcoin_for([market], since_ms, int(frame.timestamp[-1]) + 1)
    return lookahead.Data(frame, candles.funding(market), bitcoin)


def _say(data: "lookahead.Data", *, ensemble: "TrainedEnsemble", template: "Template", market: Market) -> "lookahead.Said":
    from backtesting import preparation

    decided = preparation.decide(*data, ensemble=ensemble, template=template, market=market)
    return said(decided)


def said(decided: "preparation.Decided") -> "lookahead.Said":
    """A strategy's decisions in numbers: the side (+1, -1, 0 none), both sides' chances, expectancies and the tests they ended
    at on every bar, candidate or not, the plan's unit and the candidates' levels."""
    import numpy as np

    from backtesting import lookahead

    found, chance, agreement = decided.candidates, decided.probability, decided.agreement
    columns = {
        "side": found.side.astype(np.float64),
        "probability_long": chance[:, 0],
        "probability_short": chance[:, 1],
        "agreement_long": agreement[:, 0],
        "agreement_short": agreement[:, 1],
        "plan_unit": decided.unit,
        "expectancy_long": decided.expectancy[:, 0],
        "expectancy_short": decided.expectancy[:, 1],
        "ended_long": decided.ended[:, 0].astype(np.float64),
        "ended_short": decided.ended[:, 1].astype(np.float64),
        **{name: getattr(found, name) for name in ("stop", "tp1", "tp2", "tp3")},
    }
    return lookahead.Said(decided.features.names, decided.features.values, tuple(columns), np.column_stack(list(columns.values())))


def _keep(held: Claim[LookaheadCheck], reports: list[dict[str, Any]]) -> None:
    """Store the result, and forget those before it."""
    check = held.row
    with transaction.atomic():
        held.finish(passed=not any(report["findings"] for report in reports), findings={"markets": reports})
        older = LookaheadCheck.objects.filter(strategy=check.strategy, model=check.model, pk__lt=check.pk)
        older.exclude(status__in=UNFINISHED).delete()
