"""W3, ten pairs on one account with at most four positions: python benchmarks/portfolio.py [--data FILES]. Rules and JSON: crosses.py."""

from crosses import CASH, FAST, MOST_OPEN, PAIRS, SLOW, bars_of, entries, options, rules, specs, tell, timed  # isort: skip

import bare_loop
import numpy as np

from backtesting import kernel


def main() -> None:
    pairs, asked = options("W3", PAIRS)
    bars, table = bars_of(pairs), np.array([[FAST, SLOW]])
    account, venue = rules(max_open=MOST_OPEN), specs(PAIRS)

    def run() -> kernel.Result:
        found = entries(pairs, bars, table)
        return kernel.simulate(bars, found._replace(starts=found.starts[0], stops=found.stops[0]), venue, account)

    columns = [np.ascontiguousarray(np.column_stack([pair[k] for pair in pairs])) for k in range(4)]
    equity = np.empty(asked.bars)

    def bare_run() -> tuple[int, float]:
        fast, slow, atr = (
            np.column_stack(each)
            for each in zip(
                *(
                    (bare_loop.averages(p.close, FAST), bare_loop.averages(p.close, SLOW), bare_loop.true_range(p.high, p.low, p.close, 14))
                    for p in pairs
                ),
                strict=True,
            )
        )
        return bare_loop.portfolio(*columns, fast, slow, atr, MOST_OPEN, CASH, equity)

    bare = timed(bare_run, min(asked.reps, 9))
    ours = timed(run, asked.reps)
    result = ours[2]
    tell(
        "W3", ours[:2], bare[:2], bars=asked.bars, pairs=PAIRS, trades=int(result.trades.pnl.shape[0]), bare_loop_trades=bare[2][0],
        final_equity=round(result.balance, 2), bare_loop_final_equity=round(bare[2][1], 2),
        pair_bars_per_s=round(asked.bars * PAIRS / min(ours[1])),
    )  # fmt: skip


if __name__ == "__main__":
    main()
