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
let paused = false;
let stream = null;
let due = 0;

function refresh() {
  due = 0;
  if (!paused && !document.hidden) htmx.trigger(document.body, "live");
}
function soon(wait) {
  if (!due) due = setTimeout(refresh, wait);
}
function listen() {
  if (!document.querySelector(".live")) return;
  stream = new EventSource("/api/v1/changes");
  for (const type of document.body.dataset.events.split(" ")) {
    stream.addEventListener(type, () => soon(700));
  }
}
function setPaused(value) {
  paused = value;
  const button = document.getElementById("live");
  button.setAttribute("aria-pressed", String(paused));
  document.getElementById("live-text").textContent = paused ? document.body.dataset.paused : document.body.dataset.running;
  if (stream) { stream.close(); stream = null; }
  if (!paused) { listen(); soon(0); }
}

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
    document.getElementById("announce").textContent = document.body.dataset.copied;
    setTimeout(() => { button.textContent = label; }, 1200);
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
  live.addEventListener("click", () => setPaused(!paused));
  document.getElementById("zone").addEventListener("click", () => {
    zone = zones[(zones.indexOf(zone) + 1) % zones.length];
    store.set("zone", zone);
    tellTimes();
  });
  document.getElementById("keys-open").addEventListener("click", () => document.getElementById("keys").showModal());
  listen();
  // Bytes on their way make no events: look often while there are some.
  setInterval(() => { if (document.querySelector("[data-busy]")) refresh(); }, 2000);
  setInterval(refresh, 15000);
  setInterval(() => { if (zone === "relative") tellTimes(); }, 1000);
  // A hidden page holds no connection: browsers have few for each host.
  document.addEventListener("visibilitychange", () => {
    if (stream) { stream.close(); stream = null; }
    if (!document.hidden && !paused) { listen(); soon(0); }
  });
});
window.addEventListener("pagehide", () => { if (stream) stream.close(); });
