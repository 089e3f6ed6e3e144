"""Web IDL: https://webidl.spec.whatwg.org/ and the ECMAScript conversions it uses."""

from __future__ import annotations

import array
import copy
import ctypes
import enum
import math
import pickle
import re
from collections import OrderedDict
from types import MappingProxyType

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapi.webidl import (
    UNDEFINED,
    DOMException,
    DOMString,
    Undefined,
    USVString,
    boolean,
    buffer_bytes,
    check_keywords,
    clamped_long_long,
    clamped_unsigned_short,
    defaulted,
    dictionary,
    enforced_unsigned_long_long,
    integer_or_infinity,
    is_buffer,
    string_or_sequence,
    unsigned_short_code,
)

INTEGER_CONVERSIONS = [
    clamped_unsigned_short,
    unsigned_short_code,
    clamped_long_long,
    integer_or_infinity,
    enforced_unsigned_long_long,
]


class Text(str):
    """A str that prints itself in its own way."""

    def __str__(self) -> str:
        return "other"


class Index:
    """A whole number that is no `int`."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


class Colour(enum.IntEnum):
    RED = 3


# -- boolean -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [math.nan, 0, 0.0, "", None, False, UNDEFINED, numpy.float32(numpy.nan)]
)
def test_what_is_false_in_javascript_is_false(value):
    assert boolean(value) is False


@pytest.mark.parametrize("value", [math.inf, -1, 0.5, "0", True, object()])
def test_what_is_true_in_javascript_is_true(value):
    assert boolean(value) is True


# -- undefined ---------------------------------------------------------------------------------


def test_undefined_is_false_and_named_as_in_javascript():
    assert not UNDEFINED
    assert repr(UNDEFINED) == "undefined"
    assert isinstance(UNDEFINED, Undefined)


def test_an_undefined_argument_takes_the_default():
    assert defaulted(UNDEFINED, 7) == 7
    assert defaulted(None, 7) is None


# -- DOMString: https://webidl.spec.whatwg.org/#js-DOMString -------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("text", "text"),
        ("", ""),
        (None, "null"),
        (UNDEFINED, "undefined"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (-7, "-7"),
        (Colour.RED, "3"),
        (123456789012345680000, "123456789012345680000"),
    ],
)
def test_a_primitive_becomes_its_javascript_string(value, expected):
    assert DOMString(value) == expected
    assert USVString(value) == expected


# What V8's String(number) gives; https://tc39.es/ecma262/#sec-numeric-types-number-tostring
@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (-1.0, "-1"),
        (1.5, "1.5"),
        (100.0, "100"),
        (0.5, "0.5"),
        (-0.25, "-0.25"),
        (4.35, "4.35"),
        (0.1 + 0.2, "0.30000000000000004"),
        (123456.789e3, "123456789"),
        (1e16, "10000000000000000"),
        (1e20, "100000000000000000000"),
        (123456789012345680000.0, "123456789012345680000"),
        (1e21, "1e+21"),
        (-1e21, "-1e+21"),
        (1.5e21, "1.5e+21"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (0.001, "0.001"),
        (0.000001, "0.000001"),
        (0.00000123, "0.00000123"),
        (1e-7, "1e-7"),
        (-1.5e-9, "-1.5e-9"),
        (123e-20, "1.23e-18"),
        (5e-324, "5e-324"),
        (numpy.float64(1.5), "1.5"),
        (numpy.float64(1e21), "1e+21"),
        (numpy.float32(1.5), "1.5"),
        (numpy.float32(0.1), "0.10000000149011612"),  # String(Math.fround(0.1))
        (numpy.float16(numpy.nan), "NaN"),
        (numpy.longdouble(0.5), "0.5"),
        (numpy.int64(5), "5"),
        (numpy.int8(-5), "-5"),
        (numpy.uint64(2**64 - 1), "18446744073709551615"),
        (numpy.bool_(True), "true"),
    ],
)
def test_a_number_becomes_the_shortest_string_that_gives_it_back(number, expected):
    assert DOMString(number) == expected


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_number_survives_its_string(number):
    text = DOMString(number)
    assert float(text) == number
    assert re.fullmatch(r"-?(\d{1,21}(\.\d+)?|\d(\.\d+)?e[+-]\d+)", text)
    assert ("e" in text) == (not 1e-6 <= abs(number) < 1e21 and number != 0)


@pytest.mark.parametrize(
    "number",
    [10**5000, -(10**5000), 10**4300 + 7, 3**20_000, 1 - 10**9000],
    ids=lambda number: f"{number.bit_length()} bits",
)
def test_an_int_of_any_length_is_exact(number):
    text = DOMString(number)
    assert re.fullmatch(r"-?[1-9]\d*", text)
    value = 0
    for start in range(0, len(digits := text.lstrip("-")), 1000):  # int() has the same limit
        part = digits[start : start + 1000]
        value = value * 10 ** len(part) + int(part)
    assert value == abs(number)
    assert text.startswith("-") is (number < 0)


def test_a_subclass_of_str_counts_with_its_content():
    converted = DOMString(Text("content"))
    assert converted == "content"
    assert type(converted) is str


@pytest.mark.parametrize(
    "value",
    [
        *(object(), [], {}, b"bytes", 1j, type),
        *(numpy.complex64(1), numpy.datetime64("2020"), numpy.timedelta64(1, "D"), numpy.array(5)),
    ],
)
@pytest.mark.parametrize("convert", [DOMString, USVString])
def test_another_object_is_a_type_error_that_says_what_to_do(convert, value):
    with pytest.raises(TypeError, match=rf"data is a {type(value).__name__}, .*json\.dumps"):
        convert(value, "data")


def test_a_dom_string_keeps_lone_surrogates():
    assert DOMString("\ud800") == "\ud800"


# -- USVString: https://webidl.spec.whatwg.org/#js-USVString -------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("é€😀", "é€😀"),
        ("\ud800", "\ufffd"),
        ("\udc00!", "\ufffd!"),
        ("a\ud800b", "a\ufffdb"),
        ("\ud83d\ude00", "😀"),
        ("\ude00\ud83d", "\ufffd\ufffd"),
        ("\ud83d\ud83d\ude00", "\ufffd😀"),
        ("\ud83d\ude00\ude00", "😀\ufffd"),
    ],
)
def test_surrogates_pair_up_or_are_replaced(value, expected):
    assert USVString(value) == expected


def replace_by_the_standard(string: str) -> str:
    """https://infra.spec.whatwg.org/#javascript-string-convert, code unit by code unit."""
    units = [
        int.from_bytes(pair, "little")
        for pair in zip(*[iter(string.encode("utf-16-le", "surrogatepass"))] * 2, strict=True)
    ]
    result, at = "", 0
    while at < len(units):
        unit = units[at]
        low = units[at + 1] if at + 1 < len(units) else 0
        if 0xD800 <= unit <= 0xDBFF and 0xDC00 <= low <= 0xDFFF:
            result += chr(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00))
            at += 1
        else:
            result += "\ufffd" if 0xD800 <= unit <= 0xDFFF else chr(unit)
        at += 1
    return result


