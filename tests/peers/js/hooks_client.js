"use strict";

// node hooks_client.js URL
// What npm's clients see of a server that decides about handshakes and adds headers: hooks_app:io.

const { io } = require("socket.io-client");
const { WebSocket } = require("ws");
const { next, runScenarios } = require("./scenarios");

const url = process.argv[2];
const TRANSPORTS = ["polling", "websocket"];
const HANDSHAKE = `${url}/socket.io/?EIO=4&transport=polling`;

function open(transport, options = {}) {
  return io(url, { transports: [transport], forceNew: true, reconnection: false, ...options });
}

async function both(scenario) {
  const results = {};
  for (const transport of TRANSPORTS) results[transport] = await scenario(transport);
  return results;
}

function refused(transport, token) {
  const socket = open(transport, { query: { token } });
  // The body is gone when the listener has returned.
  return new Promise((resolve) =>
    socket.once("connect_error", ({ message, description, context }) => {
      if (transport === "websocket") resolve({ message });
      else resolve({ message, status: description, body: JSON.parse(context.responseText) });
    }),
  );
}

function chosen(headers) {
  const names = ["x-first", "x-served-by", "access-control-allow-origin", "access-control-expose-headers"];
  return Object.fromEntries(names.filter((name) => headers.get(name)).map((name) => [name, headers.get(name)]));
}

function handshake(path, headers = {}) {
  return new Promise((resolve) => {
    const socket = new WebSocket(url.replace("http", "ws") + path, { headers });
    socket.on("error", () => {});
    socket.on("upgrade", (response) => {
      resolve({ status: response.statusCode, headers: response.headers });
      socket.terminate();
    });
    socket.on("unexpected-response", async (request, response) => {
      let body = "";
      for await (const part of response) body += part;
      resolve({ status: response.statusCode, body });
    });
  });
}

runScenarios({
  "a forbidden client": () => both((transport) => refused(transport, "bad")),

  "an expired client": () => both((transport) => refused(transport, "expired")),

  "an allowed client": () =>
    both(async (transport) => {
      const socket = open(transport);
      await next(socket, "connect");
      const answer = await socket.emitWithAck("echo", 1);
      const id = socket.io.engine.id;
      socket.disconnect();
      return { answer, id: [id.slice(0, 8), id.length] };
    }),

  async "an upgrade"() {
    const socket = io(url, { forceNew: true, reconnection: false });
    await new Promise((resolve) => socket.io.once("open", () => socket.io.engine.once("upgrade", resolve)));
    const answer = await socket.emitWithAck("echo", 2);
    socket.disconnect();
    return { answer };
  },

  async headers() {
    const first = await fetch(HANDSHAKE, { headers: { origin: "https://app.example" } });
    const { sid } = JSON.parse((await first.text()).slice(1));
    const second = await fetch(`${HANDSHAKE}&sid=${sid}`, { method: "POST", body: "40" });
    const upgraded = await handshake("/socket.io/?EIO=4&transport=websocket");
    return {
      first: chosen(first.headers),
      cookie: first.headers.get("set-cookie").replace(sid, "SID"),
      second: chosen(second.headers),
      secondCookie: second.headers.get("set-cookie"),
      upgraded: [upgraded.status, upgraded.headers["x-first"], upgraded.headers["x-served-by"]],
      upgradedCookie: upgraded.headers["set-cookie"][0].replace(/worker7_[\w-]{20}/, "SID"),
    };
  },

  async "refused websockets"() {
    const path = "/socket.io/?EIO=4&transport=websocket";
    return {
      forbidden: await handshake(`${path}&token=bad`),
      expired: await handshake(`${path}&token=expired`),
      foreign: await handshake(path, { origin: "https://evil.example" }),
      elsewhere: await handshake(path.replace("socket.io", "chat")),
    };
  },
});
