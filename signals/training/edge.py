"""Has a model shown an edge? The one question that decides whether its signals may be traded without a person.

Asked of the out-of-fold trades, each taken by the platform's own entry rule and after costs. "No edge was found" is an answer, and the usual one.
"""

from typing import Any

LEAST_TRADES = 30
LEAST_CHANCE = 0.95


def found(trading: dict[str, Any]) -> dict[str, Any]:
    """{"found": bool, "reason": words} for the `overall` trades of a model's metrics.

    An edge is at least LEAST_TRADES independent trades (coins that move together count once) whose mean net result lies above zero with the
    whole of its 95 % interval, and a deflated Sharpe ratio (signals.deflated) that is above zero with a chance of LEAST_CHANCE after the parameter
    sets that it was told were tried: searches count their own, what people try by hand they have to say.
    """
    trades = trading.get("trades", 0)
    low, mean, high = (trading.get(name) for name in ("mean_net_pct_low", "mean_net_pct", "mean_net_pct_high"))
    chance, tried = trading.get("deflated_sharpe"), trading.get("trials", 1)
    if not trades:
        return {"found": False, "reason": "no sample out of fold passed the entry rule, so nothing was traded"}
    independent = trading.get("n_effective", trades)
    if trades < LEAST_TRADES:
        return {
            "found": False,
            "reason": f"{trades} trade{'' if trades == 1 else 's'} out of fold are too few to tell: {LEAST_TRADES} are asked",
        }
    if independent < LEAST_TRADES:
        return {
            "found": False,
            "reason": f"{trades} trades out of fold are worth about {independent:.0f} independent ones: {LEAST_TRADES} are asked",
        }
    if low is None or mean is None or high is None or chance is None:
        return {"found": False, "reason": "the out-of-fold trades cover too little time for an interval"}
    told = f"{mean:+.2f} % a trade after costs out of fold, 95 % interval {low:+.2f} to {high:+.2f} % on {trades} trades"
    if low <= 0.0:
        return {"found": False, "reason": f"{told}: it includes zero or lies below it"}
    sets = f"{tried} trial{'' if tried == 1 else 's'}"
    believed = f"the chance of a Sharpe ratio above zero after {sets} is {chance:.0%}"
    if chance < LEAST_CHANCE:
        return {"found": False, "reason": f"{told}, but {believed}, {LEAST_CHANCE:.0%} are asked"}
    return {"found": True, "reason": f"{told}; {believed}"}
