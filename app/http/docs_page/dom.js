// Elements from what the document says. Its words become text, never markup.

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== undefined && value !== null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// A sentence in which `what stands between backticks` is code.
export function prose(text, tag = "p", attributes = {}) {
  const parts = (text ?? "").split("`");
  return element(tag, attributes, ...parts.map((part, index) => (index % 2 ? element("code", {}, part) : part)));
}

export function unfolding(title, ...children) {
  return element("details", { class: "unfolding" }, element("summary", {}, title), ...children);
}
