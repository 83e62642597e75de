"""A model's metrics as rows of a page. Reads the JSON of signals.training.report and evidence; what an older model has not got is left out."""

from collections.abc import Mapping
from math import sqrt
from typing import Any

from signals.ports import SIDE_NAME, SIDES
from signals.views import plots
from signals.views.plots import Point

NONE = "–"
LEAK_WORDS = {
    True: ("passed", "badge--ok"),
    False: ("failed", "badge--bad"),
}
LEAK_TITLES = {
    "truncated_features": "Features from a truncated history",
    "label_spans": "Label spans and purging",
    "shifted_features": "Features against shifted returns",
    "lagged_features": "Features one sample older",
    "shuffled_labels": "Shuffled labels",
}
SIDE_NAMES = [SIDE_NAME[side] for side in SIDES]


def pct(share: float | None, places: int = 1) -> str:
    """A share of 1 as percent."""
    return NONE if share is None else f"{share * 100:.{places}f} %"


def number(value: float | None, places: int = 2, *, sign: bool = False) -> str:
    return NONE if value is None else f"{value:{'+' if sign else ''}.{places}f}"


def between(low: float | None, high: float | None, *, places: int = 2, factor: float = 1.0) -> str:
    """An interval in words; an end that is not known is open, "" when neither is."""
    if low is None and high is None:
        return ""
    if low is None or high is None:
        return f"below {high * factor:.{places}f}" if high is not None else f"above {(low or 0.0) * factor:.{places}f}"
    return f"{low * factor:.{places}f} to {high * factor:.{places}f}"


# --- trades


def trade_row(name: str, part: Mapping[str, Any]) -> dict[str, Any]:
    """One line of the table of trades."""
    return {
        "name": name,
        "trades": part.get("trades", 0),
        "hit_rate": pct(part.get("hit_rate")),
        "hit_range": between(part.get("hit_rate_low"), part.get("hit_rate_high"), places=1, factor=100.0),
        "break_even": pct(part.get("break_even")),
        "mean": part.get("mean_net_pct"),
        "mean_range": between(part.get("mean_net_pct_low"), part.get("mean_net_pct_high")),
        "factor": number(part.get("profit_factor")),
        "factor_range": between(part.get("profit_factor_low"), part.get("profit_factor_high")),
        "sharpe": number(part.get("sharpe")),
        "sharpe_range": between(part.get("sharpe_low"), part.get("sharpe_high"), places=1),
        "coverage": pct(part.get("coverage")),
        "n_effective": part.get("n_effective"),
    }


def trading(metrics: Mapping[str, Any]) -> dict[str, Any] | None:
    """Trades overall and by fold, symbol and regime, with a plot of the mean results."""
    found = metrics.get("trading")
    if not found:
        return None
    groups = [
        ("All", [("Overall", found["overall"])]),
        ("By fold", [(f"Fold {part['number']}", part) for part in found["folds"]]),
        ("By market", list(found["symbols"].items())),
        ("By regime", list(found["regimes"].items())),
    ]
    points = [
        Point(0.0, part["mean_net_pct"], part["mean_net_pct_low"], part["mean_net_pct_high"], name.split("/")[0])
        for _, parts in groups
        for name, part in parts
        if part.get("mean_net_pct") is not None
    ]
    return {
        "method": found["method"],
        "rule": _rule(found),
        "overall": trade_row("Overall", found["overall"]),
        "span": found["overall"],
        "groups": [(title, [trade_row(name, part) for name, part in parts]) for title, parts in groups],
        "plot": plots.rows(
            points, "Mean net result of a trade with its 95 % interval, overall and by part", "mean of a trade after costs, % of notional"
        ),
        "belief": belief(found["overall"]),
    }


def _rule(found: Mapping[str, Any]) -> str:
    """The entry rule that the trades follow, in words; models of earlier versions were told a least probability alone."""
    rule = found.get("rule")
    if rule is None:
        return f"taken from a probability of {pct(found['min_confidence'], 0)} on"
    coverage = f", a prediction set that decides at {pct(rule['coverage'], 0)} coverage" if rule["coverage"] else ""
    return (
        f"taken by the platform's entry rule: a probability of at least {pct(rule['min_confidence'], 0)}, at least "
        f"{rule['min_net_profit_pct']:g} % from the full ladder after costs, a positive expectancy{coverage}"
    )


