//! Damaged files, on copies of one data directory: the state is rebuilt from the record by itself, a torn end of the
//! record is dropped and told, anything else wrong with the record stops the start and is named.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use oddsmaker::wire::pb;

use super::calls::{ask, costing, decide, in_goal, insights, outcome, record};
use super::catalogues;
use super::harness::{Daemon, Home, files};

/// Size of the header of a segment of the record.
const SEGMENT_HEADER_BYTES: usize = 48;

/// A data directory with a story in it, after a kill, and the figures it must show.
struct Story {
    home: Home,
    figures: pb::GetInsightsResponse,
}

impl Story {
    async fn tell() -> Self {
        let home = Home::new(&catalogues::usual());
        let daemon = home.start();
        let mut router = daemon.router().await;
        for number in 0..40_u32 {
            let (_, id) = decide(&mut router, in_goal("triage", &format!("t{}", number / 4), "classify")).await;
            record(&mut router, costing(&id, number % 3 != 0, f64::from(number) / 1e4)).await;
        }
        let figures = figures_of(&daemon).await;
        daemon.kill();
        Self { home, figures }
    }

    /// A damaged copy starts by itself, shows the same figures, takes calls, and holds afterwards.
    async fn must_heal(&self, what: &str, damage: impl FnOnce(&Path)) {
        let copy = self.home.copy();
        damage(&copy.data());
        let daemon = copy.start();
        assert_eq!(figures_of(&daemon).await, self.figures, "{what}");
        let mut router = daemon.router().await;
        let (_, id) = decide(&mut router, ask("single")).await;
        record(&mut router, costing(&id, true, 0.01)).await;
        let (status, said) = daemon.stop().await;
        assert!(status.success(), "{what}: {said}");
        let verified = copy.run("verify");
        assert!(verified.status.success(), "{what}: {verified:?}");
    }
}

/// The report without the window it was asked for.
async fn figures_of(daemon: &Daemon) -> pb::GetInsightsResponse {
    pb::GetInsightsResponse { window: None, savings: None, ..insights(&mut daemon.insights().await).await }
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

fn cut(path: &Path, to: u64) {
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(to).unwrap();
}

/// The newest segment of the record and how much of it is written.
fn newest_segment(data: &Path) -> (PathBuf, usize) {
    let segments = files(&data.join("journal")).into_iter().filter(|p| p.extension().is_some_and(|e| e == "seg"));
    let path = segments.max().expect("a segment");
    let bytes = fs::read(&path).unwrap();
    (path, bytes.iter().rposition(|b| *b != 0).expect("a written part") + 1)
}

#[tokio::test]
async fn a_broken_state_is_set_aside_and_rebuilt() {
    let story = Story::tell().await;
    let db = |data: &Path| data.join("state/db");
    let size = fs::metadata(db(&story.home.data())).unwrap().len();
    for to in [0, 1, size / 3, size / 2, size - 1] {
        story.must_heal(&format!("db cut to {to} of {size} bytes"), |data| cut(&db(data), to)).await;
    }
    let written = fs::read(db(&story.home.data())).unwrap();
    let used: Vec<usize> = (0..written.len()).filter(|at| written[*at] != 0).collect();
    for part in 0..12 {
        let at = used[part * (used.len() - 1) / 11];
        story.must_heal(&format!("byte {at} of db flipped"), |data| flip(&db(data), at)).await;
    }
    story.must_heal("conf deleted", |data| fs::remove_file(data.join("state/conf")).unwrap()).await;
    story.must_heal("conf emptied", |data| cut(&data.join("state/conf"), 0)).await;
    let snapshot = "state/snap.0000000000000000.generating";
    story.must_heal("an empty snapshot", |data| fs::write(data.join(snapshot), b"").unwrap()).await;
    story.must_heal("the state deleted", |data| fs::remove_dir_all(data.join("state")).unwrap()).await;
}

#[tokio::test]
async fn a_torn_end_of_the_record_is_dropped_and_told() {
    let story = Story::tell().await;
    let (_, written) = newest_segment(&story.home.data());
    for torn in [1, 7, 20] {
        let copy = story.home.copy();
        let (path, _) = newest_segment(&copy.data());
        cut(&path, (written - torn) as u64);
        let verified = copy.run("verify");
        let said = String::from_utf8_lossy(&verified.stdout).to_lowercase();
        assert!(said.contains("torn") || said.contains("unfinished"), "{verified:?}");
        let daemon = copy.start();
        let report = figures_of(&daemon).await;
        assert_eq!(report.calls, story.figures.calls - 1, "the last outcome was cut, and nothing else");
        let (status, said) = daemon.stop().await;
        assert!(status.success());
        let mut dropped = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let told = |line: serde_json::Value| {
            let fields = line.get("fields").unwrap_or(&line).clone();
            fields
                .as_object()
                .is_some_and(|f| f.iter().any(|(name, v)| name.contains("dropped") && v.as_u64() > Some(0)))
        };
        assert!(dropped.any(told), "the start tells what it dropped: {said}");
        assert!(copy.run("verify").status.success());
    }
}

#[tokio::test]
async fn a_record_flipped_in_its_middle_is_never_served() {
    let story = Story::tell().await;
    let (path, written) = newest_segment(&story.home.data());
    let mut at_bytes: Vec<usize> =
        (1..10).map(|part| SEGMENT_HEADER_BYTES + part * (written - SEGMENT_HEADER_BYTES) / 11).collect();
    at_bytes.extend([0, 9, 30, 46]);
    for at in at_bytes {
        let copy = story.home.copy();
        flip(&copy.data().join("journal").join(path.file_name().unwrap()), at);
        let before = snapshot(&copy.data().join("journal"));
        let refusal = copy.refusal();
        assert_eq!(refusal.code, Some(1), "byte {at}: {}", refusal.said);
        assert!(refusal.said.contains(place_of(at)), "byte {at}: {}", refusal.said);
        assert!(!refusal.said.contains("panicked"), "{}", refusal.said);
        assert_eq!(snapshot(&copy.data().join("journal")), before, "nothing was touched");
        let verified = copy.run("verify");
        let said =
            format!("{}{}", String::from_utf8_lossy(&verified.stdout), String::from_utf8_lossy(&verified.stderr));
        assert_eq!(verified.status.code(), Some(1), "byte {at}: {said}");
        assert!(said.contains(place_of(at)), "byte {at}: {said}");
    }
}

/// How damage is named: in a segment's header by the file, behind it by the event.
fn place_of(at: usize) -> &'static str {
    if at < SEGMENT_HEADER_BYTES { ".seg" } else { "event " }
}

