import { Agent, WebSocket } from "undici";
import { main } from "./browserlike.mjs";

await main((url, { ca }) => new WebSocket(url, { dispatcher: new Agent({ connect: { ca } }) }));
