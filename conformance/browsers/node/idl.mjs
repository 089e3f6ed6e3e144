// Writes the standards' IDL of the interfaces named on the command line as JSON:
// `node idl.mjs Event EventTarget ...`. The IDL is @webref/idl's.
import { readFileSync } from "node:fs";
import { parse } from "webidl2";

const FILES = ["dom", "html", "websockets", "FileAPI", "webidl"];
const wanted = new Set(process.argv.slice(2));
const here = new URL("node_modules/@webref/idl/", import.meta.url);

const typeName = (type) => {
  const inner = Array.isArray(type.idlType) ? type.idlType.map(typeName) : type.idlType;
  const name = type.union ? `(${inner.join(" or ")})`
    : type.generic ? `${type.generic}<${[inner].flat().map((t) => (typeof t === "string" ? t : typeName(t))).join(", ")}>`
    : typeof inner === "string" ? inner : [inner].flat().map((t) => (typeof t === "string" ? t : typeName(t))).join("");
  return name + (type.nullable ? "?" : "");
};
const value = (given) => {
  if (!given) return undefined;
  if (given.type === "null") return null;
  if (given.type === "dictionary") return {};
  if (given.type === "sequence") return [];
  return given.type === "number" ? Number(given.value) : given.value;
};
const argument = (arg) => ({
  name: arg.name, type: typeName(arg.idlType), optional: arg.optional, variadic: arg.variadic,
  default: value(arg.default),
});
const member = (item) => ({
  kind: item.type, name: item.name, special: item.special || "", readonly: item.readonly ?? false,
  type: item.idlType ? typeName(item.idlType) : "", value: value(item.value),
  arguments: item.arguments?.map(argument), default: value(item.default), required: item.required,
});

const interfaces = {};
const dictionaries = {};
for (const file of FILES) {
  for (const definition of parse(readFileSync(new URL(`${file}.idl`, here), "utf8"))) {
    const into = definition.type === "interface" ? interfaces : definition.type === "dictionary" ? dictionaries : null;
    if (!into || (into === interfaces && !wanted.has(definition.name))) continue;
    const entry = (into[definition.name] ??= { inheritance: null, members: [] });
    entry.inheritance ??= definition.inheritance;
    entry.members.push(...definition.members.map(member));
  }
}
console.log(JSON.stringify({ interfaces, dictionaries }));
