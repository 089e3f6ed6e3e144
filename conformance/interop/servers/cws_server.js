// An echo server on cWS (@clusterws/cws).
'use strict';
const told = require('./told.js');
const { WebSocket } = require('@clusterws/cws');

const commands = {
  burst(socket, count) { for (let n = 0; n < Number(count); n++) socket.send(String(n)); },
  ping(socket) {
    socket.on('pong', () => { socket.on('pong', () => {}); socket.send('pong'); });
    socket.ping('there?');
  },
  close(socket, code, reason) { socket.close(Number(code), reason); },
  pour(socket, size) { socket.send('pouring'); socket.send(Buffer.alloc(Number(size))); },
};

told.listen((server) => {
  const wss = new WebSocket.Server({ server, perMessageDeflate: true, maxPayload: told.limit });
  wss.startAutoPing(told.ping * 1000);
  wss.on('connection', (socket) => {
    socket.on('message', (data) => {
      const command = told.parse(data);
      if (command) commands[command[0]](socket, ...command.slice(1));
      // What comes in is an ArrayBuffer over memory that is not kept.
      else socket.send(typeof data === 'string' ? data : Buffer.from(data), { binary: typeof data !== 'string' });
    });
  });
}, undefined, { maxVersion: 'TLSv1.2' });
