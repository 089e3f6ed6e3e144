"""Convert the installed Autobahn test suite, which is Python 2 source, to Python 3 in place.

:mod:`.suite` runs this file once with the Python 3 of the suite's own environment, after
installing the suite there. The syntax is converted by fissix (lib2to3, which Python no longer
has). What no converter can know is text against octets; :mod:`.latin1` says how that is settled,
and :data:`PATCHES` are the places where the suite has to be told of it.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import shutil
from pathlib import Path

#: The suite has escapes and literals meant as octets, so its files are read and run as latin-1.
ENCODING = "latin-1"
HEADER = "# -*- coding: latin-1 -*-\n"

OLD_CODING = re.compile(r"\A#\s*coding=utf-8\n")
HEX_CALL = re.compile(r"\bbinascii\.(?:b2a_hex|hexlify)\(")

IMPORT_LATIN1 = "from autobahntestsuite import latin1\n"

#: Old and new text in the converted files. Every old text must be found, or the pins have moved.
PATCHES = {
    "case/case.py": [
        (
            "pickle.dumps(obj1) == pickle.dumps(obj2)",
            "latin1.normal(obj1) == latin1.normal(obj2)",
        )
    ],
    "case/case6_x_x.py": [
        ("v.validate(vss[:i])", "v.validate(latin1.octets(vss[:i]))"),
        ("(object, Case, )", "(Case, )"),
    ],
    "case/case7_7_X.py": [("(object, Case, )", "(Case, )")],
    "case/case7_9_X.py": [("(object, Case, )", "(Case, )")],
    "case/case9_7_X.py": [("(object, Case, )", "(Case, )")],
    "case/case9_9_1.py": [
        ("import implements\n", "import implementer\n"),
        ("   implements(interfaces.IPushProducer)\n", ""),
        ("class FrameProducer:", "@implementer(interfaces.IPushProducer)\nclass FrameProducer:"),
    ],
    "case/case10_1_1.py": [
        ("len(self.payload) / self.p.autoFragmentSize", "len(self.payload) // 1300")
    ],
    "case/case12_x_x.py": [("(object, Case, )", "(Case, )")],
    "fuzzing.py": [
        (
            "class FuzzingServerProtocol(FuzzingProtocol,",
            "from autobahntestsuite.latin1 import asciiLogData, binLogData\n\n"
            "class FuzzingServerProtocol(latin1.Protocol, FuzzingProtocol,",
        ),
        (
            '"httpRequest": self.http_request_data',
            '"httpRequest": latin1.text(self.http_request_data)',
        ),
        (
            '"httpResponse": self.http_response_data',
            '"httpResponse": latin1.text(self.http_response_data)',
        ),
        (
            '"localCloseReason": self.localCloseReason',
            '"localCloseReason": latin1.text(self.localCloseReason)',
        ),
    ],
    "wstest.py": [("from . import serializer\n", "")],
}

#: The one place in autobahn itself: a count of repetitions, which Python 3's ``/`` makes a float.
AUTOBAHN_PATCHES = {
    "websocket/protocol.py": [("payload_len / len(payload)", "payload_len // len(payload)")]
}


def package_folder(name: str) -> Path:
    """Where the package called ``name`` is installed (it is not imported for that)."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise SystemExit(f"{name} is not installed")
    return Path(spec.origin).parent


def convert(folder: Path) -> None:
    """Rewrite every Python file of ``folder`` in Python 3 syntax."""
    refactor = importlib.import_module("fissix.refactor")
    fixers = refactor.get_fixers_from_package("fissix.fixes")
    tool = refactor.RefactoringTool(fixers)
    for path in sorted(folder.rglob("*.py")):
        source = OLD_CODING.sub("", path.read_text(ENCODING))
        converted = str(tool.refactor_string(source.rstrip() + "\n", str(path)))
        if HEX_CALL.search(converted) or "pickle.dumps" in converted or path.name in LATIN1_USERS:
            converted = with_latin1(HEX_CALL.sub("latin1.hexed(", converted))
        path.write_text(HEADER + converted, ENCODING)


LATIN1_USERS = {Path(name).name for name, pairs in PATCHES.items() if "latin1." in str(pairs)}


def with_latin1(source: str) -> str:
    """``source`` importing the ``latin1`` module before its first other import."""
    return re.sub(r"^(?=import |from )", IMPORT_LATIN1, source, count=1, flags=re.MULTILINE)


def patch(folder: Path, patches: dict[str, list[tuple[str, str]]]) -> None:
    """Apply ``patches`` to the files of ``folder``."""
    for name, pairs in patches.items():
        path = folder / name
        source = path.read_text(ENCODING)
        for old, new in pairs:
            if old not in source:
                raise SystemExit(f"{name}: there is no {old!r} to replace")
            source = source.replace(old, new)
        path.write_text(source, ENCODING)


def main() -> None:
    """Convert and patch the suite that this interpreter has installed."""
    suite = package_folder("autobahntestsuite")
    convert(suite)
    shutil.copyfile(Path(__file__).with_name("latin1.py"), suite / "latin1.py")
    patch(suite, PATCHES)
    patch(package_folder("autobahn"), AUTOBAHN_PATCHES)


if __name__ == "__main__":
    main()
