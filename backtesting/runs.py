"""Backtests as jobs: validated before a row exists, run once, kept with every figure's span and sample.

The web process starts runs and a worker executes them, so the kernel, the features and the learners are imported where a run is executed.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from reprlib import repr as repr_
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog
from django.conf import settings
from django.db import transaction

from backtesting import affordable, asked, events, possible, reproduction
from backtesting.engine import Engine
from backtesting.models import BacktestRun, BacktestTrade
from exchanges import candles
from exchanges.models import JobStatus, Market, Provenance
from exchanges.risk import profiles
from exchanges.timeframes import TIMEFRAME_MS
from signals import registry, rules, strategies
from signals.models import ModelVersion
from traderai.lib import clock, jobs
from traderai.lib.errors import UserError
from traderai.lib.events import send_after_commit
from traderai.lib.jobs import UNFINISHED, Claim, Withdrawn

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from backtesting import kernel, reporting

log = structlog.get_logger(__name__)

Progress = Callable[[str, float], None]
TEMPLATE = "ml-ensemble"
MOST_CAPITAL = Decimal(1_000_000_000)
STALE_AFTER = timedelta(minutes=3)
CHUNK = 1000
MOST_UNFINISHED = 10
DAY_MS = 86_400_000
COMPILING = "Compiling: this takes about half a minute, once on this machine"


class NotRunnable(UserError):
    """The backtest cannot be run as asked."""


def start(
    user: Any,
    *,
    symbols: Sequence[str],
    capital: Any,
    risk_profile: str,
    strategy: str = TEMPLATE,
    strategy_params: Mapping[str, Any] | None = None,
    engine: Mapping[str, Any] | None = None,
    start_ms: int | None = None,
    end_ms: int | None = None,
    model: ModelVersion | None = None,
    venue: str = "",
    repeats: BacktestRun | None = None,
    queue: bool = True,
) -> BacktestRun:
    """A backtest of the newest champion (or of `model`), or of a rule, for a worker unless `queue` is off and the caller runs it at once.

    strategy -- a template's key, judged by a model, or a rule's, with its parameters and the plan's multiples in strategy_params
    engine -- settings as backtesting.engine takes them. repeats -- the run it repeats and is compared with in the end
    venue -- the slug of the markets' venue, by default the platform's. capital -- in quote currency; start_ms, end_ms -- bars with start_ms <= open < end_ms,
    all there is when None: for a model its out-of-sample time
    Raises NotRunnable, Unfit, UnfitSetting, UnknownSymbol, TooLittle; nothing is stored then.
    """
    money = capital_of(capital)
    settings_ = Engine.parse(engine or {})
    try:
        profile = profiles.profile(risk_profile)
    except profiles.UnknownRiskProfile as error:
        raise NotRunnable(str(error), field="risk_profile") from error
    markets = judgeable_markets(symbols, venue=venue)
    if strategy in strategies.TEMPLATES:
        judged, values = _judge(model), {}
        if strategy_params:
            raise NotRunnable("strategy_params: a model's strategy has none to choose; leave them out", field="strategy_params")
        if start_ms is not None and start_ms == judged.oos_start_ms // DAY_MS * DAY_MS:
            start_ms = judged.oos_start_ms  # the day on which out-of-sample time begins means that moment
        _check_span(judged, markets, start_ms, end_ms)
        if any((market.provenance == Provenance.SIMULATED) != (judged.provenance == Provenance.SIMULATED) for market in markets):
            raise NotRunnable(
                "symbols: the model and the markets must both be simulated or both be real; train a model on these markets", field="symbols"
            )
    elif strategy not in rules.STRATEGIES:
        known = ", ".join((*strategies.TEMPLATES, *rules.STRATEGIES))
        raise NotRunnable(f"strategy: {repr_(strategy)} is unknown; use one of {known}", field="strategy")
    else:
        judged, values = None, asked.parse(strategy, strategy_params or {})
        _check_stored(markets, start_ms, end_ms)
    if user is not None and BacktestRun.objects.for_user(user).filter(status__in=UNFINISHED).count() >= MOST_UNFINISHED:
        raise NotRunnable(f"{MOST_UNFINISHED} of your backtests are still waiting or running; let one finish or remove it first")
    if repeats is None:
        begins_ms = start_ms or 0 if judged is None else max(start_ms or 0, judged.oos_start_ms)
        possible.check(settings_, markets, start_ms=begins_ms, end_ms=end_ms)
        hold_hours = values["hold_hours"] if judged is None else judged.plan.max_hold_hours
        affordable.check(
            money, markets, profile, hold_hours=hold_hours, start_ms=begins_ms, end_ms=end_ms, notional_pct=settings_.position_pct
        )
    with transaction.atomic():
        run = BacktestRun.objects.create(
            user=user,
            model=judged,
            strategy=strategy,
            strategy_params=values,
            engine=settings_.to_json(),
            venue_slug=markets[0].venue.slug,
            symbols=[market.symbol for market in markets],
            timeframe=settings.BASE_TIMEFRAME,
            capital=money,
            risk_profile=risk_profile,
            requested_start_ms=start_ms,
            requested_end_ms=end_ms,
            provenance=markets[0].provenance,
            repeats=repeats,
        )
        if queue:
            send_after_commit(events.backtest_requested, run_id=run.pk)
    return run


def repeat(old: BacktestRun, *, queue: bool = True) -> BacktestRun:
    """The settings of a finished run once more, for its owner: same model version, same span. In the end its trades are compared.

    Raises NotRunnable, UnknownSymbol; nothing is stored then.
    """
    if old.status != JobStatus.DONE:
        raise NotRunnable(f"run {old.pk} has no result to compare with: it is {old.get_status_display().lower()}; choose a finished one")
    return start(
        old.user,
        symbols=old.symbols,
        capital=old.capital,
        risk_profile=old.risk_profile,
        strategy=old.strategy,
        strategy_params=old.strategy_params,
        engine=old.engine,
        start_ms=old.requested_start_ms,
        end_ms=old.end_ms,  # candles that have come since are none of its business
        model=old.model,
        venue=old.venue_slug,
        repeats=old,
        queue=queue,
    )


def execute(run_id: int, *, progress: Progress | None = None) -> BacktestRun:
    """Run a queued backtest; one that somebody else has claimed is returned as it is. A failure is kept on the row and raised.

    progress -- called with the stage and the share that is done, 0 to 1
    """
    rows = BacktestRun.objects.select_related("model")
    held = Claim.take(rows, run_id)
    if held is None:
        return rows.get(pk=run_id)

    def tell(stage: str, share: float) -> None:
        held.beat(stage=stage, progress=share)
        if progress:
            progress(stage, share)

    try:
        with held.ending():
            _simulate(held, tell)
    except Withdrawn:
        log.info("backtest was withdrawn while it ran", run=run_id)
    return rows.filter(pk=run_id).first() or held.row


def sweep() -> int:
    """Queue again what a killed worker left running, and wake what was never started. Returns how many runs were woken."""
    with transaction.atomic():
        ids = jobs.wake(BacktestRun.objects.all(), silent_for=STALE_AFTER)
        for run_id in ids:
            send_after_commit(events.backtest_requested, run_id=run_id)
    return len(ids)


def out_of_sample_from() -> int | None:
    """First bar the newest champion may be judged on, ms UTC."""
    champion = registry.champion()
    return None if champion is None else champion.oos_start_ms


# --- validation


def capital_of(value: Any) -> Decimal:
    """The amount in quote currency. Raises NotRunnable."""
    try:
        money = Decimal(str(value))
    except InvalidOperation:
        raise NotRunnable(f"capital: {repr_(value)} is not a number; give an amount like 100", field="capital") from None
    if not money.is_finite() or not 0 < money <= MOST_CAPITAL:
        raise NotRunnable(f"capital: must be more than 0 and at most {MOST_CAPITAL:,}, not {value}", field="capital")
    if money != money.quantize(Decimal("0.01")):
        raise NotRunnable(f"capital: {value} has more than two decimals; round it", field="capital")
    return money


def judgeable_markets(symbols: Sequence[str], *, venue: str = "") -> list[Market]:
    """The markets called so on the venue of that slug, by default the platform's: at least one, with candles of one origin, that never close. Raises NotRunnable, UnknownSymbol."""
    if not symbols:
        raise NotRunnable("symbols: name at least one, like BTC/USDT:USDT", field="symbols")
    markets = [candles.find_market(symbol, venue=venue or None, field="symbols") for symbol in dict.fromkeys(symbols)]
    for market in markets:
        if market.has_sessions:
            raise NotRunnable(
                f"symbols: {market.symbol} closes at night, and models judge markets that never close; leave it out", field="symbols"
            )
        if market.provenance == Provenance.NONE:
            raise NotRunnable(f"symbols: {market.symbol} has no candles; import or backfill them first", field="symbols")
    if len({market.provenance for market in markets}) > 1:
        raise NotRunnable("symbols: candles of different origin are never mixed in one run; choose markets of one kind", field="symbols")
    return markets


