// The page: every operation of /openapi.json, by tag.
import { element, prose, unfolding } from "./dom.js";
import { fields, limitsOf, resolve, typeOf } from "./schema.js";
import { trial } from "./trial.js";

function parameters(api, operation) {
  if (!operation.parameters?.length) return null;
  const list = element("dl", { class: "fields" });
  for (const one of operation.parameters) {
    const limits = limitsOf(resolve(api, one.schema));
    list.append(
      element(
        "dt", {},
        element("code", {}, one.name),
        element("span", { class: "place" }, `in the ${one.in}`),
        one.required ? element("span", { class: "needed" }, "required") : null,
      ),
      element(
        "dd", {},
        element("span", { class: "type" }, typeOf(api, one.schema)),
        limits ? element("span", { class: "limits" }, limits) : null,
        prose(one.description),
      ),
    );
  }
  return element("section", {}, element("h4", {}, "Parameters"), list);
}

function body(api, operation) {
  if (!operation.requestBody) return null;
  const kinds = Object.entries(operation.requestBody.content);
  const shown = element("section", {}, element("h4", {}, "Body"), prose(operation.requestBody.description));
  const [[type, content]] = kinds;
  shown.append(element("p", {}, element("code", {}, type), " ", element("span", { class: "type" }, typeOf(api, content.schema))));
  shown.append(fields(api, content.schema));
  if (kinds.length > 1) shown.append(prose(`Also as ${kinds.slice(1).map(([kind]) => `\`${kind}\``).join(", ")}.`));
  return shown;
}

function answer(api, status, response) {
  const [[type, content]] = Object.entries(response.content ?? { "": {} });
  const title = element("span", {}, element("strong", { class: `status s${status[0]}` }, status), " ");
  title.append(prose(response.description, "span"));
  const headers = Object.entries(response.headers ?? {}).map(([name, header]) =>
    element("li", {}, element("code", {}, name), " ", prose(header.description, "span")),
  );
  const links = Object.entries(response.links ?? {}).map(([name, link]) =>
    element("li", {}, element("a", { href: `#${link.operationId}` }, name), " ", prose(link.description, "span")),
  );
  return unfolding(
    title,
    type ? element("p", {}, element("code", {}, type), " ", element("span", { class: "type" }, typeOf(api, content.schema ?? {}))) : null,
    content.example ? element("pre", {}, JSON.stringify(content.example, null, 2)) : null,
    content.schema && !type.includes("problem") ? fields(api, content.schema) : null,
    headers.length ? element("ul", {}, ...headers) : null,
    links.length ? element("h5", {}, "Where its values lead") : null,
    links.length ? element("ul", {}, ...links) : null,
  );
}

function needed(operation) {
  const scope = Object.values(operation.security?.[0] ?? {})[0]?.[0];
  return scope ? element("span", { class: "scope", title: "what the API key needs" }, scope) : null;
}

function shownOperation(api, path, method, operation) {
  const details = element(
    "details", { class: "operation", id: operation.operationId },
    element(
      "summary", {},
      element("span", { class: `method ${method}` }, method.toUpperCase()),
      element("code", { class: "path" }, path),
      element("span", { class: "title" }, operation.summary),
      needed(operation),
    ),
  );
  const fill = () => {
    const told = element("div", { class: "told" }, prose(operation.description), parameters(api, operation), body(api, operation));
    const answers = Object.entries(operation.responses).map(([status, response]) => answer(api, status, response));
    told.append(element("section", {}, element("h4", {}, "Answers"), ...answers));
    details.append(element("div", { class: "content" }, told, trial(api, path, method, operation)));
  };
  details.addEventListener("toggle", fill, { once: true });
  return details;
}

function byTag(api) {
  const tags = new Map();
  for (const [path, operations] of Object.entries(api.paths))
    for (const [method, operation] of Object.entries(operations)) {
      const tag = operation.tags[0];
      tags.set(tag, [...(tags.get(tag) ?? []), [path, method, operation]]);
    }
  return tags;
}

function showTag(api, tag, operations) {
  const entries = operations.map(([, method, operation]) =>
    element(
      "a", { href: `#${operation.operationId}` },
      element("span", { class: `method ${method}` }, method.toUpperCase()),
      operation.summary,
    ),
  );
  document.getElementById("contents").append(element("h3", {}, tag), ...entries);
  const shown = operations.map(([path, method, operation]) => shownOperation(api, path, method, operation));
  document.getElementById("operations").append(element("h2", {}, tag), ...shown);
}

function unfold() {
  const chosen = document.getElementById(location.hash.slice(1));
  if (chosen?.tagName !== "DETAILS") return;
  chosen.open = true;
  chosen.scrollIntoView();
}

async function show() {
  const api = await (await fetch("openapi.json")).json();
  document.title = `${api.info.title} API`;
  document.getElementById("title").textContent = document.title;
  document.getElementById("version").textContent = `version ${api.info.version}`;
  const asksKeys = Boolean(api.components.securitySchemes);
  document.getElementById("key-field").hidden = !asksKeys;
  document.getElementById("no-key").hidden = asksKeys;
  for (const [tag, operations] of byTag(api)) showTag(api, tag, operations);
  addEventListener("hashchange", unfold);
  unfold();
}

show();
