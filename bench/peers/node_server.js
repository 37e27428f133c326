// The Node.js peer: socket.io with its defaults, and the three handlers of the bench.
"use strict";

const { createServer } = require("node:http");
const { Server } = require("socket.io");

const http = createServer();
const io = new Server(http, { serveClient: false });

io.on("connection", (socket) => {
  socket.on("echo", (text, acknowledge) => acknowledge(text));
  socket.on("bin", (data) => socket.emit("bin", data));
  socket.on("cast", (text) => io.emit("cast", text));
});

http.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => {
  console.log(`listening ${http.address().port}`);
});
