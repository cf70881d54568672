"use strict";
(() => {
  document.documentElement.classList.add("js");

  // Sortable tables: the first press sorts upwards, the second downwards, the third restores the order.
  const value = (row, column, isNumber) => {
    const cell = row.cells[column];
    if (cell.dataset.sort !== undefined) return Number(cell.dataset.sort);
    const text = cell.textContent.trim();
    return isNumber && text === "" ? Infinity : text;
  };
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? (a < b ? -1 : a > b ? 1 : 0)
    : String(a).localeCompare(String(b), "en", { numeric: true }));
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    const original = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const next = { ascending: "descending", descending: "none" }[head.getAttribute("aria-sort")] || "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        let rows = [...original];
        if (next !== "none") {
          head.setAttribute("aria-sort", next);
          const isNumber = head.classList.contains("number");
          const sign = next === "ascending" ? 1 : -1;
          const keyed = rows.map((row) => [value(row, column, isNumber), row]);
          // Rows without a value stay at the end.
          keyed.sort(([a], [b]) => (a === Infinity || b === Infinity ? compare(a, b) : sign * compare(a, b)));
          rows = keyed.map(([, row]) => row);
        }
        body.append(...rows);
      });
    });
  }

  // Steppers: one epoch at a time, with buttons, links and arrow keys.
  const steppers = new Map();
  let latest = null;
  for (const root of document.querySelectorAll(".stepper")) {
    const epochs = [...root.querySelectorAll(".epoch")];
    const links = [...root.querySelectorAll(".stepper-links a")];
    const bar = document.createElement("div");
    bar.className = "stepper-bar";
    const button = (text) => {
      const made = document.createElement("button");
      made.type = "button";
      made.textContent = text;
      bar.append(made);
      return made;
    };
    const [before, after] = [button("← previous epoch"), button("next epoch →")];
    root.prepend(bar);
    let at = Math.max(0, epochs.findIndex((epoch) => epoch.classList.contains("start")));
    const show = (number) => {
      at = Math.min(Math.max(number, 0), epochs.length - 1);
      epochs.forEach((epoch, other) => epoch.classList.toggle("shown", other === at));
      links.forEach((link, other) => {
        if (other === at) link.setAttribute("aria-current", "true"); else link.removeAttribute("aria-current");
      });
      before.disabled = at === 0;
      after.disabled = at === epochs.length - 1;
    };
    const move = (by) => { latest = stepper; show(at + by); };
    const stepper = { root, show, move, epochs, last: epochs.length - 1 };
    steppers.set(root, stepper);
    before.addEventListener("click", () => move(-1));
    after.addEventListener("click", () => move(1));
    links.forEach((link, number) => link.addEventListener("click", (event) => {
      event.preventDefault();
      latest = stepper;
      show(number);
    }));
    show(at);
  }
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (event.target.closest("input, select, textarea, [role=region]")) return;
    const own = event.target.closest(".stepper");
    const visible = [...steppers.values()].filter(({ root }) => !root.closest("details:not([open])"));
    const stepper = own ? steppers.get(own) : visible.includes(latest) ? latest : visible[0];
    if (!stepper) return;
    if (event.key === "ArrowLeft") stepper.move(-1);
    else if (event.key === "ArrowRight") stepper.move(1);
    else if (own && event.key === "Home") stepper.show(0);
    else if (own && event.key === "End") stepper.show(stepper.last);
    else return;
    event.preventDefault();
  });

  // A link to a part of a closed section opens it, and shows the epoch.
  const follow = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    for (let box = target; box; box = box.parentElement) if (box.tagName === "DETAILS") box.open = true;
    const stepper = steppers.get(target.closest(".stepper"));
    if (stepper && stepper.epochs.includes(target)) stepper.show(stepper.epochs.indexOf(target));
    target.scrollIntoView();
  };
  window.addEventListener("hashchange", follow);
  follow();

  // Trees: a leaf lights up the nodes whose private keys its member knows, and a thief those that it knows.
  const numbers = (text) => (text ? text.split(" ").map(Number) : []);
  const knows = (node, leaf) => Number(node.dataset.from) <= leaf && leaf <= Number(node.dataset.to)
    && !numbers(node.dataset.without).includes(leaf);
  for (const epoch of document.querySelectorAll(".epoch")) {
    const tree = epoch.querySelector(".tree");
    if (!tree) continue;
    const who = tree.querySelector(".who");
    const nodes = [...tree.querySelectorAll(".node[data-node]")];
    const sources = [...tree.querySelectorAll(".leaf[data-leaf]"), ...epoch.querySelectorAll(".thief[data-thief]")];
    let pinned = null;
    const light = (source) => {
      sources.concat(nodes).forEach((element) => element.classList.remove("lit"));
      tree.classList.toggle("lighting", source !== null);
      who.textContent = "";
      if (!source) return;
      const { leaf, thief, name } = source.dataset;
      const known = nodes.filter((node) => (leaf === undefined
        ? numbers(node.dataset.thieves).includes(Number(thief))
        : node === source || (node.dataset.from !== undefined && knows(node, Number(leaf)))));
      known.concat(source).forEach((element) => element.classList.add("lit"));
      const list = known.map((node) => node.dataset.node).sort((a, b) => a - b).join(", ");
      const subject = leaf === undefined ? `Thief ${source.querySelector(".thief-mark").textContent}` : name;
      who.textContent = known.length > 0 ? `${subject} knows the private keys of the nodes ${list}.`
        : `${subject} knows no private key of this tree.`;
    };
    for (const source of sources) {
      source.addEventListener("mouseenter", () => light(source));
      source.addEventListener("mouseleave", () => light(pinned));
      source.addEventListener("focus", () => light(source));
      source.addEventListener("blur", () => light(pinned));
      source.addEventListener("click", () => { pinned = pinned === source ? null : source; light(pinned); });
      source.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        pinned = pinned === source ? null : source;
        light(pinned || source);
      });
    }
  }
})();
