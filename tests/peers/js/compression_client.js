"use strict";

// node compression_client.js URL
// npm's ws, socket.io-client and Node.js' own HTTP against compression_app:io.

const http = require("http");
const zlib = require("zlib");
const WebSocket = require("ws");
const { io } = require("socket.io-client");
const { Fetch } = require("engine.io-client");
const { next, runScenarios } = require("./scenarios");

const [url] = process.argv.slice(2);
const text = "what is said again and again, ".repeat(300);
const data = Buffer.alloc(20_000, "binary ");

const offers = {
  "as it is": true,
  "no takeover": { serverNoContextTakeover: true, clientNoContextTakeover: true },
  "small windows": { serverMaxWindowBits: 10, clientMaxWindowBits: 9 },
  "no offer": false,
};

// Counts the messages that come compressed, and those that do not.
function countCompressed(socket) {
  const counts = { compressed: 0, plain: 0 };
  const receiver = socket._receiver;
  const dataMessage = receiver.dataMessage;
  receiver.dataMessage = function (...args) {
    counts[this._compressed ? "compressed" : "plain"] += 1;
    return dataMessage.apply(this, args);
  };
  return counts;
}

function message(socket) {
  return new Promise((resolve) => socket.once("message", (bytes, isBinary) => resolve(isBinary ? bytes : String(bytes))));
}

function ask(socket) {
  return new Promise((resolve) => socket.emit("echo", text, data, (...args) => resolve(args)));
}

function request(path, headers, method = "GET") {
  return new Promise((resolve, reject) => {
    const asked = http.request(url + path, { method, headers }, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks) }));
    });
    asked.on("error", reject);
    asked.end();
  });
}

const decoders = { gzip: zlib.gunzipSync, deflate: zlib.inflateSync, br: zlib.brotliDecompressSync };
const decoded = ({ headers, body }) => String((decoders[headers["content-encoding"]] || ((bytes) => bytes))(body));

runScenarios({
  async "ws"() {
    const results = {};
    for (const [name, perMessageDeflate] of Object.entries(offers)) {
      const target = url.replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket";
      const socket = new WebSocket(target, { perMessageDeflate, allowSynchronousEvents: false });
      let extensions = null;
      socket.on("upgrade", (response) => (extensions = response.headers["sec-websocket-extensions"] || null));
      await message(socket);
      const counts = countCompressed(socket);
      const joined = message(socket);
      socket.send("40");
      await joined;
      let same = true;
      for (let round = 0; round < 5; round++) {
        const answer = message(socket);
        socket.send(`42${round}["echo","${text}"]`);
        same &&= (await answer) === `43${round}["${text}"]`;
        // In fragments, the first of them empty.
        const second = message(socket);
        const asked = `427["echo","${round}${text}"]`;
        socket.send("", { fin: false });
        socket.send(asked.slice(0, 100), { fin: false });
        socket.ping();
        socket.send(asked.slice(100));
        same &&= (await second) === `437["${round}${text}"]`;
      }
      results[name] = { same, extensions, ...counts };
      socket.close();
      await new Promise((resolve) => socket.on("close", resolve));
    }
    return results;
  },

  async "socket.io-client"() {
    const sockets = [];
    for (const perMessageDeflate of Object.values(offers)) {
      for (const transports of [["websocket"], ["polling", "websocket"]]) {
        const socket = io(url, { transports, perMessageDeflate, forceNew: true, reconnection: false });
        const upgraded =
          transports.length === 1 ? null : new Promise((resolve) => socket.io.once("open", () => socket.io.engine.once("upgrade", resolve)));
        await next(socket, "connect");
        await upgraded;
        sockets.push(socket);
      }
    }
    const results = [];
    for (const socket of sockets) {
      const [echoedText, echoedData] = await ask(socket);
      results.push(echoedText === text && data.equals(echoedData));
    }
    const broadcasts = [];
    for (let round = 0; round < 3; round++) {
      const heard = sockets.map((socket) => next(socket, "news"));
      sockets[round].emit("tell everybody", text + round, data);
      for (const [heardText, heardData] of await Promise.all(heard)) {
        broadcasts.push(heardText === text + round && data.equals(heardData));
      }
    }
    for (const socket of sockets) socket.disconnect();
    return { echoes: results, broadcasts };
  },

  async "polling"() {
    const { body } = await request("/socket.io/?EIO=4&transport=polling", {});
    const target = `/socket.io/?EIO=4&transport=polling&sid=${JSON.parse(String(body).slice(1)).sid}`;
    const post = (content) =>
      new Promise((resolve) => http.request(url + target, { method: "POST" }, (response) => response.resume().on("end", resolve)).end(content));
    await post("40");
    await request(target, {});
    const results = {};
    for (const coding of ["gzip", "deflate", "br, gzip;q=0.5", "identity"]) {
      await post(`421["echo","${text}"]`);
      const answer = await request(target, { "Accept-Encoding": coding });
      results[coding] = {
        coding: answer.headers["content-encoding"] || null,
        vary: answer.headers.vary,
        same: decoded(answer) === `431["${text}"]`,
        small: answer.body.length < 500,
      };
    }
    return results;
  },

  // Node.js' fetch asks for gzip, deflate and br of its own accord.
  async "polling by fetch"() {
    const socket = io(url, { transports: [Fetch], forceNew: true, reconnection: false });
    await next(socket, "connect");
    const [echoedText, echoedData] = await ask(socket);
    socket.disconnect();
    return echoedText === text && data.equals(echoedData);
  },

  async "bundle"() {
    const results = {};
    const plain = await request("/socket.io/socket.io.min.js", {});
    for (const coding of ["gzip", "deflate"]) {
      const headers = { "Accept-Encoding": coding };
      const answer = await request("/socket.io/socket.io.min.js?v=1", headers);
      const head = await request("/socket.io/socket.io.min.js", headers, "HEAD");
      const known = await request("/socket.io/socket.io.min.js", { ...headers, "If-None-Match": answer.headers.etag });
      results[coding] = {
        same: decoded(answer) === String(plain.body),
        coding: answer.headers["content-encoding"],
        ownTag: answer.headers.etag !== plain.headers.etag,
        head: head.headers["content-length"] === String(answer.body.length) && head.body.length === 0,
        known: [known.status, known.body.length],
      };
    }
    return results;
  },
});
