"""An AsyncAPI document as the judge of what went over a socket.

Spec: https://www.asyncapi.com/docs/reference/specification/v3.0.0 and v2.6.0; a payload's schema is
JSON Schema's draft 7, of which AsyncAPI's own dialect is a superset, unless it says another draft.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote, unquote, urljoin, urlsplit

from webapi.testing.matching import shown
from webapi.testing.waiting import Failed

if TYPE_CHECKING:
    from webapi.testing.tap import Tap

__all__ = ["Document", "check"]

_WHERE: Final = "(https://www.asyncapi.com/docs/reference/specification/v3.0.0)"
_BASE: Final = "http://document.invalid/"
"""The URL at which the document stands for its own references; nothing is fetched from there."""
_MOST_FAULTS: Final = 10

_JSON_SCHEMA: Final = re.compile(r"application/(schema\+(json|yaml)|json)")
_OWN_DIALECT: Final = re.compile(r"application/vnd\.aai\.asyncapi(\+(json|yaml))?")
_DRAFTS: Final = ("3", "4", "6", "7", "201909", "202012")

_TAG: Final = "tag:yaml.org,2002:"
_CORE_SCHEMA: Final = (
    ("null", "null|Null|NULL|~|", ["n", "N", "~", ""]),
    ("bool", "true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", "[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
)


class _Message(NamedTuple):
    name: str
    validator: Any
    """None where the message has no payload schema: then anything fits."""
    binary: bool
    text: bool
    """Whether it is plain text, which is a string whatever stands there."""


class Document:
    """A parsed document.

    Raises:
        ImportError: jsonschema or PyYAML is missing.
        ValueError: it is no AsyncAPI 2 or 3 document.
        OSError: it cannot be read.
    """

    def __init__(self, source: str | os.PathLike[str] | Mapping[str, Any]) -> None:
        if isinstance(source, Mapping):
            self.folder, self.name, root = Path(), "the document", dict(source)
        else:
            path = Path(source)
            self.folder, self.name, root = path.parent, str(path), _load(path)
        version = str(root.get("asyncapi", "")) if isinstance(root, dict) else ""
        if not re.match(r"[23]\.", version):
            raise ValueError(
                f"{self.name} is no AsyncAPI 2 or 3 document: 'asyncapi' is {version!r} {_WHERE}"
            )
        self.version = int(version[0])
        self.root = root
        self._files: dict[str, Any] = {}
        self._schemas: dict[str, _Schemas] = {}

    # -- references

    def resolve(self, value: Any, root: Any = None) -> tuple[Any, Any]:
        """Follow `value`'s `$ref`s; return what is there, and the file that it is in."""
        root = self.root if root is None else root
        for _ in range(32):
            if not (isinstance(value, dict) and isinstance(value.get("$ref"), str)):
                return value, root
            file, _, pointer = value["$ref"].partition("#")
            if file:
                root = self._file(file)
            value = _at(root, pointer, value["$ref"])
        raise ValueError(f"{self.name}: the $refs at {value!r} go round in a circle")

    def _file(self, name: str) -> Any:
        if name not in self._files:
            if "://" in name:
                raise ValueError(f"{self.name} refers to {name}: only files are looked up")
            self._files[name] = _load(self.folder / name)
        return self._files[name]

    # -- channels

    def channels(self) -> dict[str, tuple[str, Any]]:
        """Return the channels: their names, with address and definition."""
        found = {}
        for name, channel in (self.root.get("channels") or {}).items():
            definition, _ = self.resolve(channel)
            address = name if self.version == 2 else definition.get("address") or name
            found[name] = (address, definition)
        return found

    def find_channel(self, name: str | None, url: str) -> tuple[str, Any]:
        """Return the channel called `name`, or whose address fits `url`.

        Raises:
            ValueError: there is none.
        """
        channels = self.channels()
        path = unquote(urlsplit(url).path)
        for key, (address, definition) in channels.items():
            if name is None:
                if any(_fits(f"{p}/{address.lstrip('/')}", path) for p in self._prefixes()):
                    return key, definition
            elif name in (key, address):
                return key, definition
        known = ", ".join(f"{key} ({address})" for key, (address, _) in channels.items())
        wanted = f"for the path {path!r}" if name is None else f"{name!r}"
        raise ValueError(f"{self.name} has no channel {wanted}; it has: {known or 'none'}")

    def _prefixes(self) -> list[str]:
        """Return the paths that the servers put before a channel's address."""
        prefixes = [""]
        for server in (self.root.get("servers") or {}).values():
            definition, _ = self.resolve(server)
            path = definition.get("pathname") or _path(definition.get("url", ""))
            if path.rstrip("/"):
                prefixes.append(path.rstrip("/"))
        return prefixes

    def messages(self, channel: Any, of_application: str) -> list[_Message]:
        """Return the channel's messages that the application does "send" or "receive"."""
        if self.version == 2:
            # In AsyncAPI 2 others publish what the application receives.
            operation = channel.get("publish" if of_application == "receive" else "subscribe")
            operation, root = self.resolve(operation or {})
            message, root = self.resolve(operation.get("message") or {}, root)
            several = message.get("oneOf")
            found = several if several is not None else [message] if message else []
            return [self._message(f"message {i}", m, root) for i, m in enumerate(found)]
        own = channel.get("messages") or {}
        operations = [self.resolve(o)[0] for o in (self.root.get("operations") or {}).values()]
        mine = [o for o in operations if self.resolve(o.get("channel"))[0] is channel]
        if not mine:  # no operations: the channel's messages go both ways
            return [self._message(name, m, None) for name, m in own.items()]
        names: dict[str, Any] = {}
        for operation in mine:
            if operation.get("action") == of_application:
                names.update(self._of_operation(operation, own))
            # what answers what the application receives, or sends, goes the other way
            elif operation.get("reply"):
                reply, _ = self.resolve(operation["reply"])
                names.update(self._of_operation(reply, own))
        return [self._message(name, m, None) for name, m in names.items()]

    def _of_operation(self, operation: Any, own: dict[str, Any]) -> dict[str, Any]:
        listed = operation.get("messages")
        if listed is None:
            return own
        return {str(m.get("$ref", i)).rpartition("/")[2]: m for i, m in enumerate(listed)}

    def _message(self, name: str, message: Any, root: Any) -> _Message:
        definition, root = self.resolve(message, root)
        definition = self._with_traits(definition, root)
        name = definition.get("name") or definition.get("messageId") or name
        kind = str(definition.get("contentType") or self.root.get("defaultContentType") or "")
        is_json, is_text = "json" in kind.lower(), kind.lower().startswith("text/")
        binary, text = bool(kind) and not is_json and not is_text, is_text and not is_json
        payload = definition.get("payload")
        if payload is None:
            return _Message(name, None, binary, text)
        if self.version == 2:
            format = definition.get("schemaFormat")
        else:
            format, payload, root = self._format_of(payload, root)
        draft = _draft(str(format or ""))
        if draft is None:
            raise ValueError(
                f"{self.name}: the schema of {name} is in {format}, where only JSON Schema can be "
                "checked"
            )
        return _Message(name, self._validator(payload, root, draft), binary, text)

    def _with_traits(self, definition: Any, root: Any) -> Any:
        """Return a message with what its traits say; in AsyncAPI 3 its own words come first."""
        merged: dict[str, Any] = {}
        for trait in definition.get("traits") or ():
            merged |= self.resolve(trait, root)[0]
        return {**definition, **merged} if self.version == 2 else {**merged, **definition}

    def _format_of(self, payload: Any, root: Any) -> tuple[Any, Any, Any]:
        """Return the format of a payload's schema, the schema, and the file that it is in."""
        found, place = self.resolve(payload, root)
        if isinstance(found, dict) and "schemaFormat" in found:
            return found["schemaFormat"], found.get("schema", True), place
        return None, payload, root

    def _validator(self, schema: Any, root: Any, draft: str) -> Any:
        jsonschema = _import("jsonschema")
        referencing = _import("referencing")
        specification = getattr(_import("referencing.jsonschema"), f"DRAFT{draft}")

        def retrieve(uri: str) -> Any:
            contents = self._schemas_of(uri.removeprefix(_BASE)).root
            return referencing.Resource(contents, specification)

        file = next((name for name, held in self._files.items() if held is root), "")
        registry = referencing.Registry(retrieve=retrieve)
        validator = getattr(jsonschema, f"Draft{draft}Validator")
        return validator(self._schemas_of(file).of(schema), registry=registry)

    def _schemas_of(self, file: str) -> _Schemas:
        if file not in self._schemas:
            root = self._file(file) if file else self.root
            self._schemas[file] = _Schemas(root, _BASE + file)
        return self._schemas[file]


