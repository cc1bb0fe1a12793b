"use strict";

// The Node 18 of Debian 12 is built with an undici that has no Headers.getSetCookie (official builds of
// the same version have it), and Next.js relies on it. Nothing is changed where it is there.
Headers.prototype.getSetCookie ??= function getSetCookie() {
  return [...this].filter(([name]) => name === "set-cookie").map(([, value]) => value);
};
