"use strict";

// node browser.js URL CHROMIUM PROFILE SCREENSHOT
// Two tabs of the demo page: both join a room, a message and an image cross.

const fs = require("node:fs");
const path = require("node:path");
const { chromium } = require("playwright-core");

const [url, executablePath, profile, screenshot] = process.argv.slice(2);
const IMAGE = path.join(__dirname, "..", "red.png");

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

async function enter(context, name, problems, requests) {
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.on("pageerror", (error) => problems.push(`${name}: ${error}`));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) problems.push(`${name}: ${message.text()}`);
  });
  page.on("request", (request) => requests.push(request.url()));
  page.on("websocket", (websocket) => requests.push(websocket.url()));
  await page.goto(url);
  await page.fill("#name", name);
  await page.click("#name-form button");
  await page.waitForSelector("#state[data-state=online]");
  return page;
}

async function main() {
  const context = await chromium.launchPersistentContext(profile, {
    executablePath,
    headless: true,
    args: FLAGS,
    viewport: { width: 1000, height: 640 },
  });
  const problems = [];
  const requests = [];
  const result = {};

  const refused = await context.newPage();
  await refused.goto(url);
  await refused.fill("#name", "   ");
  await refused.click("#name-form button");
  await refused.waitForFunction(() => document.getElementById("name-error").textContent);
  result.refused = await refused.textContent("#name-error");
  await refused.close();

  const ada = await enter(context, "Ada", problems, requests);
  const bob = await enter(context, "Bob <b>", problems, requests);
  for (const page of [ada, bob]) {
    await page.fill("#room", "gallery");
    await page.click("#room-form button");
    await page.waitForSelector("text=/^# gallery$/ >> nth=1");
  }
  await ada.waitForFunction(() => document.querySelectorAll("#people li").length === 2);
  result.people = await ada.locator("#people li").allTextContents();
  result.transports = [];
  for (const page of [ada, bob]) {
    await page.waitForSelector("#transport[data-transport=websocket]");
    result.transports.push(await page.textContent("#transport"));
  }

  const transports = requests.map((each) => /transport=(\w+)/.exec(each)?.[1]).filter(Boolean);
  result.order = [...new Set(transports)];

  await ada.fill("#message", "Hello <i>Bob</i>, from the other tab");
  await ada.press("#message", "Enter");
  const said = bob.locator("#logs ol:not([hidden]) .said");
  await said.first().waitFor();
  result.message = await said.first().locator(".text").textContent();
  result.from = await said.first().locator(".who").textContent();

  await bob.fill("#message", "Hello Ada");
  await bob.click("#message-form button");
  await ada.locator("#logs ol:not([hidden]) .said >> nth=1").waitFor();

  await bob.setInputFiles("#image", IMAGE);
  const picture = ada.locator("#logs ol:not([hidden]) img");
  await picture.waitFor();
  await ada.waitForFunction(() => {
    const image = document.querySelector("#logs ol:not([hidden]) img");
    return image.complete && image.naturalWidth > 0;
  });
  result.image = await picture.evaluate((image) => [image.naturalWidth, image.naturalHeight]);
  result.sameBytes = Buffer.from(await picture.evaluate(async (image) => {
    const drawn = document.createElement("canvas");
    drawn.width = image.naturalWidth;
    drawn.height = image.naturalHeight;
    const context = drawn.getContext("2d");
    context.drawImage(image, 0, 0);
    return [...context.getImageData(0, 0, 1, 1).data];
  })).equals(Buffer.from([220, 40, 40, 255]));

  await bob.setInputFiles("#image", { name: "no.png", mimeType: "image/png", buffer: Buffer.from("<svg onload=alert(1)>") });
  await bob.waitForFunction(() => document.getElementById("notice").textContent);
  result.notAnImage = await bob.textContent("#notice");

  await ada.screenshot({ path: screenshot });

  await bob.click("#leave");
  await ada.waitForFunction(() => document.querySelectorAll("#people li").length === 1);
  result.afterLeave = await ada.locator("#people li").allTextContents();
  result.notes = await ada.locator("#logs ol:not([hidden]) .note").allTextContents();

  // A lost connection: the page comes back by itself and into its room.
  await context.setOffline(true);
  await ada.evaluate(() => socket.io.engine.close());
  await ada.waitForSelector("#state[data-state=waiting]");
  result.lost = await ada.textContent("#state");
  await context.setOffline(false);
  await ada.waitForSelector("#state[data-state=online]", { timeout: 20_000 });
  await ada.waitForFunction(() => document.querySelectorAll("#people li").length === 1);
  result.back = await ada.textContent("#title");

  result.problems = problems.filter((text) => !text.includes("ERR_INTERNET_DISCONNECTED"));
  await context.close();
  fs.writeSync(1, `${JSON.stringify({ scenario: "browser", result })}\n`);
}

main().then(() => process.exit(0), (error) => {
  console.error(error);
  process.exit(1);
});
