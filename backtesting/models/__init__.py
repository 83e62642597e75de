"""Backtest runs and their trades."""

from backtesting.models.run import BacktestRun, BacktestTrade

__all__ = ["BacktestRun", "BacktestTrade"]
