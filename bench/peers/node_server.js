// The Node.js peer: socket.io with its defaults, and the handlers of the bench.
"use strict";

const { createServer } = require("node:http");
const { Server } = require("socket.io");

const http = createServer();
const io = new Server(http, { serveClient: false });

io.on("connection", (socket) => {
  socket.on("echo", (text, acknowledge) => acknowledge(text));
  socket.on("bin", (data) => socket.emit("bin", data));
  socket.on("cast", (text) => io.emit("cast", text));
  socket.on("join", (room, acknowledge) => {
    socket.join(room);
    acknowledge(room);
  });
  socket.on("leave", (room, acknowledge) => {
    socket.leave(room);
    acknowledge(room);
  });
  socket.on("room", (room, text) => io.to(room).emit("room", text));
});

http.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => {
  console.log(`listening ${http.address().port}`);
});
