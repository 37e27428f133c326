"use strict";

// node eio3_client.js URL URL_WITHOUT_THE_OPTION
// npm's socket.io-client 1, 2, 3 and 4 against legacy_app:io.

const { createRequire } = require("node:module");
const vm = require("node:vm");
const { next, runScenarios } = require("./scenarios");

const clients = { v1: require("sc1"), v2: require("sc2"), v3: require("sc3").io, v4: require("socket.io-client").io };
const parser = createRequire(require.resolve("sc2"))("engine.io-parser");
const parser1 = createRequire(require.resolve("sc1"))("engine.io-parser");

const [url, closedUrl] = process.argv.slice(2);
const TEXT = "€ 😀 é \u2028 \u0000 \\n \n";

function options(mode) {
  const transports = mode === "upgrade" ? ["polling", "websocket"] : [mode.split(" ")[0]];
  return { transports, forceNew: true, reconnection: false, forceBase64: mode.endsWith("base64") };
}

function ask(socket, ...args) {
  return new Promise((resolve) => socket.emit(...args, (...answer) => resolve(answer)));
}

async function ready(version, mode, more = {}) {
  const socket = clients[version](url, { ...options(mode), ...more });
  const welcome = next(socket, "welcome");
  const upgraded = mode === "upgrade" ? new Promise((resolve) => socket.io.engine.once("upgrade", resolve)) : null;
  await next(socket, "connect");
  socket.welcomed = await welcome;
  await upgraded;
  return socket;
}

function plain(value) {
  if (Buffer.isBuffer(value) || value instanceof Uint8Array) return { bytes: [...value] };
  if (value instanceof ArrayBuffer) return { bytes: [...new Uint8Array(value)] };
  if (Array.isArray(value)) return value.map(plain);
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]));
  }
  return value;
}

async function talk(version, mode) {
  const socket = await ready(version, mode, { query: { token: "s3cret" } });
  const engineId = socket.io.engine.id;
  const result = { sameId: socket.id === socket.welcomed[0] && socket.id === engineId };
  [, result.auth, result.token] = socket.welcomed;
  result.transport = socket.io.engine.transport.name;

  result.text = (await ask(socket, "is text", TEXT, ...[...TEXT].map((char) => char.codePointAt(0))))[0];
  const value = [TEXT, null, -1.5, [], { a: [{ "😀": "é" }] }];
  result.ack = JSON.stringify(await ask(socket, "echo", ...value)) === JSON.stringify(value);
  const back = next(socket, "echo back");
  socket.emit("echo event", ...value);
  result.event = JSON.stringify(await back) === JSON.stringify(value);

  const data = { a: Buffer.from([1, 2]), list: [Buffer.from([3]), { deep: Buffer.from([]) }], text: "€" };
  result.binaryAck = plain(await ask(socket, "echo", data));
  const binaryBack = next(socket, "echo back");
  socket.emit("echo event", Buffer.from([9]), data);
  result.binaryEvent = plain(await binaryBack)[0];
  const [big] = await ask(socket, "echo", Buffer.alloc(100_000, 7));
  result.big = [big.length || big.byteLength, plain(big).bytes[99_999]];
  socket.on("question", (question, reply) => reply(`${question}!`, Buffer.from([1])));
  result.asked = plain(await ask(socket, "ask me", TEXT));
  result.asked[0] = result.asked[0] === `${TEXT}!`;

  // The query of a namespace is in its name, and goes with CONNECT.
  const admin = socket.io.socket("/admin", { query: version === "v1" ? "token=s3cret&x=€" : { token: "s3cret", x: "€" } });
  const [adminId, adminAuth] = await next(admin, "welcome");
  result.admin = { auth: adminAuth, id: adminId === `/admin#${engineId}`, echo: await ask(admin, "echo", 1) };
  if (version === "v2") result.admin.sameId = admin.id === adminId;
  socket.disconnect();
  return result;
}

async function talkInAllModes(version) {
  const results = {};
  for (const mode of ["polling", "websocket", "upgrade", "websocket base64"]) results[mode] = await talk(version, mode);
  return results;
}

async function refused(version) {
  const result = {};
  for (const [name, namespace] of [["data", "/admin?token=x"], ["message", "/admin?token=expired"], ["unknown", "/nowhere"]]) {
    const main = await ready(version, "websocket");
    const socket = main.io.socket(namespace.split("?")[0], { query: namespace.split("?")[1] });
    [result[name]] = await next(socket, "error");
    result[`${name} stays`] = await ask(main, "echo", 1);
    main.disconnect();
  }
  return result;
}

async function ends(version, mode) {
  const observer = await ready("v4", "websocket");
  const reasons = new Map();
  observer.on("ended", (id, reason) => reasons.set(id, reason));
  const result = {};
  async function ended(name, act) {
    const socket = await ready(version, mode);
    const { id } = socket;
    const gone = next(socket, "disconnect");
    act(socket);
    const [client] = await gone;
    while (!reasons.has(id)) await next(observer, "ended");
    result[name] = { client, server: reasons.get(id) };
  }
  await ended("client disconnects", (socket) => socket.disconnect());
  await ended("server disconnects the socket", (socket) => socket.emit("disconnect me", false));
  await ended("server closes the engine", (socket) => socket.emit("disconnect me", true));
  await ended("client breaks the protocol", (socket) => socket.io.engine.send("2{}"));
  await ended("client stops to ping", (socket) => {
    clearTimeout(socket.io.engine.pingIntervalTimer);
    clearTimeout(socket.io.engine.pingTimeoutTimer);
  });
  observer.disconnect();
  return result;
}

