// An echo server on Bun's own.
const env = process.env;

const commands = {
  burst(ws, count) { for (let n = 0; n < Number(count); n++) ws.send(String(n)); },
  ping(ws) { ws.data.waiting = true; ws.ping('there?'); },
  close(ws, code, reason) { ws.close(Number(code), reason); },
  pour(ws, size) { ws.send('pouring'); ws.send(new Uint8Array(Number(size))); },
};

function serve(port, tls) {
  Bun.serve({
    hostname: env.INTEROP_HOST,
    port,
    tls,
    fetch(request, server) {
      const offered = request.headers.get('sec-websocket-protocol') || '';
      const chosen = offered.split(/, */).includes(env.INTEROP_SUBPROTOCOL);
      const headers = chosen ? { 'Sec-WebSocket-Protocol': env.INTEROP_SUBPROTOCOL } : {};
      if (server.upgrade(request, { headers, data: {} })) return undefined;
      return new Response('a WebSocket, please', { status: 426 });
    },
    websocket: {
      maxPayloadLength: Number(env.INTEROP_LIMIT),
      backpressureLimit: 256 * 1024 * 1024,
      idleTimeout: 8,
      perMessageDeflate: true,
      message(ws, data) {
        if (typeof data === 'string' && data.startsWith('#interop ')) {
          const [, command, ...rest] = data.split(' ');
          commands[command](ws, ...rest);
        } else ws.send(data);
      },
      pong(ws) { if (ws.data.waiting) { ws.data.waiting = false; ws.send('pong'); } },
    },
  });
}

serve(Number(env.INTEROP_PORT));
serve(Number(env.INTEROP_TLS_PORT), { cert: Bun.file(env.INTEROP_CERTIFICATE), key: Bun.file(env.INTEROP_KEY) });
