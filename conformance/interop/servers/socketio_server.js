// A Socket.IO server: a greeting, an acknowledgement, binary, and a subscription.
'use strict';
const told = require('./told.js');
const { Server } = require('socket.io');

// A server pings again when a ping was answered: that the second comes is the proof.
told.listen((server) => {
  const io = new Server(server, { pingInterval: 300, pingTimeout: 10_000 });
  io.on('connection', (socket) => {
    socket.emit('greeting', `hello ${socket.handshake.auth.name}`);
    socket.on('add', (a, b, reply) => reply(a + b));
    socket.on('reverse', (data) => socket.emit('reversed', Buffer.from(data).reverse()));
    socket.on('subscribe', () => { for (let n = 0; n < 3; n++) socket.emit('news', n); });
  });
});
