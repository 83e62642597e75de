"""A run's figures as JSON: what a small ledger has to say, written out by hand, and that nothing of it is lost or made up."""

import json

import numpy as np
import pytest

from backtesting import figures, metrics
from backtesting.figures import Account, Ledger

DAY, HOUR = metrics.DAY_MS, metrics.HOUR_MS
JANUARY_1 = 1_735_689_600_000  # 2025, a Wednesday


def make_ledger():
    """Three trades of notional 100: BTC long +10 and -4, ETH short +6, the last closed by the end of the data."""
    return figures.by_exit(
        Ledger(
            symbol=["ETH", "BTC", "BTC"],
            side=["short", "long", "long"],
            reason=["end_of_data", "tp3", "stop"],
            regime=["bull", "bull", figures.UNKNOWN],
            entered_ms=JANUARY_1 + np.array([32 * DAY, HOUR, DAY + HOUR]),
            left_ms=JANUARY_1 + np.array([33 * DAY, 3 * HOUR, DAY + 5 * HOUR]),
            entry=np.array([50.0, 100.0, 100.0]),
            exit=np.array([47.0, 110.0, 96.0]),
            qty=np.array([2.0, 1.0, 1.0]),
            stop=np.array([52.0, 95.0, 96.0]),
            fees=np.array([0.5, 0.5, 1.0]),
            slippage=np.array([0.0, 0.5, 0.5]),
            funding=np.array([1.0, -0.5, 0.5]),
            pnl=np.array([6.0, 10.0, -4.0]),
            is_closed=np.array([False, True, True]),
        )
    )


def make_account():
    """Days 0 to 33: 1,000 to 1,010 to 1,006 and to 1,012 at the end."""
    equity = np.full(34, 1_006.0)
    equity[0], equity[33] = 1_010.0, 1_012.0
    return Account(JANUARY_1 + np.arange(34) * DAY, equity, 1_000.0, 34 * DAY)


def nobody():
    """A run without trades."""
    empty = np.zeros(0)
    times = np.zeros(0, np.int64)
    return Ledger([], [], [], [], times, times, *([empty] * 8), np.zeros(0, np.bool_))


def test_it_orders_trades_by_exit():
    ledger = make_ledger()
    assert ledger.symbol == ["BTC", "BTC", "ETH"]
    assert ledger.pnl.tolist() == [10.0, -4.0, 6.0]
    assert ledger.notional.tolist() == [100.0, 100.0, 100.0]
    assert ledger.is_closed.tolist() == [True, True, False]


def test_a_trade_counts_when_it_was_closed_whenever_it_was_entered():
    late = make_ledger()._replace(entered_ms=np.array([0, 1, 2]) * HOUR + JANUARY_1, left_ms=JANUARY_1 + np.array([40 * DAY, DAY, DAY]))
    assert figures.by_exit(late).pnl.tolist() == [-4.0, 6.0, 10.0]
    found = figures.tables(late, make_account())
    assert [(row["key"], row["n"], row["net"]) for row in found["month"]] == [("2025-01", 2, 2.0), ("2025-02", 1, 10.0)]
    assert [row["key"] for row in found["hour"]] == ["00", "01", "02"]


def test_its_rates_are_over_closed_trades_and_its_money_over_all():
    found = figures.of_trades(make_ledger(), make_account())
    assert found["payoff_ratio"] == {"value": 2.5, "n": 2}
    # R: 10 / 5 and -4 / 4; mean 0.5, deviation 2.1213.
    assert found["system_quality"]["value"] == pytest.approx(0.5 / np.sqrt(4.5) * np.sqrt(2))
    assert found["losing_streak"]["value"] == 1
    assert (found["holding_hours"]["value"], found["holding_hours_median"]["value"]) == (3.0, 3.0)
    assert found["turnover_a_year"]["value"] == pytest.approx((300 + 94 + 110 + 96) / make_account().equity.mean() * 365 / 34)
    assert found["cost_a_trade_pct"]["value"] == pytest.approx((0.5 + 2.0) / 2)
    assert found["slippage"] == {"value": 1.0, "n": 3}
    assert found["without_best_5"]["value"] == 0.0


def test_it_reads_the_account_by_day():
    found = figures.of_account(make_account())
    assert found["best_day_pct"]["value"] == pytest.approx(1.0)
    assert found["worst_day_pct"]["value"] == pytest.approx(-400 / 1010)
    assert found["cagr_pct"]["value"] == pytest.approx((1.012 ** (365 / 34) - 1) * 100)
    assert found["calmar"]["value"] == pytest.approx(found["cagr_pct"]["value"] / (400 / 1010))
    assert found["recovery_factor"]["value"] == pytest.approx(3.0)
    assert found["var_95_pct"]["value"] == 0.0  # of 34 days the second worst
    assert found["es_95_pct"]["value"] == pytest.approx(400 / 1010 / 1.7)
    assert found["var_99_pct"] == {"value": None, "n": 34, "reason": "needs 100 days"}


def test_it_follows_the_money_from_gross_to_net():
    found = figures.costs_paid(make_ledger())
    assert [found[name] for name in ("gross", "fees", "slippage", "funding", "net")] == [16.0, 2.0, 1.0, 1.0, 12.0]
    assert found["shares"] == {"fees": 0.125, "slippage": 0.0625, "funding": 0.0625}
    assert (found["net_edge_pct"], found["cost_pct"], found["bearable"]) == (4.0, pytest.approx(4 / 3, abs=1e-6), 4.0)


