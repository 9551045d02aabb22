//! The layout of the stored state: which key a record has, and how a value is sealed (version ‖ message ‖ CRC-32C of key,
//! version and message), so that a record can be neither torn, nor flipped, nor found under another's key.

use prost::Message;

use super::error::StoreError;
use crate::domain::names::{LabelsId, NameId};
use crate::domain::rollup::{Grain, RollupKey};
use crate::domain::time::UnixMillis;
use crate::journal::codec::{self, CodecError, VERSION};

/// The only project so far; every key begins with its number.
const PROJECT: u32 = 0;

/// How many low bits of a call's number are its slot within its page: sled took 295 bytes a record at 10 million records,
/// so calls share records. With 32 on a page, 200,000 calls came to 236 bytes each, goals and sums included.
pub(super) const SLOT_BITS: u32 = 5;

/// The kinds of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Meta = b'm',
    Name = b'n',
    Labels = b'l',
    Cell = b'c',
    Flag = b'f',
    ModelStates = b's',
    Hour = b'h',
    Minute = b'i',
    OpenPage = b'o',
    Page = b'p',
    Goal = b'g',
    Key = b'k',
}

impl Kind {
    /// What all keys of this kind begin with.
    pub(super) fn prefix(self) -> Vec<u8> {
        let mut key = PROJECT.to_be_bytes().to_vec();
        key.push(self as u8);
        key
    }

    /// The key of this kind that ends in `parts`.
    pub(super) fn key(self, parts: &[&[u8]]) -> Vec<u8> {
        let mut key = self.prefix();
        parts.iter().for_each(|part| key.extend_from_slice(part));
        key
    }
}

/// Bytes in front of what identifies a record within its kind.
pub(super) const PREFIX: usize = 5;

/// Key of the mark of a page that holds open decisions.
pub(super) fn open_page(page: u64) -> Vec<u8> {
    Kind::OpenPage.key(&[&page.to_be_bytes()])
}

/// Key of a page of calls.
pub(super) fn page(page: u64) -> Vec<u8> {
    Kind::Page.key(&[&page.to_be_bytes()])
}

/// Key of a name.
pub(super) fn name(kind: usize, id: NameId) -> Vec<u8> {
    Kind::Name.key(&[&[kind as u8], &id.0.to_be_bytes()])
}

/// Key of a set of labels.
pub(super) fn labels(id: LabelsId) -> Vec<u8> {
    Kind::Labels.key(&[&id.0.to_be_bytes()])
}

/// Key of a cell.
pub(super) fn cell(task: NameId, candidate: NameId) -> Vec<u8> {
    Kind::Cell.key(&[&task.0.to_be_bytes(), &candidate.0.to_be_bytes()])
}

/// What all sums of one bucket begin with.
pub(super) fn bucket(grain: Grain, start: UnixMillis) -> Vec<u8> {
    let kind = if grain == Grain::Hour { Kind::Hour } else { Kind::Minute };
    // The sign bit is flipped so that keys sort as instants do.
    kind.key(&[&((start.0 as u64) ^ (1 << 63)).to_be_bytes()])
}

/// Key of a sum.
pub(super) fn sum(grain: Grain, start: UnixMillis, of: &RollupKey) -> Vec<u8> {
    let RollupKey { task, candidate, workflow, step, tool, labels } = *of;
    let mut key = bucket(grain, start);
    for part in [task.0, candidate.0, workflow.0, step.0, tool.0, labels.0] {
        key.extend_from_slice(&part.to_be_bytes());
    }
    key
}

/// The inverse of [`sum`].
pub(super) fn read_sum(key: &[u8]) -> Result<(UnixMillis, RollupKey), StoreError> {
    let mut rest = Rest::of(key);
    let start = UnixMillis((rest.u64()? ^ (1 << 63)) as i64);
    let mut next = || rest.u32();
    let (task, candidate) = (NameId(next()?), NameId(next()?));
    let (workflow, step, tool) = (NameId(next()?), NameId(next()?), NameId(next()?));
    let of = RollupKey { task, candidate, workflow, step, tool, labels: LabelsId(next()?) };
    Ok((start, of))
}

