"""Web IDL: how values cross from Python into the web's types, and `DOMException`.

Spec: https://webidl.spec.whatwg.org/

Every public member converts its arguments here first, so that its body can trust them.
JavaScript's `undefined` is an argument left out (`UNDEFINED`); `None` is `null`.
"""

from __future__ import annotations

import math
import operator
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

__all__ = [
    "UNDEFINED",
    "DOMException",
    "DOMString",
    "USVString",
    "Undefined",
    "boolean",
    "buffer_bytes",
    "check_keywords",
    "clamped_long_long",
    "clamped_unsigned_short",
    "defaulted",
    "dictionary",
    "enforced_unsigned_long_long",
    "integer_or_infinity",
    "is_buffer",
    "sequence",
    "string_or_sequence",
    "unsigned_short_code",
]


class Undefined:
    """The type of `UNDEFINED`, JavaScript's `undefined`: an argument that was left out."""

    def __repr__(self) -> str:
        return "undefined"

    def __bool__(self) -> bool:
        return False


UNDEFINED: Final = Undefined()


def defaulted(value: Any, default: Any) -> Any:
    """Return an optional argument's `value`, or its `default` where `UNDEFINED` was passed."""
    return default if isinstance(value, Undefined) else value


def DOMString(value: object, what: str = "the value") -> str:
    """Convert `value` to a string as JavaScript's `String(value)` does for primitives.

    Spec: https://webidl.spec.whatwg.org/#js-DOMString

    Raises:
        TypeError: `value` is an object other than `str`. JavaScript would write
            `[object Object]`, which no Python program means.
    """
    if isinstance(value, str):
        return value if type(value) is str else str.__str__(value)
    if value is None:
        return "null"
    if isinstance(value, Undefined):
        return "undefined"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return _int_to_string(int(value))
    if isinstance(value, float):
        return _number_to_string(float(value))  # float(): NumPy's have a repr of their own
    number = _python_number(value)
    if number is not value:
        return DOMString(number, what)
    raise TypeError(
        f"{what} is a {type(value).__name__}, where a string is expected (or None, bool, int, "
        "float, which convert as in JavaScript); convert it yourself, for example with "
        "json.dumps() or str() (https://webidl.spec.whatwg.org/#js-DOMString)"
    )


def boolean(value: object) -> bool:
    """Convert `value` to a boolean: Python's truth, but NaN is false.

    Spec: https://webidl.spec.whatwg.org/#js-boolean

    Differences from a browser: an empty list or dict is false, as everywhere in Python.
    """
    if not value:
        return False
    number = _python_number(value)
    return not (isinstance(number, float) and math.isnan(number))


def USVString(value: object, what: str = "the value") -> str:
    """Convert `value` as `DOMString` does, then make it a string of Unicode scalar values.

    Spec: https://webidl.spec.whatwg.org/#js-USVString

    A surrogate pair becomes its code point, a lone surrogate U+FFFD.
    """
    string = DOMString(value, what)
    if string.isascii():
        return string
    try:
        string.encode()
    except UnicodeEncodeError:
        return string.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return string


def _int_to_string(value: int) -> str:
    """Return the digits, however many: `str()` alone refuses more than 4,300 of them."""
    try:
        return str(value)
    except ValueError:
        pass
    if value < 0:
        return "-" + _int_to_string(-value)
    half = value.bit_length() * 3 // 20  # of log10(2) times the bits, its digits
    high, low = divmod(value, 10**half)
    return _int_to_string(high) + _int_to_string(low).zfill(half)


def _number_to_string(value: float) -> str:
    """Spec: https://tc39.es/ecma262/#sec-numeric-types-number-tostring"""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = f"{abs(value)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).rstrip("0") if fraction.strip("0") or exponent else whole
    # `point` is where the decimal point stands, counted from the first digit (n in the standard).
    point = len(whole) + int(exponent or 0)
    stripped = digits.lstrip("0")
    point -= len(digits) - len(stripped)
    digits = stripped.rstrip("0")
    if len(digits) <= point <= 21:
        return sign + digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    power = point - 1
    tail = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{tail}e{'+' if power >= 0 else '-'}{abs(power)}"


# By the kind of its dtype, what Python makes of a NumPy scalar that JavaScript has as well.
_NUMBERS: Final[dict[str, Callable[[Any], object]]] = {
    "b": bool,
    "i": int,
    "u": int,
    "f": float,
}


