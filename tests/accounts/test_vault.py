import base64

import pytest
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from traderai.lib import vault

KEYS = {"k1": bytes(range(32)), "k2": bytes(range(32, 64))}
MESSAGE = "The stored secret cannot be opened."
part = st.text(max_size=12)


@pytest.fixture(autouse=True)
def _keys(settings):
    settings.ENCRYPTION_KEYS = KEYS


@given(text=st.text(max_size=200), bound_to=st.tuples(part, part, part))
def test_what_was_sealed_opens_again(text, bound_to):
    blob = vault.seal(text, bound_to=bound_to)
    assert vault.unseal(blob, bound_to=bound_to) == text
    assert blob.startswith("v1.k1.")


def test_sealing_twice_gives_two_blobs():
    assert vault.seal("s", bound_to=("a",)) != vault.seal("s", bound_to=("a",))


def test_the_secret_cannot_be_read_from_the_blob():
    blob = vault.seal("JBSWY3DPEHPK3PXP", bound_to=("a",))
    assert b"JBSWY3DPEHPK3PXP" not in blob.encode() + base64.urlsafe_b64decode(blob.rpartition(".")[2])


@given(parts=st.lists(part, min_size=1, max_size=4), other=st.lists(part, min_size=0, max_size=4))
def test_any_other_context_is_refused_in_the_same_words(parts, other):
    blob = vault.seal("secret", bound_to=tuple(parts))
    if parts == other:
        assert vault.unseal(blob, bound_to=tuple(other)) == "secret"
        return
    with pytest.raises(vault.Unopenable) as refusal:
        vault.unseal(blob, bound_to=tuple(other))
    assert str(refusal.value) == MESSAGE


@given(data=st.data(), text=st.text(max_size=40))
def test_any_flipped_bit_is_refused_in_the_same_words(data, text):
    blob = bytearray(vault.seal(text, bound_to=("a", "b")).encode())
    position = data.draw(st.integers(0, len(blob) - 1))
    blob[position] ^= 1 << data.draw(st.integers(0, 6))
    with pytest.raises(vault.Unopenable) as refusal:
        vault.unseal(blob.decode(), bound_to=("a", "b"))
    assert str(refusal.value) == MESSAGE
    assert refusal.value.__cause__ is None


@given(blob=st.text(max_size=80))
def test_garbage_is_refused_in_the_same_words(blob):
    with pytest.raises(vault.Unopenable, match=MESSAGE):
        vault.unseal(blob, bound_to=())


def test_an_old_key_still_opens_and_a_removed_one_does_not():
    blob = vault.seal("secret", bound_to=("a",))
    with override_settings(ENCRYPTION_KEYS={"k2": KEYS["k2"], "k1": KEYS["k1"]}):
        assert vault.unseal(blob, bound_to=("a",)) == "secret"
        assert vault.seal("secret", bound_to=("a",)).startswith("v1.k2.")
    with override_settings(ENCRYPTION_KEYS={"k2": KEYS["k2"]}), pytest.raises(vault.Unopenable, match=MESSAGE):
        vault.unseal(blob, bound_to=("a",))


def test_a_blob_that_names_another_key_is_refused():
    blob = vault.seal("secret", bound_to=("a",)).replace("v1.k1.", "v1.k2.")
    with pytest.raises(vault.Unopenable, match=MESSAGE):
        vault.unseal(blob, bound_to=("a",))
