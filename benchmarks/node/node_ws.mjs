import WebSocket from "ws";
import { main } from "./browserlike.mjs";

await main((url, { ca, compression = false }) =>
  new WebSocket(url, { ca, perMessageDeflate: compression, skipUTF8Validation: true }));