// What browsers do in long-polling, without a browser: payloads of bytes, and JSONP.

async function poll(query, headers) {
  const response = await fetch(`${url}/socket.io/?EIO=3&transport=polling${query}`, { headers });
  return { type: response.headers.get("content-type"), body: Buffer.from(await response.arrayBuffer()) };
}

function packets(decode, payload) {
  const found = [];
  decode(payload, (packet) => { found.push([packet.type, plain(packet.data)]); });
  return found;
}

function encoded(encode, binary, ...data) {
  return new Promise((resolve) => encode(data.map((each) => ({ type: "message", data: each })), binary, resolve));
}

const EVENT = `451-["echo event","${"€ 😀"}",{"_placeholder":true,"num":0}]`.slice(1);

async function bytes(library) {
  const opening = await poll("", {});
  const sid = JSON.parse(packets(library.decodePayload, opening.body.toString())[0][1]).sid;
  const first = packets(library.decodePayload, (await poll(`&sid=${sid}`, {})).body.toString());
  const payload = await encoded(library.encodePayload, true, EVENT, Buffer.from([1, 2, 3]));
  const posted = await fetch(`${url}/socket.io/?EIO=3&transport=polling&sid=${sid}`, {
    method: "POST", body: payload, headers: { "content-type": "application/octet-stream" },
  });
  const answer = await poll(`&sid=${sid}`, {});
  const found = packets(library.decodePayloadAsBinary, answer.body);
  await fetch(`${url}/socket.io/?EIO=3&transport=polling&sid=${sid}`, { method: "POST", body: "1:1" });
  return { first: first.map((each) => each[0]), posted: await posted.text(), type: answer.type, found };
}

async function jsonp(referer) {
  const headers = referer ? { referer } : {};
  const refusal = await fetch(`${url}/socket.io/?EIO=3&transport=polling&j=3`);
  const called = [];
  const run = ({ body }) => vm.runInNewContext(body.toString(), { ___eio: { 3: (payload) => called.push(payload) } });
  const opening = await poll("&j=3", headers);
  run(opening);
  const sid = JSON.parse(packets(parser.decodePayload, called[0])[0][1]).sid;
  run(await poll(`&j=3&sid=${sid}`, headers));
  const payload = await encoded(parser.encodePayload, false, EVENT.replace("😀", "\\n😀"), Buffer.from([1, 2, 3]));
  // As engine.io-client's polling-jsonp fills its form.
  const d = payload.replace(/\\n/g, "\\\n").replace(/\n/g, "\\n");
  const posted = await fetch(`${url}/socket.io/?EIO=3&transport=polling&j=3&sid=${sid}`, {
    method: "POST", body: new URLSearchParams({ d }), headers,
  });
  run(await poll(`&j=3&sid=${sid}`, headers));
  const found = packets(parser.decodePayload, called[2]);
  await fetch(`${url}/socket.io/?EIO=3&transport=polling&j=3&sid=${sid}`, {
    method: "POST", body: new URLSearchParams({ d: "1:1" }), headers,
  });
  return { unnamed: refusal.status, type: opening.type, posted: await posted.text(), found };
}

runScenarios({
  "v1 talks": () => talkInAllModes("v1"),
  "v2 talks": () => talkInAllModes("v2"),
  "v1 is refused": () => refused("v1"),
  "v2 is refused": () => refused("v2"),
  "v1 ends": () => ends("v1", "websocket"),
  "v2 ends": () => ends("v2", "polling"),
  "v1 bytes": () => bytes(parser1),
  "v2 bytes": () => bytes(parser),
  "jsonp": () => jsonp(`${url}/page`),

  async "a room of all versions"() {
    const sockets = [];
    for (const version of ["v1", "v2", "v3", "v4"]) {
      for (const mode of ["polling", "websocket"]) sockets.push(await ready(version, mode));
    }
    const seen = sockets.map((socket) => {
      const news = [];
      socket.on("news", (...args) => news.push(plain(args)));
      return news;
    });
    for (const socket of sockets) await ask(socket, "join", "all");
    await ask(sockets[1], "publish", "all", "€ 😀", { data: Buffer.from([1, 2]) });
    await ask(sockets[7], "publish", "all", "text");
    await Promise.all(sockets.map((socket) => ask(socket, "echo")));
    sockets.forEach((socket) => socket.disconnect());
    return seen;
  },

  async "without the option"() {
    const result = {};
    for (const version of ["v1", "v2"]) {
      for (const mode of ["polling", "websocket"]) {
        const socket = clients[version](closedUrl, options(mode));
        const [error] = await next(socket, "connect_error");
        result[`${version} ${mode}`] = [error.message, mode === "polling" ? error.description : null];
        socket.disconnect();
      }
    }
    result.answer = await (await fetch(`${closedUrl}/socket.io/?EIO=3&transport=polling`)).json();
    return result;
  },
});
