//! The bytes of a segment, whether they lie in a file as they were written or, finished, in deflated blocks. Whoever reads a
//! segment reads the same bytes at the same places either way. It knows nothing of frames.
//!
//! Numbers are little-endian.
//! ```text
//! header, 32 bytes: magic 8 | version u16 | zero u16 | blocks u32 | bytes of the segment u64 | zero u32 | crc32c of the 28 before it and the index
//! index:  for each block: its bytes in the segment u32 | its bytes here u32 | crc32c of these u32
//! blocks: each deflated by itself
//! ```
//! The first block is the header of the segment and the last one its closing marker: an opening reads no others.

use std::fs::File;
use std::io;
use std::path::Path;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use parking_lot::Mutex;

use super::catalog::read_up_to;
use super::error::JournalError;
use super::segment::{FORMAT_VERSION, FRAME_HEAD_BYTES, HEADER_BYTES, u32_at, u64_at};

/// What the name of a packed segment ends in.
pub(super) const EXTENSION: &str = "pack";

const MAGIC: [u8; 8] = *b"ODDSPACK";
const HEAD_BYTES: usize = 32;
const INDEX_BYTES: usize = 12;
/// Bytes of a segment that are deflated together: what one random read has to inflate.
const BLOCK_BYTES: u64 = 256 << 10;
/// No packed segment has more blocks: 4 TiB.
const MAX_BLOCKS: usize = 1 << 24;

/// A segment's file.
pub(super) enum SegmentFile {
    /// As it was written.
    Plain(File),
    /// In deflated blocks.
    Packed(Packed),
}

impl SegmentFile {
    /// Opens the file of that name; where a plain one is gone by now, the packed one that took its place.
    pub(super) fn open(path: &Path) -> Result<Self, JournalError> {
        let opened = match path.extension().is_some_and(|end| end == EXTENSION) {
            true => Packed::open(path).map(Self::Packed),
            false => File::open(path).map(Self::Plain),
        };
        let packed = path.with_extension(EXTENSION);
        match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound && packed != path && packed.exists() => {
                Self::open(&packed)
            }
            opened => opened.map_err(|error| JournalError::io("open", path, error)),
        }
    }

    /// Length of the segment, in bytes.
    pub(super) fn len(&self) -> io::Result<u64> {
        match self {
            Self::Plain(file) => Ok(file.metadata()?.len()),
            Self::Packed(packed) => Ok(packed.bytes),
        }
    }

    /// Length of the file, in bytes.
    pub(super) fn file_bytes(&self) -> io::Result<u64> {
        let (Self::Plain(file) | Self::Packed(Packed { file, .. })) = self;
        Ok(file.metadata()?.len())
    }

    /// Reads until `bytes` is full or the segment ends. Returns the number of bytes read.
    pub(super) fn read_up_to(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Self::Plain(file) => read_up_to(file, bytes, offset),
            Self::Packed(packed) => packed.read_up_to(bytes, offset),
        }
    }

    /// Reads all bytes from `offset` on.
    pub(super) fn read_from(&self, offset: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.len()?.saturating_sub(offset) as usize];
        let len = self.read_up_to(&mut bytes, offset)?;
        bytes.truncate(len);
        Ok(bytes)
    }
}

/// A packed segment whose header and index hold.
pub(super) struct Packed {
    file: File,
    bytes: u64,
    blocks: Vec<Place>,
    /// The block read last, by its place in `blocks`: reads mostly go on where the last one ended.
    last: Mutex<(usize, Vec<u8>)>,
}

/// Where a block lies.
struct Place {
    /// In the segment.
    offset: u64,
    bytes: u32,
    /// In the file.
    at: u64,
    packed: u32,
    crc: u32,
}

