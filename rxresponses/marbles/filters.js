// The third part of the script of the page: filters and the set-up.
// -- filters -----------------------------------------------------------------------------------------------------

const isKept = (type) => !filter.families.has(data.families[type]) && (!filter.type || data.types[type] === filter.type);

function applyFilter() {
  for (const row of data.rows) {
    row.kept = [];
    const hasLane = filter.lane === null || row.kind === "connection" || (row.lane || "") === filter.lane;
    row.section.hidden = !hasLane;
    row.scale = null;
    if (!hasLane) {
      row.svg.replaceChildren();
      continue;
    }
    for (let index = 0; index < row.at.length; index++) {
      if (isKept(row.type[index])) row.kept.push(index);
    }
  }
  showCounts();
  focus = null;
  refresh();
}

function showCounts() {
  let count = 0, lines = 0, total = 0;
  for (const row of data.rows) {
    total += row.at.length;
    count += row.kept.length;
    if (!row.section.hidden) lines++;
  }
  const text = count === total ? number(total) : `${number(count)} of ${number(total)}`;
  status.textContent = `${text} ${total === 1 ? "event" : "events"} on ${number(lines)} ${lines === 1 ? "line" : "lines"}`;
}

function makeChip(name) {
  const chip = document.createElement("button");
  chip.className = "chip";
  chip.dataset.family = name;
  chip.setAttribute("aria-pressed", "true");
  chip.innerHTML = `<svg class="rxm" width="20" height="20" aria-hidden="true"><use href="#rxm-${name}" x="10" y="10"` +
    ` class="${name}"/></svg>${escape(name)} <span></span>`;
  chip.addEventListener("click", () => {
    const hide = !filter.families.has(name);
    filter.families[hide ? "add" : "delete"](name);
    chip.setAttribute("aria-pressed", String(!hide));
    applyFilter();
  });
  return chip;
}

// Fill in what can be chosen, and how many events that is.
function updateFilters() {
  const counts = new Map(), ofFamily = new Map();
  for (const row of data.rows) {
    for (const type of row.type) counts.set(type, (counts.get(type) || 0) + 1);
  }
  for (const [type, count] of counts) ofFamily.set(data.families[type], (ofFamily.get(data.families[type]) || 0) + count);
  const chips = byId("families");
  for (const name of data.order) {
    let chip = chips.querySelector(`[data-family="${name}"]`);
    if (!chip && !ofFamily.has(name)) continue;
    if (!chip) {
      chip = makeChip(name);
      const following = [...chips.children].find((one) => data.order.indexOf(one.dataset.family) > data.order.indexOf(name));
      chips.insertBefore(chip, following || null);
    }
    chip.querySelector("span").textContent = number(ofFamily.get(name) || 0);
  }
  const types = [...counts].sort((one, other) => other[1] - one[1]);
  choices(byId("type"), [["all types", ""], ...types.map(([type, count]) =>
    [`${data.types[type]} (${number(count)})`, data.types[type]])], filter.type);
  const lanes = [...new Set(data.rows.filter((row) => row.kind !== "connection").map((row) => row.lane || ""))];
  choices(byId("lane"), [["all lanes", "*"], ...lanes.map((lane) => [lane || "default lane", `=${lane}`])],
    filter.lane === null ? "*" : `=${filter.lane}`);
  byId("lanes").hidden = lanes.length < 2 && filter.lane === null;
}

function choices(select, options, chosen) {
  if (select === document.activeElement && select.options.length) return; // the list may be open
  if (!options.some(([, value]) => value === chosen)) options.push([chosen.replace(/^=/, "") || "default lane", chosen]);
  select.replaceChildren(...options.map(([text, value]) =>
    Object.assign(document.createElement("option"), { textContent: text, value, selected: value === chosen })));
}

byId("type").addEventListener("change", (event) => { filter.type = event.target.value; applyFilter(); });
byId("lane").addEventListener("change", (event) => {
  filter.lane = event.target.value === "*" ? null : event.target.value.slice(1);
  applyFilter();
});

// -- set-up ------------------------------------------------------------------------------------------------------

const observer = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const row = data.rows.find((one) => one.section === entry.target);
    if (!row) continue; // removed just now
    row.onScreen = entry.isIntersecting;
    if (row.onScreen && row.version !== view.version && view.ticks) draw(row);
  }
  keepTabStop(false);
  main.dataset.ready = "true";
}, { rootMargin: "400px" });

function makeRow(row) {
  row.place = row.place || row.at;
  Object.assign(row, { kept: [], y: row.kind === "connection" ? 10 : FIRST_LEVEL, onScreen: false, version: -1, scale: null });
  row.section = document.createElement("section");
  row.section.className = `row ${row.kind}`;
  row.svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  row.svg.setAttribute("class", "rxm line-of-row");
  row.svg.setAttribute("role", "group");
  row.svg.setAttribute("height", row.kind === "connection" ? 24 : 54);
  row.section.append(makeHeading(row), row.svg);
  main.append(row.section);
  observer.observe(row.section);
}

function makeHeading(row) {
  const heading = document.createElement("h2");
  const part = (style, text, tag = "span") => {
    const element = Object.assign(document.createElement(tag), { className: style });
    const words = document.createElement("bdi");
    words.textContent = text;
    element.append(words);
    heading.append(element);
    return element;
  };
  const name = row.kind === "connection" ? `connection ${row.name}` : row.name;
  const title = part("name", name, row.request === null ? "span" : "button");
  if (row.request !== null) {
    title.title = "Show the request as it was sent";
    title.addEventListener("click", () => {
      shown = null;
      open(`${row.name} · request`);
      byId("panel-facts").textContent = data.hasTimes ? `sent at ${when(row.sentAt)}` : "";
      byId("steps").hidden = true;
      content(pre(data.frames[row.request]));
    });
  }
  if (row.lane && row.kind !== "stage") part("lane", row.laneName);
  if (row.note && row.kind === "request") part("note", row.note);
  part("facts", row.facts);
  row.svg.setAttribute("aria-label", `${row.kind} ${row.name}: ${row.facts}; ends with ${data.signs[row.sign]} ${row.endText}`);
  return heading;
}

for (const row of data.rows) makeRow(row);
updateFilters();
new ResizeObserver(() => {
  const width = main.clientWidth;
  if (width === view.width) return;
  const before = view.width ? room() : 0;
  view.width = width;
  main.dataset.width = width;
  moveTo(follows ? Infinity : view.begin, before ? view.scale * room() / before : fitScale());
}).observe(main);
view.width = main.clientWidth;
main.dataset.width = view.width;
view.scale = fitScale();
drawAxis();
applyFilter();
fit();
