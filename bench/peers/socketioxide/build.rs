//! Hands the versions in Cargo.lock, and the compiler's, to the program.

use std::process::Command;
use std::{env, fs};

fn locked(lock: &str, name: &str) -> String {
    let start = format!("name = \"{name}\"\nversion = \"");
    let (_, rest) = lock.split_once(&start).expect("Cargo.lock names every dependency");
    let (version, _) = rest.split_once('"').expect("a version ends with its quote");
    format!("{name} {version}")
}

fn compiler() -> String {
    let rustc = env::var_os("RUSTC").expect("Cargo sets RUSTC");
    let said = Command::new(rustc).arg("--version").output().expect("rustc runs");
    let words = String::from_utf8(said.stdout).expect("rustc speaks UTF-8");
    words.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

fn main() {
    println!("cargo::rerun-if-changed=Cargo.lock");
    let lock = fs::read_to_string("Cargo.lock").expect("Cargo.lock lies beside this file");
    let versions = ["socketioxide", "axum", "tokio"].map(|name| locked(&lock, name));
    println!("cargo::rustc-env=PEER_VERSIONS={}, {}", versions.join(", "), compiler());
}
