// The form that sends a request to this service, and its answer.
import { element } from "./dom.js";
import { resolve, sample } from "./schema.js";

const ROOT = new URL(".", document.baseURI);

function inputOf(api, parameter) {
  const schema = resolve(api, parameter.schema);
  const words = schema.enum ?? (schema.type === "boolean" ? ["true", "false"] : null);
  if (!words) return element("input", { placeholder: schema.default ?? parameter.example ?? "", spellcheck: "false" });
  return element("select", {}, element("option", { value: "" }, ""), ...words.map((word) => element("option", {}, word)));
}

function exampleOf(api, content) {
  if (content.example === undefined && resolve(api, content.schema).type === "string") return "";
  const value = content.example ?? sample(api, content.schema);
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function curl(url, { method, headers, body }) {
  const shown = Object.entries(headers).map(([name, value]) =>
    name === "Authorization" ? '-H "Authorization: Bearer $API_KEY"' : `-H ${quoted(`${name}: ${value}`)}`,
  );
  const data = body ? [`-d ${quoted(body)}`] : [];
  return ["curl", "-i", "-X", method, ...shown, ...data, quoted(url.href)].join(" ");
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

export function trial(api, path, method, operation) {
  const inputs = (operation.parameters ?? []).map((parameter) => [parameter, inputOf(api, parameter)]);
  const contents = Object.entries(operation.requestBody?.content ?? {});
  const media = element("select", {}, ...contents.map(([type]) => element("option", {}, type)));
  const body = element("textarea", { rows: "12", spellcheck: "false" });
  const fill = () => (body.value = exampleOf(api, operation.requestBody.content[media.value]));
  const output = element("div", { class: "answer", "aria-live": "polite" });
  if (contents.length) {
    media.addEventListener("change", fill);
    fill();
  }

  function request() {
    const headers = {};
    let place = path;
    const query = new URLSearchParams();
    for (const [parameter, input] of inputs) {
      if (parameter.in === "path") place = place.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
      else if (input.value && parameter.in === "query") query.set(parameter.name, input.value);
      else if (input.value && parameter.in === "header") headers[parameter.name] = input.value;
    }
    const url = new URL(place.slice(1), ROOT);
    url.search = query;
    const key = document.getElementById("key").value.trim();
    if (key && operation.security?.length) headers.Authorization = `Bearer ${key}`;
    if (contents.length) headers["Content-Type"] = media.value;
    return [url, { method: method.toUpperCase(), headers, body: contents.length ? body.value : undefined }];
  }

  async function send(event) {
    event.preventDefault();
    const [url, options] = request();
    const command = element("pre", { class: "command" }, curl(url, options));
    const start = performance.now();
    try {
      const answer = await fetch(url, { ...options, cache: "no-store" });
      const text = await answer.text();
      const took = `${Math.round(performance.now() - start)} ms`;
      const headers = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
      output.replaceChildren(
        command,
        element(
          "p", { class: "outcome" },
          element("strong", { class: `status s${String(answer.status)[0]}` }, `${answer.status} ${answer.statusText}`),
          ` in ${took}`,
        ),
        element("pre", { class: "headers" }, headers),
        element("pre", {}, pretty(text)),
      );
    } catch (error) {
      output.replaceChildren(command, element("p", { class: "outcome" }, `Nothing was answered: ${error.message}`));
    }
  }

  const form = element("form", { class: "trial", onsubmit: send }, element("h4", {}, "Try it"));
  for (const [parameter, input] of inputs) {
    input.required = parameter.required;
    form.append(element("label", {}, element("span", {}, parameter.name), input));
  }
  if (contents.length) form.append(element("label", {}, element("span", {}, "Content-Type"), media), body);
  form.append(element("button", {}, "Send"), output);
  return form;
}
