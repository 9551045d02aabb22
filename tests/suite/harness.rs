//! Starts the built program in a folder of its own and ends it again, by its own process id. Everything that waits is
//! bounded. It refuses to know what the program answers.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use oddsmaker::wire::pb::admin_service_client::AdminServiceClient;
use oddsmaker::wire::pb::goal_service_client::GoalServiceClient;
use oddsmaker::wire::pb::insights_service_client::InsightsServiceClient;
use oddsmaker::wire::pb::router_service_client::RouterServiceClient;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_oddsmaker");
/// Longest wait for a start or a stop.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest wait for one request.
const REQUEST_PATIENCE: Duration = Duration::from_secs(30);

/// A working folder with a catalogue and a data directory, removed at the end.
pub(crate) struct Home {
    root: TempDir,
}

impl Home {
    /// A folder with this catalogue and no data yet.
    pub(crate) fn new(catalogue: &str) -> Self {
        let home = Self { root: tempfile::tempdir().expect("a folder for the test") };
        home.write_catalogue(catalogue);
        home
    }

    /// The same, but with the given key: ids and draws are then the same in every run.
    pub(crate) fn seeded(catalogue: &str, seed: u8) -> Self {
        let home = Self::new(catalogue);
        fs::create_dir_all(home.data()).unwrap();
        fs::write(home.data().join("key"), [seed; 32]).unwrap();
        home
    }

    /// A copy of catalogue and data, to be damaged.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::new(&fs::read_to_string(self.models()).unwrap());
        copy_dir(&self.data(), &copy.data());
        copy
    }

    /// Replaces the catalogue.
    pub(crate) fn write_catalogue(&self, text: &str) {
        fs::write(self.models(), text).unwrap();
    }

    /// The catalogue's file.
    pub(crate) fn models(&self) -> PathBuf {
        self.root.path().join("models.toml")
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    /// A command of the program in this folder, deaf to the environment of the test.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.current_dir(self.root.path()).args(arguments).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ODDSMAKER_") {
                command.env_remove(name);
            }
        }
        command
    }

    /// Runs an offline verb on the data directory and returns all it said.
    pub(crate) fn run(&self, verb: &str) -> Output {
        self.command(&[verb]).arg("--data-dir").arg(self.data()).output().expect("the program runs")
    }

    /// The command that serves this folder on a free port.
    pub(crate) fn serve(&self) -> Command {
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.arg("--data-dir").arg(self.data()).arg("--models").arg(self.models());
        command
    }

    /// Replaces the settings.
    pub(crate) fn write_settings(&self, text: &str) {
        fs::write(self.root.path().join("settings.toml"), text).unwrap();
    }

    /// A daemon on this folder with these settings, answering.
    pub(crate) fn start_with(&self, settings: &str) -> Daemon {
        self.write_settings(settings);
        let mut command = self.serve();
        command.arg("--config").arg(self.root.path().join("settings.toml"));
        Daemon::start(command).unwrap_or_else(|refusal| panic!("the daemon did not start: {refusal:?}"))
    }

    /// A daemon on this folder, answering.
    pub(crate) fn start(&self) -> Daemon {
        Daemon::start(self.serve()).unwrap_or_else(|refusal| panic!("the daemon did not start: {refusal:?}"))
    }

    /// What a daemon says that must refuse to start.
    pub(crate) fn refusal(&self) -> Refusal {
        match Daemon::start(self.serve()) {
            Ok(_) => panic!("the daemon started although it must refuse"),
            Err(refusal) => refusal,
        }
    }
}

/// A start that was refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// Exit code; `None`: a signal ended it.
    pub(crate) code: Option<i32>,
    /// All it wrote.
    pub(crate) said: String,
}

/// A running daemon; it is killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    lines: Receiver<String>,
    /// What it wrote up to the line that told its address.
    pub(crate) start_log: Vec<String>,
    /// Where it answers.
    pub(crate) address: SocketAddr,
}

impl Daemon {
    /// Starts it and waits until `/readyz` says 200.
    pub(crate) fn start(command: Command) -> Result<Self, Refusal> {
        Self::answering(command, "/readyz")
    }

    /// Starts it and waits until it answers, whether or not it takes anything.
    pub(crate) fn start_alive(command: Command) -> Result<Self, Refusal> {
        Self::answering(command, "/livez")
    }