fn snapshot(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    files(dir).into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[tokio::test]
async fn a_newer_format_is_refused_and_not_touched() {
    let story = Story::tell().await;
    let copy = story.home.copy();
    fs::write(copy.data().join("FORMAT"), "99\n").unwrap();
    let before = snapshot(&copy.data());
    let refusal = copy.refusal();
    assert_eq!(refusal.code, Some(1));
    assert!(refusal.said.contains("99") && refusal.said.to_lowercase().contains("newer"), "{}", refusal.said);
    assert_eq!(snapshot(&copy.data()), before);

    let copy = story.home.copy();
    let (path, _) = newest_segment(&copy.data());
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 99;
    let checksum = crc32c::crc32c(&bytes[..44]).to_le_bytes();
    bytes[44..48].copy_from_slice(&checksum);
    fs::write(&path, bytes).unwrap();
    let before = snapshot(&copy.data());
    let refusal = copy.refusal();
    assert!(refusal.code == Some(1) && refusal.said.contains("newer"), "{refusal:?}");
    assert_eq!(snapshot(&copy.data()), before);
}

#[tokio::test]
async fn a_second_process_is_refused_and_the_first_goes_on() {
    let story = Story::tell().await;
    let daemon = story.home.start();
    let refusal = story.home.refusal();
    assert_eq!(refusal.code, Some(1));
    assert!(refusal.said.contains("another process"), "{}", refusal.said);
    let verified = story.home.run("verify");
    assert!(!verified.status.success(), "a record that is being written cannot be compared with its state");
    assert_eq!(figures_of(&daemon).await, story.figures);
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_refused() {
    const NOBODY: u32 = 65_534;
    let story = Story::tell().await;
    let copy = story.home.copy();
    let lock = |mode| {
        for path in
            files(&copy.data()).iter().chain(&[copy.data(), copy.data().join("journal"), copy.data().join("state")])
        {
            let mode = if path.is_dir() { mode } else { 0o444 };
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    fs::set_permissions(copy.data().parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
    lock(0o555);
    let mut command = copy.serve();
    if fs::write(copy.data().join("probe"), b"").is_ok() {
        // A superuser may write anywhere: another user may not.
        fs::remove_file(copy.data().join("probe")).unwrap();
        command.uid(NOBODY).gid(NOBODY);
        if let Err(error) = copy.command(&["--version"]).uid(NOBODY).gid(NOBODY).output() {
            println!("skipped: the program cannot be run as another user here ({error})");
            return;
        }
    }
    let before = snapshot(&copy.data());
    let refusal = Daemon::start(command).err().expect("it must not start");
    lock(0o755);
    assert_eq!(refusal.code, Some(1), "{}", refusal.said);
    assert!(
        refusal.said.contains("cannot be written") || refusal.said.contains("ermission denied"),
        "{}",
        refusal.said
    );
    assert!(!refusal.said.contains("panicked"), "{}", refusal.said);
    assert_eq!(snapshot(&copy.data()), before);
}

#[tokio::test]
async fn a_record_whose_key_is_gone_is_refused_and_not_given_another() {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start();
    let (_, id) = decide(&mut daemon.router().await, ask("single")).await;
    daemon.stop().await;
    let key = home.data().join("key");
    let bytes = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    let refusal = home.refusal();
    assert_eq!(refusal.code, Some(1), "{refusal:?}");
    assert!(refusal.said.contains("is missing beside a record that was made with it"), "{refusal:?}");
    assert!(!key.exists(), "no other key was made");
    fs::write(&key, bytes).unwrap();
    let daemon = home.start();
    assert!(
        !record(&mut daemon.router().await, outcome(&id, true)).await.duplicate,
        "restored, its ids mean what they did"
    );
}
