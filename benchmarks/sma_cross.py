"""W1, one run of the cross on 140,256 bars: python benchmarks/sma_cross.py [--data FILE]. Rules and JSON: benchmarks/crosses.py."""

from crosses import CASH, FAST, SLOW, bars_of, entries, options, rules, specs, tell, timed  # isort: skip

import bare_loop
import numpy as np

from backtesting import kernel


def main() -> None:
    pairs, asked = options("W1")
    pair, bars, table = pairs[0], bars_of(pairs), np.array([[FAST, SLOW]])
    account, venue = rules(), specs(1)

    def run() -> kernel.Result:
        found = entries(pairs, bars, table)
        return kernel.simulate(bars, found._replace(starts=found.starts[0], stops=found.stops[0]), venue, account)

    equity = np.empty(asked.bars)
    bare = timed(lambda: bare_loop.sma_cross(*pair[:4], FAST, SLOW, CASH, equity), asked.reps)
    ours = timed(run, asked.reps)
    result = ours[2]
    n = asked.bars
    tell(
        "W1", ours[:2], bare[:2], bars=n, pairs=1, trades=int(result.trades.pnl.shape[0]), bare_loop_trades=bare[2][0],
        final_equity=round(result.balance, 2), bare_loop_final_equity=round(bare[2][1], 2), ns_per_bar=round(min(ours[1]) / n * 1e9, 2),
    )  # fmt: skip


if __name__ == "__main__":
    main()
