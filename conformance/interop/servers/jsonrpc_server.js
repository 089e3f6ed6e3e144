// A jsonrpc-bidirectional server: it divides, and it calls back on the same connection.
'use strict';
const told = require('./told.js');
const JSONRPC = require('jsonrpc-bidirectional');
// Its own ws, an old one: from version 8 on texts come as Buffers, which it does not take.
const { Server: WebSocketServer } = require('ws');

class Endpoint extends JSONRPC.EndpointBase {
  constructor() { super('Interop', '/api', {}, JSONRPC.Client); }

  async divide(_request, left, right) { return left / right; }

  async relay(request, name) { return request.reverseCallsClient.rpc('greet', [name]); }
}

told.listen((server) => {
  const rpc = new JSONRPC.Server();
  rpc.registerEndpoint(new Endpoint());
  rpc.addPlugin(new JSONRPC.Plugins.Server.AuthenticationSkip());
  rpc.addPlugin(new JSONRPC.Plugins.Server.AuthorizeAll());
  const router = new JSONRPC.BidirectionalWebsocketRouter(rpc);
  new WebSocketServer({ server }).on('connection', (socket, request) => {
    router.addWebSocketSync(socket, request);
  });
});
