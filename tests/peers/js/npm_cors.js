// npm's cors on a table of cases: prints the status and the CORS headers of each answer.
"use strict";

const { readFileSync } = require("node:fs");
const cors = require("cors");

class Answer {
  constructor() {
    this.statusCode = 200;
    this.headers = {};
  }
  getHeader(name) {
    return this.headers[name.toLowerCase()];
  }
  setHeader(name, value) {
    this.headers[name.toLowerCase()] = String(value);
  }
  end() {}
}

function revive(options) {
  const toOrigin = (origin) => (origin && origin.regexp ? new RegExp(origin.regexp) : origin);
  const origin = Array.isArray(options.origin) ? options.origin.map(toOrigin) : toOrigin(options.origin);
  return { ...options, origin };
}

const { configurations, cases } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const middlewares = Object.fromEntries(
  Object.entries(configurations).map(([name, options]) => [name, cors(revive(options))]),
);
for (const { scenario, configuration, method, headers } of cases) {
  const answer = new Answer();
  middlewares[configuration]({ method, headers }, answer, () => {});
  delete answer.headers["content-length"];
  console.log(JSON.stringify({ scenario, result: { status: answer.statusCode, headers: answer.headers } }));
}
