"""Searches for a rule strategy's parameters as jobs: asked for, followed, cancelled and taken up again. The trials run in `searches.running`.

Nothing here imports numba or Optuna: the web process starts searches, a worker runs them.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from reprlib import repr as repr_
from typing import Any

from django.conf import settings
from django.db import transaction

from backtesting import affordable, asked, events, possible, runs
from backtesting.combos import ranking, windows
from backtesting.combos.space import Space
from backtesting.engine import Engine
from backtesting.models import Method, ParameterSearch, Walk
from exchanges import candles
from exchanges.models import Market
from exchanges.risk import profiles
from exchanges.timeframes import TIMEFRAME_MS
from signals.rules import UnfitParameter
from traderai.lib import clock, jobs
from traderai.lib.errors import UserError
from traderai.lib.events import send_after_commit
from traderai.lib.jobs import UNFINISHED, JobStatus
from traderai.lib.version import code_version

__all__ = ["NotSearchable", "cancel", "resume", "start", "sweep"]

MOST_COMBINATIONS = 20_000
MOST_TRIALS = 2_000
"""Of a search that learns: asking takes longer with every trial it has to remember."""
MOST_UNFINISHED = 3
MOST_MARKETS = 20
MOST_DAYS = 3_650
STALE_AFTER = timedelta(minutes=5)


class NotSearchable(UserError):
    """The search cannot be started or changed as asked."""


def start(
    user: Any,
    *,
    strategy: str,
    space: Mapping[str, Any],
    symbols: Sequence[str],
    capital: Any,
    risk_profile: str,
    start_ms: int | None = None,
    end_ms: int | None = None,
    method: str = Method.GRID,
    trials: int | None = None,
    objective: str = "sharpe",
    least_trades: int = 30,
    walk: str = Walk.NONE,
    train_days: int = 180,
    test_days: int = 60,
    engine: Mapping[str, Any] | None = None,
    seed: int = 7,
    venue: str = "",
    queue: bool = True,
) -> ParameterSearch:
    """A search over `space` ({parameter: value} and {parameter: {low, high, step}}), for a worker unless `queue` is off and the caller runs it.

    trials -- how many combinations a search by TPE tries; engine -- settings as backtesting.engine takes them; start_ms, end_ms -- bars with start_ms <= open < end_ms, all stored ones when None
    Raises NotSearchable, asked.Unfit, UnfitSetting, runs.NotRunnable, UnknownSymbol, TooLittle, each naming the field; nothing is stored then.
    """
    _choice("method", method, Method.values)
    _choice("objective", objective, list(ranking.OBJECTIVES))
    _choice("walk", walk, Walk.values)
    for name, value, most in (
        ("least_trades", least_trades, 100_000),
        ("train_days", train_days, MOST_DAYS),
        ("test_days", test_days, MOST_DAYS),
    ):
        _whole(name, value, 1, most)
    found = asked.parse_space(strategy, space)
    wanted = _wanted(found, method, trials)
    simulated = Engine.parse(engine or {})
    money = runs.capital_of(capital)
    try:
        profile = profiles.profile(risk_profile)
    except profiles.UnknownRiskProfile as error:
        raise NotSearchable(str(error), field="risk_profile") from error
    markets = runs.judgeable_markets(symbols, venue=venue)
    if len(markets) > MOST_MARKETS:
        raise NotSearchable(f"symbols: {len(markets)} markets are more than {MOST_MARKETS}; leave some out", field="symbols")
    begins, ends = _span(markets, start_ms, end_ms)
    if walk != Walk.NONE:
        trainings = _count_windows(found, begins, ends, train_days=train_days, test_days=test_days, walk=walk)
        if method == Method.TPE and wanted * trainings > MOST_COMBINATIONS:
            raise NotSearchable(
                f"trials: {wanted:,} on each of {trainings} trainings of the walk-forward test are more than {MOST_COMBINATIONS:,}; choose fewer trials "
                "or longer windows",
                field="trials",
            )
    possible.check(simulated, markets, start_ms=begins, end_ms=ends)
    affordable.check(
        money,
        markets,
        profile,
        hold_hours=found.shortest_hold_hours,
        start_ms=begins,
        end_ms=ends,
        notional_pct=simulated.position_pct,
    )
    if ParameterSearch.objects.for_user(user).unfinished().count() >= MOST_UNFINISHED:
        raise NotSearchable(f"{MOST_UNFINISHED} of your searches are still waiting or running; let one finish or cancel it first")
    with transaction.atomic():
        search = ParameterSearch.objects.create(
            user=user,
            strategy=strategy,
            space=found.to_json(),
            method=method,
            objective=objective,
            least_trades=least_trades,
            wanted=wanted,
            seed=seed,
            walk=walk,
            train_days=train_days,
            test_days=test_days,
            venue_slug=markets[0].venue.slug,
            symbols=[market.symbol for market in markets],
            timeframe=settings.BASE_TIMEFRAME,
            capital=money,
            risk_profile=risk_profile,
            engine=simulated.to_json(),
            start_ms=begins,
            end_ms=ends,
            provenance=markets[0].provenance,
            code_version=code_version(),
        )
        if queue:
            send_after_commit(events.parameter_search_requested, search_id=search.pk)
    return search


def cancel(search: ParameterSearch) -> bool:
    """Stop after the batch under way; what is tried stays, counts, and is not tried again when the search is resumed. False when it is over already."""
    open_ = ParameterSearch.objects.filter(pk=search.pk, status__in=UNFINISHED)
    return bool(open_.update(status=JobStatus.CANCELLED, error="", finished_at=clock.now()))


def resume(search: ParameterSearch) -> bool:
    """Go on with a cancelled or failed search. False when it waits, runs or is done. Raises NotSearchable when too many others are unfinished."""
    with transaction.atomic():
        if ParameterSearch.objects.for_user(search.user).unfinished().exclude(pk=search.pk).count() >= MOST_UNFINISHED:
            raise NotSearchable(f"{MOST_UNFINISHED} of your searches are still waiting or running; let one finish or cancel it first")
        ended = ParameterSearch.objects.filter(pk=search.pk, status__in=[JobStatus.CANCELLED, JobStatus.FAILED])
        if not ended.update(status=JobStatus.QUEUED, error="", finished_at=None):
            return False
        send_after_commit(events.parameter_search_requested, search_id=search.pk)
    return True


def sweep() -> int:
    """Queue again what a killed worker left running, and wake what was never started. Returns how many searches were woken."""
    with transaction.atomic():
        ids = jobs.wake(ParameterSearch.objects.all(), silent_for=STALE_AFTER)
        for search_id in ids:
            send_after_commit(events.parameter_search_requested, search_id=search_id)
    return len(ids)


# --- validation


def count(space: Space) -> int:
    """How many combinations go together. Raises NotSearchable when there are none, or too many to lay out."""
    try:
        found = space.combinations().shape[0]
    except UnfitParameter as error:
        raise NotSearchable(str(error), field=error.field) from error
    if not found:
        raise NotSearchable("space: no combination of these ranges goes together; widen one", field="space")
    return found


def _wanted(space: Space, method: str, trials: int | None) -> int:
    if not space.varied:
        raise NotSearchable("space: nothing is varied; give at least one parameter a range", field="space")
    if method == Method.TPE:
        return _whole("trials", 200 if trials is None else trials, 10, MOST_TRIALS)
    if trials is not None:
        raise NotSearchable("trials: a grid tries every combination; leave trials out, or choose the method tpe", field="trials")
    found = count(space)
    if found > MOST_COMBINATIONS:
        raise NotSearchable(
            f"space: {found:,} combinations are more than {MOST_COMBINATIONS:,}; choose narrower ranges, wider steps or the method tpe",
            field="space",
        )
    return found


def _choice(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise NotSearchable(f"{name}: {repr_(value)} is unknown; use one of {', '.join(known)}", field=name)


def _whole(name: str, value: Any, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise NotSearchable(f"{name}: must be a whole number from {least} to {most:,}, not {repr_(value)}", field=name)
    return value


def _span(markets: Sequence[Market], start_ms: int | None, end_ms: int | None) -> tuple[int, int]:
    """First open and last close of what is stored of the markets between the two. Raises NotSearchable."""
    if start_ms is not None and end_ms is not None and end_ms <= start_ms:
        raise NotSearchable("end: must be after the start", field="end")
    opens = []
    for market in markets:
        stamps = candles.read(market, settings.BASE_TIMEFRAME, start_ms=start_ms, end_ms=end_ms).timestamp
        if not stamps.shape[0]:
            raise NotSearchable(
                f"symbols: {market.symbol} has no {settings.BASE_TIMEFRAME} candles in this span; choose another, import or backfill some, or leave it out",
                field="symbols",
            )
        opens += [int(stamps[0]), int(stamps[-1])]
    return min(opens), max(opens) + TIMEFRAME_MS[settings.BASE_TIMEFRAME]


def _count_windows(space: Space, start_ms: int, end_ms: int, *, train_days: int, test_days: int, walk: str) -> int:
    """How many windows the walk-forward test has. Raises NotSearchable for a span that is too short."""
    try:
        found = windows.windows(
            start_ms, end_ms, train_days=train_days, test_days=test_days, purge_ms=space.longest_hold_ms, is_anchored=walk == Walk.ANCHORED
        )
    except windows.TooShort as error:
        raise NotSearchable(f"train_days: {error}", field="train_days") from error
    return len(found)
