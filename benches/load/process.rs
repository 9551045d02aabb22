//! The processes that are measured: started, found by the address they print, weighed through /proc, and ended by
//! their own ids. It knows nothing of what they serve.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// How long a process may take until it prints its address; a daemon may have a long record to fold.
const START_PATIENCE: Duration = Duration::from_secs(120);

/// Lines kept of what a process printed, to be shown when it fails.
const LINES_KEPT: usize = 20;

/// Clock ticks a second in /proc; fixed on Linux.
const TICKS_A_SECOND: f64 = 100.0;

/// A process of ours; ended when dropped.
pub(crate) struct Process {
    child: Child,
    /// `http://127.0.0.1:port`.
    pub(crate) url: String,
    lines: Arc<Mutex<VecDeque<String>>>,
}

impl Process {
    /// Starts the daemon on a data directory, with the catalogue in a file.
    ///
    /// # Errors
    /// It could not be started or did not print its address.
    pub(crate) fn daemon(program: Option<&Path>, data_dir: &Path, models: &Path) -> anyhow::Result<Self> {
        Self::daemon_with(program, data_dir, models, None)
    }

    /// The same, with settings in a file.
    ///
    /// # Errors
    /// As [`Process::daemon`].
    pub(crate) fn daemon_with(
        program: Option<&Path>,
        data_dir: &Path,
        models: &Path,
        settings: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let built = PathBuf::from(env!("CARGO_BIN_EXE_oddsmaker"));
        let mut command = Command::new(program.unwrap_or(&built));
        command.arg("serve").args(["--listen", "127.0.0.1:0"]).arg("--data-dir").arg(data_dir);
        if let Some(settings) = settings {
            command.arg("--config").arg(settings);
        }
        command.arg("--models").arg(models).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Self::start(command, |child| child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>))
    }

    /// Starts this program again as the echo. It ends by itself when its input is closed.
    ///
    /// # Errors
    /// It could not be started or did not print its address.
    pub(crate) fn echo(response_bytes: usize) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("echo").args(["--response-bytes", &response_bytes.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Self::start(command, |child| child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>))
    }

    fn start(
        mut command: Command,
        pipe: impl FnOnce(&mut Child) -> Option<Box<dyn Read + Send>>,
    ) -> anyhow::Result<Self> {
        let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let lines = Arc::new(Mutex::new(VecDeque::new()));
        let told = pipe(&mut child).map(|pipe| listen(pipe, lines.clone()));
        // From here on the child is ended whatever happens.
        let mut process = Self { child, url: String::new(), lines };
        let told = told.context("the process has no output to read")?;
        process.url = match told.recv_timeout(START_PATIENCE) {
            Ok(address) => format!("http://{address}"),
            Err(RecvTimeoutError::Timeout) => bail!("no address within {START_PATIENCE:?}:\n{}", process.said()),
            Err(RecvTimeoutError::Disconnected) => bail!("it ended without an address:\n{}", process.said()),
        };
        Ok(process)
    }

    /// The last lines it printed.
    pub(crate) fn said(&self) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// Processor time it has used, in seconds.
    ///
    /// # Errors
    /// It is gone, or this is not Linux.
    pub(crate) fn processor_seconds(&self) -> anyhow::Result<f64> {
        let path = format!("/proc/{}/stat", self.child.id());
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        // After the name in brackets: the 12th and 13th fields are ticks in user and in kernel mode.
        let fields: Vec<&str> = text.rsplit(')').next().unwrap_or("").split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok());
        match (ticks(11), ticks(12)) {
            (Some(user), Some(kernel)) => Ok((user + kernel) / TICKS_A_SECOND),
            _ => bail!("{path} has another form than expected"),
        }
    }

    /// Resident memory now (`VmRSS`) or at its peak (`VmHWM`), in bytes.
    ///
    /// # Errors
    /// It is gone, or this is not Linux.
    pub(crate) fn memory_bytes(&self, field: &str) -> anyhow::Result<u64> {
        memory(&format!("/proc/{}/status", self.child.id()), field)
    }

    /// Ends it at once, as `kill -9` does, and waits until it is gone.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Resident memory of this process, in bytes.
///
/// # Errors
/// This is not Linux.
pub(crate) fn memory_of_self() -> anyhow::Result<u64> {
    memory("/proc/self/status", "VmRSS")
}

fn memory(path: &str, field: &str) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kib.with_context(|| format!("{path} has no {field}"))? * 1024)
}

/// Reads everything a process prints, so that it never blocks; tells the first address in it.
fn listen(pipe: Box<dyn Read + Send>, lines: Arc<Mutex<VecDeque<String>>>) -> Receiver<String> {
    let (tell, told) = channel();
    thread::spawn(move || {
        let mut tell = Some(tell);
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if let Some(address) = address_in(&line)
                && let Some(tell) = tell.take()
            {
                // Nobody listens any more when the start took too long.
                let _ = tell.send(address);
            }
            let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            if lines.len() == LINES_KEPT {
                lines.pop_front();
            }
            lines.push_back(line);
        }
    });
    told
}

/// The first `127.0.0.1:port` with a port other than 0 in a line.
fn address_in(line: &str) -> Option<String> {
    const HOST: &str = "127.0.0.1:";
    line.match_indices(HOST).find_map(|(at, _)| {
        let digits: String = line[at + HOST.len()..].chars().take_while(char::is_ascii_digit).collect();
        let port: u16 = digits.parse().ok().filter(|port| *port != 0)?;
        Some(format!("{HOST}{port}"))
    })
}

/// What a folder and everything in it take on the disk, in bytes, as `du` counts.
///
/// # Errors
/// It cannot be read.
pub(crate) fn disk_bytes(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        // A file may vanish between being listed and being looked at.
        let Ok(metadata) = entry.metadata() else { continue };
        bytes += if metadata.is_dir() { disk_bytes(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(bytes)
}

/// Where data directories go: on a disk, never in memory.
///
/// # Errors
/// The folder cannot be made.
pub(crate) fn temporary(folder: Option<&Path>) -> anyhow::Result<tempfile::TempDir> {
    let folder = folder.unwrap_or(Path::new(env!("CARGO_TARGET_TMPDIR")));
    std::fs::create_dir_all(folder)?;
    Ok(tempfile::Builder::new().prefix("load-").tempdir_in(folder)?)
}

/// Seconds since `began`.
pub(crate) fn seconds_since(began: Instant) -> f64 {
    began.elapsed().as_secs_f64()
}
