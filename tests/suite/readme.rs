//! The README's Python, run as it is printed there: what a user copies must not lose an outcome while the daemon is
//! away. It refuses to know what the text around the code says.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use super::calls::{insights, task};
use super::catalogues;
use super::harness::Home;

const README: &str = include_str!("../../README.md");

/// What the README leaves to the reader: a ticket, a call of a model, a place for later. `BASE` is where the daemon is.
const REST: &str = r#"
import sys
from types import SimpleNamespace
ask.__defaults__ = (sys.argv[1],)
def call_the_model(model, ticket):
    return SimpleNamespace(parsed_ok=True, input_tokens=10, output_tokens=2, latency_ms=5)
def keep_for_later(outcome):
    print("kept", outcome.get("decision_id"), outcome.get("model"), outcome.get("goal_id"))
try:
    classify(SimpleNamespace(id="ticket-1"))
    print("done")
except ValueError as wrong:
    print("refused:", wrong)
"#;

/// The README's code with the rest, run against `base`; what it printed.
fn classify(base: &str) -> String {
    let code = README.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a Python block");
    let run = Command::new("python3").args(["-c", &format!("{code}{REST}"), base]).output().expect("python3 runs");
    let said = String::from_utf8(run.stderr).unwrap();
    assert!(run.status.success(), "{said}");
    String::from_utf8(run.stdout).unwrap()
}

/// Reads one request and answers it.
fn answer(stream: TcpStream, (status, body): (u16, &str)) {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(told) = line.to_lowercase().strip_prefix("content-length:") {
            length = told.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    reader.read_exact(&mut vec![0; length]).unwrap();
    let head = format!("HTTP/1.1 {status} -\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    reader.get_mut().write_all((head + body).as_bytes()).unwrap();
}

/// What the README's code does where its requests are answered so, one after the other.
fn against(answers: &'static [(u16, &'static str)]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    // Not waited for: code that asks less often than it should must fail by what it prints.
    thread::spawn(move || answers.iter().for_each(|told| answer(listener.accept().unwrap().0, *told)));
    classify(&base)
}

const DECIDED: &str = r#"{"decision_id": "d_1", "proceed": true, "model": "a/b"}"#;
const WRONG: &str = r#"{"detail": "task_type is required"}"#;
const ROUTED_ELSEWHERE: &str = "kept None openai/gpt-4o ticket-1\ndone\n";

#[test]
fn the_python_of_the_readme_loses_no_outcome_to_a_stopping_or_loaded_daemon() {
    assert_eq!(against(&[(503, WRONG), (503, WRONG)]), ROUTED_ELSEWHERE);
    assert_eq!(against(&[(429, WRONG), (504, WRONG)]), ROUTED_ELSEWHERE);
    assert_eq!(classify("http://127.0.0.1:1"), ROUTED_ELSEWHERE, "nobody answers");
    assert_eq!(against(&[(200, DECIDED), (503, WRONG)]), "kept d_1 None None\ndone\n");
    assert_eq!(against(&[(200, DECIDED), (429, WRONG)]), "kept d_1 None None\ndone\n");
}

#[test]
fn the_python_of_the_readme_tells_a_wrong_request() {
    assert_eq!(against(&[(400, WRONG)]), "refused: task_type is required\n");
    assert_eq!(against(&[(200, DECIDED), (404, WRONG)]), "refused: task_type is required\n");
}

#[tokio::test]
async fn the_python_of_the_readme_works_with_a_daemon_and_goes_on_without() {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start();
    let base = format!("http://{}", daemon.address);
    assert_eq!(classify(&base), "done\n");
    let report = insights(&mut daemon.insights().await).await;
    assert_eq!((report.calls, task(&report, "ticket_classification").successes), (1, 1));
    daemon.stop().await;
    assert_eq!(classify(&base), ROUTED_ELSEWHERE);
}
