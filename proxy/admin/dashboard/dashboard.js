"use strict";
// Reads /status every two seconds. Everything is inserted as text, never as markup.

const every = 2000;       // ms between two readings
const window_ = 15;       // readings over which "now" is measured
const history = [];       // of readings: {at, traffic}
const points = 150;       // readings shown in the chart

const $ = (id) => document.getElementById(id);
const text = (id, s) => { $(id).textContent = s; };

function short(n) {
  if (n === undefined || n === null) return "–";
  for (const [limit, unit] of [[1e9, "G"], [1e6, "M"], [1e4, "k"]]) {
    if (n >= limit) return (n / (unit === "k" ? 1e3 : limit)).toFixed(1) + unit;
  }
  return n >= 100 || Number.isInteger(n) ? String(Math.round(n)) : n.toFixed(1);
}

function bytes(n) {
  for (const [limit, unit] of [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]]) {
    if (n >= limit) return (n / limit).toFixed(n / limit < 100 ? 1 : 0) + " " + unit;
  }
  return (n ?? 0) + " B";
}

function span(s) {
  if (s < 90) return Math.round(s) + " s";
  if (s < 5400) return Math.round(s / 60) + " min";
  if (s < 172800) return (s / 3600).toFixed(1) + " h";
  return Math.round(s / 86400) + " days";
}

function ms(v) {
  if (!v) return "–";
  return v < 1 ? v.toFixed(2) + " ms" : v < 1000 ? Math.round(v) + " ms" : (v / 1000).toFixed(1) + " s";
}

// rows replaces a table's body; a cell is text or {text, cls, node}.
function rows(id, list, none) {
  const body = $(id).tBodies[0];
  const fresh = list.map((cells) => {
    const tr = document.createElement("tr");
    for (const c of cells) {
      const td = document.createElement("td");
      const cell = typeof c === "object" && c !== null ? c : { text: c };
      if (cells.length === 1) td.colSpan = 9;
      if (cell.cls) td.className = cell.cls;
      if (cell.node) td.append(cell.node); else td.textContent = cell.text ?? "";
      tr.append(td);
    }
    return tr;
  });
  if (fresh.length === 0) {
    const td = document.createElement("td");
    td.colSpan = 9;
    td.className = "sub";
    td.textContent = none;
    const tr = document.createElement("tr");
    tr.append(td);
    fresh.push(tr);
  }
  body.replaceChildren(...fresh);
}

const num = (n) => ({ text: short(n), cls: "n" });

// since gives the difference of two readings' traffic; a restart in between begins at zero.
function since(from, to) {
  const restarted = to.requests < from.requests;
  const minus = (a, b) => (restarted ? a : a - b);
  const each = (a = {}, b = {}) => Object.fromEntries(Object.keys(a).map((k) => [k, minus(a[k], b[k] ?? 0)]));
  return {
    requests: minus(to.requests, from.requests),
    by_class: each(to.by_class, from.by_class),
    by_cache: each(to.by_cache, from.by_cache),
    latency: (to.latency ?? []).map((n, i) => minus(n, from.latency?.[i] ?? 0)),
  };
}

const memory = (by) => ["hit", "stale", "revalidated", "collapsed"].reduce((n, k) => n + (by?.[k] ?? 0), 0);
const asked = (by) => Object.entries(by ?? {}).reduce((n, [k, v]) => (k === "none" ? n : n + v), 0);
const percent = (a, b) => (b > 0 ? (100 * a / b).toFixed(a === b || a === 0 ? 0 : 1) + " %" : "–");

// quantile reads the histogram: the upper bound under which share q lies.
function quantile(latency, bounds, q) {
  const total = latency.reduce((a, b) => a + b, 0);
  if (!total) return undefined;
  let n = 0;
  for (let i = 0; i < latency.length; i++) {
    n += latency[i];
    if (n >= q * total) return bounds[Math.min(i, bounds.length - 1)];
  }
}

function showTraffic(now) {
  const last = history[history.length - 1];
  const base = history[Math.max(0, history.length - 1 - window_)];
  const seconds = (last.at - base.at) / 1000;
  const d = seconds > 0 ? since(base.traffic, now) : now;
  const live = seconds > 0 && d.requests > 0;
  const shown = live ? d : now; // a quiet gateway shows its whole life
  text("rate", seconds > 0 ? short(d.requests / seconds) + "/s" : "–");
  text("total", short(now.requests) + " since start");
  text("hits", percent(memory(shown.by_cache), asked(shown.by_cache)));
  text("hits-sub", percent(memory(now.by_cache), asked(now.by_cache)) + " since start");
  text("p50", ms(quantile(shown.latency ?? [], now.bounds_ms ?? [], 0.5)));
  text("p99", "p99 within " + ms(quantile(shown.latency ?? [], now.bounds_ms ?? [], 0.99)));
  const bad = shown.by_class?.["5xx"] ?? 0;
  text("errors", percent(bad, shown.requests));
  $("errors").className = "figure " + (bad > 0 ? "bad" : "");
  text("errors-sub", short(now.by_class?.["5xx"] ?? 0) + " since start, " + short(now.refused) + " refused, " + short(now.aborted) + " aborted");
  showAnswers(now);
  chart();
}

