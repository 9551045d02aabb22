//! A goal with ten thousand calls, and one with ten thousand goals below it: what one more costs to store.

use std::time::Instant;

use crate::domain::call::{CallNo, Order};
use crate::domain::goal::{Goal, ThreadEntry, ThreadVerdict};
use crate::domain::time::UnixMillis;
use crate::engine::hydrate::ColdStore as _;
use crate::state::{Opened, SledStore};

const MANY: u64 = 10_000;

fn entry(n: u64) -> ThreadEntry {
    let number = CallNo((1 << 40) + n * 3);
    let order = Order { at: UnixMillis(1_795_000_000_000 + n as i64 * 700), decision: number, attempt: 0, number };
    let step_key = (n % 7 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ThreadEntry { order, step_key, verdict: ThreadVerdict::Succeeded }
}

fn big(entries: u64, children: u64) -> Goal {
    let mut goal = Goal { opened_at: UnixMillis(1_795_000_000_000), ..Goal::default() };
    goal.thread.entries = (0..entries).map(entry).collect();
    goal.children = (0..children).map(|n| format!("ticket-{n:08}").into()).collect();
    goal
}

/// One more call is one more record or two, however many there are; and the goal comes back whole.
#[test]
fn a_call_more_of_a_goal_with_many_writes_little() {
    let dir = tempfile::tempdir().unwrap();
    let store = SledStore::open(dir.path()).unwrap().store;
    let mut state = Opened::blank();
    for (name, goal) in [("calls", big(MANY, 3)), ("below", big(5, MANY)), ("both", big(MANY, MANY))] {
        state.change_goal(&name.into(), |g| *g = goal);
        let first = store.prepare(&mut state).unwrap();
        store.commit(first).unwrap();
        state.change_goal(&name.into(), |g| {
            g.thread.set(entry(MANY));
            g.children.push("one more".into());
        });
        let stored: Vec<_> = store.db.iter().map(Result::unwrap).collect();
        let before = Instant::now();
        let checkpoint = store.prepare(&mut state).unwrap();
        let prepared = before.elapsed();
        let committed = store.commit(checkpoint).unwrap();
        println!("{name}: prepared in {prepared:?}, committed in {:?}", before.elapsed() - prepared);
        // Where the standing of the record is, the goal, and at most a part that became whole.
        let changed: Vec<_> = store.db.iter().map(Result::unwrap).filter(|record| !stored.contains(record)).collect();
        let bytes: usize = changed.iter().map(|(_, value)| value.len()).sum();
        println!("{name}: {} records of {bytes} bytes written", changed.len());
        assert!((2..=3).contains(&changed.len()) && bytes < 1_000, "{} records of {bytes} bytes", changed.len());
        store.evict_to(&mut state, committed, 0);
        let before = Instant::now();
        let whole = store.goal(name).unwrap();
        println!("{name}: read in {:?}", before.elapsed());
        let mut wanted = if name == "below" { big(5, MANY) } else { big(MANY, if name == "calls" { 3 } else { MANY }) };
        wanted.thread.set(entry(MANY));
        wanted.children.push("one more".into());
        assert!(whole == wanted, "{name}");
    }
}