def _judge(model: ModelVersion | None) -> ModelVersion:
    """The model that judges: this one, else the newest champion."""
    judged = model or registry.champion()
    if judged is None:
        raise NotRunnable("model: there is no champion yet; train one first (manage.py train --symbols ...)", field="model")
    if judged.timeframe != settings.BASE_TIMEFRAME:
        raise NotRunnable(
            f"model: version {judged.version} learned from {judged.timeframe} bars and cannot judge {settings.BASE_TIMEFRAME} bars; "
            f"train one with --timeframe {settings.BASE_TIMEFRAME}",
            field="model",
        )
    return judged


def _check_stored(markets: Sequence[Market], start_ms: int | None, end_ms: int | None) -> None:
    """Every market has bars of the span."""
    if start_ms is not None and end_ms is not None and end_ms <= start_ms:
        raise NotRunnable("end: must be after the start", field="end")
    last_ms = max(candles.last_open_ms(market, settings.BASE_TIMEFRAME) or 0 for market in markets)
    if start_ms is not None and start_ms > last_ms > 0:
        raise NotRunnable(f"start: the newest candle is of {clock.from_ms(last_ms):%Y-%m-%d %H:%M} UTC; start earlier", field="start")
    for market in markets:
        newest = candles.read(market, settings.BASE_TIMEFRAME, end_ms=end_ms, last=1).timestamp
        if not newest.shape[0] or int(newest[0]) < (start_ms or 0):
            begins = "the beginning" if start_ms is None else f"{clock.from_ms(start_ms):%Y-%m-%d %H:%M}"
            until = "now" if end_ms is None else f"{clock.from_ms(end_ms):%Y-%m-%d %H:%M} UTC"
            raise NotRunnable(
                f"symbols: {market.symbol} has no {settings.BASE_TIMEFRAME} candles between {begins} and {until}; {_stored(market)}"
                "choose another span, backfill or import more, or leave it out",
                field="symbols",
            )


