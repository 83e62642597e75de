"""A search on a worker: batch after batch, each stored before the next, then the walk-forward test and what it all says.

A batch and the number of trials change in one transaction under the worker's claim: what a killed worker has stored stays and is not tried again.
"""

from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import structlog
from django.db import transaction

from backtesting import asked, counting, kernel, runs
from backtesting.combos import ranking, windows
from backtesting.combos.space import Space
from backtesting.models import Method, ParameterSearch, TrialBatch, Walk
from backtesting.searches import asking, findings, trials, walking, work
from exchanges.risk import profiles
from traderai.lib.jobs import Claim, Withdrawn

log = structlog.get_logger(__name__)

Progress = Callable[[str, float], None]
TRYING, JUDGING = 0.7, 0.8
"""Shares of a search's time: all trials, and then what is said about the best; the rest is the walk-forward test."""


def execute(search_id: int, *, progress: Progress | None = None) -> ParameterSearch:
    """Run a queued search; one that somebody else has claimed is returned as it is. A failure is kept on the row and raised.

    progress -- called with the stage and the share that is done, 0 to 1
    """
    rows = ParameterSearch.objects.all()
    held = Claim.take(rows, search_id)
    if held is None:
        return rows.get(pk=search_id)

    def tell(stage: str, share: float, **told: Any) -> None:
        held.beat(stage=stage, progress=share, **told)
        if progress:
            progress(stage, share)

    try:
        with held.ending():
            _search(held, tell)
    except Withdrawn:
        log.info("search was withdrawn while it ran", search=search_id)
    return rows.get(pk=search_id)


def _search(held: Claim[ParameterSearch], tell: Callable[..., None]) -> None:
    search = held.row
    space = asked.parse_space(search.strategy, search.space)
    tell("Reading candles" if kernel.is_compiled(for_sweeps=True) else f"Reading candles. {runs.COMPILING}", 0.0)
    evaluate = work.evaluator(search, space)
    _try_all(search, space, evaluate, tell)
    tell("Judging the best", TRYING)
    done, capital, span = trials.load(search), float(search.capital), (search.start_ms, search.end_ms)
    facts = findings.found(
        space,
        done.table,
        done.results,
        evaluate,
        objective=search.objective,
        least_trades=search.least_trades,
        span=span,
        capital=capital,
        counted=counting.counted(search),
    )
    facts["walk"] = _walk(search, space, evaluate, tell) if search.walk != Walk.NONE else None
    facts["verdict"] = findings.verdict(facts["walk"])
    facts["warnings"] = findings.warnings(facts, search.objective, limit_pct=profiles.profile(search.risk_profile).max_drawdown_pct)
    held.finish(result=facts)


def _try_all(search: ParameterSearch, space: Space, evaluate: walking.Evaluate, tell: Callable[..., None]) -> None:
    """All batches of the whole span that are not stored yet."""
    done = trials.load(search)

    def told(tried: int, size: int) -> None:
        tell(f"Trying {tried + 1:,} to {tried + size:,} of {search.wanted:,}", TRYING * min(1.0, tried / search.wanted))

    def kept(tried: int) -> None:
        tell(f"Tried {tried:,} of {search.wanted:,}", TRYING * min(1.0, tried / search.wanted), tried=tried)

    batches = asking.tables(search, space, done.table, _judged(done.results, search, search.least_trades))
    span = (search.start_ms, search.end_ms)
    _drain(search, batches, evaluate, span=span, least_trades=search.least_trades, window=0, before=told, after=kept)


def _drain(
    search: ParameterSearch,
    batches: Generator[Any, Any, None],
    evaluate: walking.Evaluate,
    *,
    span: tuple[int, int],
    least_trades: int,
    window: int,
    before: Callable[[int, int], None],
    after: Callable[[int], None],
) -> None:
    """Try what `batches` asks for on a span and store each batch before the next. before -- called with how many are tried and the size of the
    next batch; after -- with how many are, in the batch's transaction"""
    stored = TrialBatch.objects.filter(search=search, window=window)
    number, tried = stored.count(), trials.load(search, window=window).table.shape[0]
    table = next(batches, None)
    while table is not None:
        before(tried, table.shape[0])
        results = evaluate(table, *span, float(search.capital)).results
        tried += table.shape[0]
        with transaction.atomic():
            trials.batch(search, number, table, results, window=window).save(force_insert=True)
            after(tried)
        number += 1
        try:
            table = batches.send(_judged(results, search, least_trades))
        except StopIteration:
            table = None


def _judged(results: ranking.Results, search: ParameterSearch, least_trades: int) -> Any:
    """What a trial is told to be worth: the objective, NaN for one that may not be the best."""
    return np.where(results.trades >= least_trades, results.objective(search.objective), np.nan)


def _walk(search: ParameterSearch, space: Space, evaluate: walking.Evaluate, tell: Callable[..., None]) -> dict[str, Any]:
    """The walk-forward test: a grid is tried whole on every training; a search that learns learns anew on each, from nothing but its bars."""
    capital = float(search.capital)
    spans = windows.windows(
        search.start_ms,
        search.end_ms,
        train_days=search.train_days,
        test_days=search.test_days,
        purge_ms=space.longest_hold_ms,
        is_anchored=search.walk == Walk.ANCHORED,
    )

    def told(number: int, share: float, more: str = "") -> None:
        tell(f"Walk-forward, window {number} of {len(spans)}{more}", JUDGING + (1.0 - JUDGING) * (number - 1 + share) / len(spans))

    def train(number: int, window: walking.Window, least_trades: int) -> walking.Trained:
        told(number, 0.0)
        if search.method == Method.TPE:
            return _learn(search, space, evaluate, number, window, least_trades, told)
        table = space.combinations()
        return walking.Trained(table, evaluate(table, window.train_start_ms, window.train_end_ms, capital).results)

    found = walking.walk(
        train,
        evaluate,
        spans,
        objective=search.objective,
        least_trades=search.least_trades,
        span_ms=search.end_ms - search.start_ms,
        capital=capital,
    )
    walks = ParameterSearch.objects.all().same_chance(search).walks()
    return findings.walked(space, found, capital=capital, walks=walks, learned=search.wanted if search.method == Method.TPE else 0)


def _learn(
    search: ParameterSearch,
    space: Space,
    evaluate: walking.Evaluate,
    number: int,
    window: walking.Window,
    least_trades: int,
    tell: Callable[[int, float, str], None],
) -> walking.Trained:
    """A study of its own on a window's training, as many trials as on the whole span, stored in batches as those are."""
    done = trials.load(search, window=number)
    seed = search.seed + number * asking.SEEDS_APART
    batches = asking.asked(space, done.table, _judged(done.results, search, least_trades), wanted=search.wanted, seed=seed)

    def told(tried: int, size: int = 0) -> None:
        tell(number, tried / search.wanted, f", tried {tried:,} of {search.wanted:,}")

    span = (window.train_start_ms, window.train_end_ms)
    _drain(search, batches, evaluate, span=span, least_trades=least_trades, window=number, before=told, after=told)
    return walking.Trained(*trials.load(search, window=number))
