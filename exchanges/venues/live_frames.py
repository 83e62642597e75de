"""Sockets' messages read straight from the wire, where ccxt's own parsing costs too much or loses that a bar is final.

Each reader takes a decoded message and {wire id: symbol}; it answers with updates, or None for a message that ccxt should read. A message
of an impossible shape raises what Python raises.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from exchanges.ports import BarUpdate, LiveUpdate, Quote

Names = Mapping[str, str]
Reader = Callable[[Any, Names], Sequence[LiveUpdate] | None]
BYBIT_FRAMES = {"1": "1m", "15": "15m"}


def binance(message: Any, names: Names) -> Sequence[LiveUpdate] | None:
    """kline and 24hrMiniTicker of https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams; the tickers
    come every other second, so prices are taken from the minute's bars, too."""
    event = message.get("e") if isinstance(message, dict) else None
    if event not in ("kline", "24hrMiniTicker"):
        return None
    symbol = names.get(message["s"])
    if symbol is None:
        return ()
    if event == "24hrMiniTicker":
        last, opened = float(message["c"]), float(message["o"])
        return (Quote(symbol, last, int(message["E"]), _change_pct(last, opened)),)
    k = message["k"]
    bar = bar_of(symbol, k["i"], k["t"], (k["o"], k["h"], k["l"], k["c"], k["v"]), final=bool(k["x"]))
    return (bar, Quote(symbol, bar.close, int(message["E"]))) if bar.timeframe == "1m" else (bar,)


def okx(message: Any, names: Names) -> Sequence[LiveUpdate] | None:
    """candle* and tickers of https://www.okx.com/docs-v5/en/; volumes of perpetuals are told in contracts and in coins: here in coins."""
    arg = message.get("arg") if isinstance(message, dict) else None
    channel = arg.get("channel", "") if isinstance(arg, dict) else ""
    if arg is None or "data" not in message or not (channel == "tickers" or channel.startswith("candle")):
        return None
    symbol = names.get(arg["instId"])
    if symbol is None:
        return ()
    if channel == "tickers":
        return [
            Quote(
                symbol,
                float(row["last"]),
                int(row["ts"]),
                _change_pct(float(row["last"]), float(row["open24h"] or "nan")),
                float(row["bidPx"]) if row["bidPx"] else None,
                float(row["askPx"]) if row["askPx"] else None,
            )
            for row in message["data"]
        ]
    volume = 6 if ":" in symbol else 5
    return [bar_of(symbol, channel[6:], row[0], (*row[1:5], row[volume]), final=row[8] == "1") for row in message["data"]]


def bybit(message: Any, names: Names) -> Sequence[LiveUpdate] | None:
    """kline of https://bybit-exchange.github.io/docs/v5/websocket/public/kline."""
    topic = str(message.get("topic", "")) if isinstance(message, dict) else ""
    if not topic.startswith("kline."):
        return None
    _, interval, wire_id = topic.split(".", 2)
    symbol = names.get(wire_id)
    if symbol is None or interval not in BYBIT_FRAMES:
        return ()
    columns = ("open", "high", "low", "close", "volume")
    return [
        bar_of(symbol, BYBIT_FRAMES[interval], row["start"], [row[name] for name in columns], final=bool(row["confirm"]))
        for row in message["data"]
    ]


def bar_of(symbol: str, timeframe: str, opened_ms: Any, ohlcv: Sequence[Any], *, final: bool) -> BarUpdate:
    """A bar from what venues and ccxt call one: five numbers, maybe as text."""
    opened, high, low, close, volume = map(float, ohlcv)
    return BarUpdate(symbol, timeframe, int(opened_ms), opened, high, low, close, volume, final)


READERS: dict[str, Reader] = {"binance": binance, "okx": okx, "bybit": bybit}


def _change_pct(last: float, opened: float) -> float | None:
    return round((last / opened - 1.0) * 100.0, 4) if opened > 0.0 else None
