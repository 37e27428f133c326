// A thousand clients, spread over the servers of a cluster: each hears what any server sends, once.
"use strict";

const { io } = require("socket.io-client");

const ports = process.argv.slice(2);
const COUNT = 1000;
const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

function connect(port, name) {
  const socket = io(`http://127.0.0.1:${port}`, { transports: ["websocket"], forceNew: true, auth: { name } });
  socket.heard = [];
  socket.on("news", (sender) => socket.heard.push(sender));
  return new Promise((resolve, reject) => {
    socket.once("connect", () => resolve(socket));
    socket.once("connect_error", reject);
  });
}

async function main() {
  const sockets = [];
  for (let begun = 0; begun < COUNT; begun += 100) {
    const batch = [...Array(100).keys()].map((index) => connect(ports[(begun + index) % ports.length], begun + index));
    sockets.push(...(await Promise.all(batch)));
  }
  for (let sender = 0; sender < ports.length; sender++) {
    await sockets[sender].timeout(10000).emitWithAck("do", { op: "emit", args: ["news", sender] });
  }
  for (let tries = 0; tries < 1000 && sockets.some((socket) => socket.heard.length < ports.length); tries++) {
    await sleep(0.01);
  }
  const wrong = sockets.filter((socket) => socket.heard.slice().sort().join() !== [...ports.keys()].join());
  console.log(JSON.stringify({ scenario: "wrong", result: wrong.length }));
  const found = await sockets[0].timeout(10000).emitWithAck("do", { op: "fetch" });
  console.log(JSON.stringify({ scenario: "found", result: found.length }));
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
