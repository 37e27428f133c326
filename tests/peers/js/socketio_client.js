"use strict";

// node socketio_client.js URL polling|websocket|upgrade
// npm's socket.io-client against server_app:io.

const { io } = require("socket.io-client");
const { next, runScenarios } = require("./scenarios");

const [url, mode] = process.argv.slice(2);
const transports = mode === "upgrade" ? ["polling", "websocket"] : [mode];

function open(namespace = "/", options = {}) {
  return io(url + namespace, { transports, forceNew: true, reconnection: false, auth: { token: "s3cret" }, ...options });
}

// Resolves when the connection of a socket that was just made has upgraded. It can do so before the socket connects.
function upgrade(socket) {
  return new Promise((resolve) => socket.io.once("open", () => socket.io.engine.once("upgrade", resolve)));
}

// Connected, and where we upgrade, done with it.
async function ready(namespace, options) {
  const socket = open(namespace, options);
  const done = mode === "upgrade" ? upgrade(socket) : null;
  await next(socket, "connect");
  await done;
  return socket;
}

function collect(socket, ...events) {
  const seen = [];
  for (const event of events) socket.on(event, (...args) => seen.push([event, ...args]));
  return seen;
}

// Everything that the server sent before this question has arrived when it is answered.
async function settle(...sockets) {
  await Promise.all(sockets.map((socket) => socket.emitWithAck("echo")));
}

// A client sends a volatile event only while none of its other messages is under way: by polling, until the response
// to its POST is there.
async function writable(socket) {
  const { engine } = socket.io;
  while (!engine.transport.writable) await next(engine, "drain");
}

const plain = (value) => {
  if (Buffer.isBuffer(value) || value instanceof Uint8Array) return { bytes: [...value] };
  if (value instanceof ArrayBuffer) return { bytes: [...new Uint8Array(value)] };
  if (Array.isArray(value)) return value.map(plain);
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]));
  }
  return value;
};

