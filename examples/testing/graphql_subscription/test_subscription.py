"""The ported client against a real server of the protocol, and against one that misbehaves."""

from client import SubscriptionClient

COUNT = "subscription ($target: Int!) { count(target: $target) }"


class Sink:
    def __init__(self):
        self.values, self.errors, self.completed = [], [], 0

    def next(self, payload):
        self.values.append(payload["data"]["count"])

    def error(self, message):
        self.errors.append(message)

    def complete(self):
        self.completed += 1


def start(page, url):
    client = SubscriptionClient(page.WebSocket, url)
    return client, page.tap(client.ws)


def test_a_subscription_runs_to_its_end(page, live_server):
    client, tap = start(page, live_server.ws)
    sink = Sink()
    client.subscribe(COUNT, {"target": 3}, sink)
    tap.wait_for_message(json={"type": "complete", "id": "1"})
    assert client.ws.protocol == "graphql-transport-ws"
    assert (sink.values, sink.errors, sink.completed) == ([0, 1, 2], [], 1)
    client.ws.close(1000)
    assert tap.wait_for("close").wasClean


def test_an_invalid_query(page, live_server):
    client, tap = start(page, live_server.ws)
    sink = Sink()
    client.subscribe("subscription { nothing }", {}, sink)
    tap.wait_for_message(json={"type": "error"})
    assert "Cannot query field 'nothing'" in sink.errors[0]
    client.ws.close(1000)


def test_stopping_one_sends_complete(page, live_server):
    client, tap = start(page, live_server.ws)
    stop = client.subscribe(COUNT, {"target": 1_000_000}, Sink())
    tap.wait_for_message(json={"type": "next"})
    client.ws._page.queue_task(stop)  # in the page's turn, as all of the client's code
    tap.wait_for_sent(json={"type": "complete", "id": "1"})
    client.ws.close(1000)


def test_a_server_that_dies(page, ws_server):
    @ws_server.route("/", subprotocols=["graphql-transport-ws"])
    def dying(peer):
        peer.expect(json={"type": "connection_init"})
        peer.send_json({"type": "connection_ack"})
        peer.send_json({"type": "ping"})
        peer.expect(json={"type": "subscribe", "payload": {"variables": {"target": 1}}})
        peer.expect(json={"type": "pong"})
        peer.close(4500, "internal error")

    client, tap = start(page, ws_server.url)
    sink = Sink()
    client.subscribe(COUNT, {"target": 1}, sink)
    tap.wait_for("close")
    assert sink.errors == ["internal error"]
