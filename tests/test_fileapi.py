"""`Blob` (https://w3c.github.io/FileAPI/) and `ArrayBuffer` (ECMAScript)."""

from __future__ import annotations

import array
import asyncio
import copy
import gc
import math
import os
import pickle
import weakref
from collections import deque

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapi import UNDEFINED, ArrayBuffer, Blob


def content(blob: Blob) -> bytes:
    return bytes(blob)


# -- the constructor: https://w3c.github.io/FileAPI/#constructorBlob -------------------------------


def test_a_blob_of_nothing_is_empty_and_has_no_type():
    for blob in (Blob(), Blob([]), Blob(UNDEFINED), Blob([], None), Blob([], UNDEFINED)):
        assert (blob.size, blob.type, content(blob)) == (0, "", b"")


def test_a_blob_joins_its_parts_in_order():
    parts = [
        "é",
        b"\x00\xff",
        bytearray(b"ba"),
        memoryview(b"abcdef")[1:3],
        memoryview(b"abcdef")[::2],
        array.array("H", [1]),
        numpy.array([[1, 2], [3, 4]], numpy.uint8)[:, 1],
        Blob(["inner"]),
        Blob(["outer"]).slice(0, 3),
        ArrayBuffer(b"buffer"),
    ]
    expected = (
        "é".encode() + b"\x00\xff" + b"ba" + b"bc" + b"ace" + array.array("H", [1]).tobytes()
        + b"\x02\x04" + b"inner" + b"out" + b"buffer"
    )  # fmt: skip
    blob = Blob(parts)
    assert content(blob) == expected
    assert blob.size == len(expected)


@pytest.mark.parametrize("make", [list, tuple, deque, iter, dict.fromkeys])
def test_the_parts_may_be_any_iterable_but_a_mapping(make):
    parts = make(["a", "b"])
    if isinstance(parts, dict):
        with pytest.raises(TypeError, match="blobParts is a dict"):
            Blob(parts)
        assert content(Blob(parts.keys())) == b"ab"
    else:
        assert content(Blob(parts)) == b"ab"


def test_primitives_among_the_parts_become_strings():
    assert content(Blob([1, None, True, 1.5, "\ud800"])) == b"1nulltrue1.5" + "\ufffd".encode()
    assert content(Blob([numpy.float64(1.5), numpy.str_("é")])) == b"1.5" + "é".encode()
    assert content(Blob([numpy.int64(5), numpy.float32(0.5), numpy.bool_(False)])) == b"50.5false"


@pytest.mark.parametrize("part", [object(), ["nested"], {}])
def test_another_object_among_the_parts_is_a_type_error(part):
    with pytest.raises(TypeError, match="an item of blobParts"):
        Blob(["ok", part])


@pytest.mark.parametrize(
    "part",
    [
        numpy.array([None]),
        numpy.zeros(1, [("number", "i4"), ("any", object)]),
        numpy.array(["2020-01-01"], "datetime64[D]"),
    ],
)
def test_a_buffer_without_content_of_its_own_is_a_type_error(part):
    with pytest.raises(TypeError, match="an item of blobParts is a ndarray that"):
        Blob(["ok", part])
    with pytest.raises(TypeError, match="put it into a list"):
        Blob(part)
    assert ArrayBuffer.isView(part)


@pytest.mark.parametrize("parts", ["text", None, 5, True, Blob(), object()])
def test_parts_that_are_no_list_are_a_type_error(parts):
    with pytest.raises(TypeError, match="where a list of parts is expected"):
        Blob(parts)


@pytest.mark.parametrize("parts", [b"bytes", bytearray(1), memoryview(b"x"), numpy.zeros(2)])
def test_a_lone_buffer_is_a_type_error_that_says_what_to_do(parts):
    with pytest.raises(TypeError, match=r"put it into a list: Blob\(\[data\]\)"):
        Blob(parts)


def test_the_content_is_copied():
    data = bytearray(b"before")
    blob = Blob([data])
    data[:] = b"after!"
    assert content(blob) == b"before"


