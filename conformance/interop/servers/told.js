// What the environment tells the servers in JavaScript, and the words they share.
'use strict';
const fs = require('fs');
const http = require('http');
const https = require('https');

const env = process.env;
const told = {
  host: env.INTEROP_HOST,
  port: Number(env.INTEROP_PORT),
  tlsPort: Number(env.INTEROP_TLS_PORT || 0),
  certificate: env.INTEROP_CERTIFICATE,
  key: env.INTEROP_KEY,
  subprotocol: env.INTEROP_SUBPROTOCOL,
  limit: Number(env.INTEROP_LIMIT),
  ping: Number(env.INTEROP_PING),

  // [command, ...arguments] if the text is one.
  parse(text) {
    return typeof text === 'string' && text.startsWith('#interop ') ? text.split(' ').slice(1) : null;
  },

  // A listening HTTP server a port, each given to `prepare`.
  listen(prepare, handler, options = {}) {
    const servers = [[http.createServer(handler), told.port]];
    if (told.tlsPort) {
      const files = { cert: fs.readFileSync(told.certificate), key: fs.readFileSync(told.key), ...options };
      servers.push([https.createServer(files, handler), told.tlsPort]);
    }
    for (const [server, port] of servers) {
      prepare(server);
      server.listen(port, told.host);
    }
  },
};
module.exports = told;
