"""A feed: candles in a folder, one Parquet file per symbol, waiting to be played as the live market."""

import re
from collections.abc import Sequence
from pathlib import Path

from exchanges.candles import files
from exchanges.ports import CandleFrame
from exchanges.timeframes import TIMEFRAME_MS
from traderai.lib.errors import UserError


class BadFeed(UserError):
    """The folder holds nothing that can be played."""


def write_feed(folder: Path, frames: Sequence[CandleFrame]) -> None:
    """Replace the folder's feed by these frames."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.parquet"):
        old.unlink()
    for frame in frames:
        if len(frame):
            metadata = {"symbol": frame.symbol, "timeframe": frame.timeframe}
            files.save(folder / _file_name(frame.symbol), files.CANDLE_COLUMNS, frame[2:], metadata=metadata)


def read_feed(folder: Path) -> list[CandleFrame]:
    """The feed's frames by symbol. Raises BadFeed, files.BadFile."""
    if not folder.is_dir():
        raise BadFeed(f"folder: {folder} does not exist; `make demo` writes one", field="folder")
    frames = []
    for path in sorted(folder.glob("*.parquet")):
        symbol, timeframe = _labels(path)
        frames.append(files.load_candles(path, symbol=symbol, timeframe=timeframe)[0])
    if not frames:
        raise BadFeed(f"folder: {folder} holds no .parquet feed; `make demo` writes one", field="folder")
    return frames


def _labels(path: Path) -> tuple[str, str]:
    import pyarrow
    from pyarrow import parquet

    try:
        metadata = parquet.read_schema(path).metadata or {}
    except (pyarrow.ArrowException, OSError) as error:
        raise files.BadFile(path, "is not readable Parquet; write the feed again") from error
    symbol, timeframe = metadata.get(b"symbol", b"").decode(), metadata.get(b"timeframe", b"").decode()
    if not symbol or timeframe not in TIMEFRAME_MS:
        raise files.BadFile(path, "does not say its symbol and timeframe; write the feed again")
    return symbol, timeframe


def _file_name(symbol: str) -> str:
    """BTC/USDT:USDT as a file: BTC-USDT-USDT.parquet. The symbol itself is inside."""
    return f"{re.sub('[^A-Za-z0-9]+', '-', symbol)}.parquet"
