// An echo server on faye-websocket.
'use strict';
const told = require('./told.js');
const WebSocket = require('faye-websocket');
const deflate = require('permessage-deflate');

const commands = {
  burst(ws, count) { for (let n = 0; n < Number(count); n++) ws.send(String(n)); },
  ping(ws) { ws.ping('there?', () => ws.send('pong')); },
  close(ws, code, reason) { ws.close(Number(code), reason); },
  pour(ws, size) { ws.send('pouring'); ws.send(Buffer.alloc(Number(size))); },
};

told.listen((server) => {
  server.on('upgrade', (request, socket, body) => {
    if (!WebSocket.isWebSocket(request)) return;
    const ws = new WebSocket(request, socket, body, [told.subprotocol], {
      extensions: [deflate], maxLength: told.limit, ping: told.ping,
    });
    ws.on('message', ({ data }) => {
      const command = told.parse(data);
      if (command) commands[command[0]](ws, ...command.slice(1));
      else ws.send(data);
    });
  });
});