/// Reads the numbers a key is made of.
pub(super) struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    /// The part of `key` behind its kind.
    pub(super) fn of(key: &'a [u8]) -> Self {
        Self(key.get(PREFIX..).unwrap_or_default())
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        let (first, rest) = self.0.split_first_chunk().ok_or_else(|| StoreError::broken("a key is too short"))?;
        self.0 = rest;
        Ok(*first)
    }

    /// The next byte.
    pub(super) fn u8(&mut self) -> Result<u8, StoreError> {
        self.take().map(|[byte]| byte)
    }

    /// The next four bytes.
    pub(super) fn u32(&mut self) -> Result<u32, StoreError> {
        self.take().map(u32::from_be_bytes)
    }

    /// The next eight bytes.
    pub(super) fn u64(&mut self) -> Result<u64, StoreError> {
        self.take().map(u64::from_be_bytes)
    }
}

const CRC: usize = 4;

/// The value stored for `message` under `key`.
pub(super) fn seal(key: &[u8], message: &impl Message) -> Vec<u8> {
    let mut value = Vec::with_capacity(1 + message.encoded_len() + CRC);
    value.push(VERSION);
    value.extend_from_slice(&message.encode_to_vec());
    let crc = crc32c::crc32c_append(crc32c::crc32c(key), &value);
    value.extend_from_slice(&crc.to_le_bytes());
    value
}

/// The bytes of the message stored as `value` under `key`.
pub(super) fn intact<'a>(key: &[u8], value: &'a [u8]) -> Result<&'a [u8], StoreError> {
    let (sealed, crc) = value.split_last_chunk::<CRC>().ok_or_else(|| StoreError::broken("a record is too short"))?;
    if crc32c::crc32c_append(crc32c::crc32c(key), sealed) != u32::from_le_bytes(*crc) {
        return Err(StoreError::broken("the checksum of a record does not hold"));
    }
    Ok(codec::message(sealed)?)
}

/// The message stored as `value` under `key`.
pub(super) fn unseal<M: Message + Default>(key: &[u8], value: &[u8]) -> Result<M, StoreError> {
    let message = M::decode(intact(key, value)?);
    message.map_err(|e| CodecError::Malformed(e.to_string()).into())
}

/// A record's share in the sum that tells whether any is missing: additive, so that records can come and go.
pub(super) fn share(key: &[u8], value: &[u8]) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(key.len() as u32).to_be_bytes()).update(key).update(value);
    let mut first = [0; 16];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    u128::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::pb;

    #[test]
    fn a_record_under_another_key_or_with_a_flipped_bit_is_refused() {
        let message = pb::KeyUse { body: 9, call: 8, seq: 7 };
        let key = Kind::Key.key(&[&5_u128.to_be_bytes()]);
        let value = seal(&key, &message);
        assert_eq!(unseal::<pb::KeyUse>(&key, &value).unwrap(), message);
        assert!(unseal::<pb::KeyUse>(&Kind::Key.key(&[&6_u128.to_be_bytes()]), &value).is_err());
        for bit in 0..value.len() * 8 {
            let mut flipped = value.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(unseal::<pb::KeyUse>(&key, &flipped).is_err(), "bit {bit}");
        }
        assert!(unseal::<pb::KeyUse>(&key, &value[..3]).is_err());
    }

    #[test]
    fn sums_sort_by_time_and_come_back() {
        let of = RollupKey { task: NameId(3), labels: LabelsId(9), ..RollupKey::default() };
        let keys = [-60_000, 0, 60_000].map(|at| sum(Grain::Minute, UnixMillis(at), &of));
        assert!(keys.is_sorted());
        assert_eq!(read_sum(&keys[0]).unwrap(), (UnixMillis(-60_000), of));
        assert!(read_sum(&keys[0][..20]).is_err());
    }
}
