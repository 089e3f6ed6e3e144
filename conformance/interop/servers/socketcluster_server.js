// A SocketCluster server: a procedure, and a channel.
'use strict';
const told = require('./told.js');
const socketClusterServer = require('socketcluster-server');

told.listen((httpServer) => {
  const agServer = socketClusterServer.attach(httpServer, { pingInterval: 300, pingTimeout: 10_000 });
  (async () => {
    for await (const { socket } of agServer.listener('connection')) {
      (async () => {
        for await (const request of socket.procedure('square')) {
          if (typeof request.data === 'number') request.end(request.data ** 2);
          else request.error(Object.assign(new Error('a number, please'), { name: 'BadInput' }));
        }
      })();
    }
  })();
});
