"use strict";

// While it builds, Next.js fetches the fonts that an app takes from Google. This answers each of its
// requests with the font of the npm package geist, so that a build needs nothing that npm has not fetched.
// Next.js reads it where NEXT_FONT_GOOGLE_MOCKED_RESPONSES names it; the applications stay as they are.
const path = require("node:path");

const font = path.join(__dirname, "node_modules/geist/dist/fonts/geist-sans/Geist-Variable.woff2");

function css(url) {
  const family = new URL(url).searchParams.get("family").split(":")[0];
  return `/* latin */
@font-face {
  font-family: '${family}';
  font-style: normal;
  font-weight: 100 900;
  font-display: swap;
  src: url(${font}) format('woff2');
}
`;
}

module.exports = new Proxy({}, { get: (_, url) => (String(url).startsWith("https://") ? css(url) : undefined) });
