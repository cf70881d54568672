"use strict";
const open = () => all("details.group[open]").map((group) => group.id).join(" ");
const visible = () => all(".epoch.shown").filter((epoch) => epoch.checkVisibility());
const shown = () => visible().map((epoch) => epoch.id).join(" ");

observe("open at first", open());
observe("shown at first", shown());
key("ArrowRight");
observe("after the right arrow", shown());
all("nav.parts a").find((link) => link.textContent === "Group team").click();

setTimeout(() => {
  observe("open after a link", open());
  observe("shown after a link", shown());
  const epoch = visible().find((one) => one.id.startsWith("s1-group-2-"));
  const leaf = all(".leaf", epoch).find((one) => one.dataset.name === "bob");
  leaf.dispatchEvent(new MouseEvent("mouseenter"));
  observe("bob in the team", epoch.querySelector(".who").textContent);
  location.hash = "#s1-group-2-epoch-2";
  setTimeout(() => {
    observe("open after a fragment", open());
    observe("shown after a fragment", shown());
    all("details.group")[0].open = false;
    key("ArrowLeft");
    observe("after the left arrow with one closed group", shown());
    finish();
  }, 200);
}, 200);
