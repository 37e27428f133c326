"use strict";

// Everything that comes from the server or from people reaches the page as text, never as HTML.

const MAX_IMAGE = 512 * 1024;
const MAX_LINES = 300;
const IMAGE_TYPES = ["image/png", "image/jpeg", "image/gif", "image/webp"];
const ACK_TIMEOUT = 5000;

const $ = (id) => document.getElementById(id);

const rooms = new Map(); // name -> {log, people, unread}
let current = null;
let socket = null;

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// ---- connection ----

function enter(name) {
  socket = io({ auth: { name }, transports: ["polling", "websocket"] });

  socket.on("connect", () => {
    $("welcome").hidden = true;
    $("chat").hidden = false;
    showState("online", "connected");
    watchTransport(socket.io.engine);
    // After a lost connection the server knows us as somebody new: join again what we were in.
    const wanted = rooms.size ? [...rooms.keys()] : ["lobby"];
    wanted.forEach((room) => join(room, current === null || room === current));
  });

  socket.on("disconnect", (reason) => {
    showState("waiting", reason === "io server disconnect" ? "closed by the server" : "reconnecting…");
    $("transport").hidden = true;
    for (const room of rooms.values()) room.people = [];
    renderPeople();
    if (reason === "io server disconnect") showState("offline", "closed by the server");
  });

  socket.on("connect_error", (error) => {
    if (socket.active) {
      showState("waiting", "reconnecting…");
      return;
    }
    // The server refused us: `error.message` is what its middleware said.
    showState("offline", "not connected");
    $("welcome").hidden = false;
    $("chat").hidden = true;
    $("name-error").textContent = error.message;
  });

  socket.on("message", (said) => {
    const line = element("li", said.id === socket.id ? "said mine" : "said");
    line.append(element("span", "who", said.name), element("span", "text", said.text));
    add(said.room, line);
  });

  socket.on("image", (said, data) => {
    if (!IMAGE_TYPES.includes(said.type) || !(data instanceof ArrayBuffer)) return;
    const picture = element("img");
    picture.alt = `Image from ${said.name}`;
    picture.addEventListener("load", () => follow(said.room));
    picture.src = URL.createObjectURL(new Blob([data], { type: said.type }));
    const line = element("li", said.id === socket.id ? "said mine" : "said");
    line.append(element("span", "who", said.name), picture);
    add(said.room, line);
  });

  socket.on("joined", (room, name) => add(room, element("li", "note", `${name} joined`)));
  socket.on("left", (room, name) => add(room, element("li", "note", `${name} left`)));

  socket.on("people", (name, people) => {
    const room = rooms.get(name);
    if (room) room.people = people;
    renderPeople();
  });
}

function watchTransport(engine) {
  showTransport(engine.transport.name);
  engine.on("upgrade", (transport) => showTransport(transport.name));
}

function showTransport(name) {
  $("transport").hidden = false;
  $("transport").dataset.transport = name;
  $("transport").textContent = name;
}

function showState(state, text) {
  $("state").dataset.state = state;
  $("state").textContent = text;
}

// Resolves to what the server answered; to {error} if it refused or did not answer.
async function ask(event, ...args) {
  try {
    return await socket.timeout(ACK_TIMEOUT).emitWithAck(event, ...args);
  } catch {
    return { error: "The server did not answer." };
  }
}

// ---- rooms ----

async function join(name, show) {
  const answer = await ask("join", name);
  $("room-error").textContent = answer.error || "";
  if (answer.error) return;
  if (!rooms.has(answer.room)) {
    const log = element("ol");
    log.hidden = true;
    $("logs").append(log);
    rooms.set(answer.room, { log, people: [], unread: 0 });
  }
  rooms.get(answer.room).people = answer.people;
  if (show) switchTo(answer.room);
  renderRooms();
  renderPeople();
}

async function leave(name) {
  const answer = await ask("leave", name);
  if (answer.error) {
    notice(answer.error);
    return;
  }
  const room = rooms.get(name);
  if (!room) return;
  room.log.querySelectorAll("img").forEach((picture) => URL.revokeObjectURL(picture.src));
  room.log.remove();
  rooms.delete(name);
  if (current === name) switchTo(rooms.keys().next().value ?? null);
  renderRooms();
}

function switchTo(name) {
  current = name;
  for (const [each, room] of rooms) room.log.hidden = each !== name;
  if (name !== null) rooms.get(name).unread = 0;
  $("title").textContent = name === null ? "You are in no room" : `# ${name}`;
  $("leave").hidden = name === null;
  $("message-form").querySelectorAll("input, button").forEach((field) => { field.disabled = name === null; });
  notice("");
  renderRooms();
  renderPeople();
  follow(name);
}

function renderRooms() {
  const items = [...rooms].map(([name, room]) => {
    const button = element("button", "", `# ${name}`);
    button.type = "button";
    button.setAttribute("aria-current", String(name === current));
    if (room.unread) button.append(element("span", "", String(room.unread)));
    button.addEventListener("click", () => switchTo(name));
    const item = element("li");
    item.append(button);
    return item;
  });
  $("rooms").replaceChildren(...items);
}

function renderPeople() {
  const people = rooms.get(current)?.people ?? [];
  const items = people.map(([id, name]) => element("li", "", id === socket.id ? `${name} (you)` : name));
  $("people").replaceChildren(...items);
}

// ---- messages ----

function add(name, line) {
  const room = rooms.get(name);
  if (!room) return;
  room.log.append(line);
  while (room.log.childElementCount > MAX_LINES) {
    const oldest = room.log.firstElementChild;
    oldest.querySelectorAll("img").forEach((picture) => URL.revokeObjectURL(picture.src));
    oldest.remove();
  }
  if (name === current) {
    follow(name);
  } else if (line.classList.contains("said")) {
    room.unread += 1;
    renderRooms();
  }
}

function follow(name) {
  if (name === current) $("logs").scrollTop = $("logs").scrollHeight;
}

function notice(text) {
  $("notice").textContent = text;
}

async function sendImage(file) {
  if (!IMAGE_TYPES.includes(file.type)) {
    notice("Only PNG, JPEG, GIF and WebP images can be sent.");
  } else if (file.size > MAX_IMAGE) {
    notice(`That image is larger than ${MAX_IMAGE / 1024} KiB.`);
  } else {
    notice("");
    const answer = await ask("image", current, await file.arrayBuffer());
    if (answer.error) notice(answer.error);
  }
}

// ---- what people do ----

$("name-form").addEventListener("submit", (event) => {
  event.preventDefault();
  $("name-error").textContent = "";
  if (typeof io === "undefined") {
    $("name-error").textContent = "The browser bundle is missing on the server: open /socket.io/socket.io.js to see what to do.";
    return;
  }
  if (socket) socket.disconnect();
  showState("waiting", "connecting…");
  enter($("name").value.trim());
});

$("room-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = $("room").value.trim();
  $("room").value = "";
  if (name) join(name, true);
});

$("leave").addEventListener("click", () => leave(current));

$("message-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = $("message").value.trim();
  if (!text || current === null) return;
  $("message").value = "";
  const answer = await ask("message", current, text);
  notice(answer.error || "");
  if (answer.error && !$("message").value) $("message").value = text;
});

$("image").addEventListener("change", async () => {
  const [file] = $("image").files;
  $("image").value = "";
  if (file && current !== null) await sendImage(file);
});