class _Schemas:
    """A file's schemas, whose references do not depend on where they stand.

    In a schema with an `$id` they are relative to that, as JSON Schema has it, where it has what
    they mean; else, and everywhere else, to the file, as AsyncAPI has it.
    """

    def __init__(self, root: Any, base: str) -> None:
        self._base = base
        self._file = root
        self._places: dict[str, str] = {}  # of the schemas that have names: URL and JSON pointer
        self._made: dict[int, Any] = {}
        self._find_names(root, base, "")
        self.root = self._make(root, base)

    def of(self, schema: Any) -> Any:
        """Return `schema`, an object of the file's, with its references made absolute."""
        return self._made.get(id(schema), schema)

    def _find_names(self, value: Any, url: str, pointer: str) -> None:
        if isinstance(value, dict):
            url = _named(value, url)
            for name in (value.get("$id"), f"#{value.get('$anchor', '')}"):
                if isinstance(name, str) and name != "#":
                    self._places.setdefault(urljoin(url, name).removesuffix("#"), pointer)
        for key, item in _items(value):
            part = str(key).replace("~", "~0").replace("/", "~1")
            self._find_names(item, url, f"{pointer}/{part}")

    def _make(self, value: Any, url: str) -> Any:
        made: Any = value
        if isinstance(value, dict):
            url = _named(value, url)
            made = {key: self._make(item, url) for key, item in value.items()}
            if isinstance(value.get("$ref"), str):
                made["$ref"] = self._absolute(value["$ref"], url)
        elif isinstance(value, list):
            made = [self._make(item, url) for item in value]
        if made is not value:
            self._made[id(value)] = made
        return made

    def _absolute(self, ref: str, url: str) -> str:
        target = urljoin(url, ref).removesuffix("#")
        if target in self._places:
            return f"{self._base}#{quote(self._places[target])}"
        place, _, pointer = target.partition("#")
        if place in self._places and pointer.startswith("/"):
            inside = quote(self._places[place]) + pointer
            with suppress(ValueError):
                _at(self._file, inside, ref)
                return f"{self._base}#{inside}"
        return urljoin(self._base, ref)


