"""Reading series of 140,256 bars (four years of 15m) into arrays: one from its rows, ten from the column cache, the same as ORM rows.

    python benchmarks/bench_series.py            SQLite in a temporary folder; PostgreSQL too when DATABASE_URL names one

Prints one JSON object. Each figure is the median of five runs. PostgreSQL gets a database of its own, removed at the end.
"""

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import bench_import

BARS = 140_256
SERIES = 10
RUNS = 5
MARKETS, MONTHS = 50, 60  # of the coverage map
FIRST_MS = 1_577_836_800_000


def main() -> None:
    if len(sys.argv) > 1:
        bench_import.figures = figures
        print(json.dumps(bench_import.measure()))
        return
    results = {"benchmark": "series", "bars": BARS, "series": SERIES, **bench_import.on_each_database(__file__)}
    print(json.dumps(results))


def figures() -> dict[str, float]:
    from exchanges import candles, simulated
    from exchanges.candles import cache, coverage, storage
    from exchanges.models import Candle, Market
    from traderai.lib import clock

    frame = simulated.generate(["BTC/USDT:USDT"], FIRST_MS, BARS, seed=1)[0]
    markets = list(Market.objects.filter(venue__slug="binance").order_by("pk")[:SERIES])
    for market in markets:
        candles.ingest(market, type(frame)(market.symbol, *frame[1:]), provenance="file")
    one = candles._series(markets[0], "15m")

    def median_s(work, **how):
        return bench_import.median_s(work, runs=RUNS, **how)

    def forget_files() -> None:
        for path in cache.folder().glob("*.columns"):
            path.unlink()

    def change_a_bar() -> None:
        Candle.objects.filter(market=markets[0], timestamp=int(frame.timestamp[-1])).update(volume=frame.volume[-1] + 1)

    def orm_rows() -> None:
        list(Candle.objects.filter(market=markets[0], timeframe="15m").order_by("timestamp"))

    def values() -> None:
        names = ("timestamp", "open", "high", "low", "close", "volume")
        list(Candle.objects.filter(market=markets[0], timeframe="15m").order_by("timestamp").values_list(*names))

    def read_ten() -> None:
        for found in candles.read_many(markets, "15m"):
            assert len(found) == BARS

    from_rows = median_s(lambda: storage.read(one))
    build = median_s(lambda: candles.read(markets[0], "15m"), before=forget_files)
    read_ten()
    ten = median_s(read_ten)
    started = time.process_time()
    read_ten()
    ten_cpu = round(time.process_time() - started, 4)  # tells the machine's other work apart
    after_change = median_s(lambda: candles.read(markets[0], "15m"), before=change_a_bar)
    tail = median_s(lambda: [candles.read(market, "15m", last=600) for market in markets])
    tail_of_rows = median_s(lambda: [storage.read(candles._series(market, "15m"), last=600) for market in markets])
    newest = median_s(lambda: [candles.last_open_ms(market, "15m") for market in markets])
    many = covered()
    return {
        "one_from_rows_s": from_rows,
        "one_building_its_files_s": build,
        "one_from_files_after_a_change_s": after_change,
        "ten_from_files_s": ten,
        "ten_from_files_cpu_s": ten_cpu,
        "one_as_orm_rows_s": median_s(orm_rows),
        "one_as_orm_values_s": median_s(values),
        "ten_tails_of_600_s": tail,
        "ten_tails_of_600_rows_alone_s": tail_of_rows,
        "ten_newest_s": newest,
        "coverage_50_markets_60_months_s": median_s(lambda: coverage.heat_map(many, "15m", now_ms=clock.now_ms())),
        "holes_of_one_s": median_s(lambda: candles.holes(markets[0], "15m")),
    }


def covered() -> list:
    """Markets with a bar in each of so many months, counted as if the months were full: what the map reads."""
    import numpy as np

    from exchanges import candles
    from exchanges.candles import months
    from exchanges.models import CandleMonth, Market
    from exchanges.ports import CandleFrame

    starts = [FIRST_MS]
    while len(starts) < MONTHS:
        starts.append(months.end_ms(starts[-1]))
    ones = np.ones(MONTHS)
    for number in range(MARKETS):
        market = candles.add_market(f"COVERED{number}/USDT")
        candles.ingest(market, CandleFrame(market.symbol, "15m", np.array(starts), ones, ones, ones, ones, ones), provenance="file")
    CandleMonth.objects.filter(market__symbol__startswith="COVERED").update(bars=2_900)
    return list(Market.objects.filter(symbol__startswith="COVERED"))


if __name__ == "__main__":
    main()
