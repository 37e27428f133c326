"use strict";

// node recovery.js URL
// npm's socket.io-client against recovery_app:io: cuts, and what comes back afterwards, over both transports.

const { io } = require("socket.io-client");
const { next, runScenarios } = require("./scenarios");

const [url] = process.argv.slice(2);
const TRANSPORTS = ["websocket", "polling"];

function open(transport, namespace = "/", auth = {}) {
  const socket = io(url + namespace, {
    transports: [transport],
    forceNew: true,
    reconnectionDelay: 50,
    reconnectionDelayMax: 100,
    auth,
  });
  socket.seen = [];
  // What comes at the end of every event is the offset.
  socket.onAny((name, ...args) => {
    const values = args.slice(0, -1);
    socket.seen.push([name, ...values.map((value) => (Buffer.isBuffer(value) ? value.toString("hex") : value))]);
  });
  return socket;
}

/** Ends the connection as if the network had; resolves once it is back. */
async function cut(socket, meanwhile) {
  const id = socket.id;
  const gone = next(socket, "disconnect");
  socket.io.engine.close();
  await gone;
  if (meanwhile) {
    await meanwhile(id);
  }
  await next(socket, "connect");
  return { recovered: Boolean(socket.recovered), sameId: socket.id === id };
}

/** Ask a second client, which stays connected, to do something on the server. */
async function ask(...args) {
  const helper = io(url + "/helper", { transports: ["websocket"], forceNew: true, reconnection: false });
  await next(helper, "connect");
  const answer = await helper.emitWithAck(...args);
  helper.disconnect();
  return answer;
}

/** Everything that was sent before has arrived. */
const settled = (socket) => socket.emitWithAck("settled");

async function both(scenario) {
  const result = {};
  for (const transport of TRANSPORTS) {
    result[transport] = await scenario(transport);
  }
  return result;
}

runScenarios({
  "missed events": () =>
    both(async (transport) => {
      const socket = open(transport);
      await next(socket, "connect");
      await socket.emitWithAck("enter", "room", "ann");
      await ask("publish", socket.id, ["before"]);
      await settled(socket);
      const back = await cut(socket, (id) => ask("publish", id, ["missed 1", "missed 2", "missed 3"]));
      await ask("publish", socket.id, ["after"]);
      await settled(socket);
      const { id, ...state } = await socket.emitWithAck("who am i");
      const result = { ...back, seen: socket.seen, state: { ...state, sameId: id === socket.id } };
      socket.disconnect();
      return result;
    }),

  "cut by the server": () =>
    both(async (transport) => {
      const socket = open(transport);
      await next(socket, "connect");
      await ask("publish", socket.id, ["before"]);
      await settled(socket);
      const id = socket.id;
      const connected = next(socket, "connect");
      // The connection breaks on the server's side, with events on their way.
      await ask("cut and publish", socket.id, ["missed 1", "missed 2"]);
      await connected;
      await settled(socket);
      const result = { recovered: Boolean(socket.recovered), sameId: socket.id === id, seen: socket.seen };
      socket.disconnect();
      return result;
    }),

  "half open": () =>
    both(async (transport) => {
      // The client gives up a connection of which the server has not heard that it ended.
      const socket = open(transport, "/", { name: "half open" });
      await next(socket, "connect");
      await ask("publish", socket.id, ["before"]);
      await settled(socket);
      const other = open(transport, "/", { pid: socket._pid, offset: socket._lastOffset, name: "half open" });
      other._pid = socket._pid;
      const gone = next(socket, "disconnect");
      socket.io.reconnection(false);
      await next(other, "connect");
      const [reason] = await gone;
      await ask("publish", other.id, ["after"]);
      await settled(other);
      const result = { recovered: other.recovered, sameId: (await other.emitWithAck("who am i")).id === other.id, reason };
      result.log = await ask("log", other.id);
      other.disconnect();
      return { ...result, seen: [socket.seen, other.seen] };
    }),

  "a quiet client": () =>
    both(async (transport) => {
      const socket = open(transport);
      await next(socket, "connect");
      await ask("publish", socket.id, ["before"]);
      await settled(socket);
      // So many events for others that the one it knows is not kept any more.
      await ask("flood");
      const back = await cut(socket, (id) => ask("publish", id, ["missed"]));
      await settled(socket);
      socket.disconnect();
      return { ...back, seen: socket.seen };
    }),

  "never received any": () =>
    both(async (transport) => {
      const socket = open(transport);
      await next(socket, "connect");
      const back = await cut(socket, (id) => ask("publish", id, ["missed"]));
      await settled(socket);
      socket.disconnect();
      return { ...back, seen: socket.seen };
    }),

  "a volatile event that ends with a string": () =>
    both(async (transport) => {
      const socket = open(transport);
      await next(socket, "connect");
      await ask("publish", socket.id, ["before"]);
      await settled(socket);
      // Over polling it is dropped when it finds no GET.
      const again = setInterval(() => socket.emit("volatile me", "a string"), 20);
      await next(socket, "volatile");
      clearInterval(again);
      await settled(socket);
      socket.seen = socket.seen.filter(([name]) => name !== "volatile");
      const back = await cut(socket, (id) => ask("publish", id, ["missed"]));
      await settled(socket);
      socket.disconnect();
      return { ...back, seen: socket.seen };
    }),

  "refused by middleware": () =>
    both(async (transport) => {
      const auth = { token: "s3cret" };
      const socket = open(transport, "/guarded", auth);
      await next(socket, "connect");
      await ask("publish guarded", socket.id, "before");
      await socket.emitWithAck("settled");
      auth.token = "expired";
      const id = socket.id;
      const gone = next(socket, "disconnect");
      socket.io.engine.close();
      await gone;
      await ask("publish guarded", id, "missed");
      const [error] = await next(socket, "connect_error");
      auth.token = "s3cret";
      socket.connect();
      await next(socket, "connect");
      await socket.emitWithAck("settled");
      const again = { recovered: Boolean(socket.recovered), sameId: socket.id === id };
      socket.disconnect();
      return { message: error.message, ...again, seen: socket.seen };
    }),

  "after an explicit disconnect": () =>
    both(async (transport) => {
      const socket = open(transport);
      await next(socket, "connect");
      await ask("publish", socket.id, ["before"]);
      await settled(socket);
      const id = socket.id;
      socket.disconnect();
      await ask("publish", id, ["missed"]);
      socket.connect();
      await next(socket, "connect");
      await settled(socket);
      const result = { recovered: Boolean(socket.recovered), sameId: socket.id === id, seen: socket.seen };
      socket.disconnect();
      return result;
    }),
});
