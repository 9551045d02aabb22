//! How fast it is. Not a check: prints figures (`cargo test --release -- --ignored --nocapture speed`).

use std::thread;
use std::time::Instant;

use super::*;

#[test]
#[ignore = "a measurement, for a release build"]
fn speed() {
    for writers in [1, 64, 256] {
        for oneshot in [true, false] {
            let dir = tempfile::tempdir_in(".").unwrap();
            let (journal, _) = Journal::open(dir.path(), JournalOptions::default()).unwrap();
            let each = 200_000 / writers.max(20);
            let work = || {
                let mut times_us = Vec::new();
                for _ in 0..each {
                    let start = Instant::now();
                    let seq = journal.append(&[b'x'; 120]).unwrap();
                    if oneshot {
                        journal.commit_waiter().wait().unwrap();
                    } else {
                        journal.wait_synced_blocking(seq, PATIENCE).unwrap();
                    }
                    times_us.push(start.elapsed().as_micros());
                }
                times_us
            };
            let start = Instant::now();
            let mut times_us: Vec<u128> = thread::scope(|scope| {
                let threads: Vec<_> = (0..writers).map(|_| scope.spawn(work)).collect();
                threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
            });
            let seconds = start.elapsed().as_secs_f64();
            journal.shutdown(PATIENCE).unwrap();
            times_us.sort_unstable();
            let groups = frames(&segment_paths(dir.path())[0]).len();
            println!(
                "{writers} writers, {}: {:.0} acknowledged/s, p50 {} us, p99 {} us, {:.1} events a group",
                if oneshot { "waiter" } else { "blocking" },
                times_us.len() as f64 / seconds,
                times_us[times_us.len() / 2],
                times_us[times_us.len() * 99 / 100],
                times_us.len() as f64 / groups as f64,
            );
        }
    }
}
