"""How often luck had its chance: everything that the best of a search competes with, each setting once however often it was asked for."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtesting import asked
from backtesting.combos.space import known_parameters
from backtesting.engine import Engine
from backtesting.metrics import DAYS_A_YEAR
from backtesting.models import BacktestRun, ParameterSearch, TrialBatch
from exchanges.models import JobStatus

Setting = tuple[tuple[Any, ...], bytes]
"""Markets, risk profile and settings of the simulation; the values of all parameters: what makes one try another than the next."""


class Counted(NamedTuple):
    """Different settings that were tried in this search, by hand besides, and in other searches besides; how many other searches there were, and
    the daily Sharpe ratios [n] of all tries that have one."""

    here: int
    by_hand: int
    elsewhere: int
    others: int
    ratios: NDArray[np.float64]

    @property
    def total(self) -> int:
        return self.here + self.by_hand + self.elsewhere


def counted(search: ParameterSearch) -> Counted:
    """The tries of the same person with the same strategy, over time that they share with this search (ParameterSearchQuerySet.same_chance)."""
    here, by_hand = dict(_tried(search)), dict(_by_hand(search, search.start_ms, search.end_ms))
    others = [other for other in _searches(search, search.start_ms, search.end_ms) if other.pk != search.pk]
    elsewhere = {setting: ratio for other in others for setting, ratio in _tried(other)}
    everything = by_hand | elsewhere | here
    besides = sum(setting not in here for setting in elsewhere)
    ratios = np.array([ratio for ratio in everything.values() if ratio is not None], np.float64)
    return Counted(len(here), len(everything) - len(here) - besides, besides, len(others), ratios)


class Besides(NamedTuple):
    """Different settings, other than a run's own, that were tried in searches, and by hand besides; how many searches there were, and the
    daily Sharpe ratios of all these tries that have one."""

    searched: int
    by_hand: int
    searches: int
    ratios: tuple[float, ...]


def besides(run: BacktestRun, start_ms: int, end_ms: int) -> Besides:
    """The tries of the run's owner with its rule, over time that they share with start_ms to end_ms, which the run simulates."""
    searches, own = _searches(run, start_ms, end_ms), _setting(run.strategy, run.symbols, run.risk_profile, run.engine, run.strategy_params)
    searched = {setting: ratio for search in searches for setting, ratio in _tried(search) if setting != own}
    by_hand = {setting: ratio for setting, ratio in _by_hand(run, start_ms, end_ms) if setting != own and setting not in searched}
    ratios = tuple(ratio for ratio in (searched | by_hand).values() if ratio is not None)
    return Besides(len(searched), len(by_hand), len(searches), ratios)


def _searches(asked_for: BacktestRun | ParameterSearch, start_ms: int, end_ms: int) -> list[ParameterSearch]:
    """Those with a trial, as ParameterSearchQuerySet.same_chance."""
    return list(ParameterSearch.objects.all().of_the_same(asked_for, start_ms, end_ms).filter(tried__gt=0).order_by("pk"))


def _tried(search: ParameterSearch) -> Iterator[tuple[Setting, float | None]]:
    """The combinations of a search, each with its daily ratio."""
    frame = _frame(search.symbols, search.risk_profile, search.engine)
    for params, ratios in TrialBatch.objects.filter(search=search, window=0).order_by("number").values_list("params", "figures__ratio"):
        for row, ratio in zip(params, ratios, strict=True):
            yield (frame, _bytes(row)), ratio


def _by_hand(asked_for: BacktestRun | ParameterSearch, start_ms: int, end_ms: int) -> Iterator[tuple[Setting, float | None]]:
    """The finished runs of the rule, each with its daily ratio."""
    strategy, provenance = asked_for.strategy, asked_for.provenance
    mine = BacktestRun.objects.for_user(asked_for.user).filter(status=JobStatus.DONE, strategy=strategy, provenance=provenance)
    shared = mine.filter(start_ms__lt=end_ms, end_ms__gt=start_ms).order_by("pk")
    kept = shared.values_list("symbols", "risk_profile", "engine", "strategy_params", "metrics__metrics__sharpe__value")
    for symbols, risk_profile, engine, given, year in kept:
        yield _setting(strategy, symbols, risk_profile, engine, given), year and year / math.sqrt(DAYS_A_YEAR)


def _setting(strategy: str, symbols: list[str], risk_profile: str, engine: Mapping[str, Any], given: Mapping[str, float]) -> Setting:
    params = {name: known.default for name, known in known_parameters(asked.strategy(strategy)).items()} | dict(given)
    return _frame(symbols, risk_profile, engine), _bytes(list(params.values()))


def _frame(symbols: list[str], risk_profile: str, engine: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(sorted(symbols)), risk_profile, tuple(Engine.parse(engine).to_json().items())


def _bytes(row: list[float]) -> bytes:
    """Values as eight bytes each: searches may leave hundreds of thousands."""
    return np.array(row, np.float64).tobytes()
