// The client as its page has it; client.py is this, line by line.
// Protocol: https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md
class SubscriptionClient {
  constructor(url) {
    this.sinks = new Map();
    this.nextId = 1;
    this.waiting = [];
    this.acknowledged = false;
    this.ws = new WebSocket(url, "graphql-transport-ws");
    this.ws.onopen = () => this.ws.send(JSON.stringify({ type: "connection_init" }));
    this.ws.onmessage = (event) => this.onMessage(JSON.parse(event.data));
    this.ws.onclose = (event) => {
      for (const sink of this.sinks.values()) sink.error(event.reason || `closed: ${event.code}`);
      this.sinks.clear();
    };
  }

  subscribe(query, variables, sink) {
    const id = String(this.nextId++);
    this.sinks.set(id, sink);
    const message = JSON.stringify({ id, type: "subscribe", payload: { query, variables } });
    if (this.acknowledged) this.ws.send(message);
    else this.waiting.push(message);
    return () => {
      if (this.sinks.delete(id)) this.ws.send(JSON.stringify({ id, type: "complete" }));
    };
  }

  onMessage(message) {
    const sink = this.sinks.get(message.id);
    switch (message.type) {
      case "connection_ack":
        this.acknowledged = true;
        for (const text of this.waiting.splice(0)) this.ws.send(text);
        break;
      case "ping":
        this.ws.send(JSON.stringify({ type: "pong" }));
        break;
      case "next":
        sink?.next(message.payload);
        break;
      case "error":
        this.sinks.delete(message.id);
        sink?.error(message.payload[0].message);
        break;
      case "complete":
        this.sinks.delete(message.id);
        sink?.complete();
        break;
    }
  }
}
