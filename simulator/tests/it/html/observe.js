"use strict";
const observed = [];
const observe = (name, text) => observed.push(`${name}: ${text}`);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

const scripts = all("script").filter((script) => script !== document.currentScript);
const handlers = all("*").filter((element) => [...element.attributes].some(({ name }) => name.startsWith("on")));
const key = (name) => document.body.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true }));

const finish = () => {
  observed.unshift(
    `errors: ${window.errors.join(", ") || "none"}`,
    `scripts: ${scripts.length}, images: ${document.images.length}, handlers: ${handlers.length}`,
  );
  const pre = document.createElement("pre");
  pre.id = "observed";
  pre.textContent = observed.join("\n");
  document.body.append(pre);
};
