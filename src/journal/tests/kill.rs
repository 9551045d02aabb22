//! SIGKILL at any moment: acknowledged ⊆ stored ⊆ sent, and the journal opens by itself.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use super::*;

const DIR: &str = "ODDSMAKER_TEST_JOURNAL_DIR";

/// Not a test: the process that gets killed. Writes the number of every event it sent and every one acknowledged.
#[test]
fn child() {
    let Some(dir) = env::var_os(DIR) else { return };
    let (journal, _) = open_small(Path::new(&dir));
    let mut out = std::io::stdout().lock();
    loop {
        let first = journal.synced_seq() + 1;
        let payloads: Vec<_> = (first..first + 3).map(payload).collect();
        let slices: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
        writeln!(out, "\nsent {}", first + 2).unwrap();
        assert_eq!(journal.append_all(&slices).unwrap(), first);
        journal.wait_synced_blocking(first + 2, PATIENCE).unwrap();
        writeln!(out, "\nacknowledged {}", first + 2).unwrap();
    }
}

/// Lets the child run for that many lines, kills it, and returns the highest numbers sent and acknowledged.
fn run_and_kill(dir: &Path, lines: usize) -> (u64, u64) {
    let name = format!("{}::child", module_path!().split_once("::").unwrap().1);
    let mut child = Command::new(env::current_exe().unwrap())
        .args([&name, "--exact", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut sent, mut acknowledged) = (0, 0);
    let mut note = |line: &str| {
        if let Some(seq) = line.strip_prefix("sent ") {
            sent = seq.parse().unwrap_or(sent);
        } else if let Some(seq) = line.strip_prefix("acknowledged ") {
            acknowledged = seq.parse().unwrap_or(acknowledged);
        }
    };
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    output.by_ref().take(lines).for_each(|line| note(&line.unwrap()));
    child.kill().unwrap();
    output.for_each(|line| note(&line.unwrap()));
    child.wait().unwrap();
    (sent, acknowledged)
}

#[test]
fn a_killed_process_loses_nothing_acknowledged() {
    let rounds: usize = env::var("ODDSMAKER_TEST_KILLS").map_or(20, |rounds| rounds.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let mut total = 0;
    for round in 0..rounds {
        let (sent, acknowledged) = run_and_kill(dir.path(), round * 37 % 211);
        let stored = {
            let (_journal, report) = open_small(dir.path());
            report.last_seq
        };
        let (sent, acknowledged) = (sent.max(total), acknowledged.max(total));
        assert!((acknowledged..=sent).contains(&stored), "round {round}: {acknowledged} {stored} {sent}");
        assert_eq!(stored % 3, 0, "round {round}: a torn batch");
        assert_eq!(read_all(dir.path()), expected(stored), "round {round}");
        total = stored;
    }
    assert!(total > 100, "the child did not get to work: {total}");
}
