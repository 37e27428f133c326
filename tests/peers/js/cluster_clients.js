// Clients on each server of a cluster: every operation, from every server, seen on all of them.
"use strict";

const { io } = require("socket.io-client");

const [kind, ...ports] = process.argv.slice(2);
const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
const failures = [];
let checks = 0;

function check(what, actual, expected) {
  checks++;
  const [found, wanted] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (found !== wanted) {
    failures.push(`${what}: ${found.slice(0, 300)} instead of ${wanted.slice(0, 300)}`);
  }
}

async function until(condition) {
  for (let tries = 0; tries < 300 && !condition(); tries++) {
    await sleep(0.01);
  }
}

function connect(port, name, options = {}, prepare = () => {}) {
  const socket = io(`http://127.0.0.1:${port}${options.path || ""}`, {
    transports: ["websocket"],
    forceNew: true,
    reconnection: false,
    autoConnect: false,
    auth: { name },
  });
  socket.heard = [];
  socket.name = name;
  socket.onAny((event, ...args) => {
    if (event === "question") {
      args.pop()(name);
    } else {
      if (kind.startsWith("streams") && /^[0-9]+-[0-9]+$/.test(args[args.length - 1])) {
        // The offset, for recovery.
        args.pop();
      }
      socket.heard.push([event, ...args]);
    }
  });
  prepare(socket);
  return new Promise((resolve, reject) => {
    socket.once("connect", () => {
      socket.known = socket.id;
      resolve(socket);
    });
    socket.once("connect_error", reject);
    socket.connect();
  });
}

const act = (socket, op, more = {}) => socket.timeout(10000).emitWithAck("do", { op, ...more });

