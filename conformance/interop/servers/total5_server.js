// An echo server on Total.js. A route has text or binary: /echo/ and /binary/.
'use strict';
const told = require('./told.js');
require('total5');

const commands = {
  burst(client, count) { for (let n = 0; n < Number(count); n++) client.send(String(n), true); },
  close(client, code, reason) { client.close(Number(code), reason); },
  pour(client, size) { client.send('pouring', true); client.send('x'.repeat(Number(size)), true); },
};

function echo($) {
  $.autodestroy();
  $.on('open', (client) => { client.datatype = 'text'; });
  $.on('message', (client, message) => {
    const command = told.parse(message);
    if (command) commands[command[0]](client, ...command.slice(1));
    else client.send(message, true);
  });
  setInterval(() => $.ping(), told.ping * 1000);
}

ROUTE('SOCKET /echo/ <4MB', echo);
F.http({ port: told.port, ip: told.host });

// Connections are accepted before the routes are in place.
const waiting = setInterval(() => {
  if (!F.routes.websocketscache.echo) return;
  clearInterval(waiting);
  console.log('interop: ready');
}, 10);
