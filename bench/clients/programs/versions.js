// Prints the versions of what node_client.js runs on; fails where it can't run.
"use strict";

const fs = require("node:fs");
const path = require("node:path");

function version(name) {
  // Not require(): a package may not export its package.json.
  const folder = require.resolve.paths(name).map((each) => path.join(each, name, "package.json"));
  return JSON.parse(fs.readFileSync(folder.find(fs.existsSync), "utf8")).version;
}

const versions = ["socket.io-client", "ws"].map((name) => `${name} ${version(name)}`);
console.log([...versions, `Node.js ${process.version.slice(1)}`].join(", "));
