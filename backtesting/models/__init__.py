"""Backtest runs and their trades, and look-ahead checks."""

from backtesting.models.check import LookaheadCheck
from backtesting.models.run import BacktestRun, BacktestTrade

__all__ = ["BacktestRun", "BacktestTrade", "LookaheadCheck"]
