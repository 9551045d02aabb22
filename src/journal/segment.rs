//! The bytes of a segment file: one header, then frames. Knows no files, no threads, and nothing of what events mean.
//!
//! Numbers are little-endian.
//! ```text
//! header, 48 bytes: magic 8 | version u16 | zero u16 | first_seq u64 | base u64 | previous chain 16 | crc32c of the 44 before it
//! frame:  len u32 (whole frame) | crc32c u32 of all its other bytes | first_seq u64 | chain 16 | events: (varint len | payload)*
//! ```
//! A frame is one group commit. `chain` is BLAKE3(previous chain ‖ events) cut to 16 bytes, so a frame also vouches for
//! every frame before it. A `len` of zero ends the written part. A frame without events is a *marker*: written at a clean
//! stop and at the end of a finished segment, it says that everything before it was complete.
//! `base` is the position of the segment's first byte in the journal as a whole; later versions keep the 48 bytes' shape.

/// Newest format this program reads and the one it writes.
pub(super) const FORMAT_VERSION: u16 = 1;
/// Size of a segment's header.
pub(super) const HEADER_BYTES: u64 = 48;
/// Size of a frame without its events, and of a marker.
pub(super) const FRAME_HEAD_BYTES: usize = 32;
/// No frame is larger.
pub(super) const MAX_FRAME_BYTES: usize = 16 << 20;
/// No frame holds more events: an index in a frame has 20 bits.
pub(super) const MAX_FRAME_EVENTS: u32 = 1 << INDEX_BITS;
/// No frame starts at or behind this position of the journal: it has 44 bits, 16 TiB.
pub(super) const MAX_POSITION: u64 = 1 << (64 - INDEX_BITS);

const MAGIC: [u8; 8] = *b"ODDSJRNL";
const INDEX_BITS: u32 = 20;

/// Truncated BLAKE3 over everything so far. All zero before the first frame.
pub(super) type Chain = [u8; 16];

/// Where one event is stored: the position of its frame in the journal as a whole, and its index in the frame. Eight
/// bytes, valid until retention removes the segment. Order of locations is order of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location(u64);

impl Location {
    pub(super) fn new(position: u64, index: u32) -> Self {
        assert!(position < MAX_POSITION && index < MAX_FRAME_EVENTS, "INV-JOURNAL-1: a location fits 64 bits");
        Self(position << INDEX_BITS | u64::from(index))
    }

    /// The number to store.
    #[must_use]
    pub fn to_u64(self) -> u64 {
        self.0
    }

    /// A stored number back. Any value is allowed; one that names no event is refused by the read.
    #[must_use]
    pub fn from_u64(packed: u64) -> Self {
        Self(packed)
    }

    pub(super) fn position(self) -> u64 {
        self.0 >> INDEX_BITS
    }

    pub(super) fn index(self) -> u32 {
        (self.0 & u64::from(MAX_FRAME_EVENTS - 1)) as u32
    }
}

/// First bytes of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// Sequence number of the first event in this segment.
    pub(super) first_seq: u64,
    /// Position of the segment's first byte in the journal as a whole.
    pub(super) base: u64,
    /// Chain at the end of the segment before.
    pub(super) previous: Chain,
}

/// Why a header is not one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeaderFault {
    Bad(&'static str),
    Newer(u16),
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES as usize] {
        let mut bytes = [0; HEADER_BYTES as usize];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.first_seq.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.base.to_le_bytes());
        bytes[28..44].copy_from_slice(&self.previous);
        let crc = crc32c::crc32c(&bytes[..44]);
        bytes[44..48].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, HeaderFault> {
        if bytes.len() < HEADER_BYTES as usize {
            return Err(HeaderFault::Bad("the file is shorter than its header: it was cut"));
        }
        if bytes[0..8] != MAGIC {
            return Err(HeaderFault::Bad("no journal header"));
        }
        if crc32c::crc32c(&bytes[..44]) != u32_at(bytes, 44) {
            return Err(HeaderFault::Bad("the header's checksum does not hold"));
        }
        let version = u16::from_le_bytes([bytes[8], bytes[9]]);
        if version > FORMAT_VERSION {
            return Err(HeaderFault::Newer(version));
        }
        Ok(Self { first_seq: u64_at(bytes, 12), base: u64_at(bytes, 20), previous: chain_of(&bytes[28..44]) })
    }
}

/// One whole frame whose checksum holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) first_seq: u64,
    pub(super) chain: Chain,
    /// The events, each behind its length.
    pub(super) body: &'a [u8],
}

/// Length a frame says it has, when the bytes can be the start of one.
pub(super) fn frame_len(bytes: &[u8]) -> Option<usize> {
    if bytes.len() < FRAME_HEAD_BYTES {
        return None;
    }
    let len = u32_at(bytes, 0) as usize;
    (FRAME_HEAD_BYTES..=MAX_FRAME_BYTES).contains(&len).then_some(len)
}