def _numpy_kind(value: object) -> str:
    """Return the kind of a NumPy scalar's dtype, or an empty string for anything else.

    An array is none, even without a dimension. Without NumPy imported, nobody has a scalar of it.
    """
    generic: Any = getattr(sys.modules.get("numpy"), "generic", ())
    return value.dtype.kind if isinstance(value, generic) else ""


def _python_number(value: object) -> object:
    """Return Python's number for one of NumPy's, or `value` itself."""
    convert = _NUMBERS.get(_numpy_kind(value))
    return value if convert is None else convert(value)


_MAX_SAFE_INTEGER: Final = 2**53 - 1

_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_PREFIXED = re.compile(r"0(?:[xX][0-9a-fA-F]+|[oO][0-7]+|[bB][01]+)")
# https://tc39.es/ecma262/#prod-StrWhiteSpaceChar; not what str.strip() takes for white space
_WHITE_SPACE = (
    "\t\n\v\f\r \xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)


def _to_number(value: object, what: str) -> float:
    """Spec: https://tc39.es/ecma262/#sec-tonumber"""
    if value is None:
        return 0.0
    if isinstance(value, Undefined):
        return math.nan
    if isinstance(value, int):  # bool is an int
        return _int_to_number(value)
    if isinstance(value, float):
        return value
    if isinstance(value, str):
        return _string_to_number(value.strip(_WHITE_SPACE))
    number = _python_number(value)
    if number is not value:
        return _to_number(number, what)
    try:
        return _int_to_number(operator.index(value))  # type: ignore[arg-type]
    except TypeError:
        pass
    raise TypeError(
        f"{what} is a {type(value).__name__}, where a number is expected "
        "(https://webidl.spec.whatwg.org/#js-integer-types)"
    )


def _int_to_number(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _string_to_number(text: str) -> float:
    if not text:
        return 0.0
    if _PREFIXED.fullmatch(text):
        return _int_to_number(int(text, 0))
    if _DECIMAL.fullmatch(text):
        return float(text)
    if text in ("Infinity", "+Infinity", "-Infinity"):
        return math.inf if text[0] != "-" else -math.inf
    return math.nan


def clamped_unsigned_short(value: object, what: str = "the value") -> int:
    """Convert to `[Clamp] unsigned short`: 0 to 65535, halves to the even neighbour, NaN to 0.

    Spec: https://webidl.spec.whatwg.org/#abstract-opdef-converttoint

    Raises:
        TypeError: `value` is neither a number, a string, a bool nor None.
    """
    return _clamped(value, 0, 65535, what)


def clamped_long_long(value: object, what: str = "the value") -> int:
    """Convert to `[Clamp] long long`: -(2**53 - 1) to 2**53 - 1, otherwise as its short sister.

    Spec: https://webidl.spec.whatwg.org/#abstract-opdef-converttoint

    Raises:
        TypeError: `value` is neither a number, a string, a bool nor None.
    """
    return _clamped(value, -_MAX_SAFE_INTEGER, _MAX_SAFE_INTEGER, what)


def _clamped(value: object, lowest: int, highest: int, what: str) -> int:
    number = _to_number(value, what)
    if math.isnan(number):
        return 0
    return round(min(max(number, lowest), highest))


def integer_or_infinity(value: object, what: str = "the value") -> int:
    """Convert to an integer, fractions cut and NaN to 0; infinity is +-(2**53 - 1) here.

    Spec: https://tc39.es/ecma262/#sec-tointegerorinfinity

    Raises:
        TypeError: `value` is neither a number, a string, a bool nor None.
    """
    number = _to_number(value, what)
    if math.isnan(number):
        return 0
    return math.trunc(min(max(number, -_MAX_SAFE_INTEGER), _MAX_SAFE_INTEGER))


def enforced_unsigned_long_long(value: object, what: str = "the value") -> int:
    """Convert to `[EnforceRange] unsigned long long`: 0 to 2**53 - 1, fractions cut.

    Spec: https://webidl.spec.whatwg.org/#abstract-opdef-converttoint

    Raises:
        TypeError: `value` is no number, or out of that range.
    """
    number = _to_number(value, what)
    # Fractions are cut before the range is checked: -0.5 is 0.
    if not -1 < number < _MAX_SAFE_INTEGER + 1:
        raise TypeError(
            f"{what} is {_number_to_string(number)}, where a number from 0 to 2**53 - 1 is "
            "expected (https://webidl.spec.whatwg.org/#EnforceRange)"
        )
    return math.trunc(number)


def unsigned_short_code(value: object, what: str = "the value") -> int:
    """Convert to `unsigned short` without `[Clamp]`: truncate, then modulo 65536.

    Spec: https://webidl.spec.whatwg.org/#js-unsigned-short (`CloseEventInit.code`)
    """
    number = _to_number(value, what)
    if math.isnan(number) or math.isinf(number):
        return 0
    return math.trunc(number) % 65536


def string_or_sequence(value: object, what: str = "the value") -> list[str]:
    """Convert `(DOMString or sequence<DOMString>)` to a list of strings.

    Spec: https://webidl.spec.whatwg.org/#js-union

    Raises:
        TypeError: `value` is an object that is neither a string nor a sequence of strings.
    """
    if (
        isinstance(value, Iterable)
        and not isinstance(value, (str, Mapping))
        and not is_buffer(value)
    ):
        return [DOMString(item, f"an item of {what}") for item in value]
    return [DOMString(value, what)]


def sequence(value: object, what: str = "the value") -> Iterable[Any]:
    """Check that `value` can be taken for a sequence: a string and a mapping cannot.

    Spec: https://webidl.spec.whatwg.org/#js-sequence
    """
    if isinstance(value, Iterable) and not isinstance(value, (str, Mapping)):
        return value
    raise TypeError(
        f"{what} is a {type(value).__name__}, where a sequence is expected "
        "(https://webidl.spec.whatwg.org/#js-sequence)"
    )


def dictionary(
    value: object, keywords: Mapping[str, Any], what: str = "the options"
) -> dict[str, Any]:
    """Merge a dictionary argument with keyword arguments; keywords win.

    Spec: https://webidl.spec.whatwg.org/#js-dictionary

    A member whose value is `UNDEFINED` counts as left out, as in JavaScript.

    Raises:
        TypeError: `value` is neither a mapping nor None.
    """
    if value is None or isinstance(value, Undefined):
        members: dict[str, Any] = {}
    elif isinstance(value, Mapping):
        members = dict(value)
    else:
        raise TypeError(
            f"{what} is a {type(value).__name__}, where a dict or None is expected "
            "(https://webidl.spec.whatwg.org/#js-dictionary)"
        )
    members.update(keywords)
    return {key: item for key, item in members.items() if not isinstance(item, Undefined)}


def check_keywords(function: str, given: Iterable[str], *known: str) -> None:
    """Refuse keywords that `function` does not know; an unknown member of a dict is ignored.

    JavaScript has no keywords, so that one which is unknown can only be a slip.

    Raises:
        TypeError: one of `given` is not among the `known`.
    """
    for name in given:
        if name not in known:
            raise TypeError(
                f"{function} has no keyword {name}; the known ones are {', '.join(known[:-1])} "
                f"and {known[-1]}"
            )


def is_buffer(value: object) -> bool:
    """Tell whether `value` is a `BufferSource`: here, anything with the buffer protocol.

    But a string or a number is one first, even where it has that protocol, as NumPy's do (of its
    scalars only raw data, `numpy.void`, are a buffer).
    """
    if isinstance(value, (bytes, bytearray)):
        return True
    if isinstance(value, (str, int, float)) or _numpy_kind(value) not in ("", "V"):
        return False
    try:
        memoryview(value).release()  # type: ignore[arg-type]
    except TypeError:
        return False
    except (ValueError, BufferError):  # it has the protocol, if nothing to give: `buffer_bytes`
        pass
    return True


# In a format of https://peps.python.org/pep-3118/, and in those of ctypes, what stands for an
# object, a pointer, a function or a C string; "Zf", "Zd" and "Zg" are complex numbers.
_ADDRESS = re.compile("[OPz&X]|Z(?![fdg])")
_FIELD_NAME = re.compile(":[^:]*:")


def buffer_bytes(value: object, what: str = "the value") -> bytes:
    """Copy the content of a `BufferSource`.

    Spec: https://webidl.spec.whatwg.org/#dfn-get-buffer-source-copy

    Raises:
        TypeError: the buffer gives nothing (it was released, say), or holds memory addresses, as
            those of Python objects do: nobody means to send them.
    """
    try:
        view = memoryview(value)  # type: ignore[arg-type]
        format = view.format
    except (ValueError, BufferError) as error:
        raise TypeError(
            f"{what} is a {value.__class__.__name__} that cannot be read: {error} "
            "(https://webidl.spec.whatwg.org/#dfn-get-buffer-source-copy)"
        ) from None
    if format == "B" or not _ADDRESS.search(_FIELD_NAME.sub("", format)):
        return view.tobytes()
    raise TypeError(
        f"{what} is a {value.__class__.__name__} that holds memory addresses (format {format!r}), "
        "not data; convert it yourself, for example with json.dumps() or astype() "
        "(https://webidl.spec.whatwg.org/#dfn-get-buffer-source-copy)"
    )


# https://webidl.spec.whatwg.org/#dfn-error-names-table, the names with a legacy code
_LEGACY_CODES: Final[dict[str, int]] = {
    "IndexSizeError": 1,
    "HierarchyRequestError": 3,
    "WrongDocumentError": 4,
    "InvalidCharacterError": 5,
    "NoModificationAllowedError": 7,
    "NotFoundError": 8,
    "NotSupportedError": 9,
    "InUseAttributeError": 10,
    "InvalidStateError": 11,
    "SyntaxError": 12,
    "InvalidModificationError": 13,
    "NamespaceError": 14,
    "InvalidAccessError": 15,
    "TypeMismatchError": 17,
    "SecurityError": 18,
    "NetworkError": 19,
    "AbortError": 20,
    "URLMismatchError": 21,
    "QuotaExceededError": 22,
    "TimeoutError": 23,
    "InvalidNodeTypeError": 24,
    "DataCloneError": 25,
}


class DOMException(Exception):
    """An error of the web platform, told apart by its `name`.

    Spec: https://webidl.spec.whatwg.org/#idl-DOMException

    Args:
        message: what happened; default "".
        name: the error's name, for example "SyntaxError"; default "Error".
    """

    INDEX_SIZE_ERR: Final = 1
    DOMSTRING_SIZE_ERR: Final = 2
    HIERARCHY_REQUEST_ERR: Final = 3
    WRONG_DOCUMENT_ERR: Final = 4
    INVALID_CHARACTER_ERR: Final = 5
    NO_DATA_ALLOWED_ERR: Final = 6
    NO_MODIFICATION_ALLOWED_ERR: Final = 7
    NOT_FOUND_ERR: Final = 8
    NOT_SUPPORTED_ERR: Final = 9
    INUSE_ATTRIBUTE_ERR: Final = 10
    INVALID_STATE_ERR: Final = 11
    SYNTAX_ERR: Final = 12
    INVALID_MODIFICATION_ERR: Final = 13
    NAMESPACE_ERR: Final = 14
    INVALID_ACCESS_ERR: Final = 15
    VALIDATION_ERR: Final = 16
    TYPE_MISMATCH_ERR: Final = 17
    SECURITY_ERR: Final = 18
    NETWORK_ERR: Final = 19
    ABORT_ERR: Final = 20
    URL_MISMATCH_ERR: Final = 21
    QUOTA_EXCEEDED_ERR: Final = 22
    TIMEOUT_ERR: Final = 23
    INVALID_NODE_TYPE_ERR: Final = 24
    DATA_CLONE_ERR: Final = 25

    def __init__(self, message: object = "", name: object = "Error", *_: object) -> None:
        self._message = DOMString(defaulted(message, ""), "message")
        self._name = DOMString(defaulted(name, "Error"), "name")
        super().__init__(self._message, self._name)

    @property
    def name(self) -> str:
        """The error's name, for example "InvalidStateError"."""
        return self._name

    @property
    def message(self) -> str:
        """What happened, for people."""
        return self._message

    @property
    def code(self) -> int:
        """The legacy code of `name`, or 0 where it has none."""
        return _LEGACY_CODES.get(self._name, 0)

    def __str__(self) -> str:
        # https://tc39.es/ecma262/#sec-error.prototype.tostring
        return ": ".join(part for part in (self._name, self._message) if part)
