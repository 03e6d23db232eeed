// The third part of the script of the page: filters and the set-up.
// -- filters -----------------------------------------------------------------------------------------------------

function applyFilter() {
  let count = 0, lines = 0, total = 0;
  for (const row of data.rows) {
    row.kept = [];
    total += row.at.length;
    const hasLane = filter.lane === null || row.kind === "connection" || (row.lane || "") === filter.lane;
    row.section.hidden = !hasLane;
    row.scale = null;
    if (!hasLane) {
      row.svg.replaceChildren();
      continue;
    }
    for (let index = 0; index < row.at.length; index++) {
      const type = row.type[index];
      if (!filter.families.has(data.families[type]) && (!filter.type || data.types[type] === filter.type)) row.kept.push(index);
    }
    count += row.kept.length;
    lines++;
  }
  const text = count === total ? number(total) : `${number(count)} of ${number(total)}`;
  status.textContent = `${text} ${total === 1 ? "event" : "events"} on ${number(lines)} ${lines === 1 ? "line" : "lines"}`;
  focus = null;
  refresh();
}

function makeFilters() {
  const counts = new Map();
  for (const row of data.rows) {
    for (const type of row.type) counts.set(type, (counts.get(type) || 0) + 1);
  }
  const ofFamily = new Map();
  for (const [type, count] of counts) ofFamily.set(data.families[type], (ofFamily.get(data.families[type]) || 0) + count);
  for (const name of data.order.filter((one) => ofFamily.has(one))) {
    const chip = document.createElement("button");
    chip.className = "chip";
    chip.dataset.family = name;
    chip.setAttribute("aria-pressed", "true");
    chip.innerHTML = `<svg class="rxm" width="20" height="20" aria-hidden="true"><use href="#rxm-${name}" x="10" y="10"` +
      ` class="${name}"/></svg>${escape(name)} <span>${number(ofFamily.get(name))}</span>`;
    chip.addEventListener("click", () => {
      const hide = !filter.families.has(name);
      filter.families[hide ? "add" : "delete"](name);
      chip.setAttribute("aria-pressed", String(!hide));
      applyFilter();
    });
    byId("families").append(chip);
  }
  const option = (text, value) => Object.assign(document.createElement("option"), { textContent: text, value });
  const types = [...counts].sort((one, other) => other[1] - one[1]);
  byId("type").append(option("all types", ""), ...types.map(([type, count]) =>
    option(`${data.types[type]} (${number(count)})`, data.types[type])));
  byId("type").addEventListener("change", (event) => { filter.type = event.target.value; applyFilter(); });
  const lanes = [...new Set(data.rows.filter((row) => row.kind !== "connection").map((row) => row.lane || ""))];
  byId("lane").append(option("all lanes", "*"), ...lanes.map((lane) => option(lane || "default lane", `=${lane}`)));
  byId("lane").addEventListener("change", (event) => {
    filter.lane = event.target.value === "*" ? null : event.target.value.slice(1);
    applyFilter();
  });
  byId("lanes").hidden = lanes.length < 2;
}

// -- set-up ------------------------------------------------------------------------------------------------------

function makeRows() {
  for (const row of data.rows) {
    row.place = row.place || row.at;
    Object.assign(row, { kept: [], y: row.kind === "connection" ? 10 : 14, onScreen: false, version: -1, scale: null });
    const section = row.section = document.createElement("section");
    section.className = `row ${row.kind}`;
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
    row.svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    row.svg.setAttribute("class", "rxm line-of-row");
    row.svg.setAttribute("role", "group");
    row.svg.setAttribute("aria-label", `${row.kind} ${row.name}: ${row.facts}; ends with ${data.signs[row.sign]} ${row.endText}`);
    row.svg.setAttribute("height", row.kind === "connection" ? 24 : 54);
    section.append(heading, row.svg);
    main.append(section);
  }
  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const row = data.rows.find((one) => one.section === entry.target);
      row.onScreen = entry.isIntersecting;
      if (row.onScreen && row.version !== view.version && view.ticks) draw(row);
    }
    keepTabStop(false);
    main.dataset.ready = "true";
  }, { rootMargin: "400px" });
  for (const row of data.rows) observer.observe(row.section);
}

makeRows();
makeFilters();
new ResizeObserver(() => {
  const width = main.clientWidth;
  if (width === view.width) return;
  const before = view.width ? room() : 0;
  view.width = width;
  main.dataset.width = width;
  moveTo(view.begin, before ? view.scale * room() / before : fitScale());
}).observe(main);
view.width = main.clientWidth;
main.dataset.width = view.width;
view.scale = fitScale();
drawAxis();
applyFilter();
fit();
