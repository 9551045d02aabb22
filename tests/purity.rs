//! The domain and the engine do no I/O and know no wire, clock or ambient chance: a test reads their sources.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::fs;
use std::path::{Path, PathBuf};

/// What the pure half may not even name.
const FORBIDDEN: &[&str] = &[
    "tokio",
    "tonic",
    "sled",
    "axum",
    "prost",
    "serde",
    "async ",
    ".await",
    "std::fs",
    "std::net",
    "std::io",
    "std::env",
    "std::thread",
    "SystemTime",
    "Instant",
    "rand::rng(",
    "thread_rng",
    "crate::wire",
    "crate::service",
    "crate::journal",
    "crate::state",
    "crate::grpc",
    "crate::http",
    "crate::config",
    "crate::cli",
    "crate::daemon",
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") && !is_test(&path) {
            found.push(path);
        }
    }
}

/// Tests may build what they need.
fn is_test(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| stem.to_string_lossy().starts_with("tests"))
}

/// Code without comments: what a comment says is not an import.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or(""));
    lines.collect::<Vec<_>>().join("\n")
}

fn offences(dir: &str, forbidden: &[&str]) -> Vec<String> {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(dir), &mut files);
    assert!(!files.is_empty(), "no sources in src/{dir}");
    let mut found = Vec::new();
    for file in files {
        let code = code(&file);
        found.extend(forbidden.iter().filter(|w| code.contains(**w)).map(|w| format!("{} names {w}", file.display())));
    }
    found
}

#[test]
fn domain_engine_and_insights_are_pure() {
    assert_eq!(offences("domain", FORBIDDEN), Vec::<String>::new());
    assert_eq!(offences("engine", FORBIDDEN), Vec::<String>::new());
    assert_eq!(offences("insights", FORBIDDEN), Vec::<String>::new());
}

#[test]
fn the_domain_does_not_know_the_engine() {
    assert_eq!(offences("domain", &["crate::engine", "crate::insights"]), Vec::<String>::new());
}

#[test]
fn the_edges_do_not_see_each_other() {
    assert_eq!(
        offences("grpc", &["crate::http", "crate::engine", "crate::state", "crate::journal"]),
        Vec::<String>::new()
    );
    assert_eq!(
        offences("http", &["crate::grpc", "crate::engine", "crate::state", "crate::journal"]),
        Vec::<String>::new()
    );
}
