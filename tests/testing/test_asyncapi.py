"""`tap.conforms_to`: an AsyncAPI document judges what went over a socket."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from webapi.testing import Failed, Page, ScriptPeer

SCHEMAS = """
  schemas:
    Price:
      type: object
      required: [price]
      properties:
        price: {type: number, minimum: 0}
        symbol: {$ref: 'symbols.yaml#/Symbol'}
"""
SYMBOLS = "Symbol: {type: string, pattern: '^[A-Z]{6}$'}\n"

V3 = f"""
asyncapi: 3.0.0
info: {{title: Prices, version: 1.0.0}}
servers:
  production: {{host: api.example.com, protocol: wss, pathname: /v1}}
channels:
  feed:
    address: /feed/{{room}}
    messages:
      subscribe: {{$ref: '#/components/messages/Subscribe'}}
      price: {{$ref: '#/components/messages/Price'}}
      blob: {{contentType: application/octet-stream}}
operations:
  onSubscribe:
    action: receive
    channel: {{$ref: '#/channels/feed'}}
    messages: [{{$ref: '#/channels/feed/messages/subscribe'}}]
  sendPrice:
    action: send
    channel: {{$ref: '#/channels/feed'}}
    messages:
      - {{$ref: '#/channels/feed/messages/price'}}
      - {{$ref: '#/channels/feed/messages/blob'}}
components:
  messages:
    Subscribe:
      payload:
        type: object
        required: [subscribe]
        additionalProperties: false
        properties: {{subscribe: {{type: string}}}}
    Price: {{payload: {{$ref: '#/components/schemas/Price'}}}}
{SCHEMAS}"""

V2 = f"""
asyncapi: 2.6.0
info: {{title: Prices, version: 1.0.0}}
servers:
  production: {{url: 'wss://api.example.com/v1', protocol: wss}}
channels:
  /feed/{{room}}:
    publish:
      message:
        name: Subscribe
        payload:
          type: object
          required: [subscribe]
          additionalProperties: false
          properties: {{subscribe: {{type: string}}}}
    subscribe:
      message:
        oneOf:
          - {{name: Price, payload: {{$ref: '#/components/schemas/Price'}}}}
          - {{name: Blob, contentType: application/octet-stream}}
components:
{SCHEMAS}"""


@pytest.fixture(params=[V2, V3], ids=["AsyncAPI 2", "AsyncAPI 3"])
def document(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    (tmp_path / "symbols.yaml").write_text(SYMBOLS)
    path = tmp_path / "asyncapi.yaml"
    path.write_text(request.param)
    return path


def session(page: Page, sends: Any, *receives: Any) -> Any:
    @page.route("wss://api.example.com/**").handle
    def serve(peer: ScriptPeer) -> None:
        peer.receive()
        for data in receives:
            peer.send(data if isinstance(data, bytes) else json.dumps(data))

    tap = page.tap(page.WebSocket("wss://api.example.com/v1/feed/7"))
    tap.wait_for("open")
    tap.ws.send(json.dumps(sends))
    tap.wait_for("close")
    return tap


def test_what_conforms(page: Page, document: Path) -> None:
    tap = session(page, {"subscribe": "EURUSD"}, {"price": 1.08, "symbol": "EURUSD"}, b"\x00")
    tap.conforms_to(document)
    tap.conforms_to(str(document), channel="/feed/{room}")


@pytest.mark.parametrize(
    ("sends", "receives", "says"),
    [
        ({"subscribe": 5}, {"price": 1}, ["message 1, sent", "$.subscribe: 5 is not of type"]),
        ({"subscribe": "x"}, {"price": -1}, ["message 2", "is no Price: $.price: -1 is less"]),
        ({"subscribe": "x"}, {"price": 1, "symbol": "eur"}, ["$.symbol: 'eur' does not match"]),
        ({"price": 1}, {"price": 1}, ["message 1, sent", "$: 'subscribe' is a required property"]),
        ({"subscribe": "x"}, {"subscribe": "x"}, ["message 2", "$: 'price' is a required"]),
    ],
)  # fmt: skip
def test_what_does_not(
    page: Page, document: Path, sends: Any, receives: Any, says: list[str]
) -> None:
    tap = session(page, sends, receives)
    with pytest.raises(Failed, match=r"1 of 2 messages are not as .*asyncapi\.yaml") as caught:
        tap.conforms_to(document)
    text = str(caught.value).replace("is no price", "is no Price")
    for words in says:
        assert words in text
    assert "timeline of wss://api.example.com/v1/feed/7" in text


def test_binary_where_text_belongs(page: Page) -> None:
    tap = session(page, "x", b"\x00")
    document = {
        "asyncapi": "3.0.0",
        "channels": {"c": {"address": "/v1/feed/{x}", "messages": {"any": {}}}},
    }
    with pytest.raises(Failed, match="is no any: it is binary"):
        tap.conforms_to(document)


def test_the_clients_perspective(page: Page, document: Path) -> None:
    tap = session(page, {"price": 1}, {"subscribe": "x"})
    tap.conforms_to(document, perspective="client")
    with pytest.raises(Failed, match="2 of 2 messages"):
        tap.conforms_to(document)


def judged(page: Page, data: str | bytes, document: Any) -> str:
    """Return what `document` has against `data`, which the page sends; "" for nothing."""

    @page.route("wss://api.example.com/**").handle
    def serve(peer: ScriptPeer) -> None:
        peer.receive()

    tap = page.tap(page.WebSocket("wss://api.example.com/v1/chat"))
    tap.wait_for("open")
    tap.ws.send(data)
    tap.wait_for("close")
    try:
        tap.conforms_to(document)
    except Failed as failed:
        return str(failed).partition("\ntimeline")[0]
    return ""


def v2(message: Any, **more: Any) -> dict[str, Any]:
    return {
        "asyncapi": "2.6.0",
        "channels": {"/v1/chat": {"publish": {"message": message}}},
        **more,
    }


def v3(message: Any, **more: Any) -> dict[str, Any]:
    channel = {"address": "/v1/chat", "messages": {"it": message}}
    return {"asyncapi": "3.0.0", "channels": {"chat": channel}, **more}


@pytest.mark.parametrize(
    ("kind", "fault"),
    [("text/plain", ""), ("Text/Plain; charset=utf-8", ""), ("text/json", "42 is not of type"),
     ("application/json", "42 is not of type"), (None, "42 is not of type")],
)  # fmt: skip
def test_plain_text_is_a_string(page: Page, kind: str | None, fault: str) -> None:
    message = {"payload": {"type": "string"}, **({"contentType": kind} if kind else {})}
    found = judged(page, "42", v3(message))
    assert fault in found
    assert bool(fault) is bool(found)


def test_yaml_is_read_as_json_has_it(page: Page, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("""
asyncapi: 2.6.0
channels:
  chat:
    publish:
      message:
        payload:
          required: [on, "7"]
          additionalProperties: false
          properties:
            on: {enum: [on, off]}
            at: {const: 2020-01-01}
            time: {const: 12:30:00}
            7: {enum: [0x10, 0o10, 010, -1, 1e3, .5, 1_000]}
            flag: {const: true}
            nothing: {const: ~}
            <<: {merged: {const: Null}}
