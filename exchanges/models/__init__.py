"""Venues, markets, candles, accounts, orders, positions."""

from exchanges.models.account import Environment, LedgerEntry, LedgerKind, TradingAccount, TradingState
from exchanges.models.candle import Candle, CandleMonth, FundingRate, MarkCandle
from exchanges.models.gap import CandleGap, GapState
from exchanges.models.job import BackfillJob, JobStatus
from exchanges.models.market import Market, MarketKind, Provenance
from exchanges.models.order import Fill, Liquidity, Order, OrderEvent, OrderSide, OrderType, new_client_order_id
from exchanges.models.position import Position, PositionSide, PositionStatus
from exchanges.models.risk import KillSwitch, SwitchLevel
from exchanges.models.venue import Venue

__all__ = [
    "BackfillJob",
    "Candle",
    "CandleGap",
    "CandleMonth",
    "Environment",
    "Fill",
    "FundingRate",
    "GapState",
    "JobStatus",
    "KillSwitch",
    "LedgerEntry",
    "LedgerKind",
    "Liquidity",
    "MarkCandle",
    "Market",
    "MarketKind",
    "Order",
    "OrderEvent",
    "OrderSide",
    "OrderType",
    "Position",
    "PositionSide",
    "PositionStatus",
    "Provenance",
    "SwitchLevel",
    "TradingAccount",
    "TradingState",
    "Venue",
    "new_client_order_id",
]
