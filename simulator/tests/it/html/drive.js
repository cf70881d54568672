"use strict";
const table = all("table").find((one) => one.caption.textContent.startsWith("Costs"));
const head = (title) => all("th", table).find((one) => one.textContent === title);
const column = (title) => [...table.tBodies[0].rows].map((row) => row.cells[head(title).cellIndex].textContent || "-").join(" ");
const press = (title) => head(title).querySelector("button").click();
const shown = () => all(".epoch.shown").map((epoch) => epoch.id).join(" ");
const lit = () => all(".epoch.shown .node.lit").map((node) => node.dataset.node).sort().join(" ") || "nothing is lit";
const who = () => document.querySelector(".epoch.shown .who").textContent;
const leaf = (name) => all(".epoch.shown .leaf").find((one) => one.dataset.name === name);

const use = () => {
  observe("sequence at first", column("sequence"));
  press("sequence");
  observe("sequence upwards", `${column("sequence")}, aria-sort ${head("sequence").getAttribute("aria-sort")}`);
  press("sequence");
  observe("sequence downwards", `${column("sequence")}, aria-sort ${head("sequence").getAttribute("aria-sort")}`);
  press("sequence");
  observe("sequence again", `${column("sequence")}, aria-sort ${head("sequence").getAttribute("aria-sort")}`);
  press("commit bytes");
  press("commit bytes");
  observe("commit bytes downwards", column("commit bytes"));

  observe("shown", shown());
  key("ArrowRight");
  observe("after the right arrow", `${shown()}, the last: ${all(".stepper-bar button")[1].disabled}`);
  key("ArrowLeft");
  key("ArrowLeft");
  observe("after two left arrows", shown());
  all(".stepper-links a")[0].click();
  observe("after a link", shown());
  location.hash = "#s1-epoch-2";
};

const light = () => {
  observe("after a fragment", shown());
  leaf("carol").dispatchEvent(new MouseEvent("mouseenter"));
  observe("carol", who());
  observe("lit", lit());
  leaf("carol").dispatchEvent(new MouseEvent("mouseleave"));
  leaf("alice").focus();
  observe("alice", who());
  leaf("alice").blur();
  document.querySelector(".epoch.shown .thief[data-thief]").dispatchEvent(new MouseEvent("mouseenter"));
  observe("thief", who());
  document.querySelector(".epoch.shown .thief[data-thief]").dispatchEvent(new MouseEvent("mouseleave"));
  observe("after it", lit());
  observe("circles in circles", all("circle circle, path circle, rect rect, circle text").length);
};

const isOffline = table && leaf("carol");
if (isOffline) {
  use();
  setTimeout(() => { light(); finish(); }, 200);
} else {
  finish();
}
