"use strict";

// node msgpack_client.js URL
// npm's socket.io-client with socket.io-msgpack-parser against msgpack_app:io, over every transport.

const { io } = require("socket.io-client");
const parser = require("socket.io-msgpack-parser");
const { next, runScenarios } = require("./scenarios");

const [url] = process.argv.slice(2);

function open(transports, namespace = "/", options = {}) {
  return io(url + namespace, { transports, parser, forceNew: true, reconnection: false, ...options });
}

async function ready(transports, namespace, options) {
  const socket = open(transports, namespace, options);
  const upgraded =
    transports.length === 2
      ? new Promise((resolve) => socket.io.once("open", () => socket.io.engine.once("upgrade", resolve)))
      : null;
  await next(socket, "connect");
  await upgraded;
  return socket;
}

const plain = (value) => {
  if (value instanceof Date) return { date: value.toISOString() };
  if (Buffer.isBuffer(value) || value instanceof Uint8Array) return { bytes: [...value] };
  if (Array.isArray(value)) return value.map(plain);
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]));
  }
  return Number.isNaN(value) ? "NaN" : value;
};

const ask = (socket, ...args) => new Promise((resolve) => socket.emit(...args, (...answer) => resolve(plain(answer))));

const VALUES = [null, true, 0, -1.5, 4294967296, -2147483649, 9007199254740991, "", "€ 😀 \u2028 \u0000", [], {}, [[1], { a: { b: [null] } }]];

async function everything(transports) {
  const result = {};
  const socket = open(transports, "/", { auth: { token: "é", since: new Date(5) } });
  const welcome = next(socket, "welcome");
  await next(socket, "connect");
  const [auth, id] = await welcome;
  result.auth = plain(auth);
  result.sameId = id === socket.id;
  socket.disconnect();

  const other = open(transports);
  result.withoutAuth = plain((await next(other, "welcome"))[0]);
  other.disconnect();

  const refused = open(transports, "/private", { auth: { token: "wrong" } });
  const [error] = await next(refused, "connect_error");
  result.refused = { message: error.message, data: plain(error.data) };
  refused.disconnect();
  const unknown = open(transports, "/nowhere");
  result.unknown = (await next(unknown, "connect_error"))[0].message;
  unknown.disconnect();

  const [a, b] = [await ready(transports), await ready(transports)];
  const acked = await ask(a, "echo", ...VALUES);
  result.values = JSON.stringify(acked) === JSON.stringify(plain(VALUES));
  const back = next(a, "echo back");
  a.emit("echo event", ...VALUES);
  result.events = JSON.stringify(plain(await back)) === JSON.stringify(plain(VALUES));
  result.dates = await ask(a, "echo", new Date(1700000000123), { deep: [new Date(-1)] });
  result.types = (await ask(a, "types", new Date(0), undefined, Buffer.from([1]), 1, 1.5, new Uint8Array(3), NaN))[0];
  result.undefined = await ask(a, "echo", undefined, { a: undefined }, [undefined]);
  result.numbers = await ask(a, "echo", NaN, 0.1, -0.5);
  result.binary = await ask(a, "echo", { list: [Buffer.from([1, 2]), Buffer.alloc(0)] }, Uint8Array.from([1, 2, 3]).buffer);
  const [big] = await new Promise((resolve) => a.emit("echo", Buffer.alloc(300_000, 7), (...args) => resolve(args)));
  result.big = [big.length, big[0], big[299_999]];
  a.on("question", (number, bytes, reply) => reply(number + 1, bytes));
  result.asked = await ask(a, "ask me", 41);

  const seen = [[], []];
  [a, b].forEach((each, index) => each.on("news", (...args) => seen[index].push(plain(args))));
  await a.emitWithAck("join", "red");
  await b.emitWithAck("publish", "red", "to red", Buffer.from([9]));
  await b.emitWithAck("join", "red");
  await b.emitWithAck("publish", "red", new Date(0));
  await a.emitWithAck("echo");
  result.rooms = seen;

  const second = a.io.socket("/private", { auth: { token: "s3cret" } });
  await next(second, "connect");
  result.namespaces = [await second.emitWithAck("whoami"), a.io === second.io];
  const gone = next(a, "disconnect");
  a.emit("leave me alone");
  result.reason = (await gone)[0];
  result.stillThere = await second.emitWithAck("whoami");
  second.disconnect();
  b.disconnect();
  return result;
}

runScenarios({
  polling: () => everything(["polling"]),
  websocket: () => everything(["websocket"]),
  upgrade: () => everything(["polling", "websocket"]),

  async "the wrong parser"() {
    const socket = io(url, { transports: ["websocket"], forceNew: true, reconnection: false });
    const [reason] = await Promise.race([
      new Promise((resolve) => socket.io.once("close", (why) => resolve([why]))),
      next(socket, "connect"),
    ]);
    return reason;
  },
});
