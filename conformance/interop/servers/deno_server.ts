// An echo server on Deno's own.
const env = Deno.env.toObject();

// deno-lint-ignore no-explicit-any
const commands: Record<string, (socket: WebSocket, ...rest: string[]) => any> = {
  burst(socket, count) { for (let n = 0; n < Number(count); n++) socket.send(String(n)); },
  close(socket, code, reason) { socket.close(Number(code), reason); },
  pour(socket, size) { socket.send('pouring'); socket.send(new Uint8Array(Number(size))); },
};

function handler(request: Request): Response {
  const offered = (request.headers.get('sec-websocket-protocol') ?? '').split(/, */);
  const { socket, response } = Deno.upgradeWebSocket(request, {
    idleTimeout: 2,
    protocol: offered.includes(env.INTEROP_SUBPROTOCOL) ? env.INTEROP_SUBPROTOCOL : undefined,
  });
  socket.binaryType = 'arraybuffer';
  socket.onerror = () => {};
  socket.onmessage = ({ data }) => {
    if (typeof data === 'string' && data.startsWith('#interop ')) {
      const [, command, ...rest] = data.split(' ');
      commands[command](socket, ...rest);
    } else socket.send(data);
  };
  return response;
}

const hostname = env.INTEROP_HOST;
Deno.serve({ hostname, port: Number(env.INTEROP_PORT), onListen() {} }, handler);
Deno.serve({
  hostname,
  port: Number(env.INTEROP_TLS_PORT),
  cert: Deno.readTextFileSync(env.INTEROP_CERTIFICATE),
  key: Deno.readTextFileSync(env.INTEROP_KEY),
  onListen() {},
}, handler);
