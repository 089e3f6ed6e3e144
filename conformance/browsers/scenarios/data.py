"""Data of all kinds and sizes, both ways."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .words import (
    ACCEPT,
    CLOSE_IT,
    FIN,
    GO,
    GONE_ON,
    SERVE,
    UNDEFINED,
    WAIT,
    Scenario,
    Step,
    binary,
    blob,
    call,
    close,
    expect,
    frame,
    put,
    scenario,
    state,
    text,
    write,
    ws,
)

CLOSE = close()
END = (expect("close"), FIN)

SIZES = (0, 1, 64, 125, 126, 127, 65535, 65536, 65537, 1 << 20)

TEXTS: dict[str, Any] = {
    "ascii-edges": "\0\x01\x7f",
    "two-bytes": "\x80\u07ff",
    "three-bytes": "\u0800\ud7ff\ue000\uffff",
    "four-bytes": "\U00010000\U0010ffff",
    "not-characters": "\ufdd0\ufffe\uffff\U0001fffe",
    "byte-order-mark": "\ufeffx\ufeff",
    "combining": "e\u0301\u200d\U0001f468",
    "newlines": "a\r\nb\rc\n\u2028",
    "replacement": "\ufffd",
    "lone-high": {"utf16": [0xD800]},
    "lone-low": {"utf16": [0x61, 0xDC00, 0x62]},
    "lone-both": {"utf16": [0xDC00, 0xD800]},
    "high-high-low": {"utf16": [0xD83D, 0xD83D, 0xDE00]},
    "high-then-letter": {"utf16": [0xDBFF, 0x78]},
    "lone-in-long": {"utf16": [*[0x61] * 70000, 0xD800]},
    "null": None,
    "undefined": UNDEFINED,
    "true": True,
    "false": False,
    "zero": 0,
    "minus-zero": {"number": "-0"},
    "integer": 9007199254740993,
    "negative": -5,
    "fraction": 0.1,
    "small": 1e-7,
    "large": 1e21,
    "below-large": 123456789012345680000,
    "nan": {"number": "NaN"},
    "infinity": {"number": "-Infinity"},
    "empty-list": [],
    "list": ["a", "b"],
    "object": {"object": {"a": 1}},
    "function": {"fn": "f", "do": []},
}

BYTES = "000102030405060708090a0b0c0d0e0f"
VIEWS: dict[str, dict[str, Any]] = {
    **{
        name: {"view": name, "bytes": BYTES, "size": size}
        for name, size in {
            "Int8Array": 1, "Uint8Array": 1, "Uint8ClampedArray": 1, "DataView": 1,
            "Int16Array": 2, "Uint16Array": 2, "Int32Array": 4, "Uint32Array": 4,
            "Float32Array": 4, "Float64Array": 8, "BigInt64Array": 8, "BigUint64Array": 8,
        }.items()
    },
    "Uint8Array-part": {"view": "Uint8Array", "bytes": BYTES, "offset": 3, "length": 5},
    "Uint16Array-part": {
        "view": "Uint16Array", "size": 2, "bytes": BYTES, "offset": 2, "length": 3,
    },
    "DataView-part": {"view": "DataView", "bytes": BYTES, "offset": 15, "length": 1},
    "Uint8Array-empty": {"view": "Uint8Array", "bytes": BYTES, "offset": 16, "length": 0},
    "Float64Array-part": {
        "view": "Float64Array", "size": 8, "bytes": BYTES, "offset": 8, "length": 1,
    },
}  # fmt: skip

INVALID_UTF8 = {
    "lone-continuation": "80",
    "not-continued": "c3",
    "not-continued-within": "c328",
    "overlong-2": "c080",
    "overlong-3": "e08080",
    "overlong-4": "f0808080",
    "surrogate": "eda080",
    "surrogate-pair": "eda080edb080",
    "beyond": "f4908080",
    "ff": "ff",
    "fe": "fe",
    "five-bytes": "f888808080",
    "cut-4": "f09f98",
    "good-then-bad": "68690080",
}


def _sent(name: str, data: Any, *first: Step) -> Scenario:
    """`data` is sent and comes back."""
    steps = [*first, call("a.send", data), state()]
    return scenario("data", name, [ws(open=steps, message=[CLOSE_IT])])


def scenarios() -> Iterator[Scenario]:
    for size in SIZES:
        yield _sent(f"text-{size}", {"repeat": ["x", size]})
        yield _sent(f"text-wide-{size}", {"repeat": ["\u20ac", size // 3]})
        yield _sent(f"buffer-{size}", {"bytes": [7, size]}, put("a.binaryType", "arraybuffer"))
        yield _sent(f"blob-{size}", blob({"bytes": [7, size]}))
    for name, data in TEXTS.items():
        script = [ws(open=[call("a.send", data), state(), call("a.send", "end"), CLOSE_IT])]
        yield scenario("data", f"text-{name}", script)
    for name, view in VIEWS.items():
        yield _sent(f"view-{name}", view, put("a.binaryType", "arraybuffer"))
    yield _sent("blob-with-type", blob("x", type="text/plain"))
    yield _sent("blob-of-parts", blob("a\u00e9", {"bytes": "00"}, blob("in"), VIEWS["DataView"]))
    yield from _order()
    yield from _received()


def _order() -> Iterator[Scenario]:
    """What is sent in one task arrives in its order, blobs too."""
    steps = [
        call("a.send", "1"),
        call("a.send", blob("2")),
        call("a.send", {"bytes": "33"}),
        call("a.send", blob({"bytes": [4, 100000]})),
        call("a.send", "5"),
        state(),
        CLOSE_IT,
        state(),
    ]
    yield scenario("data", "kinds-in-order", [ws(open=steps)], ACCEPT, ["expect", "close"], FIN)
    yield scenario("data", "kinds-echoed", [ws(open=steps[:-2])], ACCEPT,
                   ["expect", "text", "binary", "binary", "binary", "text"],
                   write(text("all"), CLOSE), *END)  # fmt: skip
    yield scenario(
        "data",
        "binaryType-while-open",
        [
            ws(
                open=[call("a.send", {"bytes": "01"})],
                message=[
                    put("a.binaryType", "arraybuffer"),
                    call("a.send", {"bytes": "02"}),
                ],
            )
        ],
        ACCEPT,
        ["expect", "binary"],
        write(binary("01")),
        ["expect", "binary"],
        write(binary("02")),
        ["expect", "binary"],
        write(CLOSE),
        *END,
    )


def _received() -> Iterator[Scenario]:
    script, start = [ws(open=[GO])], (ACCEPT, GONE_ON)
    for name, payload in INVALID_UTF8.items():
        yield scenario(
            "data", f"invalid-utf8-{name}", script, *start, write(frame(1, {"hex": payload})), WAIT
        )
        yield scenario(
            "data",
            f"invalid-utf8-{name}-after-a-message",
            script,
            *start,
            write(text("good"), frame(1, {"hex": payload}), text("never")),
            WAIT,
        )
    for kind in ("blob", "arraybuffer"):
        for size in SIZES:
            yield scenario(
                "data",
                f"received-{kind}-{size}",
                [ws(message=[CLOSE_IT]), put("a.binaryType", kind)],
                ACCEPT,
                write({"opcode": 2, "payload": {"repeat": [{"hex": "fe"}, size]}}),
                SERVE,
            )
    script = [ws(open=[GO]), put("a.binaryType", "arraybuffer")]
    pieces = [text("1"), binary("02"), text(""), binary(""), text("\u00e9"), binary("ff" * 200)]
    yield scenario("data", "received-in-one-segment", script, *start, write(*pieces),
                   write(CLOSE), *END)  # fmt: skip
    yield scenario("data", "received-many", [ws(open=[GO])], *start,
                   write(*[text(str(number)) for number in range(50)]),
                   write(CLOSE), *END)  # fmt: skip
