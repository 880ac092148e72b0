// Keeps pages up to date and adds what forms and links cannot do. Every page
// works without it.
"use strict";

const store = {
  get(key) { try { return localStorage.getItem(key); } catch { return null; } },
  set(key, value) { try { localStorage.setItem(key, value); } catch { /* private mode: not kept */ } },
};

// ---- Times: in UTC as the server writes them, local, or relative to now.
const zones = ["utc", "local", "relative"];
let zone = zones.includes(store.get("zone")) ? store.get("zone") : "utc";
const pad = (n) => String(n).padStart(2, "0");
const relative = new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: "auto" });

function told(date) {
  if (zone === "local") {
    return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} ${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  }
  if (zone === "utc") {
    return date.toISOString().slice(0, 19).replace("T", " ");
  }
  const seconds = (date - Date.now()) / 1000;
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (Math.abs(seconds) >= size) return relative.format(Math.round(seconds / size), unit);
  }
  return relative.format(Math.round(seconds), "second");
}

function tellTimes() {
  for (const element of document.querySelectorAll("time[datetime]")) {
    const text = told(new Date(element.getAttribute("datetime")));
    if (element.textContent !== text) element.textContent = text;
  }
  const button = document.getElementById("zone");
  if (button) button.textContent = document.body.dataset[zone];
}

// ---- Live updates: the stream of changes says that something happened; then
// the parts of the page that are marked live are asked for again.
const session = {
  get(key) { try { return sessionStorage.getItem(key); } catch { return null; } },
  set(key, value) { try { sessionStorage.setItem(key, value); } catch { /* not kept */ } },
};
let paused = session.get("paused") === "yes"; // at the next page, too
let stream = null;
let again = 0; // when a stream that the server refused is asked for once more
let due = 0;

function refresh() {
  due = 0;
  if (!paused && !document.hidden) htmx.trigger(document.body, "live");
}
function soon(wait) {
  if (!due) due = setTimeout(refresh, wait);
}
function listen() {
  hangUp();
  if (paused || document.hidden || !document.querySelector("[data-live]")) return;
  stream = new EventSource("/api/v1/changes");
  for (const type of document.body.dataset.events.split(" ")) {
    stream.addEventListener(type, () => soon(700));
  }
  // A browser connects again by itself, unless the server has refused. Asking
  // for the page finds out what is the matter: nobody answers, or log in again.
  stream.addEventListener("error", () => {
    soon(700);
    if (stream && stream.readyState === EventSource.CLOSED) again = setTimeout(listen, 5000);
  });
}
function hangUp() {
  clearTimeout(again);
  if (stream) { stream.close(); stream = null; }
}
function showPaused() {
  document.getElementById("live").setAttribute("aria-pressed", String(paused));
  document.getElementById("live-text").textContent = paused ? document.body.dataset.paused : document.body.dataset.running;
}
function setPaused(value) {
  paused = value;
  session.set("paused", paused ? "yes" : "no");
  showPaused();
  hangUp();
  if (!paused) { listen(); soon(0); }
}

// What could not be asked for is no longer up to date, which must be seen.
// failing holds the ids of those parts; the line goes once all have answered.
const failing = new Map();
let fresh = new Date();
function tellStale() {
  for (const id of failing.keys()) if (!document.getElementById(id)) failing.delete(id);
  const line = document.getElementById("stale");
  if (failing.size === 0) {
    fresh = new Date();
    line.hidden = true;
    return;
  }
  const text = [...failing.values()].includes("away") ? line.dataset.away : line.dataset.refused;
  const since = zone === "utc" ? `${told(fresh).slice(11)} UTC` : fresh.toTimeString().slice(0, 8);
  const full = text.replace("{}", since);
  if (line.textContent !== full) line.textContent = full; // announced when it changes
  line.hidden = false;
}
const failed = (why) => (event) => {
  failing.set(event.target.id, why);
  tellStale();
};
document.addEventListener("htmx:sendError", failed("away"));
document.addEventListener("htmx:timeout", failed("away"));
document.addEventListener("htmx:responseError", failed("refused"));
document.addEventListener("htmx:afterRequest", (event) => {
  if (!event.detail.successful) return;
  failing.delete(event.target.id);
  tellStale();
});

