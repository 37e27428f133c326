// socket.io in a cluster: node_server.js <kind> <URL of Redis>. With no arguments it prints its versions.
"use strict";

const packages = ["socket.io", "redis", "@socket.io/redis-adapter", "@socket.io/redis-streams-adapter"];

async function connect(url) {
  const client = require("redis").createClient({ url });
  client.on("error", () => {});
  return client.connect();
}

async function adapter(kind, url) {
  const pub = await connect(url);
  if (kind === "streams") {
    return require("@socket.io/redis-streams-adapter").createAdapter(pub);
  }
  const { createAdapter, createShardedAdapter } = require("@socket.io/redis-adapter");
  const make = kind === "sharded" ? createShardedAdapter : createAdapter;
  return make(pub, await connect(url));
}

async function main(kind, url) {
  const http = require("http").createServer();
  const io = new (require("socket.io").Server)(http, { adapter: await adapter(kind, url) });
  io.on("connection", (socket) => {
    socket.on("enter", (answer) => {
      socket.join("there");
      answer("entered");
    });
    socket.on("publish", (first, count, text) => {
      for (let number = first; number < first + count; number++) {
        io.to("there").emit("news", number, text);
      }
    });
  });
  http.listen(0, "127.0.0.1", () => console.log(`listening ${http.address().port}`));
}

if (process.argv.length > 2) {
  main(...process.argv.slice(2));
} else {
  const versions = packages.map((name) => `${name} ${require(`${name}/package.json`).version}`);
  console.log([...versions, `Node.js ${process.version.slice(1)}`].join(", "));
}