@given(st.text(st.sampled_from("aé€😀\ud800\udbff\udc00\udfff\ufffd")))
def test_any_string_becomes_scalar_values_as_the_standard_says(string):
    assert USVString(string) == replace_by_the_standard(string)


# -- numbers: https://webidl.spec.whatwg.org/#abstract-opdef-converttoint ------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1000, 1000),
        (-1, 0),
        (65535, 65535),
        (65536, 65535),
        (66536, 65535),
        (10**400, 65535),
        (-(10**400), 0),
        (2**53 + 1000, 65535),
        (0.5, 0),
        (1.5, 2),
        (2.5, 2),
        (999.9, 1000),
        (1000.5, 1000),
        (3000.5, 3000),
        (4999.9, 5000),
        (-0.0, 0),
        (math.nan, 0),
        (math.inf, 65535),
        (-math.inf, 0),
        (None, 0),
        (UNDEFINED, 0),
        (True, 1),
        (False, 0),
        ("", 0),
        ("1000", 1000),
        (" 3000 \n", 3000),
        ("\ufeff\u00a03000\u2029", 3000),
        ("\x1c3000", 0),  # Python's white space, not JavaScript's
        ("\u00853000", 0),
        ("+1e3", 1000),
        (".5e1", 5),
        ("7.", 7),
        ("-5", 0),
        ("0x3e8", 1000),
        ("0B11", 3),
        ("0o17", 15),
        ("-0x3e8", 0),
        ("0x" + "f" * 400, 65535),
        ("Infinity", 65535),
        ("-Infinity", 0),
        ("+Infinity", 65535),
        ("infinity", 0),
        ("inf", 0),
        ("nan", 0),
        ("1_000", 0),
        ("abc", 0),
        ("\u0661", 0),  # digits of other scripts are none
        (numpy.int64(1000), 1000),
        (numpy.uint64(2**64 - 1), 65535),
        (numpy.float32(2.5), 2),
        (numpy.float64(1000), 1000),
        (numpy.bool_(True), 1),
        (numpy.array(1000), 1000),
        (Index(1000), 1000),
    ],
)
def test_clamp_rounds_to_the_nearest_and_halves_to_the_even(value, expected):
    assert clamped_unsigned_short(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (65535, 65535),
        (65536, 0),
        (66536, 1000),
        (-1, 65535),
        (1.9, 1),
        (-1.9, 65535),
        (math.nan, 0),
        (math.inf, 0),
        (-math.inf, 0),
        (10**400, 0),
        (2**60 + 1000, 1024),  # what a double makes of it
        (2**64 + 1000, 0),
        (None, 0),
        ("4000", 4000),
    ],
)
def test_without_clamp_an_unsigned_short_wraps_around(value, expected):
    assert unsigned_short_code(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (-5, -5),
        (1.5, 2),
        (-0.5, 0),
        (-1.5, -2),
        (math.inf, 2**53 - 1),
        (-math.inf, -(2**53) + 1),
        (math.nan, 0),
        (2**70, 2**53 - 1),
    ],
)
def test_a_clamped_long_long_stays_in_the_safe_integers(value, expected):
    assert clamped_long_long(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1.9, 1), (-1.9, -1), (math.nan, 0), (math.inf, 2**53 - 1), (-math.inf, 1 - 2**53), ("3", 3)],
)
def test_an_integer_is_cut_towards_zero(value, expected):
    assert integer_or_infinity(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, 0), (1.9, 1), (-0.9, 0), ("10", 10), (None, 0), (2**53 - 1, 2**53 - 1)],
)
def test_enforce_range_cuts_fractions_first(value, expected):
    assert enforced_unsigned_long_long(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        *(-1, 2**53, Index(2**60), pytest.param(10**5000, id="long")),
        *(math.nan, math.inf, -math.inf, UNDEFINED, "abc"),
    ],
)
def test_enforce_range_refuses_what_is_out_of_range(value):
    with pytest.raises(TypeError, match=r"delay is .* from 0 to"):
        enforced_unsigned_long_long(value, "delay")


