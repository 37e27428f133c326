// socket.io-client for Node.js, over WebSocket. `node_client.js <plan>`: measured.py has the fields.
"use strict";

const { io } = require("socket.io-client");

const plan = JSON.parse(process.argv[2]);
const text = "x".repeat(plan.payload);
const clock = () => process.hrtime.bigint();

function cpu() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

function connect() {
  const socket = io(`http://127.0.0.1:${plan.port}`, { transports: ["websocket"], forceNew: true });
  return new Promise((resolve, reject) => {
    socket.once("connect", () => resolve(socket));
    socket.once("connect_error", reject);
  });
}

const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

async function acknowledged(sockets) {
  let messages = 0;
  let over = false;
  async function ask(socket) {
    while (!over) {
      if ((await socket.emitWithAck("echo", text)) !== text) {
        throw new Error("a wrong answer");
      }
      messages += 1;
    }
  }
  const asking = sockets.flatMap((socket) => Array.from({ length: plan.in_flight }, () => ask(socket)));
  await sleep(plan.warm_up);
  const [before, began, used] = [messages, clock(), cpu()];
  await sleep(plan.seconds);
  const result = { messages: messages - before, seconds: Number(clock() - began) / 1e9, cpu: cpu() - used };
  over = true;
  await Promise.all(asking);
  return result;
}

async function incoming([socket]) {
  let expected = 0;
  let ended;
  socket.on("news", (number, received) => {
    if (number !== expected || received !== text) {
      throw new Error("a wrong event");
    }
    expected += 1;
  });
  socket.on("end", () => ended());
  const flood = (count) => {
    expected = 0;
    socket.emit("flood", count, text);
    return new Promise((resolve) => (ended = resolve));
  };
  await flood(Math.ceil(plan.events / 5));
  const [began, used] = [clock(), cpu()];
  await flood(plan.events);
  return { messages: expected, seconds: Number(clock() - began) / 1e9, cpu: cpu() - used };
}

async function main() {
  const sockets = await Promise.all(Array.from({ length: plan.clients }, connect));
  const result = await (plan.mode === "incoming" ? incoming(sockets) : acknowledged(sockets));
  console.log(JSON.stringify(result));
  process.exit(0);
}

main();