def test_options_may_be_a_dict_or_keywords_and_surplus_is_ignored():
    assert Blob(["x"], {"type": "a/b"}).type == "a/b"
    assert Blob(["x"], type="a/b").type == "a/b"
    assert Blob(["x"], {"type": "a/b"}, "surplus", type="c/d").type == "c/d"
    assert Blob(["x"], {"type": UNDEFINED, "colour": 1}).type == ""
    with pytest.raises(TypeError, match="options"):
        Blob(["x"], "text/plain")
    with pytest.raises(
        TypeError, match=r"Blob\(\) .* colour.* are blobParts, options, type and end"
    ):
        Blob(["x"], colour=1)


# -- type: step 3 of the constructor -------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", ""),
        ("text/plain", "text/plain"),
        ("Text/HTML; Charset=UTF-8", "text/html; charset=utf-8"),
        (" ~", " ~"),
        ("no media type", "no media type"),
        ("te\x7fxt", ""),
        ("text/plain\n", ""),
        ("tëxt", ""),
        ("\u212a", ""),  # KELVIN SIGN, whose lower case is an ASCII k
        ("\x1f", ""),
        (None, "null"),
        (5, "5"),
    ],
)
def test_the_type_is_in_lower_case_or_empty(value, expected):
    assert Blob([], {"type": value}).type == expected
    assert Blob(["x"]).slice(0, 1, value).type == expected


def test_a_type_of_another_kind_is_a_type_error():
    with pytest.raises(TypeError, match="type is a list"):
        Blob([], type=[])
    with pytest.raises(TypeError, match="contentType"):
        Blob().slice(0, 0, [])


@pytest.mark.parametrize("name", ["size", "type"])
def test_a_blob_is_read_only(name):
    with pytest.raises(AttributeError):
        setattr(Blob(), name, 1)
    with pytest.raises(AttributeError):
        Blob().other = 1


# -- endings: https://w3c.github.io/FileAPI/#convert-line-endings-to-native ------------------------


@pytest.mark.parametrize("native", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a\nb", ["a", "b"]),
        ("a\r\nb", ["a", "b"]),
        ("a\rb", ["a", "b"]),
        ("\r\r\n\n", ["", "", "", ""]),
        ("a\n\rb", ["a", "", "b"]),
        ("", [""]),
        ("\n", ["", ""]),
    ],
)
def test_native_endings_make_newlines_the_systems(monkeypatch, native, text, lines):
    monkeypatch.setattr(os, "linesep", native)
    assert content(Blob([text], endings="native")) == native.join(lines).encode()
    assert content(Blob([text], {"endings": "transparent"})) == text.encode()
    assert content(Blob([text])) == text.encode()


def test_native_endings_change_strings_only_and_each_for_itself(monkeypatch):
    monkeypatch.setattr(os, "linesep", "\n")
    parts = [b"\r\n", Blob(["\r\n"]), "a\r", "\nb"]
    assert content(Blob(parts, endings="native")) == b"\r\n\r\na\n\nb"


@pytest.mark.parametrize("endings", ["Native", "", None, 5])
def test_unknown_endings_are_a_type_error(endings):
    with pytest.raises(TypeError, match="endings"):
        Blob([], endings=endings)


# -- slice: https://w3c.github.io/FileAPI/#slice-blob ----------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), b"0123456789"),
        ((UNDEFINED, UNDEFINED, UNDEFINED), b"0123456789"),
        ((3,), b"3456789"),
        ((3, 5), b"34"),
        ((0, 0), b""),
        ((5, 3), b""),
        ((-3,), b"789"),
        ((-3, -1), b"78"),
        ((0, -3), b"0123456"),
        ((-100, 2), b"01"),
        ((8, 100), b"89"),
        ((100,), b""),
        ((100, 200), b""),
        ((-1, -3), b""),
        ((0, math.inf), b"0123456789"),
        ((-math.inf, math.inf), b"0123456789"),
        ((math.inf,), b""),
        ((0, -math.inf), b""),
        ((math.nan, 2), b"01"),
        ((0, math.nan), b""),
        ((0, None), b""),  # null is 0
        ((None, 2), b"01"),
        ((0, 1.5), b"01"),  # [Clamp] rounds, halves to the even
        ((0, 2.5), b"01"),
        ((0.5, 2), b"01"),
        ((-0.5, 2), b"01"),
        ((-0.6, 10), b"9"),
        (("1", "0x3"), b"12"),
        ((True, 3), b"12"),
        ((0, 2**70), b"0123456789"),
        ((0, 2, "", "surplus"), b"01"),
    ],
)
def test_slice_gives_the_bytes_between_two_clamped_positions(arguments, expected):
    assert content(Blob(["0123456789"]).slice(*arguments)) == expected


