// An echo server on WebSocket-Node (npm's websocket).
'use strict';
const told = require('./told.js');
const { server: WebSocketServer, frame: Frame } = require('websocket');

function sendFrame(connection, opcode, fin, text) {
  const frame = new Frame(Buffer.alloc(4), Buffer.alloc(10), connection.config);
  frame.opcode = opcode;
  frame.fin = fin;
  frame.binaryPayload = Buffer.from(text);
  connection.sendFrame(frame);
}

const commands = {
  burst(connection, count) { for (let n = 0; n < Number(count); n++) connection.sendUTF(String(n)); },
  fragments(connection) {
    sendFrame(connection, 1, false, 'frag');
    sendFrame(connection, 0, false, 'ment');
    sendFrame(connection, 0, true, 'éd');
  },
  ping(connection) {
    // Its keepalive sends pings too, so the payload says whose pong it is.
    const listen = (data) => {
      if (data.toString() !== 'there?') return;
      connection.off('pong', listen);
      connection.sendUTF('pong');
    };
    connection.on('pong', listen);
    connection.ping('there?');
  },
  close(connection, code, reason) { connection.close(Number(code), reason); },
  pour(connection, size) { connection.sendUTF('pouring'); connection.sendBytes(Buffer.alloc(Number(size))); },
};

told.listen((httpServer) => {
  const server = new WebSocketServer({
    httpServer,
    maxReceivedFrameSize: told.limit,
    maxReceivedMessageSize: told.limit,
    keepalive: true,
    keepaliveInterval: told.ping * 1000,
    dropConnectionOnKeepaliveTimeout: true,
    keepaliveGracePeriod: told.ping * 1000,
  });
  server.on('request', (request) => {
    const offers = request.requestedProtocols.includes(told.subprotocol);
    const connection = request.accept(offers ? told.subprotocol : null, request.origin);
    connection.on('error', () => {});
    connection.on('message', (message) => {
      const command = message.type === 'utf8' ? told.parse(message.utf8Data) : null;
      if (command) commands[command[0]](connection, ...command.slice(1));
      else if (message.type === 'utf8') connection.sendUTF(message.utf8Data);
      else connection.sendBytes(message.binaryData);
    });
  });
});
