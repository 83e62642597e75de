"""The life of an order: every move the table lists, and none it does not."""

import pytest

from exchanges.order_states import TERMINAL, TRANSITIONS, UNSETTLED, IllegalMove, OrderMove, OrderState, move


@pytest.mark.parametrize("state", OrderState)
@pytest.mark.parametrize("event", OrderMove)
def test_it_makes_the_listed_moves_and_refuses_all_others(state, event):
    if (state, event) in TRANSITIONS:
        assert move(state, event) == TRANSITIONS[state, event]
    else:
        with pytest.raises(IllegalMove, match=f"an order that is {state} cannot"):
            move(state, event)


def test_it_sends_an_order_once():
    assert [state for state, event in TRANSITIONS if event == OrderMove.CLAIM] == [OrderState.READY]
    assert OrderState.READY not in TRANSITIONS.values()


def test_it_never_leaves_denied_or_filled():
    assert not [state for state, _ in TRANSITIONS if state in (OrderState.DENIED, OrderState.FILLED)]


def test_it_leaves_an_ended_order_only_for_the_venues_evidence():
    moves = {event for state, event in TRANSITIONS if state in TERMINAL}
    assert moves == {OrderMove.FILL_PART, OrderMove.FILL_ALL}


@pytest.mark.parametrize(
    "start", [OrderState.READY, OrderState.SENDING, OrderState.UNKNOWN, OrderState.OPEN, OrderState.PARTIAL, OrderState.LOST]
)
def test_it_can_always_come_to_an_end(start):
    reached, frontier = {start}, {start}
    while frontier:
        frontier = {after for (before, _), after in TRANSITIONS.items() if before in frontier} - reached
        reached |= frontier
    assert OrderState.FILLED in reached
    assert reached & TERMINAL


def test_it_counts_a_state_as_ended_unsettled_or_lost():
    assert TERMINAL | UNSETTLED | {OrderState.LOST} == set(OrderState)
    assert not TERMINAL & UNSETTLED