@given(st.binary(max_size=20), st.integers(-25, 25), st.integers(-25, 25))
def test_slice_with_whole_numbers_is_pythons_slice(data, start, end):
    blob = Blob([data]).slice(start, end)
    assert content(blob) == data[start:end]
    assert blob.size == len(data[start:end])
    assert content(ArrayBuffer(data).slice(start, end)) == data[start:end]


def test_a_slice_of_a_slice():
    blob = Blob(["0123456789"]).slice(2, 8).slice(1, -1)
    assert content(blob) == b"3456"
    assert asyncio.run(blob.text()) == "3456"
    assert asyncio.run(blob.arrayBuffer()) == b"3456"


def test_a_slice_has_the_type_that_is_given_and_not_its_blobs():
    blob = Blob(["text"], type="text/plain")
    assert blob.slice().type == ""
    assert blob.slice(0, 2, "Text/HTML").type == "text/html"
    assert blob.slice(contentType="a/b").type == "a/b"
    assert blob.type == "text/plain"


@pytest.mark.parametrize("value", [[], {}, object(), b"1"])
def test_a_position_that_is_no_number_is_a_type_error(value):
    with pytest.raises(TypeError, match="start"):
        Blob().slice(value)
    with pytest.raises(TypeError, match="end"):
        Blob().slice(0, value)


def test_a_slice_does_not_copy():
    data = b"x" * 1000
    assert Blob._of(data).slice(10, 20)._content.obj is data


# -- reading -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        ("é€😀".encode(), "é€😀"),
        (b"\xef\xbb\xbftext", "text"),
        (b"\xef\xbb\xbf\xef\xbb\xbf", "\ufeff"),
        (b"a\xef\xbb\xbf", "a\ufeff"),
        (b"\xef\xbb", "\ufffd"),
        (b"a\xffb", "a\ufffdb"),
        (b"\xf0\x9f\x98", "\ufffd"),
        (b"\xf0\x9f\x98a", "\ufffda"),
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
        (b"\xc0\x80", "\ufffd\ufffd"),
        (b"\xf4\x90\x80\x80", "\ufffd" * 4),
        (b"\xfe\xff\x00a", "\ufffd\ufffd\x00a"),  # always UTF-8
    ],
)
def test_text_decodes_utf_8_without_its_byte_order_mark(data, text):
    """https://encoding.spec.whatwg.org/#utf-8-decode"""
    assert asyncio.run(Blob([data]).text("surplus")) == text


@given(st.text())
def test_text_gives_back_any_string(text):
    if not text.startswith("\ufeff"):
        assert asyncio.run(Blob([text]).text()) == text


@pytest.mark.parametrize("held", [bytes, bytearray, memoryview])
def test_a_blob_gives_its_content_in_all_forms(held):
    blob = Blob._of(held(b"\x00\xff"), "a/b")
    buffer = asyncio.run(blob.arrayBuffer("surplus"))
    assert type(buffer) is ArrayBuffer
    assert buffer == b"\x00\xff"
    plain = asyncio.run(blob.bytes("surplus"))
    assert type(plain) is bytes
    assert plain == bytes(blob) == b"\x00\xff"
    assert (blob.size, len(blob), blob.type) == (2, 2, "a/b")


def test_a_blob_is_true_and_equal_to_itself_alone():
    assert Blob()
    assert Blob() != Blob()
    assert repr(Blob(["text"], type="text/plain")) == "<Blob size=4 type='text/plain'>"


