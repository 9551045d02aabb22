//! Files of rows or lines that may be gzipped, as text. It refuses to know what stands in them.

use std::fmt::Display;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::failure::Failure;

/// The text of a file, unpacked where its name ends in `.gz`.
///
/// # Errors
/// It cannot be opened.
pub(super) fn open(path: &Path) -> Result<Box<dyn Read>, Failure> {
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let gzipped = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gz"));
    Ok(if gzipped { Box::new(flate2::read::MultiGzDecoder::new(file)) } else { Box::new(file) })
}

/// What is said of a file that cannot be read.
pub(super) fn unreadable(path: &Path, error: &dyn Display) -> Failure {
    Failure::Failed(format!("cannot read {}: {error}", path.display()))
}

/// Counts lines as an editor does. The reader's own count is behind where lines end with CR and LF or are empty.
pub(super) struct LineCounter<'a> {
    bytes: &'a [u8],
    at: usize,
    line: u64,
}

impl<'a> LineCounter<'a> {
    /// Before the first row of the text.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, line: 1 }
    }

    /// The line of the row that the reader found from `start` on; not before the row asked for last.
    pub(super) fn line(&mut self, start: u64) -> u64 {
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        while let Some(byte) = self.bytes.get(self.at).filter(|b| self.at < start || matches!(b, b'\r' | b'\n')) {
            self.line += u64::from(*byte == b'\n');
            self.at += 1;
        }
        self.line
    }
}