def _named(schema: dict[Any, Any], url: str) -> str:
    """Return the URL that references in `schema` are relative to; `url` if it has no `$id`."""
    name = schema.get("$id")
    return urljoin(url, name).partition("#")[0] if isinstance(name, str) else url


def _items(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, dict):
        return value.items()
    return enumerate(value) if isinstance(value, list) else ()


def check(
    tap: Tap, source: Any, *, channel: str | None = None, perspective: str = "server"
) -> None:
    """Check each message of `tap` so far; see `Tap.conforms_to`."""
    __tracebackhide__ = True
    if perspective not in ("server", "client"):
        raise ValueError(f"perspective is {perspective!r}, where 'server' or 'client' is allowed")
    document = source if isinstance(source, Document) else Document(source)
    key, definition = document.find_channel(channel, tap.ws.url)
    server = perspective == "server"
    allowed = {
        "sent": document.messages(definition, "receive" if server else "send"),
        "received": document.messages(definition, "send" if server else "receive"),
    }
    faults = []
    number = 0
    for entry in tap._entries():
        if entry.is_data:
            number += 1
            fault = _fault(entry.value, allowed[entry.kind])
            if fault is not None:
                faults.append(f"message {number}, {entry.kind}: {shown(entry.value)}\n{fault}")
    if faults:
        more = len(faults) - _MOST_FAULTS
        lines = faults[:_MOST_FAULTS] + ([f"... {more} more"] if more > 0 else [])
        raise Failed(
            f"{len(faults)} of {number} messages are not as {document.name} has them "
            f"on the channel {key!r}\n" + "\n".join(lines) + f"\n{tap._story()}"
        )