runScenarios({
  async connect() {
    const socket = open("/", { auth: { token: "s3cret", extra: [1, { deep: "é" }] } });
    const welcome = next(socket, "welcome");
    const done = mode === "upgrade" ? upgrade(socket) : null;
    await next(socket, "connect");
    const [auth, id] = await welcome;
    const result = { auth, sameId: id === socket.id, idLength: socket.id.length, recovered: Boolean(socket.recovered) };
    await done;
    result.transport = socket.io.engine.transport.name;
    socket.disconnect();
    return result;
  },

  async refused() {
    const socket = open("/private", { auth: { token: "wrong" } });
    const [error] = await next(socket, "connect_error");
    const result = { message: error.message, data: error.data, active: socket.active };
    socket.disconnect();
    return result;
  },

  async "auth as a function"() {
    const socket = await ready("/private", { auth: (give) => give({ token: "s3cret" }) });
    const answer = await socket.emitWithAck("whoami");
    socket.disconnect();
    return answer;
  },

  async "unknown namespace"() {
    const socket = open("/nowhere");
    const [error] = await next(socket, "connect_error");
    socket.disconnect();
    return { message: error.message };
  },

  async values() {
    const socket = await ready();
    const sent = [null, true, 0, -1.5, 1e21, "", "€ 😀 \u2028 \u0000", [], {}, [[1], { a: { b: [null] } }], 9007199254740991];
    const acked = await new Promise((resolve) => socket.emit("echo", ...sent, (...args) => resolve(args)));
    const back = next(socket, "echo back");
    socket.emit("echo event", ...sent);
    const event = await back;
    socket.disconnect();
    return { acked: JSON.stringify(acked) === JSON.stringify(sent), event: JSON.stringify(event) === JSON.stringify(sent) };
  },

  async "server asks"() {
    const socket = await ready();
    socket.on("question", (number, reply) => reply(number + 1, { binary: Buffer.from([number]) }));
    const answer = await new Promise((resolve) => socket.emit("ask me", 41, (...args) => resolve(args)));
    socket.disconnect();
    return plain(answer);
  },

  async binary() {
    const socket = await ready();
    const value = { a: Buffer.from([1, 2]), list: [Uint8Array.from([3]).buffer, { deep: Buffer.from([]) }], text: "x" };
    const [acked] = await new Promise((resolve) => socket.emit("echo", value, (...args) => resolve(args)));
    const back = next(socket, "echo back");
    socket.emit("echo event", value, Buffer.from([9]));
    const event = await back;
    const big = await socket.emitWithAck("echo", Buffer.alloc(300_000, 5));
    socket.disconnect();
    return { acked: plain(acked), event: plain(event), big: [big.length, big[0], big[299_999]] };
  },

  async rooms() {
    const [a, b, c] = await Promise.all([ready(), ready(), ready()]);
    const seen = [a, b, c].map((socket) => collect(socket, "news"));
    await a.emitWithAck("join", "red");
    await b.emitWithAck("join", "red");
    await b.emitWithAck("join", "blue");
    await c.emitWithAck("join", "blue");
    await a.emitWithAck("publish", { to: ["red"] }, "red");
    await a.emitWithAck("publish", { to: ["red", "blue"] }, "both once");
    await a.emitWithAck("publish", { to: ["red"], except: ["blue"] }, "red but not blue");
    await a.emitWithAck("publish", { to: [c.id] }, "one socket");
    await b.emitWithAck("leave", "red");
    await a.emitWithAck("publish", { to: ["red"] }, "red without b");
    await a.emitWithAck("publish others", "all but the sender");
    await settle(a, b, c);
    [a, b, c].forEach((socket) => socket.disconnect());
    return seen.map((events) => events.map(([, text]) => text));
  },

  async broadcast() {
    const sockets = await Promise.all([ready(), ready(), ready()]);
    const seen = sockets.map((socket) => collect(socket, "news"));
    const bytes = Buffer.from([1, 2, 3]);
    await sockets[0].emitWithAck("publish", {}, "to all", bytes);
    await settle(...sockets);
    sockets.forEach((socket) => socket.disconnect());
    return plain(seen);
  },

  async "broadcast with acks"() {
    const sockets = await Promise.all([ready(), ready(), ready()]);
    for (const [index, socket] of sockets.entries()) {
      await socket.emitWithAck("join", "voters");
      socket.on("vote", (question, reply) => reply(`${question} ${index}`));
    }
    const answers = await sockets[0].emitWithAck("poll", "voters");
    sockets[2].off("vote");
    const partial = await sockets[0].emitWithAck("poll", "voters");
    sockets.forEach((socket) => socket.disconnect());
    answers.answers.sort();
    partial.answers.sort();
    return { answers, partial };
  },

  async namespaces() {
    const main = await ready("/", { forceNew: false, multiplex: true });
    const second = main.io.socket("/second", { auth: { token: "s3cret" } });
    await next(second, "connect");
    const seenMain = collect(main, "echo back");
    const seenSecond = collect(second, "echo back");
    main.emit("echo event", "to main");
    second.emit("echo event", "to second", Buffer.from([2]));
    const acks = [await main.emitWithAck("echo", 1), await second.emitWithAck("echo", 2)];
    const result = {
      oneConnection: main.io === second.io,
      differentIds: main.id !== second.id,
      seen: plain([seenMain, seenSecond]),
      acks,
    };
    const reason = next(second, "disconnect");
    second.disconnect();
    result.reason = (await reason)[0];
    result.mainLives = await main.emitWithAck("echo", "still here");
    main.disconnect();
    return result;
  },

  async "disconnect reasons"() {
    const observer = await ready();
    const reasons = new Map();
    observer.on("ended", (id, reason) => reasons.set(id, reason));
    const result = {};
    async function reasonOf(id) {
      while (!reasons.has(id)) await next(observer, "ended");
      return reasons.get(id);
    }
    async function ended(name, act) {
      const socket = await ready();
      const { id } = socket;
      const gone = next(socket, "disconnect");
      act(socket);
      const [client] = await gone;
      result[name] = { client, server: await reasonOf(id) };
    }
    await ended("client disconnects", (socket) => socket.disconnect());
    await ended("client closes the engine", (socket) => socket.io.engine.close());
    await ended("server disconnects the socket", (socket) => socket.emit("disconnect me", false));
    await ended("server closes the engine", (socket) => socket.emit("disconnect me", true));
    await ended("client breaks the protocol", (socket) => socket.io.engine.send("2{}"));
    observer.disconnect();
    return result;
  },

  async volatile() {
    const socket = await ready();
    const seen = collect(socket, "maybe");
    await writable(socket);
    socket.volatile.emit("volatile echo", 1);
    await settle(socket);
    await socket.emitWithAck("volatile me", 3);
    await settle(socket);
    socket.disconnect();
    return seen;
  },

  async timeouts() {
    const socket = await ready();
    const result = {};
    try {
      await socket.timeout(100).emitWithAck("never answered");
      result.client = "answered";
    } catch (error) {
      result.client = error.message;
    }
    socket.on("question", () => {});
    result.server = await socket.emitWithAck("ask me briefly");
    result.handlerError = await socket.timeout(100).emitWithAck("raise").catch((error) => error.message);
    result.stillThere = await socket.emitWithAck("echo", "yes");
    socket.disconnect();
    return result;
  },

  async "catch-all"() {
    const socket = await ready();
    const noticed = next(socket, "noticed");
    socket.emit("nobody handles this", 1, "two");
    const result = await noticed;
    socket.disconnect();
    return result;
  },

  // Events start with the connection, so that with upgrade they travel before it, during it and after it.
  async order() {
    const socket = open();
    const COUNT = 300;
    const received = [];
    const all = new Promise((resolve) => {
      socket.on("echo back", (number, data) => {
        received.push(data && data.length === 1 ? number : `${number} without its bytes`);
        if (received.length === COUNT) resolve();
      });
    });
    let upgraded = false;
    upgrade(socket).then(() => { upgraded = true; });
    await next(socket, "connect");
    for (let number = 0; number < COUNT; number += 1) {
      socket.emit("echo event", number, Buffer.from([number % 256]));
      if (number % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await all;
    socket.disconnect();
    return { upgraded, count: received.length, inOrder: received.every((number, index) => number === index) };
  },
});
