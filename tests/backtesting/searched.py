"""Searches as rows: what finished ones leave behind, without simulating anything."""

import numpy as np

from backtesting import counting
from backtesting.combos import ranking, space, windows
from backtesting.models import ParameterSearch
from backtesting.searches import findings, trials, walking
from tests.signals.scenes import BTC

DAY = 86_400_000
START_MS = 1_735_689_600_000  # 2025-01-01
GRID = {"fast": {"low": 5, "high": 15, "step": 5}, "slow": {"low": 20, "high": 40, "step": 20}}


def make_results(net, *, trades=None) -> ranking.Results:
    net = np.array(net, float)
    trades = np.full(net.size, 100) if trades is None else np.array(trades)
    zero = np.zeros(net.size)
    return ranking.Results(trades, trades // 2, net, zero + 1.2, zero + 5.0, net / 100.0, net / 5.0, net / 100.0)


def evaluated(net, *, trades=None, start_ms=0, days=40, capital=100.0) -> walking.Evaluated:
    """Equities that go up or down by `net` % in equal steps, with a wiggle that makes them vary."""
    net = np.array(net, float)
    wiggle = np.where(np.arange(days) % 2, 0.1, -0.1)
    wiggle[-1] = 0.0
    daily = capital * (1.0 + (net[:, None] * np.arange(1, days + 1) / days + wiggle) / 100.0)
    stamps = start_ms // DAY * DAY + DAY * np.arange(days)
    return walking.Evaluated(make_results(net, trades=trades), stamps.astype(np.int64), daily)


def make_search(user, **more) -> ParameterSearch:
    found = space.parse("sma-cross", GRID)
    facts = {
        "strategy": "sma-cross", "space": found.to_json(), "method": "grid", "objective": "net_profit", "least_trades": 30, "wanted": 6,
        "venue_slug": "binance", "symbols": [BTC], "timeframe": "15m", "capital": 1000, "risk_profile": "medium", "start_ms": START_MS,
        "end_ms": START_MS + 100 * DAY, "provenance": "simulated",
    }  # fmt: skip
    return ParameterSearch.objects.create(user=user, **facts | more)


def make_finished(user, net=(1.0, 2.0, 3.0, 4.0, -2.0, 0.5), *, walk=True, **more) -> ParameterSearch:
    """A search that is done, its combinations having earned `net` %; the walk-forward windows won and lost in turns."""
    search = make_search(
        user, status="done", progress=1.0, tried=6, walk="rolling" if walk else "none", train_days=40, test_days=20, **more
    )
    found = space.parse("sma-cross", search.space)
    table, results, capital = found.combinations(), make_results(net), float(search.capital)
    trials.batch(search, 0, table, results).save()

    def evaluate(some, start_ms, end_ms, capital):
        turn = 1.0 if (start_ms // DAY // 20) % 2 else -0.5
        values = [net[table.tolist().index(row)] * turn for row in some.tolist()]
        return evaluated(values, start_ms=start_ms, days=-(-(end_ms - start_ms) // DAY), capital=capital)

    span = (search.start_ms, search.end_ms)
    facts = findings.found(
        found, table, results, evaluate, objective=search.objective, least_trades=30, span=span, capital=capital,
        counted=counting.Counted(6, 0, 0, 0, results.ratio),
    )  # fmt: skip
    if walk:
        spans = windows.windows(*span, train_days=40, test_days=20, purge_ms=2 * DAY, is_anchored=False)
        walked = walking.walk(
            lambda _, window, least: walking.Trained(table, evaluate(table, window.train_start_ms, window.train_end_ms, capital).results),
            evaluate,
            spans,
            objective=search.objective,
            least_trades=30,
            span_ms=100 * DAY,
            capital=capital,
        )
    facts["walk"] = findings.walked(found, walked, capital=capital, walks=1) if walk else None
    facts["verdict"] = findings.verdict(facts["walk"])
    facts["warnings"] = findings.warnings(facts, search.objective, limit_pct=25.0)
    search.result = facts
    search.save(update_fields=["result"])
    return search