def belief(overall: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How far the Sharpe ratio may be believed, as terms and figures."""
    if overall.get("deflated_sharpe") is None:
        return []
    return [
        ("Trials it was chosen from", f"{overall['trials']}"),
        ("Chance that the true Sharpe ratio is above zero", pct(overall["probabilistic_sharpe"])),
        ("The same, knowing the trials (deflated)", pct(overall["deflated_sharpe"])),
        ("Sharpe ratio of one day", number(overall["sharpe_daily"], 3)),
        ("How far the trials' ratios lie apart (deviation)", _apart(overall)),
        ("Best that as many trials without skill would show", number(overall["expected_maximum_daily"], 3)),
        ("Skewness and kurtosis of daily returns", f"{overall['skewness']:.2f} and {overall['kurtosis']:.1f}"),
        ("Days measured", f"{overall['days']}"),
        ("Days needed for 95 % at these figures", NONE if overall["least_days"] is None else f"{overall['least_days']:.0f}"),
    ]


def _apart(overall: Mapping[str, Any]) -> str:
    """Measured among the trials, or what chance alone would give: the greater of the two deflates."""
    measured, chance = overall.get("trial_variance"), overall.get("chance_variance", 1.0 / max(1, overall["days"] - 1))
    if measured is None:
        return f"not known; {number(sqrt(chance), 3)} by chance"
    return f"{number(sqrt(measured), 3)} measured, {number(sqrt(chance), 3)} by chance"


# --- leak tests


def leak_tests(metrics: Mapping[str, Any]) -> list[dict[str, str]]:
    """Each test with its verdict and what it looked at."""
    found = metrics.get("leak_tests")
    if not found:
        return []
    details = {
        "truncated_features": _truncated(found["truncated_features"]),
        "label_spans": _spans(found["label_spans"]),
        "shifted_features": _shifted(found["shifted_features"]),
        "lagged_features": _lagged(found.get("lagged_features", {})),
        "shuffled_labels": _shuffled(found["shuffled_labels"]),
    }
    out = []
    for name, title in LEAK_TITLES.items():
        part = found.get(name)
        if part is None:
            continue
        passed = part["passed"] if "passed" in part else all(side["passed"] for side in part.values())
        word, badge = ("not measured", "badge--warn") if part.get("note") else LEAK_WORDS[passed]
        out.append({"title": title, "verdict": word, "badge": badge, "detail": details[name]})
    return out


def _truncated(part: Mapping[str, Any]) -> str:
    if part["passed"]:
        return f"{part['features']} features of {part['rows']} samples are the same when every later bar is cut off."
    worst = part["offending"][0]
    without = "unknown" if worst["without_the_future"] is None else f"{worst['without_the_future']:g}"
    names = ", ".join(item["feature"] for item in part["offending"])
    return f"{part['count']} features change when later bars are cut off: {names}. {worst['feature']} of {worst['symbol']} at {worst['at']} was {worst['learned']:g} and is {without} without them."


def _spans(part: Mapping[str, Any]) -> str:
    looked = f"{part['labels']} labels made again from bars up to their declared end, {part['splits']} splits searched for labels that straddle them"
    if part["passed"]:
        return f"{looked}: none differs, none does."
    return f"{looked}: {part['wrong']} differ, {part['straddling']} do. {'; '.join(part['examples'])}"


def _shifted(part: Mapping[str, Any]) -> str:
    if part["note"]:
        return f"{part['note'].capitalize()}."
    if part["passed"]:
        return f"{part['features']} features over {part['samples']} samples: none goes with coming returns as only the future could."
    return "; ".join(
        f"{item['feature']}: {item['ahead']:.0%} explained by coming returns, {item['behind']:.0%} by past ones (limit {item['limit']:.0%})"
        for item in part["offending"]
    )


def _lagged(part: Mapping[str, Any]) -> str:
    told = [
        f"{side}: AUC {seen['auc']:.3f}, one sample later {seen['lagged_auc']:.3f} (may fall by {seen['tolerance']:.3f})"
        for side, seen in part.items()
        if seen["auc"] is not None
    ]
    return f"{'; '.join(told) or 'The last block holds one outcome only'}.{_checked_by(part)}"


def _checked_by(part: Mapping[str, Any]) -> str:
    """Which learner was fitted for the test, as far as the report says so."""
    kinds = {seen["learner"] for seen in part.values() if "learner" in seen}
    return f" Fitted: {', '.join(sorted(kinds))}." if kinds else ""


def _shuffled(part: Mapping[str, Any]) -> str:
    told = [f"{side}: AUC {sum(seen['auc']) / len(seen['auc']):.3f} (0.5 ± {seen['tolerance']:.3f})" for side, seen in part.items()]
    return f"{'; '.join(told)}.{_checked_by(part)}"


# --- confidence


def reliability(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Predicted against observed by side: plot and table."""
    out = []
    for side in SIDE_NAMES:
        bins = metrics.get("calibration", {}).get(side)
        if not bins:
            continue
        points = [Point(part["predicted"], part["hit_rate"], part["low"], part["high"]) for part in bins]
        out.append(
            {
                "side": side,
                "plot": plots.reliability(
                    points, f"Reliability of {side} probabilities: how often TP1 came first against what was predicted"
                ),
                "rows": [
                    (
                        pct(part["predicted"]),
                        pct(part["hit_rate"]),
                        between(part["low"], part["high"], places=1, factor=100.0),
                        part["n"],
                        part["n_effective"],
                    )
                    for part in bins
                ],
            }
        )
    return out  # fmt: skip


def precision(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Share of hits by the share of samples kept, by side: plot and table."""
    out = []
    for side in SIDE_NAMES:
        found = metrics.get("precision", {}).get(side)
        if not found:
            continue
        reference = metrics["overall"][side].get("break_even")
        points = [Point(part["kept"], part["precision"], part["low"], part["high"]) for part in found]
        out.append(
            {
                "side": side,
                "break_even": pct(reference),
                "plot": plots.by_share(points, f"Precision of {side} predictions by the share that is kept", reference),
                "rows": [
                    (
                        pct(part["kept"]),
                        pct(part["threshold"]),
                        pct(part["precision"]),
                        between(part["low"], part["high"], places=1, factor=100.0),
                        part["n"],
                        part["n_effective"],
                    )
                    for part in found
                ],
            }
        )
    return out  # fmt: skip


def coverage(metrics: Mapping[str, Any]) -> dict[str, Any] | None:
    """Measured coverage of prediction sets: `rows`, one a side and level, and `parts`, one a side, level, regime and market."""
    found = metrics.get("conformal")
    if not found:
        return None
    told = [(side, level) for side, levels in found["sides"].items() for level in levels]
    rows = [_coverage_row(side, level["nominal"], "overall", level) for side, level in told]
    parts = [
        _coverage_row(side, level["nominal"], name, part)
        for side, level in told
        for name, part in (*level["regimes"].items(), *level["symbols"].items())
    ]
    return {"method": found["method"], "reason": found["reason"], "rows": rows, "parts": parts}


def _coverage_row(side: str, nominal: float, name: str, part: Mapping[str, Any]) -> dict[str, Any]:
    says = part["says_hit"]
    is_short = part["high"] is not None and part["high"] < nominal
    return {
        "side": side,
        "nominal": pct(nominal, 0),
        "name": name,
        "coverage": pct(part["coverage"]),
        "range": between(part["low"], part["high"], places=1, factor=100.0),
        "is_short": is_short,
        "abstained": pct(part["abstained"]),
        "says_hit": f"{pct(says['precision'])} of {says['n']}" if says["n"] else NONE,
        "n": part["n"],
        "n_effective": part["n_effective"],
    }


# --- paths


def paths(metrics: Mapping[str, Any]) -> dict[str, Any] | None:
    """Every combinatorial path and the spread of their figures."""
    found = metrics.get("paths")
    if not found:
        return None
    points = [
        Point(0.0, path["sharpe"], label=f"Path {place}") for place, path in enumerate(found["each"], 1) if path["sharpe"] is not None
    ]
    return {
        **found,
        "samples": found["rows"],
        "rows": [
            {
                "name": f"Path {place}",
                "trades": path["trades"],
                "hit_rate": pct(path["hit_rate"]),
                "break_even": pct(path["break_even"]),
                "mean": path["mean_net_pct"],
                "factor": number(path["profit_factor"]),
                "sharpe": number(path["sharpe"]),
                "auc": f"{number(path['auc_long'], 3)} / {number(path['auc_short'], 3)}",
            }
            for place, path in enumerate(found["each"], 1)
        ],
        "spread": _spread(found.get("spread", {})),
        "without_gain": pct(found.get("share_without_gain"), 0),
        "plot": plots.rows(points, "Sharpe ratio of every path", "Sharpe ratio of the path"),
    }


def _spread(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    names = {"sharpe": "Sharpe ratio", "mean_net_pct": "Mean of a trade, %", "profit_factor": "Profit factor"}
    return [
        (title, f"{number(found[name]['median'])} in the middle, {number(found[name]['min'])} to {number(found[name]['max'])}")
        for name, title in names.items()
        if found.get(name, {}).get("n")
    ]


# --- what it is made of


def learners(model: Any) -> list[dict[str, Any]]:
    """Kind, weight on each side, and trees each fold kept, as the metrics tell them."""
    blend, trees = model.metrics.get("blend", {}), model.metrics.get("trees", {})
    kinds = list(dict.fromkeys(kind for side in SIDE_NAMES for kind in blend.get(side, {})))
    return [
        {
            "kind": kind,
            "weights": [pct(blend.get(side, {}).get(kind), 0) for side in SIDE_NAMES],
            "trees": [", ".join(f"{count}" for count in trees.get(side, {}).get(kind, [])) or NONE for side in SIDE_NAMES],
        }
        for kind in kinds
    ]


def sides(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The classifier's own figures out of fold."""
    out = []
    for side in SIDE_NAMES:
        part = metrics.get("overall", {}).get(side)
        if part and part.get("n"):
            out.append(
                {
                    "side": side,
                    "n": part["n"],
                    "n_effective": part["n_effective"],
                    "auc": number(part["auc"], 3),
                    "base_rate": pct(part["base_rate"]),
                    "break_even": pct(part["break_even"]),
                    "log_loss": number(part["log_loss"], 4),
                    "log_loss_of_base_rate": number(part["log_loss_of_base_rate"], 4),
                    "brier": number(part["brier"], 4),
                }
            )
    return out
