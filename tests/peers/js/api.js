"use strict";

// node api.js URL polling|websocket
// npm's socket.io-client against api_app:io.

const { io } = require("socket.io-client");
const { next, runScenarios } = require("./scenarios");

const [url, transport] = process.argv.slice(2);

function open(namespace, auth, options = {}) {
  return io(url + namespace, { transports: [transport], forceNew: true, reconnection: false, auth, ...options });
}

async function ready(namespace = "/", auth = undefined, options = {}) {
  const socket = open(namespace, auth, options);
  await next(socket, "connect");
  return socket;
}

async function refusal(namespace, auth) {
  const socket = open(namespace, auth);
  const [error] = await next(socket, "connect_error");
  socket.disconnect();
  return [error.message, error.data];
}

function collect(socket, ...events) {
  const seen = [];
  for (const event of events) socket.on(event, (...args) => seen.push([event, ...args.map(plain)]));
  return seen;
}

const plain = (value) => {
  if (Buffer.isBuffer(value) || value instanceof Uint8Array) return { bytes: [...value] };
  if (Array.isArray(value)) return value.map(plain);
  return value;
};

runScenarios({
  async "dynamic namespaces"() {
    const main = await ready();
    const one = main.io.socket("/room-1");
    const two = main.io.socket("/room-22");
    await Promise.all([next(one, "connect"), next(two, "connect")]);
    const seen = [collect(one, "told"), collect(two, "told")];
    const result = { where: [await one.emitWithAck("where"), await two.emitWithAck("where")] };
    await one.emitWithAck("tell all", 1, Buffer.from([2]));
    await two.emitWithAck("tell mine", 3);
    await one.emitWithAck("where");
    await two.emitWithAck("where");
    result.seen = seen;
    result.refused = await Promise.all([refusal("/room-x"), refusal("/x/room-1"), refusal("/room-1", { banned: true })]);
    result.during = await main.emitWithAck("namespaces");
    one.disconnect();
    two.disconnect();
    result.after = await main.emitWithAck("namespaces");
    main.disconnect();
    return result;
  },

  async "a predicate"() {
    const main = await ready();
    const auth = { token: "s3cret" };
    const socket = await ready("/private/ann", auth);
    const result = { where: await socket.emitWithAck("where") };
    result.refused = await Promise.all([refusal("/private/ann"), refusal("/other", auth), refusal("/private/broken", auth)]);
    const early = await ready();
    const late = early.io.socket("/private/bob", { auth });
    await next(late, "connect");
    result.shared = await late.emitWithAck("where");
    socket.disconnect();
    early.disconnect();
    late.disconnect();
    main.disconnect();
    return result;
  },

  async "handlers of a socket"() {
    const socket = open("/listening");
    const seen = collect(socket, "hello", "room", "refused", 8);
    await next(socket, "connect");
    const result = { once: await socket.emitWithAck("once") };
    result.again = await socket.timeout(100).emitWithAck("once").catch((error) => error.message);
    result.off = await socket.emitWithAck("off");
    result.gone = await socket.timeout(100).emitWithAck("off").catch((error) => error.message);
    result.double = await socket.emitWithAck("double", 21);
    result.integer = plain(await socket.emitWithAck(7, Buffer.from([1, 2])));
    result.forbidden = await socket.timeout(100).emitWithAck("forbidden", 1, 2).catch((error) => error.message);
    result.forged = await socket.timeout(100).emitWithAck("error", "forged").catch((error) => error.message);
    const [incoming, outgoing] = await socket.emitWithAck("seen");
    result.incoming = plain(incoming);
    result.outgoing = plain(outgoing);
    result.seen = seen;
    socket.disconnect();
    return result;
  },

  async answers() {
    const starter = await ready();
    const voters = await Promise.all([0, 1, 2].map(() => ready()));
    const members = [];
    for (const voter of voters) members.push(await voter.emitWithAck("join", "voters"));
    const progress = collect(starter, "progress");
    // Each answers when the answer before it was announced.
    voters.forEach((voter, number) =>
      voter.on("vote", async (answer) => {
        while (progress.length < number) await next(starter, "progress");
        answer(`yes ${number}`);
      }),
    );
    const result = { members, all: await starter.emitWithAck("vote", "voters", 60), progress: [...progress] };
    progress.length = 0;
    voters[2].off("vote").on("vote", () => voters[2].disconnect());
    result.gone = await starter.emitWithAck("vote", "voters", 60);
    voters[1].off("vote");
    result.partial = await starter.emitWithAck("vote", "voters", 0.2);
    result.left = await starter.emitWithAck("first vote", "voters");
    for (const socket of [starter, ...voters]) socket.disconnect();
    return result;
  },
});
