// The server of every client: socket.io for Node.js with its defaults.
"use strict";

const { createServer } = require("node:http");
const { Server } = require("socket.io");

const SLICE = 100;

const http = createServer();
const io = new Server(http, { serveClient: false });

io.on("connection", (socket) => {
  socket.on("echo", (text, acknowledge) => acknowledge(text));
  // So many broadcast events, in slices, as they come from a busy room; then "end".
  socket.on("flood", (count, text) => {
    let sent = 0;
    const slice = () => {
      for (let number = 0; number < SLICE && sent < count; number++, sent++) {
        io.emit("news", sent, text);
      }
      sent < count ? setImmediate(slice) : io.emit("end");
    };
    slice();
  });
});

http.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => {
  console.log(`listening ${http.address().port}`);
});
