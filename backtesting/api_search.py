"""Searches for parameters over HTTP; mounted below /api/v1. Own searches only: a stranger's is a 404."""

from datetime import UTC, date, datetime, time
from typing import Any, Literal

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.urls import reverse
from ninja import Field, Router, Schema, Status
from pydantic import ConfigDict

from backtesting import searches
from backtesting.models import ParameterSearch
from signals import rules

router = Router(tags=["backtests"])


class RangeIn(Schema):
    model_config = ConfigDict(extra="forbid")

    low: float = Field(strict=True)
    high: float = Field(strict=True)
    step: float | None = Field(None, strict=True, description="The parameter's usual step when left out.")


class SearchIn(Schema):
    model_config = ConfigDict(extra="forbid")

    strategy: str = Field(description=f"One of {', '.join(rules.STRATEGIES)}.")
    space: dict[str, float | RangeIn] = Field(
        description="A value or a range for each parameter; those of the plan are stop_atr, tp1_atr, tp2_atr, tp3_atr, trail_atr and hold_hours.",
        max_length=20,
    )
    symbols: list[str] = Field(description="ccxt's spelling, e.g. BTC/USDT:USDT", max_length=200)
    capital: float = Field(100, strict=True, description="Starting equity in quote currency.")
    risk_profile: str = Field("medium", description="low, medium or high")
    start: date | None = Field(None, description="First day; by default that of the oldest candle.")
    end: date | None = Field(None, description="Day before which to stop; by default after the newest candle.")
    method: Literal["grid", "tpe"] = "grid"
    trials: int | None = Field(None, strict=True, description="How many combinations a search by tpe tries.")
    objective: Literal["sharpe", "net_profit", "profit_factor", "calmar", "expectancy"] = "sharpe"
    least_trades: int = Field(30, strict=True, description="A combination with fewer cannot be the best.")
    engine: dict[str, Any] = Field(
        default_factory=dict,
        description="How it is simulated: path, detail, entry, opposite, sizing, slippage ...; usual for what is left out.",
    )
    walk: Literal["none", "rolling", "anchored"] = "none"
    train_days: int = Field(180, strict=True)
    test_days: int = Field(60, strict=True)


class SearchQueuedOut(Schema):
    id: int
    status: str
    combinations: int
    status_url: str


class SearchOut(Schema):
    """`result` is empty until status is done. Its `top` is in sample; `verdict` rests on `walk`, the out-of-sample test, alone."""

    id: int
    status: Literal["queued", "running", "done", "failed", "cancelled"]
    stage: str
    progress: float
    error: str
    strategy: str
    space: dict[str, Any]
    symbols: list[str]
    capital: float
    risk_profile: str
    engine: dict[str, Any]
    objective: str
    method: str
    walk: str
    start_ms: int
    end_ms: int
    combinations: int
    tried: int
    simulated: bool
    result: dict[str, Any]

    @staticmethod
    def resolve_combinations(search: ParameterSearch) -> int:
        return search.wanted

    @staticmethod
    def resolve_simulated(search: ParameterSearch) -> bool:
        return search.provenance == "simulated"


@router.post("/backtest/search", response={202: SearchQueuedOut})
def start_parameter_search(request: HttpRequest, body: SearchIn) -> Status[SearchQueuedOut]:
    """Queue a search for a rule strategy's parameters. Ask status_url how it goes."""
    search = searches.start(
        request.user,
        strategy=body.strategy,
        space={name: given.model_dump(exclude_none=True) if isinstance(given, RangeIn) else given for name, given in body.space.items()},
        start_ms=_ms(body.start),
        end_ms=_ms(body.end),
        **body.model_dump(exclude={"strategy", "space", "start", "end"}),
    )
    search.refresh_from_db()
    address = reverse("api:get_parameter_search", kwargs={"search_id": search.pk})
    return Status(202, SearchQueuedOut(id=search.pk, status=search.status, combinations=search.wanted, status_url=address))


@router.get("/backtest/search/{int:search_id}", response=SearchOut)
def get_parameter_search(request: HttpRequest, search_id: int) -> ParameterSearch:
    """How a search goes, and what it found when it is done."""
    return _mine(request, search_id)


@router.post("/backtest/search/{int:search_id}/cancel", response=SearchOut)
def cancel_parameter_search(request: HttpRequest, search_id: int) -> ParameterSearch:
    """Stop a search after the batch under way; one that is over stays as it is. What it has tried is kept and counts."""
    search = _mine(request, search_id)
    searches.cancel(search)
    search.refresh_from_db()
    return search


def _mine(request: HttpRequest, search_id: int) -> ParameterSearch:
    return get_object_or_404(ParameterSearch.objects.for_user(request.user), pk=search_id)


def _ms(day: date | None) -> int | None:
    return None if day is None else int(datetime.combine(day, time(), UTC).timestamp() * 1000)