impl Packed {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let mut head = [0; HEAD_BYTES];
        let read = read_up_to(&file, &mut head, 0)?;
        if read < HEAD_BYTES || head[..8] != MAGIC {
            return Err(damaged(0));
        }
        let count = u32_at(&head, 12) as usize;
        if u16::from_le_bytes([head[8], head[9]]) != FORMAT_VERSION || count > MAX_BLOCKS {
            return Err(damaged(0));
        }
        let mut index = vec![0; count * INDEX_BYTES];
        let read = read_up_to(&file, &mut index, HEAD_BYTES as u64)?;
        if read < index.len() || crc_of(&head, &index) != u32_at(&head, 28) {
            return Err(damaged(0));
        }
        let (mut offset, mut at) = (0, (HEAD_BYTES + index.len()) as u64);
        let mut blocks = Vec::with_capacity(count);
        for entry in index.chunks_exact(INDEX_BYTES) {
            let [bytes, packed, crc] = [0, 4, 8].map(|from| u32_at(entry, from));
            blocks.push(Place { offset, bytes, at, packed, crc });
            offset += u64::from(bytes);
            at += u64::from(packed);
        }
        let bytes = u64_at(&head, 16);
        if offset != bytes || file.metadata()?.len() != at {
            return Err(damaged(0));
        }
        Ok(Self { file, bytes, blocks, last: Mutex::new((usize::MAX, Vec::new())) })
    }

    fn read_up_to(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        let mut number = self.blocks.partition_point(|block| block.offset + u64::from(block.bytes) <= offset);
        let mut last = self.last.lock();
        while done < bytes.len() && number < self.blocks.len() {
            let block = &self.blocks[number];
            if last.0 != number {
                *last = (usize::MAX, Vec::new());
                *last = (number, self.inflated(block)?);
            }
            let rest = &last.1[(offset + done as u64 - block.offset) as usize..];
            let len = rest.len().min(bytes.len() - done);
            bytes[done..done + len].copy_from_slice(&rest[..len]);
            done += len;
            number += 1;
        }
        Ok(done)
    }

    fn inflated(&self, block: &Place) -> io::Result<Vec<u8>> {
        let mut packed = vec![0; block.packed as usize];
        let read = read_up_to(&self.file, &mut packed, block.at)?;
        if read < packed.len() || crc32c::crc32c(&packed) != block.crc {
            return Err(damaged(block.at));
        }
        inflated(&packed, block.bytes as usize).ok_or_else(|| damaged(block.at))
    }
}

/// What was deflated to `packed`, of exactly so many bytes; `None`: it is not that.
pub(crate) fn inflated(packed: &[u8], bytes: usize) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(bytes);
    let done = Decompress::new(false).decompress_vec(packed, &mut plain, FlushDecompress::Finish);
    (plain.len() == bytes && matches!(done, Ok(Status::StreamEnd))).then_some(plain)
}

/// Bytes of a packed segment that do not hold, from this one of the file on.
#[derive(Debug, thiserror::Error)]
#[error("the packed segment does not hold at byte {0}")]
pub(super) struct PackedDamage(pub(super) u64);

/// Told as damage of the segment by [`super::JournalError::io`].
fn damaged(at: u64) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, PackedDamage(at))
}

fn crc_of(head: &[u8; HEAD_BYTES], index: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&head[..28]), index)
}

/// The blocks of a segment of that many bytes, in order: where each begins, and how long it is.
pub(super) fn blocks(bytes: u64) -> Vec<(u64, usize)> {
    let (first, last) = (HEADER_BYTES, bytes - FRAME_HEAD_BYTES as u64);
    let mut found = vec![(0, first as usize)];
    let mut at = first;
    while at < last {
        let len = BLOCK_BYTES.min(last - at);
        found.push((at, len as usize));
        at += len;
    }
    found.push((last, FRAME_HEAD_BYTES));
    found
}

/// Header and index of a packed segment while its blocks are made.
pub(super) struct Index {
    bytes: u64,
    entries: Vec<u8>,
    compress: Compress,
}

impl Index {
    /// Of a segment of that many bytes.
    pub(super) fn new(bytes: u64) -> Self {
        Self { bytes, entries: Vec::new(), compress: Compress::new(Compression::default(), false) }
    }

    /// Bytes of the segment.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Where the blocks begin in the file when there are so many of them.
    pub(super) fn blocks_at(count: usize) -> u64 {
        (HEAD_BYTES + count * INDEX_BYTES) as u64
    }

    /// The next block, deflated; `None` where it does not come back as it was.
    pub(super) fn deflate(&mut self, plain: &[u8]) -> Option<Vec<u8>> {
        // Stored as it is where nothing is gained, deflate adds five bytes to every 31 KiB or so, and a little.
        let mut packed = Vec::with_capacity(plain.len() + plain.len() / 1_000 + 64);
        self.compress.reset();
        let done = self.compress.compress_vec(plain, &mut packed, FlushCompress::Finish);
        let whole = matches!(done, Ok(Status::StreamEnd)) && inflated(&packed, plain.len()).is_some_and(|p| p == plain);
        if !whole {
            return None;
        }
        for number in [plain.len() as u32, packed.len() as u32, crc32c::crc32c(&packed)] {
            self.entries.extend_from_slice(&number.to_le_bytes());
        }
        Some(packed)
    }

    /// What stands before the blocks.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut head = [0; HEAD_BYTES];
        head[..8].copy_from_slice(&MAGIC);
        head[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        head[12..16].copy_from_slice(&((self.entries.len() / INDEX_BYTES) as u32).to_le_bytes());
        head[16..24].copy_from_slice(&self.bytes.to_le_bytes());
        let crc = crc_of(&head, &self.entries);
        head[28..].copy_from_slice(&crc.to_le_bytes());
        [&head[..], &self.entries].concat()
    }
}
