// A Faye server; the clients do the rest.
'use strict';
const told = require('./told.js');
const faye = require('faye');

told.listen((server) => {
  new faye.NodeAdapter({ mount: '/faye', timeout: 1 }).attach(server);
});
