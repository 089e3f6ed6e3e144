"""RFC 6455 §5.3: client-to-server masking."""

from __future__ import annotations

import subprocess
import sys
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_streams import pattern, reference_mask

from webapi.protocol import masking
from webapi.protocol.masking import LONG, apply_mask, masking_keys

WAYS = [masking._mask_short, masking._mask_by_translate, masking._mask_by_numpy, apply_mask]
KEYS = st.one_of(
    st.binary(min_size=4, max_size=4), st.sampled_from([b"\0\0\0\0", b"\xff\xff\xff\xff"])
)


@pytest.fixture
def fresh_choice():
    """The choice of the long way is kept: make it anew in the test, and after it."""
    for kept in (masking._long_way, masking._numpy):
        kept.cache_clear()
    yield
    for kept in (masking._long_way, masking._numpy):
        kept.cache_clear()


def test_the_rfcs_example():
    # https://www.rfc-editor.org/rfc/rfc6455#section-5.7
    assert apply_mask(b"Hello", b"\x37\xfa\x21\x3d") == b"\x7f\x9f\x4d\x51\x58"


@pytest.mark.parametrize("way", WAYS)
@given(payload=st.binary(max_size=70), key=KEYS)
def test_every_way_is_the_rfcs_algorithm(way, payload, key):
    assert way(payload, key) == reference_mask(payload, key)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, LONG - 1, LONG, LONG + 1, LONG + 5, 65537])
def test_every_way_takes_every_size_and_kind_of_payload(way, kind, size):
    payload, key = pattern(size, 3), b"\x80\x00\xff\x01"
    masked = way(kind(payload), key)
    assert type(masked) is bytes
    assert masked == reference_mask(payload, key)
    assert way(masked, key) == payload


@given(start=st.integers(0, 9), size=st.integers(0, 40), way=st.sampled_from(WAYS), key=KEYS)
def test_a_view_at_an_odd_address_is_masked_like_any_other(start, size, way, key):
    view = memoryview(pattern(60, 1))[start : start + size]
    assert way(view, key) == reference_mask(bytes(view), key)


def test_the_payload_is_left_as_it_was():
    payload = bytearray(pattern(LONG * 2, 0))
    apply_mask(payload, b"abcd")
    assert payload == pattern(LONG * 2, 0)


def test_with_numpy_long_payloads_are_masked_by_it(fresh_choice):
    pytest.importorskip("numpy")
    assert masking._long_way() is masking._mask_by_numpy


def test_numpy_is_not_imported_before_the_first_long_payload():
    code = (
        "import sys, webapi.protocol.sender as sender\n"
        "sender.frame(1, b'x' * 1023, masking_key=b'abcd')\n"
        "sys.exit('numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_without_numpy_long_payloads_are_masked_by_translate(fresh_choice, monkeypatch):
    monkeypatch.setitem(sys.modules, "numpy", None)  # an import of it now fails
    assert apply_mask(pattern(LONG, 5), b"abcd") == reference_mask(pattern(LONG, 5), b"abcd")
    assert masking._long_way() is masking._mask_by_translate


def test_keys_are_four_bytes_and_come_in_blocks_from_the_systems_source(monkeypatch):
    drawn = []

    def urandom(size):
        drawn.append(size)
        return bytes([len(drawn)]) * size

    monkeypatch.setattr("os.urandom", urandom)
    keys = list(islice(masking_keys(), masking._BLOCK // 4 + 1))
    assert {len(key) for key in keys} == {4}
    assert keys[0] == b"\1\1\1\1"
    assert keys[-2:] == [b"\1\1\1\1", b"\2\2\2\2"]
    assert drawn == [masking._BLOCK] * 2


def test_keys_do_not_repeat():
    keys = list(islice(masking_keys(), 5000))
    assert len(set(keys)) > 4980  # 5000 of 2**32; one pair alike in 340 runs


def test_two_senders_keys_have_nothing_in_common():
    assert len({*islice(masking_keys(), 500), *islice(masking_keys(), 500)}) > 990
