// A server of Node.js in the same cluster, which does what its clients ask for, as cluster_app.py does.
"use strict";

const { createServer } = require("http");
const { Server } = require("socket.io");
const { createClient } = require("redis");
const { createAdapter, createShardedAdapter } = require("@socket.io/redis-adapter");
const streams = require("@socket.io/redis-streams-adapter");

const [kind, url] = process.argv.slice(2);

async function connect() {
  const client = createClient({ url });
  client.on("error", () => {});
  await client.connect();
  return client;
}

async function main() {
  const pub = await connect();
  const sub = await connect();
  let adapter;
  if (kind === "classic") {
    adapter = createAdapter(pub, sub);
  } else if (kind.startsWith("streams")) {
    adapter = streams.createAdapter(pub, { useShardedPubSub: kind === "streams-sharded" });
  } else {
    adapter = createShardedAdapter(pub, sub, { subscriptionMode: kind });
  }
  const http = createServer();
  const io = new Server(http, { adapter, ...(kind.startsWith("streams") ? { connectionStateRecovery: {} } : {}) });
  const told = [];
  io.on("told", (...args) => {
    const answer = typeof args[args.length - 1] === "function" ? args.pop() : () => {};
    told.push(args);
    answer(process.pid);
  });
  io.of(/^\/dynamic-\d+$/).on("connection", (socket) => {
    socket.on("shout", (...args) => socket.nsp.emit("heard", ...args));
  });
  io.on("connection", (socket) => {
    socket.join(["everybody", `own ${socket.handshake.auth.name}`]);
    socket.data.name = socket.handshake.auth.name;
    socket.on("do", async (op, answer) => {
      let target = io;
      if (op.rooms?.length) {
        target = target.to(op.rooms);
      }
      if (op.except?.length) {
        target = target.except(op.except);
      }
      if (op.volatile) {
        target = target.volatile;
      }
      const args = op.args || [];
      switch (op.op) {
        case "emit":
          for (let number = 0; number < (op.times || 1); number++) {
            target.emit(...args, ...(op.times ? [number] : []));
          }
          break;
        case "ask":
          try {
            return answer((await target.timeout(3000).emitWithAck(...args)).sort());
          } catch (error) {
            return answer(["timeout", error.responses.length]);
          }
        case "fetch":
          return answer(
            (await target.fetchSockets())
              .map((each) => [each.id, [...each.rooms].sort(), each.data.name, each.handshake.auth.name, 0])
              .sort((a, b) => (a[0] < b[0] ? -1 : 1)),
          );
        case "join":
          target.socketsJoin(args);
          break;
        case "leave":
          target.socketsLeave(args);
          break;
        case "disconnect":
          target.disconnectSockets();
          break;
        case "tell":
          io.serverSideEmit("told", ...args);
          break;
        case "tell and ask":
          return answer(new Set(await io.serverSideEmitWithAck("told", ...args)).size);
        case "told":
          return answer(told.splice(0));
        case "all rooms":
          return answer([...(await io.of("/").adapter.allRooms())].sort());
      }
      answer("done");
    });
  });
  http.listen(0, "127.0.0.1", () => console.log(`listening on ${JSON.stringify({ node: http.address().port })}`));
}

main();