async function main() {
  const names = ports.flatMap((_, index) => [`${index}a`, `${index}b`]);
  const clients = await Promise.all(names.map((name) => connect(ports[Number(name[0])], name)));
  const byName = Object.fromEntries(clients.map((client) => [client.name, client]));
  const drivers = ports.map((_, index) => byName[`${index}a`]);
  const everybody = clients.length;
  const seen = async (what, expected) => {
    const total = Object.values(expected).reduce((sum, events) => sum + events.length, 0);
    await until(() => clients.reduce((sum, client) => sum + client.heard.length, 0) >= total);
    await sleep(0.02);
    for (const client of clients) {
      const heard = client.heard.splice(0).map((event) => event.map((each) => (Buffer.isBuffer(each) ? `buffer ${each.toString("hex")}` : each)));
      check(`${what}, heard by ${client.name}`, heard, expected[client.name] || []);
    }
  };
  const all = (...events) => Object.fromEntries(names.map((name) => [name, events]));
  // Rooms have channels of their own in the dynamic modes: until these are there, messages may miss them.
  await sleep(0.3);

  for (const [index, driver] of drivers.entries()) {
    const from = `from ${index}`;
    await act(driver, "emit", { args: ["plain", 1, "é😀", null, [1.5, { deep: [true] }]] });
    await seen(`${from}: emit`, all(["plain", 1, "é😀", null, [1.5, { deep: [true] }]]));
    await act(driver, "emit", { args: ["binary", Buffer.from([1, 2]), { in: Buffer.from([3]) }] });
    await until(() => clients.every((client) => client.heard.length === 1));
    for (const client of clients) {
      const [, one, two] = client.heard.splice(0)[0] || [];
      check(`${from}: binary, ${client.name}`, [one?.toString("hex"), two?.in?.toString("hex")], ["0102", "03"]);
    }
    for (let other = 0; other < ports.length; other++) {
      await act(driver, "emit", { rooms: [`own ${other}b`], args: ["one"] });
      await seen(`${from}: to a room of ${other}`, { [`${other}b`]: [["one"]] });
      await act(driver, "emit", { rooms: [byName[`${other}b`].id], args: ["id"] });
      await seen(`${from}: to a socket of ${other}`, { [`${other}b`]: [["id"]] });
      await act(driver, "emit", { except: [`own ${other}b`], args: ["but"] });
      const expected = all(["but"]);
      delete expected[`${other}b`];
      await seen(`${from}: except one of ${other}`, expected);
    }
    await act(driver, "emit", { rooms: ["own 0b", "own 1b", "own 2b", "everybody"], args: ["once"] });
    await seen(`${from}: to several rooms`, all(["once"]));
    check(`${from}: ask`, await act(driver, "ask", { args: ["question"] }), [...names].sort());
    check(`${from}: ask a room`, await act(driver, "ask", { rooms: ["own 1b", "own 2b"], args: ["question"] }), ["1b", "2b"]);
    check(`${from}: ask nobody`, await act(driver, "ask", { rooms: ["nobody"], args: ["question"] }), []);

    await act(driver, "join", { rooms: ["own 0b", "own 2b"], args: ["party", "second"] });
    await sleep(0.3);
    await act(driver, "emit", { rooms: ["party"], args: ["party"] });
    await seen(`${from}: after joining`, { "0b": [["party"]], "2b": [["party"]] });
    const described = clients
      .map((client) => {
        const joined = ["0b", "2b"].includes(client.name) ? ["party", "second"] : [];
        return [client.id, [client.id, "everybody", `own ${client.name}`, ...joined].sort(), client.name, client.name, 0];
      })
      .sort((a, b) => (a[0] < b[0] ? -1 : 1));
    check(`${from}: fetch`, await act(driver, "fetch"), described);
    if (kind === "classic") {
      const rooms = await act(driver, "all rooms");
      check(`${from}: all rooms`, ["everybody", "party", "own 0a", "own 2b"].every((room) => rooms.includes(room)), true);
    }
    await act(driver, "leave", { args: ["party", "second"] });
    await sleep(0.1);
    await act(driver, "emit", { rooms: ["party"], args: ["party"] });
    await seen(`${from}: after leaving`, {});

    await act(driver, "tell", { args: [index, { a: [1] }] });
    await sleep(0.1);
    for (const [other, each] of drivers.entries()) {
      check(`${from}: told ${other}`, await act(each, "told"), other === index ? [] : [[index, { a: [1] }]]);
    }
    check(`${from}: tell and ask`, await act(driver, "tell and ask", { args: ["x"] }), ports.length - 1);
    await Promise.all(drivers.map((each) => act(each, "told")));

    await act(driver, "emit", { args: ["order"], times: 300 });
    await until(() => clients.every((client) => client.heard.length === 300));
    for (const client of clients) {
      check(`${from}: order, ${client.name}`, client.heard.splice(0).map(([, number]) => number), [...Array(300).keys()]);
    }
  }

  const dynamic = await Promise.all(ports.map((port, index) => connect(port, `d${index}`, { path: "/dynamic-7" })));
  await sleep(0.3);
  for (const [index, socket] of dynamic.entries()) {
    socket.emit("shout", index);
  }
  await until(() => dynamic.every((socket) => socket.heard.length === dynamic.length));
  for (const socket of dynamic) {
    check(`a dynamic namespace, ${socket.name}`, socket.heard.map(([, number]) => number).sort(), [...ports.keys()]);
  }

  if (kind.startsWith("streams")) {
    // Each comes back to the server behind its own.
    for (const [index, port] of ports.entries()) {
      const client = byName[`${index}b`];
      await act(drivers[index], "emit", { args: ["before"] });
      await until(() => client.heard.length === 1);
      clients.forEach((each) => each.heard.splice(0));
      const gone = new Promise((resolve) => client.once("disconnect", resolve));
      client.io.engine.transport.ws.terminate();
      await gone;
      await sleep(0.1);
      for (const driver of drivers) {
        await act(driver, "emit", { args: ["missed", drivers.indexOf(driver)] });
      }
      await act(drivers[0], "emit", { rooms: [`own ${index}b`], args: ["missed", "room"] });
      await act(drivers[0], "emit", { rooms: ["nobody"], args: ["missed", "nobody"] });
      await sleep(0.1);
      const back = await connect(ports[(index + 1) % ports.length], client.name, {}, (socket) => {
        socket._pid = client._pid;
        socket._lastOffset = client._lastOffset;
      });
      await until(() => back.heard.length === drivers.length + 1);
      check(`recovery of ${client.name}`, [back.recovered, back.id === client.known], [true, true]);
      // Those of different servers come in any order.
      check(`missed by ${client.name}`, back.heard.map(([, what]) => String(what)).sort(), ["0", "1", "2", "room"]);
      clients[clients.indexOf(client)] = back;
      byName[client.name] = back;
      clients.forEach((each) => each.heard.splice(0));
    }
  }

  await act(drivers[1], "disconnect", { rooms: ["own 0b", "own 2b"] });
  await until(() => !byName["0b"].connected && !byName["2b"].connected);
  check("disconnected", clients.filter((client) => !client.connected).map((client) => client.name).sort(), ["0b", "2b"]);
  check("everybody", everybody, 6);
  console.log(JSON.stringify({ scenario: "checks", result: checks }));
  console.log(JSON.stringify({ scenario: "failures", result: failures }));
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
