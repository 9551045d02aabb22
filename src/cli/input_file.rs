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