    fn answering(command: Command, path: &str) -> Result<Self, Refusal> {
        let mut starting = Starting::spawn(command);
        let until = Instant::now() + PATIENCE;
        let mut start_log = Vec::new();
        let address = loop {
            match starting.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let address = told_address(&line);
                    start_log.push(line);
                    if let Some(address) = address {
                        break address;
                    }
                }
                Err(_) => {
                    let code = ended(&mut starting.child).and_then(|s| s.code());
                    return Err(Refusal { code, said: start_log.join("\n") });
                }
            }
        };
        while super::http_client::get(address, path).is_none_or(|r| r.status != 200) {
            assert!(Instant::now() < until, "not ready in time: {start_log:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
        let Starting { child, lines } = starting;
        Ok(Self { child, lines, start_log, address })
    }

    /// A connection of its own.
    pub(crate) async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        let endpoint = endpoint.timeout(REQUEST_PATIENCE).connect_timeout(REQUEST_PATIENCE).tcp_nodelay(true);
        endpoint.connect().await.expect("a connection to the daemon")
    }

    /// A client of RouterService.
    pub(crate) async fn router(&self) -> RouterServiceClient<Channel> {
        RouterServiceClient::new(self.channel().await)
    }

    /// A client of GoalService.
    pub(crate) async fn goals(&self) -> GoalServiceClient<Channel> {
        GoalServiceClient::new(self.channel().await)
    }

    /// A client of InsightsService.
    pub(crate) async fn insights(&self) -> InsightsServiceClient<Channel> {
        InsightsServiceClient::new(self.channel().await)
    }

    /// A client of AdminService.
    pub(crate) async fn admin(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.channel().await)
    }

    /// Ends it at once, as a crash would (SIGKILL).
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has ended by itself; returns how, and all it wrote.
    pub(crate) async fn end(mut self) -> (ExitStatus, String) {
        let wait = move || {
            let status = ended(&mut self.child).expect("the daemon ends by itself");
            let mut said = std::mem::take(&mut self.start_log);
            said.extend(self.lines.iter());
            (status, said.join("\n"))
        };
        tokio::task::spawn_blocking(wait).await.unwrap()
    }

    /// Asks it to stop (SIGTERM).
    fn ask_to_stop(&self) {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().expect("kill runs");
        assert!(asked.success());
    }

    /// Asks it to stop and waits; returns how it ended and all it wrote. Open connections of the test are served
    /// meanwhile, so that they can answer its farewell.
    pub(crate) async fn stop(mut self) -> (ExitStatus, String) {
        let wait = move || {
            self.ask_to_stop();
            let status = ended(&mut self.child).expect("the daemon stops when told to");
            let mut said = std::mem::take(&mut self.start_log);
            said.extend(self.lines.iter());
            (status, said.join("\n"))
        };
        tokio::task::spawn_blocking(wait).await.unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        end_quietly(&mut self.child);
    }
}

/// Starts a daemon, stops reading its log once it answers, asks it to stop, and returns how it ended.
pub(crate) fn stop_with_a_log_nobody_reads(mut command: Command) -> Option<ExitStatus> {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while told_address(&line).is_none() {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "it told no address");
    }
    drop(log);
    let asked = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill runs");
    assert!(asked.success());
    ended(&mut child)
}

/// A daemon that is still opening its files; it is killed when dropped.
pub(crate) struct Starting {
    child: Child,
    lines: Receiver<String>,
}

impl Starting {
    /// Starts the process and does not wait for it.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let (sender, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        // Reads to the end even when nobody listens: a full pipe would stop the daemon.
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
        Self { child, lines }
    }

    /// Ends it at once, wherever it stands.
    pub(crate) fn kill(mut self) {
        end_quietly(&mut self.child);
    }
}

fn end_quietly(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

fn ended(child: &mut Child) -> Option<ExitStatus> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    end_quietly(child);
    None
}

/// The address in the line that tells it: one JSON object with `address`, at the top or among its `fields`.
fn told_address(line: &str) -> Option<SocketAddr> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let told = line.get("address").or_else(|| line.get("fields")?.get("address"))?.as_str()?;
    told.trim_start_matches("http://").trim_end_matches('/').parse().ok()
}

/// Copies a folder with all that is in it.
pub(crate) fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every file below a folder.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}
