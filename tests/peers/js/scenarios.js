"use strict";

// Runs scenarios one after the other and prints what each saw, a JSON line per scenario. The Python tests judge it.

const TIMEOUT = 10_000;

async function runScenarios(scenarios) {
  for (const [scenario, run] of Object.entries(scenarios)) {
    let result;
    try {
      result = await within(run(), scenario);
    } catch (error) {
      result = { failed: String(error && error.stack ? error.stack : error) };
    }
    console.log(JSON.stringify({ scenario, result }));
  }
  process.exit(0);
}

function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing happened for ${TIMEOUT} ms`)), TIMEOUT);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function next(emitter, event) {
  return new Promise((resolve) => emitter.once(event, (...args) => resolve(args)));
}

module.exports = { next, runScenarios };
