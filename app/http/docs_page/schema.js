// JSON schemas as lists of fields, and values made of them.
import { element, prose } from "./dom.js";

export function resolve(api, schema) {
  if (!schema?.$ref) return schema ?? {};
  return schema.$ref.slice(2).split("/").reduce((found, step) => found[step], api);
}

// "string", "array of Event", "integer or null".
export function typeOf(api, schema) {
  if (schema.$ref && !resolve(api, schema).enum) return schema.$ref.split("/").pop();
  if (schema.$ref) return typeOf(api, resolve(api, schema));
  if (schema.anyOf) return schema.anyOf.map((choice) => typeOf(api, choice)).join(" or ");
  if (schema.enum) return schema.enum.map((word) => JSON.stringify(word)).join(" | ");
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.type === "array") return `array of ${typeOf(api, schema.items ?? {})}`;
  if (schema.additionalProperties?.type || schema.additionalProperties?.$ref)
    return `object of ${typeOf(api, schema.additionalProperties)}`;
  return schema.format ?? schema.type ?? "any";
}

const count = (number, thing) => `${number} ${thing}${number === 1 ? "" : "s"}`;
const WORDS = {
  default: (value) => (value === null ? null : `default ${JSON.stringify(value)}`),
  minLength: (value) => `at least ${count(value, "character")}`,
  maxLength: (value) => `at most ${count(value, "character")}`,
  minimum: (value) => `from ${value}`,
  maximum: (value) => `up to ${value}`,
  minItems: (value) => `at least ${count(value, "item")}`,
  maxItems: (value) => `at most ${count(value, "item")}`,
  pattern: (value) => `matches ${value}`,
};

export function limitsOf(schema) {
  const own = [schema, ...(schema.anyOf ?? [])];
  const told = own.flatMap((one) => Object.entries(WORDS).map(([word, say]) => (word in one ? say(one[word]) : null)));
  return told.filter(Boolean).join(", ");
}

// The struct that a value holds, through references, lists and choices; null where there is none.
function structOf(api, schema) {
  const found = resolve(api, schema);
  if (found.properties) return found;
  const inner = [found.items, found.additionalProperties, ...(found.anyOf ?? [])];
  return inner.filter((one) => one && typeof one === "object").map((one) => structOf(api, one)).find(Boolean) ?? null;
}

export function fields(api, schema, seen = []) {
  const struct = structOf(api, schema);
  if (!struct || seen.includes(struct)) return element("p", { class: "type" }, typeOf(api, schema));
  const list = element("dl", { class: "fields" });
  for (const [name, property] of Object.entries(struct.properties)) {
    const needed = struct.required?.includes(name);
    const limits = limitsOf(property);
    list.append(
      element("dt", {}, element("code", {}, name), needed ? element("span", { class: "needed" }, "required") : null),
      element(
        "dd", {},
        element("span", { class: "type" }, typeOf(api, property)),
        limits ? element("span", { class: "limits" }, limits) : null,
        property.description ? prose(property.description) : null,
        structOf(api, property) ? fields(api, property, [...seen, struct]) : null,
      ),
    );
  }
  return list;
}

// A value that the schema allows, short of optional fields.
export function sample(api, schema) {
  const found = resolve(api, schema);
  if (found.properties)
    return Object.fromEntries((found.required ?? []).map((name) => [name, sample(api, found.properties[name])]));
  if (found.anyOf) return sample(api, found.anyOf[0]);
  if (found.enum) return found.enum[0];
  if (found.type === "array") return [sample(api, found.items ?? {})];
  return { string: "", integer: 0, number: 0, boolean: true, object: {} }[found.type] ?? "";
}