@pytest.mark.parametrize("convert", INTEGER_CONVERSIONS)
@pytest.mark.parametrize(
    "value",
    [
        *(object(), [1000], {}, b"1000", 1j),
        *(numpy.array([1000]), numpy.array(1.5), numpy.complex64(1), numpy.timedelta64(1000, "D")),
        Index("1000"),
    ],
)
def test_an_object_is_no_number(convert, value):
    with pytest.raises(TypeError, match=f"code is a {type(value).__name__}"):
        convert(value, "code")


# -- unions and dictionaries ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("chat", ["chat"]),
        ("", [""]),
        (None, ["null"]),
        (1, ["1"]),
        (True, ["true"]),
        ([], []),
        (["a", "b"], ["a", "b"]),
        (("a", 1, None, True), ["a", "1", "null", "true"]),
        ((letter for letter in "xy"), ["x", "y"]),
        ({"only"}, ["only"]),
        (Text("abc"), ["abc"]),
    ],
)
def test_a_string_or_a_sequence_becomes_a_list(value, expected):
    assert string_or_sequence(value) == expected


@pytest.mark.parametrize("value", [{"a": 1}, object(), b"chat", bytearray(b"chat"), [["a"]], [b""]])
def test_neither_a_string_nor_a_sequence_of_strings_is_a_type_error(value):
    with pytest.raises(TypeError, match="protocols"):
        string_or_sequence(value, "protocols")


@pytest.mark.parametrize("empty", [None, UNDEFINED, {}])
def test_a_dictionary_may_be_left_out(empty):
    assert dictionary(empty, {}) == {}
    assert dictionary(empty, {"once": True}) == {"once": True}


