"use strict";

// The Node.js servers that siocore's client talks to, all in one process, each on a port of its own: socket.io 4, 3, 2
// and 1, some of them with options, and engine.io alone. `node servers.js [certificate key]`

const fs = require("node:fs");
const http = require("node:http");
const https = require("node:https");
const path = require("node:path");

// How long a server that restarts is away.
const RESTART_MS = 120;

function engineOf(name) {
  return require(require.resolve("engine.io", { paths: [path.dirname(require.resolve(name))] }));
}

// Everything that scenarios ask of a server.
function handlers(io, web) {
  function connected(socket) {
    const namespace = socket.nsp || socket.namespace;
    const collecting = [];
    socket.on("whoami", (acknowledge) => {
      const { auth, headers, query } = socket.handshake;
      const carrier = socket.conn.transport;
      const extensions = carrier.name === "websocket" ? carrier.socket.extensions || "" : "";
      acknowledge({
        id: socket.id,
        auth: auth || null,
        query,
        header: headers["x-test"] || null,
        agent: headers["user-agent"] || null,
        transport: carrier.name,
        extensions: typeof extensions === "string" ? extensions : Object.keys(extensions).join(),
        recovered: socket.recovered || false,
        engine: socket.conn.id,
        namespace: namespace.name,
      });
    });
    socket.on("echo", (...args) => args.pop()(...args));
    socket.on("echo event", (...args) => socket.emit("echo back", ...args));
    socket.on("count", (count) => {
      for (let number = 0; number < count; number++) {
        socket.emit("number", number);
      }
    });
    socket.on("collect", (...args) => collecting.push(args.length === 1 ? args[0] : args));
    socket.on("collected", (acknowledge) => acknowledge(collecting.splice(0)));
    socket.on("sizes", (acknowledge) => acknowledge(collecting.splice(0).map((value) => value.length)));
    socket.on("ask me", (number, acknowledge) => socket.emit("question", number, (...answer) => acknowledge(answer)));
    socket.on("ask me briefly", (acknowledge) => {
      socket.timeout(30).emit("question", 0, (error) => acknowledge(error ? error.message : "answered"));
    });
    socket.on("say nothing", () => {});
    socket.on("message", (...args) => socket.send(...args));
    socket.on("broadcast", (...args) => namespace.emit("news", ...args));
    socket.on("volatile me", (count, acknowledge) => {
      for (let number = 0; number < count; number++) {
        socket.volatile.emit("maybe", number);
      }
      acknowledge(true);
    });
    socket.on("volatile text", (text, acknowledge) => {
      socket.volatile.emit("maybe", text);
      acknowledge(true);
    });
    socket.on("connections", (acknowledge) => acknowledge(io.engine.clientsCount));
    socket.on("cookies", (acknowledge) => acknowledge(web.cookies.get(socket.conn.id) || []));
    socket.on("join", (room, acknowledge) => {
      socket.join(room);
      acknowledge(true);
    });
    socket.on("disconnect me", (close) => socket.disconnect(close));
    socket.on("cut", () => web.cut());
    // What happens while nobody is connected: events to the room, then the server lets clients in again.
    socket.on("cut and tell", (room, ...names) => {
      web.cut();
      setTimeout(() => {
        for (const name of names) {
          io.to(room).emit(name, `about ${name}`, Buffer.from([7]));
        }
      }, 20);
    });
    socket.on("restart", () => web.restart());
  }

  function checkToken(socket, next) {
    const { auth, query } = socket.handshake;
    if ((auth && auth.token) === "s3cret" || query.token === "s3cret") {
      return next();
    }
    const error = new Error("not authorized");
    error.data = { retry: false, codes: [1, 2] };
    next(error);
  }

  for (const name of ["/", "/second", "/third"]) {
    io.of(name).on("connection", connected);
  }
  io.of("/private").use(checkToken).on("connection", connected);
}

class Web {
  constructor(tls) {
    this.server = tls ? https.createServer(tls) : http.createServer();
    this.sockets = new Set();
    this.cookies = new Map();
    this.server.on(tls ? "secureConnection" : "connection", (socket) => {
      this.sockets.add(socket);
      socket.on("close", () => this.sockets.delete(socket));
    });
  }

  // Behind whoever takes the listeners of the server over.
  noteCookies() {
    const note = (request) => {
      const sid = new URL(request.url, "http://x").searchParams.get("sid");
      if (sid) {
        this.cookies.set(sid, (this.cookies.get(sid) || []).concat(request.headers.cookie || ""));
      }
    };
    this.server.prependListener("request", note).prependListener("upgrade", note);
  }

  listen(port = 0) {
    return new Promise((resolve) => this.server.listen(port, "127.0.0.1", () => resolve(this.server.address().port)));
  }

  cut() {
    for (const socket of this.sockets) {
      socket.destroy();
    }
  }

  restart() {
    const { port } = this.server.address();
    this.server.close(() => setTimeout(() => this.listen(port), RESTART_MS));
    this.cut();
  }
}

function socketServer(name, options = {}, tls = undefined) {
  const web = new Web(tls);
  const made = require(name);
  const Server = made.Server || made;
  const io = new Server(web.server, { serveClient: false, ...options });
  handlers(io, web);
  web.noteCookies();
  if (options.sticky) {
    io.engine.on("initial_headers", (headers) => {
      headers["set-cookie"] = ["sticky=node1; Path=/; HttpOnly", "other=2; Path=/elsewhere"];
    });
  }
  return web.listen();
}

function engineServer(name, options) {
  const web = new Web();
  const server = engineOf(name).attach(web.server, { pingInterval: 300, pingTimeout: 5000, ...options });
  server.on("connection", (session) => {
    session.on("message", (data) => {
      if (typeof data !== "string") {
        session.send(data);
        return;
      }
      const [command, ...rest] = data.split(" ");
      const text = rest.join(" ");
      if (command === "echo") {
        session.send(text);
      } else if (command === "count") {
        for (let number = 0; number < Number(text); number++) {
          session.send(`count ${number}`);
        }
      } else if (command === "transport") {
        session.send(session.transport.name);
      } else if (command === "close") {
        session.send("farewell");
        session.close();
      } else if (command === "cut") {
        web.cut();
      }
    });
  });
  return web.listen();
}

async function main(certificate, key) {
  const compression = { threshold: 64 };
  const ports = {
    v4: await socketServer("socket.io", { perMessageDeflate: compression, sticky: true }),
    v3: await socketServer("ss3"),
    v2: await socketServer("ss2"),
    v1: await socketServer("ss1"),
    recovery: await socketServer("socket.io", { connectionStateRecovery: {} }),
    msgpack: await socketServer("socket.io", { parser: require("socket.io-msgpack-parser") }),
    // What a client may send at once, and heartbeats that come often.
    small: await socketServer("socket.io", { maxHttpBufferSize: 5000, pingInterval: 100, pingTimeout: 5000 }),
    small3: await socketServer("ss2", { pingInterval: 100, pingTimeout: 5000 }),
    engine: await engineServer("socket.io", {}),
    engine3: await engineServer("ss2", {}),
  };
  if (certificate) {
    const tls = { cert: fs.readFileSync(certificate), key: fs.readFileSync(key) };
    ports.tls = await socketServer("socket.io", {}, tls);
  }
  console.log(`listening on ${JSON.stringify(ports)}`);
}

main(...process.argv.slice(2));
