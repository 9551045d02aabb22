//! A disk without room, and a limit on the size of files: nothing is acknowledged that is not stored, reads go on, a start
//! succeeds, and everything recovers by itself when there is room again. The room is that of a small tmpfs.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use oddsmaker::wire::pb;
use tonic::Code;

use super::calls::{Router, ask, elsewhere, in_goal, insights, outcome, refused, report};
use super::catalogues;
use super::harness::{Daemon, Home};
use super::http_client;

/// Longest wait for a daemon to notice that room went or came.
const PATIENCE: Duration = Duration::from_secs(60);

/// A file system of its own under a data directory; it goes with this.
struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// `None`, said aloud: nothing can be mounted here.
    fn mount(home: &Home) -> Option<Self> {
        let at = home.data();
        std::fs::create_dir_all(&at).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=48m", "tmpfs"]).arg(&at).output();
        match mounted {
            Ok(done) if done.status.success() => Some(Self { at }),
            told => {
                println!("SKIPPED: a full disk cannot be tried, no tmpfs can be mounted here: {told:?}");
                None
            }
        }
    }

    fn ballast(&self) -> PathBuf {
        self.at.join("ballast")
    }

    /// Leaves not a byte free.
    fn fill(&self) {
        self.fill_but(0);
    }

    /// Leaves so many bytes free.
    fn fill_but(&self, left_bytes: u64) {
        let mut ballast = File::create(self.ballast()).unwrap();
        for size in [1 << 20, 4096, 1] {
            let block = vec![1_u8; size];
            while ballast.write_all(&block).is_ok() {}
        }
        let size = ballast.metadata().unwrap().len();
        ballast.set_len(size - left_bytes).unwrap();
    }

    fn free(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a daemon that a failed test leaves behind is killed a moment later.
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

/// One outcome, of a goal of its own, so that the store grows with each; whether it was acknowledged.
async fn sent(router: &mut Router) -> Result<(), tonic::Status> {
    static GOALS: AtomicU64 = AtomicU64::new(0);
    let goal_id = Some(format!("goal-{}", GOALS.fetch_add(1, Ordering::Relaxed)));
    let outcome = pb::RecordOutcomeRequest { goal_id, ..elsewhere("single", "gpt-4o", true) };
    router.record_outcome(outcome).await.map(drop)
}

/// Sends until one is refused with a message that says `why`; returns how many were acknowledged before.
async fn until_refused(router: &mut Router, why: &str) -> u64 {
    let until = Instant::now() + PATIENCE;
    let mut acknowledged = 0;
    loop {
        match sent(router).await {
            Ok(()) => acknowledged += 1,
            Err(status) => {
                assert!(status.code() == Code::ResourceExhausted && status.message().contains(why), "{status:?}");
                return acknowledged;
            }
        }
        assert!(Instant::now() < until, "{acknowledged} acknowledged, and no end");
    }
}

/// Sends until one is acknowledged; until then all must be refused so.
async fn until_taken(router: &mut Router) {
    let until = Instant::now() + PATIENCE;
    while let Err(status) = sent(router).await {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        assert!(Instant::now() < until, "{status:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn calls(daemon: &Daemon) -> u64 {
    insights(&mut daemon.insights().await).await.calls
}

/// Writes are refused over gRPC and HTTP, reads are answered.
async fn assert_reads_only(daemon: &Daemon, acknowledged: u64) {
    let mut router = daemon.router().await;
    assert_eq!(refused(router.get_policy(ask("triage")).await).0, Code::ResourceExhausted);
    assert_eq!(refused(sent(&mut router).await).0, Code::ResourceExhausted);
    let answer = http_client::post(daemon.address, "/v1/policy", r#"{"task_type":"triage"}"#);
    assert_eq!(answer.status, 429, "{}", answer.text());
    assert_eq!(http_client::get(daemon.address, "/readyz").unwrap().status, 503);
    assert_eq!(http_client::get(daemon.address, "/livez").unwrap().status, 200);
    assert_eq!(calls(daemon).await, acknowledged, "what was refused is not counted");
    let goal = pb::Filters { goal_id: Some("g".to_owned()), ..Default::default() };
    let request = pb::GetInsightsRequest { lookback_hours: Some(24.0), filters: Some(goal), ..Default::default() };
    assert_eq!(report(&mut daemon.insights().await, request).await.calls, 1, "a goal of long ago is read");
}

async fn assert_stops_whole(home: &Home, daemon: Daemon) {
    let (status, said) = daemon.stop().await;
    assert!(status.success() && !said.contains("panicked"), "{said}");
    let verified = home.run("verify");
    assert!(verified.status.success(), "{verified:?}");
}

/// One call in goal `g`, and some others.
async fn some_calls(daemon: &Daemon) -> u64 {
    let mut router = daemon.router().await;
    let decided = router.get_policy(in_goal("triage", "g", "classify")).await.unwrap().into_inner();
    router.record_outcome(outcome(&decided.decision_id.unwrap(), true)).await.unwrap();
    for _ in 0..20 {
        sent(&mut router).await.unwrap();
    }
    21
}

#[tokio::test]
async fn a_disk_that_fills_up_is_got_over() {
    let home = Home::new(&catalogues::usual());
    let Some(disk) = SmallDisk::mount(&home) else { return };
    let daemon = home.start();
    let mut router = daemon.router().await;
    let mut acknowledged = some_calls(&daemon).await;
    disk.fill();
    acknowledged += until_refused(&mut router, "disk").await;
    assert_reads_only(&daemon, acknowledged).await;
    disk.free();
    until_taken(&mut router).await;
    acknowledged += 1;
    // Once more, and this time it is told to stop while there is no room.
    disk.fill();
    acknowledged += until_refused(&mut router, "disk").await;
    let (status, said) = daemon.stop().await;
    assert!(status.success(), "{said}");
    disk.free();
    let daemon = home.start();
    assert_eq!(calls(&daemon).await, acknowledged);
    assert_stops_whole(&home, daemon).await;
}

#[tokio::test]
async fn a_start_on_a_full_disk_answers_and_recovers() {
    let home = Home::new(&catalogues::usual());
    let Some(disk) = SmallDisk::mount(&home) else { return };
    let state = home.data().join("state");
    let some_room = "after a kill, with some room left";
    for what in ["after a stop", "after a kill", some_room, "without a state", "with a broken state"] {
        let daemon = home.start();
        let before = calls(&daemon).await;
        let acknowledged = before + if before == 0 { some_calls(&daemon).await } else { 0 };
        match what {
            "after a stop" => drop(daemon.stop().await),
            _ => daemon.kill(),
        }
        match what {
            "without a state" => std::fs::remove_dir_all(&state).unwrap(),
            "with a broken state" => std::fs::write(state.join("db"), vec![7; 100_000]).unwrap(),
            _ => {}
        }
        disk.fill_but(if what == some_room { 2 << 20 } else { 0 });
        let started = Daemon::start_alive(home.serve());
        let daemon = started.unwrap_or_else(|refusal| panic!("{what}: {refusal:?}"));
        let in_memory = daemon.start_log.iter().any(|line| line.contains("everything is held in memory"));
        // sled writes when it opens: with no room at all, nothing can be had from it.
        assert_eq!(in_memory, what != some_room, "{what}: {:?}", daemon.start_log);
        assert_reads_only(&daemon, acknowledged).await;
        // Nothing was put down that a crash on the full disk would trip over.
        daemon.kill();
        let daemon = Daemon::start_alive(home.serve()).unwrap();
        assert_reads_only(&daemon, acknowledged).await;
        disk.free();
        let mut router = daemon.router().await;
        until_taken(&mut router).await;
        assert_eq!(calls(&daemon).await, acknowledged + 1, "{what}");
        assert_stops_whole(&home, daemon).await;
    }
}

#[tokio::test]
async fn a_limit_on_file_sizes_fails_the_store_and_not_the_daemon() {
    const LIMIT_BYTES: u64 = 1_310_720;
    let home = Home::new(&catalogues::usual());
    // Segments of the record stay below the limit; the file of the store grows beyond it.
    let limited = || {
        let serve = home.serve();
        let mut command = Command::new("prlimit");
        command.arg(format!("--fsize={LIMIT_BYTES}:")).arg(serve.get_program()).args(serve.get_args());
        command.args(["--set", "ledger.segment_bytes=1048576", "--set", "ledger.checkpoint_interval=10ms"]);
        command.current_dir(home.data().parent().unwrap()).env_clear().stdin(std::process::Stdio::null());
        command
    };
    if !Command::new("prlimit").arg("--version").output().is_ok_and(|done| done.status.success()) {
        println!("SKIPPED: a limit on file sizes cannot be tried without prlimit");
        return;
    }
    let daemon = Daemon::start(limited()).unwrap();
    let mut router = daemon.router().await;
    let mut acknowledged = some_calls(&daemon).await;
    acknowledged += until_refused(&mut router, "no room for the stored state").await;
    assert_eq!(calls(&daemon).await, acknowledged);
    daemon.kill();

    let daemon = Daemon::start_alive(limited()).unwrap();
    assert_eq!(calls(&daemon).await, acknowledged, "a start under the limit");
    let mut router = daemon.router().await;
    acknowledged += until_refused(&mut router, "no room for the stored state").await;
    let raised = Command::new("prlimit").args(["--fsize=unlimited:", "--pid", &daemon.id().to_string()]).status();
    assert!(raised.unwrap().success());
    until_taken(&mut router).await;
    assert_eq!(calls(&daemon).await, acknowledged + 1);
    assert_stops_whole(&home, daemon).await;
}
