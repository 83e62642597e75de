"""What a run stores beside its figures: one small table of each kind."""

from typing import Any

from tests.backtesting.rows import DAY_MS, START_MS

PATHS = {
    "paths": 500, "max_drawdown_pct": [2.0, 3.0, 7.5], "deeper": 0.75, "ruin": 0.01, "trade": [1, 6, 11],
    "equity": [[0.99, 1.0, 1.01], [0.95, 1.02, 1.10], [0.92, 1.05, 1.25]],
}  # fmt: skip
GROUP = {"n": 4, "net": 12.0, "won": 0.75, "mean_pct": 0.5, "share": 0.4}


def make_findings() -> dict[str, Any]:
    """Beside `metrics` in what a run found."""
    return {
        "costs_paid": {
            "gross": 100.0, "fees": 10.0, "slippage": 20.0, "funding": -5.0, "net": 75.0,
            "shares": {"fees": 0.1, "slippage": 0.2, "funding": -0.05}, "net_edge_pct": 0.25, "cost_pct": 0.125, "bearable": 3.5,
            "at": [{"times": 1, "net": 75.0}, {"times": 2, "net": 50.0}, {"times": 3, "net": -25.0}],
        },
        "tables": {
            "years": [{"year": 2025, "months": [4.0, -2.0, 0.0, 1.0, *[None] * 8], "total": 3.0}],
            "drawdowns": [
                {"start_ms": START_MS, "valley_ms": START_MS + DAY_MS, "recovered_ms": None, "depth_pct": 5.5, "days": 2.0},
                {"start_ms": START_MS, "valley_ms": START_MS, "recovered_ms": START_MS + DAY_MS, "depth_pct": 1.5, "days": 1.0},
            ],
            "symbol": [{"key": "BTC/USDT:USDT", **GROUP}],
            "reason": [{"key": "end_of_data", **GROUP, "won": None, "share": None}],
            "hour": [{"key": "07", **GROUP}],
        },
        "concentration": {
            "without_best": [{"k": 1, "net": 60.0}, {"k": 5, "net": -3.0}], "best_month": {"key": "2025-01", "share": 0.8},
            "best_symbol": None, "best_side": None, "best_regime": None, "index": 0.2,
        },
        "luck": {
            "seed": 7,
            "trades": {"total": [-5.0, 150.0], "expectancy_pct": [-0.1, 0.6], "profit_factor": None, "won": [0.4, 0.6], "clusters": 30},
            "days": {"sharpe": [-0.5, 2.0], "cagr_pct": None, "max_drawdown_pct": [1.0, 9.0], "block_days": 4.0},
            "record": {"days": 90, "above_zero": 0.8, "days_needed": 730.0},
            "drawdowns": {"seen_pct": 2.5, "drawn": PATHS, "shuffled": PATHS},
            "random": {"runs": 200, "low_pct": -9.0, "middle_pct": -2.5, "high_pct": 4.0, "beaten": 0.875, "p_value": 0.129, "trades": 31.0},
        },
    }  # fmt: skip
