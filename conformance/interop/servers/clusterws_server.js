// A ClusterWS server (3.3, whose native part is for Node 10 at most): an event and a channel.
'use strict';
const told = require('./told.js');
const fs = require('fs');
const ClusterWS = require('clusterws');

const [broker, tls] = process.argv.slice(2);

new ClusterWS({
  worker() {
    this.wss.on('connection', (socket) => {
      socket.on('add', ([a, b]) => socket.send('sum', a + b));
    });
  },
  host: told.host,
  port: tls ? told.tlsPort : told.port,
  tlsOptions: tls && { cert: fs.readFileSync(told.certificate), key: fs.readFileSync(told.key) },
  workers: 1,
  brokers: 1,
  brokersPorts: [Number(broker)],
  pingInterval: 300,
});
