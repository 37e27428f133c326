"use strict";

// node engineio_client.js URL polling|websocket|upgrade
// npm's engine.io-client against server_app:engine.

const { Socket } = require("engine.io-client");
const { next, runScenarios } = require("./scenarios");

const [url, mode] = process.argv.slice(2);
const transports = mode === "upgrade" ? ["polling", "websocket"] : [mode];
const MESSAGES = 1000;

function open(options = {}) {
  const socket = new Socket(url, { transports, ...options });
  socket.binaryType = "arraybuffer";
  return socket;
}

// Open, and where we upgrade, done with it.
async function ready() {
  const socket = open();
  await next(socket, "open");
  if (mode === "upgrade") await next(socket, "upgrade");
  return socket;
}

async function ask(socket, question) {
  const answer = next(socket, "message");
  socket.send(question);
  // This client reports a message without text as undefined.
  return (await answer)[0] ?? "";
}

// Why the server says that a session ended.
async function reasonOf(sid) {
  const observer = await ready();
  const reason = await ask(observer, `reason ${sid}`);
  observer.close();
  return reason;
}

runScenarios({
  async text() {
    const socket = await ready();
    const answers = [];
    for (const text of ["hello", "", "€ 😀 \u2028", "x".repeat(100_000)]) answers.push(await ask(socket, `echo ${text}`));
    const transport = socket.transport.name;
    socket.close();
    return { transport, answers: answers.map((text) => (text.length > 1000 ? text.length : text)) };
  },

  async binary() {
    const socket = await ready();
    const answers = [];
    for (const bytes of [[1, 2, 3], [], [0, 255, 30, 128]]) answers.push(await ask(socket, Uint8Array.from(bytes).buffer));
    const big = await ask(socket, new Uint8Array(200_000).fill(7).buffer);
    socket.close();
    return {
      answers: answers.map((data) => (data instanceof ArrayBuffer ? [...new Uint8Array(data)] : `not binary: ${data}`)),
      big: big.byteLength,
    };
  },

  // Messages start at once, so that with upgrade some travel before it, some during it and some after it.
  async order() {
    const socket = open();
    const received = [];
    let upgradedAfter = null;
    await next(socket, "open");
    socket.on("upgrade", () => { upgradedAfter = received.length; });
    const all = new Promise((resolve) => {
      socket.on("message", (data) => {
        received.push(typeof data === "string" ? data : `binary ${new Uint8Array(data)[0]}`);
        if (received.length === 2 * MESSAGES) resolve();
      });
    });
    socket.send(`count ${MESSAGES}`);
    for (let number = 0; number < MESSAGES; number += 1) {
      socket.send(number % 100 === 50 ? Uint8Array.from([number / 100]).buffer : `echo ${number}`);
      if (number % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await all;
    const transport = socket.transport.name;
    socket.close();
    const expectedEchoes = [];
    for (let number = 0; number < MESSAGES; number += 1) {
      expectedEchoes.push(number % 100 === 50 ? `binary ${Math.floor(number / 100)}` : String(number));
    }
    const counts = received.filter((text) => text.startsWith("count "));
    const echoes = received.filter((text) => !text.startsWith("count "));
    return {
      transport,
      upgraded: upgradedAfter !== null,
      counts: counts.length,
      countsInOrder: counts.every((text, index) => text === `count ${index}`),
      echoes: echoes.length,
      echoesInOrder: echoes.every((text, index) => text === expectedEchoes[index]),
    };
  },

  async heartbeat() {
    const socket = await ready();
    let pings = 0;
    socket.on("ping", () => { pings += 1; });
    await new Promise((resolve) => setTimeout(resolve, 1200));
    const answer = await ask(socket, "echo still here");
    socket.close();
    return { pings, answer };
  },

  async "client closes"() {
    const socket = await ready();
    const sid = socket.id;
    const closed = next(socket, "close");
    socket.close();
    const [reason] = await closed;
    return { reason, server: await reasonOf(sid) };
  },

  async "server closes"() {
    const socket = await ready();
    const sid = socket.id;
    const closed = next(socket, "close");
    const farewell = next(socket, "message");
    socket.send("close me");
    const [reason] = await closed;
    return { farewell: (await farewell)[0], reason, server: await reasonOf(sid) };
  },

  async "unknown session"() {
    const response = await fetch(`${url}/engine.io/?EIO=4&transport=polling&sid=nobody`);
    return { status: response.status, body: await response.json() };
  },
});
