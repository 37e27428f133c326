// Clients behind a proxy that sends each of their requests to any of the servers: each talks to one session all the same.
"use strict";

const http = require("node:http");
const net = require("node:net");
const { io } = require("socket.io-client");

const ports = process.argv.slice(2).map(Number);
const COUNT = 20;
const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

let state = 20261124;
function anyPort() {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return ports[(state >>> 16) % ports.length];
}

function startProxy() {
  const proxy = http.createServer((request, response) => {
    const options = { host: "127.0.0.1", port: anyPort(), method: request.method, path: request.url };
    const onward = http.request({ ...options, headers: request.headers, agent: false }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    onward.on("error", () => response.destroy());
    response.on("close", () => onward.destroy());
    request.pipe(onward);
  });
  proxy.on("upgrade", (request, socket, head) => {
    const onward = net.connect(anyPort(), "127.0.0.1", () => {
      const lines = [`${request.method} ${request.url} HTTP/1.1`];
      for (let at = 0; at < request.rawHeaders.length; at += 2) {
        lines.push(`${request.rawHeaders[at]}: ${request.rawHeaders[at + 1]}`);
      }
      onward.write(lines.join("\r\n") + "\r\n\r\n");
      onward.write(head);
      socket.pipe(onward).pipe(socket);
    });
    for (const each of [socket, onward]) {
      each.on("error", () => {});
      each.on("close", () => (socket.destroy(), onward.destroy()));
    }
  });
  return new Promise((resolve) => proxy.listen(0, "127.0.0.1", () => resolve(proxy.address().port)));
}

// What came back wrong, or why it ended.
async function talk(port, mode) {
  const transports = mode === "polling" ? ["polling"] : ["polling", "websocket"];
  const socket = io(`http://127.0.0.1:${port}`, { transports, forceNew: true, reconnection: false });
  const ended = new Promise((resolve) => {
    socket.once("connect_error", (error) => resolve(`connect_error: ${error.message}`));
    socket.once("disconnect", (reason) => resolve(`disconnect: ${reason}`));
  });
  const numbers = [];
  socket.on("number", (number) => numbers.push(number));
  async function conversation() {
    await new Promise((resolve) => socket.once("connect", resolve));
    // Beyond the time for which the application waits with its connection event: then sessions don't move any more.
    for (let number = 0; number < 30; number++) {
      const value = number % 3 ? { number, text: "ä".repeat(number) } : Buffer.alloc(number * 100, number);
      const answer = await socket.timeout(20000).emitWithAck("echo", value);
      if (JSON.stringify(answer) !== JSON.stringify(value)) return `echo ${number} came back wrong`;
      if (number === 15) await sleep(mode === "late" ? 0.5 : 0);
    }
    socket.emit("count", 100);
    while (numbers.length < 100) await sleep(0.005);
    if (numbers.some((number, index) => number !== index)) return `out of order: ${numbers}`;
    const name = socket.io.engine.transport.name;
    if (name !== (mode === "polling" ? "polling" : "websocket")) return `on ${name}`;
    const told = ended;
    socket.emit("leave me");
    const reason = await told;
    return reason === "disconnect: io server disconnect" ? null : reason;
  }
  const result = await Promise.race([conversation(), ended.then((reason) => sleep(0.1).then(() => reason))]);
  socket.close();
  return result === "disconnect: io server disconnect" ? null : result;
}

async function main() {
  const port = await startProxy();
  for (const mode of ["polling", "upgrade", "late"]) {
    const results = await Promise.all([...Array(COUNT).keys()].map(() => talk(port, mode)));
    console.log(JSON.stringify({ scenario: mode, result: results.filter((each) => each !== null) }));
  }
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