def _stored(market: Market) -> str:
    """From when to when there are candles of it, as the beginning of an advice."""
    opens = candles.read(market, settings.BASE_TIMEFRAME).timestamp
    if not opens.shape[0]:
        return ""
    return f"its candles are of {clock.from_ms(int(opens[0])):%Y-%m-%d} to {clock.from_ms(int(opens[-1])):%Y-%m-%d}: "


def _check_span(model: ModelVersion, markets: Sequence[Market], start_ms: int | None, end_ms: int | None) -> None:
    first = f"{clock.from_ms(model.oos_start_ms):%Y-%m-%d %H:%M} UTC"
    if start_ms is not None and start_ms < model.oos_start_ms:
        raise NotRunnable(f"start: the model has learned from time before {first}; start there or later", field="start")
    if end_ms is not None and end_ms <= max(start_ms or 0, model.oos_start_ms):
        raise NotRunnable(f"end: must be after the start, and after {first}, where out-of-sample time begins", field="end")
    begins_ms = max(start_ms or 0, model.oos_start_ms)
    for market in markets:
        newest = candles.last_open_ms(market, settings.BASE_TIMEFRAME)
        if newest is None or newest < model.oos_start_ms:
            raise NotRunnable(
                f"symbols: {market.symbol} has no {settings.BASE_TIMEFRAME} candles after {first}, where out-of-sample time begins; "
                "wait until then, import or backfill newer ones, or leave it out",
                field="symbols",
            )
        seen = candles.read(market, settings.BASE_TIMEFRAME, end_ms=end_ms, last=1).timestamp
        if not seen.shape[0] or int(seen[0]) < begins_ms:
            until = "now" if end_ms is None else f"{clock.from_ms(end_ms):%Y-%m-%d %H:%M} UTC"
            raise NotRunnable(
                f"symbols: {market.symbol} has no {settings.BASE_TIMEFRAME} candles between {clock.from_ms(begins_ms):%Y-%m-%d %H:%M} and {until}; "
                f"its newest is of {clock.from_ms(newest):%Y-%m-%d %H:%M} UTC",
                field="symbols",
            )