function showAnswers(now) {
  const list = [];
  const bars = (by, of, names) => {
    for (const name of names) {
      const n = by?.[name];
      if (!n) continue;
      const bar = document.createElement("progress");
      bar.max = of || 1;
      bar.value = n;
      list.push([name, num(n), { text: percent(n, of), cls: "n" }, { node: bar, cls: "bar" }]);
    }
  };
  bars(now.by_class, now.requests, ["2xx", "3xx", "4xx", "5xx", "1xx", "none"]);
  if (list.length > 0) list.push([{ text: "of the requests that the cache was asked for", cls: "sub" }]);
  bars(now.by_cache, asked(now.by_cache), ["hit", "stale", "revalidated", "collapsed", "miss", "bypass"]);
  rows("answers", list, "no requests yet");
}

function chart() {
  const pairs = [];
  for (let i = 1; i < history.length; i++) {
    const d = since(history[i - 1].traffic, history[i].traffic);
    const s = (history[i].at - history[i - 1].at) / 1000;
    pairs.push([d.requests / s, memory(d.by_cache) / s]);
  }
  const top = Math.max(1, ...pairs.map((p) => p[0]));
  const area = (k) => {
    if (pairs.length === 0) return "";
    const x = (i) => 600 - (pairs.length - 1 - i) * (600 / (points - 2));
    const line = pairs.map((p, i) => `L${x(i).toFixed(1)},${(90 - 86 * p[k] / top).toFixed(1)}`).join("");
    return `M${x(0).toFixed(1)},90${line}L600,90Z`;
  };
  $("chart-all").setAttribute("d", area(0));
  $("chart-hits").setAttribute("d", area(1));
  text("chart-sub", "the last five minutes; top: " + short(top));
}

function showOrigins(origins) {
  const list = [];
  for (const o of origins ?? []) {
    for (const t of o.targets ?? []) {
      const good = t.state === "healthy";
      list.push([o.name, t.url, { text: t.state + (!good && t.why ? ": " + t.why : ""), cls: good ? "ok" : t.state === "draining" ? "warn" : "bad" },
        num(t.in_flight), num(t.queued), num(t.open), { text: ms(t.latency_ms), cls: "n" }, num(t.requests), num(t.failures)]);
    }
  }
  rows("origins", list, "no origins configured");
}

function showConfig(s) {
  const r = s.last_reload;
  const list = [["generation", String(s.generation)], ["file", s.config_file || "none, built from flags"], ["hash", (s.config_hash ?? "").slice(0, 16)],
    ["listening on", (s.listeners ?? []).map((l) => l.address).join(", ") || "nothing"]];
  if (r) {
    list.push(["last reload", { text: (r.success ? "applied " : "refused ") + new Date(r.time).toLocaleString(), cls: r.success ? "ok" : "bad" }]);
    if (r.restart?.length) list.push(["needs a restart", { text: r.restart.join(", "), cls: "warn" }]);
  }
  const log = s.decision_log;
  if (log) list.push(["decision log", { text: short(log.written) + " lines, " + short(log.dropped) + " dropped, " + short(log.errors) + " failed writes", cls: log.dropped || log.errors ? "warn" : "" }]);
  rows("config", list, "");
  $("reload-error").hidden = !r?.error;
  text("reload-error", r?.error ?? "");
}

function showRest(s) {
  const c = s.connections ?? {};
  text("connections", short(c.open));
  text("connections-sub", (c.limit ? "of " + short(c.limit) : "") + (s.tunnels ? ", " + short(s.tunnels.open) + " tunnels" : ""));
  if (s.cache) {
    text("cache", bytes(s.cache.bytes));
    const notes = [short(s.cache.objects) + " objects", bytes(s.cache.capacity) + " permitted"];
    if (s.cache.fills > 0) notes.push(short(s.cache.fills) + " being fetched");
    if (s.cache.writes_delayed > 0) notes.push(short(s.cache.writes_delayed) + " writes delayed");
    text("cache-sub", notes.join(", "));
    $("cache-meter").value = s.cache.capacity > 0 ? s.cache.bytes / s.cache.capacity : 0;
  }
  rows("routes", (s.routes ?? []).map((r) => [r.name, r.match, r.origin ?? "", r.cache ?? ""]), "no routes");
}

function show(s) {
  text("identity", s.version + ", up " + span(s.uptime_s));
  const down = (s.origins ?? []).some((o) => (o.targets ?? []).some((t) => t.state !== "healthy"));
  const refused = s.last_reload && !s.last_reload.success;
  const [word, cls] = !s.ready ? ["not ready" + (s.not_ready?.length ? ": " + s.not_ready.join(", ") : ""), "bad"]
    : down ? ["ready, a target is down", "warn"] : refused ? ["ready, last reload refused", "warn"] : ["ready", "ok"];
  text("state", word);
  $("state").className = "pill " + cls;
  if (s.traffic) {
    history.push({ at: Date.now(), traffic: s.traffic });
    if (history.length > points) history.shift();
    showTraffic(s.traffic);
  }
  showOrigins(s.origins);
  showConfig(s);
  showRest(s);
  text("updated", "updated " + new Date().toLocaleTimeString());
  document.body.classList.remove("stale");
}

async function tick() {
  try {
    const res = await fetch("status", { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (!res.ok) throw new Error("status " + res.status);
    show(await res.json());
  } catch (e) {
    text("state", "no answer (" + e.message + ")");
    $("state").className = "pill bad";
    document.body.classList.add("stale");
  }
  setTimeout(tick, every);
}

tick();