def test_its_tables_add_up_to_the_whole():
    ledger = make_ledger()
    found = figures.tables(ledger, make_account())
    groups = ("symbol", "side", "reason", "regime", "hour", "weekday", "month")
    for name in groups:
        assert sum(row["n"] for row in found[name]) == 3, name
        assert sum(row["net"] for row in found[name]) == pytest.approx(12.0), name
        assert sum(row["share"] for row in found[name]) == pytest.approx(1.0, abs=1e-5), name
    assert {name: [row["key"] for row in found[name]] for name in groups} == {
        "symbol": ["BTC", "ETH"],
        "side": ["long", "short"],
        "reason": ["tp3", "stop", "end_of_data"],
        "regime": ["bull", "unknown"],
        "hour": ["00", "01"],
        "weekday": ["Wednesday", "Thursday", "Sunday"],
        "month": ["2025-01", "2025-02"],
    }
    assert found["symbol"][0] == {"key": "BTC", "n": 2, "net": 6.0, "won": 0.5, "mean_pct": 3.0, "share": 0.5}
    assert found["years"] == [{"year": 2025, "months": [0.6, pytest.approx(600 / 1006, abs=1e-4)] + [None] * 10, "total": 1.2}]
    (fall,) = found["drawdowns"]
    assert (fall["start_ms"], fall["recovered_ms"], fall["days"]) == (JANUARY_1 + DAY, JANUARY_1 + 33 * DAY, 31.0)


def test_it_names_what_the_result_rests_on():
    found = figures.concentration(make_ledger())
    assert found["without_best"] == [{"k": 1, "net": 2.0}, {"k": 5, "net": 0.0}, {"k": 10, "net": 0.0}]
    assert found["best_month"] == {"key": "2025-01", "share": 0.5}
    assert found["best_regime"] == {"key": "bull", "share": pytest.approx(16 / 12, abs=1e-5)}
    assert found["index"] == pytest.approx((100 + 36) / 256, abs=1e-5)


def test_its_luck_says_what_few_trades_can_not():
    found = figures.luck(make_ledger(), make_account(), seed=7)
    assert found["trades"] == {"total": None, "expectancy_pct": None, "profit_factor": None, "won": None, "clusters": 3}
    assert found["drawdowns"]["seen_pct"] == pytest.approx(400 / 1010, abs=1e-4)
    # Of six orders the loss comes first in two (0.4 % of 1,000), and is the first thing after 10, 6 or 16 otherwise.
    assert found["drawdowns"]["shuffled"]["max_drawdown_pct"] == pytest.approx([0.396, 0.397, 0.396], abs=2e-3)
    assert found["drawdowns"]["shuffled"]["equity"][2] == pytest.approx([1.012] * 3, abs=1e-5)
    assert found["days"]["sharpe"][0] < found["days"]["sharpe"][1]
    assert found["record"]["days"] == 34
    assert 0.9 < found["record"]["above_zero"] < 1.0


def test_a_run_without_trades_or_bars_is_told_without_numbers():
    account = Account(np.zeros(0, np.int64), np.zeros(0), 1_000.0, 0)
    singles = figures.of_account(account) | figures.of_trades(nobody(), account)
    assert all(each["value"] is not None or each["reason"] for each in singles.values())
    assert {name for name, each in singles.items() if each["value"] is not None} == {"slippage"}
    found = figures.tables(nobody(), account)
    assert all(rows == [] for rows in found.values())
    assert figures.costs_paid(nobody())["shares"] == {"fees": None, "slippage": None, "funding": None}
    assert figures.concentration(nobody())["best_month"] is None
    assert figures.luck(nobody(), account, seed=7)["drawdowns"] is None


def test_everything_it_says_is_json_of_a_bearable_size():
    rng = np.random.default_rng(2)
    n, days = 5_000, 1_461
    entered = JANUARY_1 + np.sort(rng.integers(0, days * 24, n)) * HOUR
    pnl = rng.normal(0.2, 10.0, n)
    one = np.ones(n)
    ledger = Ledger(
        [f"C{k}/USDT:USDT" for k in rng.integers(0, 10, n).tolist()], ["long"] * n, ["stop"] * n, ["bull"] * n, entered, entered + HOUR,
        100.0 * one, 100.0 * one, one, 98.0 * one, 0.1 * one, 0.1 * one, 0.0 * one, pnl, one > 0,
    )  # fmt: skip
    equity = 10_000.0 + np.add.reduceat(pnl, np.searchsorted(entered, JANUARY_1 + np.arange(days) * DAY)[:-1].clip(max=n - 1)).cumsum()
    account = Account(JANUARY_1 + np.arange(days - 1) * DAY, equity, 10_000.0, days * DAY)
    parts = [figures.of_account(account), figures.of_trades(ledger, account), figures.costs_paid(ledger), figures.tables(ledger, account)]
    told = json.dumps([*parts, figures.concentration(ledger), figures.luck(ledger, account, seed=7)], allow_nan=False)
    assert len(told) < 40_000
