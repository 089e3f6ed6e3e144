// An echo server on ws.
'use strict';
const told = require('./told.js');
const { WebSocketServer } = require('ws');

const commands = {
  burst(socket, count) { for (let n = 0; n < Number(count); n++) socket.send(String(n)); },
  fragments(socket) {
    socket.send('frag', { fin: false });
    socket.send('ment', { fin: false });
    socket.send('éd', { fin: true });
  },
  ping(socket) {
    socket.once('pong', () => socket.send('pong'));
    socket.ping('there?');
  },
  close(socket, code, reason) { socket.close(Number(code), reason); },
  pour(socket, size) { socket.send('pouring'); socket.send(Buffer.alloc(Number(size))); },
};

told.listen((server) => {
  const wss = new WebSocketServer({
    server,
    maxPayload: told.limit,
    perMessageDeflate: true,
    handleProtocols: (offered) => (offered.has(told.subprotocol) ? told.subprotocol : false),
  });
  wss.on('connection', (socket) => {
    socket.on('error', () => {});
    socket.on('message', (data, isBinary) => {
      const command = isBinary ? null : told.parse(data.toString());
      if (command) commands[command[0]](socket, ...command.slice(1));
      else socket.send(data, { binary: isBinary });
    });
    // ws's own recipe for broken connections
    socket.alive = true;
    socket.on('pong', () => { socket.alive = true; });
  });
  setInterval(() => {
    for (const socket of wss.clients) {
      if (!socket.alive) socket.terminate();
      socket.alive = false;
      socket.ping();
    }
  }, told.ping * 1000);
});
