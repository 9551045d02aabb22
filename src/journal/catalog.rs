//! The segments of one directory and whether they connect. Reads headers and closing markers only, never events.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::error::JournalError;
use super::packed::{EXTENSION, SegmentFile};
use super::segment::{
    FORMAT_VERSION, FRAME_HEAD_BYTES, HEADER_BYTES, Header, HeaderFault, file_name, parse_file_name, parse_frame,
};

/// One segment file with a valid header.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) name: String,
    pub(super) header: Header,
}

impl Segment {
    pub(super) fn damaged(&self, offset: u64, seq: u64, why: &'static str) -> JournalError {
        JournalError::Damaged { segment: self.name.clone(), offset, seq, why }
    }
}

/// First sequence numbers of all segments, packed or not, ascending, as the names of their files say. Other files are ignored.
pub(super) fn first_seqs(dir: &Path) -> Result<Vec<u64>, JournalError> {
    let refused = |error| JournalError::io("list", dir, error);
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(refused)? {
        let name = entry.map_err(refused)?.file_name();
        found.extend(name.to_str().and_then(parse_file_name));
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Opens the header of the segment with this name.
pub(super) fn load_one(dir: &Path, first_seq: u64) -> Result<Segment, JournalError> {
    let mut path = dir.join(file_name(first_seq));
    let file = SegmentFile::open(&path)?;
    if matches!(file, SegmentFile::Packed(_)) {
        path.set_extension(EXTENSION);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut bytes = [0; HEADER_BYTES as usize];
    let len = file.read_up_to(&mut bytes, 0).map_err(|error| JournalError::io("read", &path, error))?;
    let damaged = |why| JournalError::Damaged { segment: name.clone(), offset: 0, seq: first_seq, why };
    match Header::parse(&bytes[..len]) {
        Ok(header) if header.first_seq != first_seq => Err(damaged("the header and the file name disagree")),
        Ok(header) => Ok(Segment { path, name, header }),
        Err(HeaderFault::Bad(why)) => Err(damaged(why)),
        Err(HeaderFault::Newer(found)) => {
            Err(JournalError::NewerFormat { segment: name, found, known: FORMAT_VERSION })
        }
    }
}

/// All segments, oldest first, each connected to the next.
///
/// # Errors
/// [`JournalError::Damaged`] for the first header or connection that does not hold, [`JournalError::NewerFormat`], `Io`.
pub(super) fn load(dir: &Path) -> Result<Vec<Segment>, JournalError> {
    let mut segments = Vec::new();
    for first_seq in first_seqs(dir)? {
        segments.push(load_one(dir, first_seq)?);
    }
    for pair in segments.windows(2) {
        check_link(&pair[0], &pair[1])?;
    }
    Ok(segments)
}

/// Checks that `earlier` ends, with a marker, exactly where `later` says it begins.
pub(super) fn check_link(earlier: &Segment, later: &Segment) -> Result<(), JournalError> {
    let damaged = |offset, why| Err(earlier.damaged(offset, later.header.first_seq, why));
    let head = FRAME_HEAD_BYTES as u64;
    let Some(size) = later.header.base.checked_sub(earlier.header.base).filter(|size| *size >= HEADER_BYTES + head)
    else {
        return damaged(0, "the next segment does not begin behind this one");
    };
    let file = SegmentFile::open(&earlier.path)?;
    let mut bytes = [0; FRAME_HEAD_BYTES];
    let len =
        file.read_up_to(&mut bytes, size - head).map_err(|error| JournalError::io("read", &earlier.path, error))?;
    if len < FRAME_HEAD_BYTES {
        return damaged(size - head, "it was cut, or a segment behind it is missing");
    }
    let Some(marker) = parse_frame(&bytes).filter(|frame| frame.body.is_empty()) else {
        return damaged(size - head, "no closing marker where the next segment begins");
    };
    if marker.first_seq != later.header.first_seq || marker.chain != later.header.previous {
        return damaged(size - head, "the next segment belongs to another journal");
    }
    Ok(())
}

/// Size of a finished segment: where the next one begins. Only for pairs that passed [`check_link`].
pub(super) fn sealed_bytes(earlier: &Segment, later: &Segment) -> u64 {
    later.header.base - earlier.header.base
}

/// Reads until `bytes` is full or the file ends. Returns the number of bytes read.
pub(super) fn read_up_to(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < bytes.len() {
        match file.read_at(&mut bytes[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
