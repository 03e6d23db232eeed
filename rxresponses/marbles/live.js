// The last part of the script of a live page: it gets what `live.py` tells, and follows the time.
// -- what the program tells --------------------------------------------------------------------------------------

const LEAST_SPAN = 20, RETRY_FIRST = 500, RETRY_MOST = 5000, FILTERS_EVERY = 1000;
const liveRows = new Map(); // by number
const shortNames = []; // of types
let frameCount = 0, filtersTimer = null;

function apply(text) {
  const lines = text.split("\n"), message = JSON.parse(lines[0]), isFirst = !liveRows.size;
  let line = 1;
  if (message.reset) {
    for (const row of data.rows) removeRow(row);
    data.types.length = data.families.length = data.pieces.length = 0;
  }
  (message.types || []).forEach(([kind, family, isPiece, shortName], place) => {
    const type = message.firstType + place;
    [data.types[type], data.families[type], data.pieces[type], shortNames[type]] = [kind, family, isPiece, shortName];
  });
  for (const told of message.rows) {
    const row = liveRow(told);
    for (const chunk of told.chunks) {
      for (const run of chunk) {
        for (const at of run.at) {
          const frame = lines[line++];
          if (row) addMarble(row, at, run.type, run.text, frame);
        }
      }
      if (row) row.scale = null;
    }
  }
  if (message.order) reorder(message.order);
  for (const row of data.rows) {
    if (row.at[0] < message.begin) dropBefore(row, message.begin);
    if (row.sign === "open") row.end = message.now;
  }
  data.begin = message.begin;
  data.end = Math.max(message.now, data.begin + LEAST_SPAN);
  filtersTimer ??= setTimeout(() => {
    filtersTimer = null;
    updateFilters();
  }, isFirst ? 0 : FILTERS_EVERY);
  showCounts();
  moveTo(follows ? Infinity : view.begin, isFirst ? room() / LEAST_SPAN : view.scale);
}

// The rule of `piece` in texts.py; a test compares both.
const LINE_BREAKS = /\r\n|[\n\v\f\r\x85\u2028\u2029]/g, LONGEST_TEXT = 200;
const CONTROLS = /[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff]|\p{Cs}/gu;

function piece(text) {
  const characters = text.length > LONGEST_TEXT ? [...text] : [], isCut = characters.length > LONGEST_TEXT;
  const kept = isCut ? characters.slice(0, LONGEST_TEXT - 1).join("") : text;
  const line = kept.replace(LINE_BREAKS, "↵").replace(/\t/g, "⇥").replace(CONTROLS, "\ufffd") + (isCut ? "…" : "");
  return /\S|\ufeff/.test(line) ? line : "·".repeat(Math.min([...line].length, 3));
}

readText = (row, index) => {
  let delta;
  try {
    delta = JSON.parse(data.frames[row.record[index]]).delta;
  } catch { /* no JSON */ }
  return piece(typeof delta === "string" ? delta : shortNames[row.type[index]]);
};

function liveRow(told) {
  let row = liveRows.get(told.id);
  if (!told.head) return row;
  if (!row) {
    row = { id: told.id, at: [], type: [], text: [], record: [] };
    liveRows.set(told.id, row);
    setHead(row, told.head);
    makeRow(row);
    row.section.hidden = filter.lane !== null && row.kind !== "connection" && (row.lane || "") !== filter.lane;
    data.rows.push(row);
  } else {
    setHead(row, told.head);
    const heading = row.section.querySelector("h2"), hadFocus = heading.contains(document.activeElement);
    heading.replaceWith(makeHeading(row));
    if (hadFocus) row.section.querySelector("h2 button")?.focus({ preventScroll: true });
  }
  return row;
}

function setHead(row, head) {
  if (row.request !== undefined && row.request !== null) delete data.frames[row.request];
  const request = head.request === null ? null : frameCount++;
  if (request !== null) data.frames[request] = head.request;
  Object.assign(row, head, { request });
}

function addMarble(row, at, type, text, frame) {
  if (!row.section.hidden && isKept(type)) row.kept.push(row.at.length);
  row.at.push(at);
  row.type.push(type);
  row.text.push(text);
  row.record.push(frameCount);
  data.frames[frameCount++] = frame;
}

function dropBefore(row, begin) {
  let count = 0;
  while (row.at[count] < begin) delete data.frames[row.record[count++]];
  for (const list of [row.at, row.type, row.text, row.record]) list.splice(0, count);
  row.kept = row.kept.filter((index) => index >= count).map((index) => index - count);
  row.scale = null;
  row.y = FIRST_LEVEL; // as high as what is left needs
  const moved = (place) => (place && place.row === row ? (place.index >= count ? { row, index: place.index - count } : null) : place);
  [focus, shown] = [moved(focus), moved(shown)];
}

function removeRow(row) {
  observer.unobserve(row.section);
  row.section.remove();
  liveRows.delete(row.id);
  for (const record of row.record) delete data.frames[record];
  if (row.request !== null) delete data.frames[row.request];
  if (focus && focus.row === row) focus = null;
  if (shown && shown.row === row) shown = null;
  data.rows = data.rows.filter((one) => one !== row);
}

function reorder(order) {
  const wanted = new Set(order);
  for (const row of data.rows) if (!wanted.has(row.id)) removeRow(row);
  data.rows = order.map((id) => liveRows.get(id)).filter(Boolean);
  let next = main.firstElementChild;
  for (const row of data.rows) {
    if (row.section === next) next = next.nextElementSibling;
    else main.insertBefore(row.section, next);
  }
}

// -- the connection to the program -------------------------------------------------------------------------------

const connection = document.createElement("span"), liveButton = document.createElement("button");
connection.id = "connection";
connection.setAttribute("role", "status");
document.querySelector("header p").append(" · ", connection);
liveButton.id = "follow";
liveButton.textContent = "Live";
liveButton.title = "Show what comes (End of the time axis)";
liveButton.addEventListener("click", () => moveTo(Infinity, view.scale));
byId("right").after(liveButton);
byId("fit").title = "Show all that is kept (0)";
onMoved = () => { liveButton.setAttribute("aria-pressed", String(follows)); };

function setConnected(state, text) {
  document.body.dataset.connection = state;
  connection.textContent = text;
}

let wait = RETRY_FIRST;
function connect() {
  const socket = new WebSocket(`ws://${location.host}${location.pathname}events`);
  socket.onopen = () => { setConnected("open", "Connected."); wait = RETRY_FIRST; };
  socket.onmessage = (event) => {
    apply(event.data);
    requestAnimationFrame(() => { // once it is drawn, more may come
      main.dataset.ready = "true";
      if (socket.readyState === WebSocket.OPEN) socket.send("");
    });
  };
  socket.onclose = () => {
    setConnected("lost", "The connection to the program is lost: it has ended, or closed the inspector. Trying again …");
    setTimeout(connect, wait);
    wait = Math.min(wait * 2, RETRY_MOST);
  };
}

follows = true;
setConnected("connecting", "Connecting …");
connect();
