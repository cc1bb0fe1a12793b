// Everything on these pages works without this file; it adds what is alive.
"use strict";

const element = (id) => document.getElementById(id);

// The sign-ups so far, on the product page.
async function showCount() {
  const place = element("launch-count");
  if (!place) return;
  const answer = await fetch("/api/launch-count");
  if (!answer.ok) return;
  const { count } = await answer.json();
  if (count === 0) return;
  place.textContent = count === 1 ? "One person is on the list." : `${count.toLocaleString("en")} people are on the list.`;
  place.hidden = false;
}

// In words, what a Cache-Status header says of the member that tzero wrote (RFC 9211).
function inWords(status) {
  const member = status.split(",").map((m) => m.trim()).find((m) => m.startsWith("tzero"));
  if (!member) return "It came through a cache.";
  if (/;\s*hit/.test(member)) return "tzero answered from memory; the app heard nothing of it.";
  if (/;\s*collapsed/.test(member)) return "tzero shared one request to the app among several visitors.";
  const why = /;\s*fwd=([a-z-]+)/.exec(member);
  return why ? `tzero asked the app (${why[1]}).` : "It came through tzero.";
}

// A document cannot read its own response's headers: ask for the same address once more, by HEAD.
async function showArrival() {
  const place = element("arrival");
  if (!place) return;
  const answer = await fetch(location.href, { method: "HEAD" });
  const status = answer.headers.get("Cache-Status");
  place.textContent = status ? "This address, asked for again just now: " + inWords(status) + " " : "This page came straight from the app: no gateway wrote a Cache-Status header.";
  if (!status) return;
  const code = document.createElement("code");
  code.textContent = "Cache-Status: " + status;
  place.append(code);
}

// The page /live: a clock by Server-Sent Events, an echo by WebSocket.
function showLive() {
  const clock = element("clock");
  if (!clock) return;
  new EventSource("/events").addEventListener("clock", (event) => { clock.textContent = event.data; });

  const socket = new WebSocket(location.href.replace(/^http/, "ws").replace(/\/live.*$/, "/ws"));
  const echoed = element("echoed");
  const form = element("echo-form");
  echoed.textContent = "Connecting.";
  socket.onopen = () => { form.hidden = false; echoed.textContent = "Connected."; };
  socket.onmessage = (event) => { echoed.textContent = "It came back: " + event.data; };
  socket.onclose = () => { form.hidden = true; echoed.textContent = "The connection is closed."; };
  form.addEventListener("submit", (event) => { event.preventDefault(); socket.send(element("echo").value); });
}

showLive();
showCount().catch(() => {});
showArrival().catch(() => {});
