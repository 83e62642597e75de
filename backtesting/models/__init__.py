"""Backtest runs and their trades, look-ahead checks, and decisions on candidates."""

from backtesting.models.check import LookaheadCheck
from backtesting.models.decision import GateDecision, Verdict, WatchLook
from backtesting.models.run import BacktestRun, BacktestTrade

__all__ = ["BacktestRun", "BacktestTrade", "GateDecision", "LookaheadCheck", "Verdict", "WatchLook"]
