// Applies a MutatingAdmissionPolicy to a pod as the API server does, which no registry of packages has.
//
// usage: node admission.mjs < {"policy", "pod"}, prints the pod
//
// Expressions are evaluated as they are, but for the names of types, which become members `@` and are
// then held against where they stand. Between two mutations the server reads the pod into its own type,
// which keeps no empty list.

import { Environment } from "@marcbachmann/cel-js";

let input = "";
for await (const piece of process.stdin) input += piece;
const { policy, pod } = JSON.parse(input);

const cel = new Environment({ homogeneousAggregateLiterals: false })
  .registerVariable("object", "dyn")
  .registerFunction("escaped(string): string", (key) => key.replaceAll("~", "~0").replaceAll("/", "~1"));

function evaluate(expression, object) {
  const untyped = expression
    .replaceAll("jsonpatch.escapeKey", "escaped")
    .replaceAll(/\bJSONPatch\{/g, "{")
    .replaceAll(/\b(Object(?:\.\w+)*)\{/g, '{"@": "$1", ')
    .replaceAll(/([{,]\s*)(\w+):(?=\s)/g, '$1"$2":');
  return cel.evaluate(untyped, { object });
}

// The plain value of what stands at `type`, whose own members must have types of that name.
function plain(value, type) {
  if (typeof value === "bigint") return Number(value);
  if (Array.isArray(value)) return value.map((item) => plain(item, type));
  if (value === null || typeof value !== "object") return value;
  const { "@": said, ...members } = value;
  if (said !== undefined && said !== type) throw new Error(`${said} stands where ${type} should`);
  const entries = Object.entries(members);
  return Object.fromEntries(entries.map(([key, member]) => [key, plain(member, `${type}.${key}`)]));
}

// RFC 6902 section 4.1: the folder must be there.
function add(document, { op, path, value }) {
  if (op !== "add") throw new Error(`${op}: only \`add\` is known`);
  const keys = path.split("/").slice(1).map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~"));
  const last = keys.pop();
  const folder = keys.reduce((at, key) => at?.[key], document);
  if (folder === undefined) throw new Error(`${path}: its folder is missing`);
  const named = keys.concat(Array.isArray(folder) ? [] : [last]);
  const taken = plain(value, ["Object", ...named].join("."));
  if (!Array.isArray(folder)) folder[last] = taken;
  else folder.splice(last === "-" ? folder.length : Number(last), 0, taken);
}

function withoutEmptyLists(value) {
  if (Array.isArray(value)) return value.map(withoutEmptyLists);
  if (value === null || typeof value !== "object") return value;
  const kept = Object.entries(value).filter(([, member]) => !Array.isArray(member) || member.length > 0);
  return Object.fromEntries(kept.map(([key, member]) => [key, withoutEmptyLists(member)]));
}

const { matchConditions, mutations } = policy.spec;
let object = pod;
if (matchConditions.every(({ expression }) => evaluate(expression, object))) {
  for (const { jsonPatch } of mutations) {
    const patches = evaluate(jsonPatch.expression, object);
    patches.forEach((patch) => add(object, patch));
    object = withoutEmptyLists(object);
  }
}
console.log(JSON.stringify(object));