@pytest.mark.parametrize("mapping", [OrderedDict, MappingProxyType])
def test_any_mapping_is_a_dictionary_and_keywords_win(mapping):
    given = mapping({"once": True, "capture": True})
    assert dictionary(given, {"once": False}) == {"once": False, "capture": True}
    assert given["once"] is True


def test_an_unknown_keyword_is_a_type_error_that_names_the_known_ones():
    check_keywords("f()", {"a": 1}, "a", "b")
    check_keywords("f()", {}, "a", "b")
    with pytest.raises(TypeError, match=r"^f\(\) has no keyword c; the known ones are a, b and d$"):
        check_keywords("f()", {"a": 1, "c": UNDEFINED}, "a", "b", "d")


def test_an_undefined_member_counts_as_left_out():
    assert dictionary({"a": UNDEFINED, "b": None}, {"c": UNDEFINED}) == {"b": None}


@pytest.mark.parametrize("value", [1, "text", [("once", True)], object()])
def test_what_is_no_mapping_is_no_dictionary(value):
    with pytest.raises(TypeError, match=f"options is a {type(value).__name__}"):
        dictionary(value, {}, "options")


@pytest.mark.parametrize(
    "value",
    [b"", bytearray(1), memoryview(b"1"), array.array("d", [1.0]), numpy.zeros((2, 2))[:, 0]],
)
def test_the_buffer_protocol_makes_a_buffer_source(value):
    assert is_buffer(value)


@pytest.mark.parametrize(
    "value",
    [
        *("text", None, 1, [1], object(), numpy.str_("text")),
        *(numpy.float64(1.5), numpy.float32(1.5), numpy.int64(5), numpy.bool_(True)),
        *(numpy.complex64(1), numpy.datetime64("2020"), numpy.timedelta64(1, "D")),
    ],
)
def test_other_objects_are_no_buffer_source(value):
    assert not is_buffer(value)


def released() -> memoryview:
    view = memoryview(b"gone")
    view.release()
    return view


def structure(*types: type) -> ctypes.Structure:
    # A field may be named as a format's letter is.
    fields = [(name, of) for name, of in zip("OPz&", types, strict=False)]
    return type("Made", (ctypes.Structure,), {"_fields_": fields})()


DATES = numpy.array(["2020-01-01"], "datetime64[D]")
OBJECTS = numpy.array([None, "text"], object)


@pytest.mark.parametrize(
    "value",
    [
        bytearray(b"ab"),
        memoryview(b"abcd")[::2],
        array.array("d", [1.5]),
        numpy.arange(6, dtype="u2").reshape(2, 3)[:, 1:],
        numpy.array(5),
        numpy.array([1j]),  # its format is "Zd", and "Z" alone a pointer
        numpy.array(["text"]),
        numpy.zeros(2, [("O", "i4"), ("P", [("z", "f8", 3)])]),
        numpy.void(b"raw"),
        (ctypes.c_int * 2)(1, 2),
        structure(ctypes.c_int, ctypes.c_double),
    ],
)
def test_a_buffer_gives_a_copy_of_its_content(value):
    assert is_buffer(value)
    assert buffer_bytes(value) == memoryview(value).tobytes()


@pytest.mark.parametrize(
    "value",
    [
        OBJECTS,
        OBJECTS[:0],
        numpy.array(None, object),
        numpy.zeros(2, [("a", "i4"), ("b", object)]),
        numpy.zeros(2, [("a", [("b", "i4"), ("c", object, (2, 2))])]),
        memoryview(OBJECTS),
        (ctypes.py_object * 2)("a", "b"),
        ctypes.pointer(ctypes.c_int(1)),
        ctypes.c_char_p(b"text"),
        ctypes.c_wchar_p("text"),
        ctypes.c_void_p(5),
        ctypes.CFUNCTYPE(None)(lambda: None),
        structure(ctypes.c_int, ctypes.c_void_p),
    ],
)
def test_a_buffer_of_addresses_is_a_type_error_that_says_so(value):
    assert is_buffer(value)
    with pytest.raises(
        TypeError, match=rf"data is a {type(value).__name__} that holds memory addr"
    ):
        buffer_bytes(value, "data")