// What a person has begun to fill in is not taken away by an update.
document.addEventListener("htmx:beforeRequest", (event) => {
  const part = event.target;
  if (!part.hasAttribute || !part.hasAttribute("data-quiet")) return;
  const filled = [...part.querySelectorAll("input:not([type=hidden]), textarea")].some((field) => field.value !== field.defaultValue);
  if (filled || part.contains(document.activeElement)) event.preventDefault();
});

// Ticks stay while rows come and go.
const ticked = new Set();
let all = false;
function keepTicks() {
  for (const box of document.querySelectorAll("input[name=file][type=checkbox]")) box.checked = ticked.has(box.value);
  const matching = document.getElementById("all-matching");
  if (matching) matching.checked = all;
}
document.addEventListener("change", (event) => {
  const box = event.target;
  if (box.name === "file" && box.type === "checkbox") {
    if (box.checked) ticked.add(box.value); else ticked.delete(box.value);
  } else if (box.id === "all-matching") {
    all = box.checked;
  } else if (box.dataset.all) {
    for (const other of document.querySelectorAll(`input[name=${box.dataset.all}][type=checkbox]`)) {
      other.checked = box.checked;
      if (box.checked) ticked.add(other.value); else ticked.delete(other.value);
    }
  }
});
document.addEventListener("htmx:afterSettle", () => { tellTimes(); keepTicks(); markRow(); });

// ---- Copying, confirming.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) {
    await navigator.clipboard.writeText(button.dataset.copy);
    const label = button.textContent;
    button.textContent = document.body.dataset.copied;
    document.getElementById("live-region").textContent = document.body.dataset.copied;
    setTimeout(() => { button.textContent = label; }, 1200);
  }
  const add = event.target.closest("[data-add-key]");
  if (add) {
    const keys = document.getElementById("host_keys");
    keys.value = `${keys.value.trim()}\n${add.dataset.addKey}`.trim();
    keys.focus();
    add.disabled = true;
  }
  const risky = event.target.closest("[data-confirm]");
  if (risky && !window.confirm(risky.dataset.confirm)) event.preventDefault();
});

// ---- Keyboard.
let at = null; // id of the row that j and k have come to
const rows = () => [...document.querySelectorAll(".rows tbody tr")];
function markRow() {
  for (const row of rows()) row.classList.toggle("at", row.dataset.href === at);
}
function step(by) {
  const list = rows();
  if (list.length === 0) return;
  const now = list.findIndex((row) => row.dataset.href === at);
  const row = list[Math.min(list.length - 1, Math.max(0, now + by))];
  at = row.dataset.href;
  markRow();
  row.querySelector("a").focus();
  row.scrollIntoView({ block: "nearest" });
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input:not([type=checkbox]), textarea, select")) return;
  const row = rows().find((one) => one.dataset.href === at);
  switch (event.key) {
    case "/": {
      const search = document.getElementById("search");
      if (!search) return;
      search.focus();
      search.select();
      break;
    }
    case "j": step(1); break;
    case "k": step(-1); break;
    case "x": {
      const box = row && row.querySelector("input[type=checkbox]");
      if (!box) return;
      box.click();
      break;
    }
    case "p": setPaused(!paused); break;
    case "?": document.getElementById("keys")?.showModal(); break;
    default: return;
  }
  event.preventDefault();
});

document.addEventListener("DOMContentLoaded", () => {
  tellTimes();
  const live = document.getElementById("live");
  if (!live) return; // the log-in page
  showPaused();
  live.addEventListener("click", () => setPaused(!paused));
  document.getElementById("zone").addEventListener("click", () => {
    zone = zones[(zones.indexOf(zone) + 1) % zones.length];
    store.set("zone", zone);
    tellTimes();
    if (failing.size > 0) tellStale();
  });
  document.getElementById("keys-open").addEventListener("click", () => document.getElementById("keys").showModal());
  listen();
  // Bytes on their way make no events: look often while there are some.
  setInterval(() => { if (document.querySelector("[data-busy]")) refresh(); }, 2000);
  setInterval(refresh, 15000);
  setInterval(() => { if (zone === "relative") tellTimes(); }, 1000);
  // A hidden page holds no connection: browsers have few for each host.
  document.addEventListener("visibilitychange", () => {
    listen();
    if (!document.hidden && !paused) soon(0);
  });
});
window.addEventListener("pagehide", hangUp);
