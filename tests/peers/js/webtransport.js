"use strict";

// node webtransport.js URL CHROMIUM PROFILE SHA256
// A page connects with socket.io-client over WebTransport alone, to a certificate that it knows by its hash.

const { chromium } = require("playwright-core");

const [url, executablePath, profile, hash] = process.argv.slice(2);
const FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"];

async function talk([url, hash]) {
  const value = Uint8Array.from(hash.match(/../g).map((digits) => parseInt(digits, 16)));
  const socket = io(url.replace("http:", "https:"), {
    transports: ["webtransport"],
    reconnection: false,
    transportOptions: { webtransport: { serverCertificateHashes: [{ algorithm: "sha-256", value }] } },
  });
  const welcome = new Promise((resolve) => socket.on("welcome", resolve));
  const news = new Promise((resolve) => socket.on("news", resolve));
  await new Promise((resolve, reject) => {
    socket.on("connect", resolve);
    socket.on("connect_error", reject);
  });
  const ask = (...args) => new Promise((resolve) => socket.emit("echo", ...args, (...answer) => resolve(answer)));
  const [text, binary, large] = await ask("é😀", new Uint8Array([1, 2, 255]), "x".repeat(300_000));
  const result = {
    welcome: await welcome,
    news: await news,
    transport: socket.io.engine.transport.name,
    text,
    binary: Array.from(new Uint8Array(binary)),
    large: large.length,
  };
  socket.disconnect();
  return result;
}

async function main() {
  const context = await chromium.launchPersistentContext(profile, { executablePath, headless: true, args: FLAGS });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  await page.goto(url);
  const result = await page.evaluate(talk, [url, hash]);
  await context.close();
  console.log(JSON.stringify({ scenario: "webtransport", result }));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
