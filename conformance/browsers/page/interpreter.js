// Runs scenarios in JavaScript: in a browser's page (page.html) and in Node (node/undici.mjs).
// Its twin is ../interpreter.py: both must write the same trace for the same scenario. The
// vocabulary is described in ../scenarios/words.py.
"use strict";

const DEADLINE = 8000; // ms for one scenario
const LONGEST_SHOWN = 64; // longer strings and buffers are shown as length and checksum
const DEEPEST = 4; // listeners within listeners beyond that do nothing
const TYPES = ["open", "message", "error", "close"];

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n >>> 0;
});

function crc32(bytes) {
  let crc = 0xffffffff;
  for (let at = 0; at < bytes.length; at++) crc = CRC_TABLE[(crc ^ bytes[at]) & 255] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

function utf16(text) {
  const bytes = new Uint8Array(text.length * 2);
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    bytes[2 * at] = unit & 255;
    bytes[2 * at + 1] = unit >> 8;
  }
  return bytes;
}

const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

function unhex(text) {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

function showText(text) {
  return text.length <= LONGEST_SHOWN ? text : { length: text.length, crc: crc32(utf16(text)) };
}

function showBytes(bytes) {
  return bytes.length <= LONGEST_SHOWN ? hex(bytes) : { length: bytes.length, crc: crc32(bytes) };
}

function stateOf({ readyState, bufferedAmount, extensions, protocol, binaryType, url }) {
  return { readyState, bufferedAmount, extensions, protocol, binaryType, url };
}

/** The scenario whose code ran last: what is reported next, in the same task, is its. */
let current = null;

export function reported(error) {
  current?.trace.push(["reported", current.showError(error)]);
}

export class Run {
  constructor(scenario, base, places, globals) {
    this.scenario = scenario;
    const url = new URL(base);
    // What stands in a scenario for what differs from run to run, the longest first.
    this.places = {
      ...{ "{ws}": base, "{http}": "http" + base.slice(2), "{origin}": url.origin },
      ...{ "{rest}": base.slice(3), "{host}": url.host, "{path}": url.pathname, ...places },
    };
    this.globals = globals;
    this.trace = [];
    this.names = new Map(); // name to object
    this.sockets = [];
    this.depth = 0; // of listeners within listeners
    this.pending = 0; // promises, timers and events that the scenario waits for
  }

  async run() {
    await new Promise((done) => {
      this.done = done;
      this.timer = setTimeout(() => {
        this.trace.push(["timeout"]);
        done();
      }, DEADLINE);
      current = this;
      this.perform(this.scenario.script);
      this.settleSoon();
    });
    clearTimeout(this.timer);
    this.over = true;
    for (const [name, socket] of this.sockets) this.state(name, socket, "final");
    await Promise.race([Promise.all(this.blobs ?? []), new Promise((done) => setTimeout(done, 1000))]);
    let text = JSON.stringify(this.trace);
    for (const [name, place] of Object.entries(this.places)) text = text.replaceAll(place, name);
    return JSON.parse(text);
  }

  /** Ends the run when nothing more can happen; looks again later, so that nothing surplus is missed. */
  settleSoon(turns = 3) {
    if (this.pending || this.sockets.some(([, socket]) => !socket.closedForTheRun)) return;
    setTimeout(() => (turns ? this.settleSoon(turns - 1) : this.done()), 0);
  }

  waitFor(promise) {
    this.pending++;
    promise.finally(() => {
      this.pending--;
      this.settleSoon();
    });
  }

  // -- steps --------------------------------------------------------------------------------

  perform(steps) {
    for (const step of steps) this.step(step);
  }

  step(step) {
    if ("throw" in step) throw this.value(step.throw);
    if ("state" in step) {
      if (this.names.has(step.state)) this.state(step.state, this.find(step.state));
      return;
    }
    if ("after" in step) {
      this.waitFor(new Promise((done) => setTimeout(() => {
        current = this;
        try {
          this.perform(step.after);
        } finally {
          done();
        }
      }, 0)));
      return;
    }
    if ("awaitEvent" in step) {
      const [name, type] = step.awaitEvent;
      this.waitFor(new Promise((done) => this.find(name).addEventListener(type, done)));
      return;
    }
    const kind = ["new", "call", "get", "set"].find((kind) => kind in step);
    const entry = [kind, step.label ?? step[kind]];
    let result;
    try {
      result = this[`_${kind}`](step);
      if (step.as) this.names.set(step.as, result);
    } catch (error) {
      entry.push("throws", this.showError(error));
      this.trace.push(entry);
      return;
    }
    if (kind === "call" && result instanceof Promise) {
      this.trace.push(entry);
      this.waitFor(result.then(
        (value) => entry.push("resolves", this.show(value)),
        (error) => entry.push("rejects", this.showError(error)),
      ));
    } else if (kind === "call" && result === undefined) {
      this.trace.push([...entry, "is", null]); // what returns nothing returns None in Python
    } else if (kind === "get" || kind === "call") {
      this.trace.push([...entry, "is", this.show(result)]);
    } else {
      this.trace.push(entry);
    }
    if (kind === "new" && step.new === "WebSocket") this.watch(step, result);
  }

  _new(step) {
    return new this.globals[step.new](...this.values(step.args ?? []));
  }

  _call(step) {
    const [object, member] = this.path(step.call);
    return object[member](...this.values(step.args ?? []));
  }

  _get(step) {
    const [object, member] = this.path(step.get);
    return object[member];
  }

  _set(step) {
    const [object, member] = this.path(step.set);
    object[member] = this.value(step.to);
  }

  path(text) {
    const [name, ...members] = text.split(".");
    const last = members.pop();
    let object = this.find(name);
    for (const member of members) object = object[member];
    return [object, last];
  }

  find(name) {
    const found = this.names.get(name) ?? this.globals[name];
    if (found === undefined) throw new Error(`the scenario has nothing called ${name}`);
    return found;
  }

  /** Listens to a new socket, unless the scenario wants to do that itself. */
  watch(step, socket) {
    const name = step.as;
    this.sockets.push([name, socket]);
    socket.addEventListener("close", () => {
      if (socket.readyState !== 3) return; // one that the scenario dispatched
      socket.closedForTheRun = true;
      this.settleSoon();
    });
    if (step.acknowledge) this.acknowledge(socket, ...step.acknowledge);
    if (!step.quiet) {
      for (const type of TYPES) {
        socket.addEventListener(type, this.function({ fn: `${name}.${type}`, do: step.on?.[type] ?? [] }));
      }
    }
  }

  /** Answers `asked`, and `open`, when all that listeners send to it has been sent. */
  acknowledge(socket, asked, answer) {
    const acknowledge = (event) => {
      if (!event.isTrusted || (event.type === "message" && event.data !== asked)) return;
      setTimeout(() => socket.readyState === 1 && socket.send(answer), 0);
    };
    socket.addEventListener("open", acknowledge);
    socket.addEventListener("message", acknowledge);
  }

  state(name, socket, kind = "state") {
    this.trace.push([kind, name, stateOf(socket)]);
  }

  // -- values -------------------------------------------------------------------------------

  values(specs) {
    return specs.map((spec) => this.value(spec));
  }

  value(spec) {
    if (typeof spec === "string") return this.text(spec);
    if (spec === null || typeof spec !== "object") return spec;
    if (Array.isArray(spec)) return this.values(spec);
    if ("ref" in spec) return this.find(spec.ref);
    if ("fn" in spec) return this.function(spec);
    if ("handler" in spec) return this.handler(spec);
    if ("undefined" in spec) return undefined;
    if ("number" in spec) return Number(spec.number);
    if ("utf16" in spec) return String.fromCharCode(...spec.utf16);
    if ("repeat" in spec) return spec.repeat[0].repeat(spec.repeat[1]);
    if ("view" in spec) return this.view(spec);
    if ("bytes" in spec) return this.bytes(spec.bytes).buffer;
    if ("blob" in spec) return new this.globals.Blob(this.values(spec.blob), this.value(spec.options ?? {}));
    if ("error" in spec) return this.error(spec);
    if ("get" in spec) return this._get(spec);
    const members = "object" in spec ? spec.object : spec;
    return Object.fromEntries(Object.entries(members).map(([key, item]) => [key, this.value(item)]));
  }

  text(spec) {
    return spec.includes("{") ? spec.replace(/\{\w+\}/g, (name) => this.places[name] ?? name) : spec;
  }

  bytes(spec) {
    return typeof spec === "string" ? unhex(spec) : new Uint8Array(spec[1]).fill(spec[0]);
  }

  view(spec) {
    const buffer = this.bytes(spec.bytes).buffer;
    const length = spec.length ?? (buffer.byteLength - (spec.offset ?? 0)) / (spec.size ?? 1);
    return new globalThis[spec.view](buffer, spec.offset ?? 0, length);
  }

  error(spec) {
    return spec.name ? new this.globals.DOMException("by the scenario", spec.name) : new TypeError("by the scenario");
  }

  /** A listener: the same name is the same function. */
  function(spec) {
    const name = spec.fn;
    if (!this.names.has(name)) {
      this.names.set(name, (event) => this.called(name, spec, event));
    }
    return this.names.get(name);
  }

  handler(spec) {
    const name = spec.handler;
    if (!this.names.has(name)) {
      const object = {};
      if (spec.do) object.handleEvent = (event) => this.called(name, spec, event);
      this.names.set(name, object);
    }
    return this.names.get(name);
  }

  called(name, spec, event) {
    current = this;
    if (this.over) return undefined;
    this.trace.push(["event", name, this.showEvent(event)]);
    const before = this.names.get("event");
    this.names.set("event", event);
    this.depth++;
    try {
      if (this.depth <= DEEPEST) this.perform(spec.do);
    } finally {
      this.depth--;
      this.names.set("event", before);
    }
    return "returns" in spec ? this.value(spec.returns) : undefined;
  }

  // -- showing ------------------------------------------------------------------------------

  nameOf(object) {
    for (const [name, found] of this.names) if (found === object && name !== "event") return name;
    return null;
  }

  show(value) {
    if (value === undefined) return { undefined: true };
    if (typeof value === "string") return showText(value);
    if (typeof value === "number") return Number.isFinite(value) ? value : { number: String(value) };
    if (typeof value === "boolean" || value === null) return value;
    const name = this.nameOf(value);
    if (name !== null) return { is: name };
    if (typeof value === "function") return { function: true };
    if (Array.isArray(value)) return value.map((item) => this.show(item));
    if (value instanceof ArrayBuffer) return { ArrayBuffer: showBytes(new Uint8Array(value)) };
    if (value instanceof Uint8Array) return { Uint8Array: showBytes(value) };
    if (value instanceof this.globals.Blob) return this.showBlob(value);
    if (value instanceof this.globals.DOMException || value instanceof Error) return { exception: value.name };
    return { object: value.constructor.name };
  }

  /** A Blob can only be read later; the trace is made whole then. */
  showBlob(blob) {
    const shown = { Blob: null, size: blob.size, type: blob.type };
    (this.blobs ??= []).push(blob.arrayBuffer().then((buffer) => {
      shown.Blob = showBytes(new Uint8Array(buffer));
    }));
    return shown;
  }

  showError(error) {
    if (error instanceof this.globals.DOMException) return { DOMException: error.name, code: error.code };
    return error instanceof Error ? error.name : { thrown: this.show(error) };
  }

  showEvent(event) {
    const target = event.target;
    const shown = {
      class: event.constructor.name,
      type: showText(event.type),
      target: this.show(target),
      currentTarget: this.show(event.currentTarget),
      srcElement: this.show(event.srcElement),
      composedPath: this.show(event.composedPath()),
      eventPhase: event.eventPhase,
      isTrusted: event.isTrusted,
      bubbles: event.bubbles,
      cancelable: event.cancelable,
      composed: event.composed,
      defaultPrevented: event.defaultPrevented,
      returnValue: event.returnValue,
      cancelBubble: event.cancelBubble,
    };
    if (event instanceof this.globals.MessageEvent) {
      shown.data = this.show(event.data);
      shown.origin = event.origin;
      shown.lastEventId = event.lastEventId;
      shown.source = this.show(event.source);
      shown.ports = this.show([...event.ports]);
    }
    if (event instanceof this.globals.CloseEvent) {
      shown.wasClean = event.wasClean;
      shown.code = event.code;
      shown.reason = showText(event.reason);
    }
    if (target instanceof this.globals.WebSocket) {
      shown.state = stateOf(target);
      // While data may be on their way it depends on the network: a scenario asks where it does not.
      if ([1, 2].includes(shown.state.readyState)) delete shown.state.bufferedAmount;
    }
    return shown;
  }
}

/** Asks `hub` for batches of scenarios, runs them, some at a time, and hands back their traces. */
export async function work(hub, judge, globals, slots) {
  for (;;) {
    const batch = await (await fetch(`${hub}/next/${judge}`)).json();
    if (!batch) return;
    const waiting = batch.scenarios.entries();
    const traces = [];
    await Promise.all(slots.map(async (slot) => {
      for (const [at, scenario] of waiting) {
        const base = `${slot}/${judge}/${batch.first + at}`;
        try {
          traces[at] = await new Run(scenario, base, batch.places, globals).run();
        } catch (error) {
          traces[at] = [["fault of the interpreter", String(error), String(error.stack)]];
        }
      }
    }));
    await fetch(`${hub}/traces/${judge}`, { method: "POST", body: JSON.stringify(traces) });
  }
}