def _fault(data: str | bytes, allowed: list[_Message]) -> str | None:
    """Return None if `data` is one of the messages, else why it is none of them."""
    if not allowed:
        return "  the channel has no message in this direction"
    lines = []
    for message in allowed:
        faults = list(_faults_of(data, message))
        if not faults:
            return None
        lines += [f"  is no {message.name}: {fault}" for fault in faults]
    return "\n".join(lines)


def _faults_of(data: str | bytes, message: _Message) -> Iterator[str]:
    if isinstance(data, bytes):
        if not message.binary:
            yield "it is binary"
        return
    if message.binary:
        yield "it is text"
        return
    if message.validator is None:
        return
    value: Any = data
    if not message.text:
        with suppress(ValueError):  # a payload may be a plain string
            value = json.loads(data)
    unresolvable = _import("referencing.exceptions").Unresolvable
    try:
        for error in message.validator.iter_errors(value):
            yield f"{error.json_path}: {error.message}"
    except unresolvable as error:
        raise ValueError(
            f"the $ref {error.ref!r} in the schema of {message.name} leads nowhere"
        ) from None


def _draft(format: str) -> str | None:
    """Return the draft of JSON Schema that a schema is in; None if it is in no JSON Schema."""
    kind, *parameters = (part.strip() for part in format.lower().split(";"))
    if not kind or _OWN_DIALECT.fullmatch(kind):
        return "7"
    if not _JSON_SCHEMA.fullmatch(kind):
        return None
    version = next((p for p in parameters if p.startswith("version=")), "version=7")
    draft = re.sub("[^0-9]", "", version).lstrip("0")
    return draft if draft in _DRAFTS else None


# -- reading


def _load(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        return json.loads(text)
    yaml = _import("yaml")
    try:
        return yaml.load(text, _yaml_loader())
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is no YAML: {error}") from None


@cache
def _yaml_loader() -> Any:
    """Return PyYAML's safe loader, but for YAML 1.2's core schema, and with strings for keys.

    AsyncAPI allows what JSON has. PyYAML speaks YAML 1.1, where `on` is true and 2020-01-01 a date.

    Spec: https://www.asyncapi.com/docs/reference/specification/v3.0.0#format and
    https://yaml.org/spec/1.2.2/#103-core-schema
    """
    yaml = _import("yaml")

    def construct_mapping(self: Any, node: Any, deep: bool = False) -> Any:
        self.flatten_mapping(node)
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                key.tag = _TAG + "str"
        return yaml.SafeLoader.construct_mapping(self, node, deep)

    merge = {"<": yaml.SafeLoader.yaml_implicit_resolvers["<"]}  # of 1.1, but used everywhere
    members = {"yaml_implicit_resolvers": merge, "construct_mapping": construct_mapping}
    loader: Any = type("Loader", (yaml.SafeLoader,), members)
    for kind, pattern, first in _CORE_SCHEMA:
        loader.add_implicit_resolver(_TAG + kind, re.compile(f"(?:{pattern})$"), first)
    loader.add_constructor(_TAG + "int", lambda _, node: _yaml_int(node.value))
    return loader


def _yaml_int(text: str) -> int:
    return int(text, 0) if text[:2] in ("0o", "0x") else int(text)


def _import(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise ImportError(
            f"AsyncAPI needs {name.partition('.')[0]}: pip install 'webapi[testing]'"
        ) from None


def _at(root: Any, pointer: str, ref: str) -> Any:
    """Spec: https://www.rfc-editor.org/rfc/rfc6901"""
    value = root
    for part in pointer.split("/")[1:]:
        name = unquote(part).replace("~1", "/").replace("~0", "~")
        try:
            value = value[int(name)] if isinstance(value, list) else value[name]
        except (KeyError, IndexError, ValueError, TypeError):
            raise ValueError(f"the $ref {ref!r} leads nowhere: there is no {name!r}") from None
    return value


def _path(url: str) -> str:
    """Return the path of a server's URL, which may have variables, and need no scheme."""
    start, found, rest = url.partition("://")
    return "/" + re.split("[?#]", rest if found else start)[0].partition("/")[2]


def _fits(address: str, path: str) -> bool:
    parts = re.split(r"(\{[^}]+\})", address.partition("?")[0].strip("/"))
    pattern = "".join("[^/]+" if part.startswith("{") else re.escape(part) for part in parts)
    return re.fullmatch(pattern, path.strip("/")) is not None
