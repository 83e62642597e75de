"""What is asked of a rule strategy."""

import pytest

from backtesting import asked

PLAN = {"stop_atr": 1.5, "tp1_atr": 1.5, "tp2_atr": 2.75, "tp3_atr": 4.5, "trail_atr": 1.25, "hold_hours": 48}


def test_it_fills_up_the_parameters_of_a_run() -> None:
    assert asked.parse("sma-cross", {"fast": "10", "stop_atr": 2}) == {"fast": 10, "slow": 50, **PLAN, "stop_atr": 2.0}


@pytest.mark.parametrize(
    ("slug", "given", "field", "words"),
    [
        ("moon", {}, "strategy", "use one of sma-cross"),
        ("sma-cross", {"fast": 60}, "fast", "fewer bars than the slow one"),
        ("sma-cross", {"tp1_atr": 3}, "tp1_atr", "nearer than the second"),
        ("sma-cross", {"hold_hours": 0}, "hold_hours", "choose one from 1 to 720"),
        ("sma-cross", {"moon": 0}, "moon", "no such parameter"),
    ],
)
def test_it_names_the_parameter_that_cannot_be_used(slug, given, field, words) -> None:
    for parse in (asked.parse, asked.parse_space):
        with pytest.raises(asked.Unfit, match=words) as caught:
            parse(slug, given)
        assert caught.value.field == field


def test_it_runs_one_combination_at_a_time() -> None:
    with pytest.raises(asked.Unfit, match="fast: a run takes one value, not a range"):
        asked.parse("sma-cross", {"fast": {"low": 5, "high": 10}})
