// WebSocket servers that compress in different ways and echo what they get, and a polling server that uses gzip.
const http = require("http");
const { createRequire } = require("module");
const { WebSocketServer } = require("ws");

// The one that socket.io brings.
const engine = createRequire(require.resolve("socket.io"))("engine.io");

const WAYS = {
  plain: { threshold: 0 },
  alone: { threshold: 0, serverNoContextTakeover: true, clientNoContextTakeover: true },
  narrow: { threshold: 0, serverMaxWindowBits: 9, clientMaxWindowBits: 9 },
  narrowest: { threshold: 0, clientMaxWindowBits: 8 },
  never: false,
};

function listening(server) {
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server.address().port)));
}

async function main() {
  const ports = {};
  for (const [name, perMessageDeflate] of Object.entries(WAYS)) {
    const server = http.createServer();
    const sockets = new WebSocketServer({ server, perMessageDeflate, maxPayload: 1e6 });
    sockets.on("connection", (socket) => {
      socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
      socket.on("error", () => {});
    });
    ports[name] = await listening(server);
  }
  const server = http.createServer();
  const io = engine.attach(server, { httpCompression: { threshold: 100 } });
  io.on("connection", (socket) => socket.send("compress me ".repeat(1000)));
  ports.polling = await listening(server);
  console.log(`listening on ${JSON.stringify(ports)}`);
}

main();
