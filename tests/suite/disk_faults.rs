//! A disk that refuses to sync, or takes its time. The system calls of the built program are bent by strace: a failed sync
//! of the record ends the daemon, a failed sync of the store does not, a slow one sheds what it cannot keep up with.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use oddsmaker::wire::pb;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::calls::{elsewhere, insights};
use super::catalogues;
use super::harness::{Daemon, Home};

/// The command that serves `home` with bent system calls; `None`, said aloud: they cannot be bent here. The daemon is the
/// direct child, strace a process beside it that ends with it.
fn bent(home: &Home, how: &str, more: &[&str]) -> Option<Command> {
    let strace = |program: &mut Command| {
        program.args(["-D", "-f", "-qq", "-o", "/dev/null"]).args(["-e", "trace=fsync,fdatasync", "-e", how]);
    };
    let mut probe = Command::new("strace");
    strace(&mut probe);
    let tried = probe.arg("true").stdin(Stdio::null()).output();
    if !tried.as_ref().is_ok_and(|done| done.status.success()) {
        println!("SKIPPED: failing and slow syncs cannot be tried, strace may not trace here: {tried:?}");
        return None;
    }
    let serve = home.serve();
    let mut command = Command::new("strace");
    strace(&mut command);
    command.arg(serve.get_program()).args(serve.get_args()).args(more);
    command.current_dir(home.data().parent().unwrap()).env_clear().stdin(Stdio::null());
    Some(command)
}

#[tokio::test]
async fn a_failed_sync_of_the_record_ends_the_daemon_and_is_never_retried() {
    let home = Home::new(&catalogues::usual());
    // Counted by thread: the tenth sync of the thread that commits fails, and only that one.
    let Some(command) = bent(&home, "inject=fdatasync:error=EIO:when=10", &[]) else { return };
    let daemon = Daemon::start(command).unwrap();
    let mut router = daemon.router().await;
    let (mut acknowledged, mut refused) = (0_u64, 0);
    for _ in 0..50 {
        match router.record_outcome(elsewhere("single", "gpt-4o", true)).await {
            Ok(_) => {
                assert_eq!(refused, 0, "nothing is acknowledged after the failure");
                acknowledged += 1;
            }
            Err(status) => {
                assert_eq!(status.code(), Code::Unavailable, "{status:?}");
                refused += 1;
            }
        }
    }
    assert!(acknowledged > 0 && refused > 0, "{acknowledged} acknowledged, {refused} refused");
    let (status, said) = daemon.end().await;
    assert!(!status.success() && status.code().is_some(), "{status}");
    assert!(said.contains("can no longer be written") && said.contains("nput/output error"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    let daemon = home.start();
    let stored = insights(&mut daemon.insights().await).await.calls;
    assert!((acknowledged..=acknowledged + 1).contains(&stored), "{acknowledged} acknowledged, {stored} stored");
    daemon.stop().await;
    let verified = home.run("verify");
    assert!(verified.status.success(), "{verified:?}");
}

#[tokio::test]
async fn a_failed_sync_of_the_store_costs_nothing() {
    let home = Home::new(&catalogues::usual());
    let often = ["--set", "ledger.checkpoint_interval=10ms"];
    let Some(command) = bent(&home, "inject=fsync:error=EIO:when=30", &often) else { return };
    let daemon = Daemon::start(command).unwrap();
    let mut router = daemon.router().await;
    let mut acknowledged = 0_u64;
    let (mut failed, until) = (false, Instant::now() + Duration::from_secs(60));
    // Until it has failed and is taken again.
    loop {
        match router.record_outcome(elsewhere("single", "gpt-4o", true)).await {
            Ok(_) => {
                acknowledged += 1;
                if failed {
                    break;
                }
            }
            Err(status) => {
                assert_eq!(status.code(), Code::Unavailable, "{status:?}");
                failed = true;
            }
        }
        assert!(Instant::now() < until, "failed: {failed}, {acknowledged} acknowledged");
    }
    assert_eq!(insights(&mut daemon.insights().await).await.calls, acknowledged);
    let (status, said) = daemon.stop().await;
    assert!(status.success() && said.contains("the store is open again"), "{said}");
    let verified = home.run("verify");
    assert!(verified.status.success(), "{verified:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_disk_sheds_and_keeps_its_word() {
    const CALLERS: u64 = 2_000;
    const PEAK_KIB: u64 = 512 << 10;
    let home = Home::new(&catalogues::usual());
    let small = ["--set", "ledger.max_pending_bytes=65536"];
    let Some(command) = bent(&home, "inject=fdatasync:delay_enter=50000", &small) else { return };
    let daemon = Daemon::start(command).unwrap();
    let router = daemon.router().await;
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        let mut router = router.clone();
        callers.push(tokio::spawn(async move {
            // Events of two kilobytes: some thirty of them are as much as may wait for a sync.
            let evidence = Some("e".repeat(2_000));
            let outcome = pb::RecordOutcomeRequest { evidence, ..elsewhere("single", "gpt-4o", true) };
            let mut request = tonic::Request::new(outcome);
            request.set_timeout(Duration::from_secs(20));
            let began = Instant::now();
            (router.record_outcome(request).await, began.elapsed())
        }));
    }
    let (mut acknowledged, mut shed) = (0, 0);
    for caller in callers {
        let (answer, took) = caller.await.unwrap();
        assert!(took < Duration::from_secs(25), "answered within the deadline: {took:?}");
        match answer {
            Ok(_) => acknowledged += 1,
            Err(status) => {
                assert_eq!(status.code(), Code::Unavailable, "{status:?}");
                let again = status.get_details_retry_info().and_then(|info| info.retry_delay);
                assert!(again.is_some(), "it says when to try again: {status:?}");
                shed += 1;
            }
        }
    }
    println!("{acknowledged} acknowledged, {shed} shed at 50 ms a sync");
    assert!(acknowledged > 0 && shed > 0, "{acknowledged} acknowledged, {shed} shed");
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    let peak: u64 = peak.expect("a peak of memory");
    assert!(peak < PEAK_KIB, "{peak} KiB at the peak");
    assert_eq!(insights(&mut daemon.insights().await).await.calls, acknowledged, "what was shed is not counted");
    let (status, said) = daemon.stop().await;
    assert!(status.success(), "{said}");
}
