"""Blob, ArrayBuffer and DOMException."""

from __future__ import annotations

from collections.abc import Iterator

from .words import UNDEFINED, Scenario, Step, Value, blob, call, get, new, obj, scenario

READ = [get("b.size"), get("b.type"), call("b.text"), call("b.arrayBuffer"), call("b.bytes")]

BLOBS: dict[str, list[Value]] = {
    "nothing": [],
    "undefined": [UNDEFINED],
    "empty": [[]],
    "texts": [["a", "", "\u00e9"]],
    "surrogate": [[{"utf16": [0xD800]}, {"utf16": [0xDC00]}]],
    "buffers": [[{"bytes": "00ff"}, {"view": "Uint8Array", "bytes": "010203", "offset": 1}]],
    "wide-views": [[{"view": "Uint16Array", "bytes": "01020304", "size": 2}]],
    "blobs": [[blob("a", type="x/y"), blob("b")]],
    "others": [[1, 1.5, None, True, UNDEFINED]],
    "type": [["x"], obj(type="Text/PLAIN;Charset=UTF-8")],
    "type-not-ascii": [["x"], obj(type="text/\u00e9")],
    "type-control": [["x"], obj(type="a\tb")],
    "type-delete": [["x"], obj(type="a\x7f")],
    "type-spaces": [["x"], obj(type=" A b ")],
    "type-null": [["x"], obj(type=None)],
    "type-number": [["x"], obj(type=1)],
    "type-undefined": [["x"], obj(type=UNDEFINED)],
    "options-null": [["x"], None],
    "options-undefined": [["x"], UNDEFINED],
    "endings-transparent": [["a\r\nb\rc\n"], obj(endings="transparent")],
    "endings-native": [["a\r\nb\rc\nd\r", "\ne"], obj(endings="native")],
    "endings-native-buffer": [[{"bytes": "610d0a62"}, blob("a\r\nb")], obj(endings="native")],
    "invalid-utf8": [[{"bytes": "61ff62c328f09f98"}]],
    "byte-order-mark": [["\ufeffa\ufeff"]],
    "utf16-mark": [[{"bytes": "fffe6100"}]],
}

BAD_BLOBS: dict[str, list[Value]] = {
    "null": [None],
    "text": ["abc"],
    "number": [1],
    "true": [True],
    "object": [obj(a=1)],
    "buffer": [{"bytes": "00"}],
    "blob": [blob("x")],
    "options-number": [[], 1],
    "options-text": [[], "x"],
    "endings": [[], obj(endings="windows")],
    "endings-null": [[], obj(endings=None)],
}

SLICES: dict[str, list[Value]] = {
    "all": [],
    "from": [3],
    "from-to": [2, 5],
    "from-to-type": [2, 5, "Text/X"],
    "negative": [-3],
    "negative-to": [0, -2],
    "both-negative": [-4, -2],
    "crossed": [5, 2],
    "beyond": [5, 100],
    "from-beyond": [100],
    "far-negative": [-100, 3],
    "fraction": [1.5, 3.5],
    "fraction-to-even": [2.5, 4.5],
    "nan": [{"number": "NaN"}, {"number": "Infinity"}],
    "null": [None, None],
    "undefined": [UNDEFINED, UNDEFINED, UNDEFINED],
    "undefined-end": [2, UNDEFINED],
    "texts": ["2", "4"],
    "bad-type": [0, 3, "t\u00e9xt"],
    "type-null": [0, 3, None],
    "infinity": [{"number": "-Infinity"}, {"number": "Infinity"}],
    "huge": [9007199254740993, 1e30],
}

BUFFER: Step = new("ArrayBuffer", 8, name="b")


def scenarios() -> Iterator[Scenario]:
    for name, arguments in BLOBS.items():
        yield scenario("binary", f"blob-{name}", [new("Blob", *arguments, name="b"), *READ])
    for name, arguments in BAD_BLOBS.items():
        yield scenario("binary", f"blob-bad-{name}", [new("Blob", *arguments, name="b")])
    for name, arguments in SLICES.items():
        ten = new("Blob", ["01234", {"bytes": "3536373839"}], obj(type="a/b"), name="whole")
        yield scenario(
            "binary", f"slice-{name}", [ten, call("whole.slice", *arguments, **{"as": "b"}), *READ]
        )
        buffer = {"bytes": "00010203040506070809"}
        script = [
            new("MessageEvent", "x", obj(data=buffer), name="e"),
            call("e.data.slice", *arguments, label="slice"),
            get("e.data.byteLength"),
        ]
        if name not in ("from-to-type", "bad-type", "type-null"):
            yield scenario("binary", f"buffer-slice-{name}", script)
    yield scenario(
        "binary",
        "slice-of-slice",
        [
            new("Blob", ["0123456789"], name="whole"),
            call("whole.slice", 2, 8, **{"as": "part"}),
            call("part.slice", -4, -1, "X/y", **{"as": "b"}),
            *READ,
        ],
    )
    yield scenario("binary", "buffer-zeros", [BUFFER, get("b.byteLength"), call("b.slice", 2, 5)])
    yield scenario("binary", "buffer-empty", [new("ArrayBuffer", 0, name="b"), get("b.byteLength")])
    yield scenario(
        "binary",
        "buffer-isView",
        [
            call("ArrayBuffer.isView", value)
            for value in (
                {"bytes": "00"},
                {"view": "Uint8Array", "bytes": "00"},
                {"view": "DataView", "bytes": "00"},
                "x",
                1,
                None,
                [],
            )
        ],
    )
    yield from _exceptions()


def _exceptions() -> Iterator[Scenario]:
    members = [get(f"d.{name}") for name in ("name", "message", "code")]
    for name, arguments in {
        "nothing": [],
        "message": ["m"],
        "both": ["m", "AbortError"],
        "no-code": ["m", "DataError"],
        "unknown": ["m", "MyError"],
        "undefined": [UNDEFINED, UNDEFINED],
        "null": [None, None],
        "numbers": [1, 2],
    }.items():
        script = [new("DOMException", *arguments, name="d"), *members]
        yield scenario("binary", f"exception-{name}", script)
    for name in (
        *("IndexSizeError", "HierarchyRequestError", "InvalidCharacterError", "NotFoundError"),
        *("NotSupportedError", "InvalidStateError", "SyntaxError", "NamespaceError"),
        *("InvalidAccessError", "TypeMismatchError", "SecurityError", "NetworkError"),
        *("URLMismatchError", "QuotaExceededError", "TimeoutError", "InvalidNodeTypeError"),
        *("DataCloneError", "EncodingError", "NotReadableError", "UnknownError", "OperationError"),
    ):
        script = [new("DOMException", "", name, name="d"), get("d.code")]
        yield scenario("binary", f"exception-code-{name}", script)
