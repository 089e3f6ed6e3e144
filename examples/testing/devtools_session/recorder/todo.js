// The client in JavaScript, of which ../todo.py is the port.
class TodoList {
  constructor(WebSocket, url) {
    this.items = new Map();
    this.ws = new WebSocket(url, "todo.v1");
    this.ws.onopen = () => this.send("sync", { since: 0 });
    this.ws.onmessage = (event) => this.onMessage(event);
  }

  send(type, more) {
    this.ws.send(JSON.stringify({ type, ...more }));
  }

  add(text) {
    this.send("add", { text });
  }

  onMessage(event) {
    const message = JSON.parse(event.data);
    if (message.type === "item" || message.type === "changed")
      this.items.set(message.id, [message.text, message.done ?? false]);
    if (message.type === "item" && !message.old)
      this.send("done", { id: message.id, at: message.at });
  }
}
