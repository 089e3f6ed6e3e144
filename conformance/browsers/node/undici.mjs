// Node's WebSocket as a judge: `node undici.mjs HUB SLOTS`.
import * as undici from "undici";
import { reported, work } from "../page/interpreter.js";

process.on("uncaughtException", reported);
const { WebSocket, MessageEvent, CloseEvent } = undici;
const globals = {
  ...Object.fromEntries(Object.getOwnPropertyNames(globalThis).map((name) => [name, globalThis[name]])),
  ...{ WebSocket, MessageEvent, CloseEvent },
};
await work(process.argv[2], "undici", globals, process.argv[3].split(","));
