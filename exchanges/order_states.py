"""The life of an order as a table: (state, event) -> state. An unknown pair raises IllegalMove. Section 2 of docs/architecture.md draws it."""

from enum import StrEnum


class OrderState(StrEnum):
    DENIED = "denied"  # the risk gate said no; it never left us
    READY = "ready"  # stored, not yet sent
    SENDING = "sending"  # committed before the first byte leaves
    UNKNOWN = "unknown"  # sent, outcome not known: found out by query, never by sending again
    OPEN = "open"
    PARTIAL = "partial"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    LOST = "lost"  # no proof either way within the bound: the account goes reduce-only and a person is told


class OrderMove(StrEnum):
    CLAIM = "claim"  # an executor takes it to the venue
    EXPIRE = "expire"
    ACKNOWLEDGE = "acknowledge"
    REFUSE = "refuse"
    LOSE_TOUCH = "lose_touch"
    FILL_PART = "fill_part"
    FILL_ALL = "fill_all"
    CANCEL = "cancel"
    PROVE_ABSENT = "prove_absent"
    GIVE_UP = "give_up"


class IllegalMove(Exception):
    """The table has no such move."""


S, M = OrderState, OrderMove

TRANSITIONS: dict[tuple[OrderState, OrderMove], OrderState] = {
    (S.READY, M.CLAIM): S.SENDING,
    (S.READY, M.EXPIRE): S.EXPIRED,
    (S.READY, M.CANCEL): S.CANCELED,
    (S.SENDING, M.ACKNOWLEDGE): S.OPEN,
    (S.SENDING, M.FILL_PART): S.PARTIAL,
    (S.SENDING, M.FILL_ALL): S.FILLED,
    (S.SENDING, M.REFUSE): S.REJECTED,
    (S.SENDING, M.EXPIRE): S.EXPIRED,
    (S.SENDING, M.LOSE_TOUCH): S.UNKNOWN,
    (S.UNKNOWN, M.ACKNOWLEDGE): S.OPEN,
    (S.UNKNOWN, M.FILL_PART): S.PARTIAL,
    (S.UNKNOWN, M.FILL_ALL): S.FILLED,
    (S.UNKNOWN, M.CANCEL): S.CANCELED,
    (S.UNKNOWN, M.REFUSE): S.REJECTED,
    (S.UNKNOWN, M.PROVE_ABSENT): S.REJECTED,
    (S.UNKNOWN, M.GIVE_UP): S.LOST,
    (S.OPEN, M.FILL_PART): S.PARTIAL,
    (S.OPEN, M.FILL_ALL): S.FILLED,
    (S.OPEN, M.CANCEL): S.CANCELED,
    (S.OPEN, M.EXPIRE): S.EXPIRED,
    (S.PARTIAL, M.FILL_PART): S.PARTIAL,
    (S.PARTIAL, M.FILL_ALL): S.FILLED,
    (S.PARTIAL, M.CANCEL): S.CANCELED,
    (S.PARTIAL, M.EXPIRE): S.EXPIRED,
    # The venue's evidence outranks our belief: fills that arrive after we called an order ended.
    (S.CANCELED, M.FILL_PART): S.CANCELED,
    (S.CANCELED, M.FILL_ALL): S.FILLED,
    (S.EXPIRED, M.FILL_ALL): S.FILLED,
    (S.REJECTED, M.FILL_ALL): S.FILLED,
    (S.LOST, M.ACKNOWLEDGE): S.OPEN,
    (S.LOST, M.FILL_ALL): S.FILLED,
    (S.LOST, M.PROVE_ABSENT): S.REJECTED,
}

TERMINAL = frozenset({S.DENIED, S.FILLED, S.CANCELED, S.EXPIRED, S.REJECTED})
UNSETTLED = frozenset({S.READY, S.SENDING, S.UNKNOWN, S.OPEN, S.PARTIAL})


def move(state: OrderState, event: OrderMove) -> OrderState:
    """The state after `event`, or IllegalMove."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalMove(f"an order that is {state} cannot {event.replace('_', ' ')}") from None
