"""Second factors at rest: a TOTP secret or recovery seed opens only in the row of its owner.

allauth's hooks for encryption see the text alone. So `seal` makes a blob that belongs to nobody yet, and as soon as an
authenticator row is made with it, `adopt` seals it again for that row's user. Rows that are read back hand out `Owned` blobs,
which know in whose row they lie; a blob copied from another row, or out of its row, does not open.
"""

from typing import Any

from allauth.mfa.models import Authenticator

from traderai.lib import vault

PURPOSE = ("accounts", "mfa")
SECRETS = ("secret", "seed")


class Unowned(str):
    """A sealed secret that was made a moment ago and lies in no row yet."""


class Owned(str):
    """A sealed secret and what it is bound to."""

    bound_to: tuple[str, ...]


def seal(text: str) -> str:
    return Unowned(vault.seal(text, bound_to=PURPOSE))


def unseal(blob: str) -> str:
    """Raises Unopenable for a blob that has no owner or is not in its owner's row."""
    if not isinstance(blob, Owned):
        raise vault.Unopenable
    return vault.unseal(blob, bound_to=blob.bound_to)


def adopt(row: Authenticator) -> None:
    """Bind new secrets to the row's user, and tell stored ones where they lie. Called for each instance that is made."""
    data: dict[str, Any] = row.__dict__.get("data") or {}  # not there when a query deferred it
    for name in SECRETS:
        blob = data.get(name)
        if blob is None or isinstance(blob, Owned):
            continue
        bound_to = (*PURPOSE, row.type, name, str(row.user_id))
        if isinstance(blob, Unowned):
            blob = vault.seal(vault.unseal(blob, bound_to=PURPOSE), bound_to=bound_to)
        data[name] = Owned(blob)
        data[name].bound_to = bound_to
