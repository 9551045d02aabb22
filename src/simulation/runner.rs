//! Replications over all cores. What comes out does not depend on how many there are.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// `run(0)`, `run(1)`, … `run(count − 1)` in this order, computed on all cores; `done` is called after each.
pub fn replicate<T: Send>(count: usize, run: impl Fn(usize) -> T + Sync, done: impl Fn() + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let cores = thread::available_parallelism().map_or(1, usize::from).min(count.max(1));
    let work = || {
        let mut own = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return own;
            }
            own.push((number, run(number)));
            done();
        }
    };
    let mut all: Vec<(usize, T)> = thread::scope(|scope| {
        let workers: Vec<_> = (1..cores).map(|_| scope.spawn(work)).collect();
        let mut all = work();
        for worker in workers {
            match worker.join() {
                Ok(own) => all.extend(own),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    });
    all.sort_unstable_by_key(|(number, _)| *number);
    all.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_whoever_computes_them() {
        let done = AtomicUsize::new(0);
        let squares = replicate(
            100,
            |n| n * n,
            || {
                done.fetch_add(1, Ordering::Relaxed);
            },
        );
        assert_eq!(squares, (0..100).map(|n| n * n).collect::<Vec<_>>());
        assert_eq!(done.into_inner(), 100);
        assert!(replicate(0, |n| n, || ()).is_empty());
    }
}
