// The second part of the script of the page: zoom, focus, and the panel with an event.
// -- the view ----------------------------------------------------------------------------------------------------

function step(most) {
  const least = Math.max(view.width / view.scale / most, data.hasTimes ? 1e-6 : 1);
  if (data.hasTimes && least > 20) {
    return [60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200].find((one) => one >= least) ||
      Math.ceil(least / 86400) * 86400;
  }
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((one) => one * power).find((one) => one >= least * (1 - 1e-9));
}

function tickText(at, size) {
  if (!data.hasTimes) return number(Math.round(at) + 1);
  if (size >= 60) {
    const minutes = Math.round(at / 60);
    return size < 3600 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  }
  const digits = (value) => Math.max(0, -Math.floor(Math.log10(value) + 1e-9));
  return size < 0.001 ? `${(at * 1000).toFixed(digits(size * 1000))} ms` : `${at.toFixed(digits(size))} s`;
}

function drawAxis() {
  const size = step(Math.max(1, view.width / 90)), labels = [], taken = [];
  const right = view.begin + (view.width - MARGIN) / (view.scale || 1);
  const put = (x, text) => {
    const half = text.length * CELL / 2;
    if (taken.some(([other, wide]) => Math.abs(x - other) < half + wide + 8)) return false;
    taken.push([x, half]);
    labels.push(label(x, 15, text, `k ${x < half ? "s" : x > view.width - half ? "e" : "m"}`));
    return true;
  };
  view.cuts = data.breaks.map(([begin, end]) => ({ x: xOf(placeOf(begin)), width: data.drawn * view.scale, length: end - begin }))
    .filter((cut) => cut.x + cut.width > 0 && cut.x < view.width);
  for (const cut of view.cuts) put(cut.x + cut.width / 2, `(${duration(cut.length)})`);
  view.ticks = [];
  const last = Math.min(timeOf(right), timeOf(data.end));
  for (let place = Math.ceil(timeOf(Math.max(view.begin - MARGIN / (view.scale || 1), data.begin)) / size - 1e-9);
    place * size <= last + size * 1e-9 && view.ticks.length < 100; place++) {
    const hidden = data.breaks.find(([begin, end]) => place * size > begin && place * size < end);
    if (hidden) {
      place = Math.ceil(hidden[1] / size) - 1; // goes on behind it
      continue;
    }
    const x = xOf(placeOf(place * size));
    if (put(x, tickText(place * size, size))) view.ticks.push(x);
  }
  axis.innerHTML = labels.join("");
}