servers: {one: {url: 'wss://api.example.com/v1'}}
""")
    for value in (
        {"on": "off", "at": "2020-01-01", "time": "12:30:00", "7": 16},
        {"on": "on", "7": 8, "flag": True, "nothing": None, "merged": None},
        *({"on": "on", "7": number} for number in (10, -1, 1000, 0.5, "1_000")),
    ):
        assert judged(page, json.dumps(value), tmp_path / "a.yaml") == ""
    assert "True is not one of ['on', 'off']" in judged(
        page, '{"on": true, "7": 8}', tmp_path / "a.yaml"
    )


@pytest.mark.parametrize(
    "format",
    ["application/vnd.apache.avro;version=1.9.0", "application/vnd.apache.avro+json;version=1.9.0",
     "application/vnd.oai.openapi+json;version=3.0.0", "application/raml+yaml;version=1.0",
     "application/schema+json;version=draft-2099-01"],
)  # fmt: skip
def test_schemas_that_are_no_json_schema(page: Page, format: str) -> None:
    schema = {"type": "record", "name": "r"}
    for document in (
        v2({"schemaFormat": format, "payload": schema}),
        v2({"traits": [{"schemaFormat": format}], "payload": schema}),
        v3({"payload": {"schemaFormat": format, "schema": schema}}),
        v3(
            {"payload": {"$ref": "#/components/schemas/r"}},
            components={"schemas": {"r": {"schemaFormat": format, "schema": schema}}},
        ),
    ):
        with pytest.raises(ValueError, match="only JSON Schema can be checked") as caught:
            judged(page, "{}", document)
        assert format in str(caught.value)


@pytest.mark.parametrize(
    ("format", "draft7"),
    [
        ("application/schema+json;version=draft-2020-12", False),
        ("application/schema+yaml; version=draft-2020-12", False),
        ("application/schema+json;version=draft-07", True),
        ("application/schema+json", True),
        ("application/vnd.aai.asyncapi;version=2.6.0", True),
        ("application/vnd.aai.asyncapi+yaml;version=3.0.0", True),
        (None, True),
    ],
)
def test_a_schema_is_judged_by_its_draft(page: Page, format: str | None, draft7: bool) -> None:
    schemas = {"Tail": {"$defs": {"n": {"type": "number"}}, "prefixItems": [{"type": "string"}]}}
    schema = {"$ref": "#/components/schemas/Tail", "items": False}
    wrong = '["a", 1]'
    if format is None:
        found = [judged(page, wrong, v2({"payload": schema}, components={"schemas": schemas}))]
    else:
        one = v2({"payload": schema, "schemaFormat": format}, components={"schemas": schemas})
        multi = {"schemaFormat": format, "schema": schema}
        other = v3({"payload": multi}, components={"schemas": schemas})
        found = [judged(page, wrong, document) for document in (one, other)]
    for fault in found:
        assert ("Expected at most" in fault) is not draft7


@pytest.mark.parametrize(
    "url",
    ["api.example.com/v1", "api.example.com:{port}/v1", "wss://{host}:{port}/v1/",
     "{scheme}://api.example.com/v1?x=/y", "/v1", "wss://api.example.com/{version}"],
)  # fmt: skip
def test_a_server_s_url_needs_no_scheme(page: Page, url: str) -> None:
    message = {"payload": {"type": "integer"}}
    document = {
        "asyncapi": "2.6.0",
        "servers": {"one": {"url": url, "protocol": "wss"}},
        "channels": {"chat": {"publish": {"message": message}}},
    }
    assert judged(page, "1", document) == ""
    assert "is not of type 'integer'" in judged(page, "true", document)


def test_what_a_trait_says(page: Page) -> None:
    binary, text = {"contentType": "application/octet-stream"}, {"contentType": "text/plain"}
    trait = {"$ref": "#/components/messageTraits/one"}
    for version, own, data in (
        (v2, {}, b"\0"), (v3, {}, b"\0"),
        (v2, text, b"\0"),  # AsyncAPI 2: as a patch
        (v3, text, "a"),  # AsyncAPI 3: the message's own words come first
    ):  # fmt: skip
        message = {**own, "traits": [trait]}
        document = version(message, components={"messageTraits": {"one": binary}})
        assert judged(page, data, document) == ""
        other = "a" if isinstance(data, bytes) else b"\0"
        assert "is text" in judged(page, other, document) or isinstance(data, str)


@pytest.mark.parametrize("id", ["http://ex.com/s.json", "s.json", "S", "#s", "http://ex.com/s#"])
@pytest.mark.parametrize("place", ["inline", "component", "nested", "file"])
def test_references_in_a_schema_with_an_id(page: Page, tmp_path: Path, id: str, place: str) -> None:
    schema = {
        "$id": id,
        "definitions": {"n/1": {"type": "number"}},
        "properties": {
            "a": {"$ref": "#/definitions/n~11"},
            "b": {"$ref": "#/components/schemas/Text"},
            "c": {"$ref": id},
        },
    }
    if id == "#s":  # which is a name in the file, and makes no base
        del schema["properties"]["a"]  # type: ignore[attr-defined]
    text = {"Text": {"type": "string"}}
    components = {"schemas": {"S": schema, **text}}
    if place == "file":
        (tmp_path / "s.json").write_text(json.dumps({"S": schema, "components": components}))
        payload: Any = {"$ref": "s.json#/S"}
    else:
        payload = schema if place == "inline" else {"$ref": "#/components/schemas/S"}
    if place == "nested":
        payload = {"allOf": [payload]}
    path = tmp_path / "asyncapi.json"
    path.write_text(json.dumps(v3({"payload": payload}, components=components)))
    good = {"a": 1, "b": "x", "c": {"a": 1, "b": "y"}}
    assert judged(page, json.dumps(good), path) == ""
    if id != "#s":
        assert "$.a: 'x' is not of type 'number'" in judged(page, '{"a": "x"}', path)
    assert "$.c.b: 5 is not of type 'string'" in judged(page, '{"c": {"b": 5}}', path)


def test_a_reference_that_leads_nowhere(page: Page) -> None:
    schema = {"properties": {"a": {"$ref": "#/components/schemas/None"}}}
    with pytest.raises(ValueError, match=r"/components/schemas/None.* of it leads nowhere"):
        judged(page, '{"a": 1}', v3({"payload": schema}))


def test_documents_that_are_none(page: Page, tmp_path: Path) -> None:
    tap = session(page, "x")
    good = {"asyncapi": "2.6.0", "channels": {"other": {}}}
    for source, options, says in (
        ({"openapi": "3.0.0"}, {}, "no AsyncAPI 2 or 3 document"),
        (good, {}, "no channel for the path '/v1/feed/7'; it has: other"),
        (good, {"channel": "x"}, "no channel 'x'"),
        (good, {"perspective": "x"}, "'server' or 'client'"),
        (
            {"asyncapi": "3.0.0", "channels": {"c": {"$ref": "#/components/channels/c"}}},
            {},
            "leads nowhere",
        ),
    ):
        with pytest.raises(ValueError, match=says):
            tap.conforms_to(source, **options)
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(ValueError, match="is no YAML"):
        tap.conforms_to(tmp_path / "bad.yaml")
