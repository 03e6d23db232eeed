// The first part of the script of the page: what is drawn.  `page.py` puts all parts into one function.
const data = JSON.parse(document.getElementById("data").textContent);
// The rules of clusters.py; a test compares both.
const PITCH = 20, LEVELS = 4, BIN = 4, FEWEST_PIECES = 4, FEWEST_OTHERS = 24, BADGE = 40;
const LEVEL = 17, MARGIN = 24, CELL = 6.6, HALF_BAND = 9, MOST_LISTED = 500, LONGEST = 40, FIRST_LEVEL = 14;
// Places are times as they are drawn: without what is cut of idle times (`breaks.py`).
const span = () => data.end - data.begin;
const byId = (id) => document.getElementById(id);
const main = byId("rows"), axis = byId("axis"), panel = byId("panel"), live = byId("live"), status = byId("status");
const number = (value) => value.toLocaleString("en-US");
const escapes = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
const escape = (text) => String(text).replace(/[&<>"']/g, (character) => escapes[character]);
const px = (value) => String(Math.round(value * 10) / 10);

const view = { scale: 1, begin: data.begin, width: 0, version: 0 };
const filter = { families: new Set(), type: "", lane: null };
let focus = null; // {row, index}: an event of the item that Tab reaches
let shown = null; // {row, index}: the event in the panel

// -- what is drawn ---------------------------------------------------------------------------------------------

function clusters(row, scale) {
  const xs = row.kept.map((index) => (row.place[index] - data.origin) * scale);
  const tracks = new Map();
  row.kept.forEach((index, place) => {
    const key = data.pieces[row.type[index]] ? family(row, index) : "";
    if (!tracks.has(key)) tracks.set(key, []);
    tracks.get(key).push(place);
  });
  const bands = [];
  let alone = [];
  for (const [name, track] of tracks) {
    let start = 0;
    for (let end = 1; end <= track.length; end++) {
      if (end < track.length && xs[track[end]] - xs[track[end - 1]] < PITCH) continue;
      const run = track.slice(start, end);
      start = end;
      if (run.length < (name ? FEWEST_PIECES : FEWEST_OTHERS)) alone = alone.concat(run);
      else bands.push(band(row, xs, run));
    }
  }
  bands.sort((one, other) => one.begin - other.begin);
  alone.sort((one, other) => one - other);
  const items = bands.concat(piles(row, xs, alone, bands));
  items.sort((one, other) => one.indices[0] - other.indices[0]);
  let peak = 1;
  for (const one of bands) for (const count of one.bars.values()) peak = Math.max(peak, count);
  return { items, peak };
}

function band(row, xs, run) {
  const bars = new Map(), tints = new Map(), counts = new Map(), families = new Set();
  for (const place of run) {
    const bar = Math.floor(xs[place] / BIN), one = family(row, row.kept[place]);
    families.add(one);
    bars.set(bar, (bars.get(bar) || 0) + 1);
    if (!counts.has(bar)) counts.set(bar, new Map());
    counts.get(bar).set(one, (counts.get(bar).get(one) || 0) + 1);
  }
  for (const [bar, ofFamily] of counts) {
    let most = 0;
    for (const [one, count] of ofFamily) if (count > most) tints.set(bar, one), most = count;
  }
  const indices = run.map((place) => row.kept[place]), name = families.size === 1 ? [...families][0] : "mixed";
  return { kind: "band", family: name, begin: xs[run[0]], end: xs[run[run.length - 1]], indices, bars, tints };
}

function piles(row, xs, alone, bands) {
  const items = [], latest = new Array(LEVELS).fill(-Infinity);
  let badge = null, following = 0, bandEnd = -Infinity;
  for (const place of alone) {
    const x = xs[place], index = row.kept[place];
    while (following < bands.length && bands[following].begin < x + PITCH / 2) {
      bandEnd = Math.max(bandEnd, bands[following++].end);
    }
    let level = x - PITCH / 2 < bandEnd + BIN ? 1 : 0;
    while (level < LEVELS && x - latest[level] < PITCH) level++;
    if (level < LEVELS) {
      latest[level] = x;
      items.push({ kind: "single", family: family(row, index), begin: x, end: x, level, indices: [index] });
    } else if (badge && x - badge.begin < BADGE) {
      badge.indices.push(index);
    } else {
      badge = { kind: "badge", family: "", begin: x, end: x, level: LEVELS, indices: [index] };
      items.push(badge);
    }
  }
  return items;
}

let readText = () => ""; // of an event whose text was not read before; only a live page has such events
const textAt = (row, index) => row.text[index] ?? (row.text[index] = readText(row, index));
const family = (row, index) => data.families[row.type[index]];
const xOf = (place) => MARGIN + (place - view.begin) * view.scale;

function placeOf(at) {
  let cut = 0;
  for (const [begin, end] of data.breaks) {
    if (at < end) return at > begin ? begin - cut + data.drawn * (at - begin) / (end - begin) : at - cut;
    cut += end - begin - data.drawn;
  }
  return at - cut;
}

function timeOf(place) {
  let cut = 0;
  for (const [begin, end] of data.breaks) {
    const from = begin - cut;
    if (place < from + data.drawn) return place > from ? begin + (place - from) / data.drawn * (end - begin) : place + cut;
    cut += end - begin - data.drawn;
  }
  return place + cut;
}
const when = (at) => (data.hasTimes ? `${at.toFixed(data.digits)} s` : `event ${number(Math.round(at) + 1)}`);

function nameOf(row, item) {
  const first = item.indices[0], count = item.indices.length;
  if (item.kind === "single") {
    return `${when(row.at[first])} ${data.types[row.type[first]]}${textAt(row, first) ? `: ${textAt(row, first)}` : ""}`;
  }
  const last = item.indices[count - 1];
  return `${number(count)} ${item.kind === "band" ? nounOf(row, item) : "more events"}, from ${when(row.at[first])} to ${when(row.at[last])}`;
}

function draw(row) {
  row.version = view.version;
  if (row.scale !== view.scale) {
    Object.assign(row, clusters(row, view.scale));
    row.scale = view.scale;
    const highest = row.items.reduce((level, item) => Math.max(level, item.level || 0), 0);
    row.y = Math.max(row.y, FIRST_LEVEL + LEVEL * highest);
    row.height = row.kind === "connection" ? 24 : row.y + 40;
    row.svg.setAttribute("height", row.height);
  }
  const shift = xOf(data.origin);
  const last = row.items.reduce((most, item) => Math.max(most, item.end), 0);
  const behind = row.items.length && shift + last > xOf(row.end) - PITCH / 2 ? 13 : 0;
  const y = row.y, left = MARGIN - 30, right = view.width - MARGIN + 30;
  const parts = view.cuts.map((cut) =>
    `<rect class="cut" x="${px(cut.x)}" y="0" width="${px(cut.width)}" height="${row.height}"/>`);
  parts.push(view.ticks.map((x) => `<path class="grid" d="M${px(x)} 0V${row.height}"/>`).join(""));
  const begin = Math.max(xOf(row.begin), -9), end = Math.min(xOf(row.end) + behind, view.width + 9);
  if (end >= begin) parts.push(`<path class="line" d="M${px(begin)} ${y}H${px(end)}"/>`);
  if (!row.marks.length) parts.push(`<path class="end" d="M${px(xOf(row.begin))} ${y - 4}v8"/>`);
  for (const [place, name] of row.marks) parts.push(sign(name, xOf(place), y, name === "subscribed" ? 11 : 6));
  if (row.firstText !== null) {
    const to = Math.min(xOf(row.firstText), view.width + 9);
    if (to > begin) parts.push(`<path class="wait" d="M${px(begin)} ${y}H${px(to)}"/>`);
  }
  parts.push(sign(row.sign, xOf(row.end) + behind, y, row.kind === "connection" ? 5 : 11));
  const drawn = [];
  row.items.forEach((item, place) => {
    if (shift + item.end < left || shift + item.begin > right) return;
    drawn.push(item);
    parts.push(drawItem(row, item, place, shift, y, left, right));
  });
  parts.push(texts(row, drawn, shift, y));
  const hadFocus = row.svg.contains(document.activeElement);
  row.svg.innerHTML = parts.join("");
  mark(row, hadFocus);
}

function drawItem(row, item, place, shift, y, left, right) {
  const x = px(shift + item.begin), count = item.indices.length;
  const head = `<g class="item ${item.kind}" role="button" tabindex="-1" data-item="${place}" data-count="${count}"` +
    ` data-first="${item.indices[0]}" aria-label="${escape(nameOf(row, item))}">`;
  if (item.kind === "single") {
    const up = px(y - item.level * LEVEL);
    return `${head}<circle class="halo" cx="${x}" cy="${up}" r="10.5"/>` +
      `<use href="#rxm-${item.family}" x="${x}" y="${up}" class="${item.family}"/></g>`;
  }
  if (item.kind === "badge") {
    const text = `+${number(count)}`, wide = Math.max(16, text.length * 6 + 8), up = y - LEVELS * LEVEL;
    return `${head}<rect class="halo" x="${px(x - wide / 2 - 3)}" y="${up - 10}" width="${px(wide + 6)}" height="20"` +
      ` rx="10"/><rect class="pill" x="${px(x - wide / 2)}" y="${up - 7}" width="${px(wide)}" height="14" rx="7"/>` +
      `<text class="b m" x="${x}" y="${up + 3.5}">${text}</text></g>`;
  }
  const from = Math.max(shift + item.begin, left) - 3, to = Math.min(shift + item.end, right) + 3;
  const bars = new Map();
  for (const [bar, number] of item.bars) {
    const center = shift + (bar + 0.5) * BIN;
    if (center < left || center > right) continue;
    const half = Math.max(2, HALF_BAND * number / row.peak);
    const tint = item.tints.get(bar);
    bars.set(tint, `${bars.get(tint) || ""}M${px(center)} ${px(y - half)}v${px(2 * half)}`);
  }
  return `${head}<rect class="halo" x="${px(from - 2)}" y="${y - 13}" width="${px(Math.max(to - from + 4, 8))}"` +
    ` height="26" rx="4"/>${[...bars].map(([tint, path]) => `<path class="band ${tint}" d="${path}"/>`).join("")}</g>`;
}

function sign(name, x, y, half) {
  if (x < -30 || x > view.width + 30) return "";
  const cross = half * 0.8, tip = half * 0.5;
  const crossed = `M${px(x - cross)} ${px(y - cross)}l${px(2 * cross)} ${px(2 * cross)}` +
    `m0 ${px(-2 * cross)}l${px(-2 * cross)} ${px(2 * cross)}`;
  const up = `${px(x)} ${px(y - half)}`;
  const paths = {
    completed: `M${up}v${px(2 * half)}`,
    incomplete: `M${up}v${px(half * 0.75)}m0 ${px(half * 0.5)}v${px(half * 0.75)}m-4 ${px(-half)}h8`,
    failed: `${crossed}M${px(x)} ${px(y - half - 2)}v${px(2 * half + 4)}`,
    error: crossed,
    disposed: `M${up}v${px(half * 1.2)}m0 ${px(half * 0.5)}v${px(half * 0.3)}`,
    subscribed: `M${px(x - 4)} ${px(y + half)}l4 ${px(-half * 0.6)}l4 ${px(half * 0.6)}`,
    open: `M${px(x - tip)} ${px(y - tip)}l${px(tip)} ${px(tip)}l${px(-tip)} ${px(tip)}`,
  };
  const style = name === "failed" || name === "error" ? " bad" : name === "disposed" ? " bang" : "";
  return `<path class="end${style} sign-${name}" d="${paths[name]}"><title>${escape(data.signs[name])}</title></path>`;
}

// -- texts below the line, where they fit ------------------------------------------------------------------------

const WIDE = /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\uffe0-\uffe6]|[\u{1f000}-\u{1faff}]/gu;
const cells = (text) => [...text].length + (text.match(WIDE) || []).length;

function fitted(text, room) {
  if (cells(text) <= room) return text;
  if (room <= 4) return "";
  let kept = "", left = room - 1;
  for (const character of text) {
    left -= cells(character);
    if (left < 0) break;
    kept += character;
  }
  return `${kept}…`;
}

function label(x, y, text, style) {
  return `<text class="${style}" x="${px(x)}" y="${px(y)}">${escape(text)}</text>`;
}

function texts(row, drawn, shift, y) {
  if (row.kind === "connection") return "";
  const columns = [], parts = [];
  let pile = null;
  for (const item of drawn.slice().sort((one, other) => one.begin - other.begin)) {
    const x = shift + item.begin;
    if (item.kind === "band") {
      columns.push({ x: Math.max(x, 6), end: Math.min(shift + item.end, view.width), band: item });
      continue;
    }
    if (pile && x - pile.x < PITCH) pile.more += item.indices.length;
    else columns.push(pile = { x, end: x, text: textAt(row, item.indices[0]).trim(), more: item.indices.length - 1 });
  }
  let free = 4, freeBelow = 4, limit = view.width - 4;
  if (row.endText && xOf(row.end) < view.width + 30 && xOf(row.end) > 0) {
    const text = fitted(row.endText, Math.floor((view.width - 2 * MARGIN) / CELL));
    const right = Math.min(Math.max(xOf(row.end) + 6, MARGIN + cells(text) * CELL), view.width - MARGIN + 6);
    parts.push(label(right, y + 34, text, "x e"));
    limit = right - cells(text) * CELL - 8;
  }
  columns.forEach((column, place) => {
    const following = place + 1 < columns.length ? columns[place + 1].x : view.width;
    if (!column.band) {
      const text = column.more ? `${fitted(column.text, 18)} +${number(column.more)}`.trim() : column.text;
      const end = place + 1 < columns.length ? (following + column.x) / 2 : view.width - 4;
      const fits = fitted(text, Math.min(Math.floor((end - free) / CELL), LONGEST)), taken = cells(fits) * CELL;
      if (fits) {
        const left = Math.min(Math.max(column.x - taken / 2, free), end - taken);
        parts.push(label(left, y + 20, fits, "s"));
        free = left + taken + 8;
      }
      return;
    }
    const from = Math.max(column.x, free), room = Math.floor((Math.min(column.end, following - 10) - from) / CELL);
    const text = fitted(textOf(row, column.band, from - shift, room), room);
    if (text.trim()) {
      parts.push(label(from, y + 20, text, "s"));
      free = from + cells(text) * CELL + 8;
    }
    const start = Math.max(column.x, freeBelow), count = column.band.indices.length;
    const next = columns.slice(place + 1).find((one) => one.band);
    const below = Math.floor((Math.min(next ? next.x - 8 : limit, limit) - start) / CELL);
    const full = `${number(count)} ${nounOf(row, column.band)}`;
    const fits = [full, `${number(count)}x`].find((one) => one.length <= below);
    if (fits) {
      parts.push(label(start, y + 34, fits, "c s"));
      freeBelow = start + fits.length * CELL + 8;
    }
  });
  return parts.join("");
}

function nounOf(row, item) {
  if (row.kind === "stage") return "values";
  if (item.family === "mixed") return "events";
  return data.pieces[row.type[item.indices[0]]] ? `${item.family.replace(/s$/, "")} deltas` : item.family;
}

function textOf(row, item, from, room) {
  const gap = data.pieces[row.type[item.indices[0]]] ? "" : " ";
  let text = "";
  for (const index of item.indices) {
    if ((row.place[index] - data.origin) * view.scale < from - 1) continue;
    text += gap + textAt(row, index);
    if (text.length > room) break;
  }
  return text.trimStart();
}