# --- simulation


def _simulate(held: Claim[BacktestRun], tell: Progress) -> None:
    from backtesting import arrays, baselines, kernel, reporting, workload  # numba, TA-Lib: seconds that only a worker spends
    from backtesting.honesty import again

    run, engine = held.row, Engine.parse(held.row.engine)
    work = workload.load(run, engine, tell)
    tell("Simulating" if kernel.is_compiled() else COMPILING, workload.LAST_SHARE)
    bars, entries = arrays.merge(work.prepared)
    profile = profiles.profile(run.risk_profile)
    rules = arrays.rules(float(run.capital), profile, work.plan, engine, work.signal_bars)
    specs = arrays.specs(work.markets, engine)
    done = again.simulated(bars, entries, specs, rules)
    tell("Trying random moments", 0.9)
    random = baselines.random_moments(bars, entries, specs, again.unlimited(rules), done.unlimited, seed=reproduction.SEED)
    tell("Counting", 0.95)
    series = reproduction.data_hashes(work.prepared, work.bitcoin, start_ms=work.start_ms, warm_up_bars=work.warm_up_bars)
    configuration = reproduction.configuration(run, work.markets, series)
    report = reporting.report(run, work, engine, done, profile, random, configuration)
    probability = np.concatenate([item.candidates.probability for item in work.prepared])
    _store(held, work.markets, bars, probability, done.result, report)


def _store(
    held: Claim[BacktestRun],
    markets: Sequence[Market],
    bars: "kernel.Bars",
    probability: "NDArray[np.float64]",
    result: "kernel.Result",
    report: "reporting.Report",
) -> None:
    run = held.row
    trades = _trade_rows(run, markets, bars, probability, result.trades)
    with transaction.atomic():
        held.finish(
            data_hash=reproduction.data_hash(report.params["data"]),
            code_version=report.params["code_version"],
            comparison=reproduction.compare(run.repeats, report.params, trades) if run.repeats else {},
            start_ms=int(result.times[0]),
            end_ms=int(result.times[-1]) + TIMEFRAME_MS[run.timeframe],
            metrics=report.metrics,
            equity=report.equity,
            params=report.params,
        )
        BacktestTrade.objects.filter(run=run).delete()
        BacktestTrade.objects.bulk_create(trades, batch_size=CHUNK)


def _trade_rows(
    run: BacktestRun, markets: Sequence[Market], bars: "kernel.Bars", probability: "NDArray[np.float64]", trades: "kernel.Trades"
) -> list[BacktestTrade]:
    from exchanges.exits import REASONS  # numba

    timestamp = bars.timestamp
    order = np.lexsort((trades.symbol, timestamp[trades.entered]))
    rows = []
    for number, i in enumerate(order.tolist(), start=1):
        notional = float(trades.qty[i] * trades.entry[i])
        chance = float(probability[trades.decided[i]])
        rows.append(
            BacktestTrade(
                run=run,
                number=number,
                symbol=markets[int(trades.symbol[i])].symbol,
                side="long" if trades.side[i] > 0 else "short",
                signal_ms=int(timestamp[trades.decided[i]]),
                entry_ms=int(timestamp[trades.entered[i]]),
                exit_ms=int(timestamp[trades.left[i]]),
                entry_price=float(trades.entry[i]),
                exit_price=float(trades.exit[i]),
                qty=float(trades.qty[i]),
                leverage=int(trades.leverage[i]),
                stop=float(trades.stop[i]),
                tp1=float(trades.tp1[i]),
                tps_hit=int(trades.tps[i]),
                exit_reason=REASONS[int(trades.reason[i])],
                fees=float(trades.fees[i]),
                funding=float(trades.funding[i]),
                pnl=float(trades.pnl[i]),
                pnl_pct=float(trades.pnl[i]) / notional * 100.0,
                probability=chance if math.isfinite(chance) else None,
            )
        )
    return rows
