// The workloads for Node's two clients with the browser's API: undici's WebSocket, and ws, which
// has `onmessage` too. Called as `node undici.mjs WORKLOAD JSON`; prints the figures as JSON.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { randomBytes } from "node:crypto";

const clock = () => performance.now() / 1000;

function latencies(seconds) {
  const sorted = [...seconds].sort((a, b) => a - b);
  const at = (part) => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))];
  return { median_us: at(0.5) * 1e6, p99_us: at(0.99) * 1e6 };
}

// Those of libuv and V8, too, where the system tells.
const threads = () => (existsSync("/proc/self/task") ? readdirSync("/proc/self/task").length : 1);

const payload = (task) => "x".repeat(task.size);

export async function main(makeSocket) {
  const [name, words] = process.argv.slice(2);
  const task = { size: 32, kind: "ascii", in_flight: 1, sockets: 1, interval: 1, ...JSON.parse(words) };
  const connect = (options = {}) => {
    const ca = task.url.startsWith("wss:") ? readFileSync(task.authority) : undefined;
    const ws = makeSocket(task.url, { ca, ...options });
    ws.binaryType = "arraybuffer";
    return ws;
  };
  const figures = await workloads[name](task, connect);
  console.log(JSON.stringify(figures));
  process.exit(0);
}

const workloads = {
  flood: (task, connect) =>
    new Promise((resolve) => {
      const ws = connect();
      let received = 0;
      let start;
      ws.onopen = () => { start = clock(); };
      ws.onmessage = (event) => {
        event.data;
        received += 1;
        if (received === task.count) resolve({ seconds: clock() - start });
      };
    }),

  echo: (task, connect, options) =>
    new Promise((resolve) => {
      const ws = connect(options);
      const message = payload(task);
      let received = 0;
      let start;
      ws.onopen = () => {
        start = clock();
        for (let i = 0; i < task.in_flight; i += 1) ws.send(message);
      };
      ws.onmessage = (event) => {
        received += 1;
        if (received < task.count) ws.send(event.data);
        else if (received === task.count) resolve({ seconds: clock() - start });
      };
    }),

  deflate: (task, connect) => workloads.echo(task, connect, { compression: true }),

  latency: (task, connect) =>
    new Promise((resolve) => {
      const ws = connect();
      const message = payload(task);
      const times = [];
      ws.onopen = () => { times.push(clock()); ws.send(message); };
      ws.onmessage = (event) => {
        times.push(clock());
        if (times.length <= task.count) { ws.send(event.data); return; }
        const trips = times.slice(1).map((time, i) => time - times[i]);
        resolve({ seconds: times.at(-1) - times[0], ...latencies(trips) });
      };
    }),

  upload: (task, connect) =>
    new Promise((resolve) => {
      const ws = connect();
      const data = randomBytes(task.size);
      let sent = 0;
      let start;
      const more = () => {
        while (sent < task.count && ws.bufferedAmount < 16 << 20) { ws.send(data); sent += 1; }
        if (sent < task.count) setImmediate(more);
      };
      ws.onopen = () => { start = clock(); more(); };
      ws.onmessage = () => resolve({ seconds: clock() - start });
    }),

  many: (task, connect) =>
    new Promise((resolve) => {
      const message = payload(task);
      const trips = [];
      const before = process.memoryUsage().rss;
      let open = 0;
      let cpu;
      const starts = [];
      const next = [];
      let opening = 0;
      const openOne = (number) => {
        const ws = connect();
        let sent;
        const send = () => { sent = clock(); ws.send(message); };
        ws.onopen = () => {
          open += 1;
          opening -= 1;
          if (next.length) next.shift()();
          if (open === task.sockets) {
            cpu = process.cpuUsage();
            for (const start of starts) start();
          }
        };
        ws.onmessage = (event) => {
          event.data;
          trips.push(clock() - sent);
          if (trips.length === task.count) {
            const used = process.cpuUsage(cpu);
            resolve({
              cpu_s: ((used.user + used.system) / 1e6 / trips.length) * 100000,
              threads: threads(),
              resident_mb: (process.memoryUsage().rss - before) / 1e6,
              ...latencies(trips),
            });
          } else setTimeout(send, task.interval * 1000);
        };
        starts.push(() => setTimeout(send, (task.interval * 1000 * number) / task.sockets));
      };
      for (let number = 0; number < task.sockets; number += 1) {
        const go = () => { opening += 1; openOne(number); };
        if (opening < 200) go();
        else next.push(go);
      }
    }),

  opening: (task, connect) => // and hold them
    new Promise((resolve) => {
      const sockets = [];
      let begun = 0;
      let opened = 0;
      const start = clock();
      const openOne = () => {
        if (begun === task.count) return;
        begun += 1;
        const ws = connect();
        sockets.push(ws);
        ws.onopen = () => {
          opened += 1;
          if (opened === task.count) resolve({ seconds: clock() - start });
          else openOne();
        };
      };
      for (let i = 0; i < task.in_flight; i += 1) openOne();
    }),
};