/// The frame at the start of `bytes`; `None` when there is no whole one.
pub(super) fn parse_frame(bytes: &[u8]) -> Option<Frame<'_>> {
    let frame = bytes.get(..frame_len(bytes)?)?;
    if frame_crc(frame) != u32_at(frame, 4) {
        return None;
    }
    Some(Frame { first_seq: u64_at(frame, 8), chain: chain_of(&frame[16..32]), body: &frame[FRAME_HEAD_BYTES..] })
}

/// Fills in the head of a frame whose events stand behind [`FRAME_HEAD_BYTES`] spare bytes. Returns the new chain.
pub(super) fn seal_frame(frame: &mut [u8], first_seq: u64, previous: &Chain) -> Chain {
    assert!(
        (FRAME_HEAD_BYTES..=MAX_FRAME_BYTES).contains(&frame.len()),
        "INV-JOURNAL-2: a frame has a head and at most 16 MiB"
    );
    let chain = next_chain(previous, &frame[FRAME_HEAD_BYTES..]);
    let len = frame.len() as u32;
    frame[0..4].copy_from_slice(&len.to_le_bytes());
    frame[8..16].copy_from_slice(&first_seq.to_le_bytes());
    frame[16..32].copy_from_slice(&chain);
    let crc = frame_crc(frame);
    frame[4..8].copy_from_slice(&crc.to_le_bytes());
    chain
}

/// Chain behind a frame with these events.
pub(super) fn next_chain(previous: &Chain, body: &[u8]) -> Chain {
    let mut hasher = blake3::Hasher::new();
    hasher.update(previous).update(body);
    chain_of(&hasher.finalize().as_bytes()[..16])
}

/// The chain that these 16 bytes are.
pub(super) fn chain_of(bytes: &[u8]) -> Chain {
    let mut chain = Chain::default();
    chain.copy_from_slice(bytes);
    chain
}

/// Whether a whole frame starts anywhere in `bytes` behind its first byte, with a sequence number that can follow `seq`.
/// This is what tells damage (something valid lies behind it) from a torn last write (nothing does).
pub(super) fn holds_later_frame(bytes: &[u8], seq: u64) -> bool {
    let last = seq.saturating_add(bytes.len() as u64);
    (1..bytes.len().saturating_sub(FRAME_HEAD_BYTES - 1)).any(|at| {
        let rest = &bytes[at..];
        (seq..=last).contains(&u64_at(rest, 8)) && parse_frame(rest).is_some()
    })
}

/// Appends one event behind its length.
pub(super) fn push_event(frame: &mut Vec<u8>, payload: &[u8]) {
    let mut len = payload.len();
    while len >= 0x80 {
        frame.push(len as u8 | 0x80);
        len >>= 7;
    }
    frame.push(len as u8);
    frame.extend_from_slice(payload);
}

/// Bytes [`push_event`] takes for a payload.
pub(super) fn event_bytes(payload: &[u8]) -> usize {
    let bits = usize::BITS - payload.len().leading_zeros();
    bits.max(1).div_ceil(7) as usize + payload.len()
}

/// Takes the first event off `body`; `None` when the bytes are not an event.
pub(super) fn split_event<'a>(body: &mut &'a [u8]) -> Option<&'a [u8]> {
    let mut len = 0_usize;
    for (index, &byte) in body.iter().take(4).enumerate() {
        len |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let payload = body.get(index + 1..index + 1 + len)?;
            *body = &body[index + 1 + len..];
            return Some(payload);
        }
    }
    None
}

/// Number of events in a frame's body; `None` when they do not fill it exactly or are too many.
pub(super) fn count_events(mut body: &[u8]) -> Option<u32> {
    let mut count = 0_u32;
    while !body.is_empty() {
        split_event(&mut body)?;
        count += 1;
    }
    (count <= MAX_FRAME_EVENTS).then_some(count)
}

/// File name of the segment that starts with this event.
pub(super) fn file_name(first_seq: u64) -> String {
    format!("{first_seq:020}.seg")
}

/// The first event a segment's file name promises, packed or not; `None` for other files.
pub(super) fn parse_file_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg").or_else(|| name.strip_suffix(".pack"))?;
    let all_digits = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if all_digits { digits.parse().ok() } else { None }
}

/// Lower-case hexadecimal digits of a chain.
pub(super) fn chain_hex(chain: &Chain) -> String {
    chain.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn frame_crc(frame: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&frame[0..4]), &frame[8..])
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut raw = [0; 4];
    raw.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(raw)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut raw = [0; 8];
    raw.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(raw)
}
