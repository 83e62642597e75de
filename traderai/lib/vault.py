"""Sealing short secrets for the database: AES-256-GCM with the keys of settings.ENCRYPTION_KEYS.

A sealed secret is "v1.KID.BASE64URL(nonce ‖ ciphertext ‖ tag)". The first key of the ring seals, all of them open, so a key
is retired by adding a new one in front, sealing everything again, and removing the old one. `bound_to` names what the secret
belongs to; a blob that is moved elsewhere does not open there.
"""

import base64
import json
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

VERSION = "v1"
NONCE_BYTES = 12


class Unopenable(Exception):
    """The blob does not open. Deliberately says nothing more: key, context and damage look the same from outside."""

    def __init__(self) -> None:
        super().__init__("The stored secret cannot be opened.")


def seal(text: str, *, bound_to: tuple[str, ...]) -> str:
    """The encrypted form of `text`; a fresh random nonce each time, so sealing twice gives two blobs."""
    kid, key = next(iter(settings.ENCRYPTION_KEYS.items()))
    nonce = secrets.token_bytes(NONCE_BYTES)
    body = nonce + AESGCM(key).encrypt(nonce, text.encode(), _associated_data(kid, bound_to))
    return f"{VERSION}.{kid}.{base64.urlsafe_b64encode(body).decode()}"


def unseal(blob: str, *, bound_to: tuple[str, ...]) -> str:
    """The text that was sealed with the same `bound_to`. Raises Unopenable for anything else."""
    version, _, rest = blob.partition(".")
    kid, _, encoded = rest.rpartition(".")
    key = settings.ENCRYPTION_KEYS.get(kid)
    if version != VERSION or key is None:
        raise Unopenable
    try:
        body = _decode(encoded)
        return AESGCM(key).decrypt(body[:NONCE_BYTES], body[NONCE_BYTES:], _associated_data(kid, bound_to)).decode()
    except (InvalidTag, ValueError):
        raise Unopenable from None


def _decode(encoded: str) -> bytes:
    """Strict base64url: one text for one value, so that no changed character goes unnoticed."""
    body = base64.b64decode(encoded.encode(), altchars=b"-_", validate=True)
    if base64.urlsafe_b64encode(body).decode() != encoded or len(body) <= NONCE_BYTES:
        raise ValueError("not canonical")
    return body


def _associated_data(kid: str, bound_to: tuple[str, ...]) -> bytes:
    """JSON keeps the parts apart: ("a", "bc") and ("ab", "c") differ."""
    return json.dumps([VERSION, kid, *bound_to]).encode()
