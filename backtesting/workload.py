"""What a run simulates: the histories of its markets with what its strategy decided on each, by a model or by a rule."""

from collections.abc import Callable
from typing import NamedTuple

from backtesting import arrays, asked, preparation
from backtesting.combos import space
from backtesting.engine import Engine
from backtesting.models import BacktestRun
from backtesting.preparation import Prepared
from exchanges import candles
from exchanges.models import Market
from exchanges.ports import CandleFrame
from exchanges.timeframes import TIMEFRAME_MS
from signals import features, processing, registry, rules, strategies
from signals.plan import PlanConfig

Progress = Callable[[str, float], None]
LAST_SHARE = 0.8
"""How much of a run's time reading and deciding is taken for."""
STILL_TRADES_MS = 3_600_000
"""A market whose newest bar is not older than this, by the newest of all, is about to receive the next."""


class Workload(NamedTuple):
    """Symbols in the run's order. warm_up_bars: what was read before the first simulated bar."""

    markets: list[Market]
    prepared: list[Prepared]
    plan: PlanConfig
    signal_bars: int
    bitcoin: CandleFrame | None
    start_ms: int
    warm_up_bars: int


def load(run: BacktestRun, engine: Engine, tell: Progress) -> Workload:
    """Read and decide. Raises UnknownSymbol, and what a model raises that cannot be loaded."""
    work = _by_rule(run, tell) if run.model is None else _by_model(run, tell)
    return work._replace(prepared=[arrays.with_extras(item, engine.detail) for item in work.prepared])


def _markets(run: BacktestRun) -> list[Market]:
    return [candles.find_market(symbol, venue=run.venue_slug) for symbol in run.symbols]


def _end_ms(run: BacktestRun, markets: list[Market]) -> int | None:
    """Where the simulation ends: as asked, but before bars that a market which still trades has not received yet. They come one market after
    another, and who repeats the run a minute later would read more of some."""
    newest = [found for market in markets if (found := candles.last_open_ms(market, run.timeframe)) is not None]
    if not newest:
        return run.requested_end_ms
    common = min(each for each in newest if each >= max(newest) - STILL_TRADES_MS) + TIMEFRAME_MS[run.timeframe]
    return common if run.requested_end_ms is None else min(run.requested_end_ms, common)


def _by_model(run: BacktestRun, tell: Progress) -> Workload:
    assert run.model is not None
    markets, template = _markets(run), strategies.template(run.strategy)
    start_ms = max(run.requested_start_ms or 0, run.model.oos_start_ms)
    ensemble, end_ms = registry.load(run.model), _end_ms(run, markets)
    bitcoin = preparation.bitcoin_for(markets, start_ms, end_ms, lookback=ensemble.lookback)
    prepared = []
    for number, market in enumerate(markets):
        tell(f"Asking the model about {market.symbol} ({number + 1} of {len(markets)})", LAST_SHARE * number / len(markets))
        prepared.append(
            preparation.prepare(
                market,
                ensemble,
                template,
                start_ms=start_ms,
                end_ms=end_ms,
                bitcoin=bitcoin,
                model_hash=run.model.manifest_sha256,
            )
        )
    warm_up = features.WARMUP_BARS + ensemble.lookback - 1
    return Workload(markets, prepared, ensemble.plan, processing.EXPIRE_AFTER_BARS, bitcoin, start_ms, warm_up)


def _by_rule(run: BacktestRun, tell: Progress) -> Workload:
    markets, strategy = _markets(run), rules.rule(run.strategy)
    values = asked.parse(run.strategy, run.strategy_params)
    plan, own = space.plan_of(values), {known.name: values[known.name] for known in strategy.parameters}
    start_ms, end_ms, prepared = run.requested_start_ms or 0, _end_ms(run, markets), []
    for number, market in enumerate(markets):
        tell(f"Deciding on {market.symbol} ({number + 1} of {len(markets)})", LAST_SHARE * number / len(markets))
        prepared.append(preparation.prepare_rule(market, strategy, own, plan, start_ms=start_ms, end_ms=end_ms))
    return Workload(markets, prepared, plan, arrays.RULE_SIGNAL_BARS, None, start_ms, preparation.RULE_WARM_UP_BARS)
