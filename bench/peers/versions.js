// Prints the versions of what node_server.js runs on; fails where it can't run.
"use strict";

const packages = ["socket.io", "ws"];
const versions = packages.map((name) => `${name} ${require(`${name}/package.json`).version}`);
console.log([...versions, `Node.js ${process.version.slice(1)}`].join(", "));
