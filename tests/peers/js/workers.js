// Clients of several workers: every request of those that poll is on a connection of its own.
"use strict";

const http = require("http");
const https = require("https");
const { io } = require("socket.io-client");

const [url, parent] = process.argv.slice(2);
const secure = url.startsWith("https");
const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
const print = (scenario, result) => console.log(JSON.stringify({ scenario, result }));

function connect(transports) {
  const agent = new (secure ? https : http).Agent({ keepAlive: false, rejectUnauthorized: false });
  const socket = io(url, {
    transports,
    agent,
    forceNew: true,
    rejectUnauthorized: false,
    reconnectionDelay: 100,
    reconnectionDelayMax: 200,
  });
  socket.news = [];
  socket.rooms = [];
  socket.drops = 0;
  socket.on("news", (...args) => socket.news.push(args));
  socket.on("room news", (name) => socket.rooms.push(name));
  socket.on("question", (answer) => answer(socket.id));
  socket.on("drop", () => socket.drops++);
  return new Promise((resolve, reject) => {
    socket.once("connect", () => resolve(socket));
    socket.once("connect_error", reject);
  });
}

async function until(what, condition) {
  for (let tries = 0; tries < 1000; tries++) {
    if (await condition()) {
      return;
    }
    await sleep(0.01);
  }
  throw new Error(`never: ${what}`);
}

const ask = (socket, ...args) => socket.timeout(10000).emitWithAck(...args);

async function main() {
  const ways = [["polling"], ["polling", "websocket"], ["websocket"]];
  const sockets = await Promise.all([...Array(secure ? 6 : 12).keys()].map((index) => connect(ways[index % 3])));
  for (let round = 0; round < 5; round++) {
    const echoes = await Promise.all(sockets.map((socket, index) => ask(socket, "echo", index, Buffer.from([round]))));
    echoes.forEach((echo, index) => {
      if (echo !== index) {
        throw new Error(`an echo of ${index}: ${echo}`);
      }
    });
  }
  await until("upgraded", () => sockets.every((each, index) => index % 3 === 0 || each.io.engine.transport.name === "websocket"));
  const pids = await Promise.all(sockets.map((socket) => ask(socket, "pid")));
  print("pids", new Set(pids).size);

  for (const socket of sockets) {
    socket.emit("broadcast", { from: socket.id }, Buffer.from("binary"));
  }
  await until("news", () => sockets.every((each) => each.news.length === sockets.length));
  print("news", sockets.every((each) => each.news.every(([object, data]) => object.from && data.toString() === "binary")));

  await Promise.all(sockets.slice(0, 4).map((socket) => ask(socket, "join", "four")));
  sockets[5].emit("room", "four");
  await until("room news", () => sockets.slice(0, 4).every((each) => each.rooms.length === 1));
  print("room", sockets.slice(4).every((each) => each.rooms.length === 0));

  const ids = sockets.map((socket) => socket.id).sort();
  print("question", JSON.stringify((await ask(sockets[1], "ask everybody")).sort()) === JSON.stringify(ids));
  print("fetch", JSON.stringify((await ask(sockets[2], "fetch")).sort()) === JSON.stringify(ids));
  print("others", new Set(await ask(sockets[0], "other workers")).size);

  // One of them dies. The others go on; its clients come back to whoever is there.
  const killed = pids[2];
  const lost = sockets.filter((_, index) => pids[index] === killed);
  const kept = sockets.filter((_, index) => pids[index] !== killed);
  let disconnected = 0;
  kept.forEach((socket) => socket.on("disconnect", () => disconnected++));
  // A request that is just being looked at would be lost with the worker.
  await sleep(0.3);
  process.kill(killed, "SIGKILL");
  await until("noticed", () => lost.every((socket) => !socket.connected || socket.io.engine.transport.name === "polling"));
  for (const socket of kept) {
    // What was relayed by the worker that died ends with it, and is counted.
    await ask(socket, "echo", 1).catch(() => {});
  }
  print("kept", disconnected);
  await until("back", () => sockets.every((socket) => socket.connected));
  await until("all workers", async () => (await ask(kept[0], "other workers")).length === 2);
  await until("no ghosts", async () => {
    const found = await ask(kept[0], "fetch");
    return JSON.stringify(found.sort()) === JSON.stringify(sockets.map((socket) => socket.id).sort());
  });
  print("back", new Set(await Promise.all(sockets.map((socket) => ask(socket, "pid")))).has(killed));

  // All of them stop: what was sent before still arrives.
  const reasons = sockets.map((socket) => new Promise((resolve) => socket.once("disconnect", resolve)));
  sockets.forEach((socket) => socket.io.reconnection(false));
  await Promise.all(sockets.map((socket) => ask(socket, "flood", 50)));
  process.kill(Number(parent), "SIGTERM");
  await Promise.all(reasons);
  print("drops", sockets.every((socket) => socket.drops === 50));
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
