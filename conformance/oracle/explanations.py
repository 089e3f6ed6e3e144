"""Why a peer differs from us: the names that `model.read` gives, in words, and who is right."""

from __future__ import annotations

from typing import NamedTuple


class Explanation(NamedTuple):
    """One line of the table."""

    peer: str
    name: str
    theirs: str
    """What the peer does."""
    ours: str
    """What we do, and by which rule."""


EXPLANATIONS = (
    Explanation(
        "websockets", "length",
        "takes a length in more bytes than needed, and one with its highest bit set (or fails it "
        "with 1009)",
        "1002: RFC 6455 §5.2, \"the minimal number of bytes MUST be used\", \"the most significant "
        "bit MUST be 0\"",
    ),
    Explanation(
        "websockets", "late",
        "looks at a frame's bits, its size as a control frame and its place in the message when "
        "all of it is there",
        "fails at the header, as §7.1.7 allows; so nobody waits, or pays, for the rest",
    ),
    Explanation(
        "websockets", "text-when-whole",
        "decodes UTF-8 when the message is whole",
        "1007 at the first octet that cannot be (§8.1; Autobahn 6.4.*)",
    ),
    Explanation(
        "websockets", "close-within-a-message",
        "1002 for a Close frame between fragments",
        "a Close like any: §5.4, control frames may be injected in the middle of a message",
    ),
    Explanation(
        "websockets", "wire-size",
        "holds the limit against a frame's size on the wire, also where it is compressed, and "
        "against control frames",
        "holds it against the message, inflated, as the application sees it; 1002 for a control "
        "frame that is too long",
    ),
    Explanation(
        "websockets", "no-limit-at-its-edge",
        "inflates without a limit where fragments have filled it exactly (a maximum of 0 bytes "
        "means none to zlib)",
        "1009",
    ),
    Explanation(
        "websockets", "limit-before-broken",
        "1009 where the output passes the limit before the data turn out to be broken",
        "inflates up to 64 KiB at a time: what is broken within is 1007, whatever it would have "
        "come to",
    ),
    Explanation(
        "websockets", "broken-deflate-is-1002",
        "1002 for broken DEFLATE data",
        "1007: §7.4.1, data that are not consistent with the type of the message; RFC 7692 names "
        "no code",
    ),
    Explanation(
        "websockets", "cut-off-deflate",
        "1009 where DEFLATE data end within a symbol that the four octets of RFC 7692 §7.2.2 "
        "happen to complete",
        "takes what they are inflated to, as §7.2.2 has it",
    ),
    Explanation(
        "websockets", "behind-bfinal",
        "drops, in silence, what follows a block with BFINAL set: the rest of the message, and all "
        "later messages",
        "begins a new stream there: RFC 7692 §7.2.3.4 allows such a block, and §7.2.3.5 others "
        "behind it",
    ),
    Explanation(
        "websockets", "nothing-compressed",
        "feeds the four octets alone for a compressed message without a byte, which leaves zlib "
        "within a block, and what follows breaks",
        "the empty message, where there is no window to break (RFC 7692 §7.2.3.6 demands one "
        "octet)",
    ),
    Explanation(
        "websockets", "reason-before-code",
        "1007 where a Close frame's reason is no UTF-8, whatever its code",
        "1002 where its code is invalid, whatever the reason: it stands first",
    ),
    Explanation(
        "wsproto", "late",
        "looks at the mask and the reserved bits behind the length, at a message's order behind "
        "the first octet of the payload, and at a surrogate when its third octet is there",
        "fails at the header, as §7.1.7 allows, and at a surrogate's second octet",
    ),
    Explanation(
        "wsproto", "1014",
        "1002 for a Close frame with code 1014",
        "a Close: IANA has 1014, Bad Gateway, in its registry (§11.7)",
    ),
    Explanation(
        "wsproto", "control-ends-compression",
        "takes the rest of a compressed message for plain where a control frame came between its "
        "fragments",
        "inflates it: RFC 7692 §6.1 leaves control frames alone, §5.4 allows them there",
    ),
    Explanation(
        "wsproto", "behind-bfinal",
        "drops what follows a block with BFINAL set, or fails with 1007",
        "begins a new stream there: RFC 7692 §7.2.3.4",
    ),
    Explanation(
        "wsproto", "nothing-compressed",
        "as `websockets`",
        "as there",
    ),
)  # fmt: skip

#: What is not compared, because a peer has none of it.
NOT_COMPARED = {
    "wsproto": "has no limit on a message's size: it is compared with a receiver without one",
}