@pytest.mark.parametrize("make", [released, lambda: DATES], ids=["released", "dates"])
def test_a_buffer_that_cannot_be_read_is_a_type_error_that_says_why(make):
    assert is_buffer(make())
    with pytest.raises(TypeError, match=r"data is a \w+ that cannot be read: .*(released|dtype)"):
        buffer_bytes(make(), "data")


# -- DOMException: https://webidl.spec.whatwg.org/#idl-DOMException ------------------------------

# https://webidl.spec.whatwg.org/#dfn-error-names-table: name, legacy code, its constant
CODES = """
IndexSizeError 1 INDEX_SIZE_ERR
HierarchyRequestError 3 HIERARCHY_REQUEST_ERR
WrongDocumentError 4 WRONG_DOCUMENT_ERR
InvalidCharacterError 5 INVALID_CHARACTER_ERR
NoModificationAllowedError 7 NO_MODIFICATION_ALLOWED_ERR
NotFoundError 8 NOT_FOUND_ERR
NotSupportedError 9 NOT_SUPPORTED_ERR
InUseAttributeError 10 INUSE_ATTRIBUTE_ERR
InvalidStateError 11 INVALID_STATE_ERR
SyntaxError 12 SYNTAX_ERR
InvalidModificationError 13 INVALID_MODIFICATION_ERR
NamespaceError 14 NAMESPACE_ERR
InvalidAccessError 15 INVALID_ACCESS_ERR
TypeMismatchError 17 TYPE_MISMATCH_ERR
SecurityError 18 SECURITY_ERR
NetworkError 19 NETWORK_ERR
AbortError 20 ABORT_ERR
URLMismatchError 21 URL_MISMATCH_ERR
QuotaExceededError 22 QUOTA_EXCEEDED_ERR
TimeoutError 23 TIMEOUT_ERR
InvalidNodeTypeError 24 INVALID_NODE_TYPE_ERR
DataCloneError 25 DATA_CLONE_ERR
"""


@pytest.mark.parametrize("line", CODES.split("\n")[1:-1])
def test_a_name_with_a_legacy_code_has_it_and_its_constant(line):
    name, code, constant = line.split()
    error = DOMException("", name)
    assert error.code == int(code)
    assert getattr(DOMException, constant) == getattr(error, constant) == int(code)


@pytest.mark.parametrize(
    ("constant", "code"),
    [("DOMSTRING_SIZE_ERR", 2), ("NO_DATA_ALLOWED_ERR", 6), ("VALIDATION_ERR", 16)],
)
def test_the_constants_that_no_name_uses_any_more_are_there(constant, code):
    assert getattr(DOMException, constant) == code


@pytest.mark.parametrize(
    "name", ["EncodingError", "NotReadableError", "NotAllowedError", "OperationError", "Error", "x"]
)
def test_other_names_have_the_code_0(name):
    assert DOMException("", name).code == 0


def test_a_dom_exception_defaults_to_no_message_and_the_name_error():
    error = DOMException()
    assert (error.message, error.name, error.code) == ("", "Error", 0)


def test_a_dom_exception_converts_its_arguments_and_ignores_surplus_ones():
    error = DOMException(None, 5, "surplus", object())
    assert (error.message, error.name) == ("null", "5")
    assert DOMException(UNDEFINED, UNDEFINED).name == "Error"
    assert DOMException(UNDEFINED).message == ""
    with pytest.raises(TypeError):
        DOMException(object())


@pytest.mark.parametrize("member", ["name", "message", "code"])
def test_a_dom_exception_is_read_only(member):
    with pytest.raises(AttributeError):
        setattr(DOMException("m", "AbortError"), member, "x")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("lost", "NetworkError"), "NetworkError: lost"),
        (("", "NetworkError"), "NetworkError"),
        (("lost", ""), "lost"),
        (("lost",), "Error: lost"),
    ],
)
def test_a_dom_exception_prints_as_in_javascript(arguments, text):
    assert str(DOMException(*arguments)) == text


@pytest.mark.parametrize("clone", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_a_dom_exception_is_an_exception_that_can_be_copied(clone):
    error = clone(DOMException("lost", "NetworkError"))
    assert isinstance(error, Exception)
    assert (error.name, error.message, error.code) == ("NetworkError", "lost", 19)
