import pytest

from exchanges.ports import BarUpdate
from exchanges.streams.assembly import ACCEPT_HOLE_MS, ASK_AGAIN_MS, GRACE_MS, LONGEST_PAUSE_MS, Ask, Assembly

MINUTE_MS = 60_000
T = 1_700_000_040_000  # on the minute's grid


def bar(number: int, *, final: bool = False, close: float = 101.0, **other) -> BarUpdate:
    """The minute that opens `number` minutes after T."""
    values = {"open": 100.0, "high": 102.0, "low": 99.0, "volume": 5.0} | other
    return BarUpdate("BTC/USDT:USDT", "1m", T + number * MINUTE_MS, close=close, final=final, **values)


def end_ms(number: int) -> int:
    return T + (number + 1) * MINUTE_MS


def at(number: int) -> int:
    return T + number * MINUTE_MS


@pytest.fixture
def assembly() -> Assembly:
    """Stored up to minute 0, listening since the middle of minute 1."""
    assembly = Assembly(MINUTE_MS, T)
    assembly.hear(bar(1))
    return assembly


def test_it_takes_a_bar_as_heard_when_it_was_heard_whole_and_called_final(assembly):
    assembly.stored(at(1))
    assembly.hear(bar(2))
    assert assembly.ready(end_ms(2)) == []
    assembly.hear(bar(2, final=True))
    assert assembly.ready(end_ms(2) - 1) == [], "by the slower clock it is not over"
    assert assembly.ready(end_ms(2)) == [bar(2, final=True)]
    assert assembly.ask(end_ms(9)) is None, "nothing to ask while it waits to be stored"
    assembly.stored(at(2))
    assert assembly.ready(end_ms(2)) == []


def test_it_asks_rest_for_the_bar_it_began_to_hear_in_its_middle(assembly):
    assembly.hear(bar(1, final=True))
    assert assembly.ready(end_ms(1)) == []
    assert assembly.ask(end_ms(1) + GRACE_MS - 1) is None
    assert assembly.ask(end_ms(1) + GRACE_MS) == Ask(at(1), at(1))


def test_it_asks_rest_for_a_bar_with_a_gap_inside_and_trusts_the_next(assembly):
    assembly.stored(at(1))
    assembly.hear(bar(2))
    assembly.broken()
    assembly.hear(bar(2))
    assembly.hear(bar(2, final=True))
    assembly.hear(bar(3, final=True))
    assert assembly.ready(end_ms(3)) == []
    assert assembly.ask(end_ms(3) + GRACE_MS) == Ask(at(2), at(3))
    assembly.stored(at(2))
    assert assembly.ready(end_ms(3)) == [bar(3, final=True)]


def test_it_asks_rest_for_a_bar_the_venue_never_called_final(assembly):
    assembly.stored(at(1))
    assembly.hear(bar(2))
    assembly.hear(bar(3))
    assert assembly.ready(end_ms(2)) == []
    assert assembly.ask(end_ms(2) + GRACE_MS) == Ask(at(2), at(2))


def test_it_asks_rest_for_the_stretch_a_stream_leaves_out(assembly):
    assembly.stored(at(1))
    assembly.hear(bar(2, final=True))
    assembly.hear(bar(6))
    assembly.hear(bar(6, final=True))
    assert assembly.ready(end_ms(6)) == [bar(2, final=True)]
    assembly.stored(at(2))
    assert assembly.ask(end_ms(6) + GRACE_MS) == Ask(at(3), at(6))


def test_it_asks_rest_when_nothing_is_heard_at_all():
    assembly = Assembly(MINUTE_MS, T)
    assert assembly.ask(end_ms(5) + GRACE_MS) == Ask(at(1), at(5))


def test_it_passes_over_what_is_stored_or_older(assembly):
    assembly.stored(at(1))
    assert not assembly.hear(bar(1, final=True))
    assert assembly.hear(bar(3))
    assert not assembly.hear(bar(2))


@pytest.mark.parametrize(
    "wrong",
    [
        {"close": float("nan")},
        {"high": 1.0},
        {"low": 101.5},
        {"low": 0.0},
        {"volume": -1.0},
        {"open": float("inf"), "high": float("inf")},
    ],
)
def test_it_leaves_a_bar_to_rest_of_which_nonsense_was_said(assembly, wrong):
    assembly.stored(at(1))
    assembly.hear(bar(2))
    assert not assembly.hear(bar(2, **wrong))
    assembly.hear(bar(2, final=True))
    assert assembly.ready(end_ms(2)) == []
    assert assembly.ask(end_ms(2) + GRACE_MS) == Ask(at(2), at(2))


def test_it_asks_less_and_less_often_while_rest_fails():
    assembly = Assembly(MINUTE_MS, T)
    now_ms, pauses = end_ms(1) + GRACE_MS, []
    for _ in range(12):
        assert assembly.ask(now_ms)
        assembly.failed(now_ms)
        begin_ms = now_ms
        while assembly.ask(now_ms) is None:
            now_ms += 1_000
        pauses.append(now_ms - begin_ms)
    assert pauses[:3] == [ASK_AGAIN_MS, 2 * ASK_AGAIN_MS, 4 * ASK_AGAIN_MS]
    assert pauses[-1] == LONGEST_PAUSE_MS


def test_it_takes_a_bar_for_missing_only_after_the_venue_had_time():
    assembly = Assembly(MINUTE_MS, T)
    early_ms = end_ms(1) + GRACE_MS
    assert assembly.hole(at(1), early_ms) is None
    late_ms = end_ms(1) + ACCEPT_HOLE_MS
    assert assembly.hole(at(1), late_ms) == Ask(at(1), at(1))
    assembly.stored(at(1))
    assert assembly.ask(late_ms + GRACE_MS) == Ask(at(2), at(2))


def test_it_takes_no_more_for_missing_than_the_venue_was_asked_for():
    assembly = Assembly(MINUTE_MS, T)
    assert assembly.hole(at(100), end_ms(5_000)) == Ask(at(1), at(100))


def test_it_asks_rest_when_what_it_heard_cannot_be_stored(assembly):
    assembly.stored(at(1))
    assembly.hear(bar(2, final=True))
    assembly.distrust()
    assert assembly.ready(end_ms(2)) == []
    assert assembly.ask(end_ms(2) + GRACE_MS) == Ask(at(2), at(2))