def test_a_blob_can_be_referred_to_weakly():
    ref = weakref.ref(blob := Blob(["x"]))
    assert ref() is blob
    del blob
    gc.collect()
    assert ref() is None


# -- ArrayBuffer: https://tc39.es/ecma262/#sec-arraybuffer-objects ---------------------------------


def test_an_array_buffer_is_bytes_with_javascripts_members():
    buffer = ArrayBuffer(b"0123")
    assert isinstance(buffer, bytes)
    assert buffer == b"0123"
    assert buffer.byteLength == len(buffer) == 4
    assert hash(buffer) == hash(b"0123")
    with pytest.raises(AttributeError):
        buffer.byteLength = 5
    with pytest.raises(AttributeError):
        buffer.other = 5


def test_an_array_buffer_of_a_length_is_zeros():
    assert ArrayBuffer(3) == ArrayBuffer(numpy.int64(3)) == b"\0\0\0"
    assert ArrayBuffer().byteLength == ArrayBuffer(UNDEFINED).byteLength == 0
    with pytest.raises(ValueError, match="negative"):
        ArrayBuffer(-1)


def test_an_array_buffer_is_made_with_its_content():
    for content in (
        b"ab", bytearray(b"ab"), memoryview(b"a-b-")[::2], array.array("b", b"ab"), [97, 98],
        Blob(["ab"]), ArrayBuffer(b"ab"),
    ):  # fmt: skip
        buffer = ArrayBuffer(content)
        assert type(buffer) is ArrayBuffer
        assert buffer == b"ab"
    assert ArrayBuffer(numpy.array(3, "uint8")) == b"\x03"
    for clone in (copy.copy, copy.deepcopy, lambda buffer: pickle.loads(pickle.dumps(buffer))):
        assert type(clone(ArrayBuffer(b"ab"))) is ArrayBuffer
        assert clone(ArrayBuffer(b"ab")) == b"ab"


def test_surplus_arguments_of_an_array_buffer_are_ignored():
    assert ArrayBuffer(2, {"maxByteLength": 16}) == b"\0\0"
    assert ArrayBuffer(b"ab", None, "surplus", 1) == b"ab"


@pytest.mark.parametrize("content", [numpy.array([None]), "text", None, 1.5, object(), ["a"]])
@pytest.mark.parametrize("surplus", [(), ("utf-8",)])
def test_what_holds_no_bytes_makes_no_array_buffer(content, surplus):
    with pytest.raises(TypeError):
        ArrayBuffer(content, *surplus)


def test_an_array_buffer_of_a_string_says_what_to_do():
    with pytest.raises(TypeError, match=r'the content is a str, .* "\.\.\."\.encode\(\)'):
        ArrayBuffer("text")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), b"0123456789"),
        ((UNDEFINED, UNDEFINED), b"0123456789"),
        ((3,), b"3456789"),
        ((-3, -1), b"78"),
        ((5, 3), b""),
        ((0, math.inf), b"0123456789"),
        ((math.nan, 2), b"01"),
        ((0, 1.9), b"0"),  # cut, not rounded
        ((-1.9,), b"9"),
        ((0, None), b""),
        (("2", 3), b"2"),
        ((0, 1, "surplus"), b"0"),
    ],
)
def test_an_array_buffers_slice_cuts_positions_to_integers(arguments, expected):
    part = ArrayBuffer(b"0123456789").slice(*arguments)
    assert type(part) is ArrayBuffer
    assert part == expected


def test_an_array_buffers_slice_takes_numbers():
    with pytest.raises(TypeError, match="begin"):
        ArrayBuffer(b"").slice([])
    with pytest.raises(TypeError, match="end"):
        ArrayBuffer(b"").slice(0, object())


@pytest.mark.parametrize(
    ("value", "view"),
    [
        (memoryview(b""), True),
        (array.array("b"), True),
        (numpy.zeros(1), True),
        (ArrayBuffer(b""), False),
        (b"", False),
        (bytearray(), False),
        ("text", False),
        (None, False),
        ([1], False),
    ],
)
def test_is_view_tells_views_from_buffers(value, view):
    assert ArrayBuffer.isView(value, "surplus") is view
