// An echo server on SockJS: /echo/websocket is the raw endpoint, /echo/000/id/websocket the framed.
'use strict';
const told = require('./told.js');
const sockjs = require('sockjs');

const commands = {
  burst(connection, count) { for (let n = 0; n < Number(count); n++) connection.write(String(n)); },
  close(connection, code, reason) { connection.close(Number(code), reason); },
  pour(connection, size) { connection.write('pouring'); connection.write('x'.repeat(Number(size))); },
};

told.listen((server) => {
  const echo = sockjs.createServer({ prefix: '/echo', log() {}, heartbeat_delay: told.ping * 1000 });
  echo.on('connection', (connection) => {
    if (!connection) return;
    connection.on('data', (data) => {
      const command = told.parse(data);
      if (command) commands[command[0]](connection, ...command.slice(1));
      else connection.write(data);
    });
  });
  echo.installHandlers(server);
});
