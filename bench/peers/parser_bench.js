// Times socket.io-parser and engine.io-parser on the values that bench/test_codec.py sends on standard input, and
// prints the nanoseconds per operation of each round. Binary data comes as {"base64": "..."}.
"use strict";

const { Encoder, Decoder } = require("socket.io-parser");
const { encodePayload, decodePayload } = require("engine.io-parser");

const job = JSON.parse(require("node:fs").readFileSync(0, "utf8"), (key, value) =>
  value !== null && typeof value === "object" && typeof value.base64 === "string"
    ? Buffer.from(value.base64, "base64")
    : value,
);

// What operations produce ends here, so that none of it can be optimised away.
let seen = 0;

const encoder = new Encoder();
const decoder = new Decoder();
decoder.on("decoded", (packet) => {
  seen += packet.data.length;
});

const body = Buffer.from(job.payload ?? "");

const operations = {
  encode: () => {
    seen += encoder.encode({ type: 2, nsp: "/", data: job.data }).length;
  },
  decode: () => {
    decoder.add(job.text);
    for (const attachment of job.attachments) {
      decoder.add(attachment);
    }
  },
  encodePayload: () => {
    encodePayload(
      job.texts.map((data) => ({ type: "message", data })),
      (payload) => {
        seen += payload.length;
      },
    );
  },
  decodePayload: () => {
    seen += decodePayload(job.payload, "nodebuffer").length;
  },
  decodePayloadFromBuffer: () => {
    seen += decodePayload(body.toString("utf8"), "nodebuffer").length;
  },
};

function round(operation, iterations) {
  const begin = process.hrtime.bigint();
  for (let i = 0; i < iterations; i++) {
    operation();
  }
  return Number(process.hrtime.bigint() - begin) / iterations;
}

const operation = operations[job.operation];
round(operation, job.iterations); // the compiler of the engine warms up
const nanoseconds = Array.from({ length: job.rounds }, () => round(operation, job.iterations));
if (seen === 0) {
  throw new Error("nothing was done");
}
console.log(JSON.stringify({ nanoseconds }));
