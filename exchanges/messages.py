"""What a browser is told of a position: one shape, built from the row by services and from ticks by the socket."""

from typing import Literal, TypedDict

from exchanges.models import Position, PositionSide

PNL_PLACES = 6


class PositionMessage(TypedDict):
    """Prices and quantities as exact decimal text; P&L rounded to six places, in account currency."""

    type: Literal["position"]
    id: int
    market_id: int
    symbol: str
    side: str
    status: str
    qty: str
    entry_price: str
    mark_price: str
    stop_price: str
    tps_hit: int
    booked_pnl: float
    unrealised_pnl: float
    net_pnl: float
    margin: float
    return_on_margin_pct: float
    exit_reason: str


def of(position: Position) -> PositionMessage:
    """The message for a row whose market is loaded."""
    booked = float(position.realised_pnl - position.fees + position.funding)
    return {
        "type": "position",
        "id": position.pk,
        "market_id": position.market_id,
        "symbol": position.market.symbol,
        "side": position.side,
        "status": position.status,
        "qty": f"{position.qty.normalize():f}",
        "entry_price": f"{position.entry_price.normalize():f}",
        "mark_price": f"{position.mark_price.normalize():f}",
        "stop_price": f"{position.stop_price.normalize():f}",
        "tps_hit": position.tps_hit,
        "booked_pnl": round(booked, PNL_PLACES),
        "unrealised_pnl": round(float(position.unrealised_pnl), PNL_PLACES),
        "net_pnl": round(float(position.net_pnl), PNL_PLACES),
        "margin": float(position.margin),
        "return_on_margin_pct": round(float(position.return_on_margin_pct), 4),
        "exit_reason": position.exit_reason,
    }


def marked(message: PositionMessage, price: float) -> PositionMessage:
    """The same position at another price, without asking the database: what ticks are turned into."""
    sign = 1 if message["side"] == PositionSide.LONG else -1
    unrealised = (price - float(message["entry_price"])) * float(message["qty"]) * sign
    net = message["booked_pnl"] + unrealised
    return {
        **message,
        "mark_price": repr(price),
        "unrealised_pnl": round(unrealised, PNL_PLACES),
        "net_pnl": round(net, PNL_PLACES),
        "return_on_margin_pct": round(net / message["margin"] * 100, 4) if message["margin"] else 0.0,
    }