function duration(value) {
  if (value < 120) return `${Number(value.toPrecision(3))} s`;
  const minutes = Math.round(value / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

let requested = false;
function refresh() {
  view.version++;
  if (requested) return;
  requested = true;
  requestAnimationFrame(() => {
    requested = false;
    drawAxis();
    const hadFocus = main.contains(document.activeElement) && document.activeElement.classList.contains("item");
    for (const row of data.rows) if (row.onScreen && !row.section.hidden) draw(row);
    keepTabStop(hadFocus);
    byId("in").disabled = view.scale >= mostScale();
    byId("out").disabled = view.scale <= fitScale();
    byId("left").disabled = view.begin <= data.begin;
    byId("right").disabled = view.begin >= lastBegin();
  });
}

const room = () => Math.max(view.width - 2 * MARGIN, 50);
const fitScale = () => (span() > 0 ? room() / span() : 0);
const mostScale = () => Math.max(fitScale(), data.hasTimes ? room() / 0.0001 : 200);
const lastBegin = () => Math.max(data.begin, data.end - room() / Math.max(view.scale, 1e-9));

let follows = false; // whether the end of the time axis stays in sight while a live page grows
let onMoved = () => {};

function moveTo(begin, scale) {
  view.scale = Math.min(Math.max(scale, fitScale()), mostScale());
  view.begin = Math.min(Math.max(begin, data.begin), lastBegin());
  follows = data.isLive && view.begin >= lastBegin();
  onMoved();
  main.dataset.scale = view.scale;
  refresh();
}

function zoom(factor, x) {
  const at = view.begin + (x - MARGIN) / (view.scale || 1);
  const scale = Math.min(Math.max(view.scale * factor, fitScale()), mostScale());
  moveTo(follows ? Infinity : at - (x - MARGIN) / (scale || 1), scale);
}

const pan = (pixels) => moveTo(view.begin + pixels / (view.scale || 1), view.scale);
const fit = () => moveTo(data.begin, fitScale());
const middle = () => {
  const x = focus ? xOf(focus.row.place[focus.index]) : -1;
  return x >= 0 && x <= view.width ? x : view.width / 2;
};

// -- focus and selection -----------------------------------------------------------------------------------------

const itemOf = (row, index) => row.items.findIndex((item) => item.indices.includes(index));
const elementOf = (row, place) => row.svg.querySelector(`[data-item="${place}"]`);

function mark(row, takesFocus) {
  for (const element of row.svg.querySelectorAll('[tabindex="0"]')) element.setAttribute("tabindex", "-1");
  for (const element of row.svg.querySelectorAll(".shown")) element.classList.remove("shown");
  const current = shown && shown.row === row ? elementOf(row, itemOf(row, shown.index)) : null;
  if (current) current.classList.add("shown");
  const element = focus && focus.row === row ? elementOf(row, itemOf(row, focus.index)) : null;
  if (!element) return;
  element.setAttribute("tabindex", "0");
  if (takesFocus) element.focus({ preventScroll: true });
}

function setFocus(row, index, takesFocus) {
  const before = focus;
  focus = { row, index };
  if (before && before.row !== row && before.row.items) mark(before.row, false);
  if (takesFocus) {
    const x = xOf(row.place[index]);
    row.section.scrollIntoView({ block: "nearest" });
    if (x < MARGIN - 1 || x > view.width - MARGIN + 1) {
      moveTo(row.place[index] - room() / 2 / (view.scale || 1), view.scale);
      drawAxis();
    }
  }
  if (row.version !== view.version) draw(row);
  mark(row, takesFocus);
  if (takesFocus) say(nameOf(row, row.items[itemOf(row, index)]));
}

// One item of the diagram can be reached with Tab, also when the item that had the focus is out of sight.
let lost = false; // the item with the focus has gone out of sight, and there is no other one
function keepTabStop(hadFocus) {
  lost = (lost || hadFocus) && document.activeElement === document.body;
  const stop = main.querySelector('.item[tabindex="0"]');
  if (stop && !lost) return;
  const element = stop || main.querySelector("section:not([hidden]) .item");
  if (!element) return;
  const found = itemAt(element);
  if (!stop) focus = { row: found.row, index: found.item.indices[0] };
  mark(found.row, lost);
}

const say = (text) => { live.textContent = text; };

// Show a single event; zoom into many of them, until they cannot be told apart by zooming: then list them.
function activate(row, item, x) {
  const first = item.indices[0], last = item.indices[item.indices.length - 1];
  const range = row.place[last] - row.place[first];
  if (item.kind === "single" || !range || view.scale >= mostScale() * 0.99) {
    setFocus(row, first, true);
    return item.kind === "single" ? show(row, first) : list(row, item);
  }
  const scale = Math.min(room() * 0.9 / range, mostScale());
  if (scale > view.scale * 1.05) {
    moveTo(row.place[first] - room() * 0.05 / scale, scale);
    setFocus(row, first, true);
  } else { // what is in sight is a part of the band
    const begin = Math.max(xOf(row.place[first]), 0), end = Math.min(xOf(row.place[last]), view.width);
    const at = view.begin + ((x ?? (begin + end) / 2) - MARGIN) / view.scale;
    zoom(4, xOf(at));
    setFocus(row, nearest(row, item.indices, at), true);
  }
  say(`Zoomed into ${nameOf(row, item)}`);
}

const nearest = (row, indices, at) =>
  indices.reduce((best, one) => (Math.abs(row.place[one] - at) < Math.abs(row.place[best] - at) ? one : best));

// -- the panel ---------------------------------------------------------------------------------------------------

function open(title) {
  panel.hidden = false;
  document.body.classList.add("has-panel");
  byId("panel-title").textContent = title;
}

function show(row, index) {
  shown = { row, index };
  const place = row.kept.indexOf(index);
  open(`${row.name} · ${data.types[row.type[index]]}`);
  byId("panel-facts").textContent =
    `${when(row.at[index])} · ${number(place + 1)} of ${number(row.kept.length)} on this line`;
  content(pre(data.frames[row.record[index]]));
  byId("previous").disabled = place <= 0;
  byId("next").disabled = place < 0 || place >= row.kept.length - 1;
  byId("steps").hidden = false;
  mark(row, false);
  say(`${data.types[row.type[index]]}, ${when(row.at[index])}`);
}

function content(...nodes) {
  byId("panel-content").replaceChildren(...nodes);
}

function pre(frame) {
  const element = document.createElement("pre");
  element.tabIndex = 0;
  element.id = "json";
  element.textContent = frameText(frame);
  return element;
}

// The frames of a live page are the texts that were received: they are read when they are shown.
function frameText(frame) {
  let shown = frame;
  if (data.isLive && typeof frame === "string") {
    try {
      shown = JSON.parse(frame);
    } catch { /* no JSON: shown as it is */ }
  }
  return typeof shown === "string" ? shown : JSON.stringify(shown, null, 2);
}

function list(row, item) {
  shown = null;
  open(`${row.name} · ${nameOf(row, item)}`);
  byId("panel-facts").textContent = "These events are too close to each other to be drawn apart.";
  byId("steps").hidden = true;
  const entries = document.createElement("ol");
  for (const index of item.indices.slice(0, MOST_LISTED)) {
    const entry = document.createElement("li"), button = document.createElement("button");
    button.textContent = nameOf(row, { kind: "single", indices: [index] });
    button.addEventListener("click", () => { setFocus(row, index, false); show(row, index); });
    entry.append(button);
    entries.append(entry);
  }
  const more = document.createElement("p");
  if (item.indices.length > MOST_LISTED) more.textContent = `and ${number(item.indices.length - MOST_LISTED)} more`;
  content(entries, more);
  say(`${number(item.indices.length)} events in the panel`);
}

function close() {
  const row = shown && shown.row;
  panel.hidden = true;
  shown = null;
  document.body.classList.remove("has-panel");
  if (row) mark(row, false);
  if (focus) setFocus(focus.row, focus.index, true);
}

function move(by) {
  if (!shown) return;
  const { row, index } = shown, place = row.kept.indexOf(index) + by;
  if (place < 0 || place >= row.kept.length) return;
  setFocus(row, row.kept[place], true);
  show(row, row.kept[place]);
  const button = byId(by < 0 ? "previous" : "next");
  (button.disabled ? byId("close") : button).focus();
}

// -- keys, pointer and wheel ----------------------------------------------------------------------------------------

function itemAt(target) {
  const element = target.closest(".item"), section = target.closest("section");
  if (!element || !section) return null;
  const row = data.rows.find((one) => one.section === section);
  return { row, item: row.items[Number(element.dataset.item)], place: Number(element.dataset.item) };
}

function onArrow(key) {
  const { row, index } = focus, place = itemOf(row, index);
  if (key === "ArrowLeft" || key === "ArrowRight" || key === "Home" || key === "End") {
    const last = row.items.length - 1;
    const to = { ArrowLeft: place - 1, ArrowRight: place + 1, Home: 0, End: last }[key];
    if (to >= 0 && to <= last) setFocus(row, row.items[to].indices[0], true);
    return;
  }
  const rows = data.rows.filter((one) => !one.section.hidden && one.kept.length);
  const other = rows[rows.indexOf(row) + (key === "ArrowUp" ? -1 : 1)];
  if (!other) return;
  setFocus(other, nearest(other, other.kept, row.place[index]), true);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select,input")) return;
  const inDiagram = event.target.closest(".item");
  const keys = {
    "+": () => zoom(2, middle()), "=": () => zoom(2, middle()), "-": () => zoom(0.5, middle()), 0: fit,
    Escape: () => { if (!panel.hidden) close(); },
  };
  if (event.shiftKey && event.key === "ArrowLeft") pan(-room() / 4);
  else if (event.shiftKey && event.key === "ArrowRight") pan(room() / 4);
  else if (keys[event.key]) keys[event.key]();
  else if (inDiagram && focus && /^(Arrow|Home|End)/.test(event.key)) onArrow(event.key);
  else if (inDiagram && (event.key === "Enter" || event.key === " ")) {
    const found = itemAt(event.target);
    activate(found.row, found.item);
  } else return;
  event.preventDefault();
});

// One finger, or the mouse, moves the view.  Two fingers zoom too: what is below each of them stays there.
const pointers = new Map(); // where each of them is
let drag = null; // where they were when the first or the second was put down, and what was there

function hold() {
  const [one, other = one] = [...pointers.values()];
  return { x: (one.x + other.x) / 2, spread: Math.hypot(one.x - other.x, one.y - other.y) };
}

function grasp(moved) {
  if (!pointers.size) return void (drag = null);
  const held = hold();
  drag = { ...held, at: placeAt(held.x), scale: view.scale, moved };
}

const placeAt = (x) => view.begin + (x - main.getBoundingClientRect().left - MARGIN) / (view.scale || 1);
main.addEventListener("pointerdown", (event) => {
  if (event.button !== 0 || event.target.closest("h2") || pointers.size > 1) return;
  pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  grasp(pointers.size > 1);
});
main.addEventListener("pointermove", (event) => {
  if (!drag || !pointers.has(event.pointerId)) return;
  pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  const held = hold();
  if (!drag.moved && Math.abs(held.x - drag.x) < 5) return;
  if (!drag.moved) main.setPointerCapture(event.pointerId);
  drag.moved = true;
  const wanted = drag.spread ? drag.scale * held.spread / drag.spread : drag.scale;
  const scale = Math.min(Math.max(wanted, fitScale()), mostScale());
  const x = held.x - main.getBoundingClientRect().left;
  moveTo(drag.at - (x - MARGIN) / (scale || 1), scale);
});
for (const name of ["pointerup", "pointercancel"]) {
  window.addEventListener(name, (event) => {
    if (pointers.delete(event.pointerId)) setTimeout(() => grasp(true)); // after the click that follows
  });
}
for (const name of ["touchstart", "touchmove"]) { // else the browser would scroll with two fingers
  main.addEventListener(name, (event) => { if (event.touches.length > 1) event.preventDefault(); }, { passive: false });
}
main.addEventListener("click", (event) => {
  if (drag && drag.moved) return;
  const found = itemAt(event.target);
  if (found) activate(found.row, found.item, event.clientX - main.getBoundingClientRect().left);
});
main.addEventListener("focusin", (event) => {
  const found = itemAt(event.target);
  if (found && !(focus && found.row === focus.row && found.item.indices.includes(focus.index))) {
    setFocus(found.row, found.item.indices[0], false);
  }
});

function onWheel(event) {
  const isAcross = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
  const scrolls = document.documentElement.scrollHeight > window.innerHeight + 1;
  const zooms = event.ctrlKey || event.metaKey || event.currentTarget === axis || !scrolls;
  if (!isAcross && !zooms) return; // the page scrolls
  event.preventDefault();
  if (isAcross) pan(event.deltaX || event.deltaY);
  else zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), event.clientX - main.getBoundingClientRect().left);
}
for (const element of [main, axis]) element.addEventListener("wheel", onWheel, { passive: false });

const buttons = {
  in: () => zoom(2, middle()), out: () => zoom(0.5, middle()), fit, left: () => pan(-room() / 2), right: () => pan(room() / 2),
  close, previous: () => move(-1), next: () => move(1),
};
for (const [id, action] of Object.entries(buttons)) byId(id).addEventListener("click", action);
