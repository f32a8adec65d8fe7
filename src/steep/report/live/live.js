"use strict";
// Follows a run: asks the server every second for the panels, and replaces those that have changed.
// A panel that is being read (pointer over a text, selection, focus) is replaced afterwards.
const TICK_MS = 1000;
const LONGEST_PAUSE_MS = 15000; // between two attempts when the server does not answer
const PATIENCE_MS = 10000; // for one answer
const RELOAD_MS = 3000; // from the end of the run to its report
const HELD = new Set(["texts", "log", "results"]); // panels that wait under the pointer
const canHover = matchMedia("(hover: hover)").matches;

const panels = new Map();
for (const element of document.querySelectorAll("[data-panel]")) {
  panels.set(element.dataset.panel, { element, shown: null });
}
const announcement = document.getElementById("announcement");
const connection = document.getElementById("connection");
let latest = null;
let tag = "";
let failures = 0;
let sawItRun = false;

function isRead(name, element) {
  const selection = getSelection();
  if (!selection.isCollapsed && selection.containsNode(element, true)) return true;
  if (element.contains(document.activeElement)) return true;
  return HELD.has(name) && canHover && element.matches(":hover");
}

function replace(panel, markup) {
  const open = [...panel.element.querySelectorAll("details[open]")].map(keyOf);
  panel.element.innerHTML = markup; // drawn by the server, which escapes every text
  for (const each of panel.element.querySelectorAll("details")) each.open = open.includes(keyOf(each));
  panel.shown = markup;
}

function keyOf(details) {
  const summary = details.querySelector("summary").textContent;
  return details.dataset.key ?? summary.replace(/\d+/g, ""); // a count in it may change
}

function show() {
  for (const [name, markup] of Object.entries(latest.panels)) {
    const panel = panels.get(name);
    if (panel === undefined || panel.shown === markup || isRead(name, panel.element)) continue;
    replace(panel, markup);
  }
  if (document.title !== latest.title) document.title = latest.title;
  if (announcement.textContent !== latest.announcement) announcement.textContent = latest.announcement;
}

function openReport() {
  const idle = getSelection().isCollapsed && document.activeElement === document.body;
  if (idle && location.pathname === "/") location.reload(); // the server now gives the report
}

async function look() {
  const headers = tag ? { "If-None-Match": tag } : {};
  const signal = AbortSignal.timeout(PATIENCE_MS);
  const response = await fetch("/panels", { headers, signal, cache: "no-store" });
  if (response.status === 304) return;
  if (!response.ok) throw new Error(`status ${response.status}`);
  latest = await response.json();
  tag = response.headers.get("ETag") ?? "";
  if (latest.report && sawItRun) setTimeout(openReport, RELOAD_MS);
  sawItRun = latest.going;
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function whenVisible() {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) => {
    document.addEventListener("visibilitychange", resolve, { once: true });
  });
}

async function follow() {
  for (;;) {
    try {
      await look();
      failures = 0;
    } catch {
      failures += 1;
    }
    connection.hidden = failures < 2;
    if (latest !== null) show();
    await pause(Math.min(TICK_MS * 2 ** Math.max(0, failures - 1), LONGEST_PAUSE_MS));
    await whenVisible();
  }
}

follow();
