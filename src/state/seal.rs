//! How a record's value is sealed: version ‖ message ‖ CRC-32C of key, version and message, so that a record can be neither torn,
//! nor flipped, nor found under another's key. Long messages are deflated: a page of calls takes little more than half. It knows
//! nothing of what a message says.

use std::cell::RefCell;

use flate2::{Compress, Compression, FlushCompress, Status};
use prost::Message;

use super::error::StoreError;
use crate::journal::codec::{self, CodecError, VERSION};
use crate::journal::inflated;

const CRC: usize = 4;

/// The version byte of a message that is deflated, with its length (u32, little-endian) before it. Since format 10.
const DEFLATED: u8 = 0x80 | VERSION;

/// Messages from this size on are deflated, in bytes; shorter ones gain next to nothing (most goals have some 350).
const DEFLATED_FROM: usize = 1_024;

/// No message is longer, in bytes: a goal's parts, pages of calls and sketches stay far below.
const LONGEST: usize = 64 << 20;

/// The value stored for `message` under `key`.
pub(super) fn seal(key: &[u8], message: &impl Message) -> Vec<u8> {
    let plain = message.encode_to_vec();
    let mut value = Vec::with_capacity(1 + plain.len() + CRC);
    if plain.len() < DEFLATED_FROM || !deflated(&plain, &mut value) {
        value.clear();
        value.push(VERSION);
        value.extend_from_slice(&plain);
    }
    let crc = crc32c::crc32c_append(crc32c::crc32c(key), &value);
    value.extend_from_slice(&crc.to_le_bytes());
    value
}

/// Puts a deflated message into `value`, as far as its capacity goes; `false`: it does not fit, so it gains nothing.
fn deflated(plain: &[u8], value: &mut Vec<u8>) -> bool {
    thread_local! {
        /// Takes some 100 KiB, and longer to make than to use.
        static COMPRESS: RefCell<Compress> = RefCell::new(Compress::new(Compression::default(), false));
    }
    value.push(DEFLATED);
    value.extend_from_slice(&(plain.len() as u32).to_le_bytes());
    COMPRESS.with_borrow_mut(|compress| {
        compress.reset();
        matches!(compress.compress_vec(plain, value, FlushCompress::Finish), Ok(Status::StreamEnd))
    })
}

/// The version byte and the bytes of the message stored as `value` under `key`, whole but perhaps deflated.
fn sealed<'a>(key: &[u8], value: &'a [u8]) -> Result<&'a [u8], StoreError> {
    let (sealed, crc) = value.split_last_chunk::<CRC>().ok_or_else(|| StoreError::broken("a record is too short"))?;
    if crc32c::crc32c_append(crc32c::crc32c(key), sealed) != u32::from_le_bytes(*crc) {
        return Err(StoreError::broken("the checksum of a record does not hold"));
    }
    Ok(sealed)
}

/// Checks that `value` is what was stored under `key`, without reading the message in it.
pub(super) fn check(key: &[u8], value: &[u8]) -> Result<(), StoreError> {
    match sealed(key, value)? {
        [DEFLATED, ..] => Ok(()),
        plain => Ok(codec::message(plain).map(drop)?),
    }
}

/// The message stored as `value` under `key`.
pub(super) fn unseal<M: Message + Default>(key: &[u8], value: &[u8]) -> Result<M, StoreError> {
    let message = match sealed(key, value)? {
        [DEFLATED, rest @ ..] => M::decode(&plain(rest)?[..]),
        plain => M::decode(codec::message(plain)?),
    };
    message.map_err(|e| CodecError::Malformed(e.to_string()).into())
}

fn plain(rest: &[u8]) -> Result<Vec<u8>, StoreError> {
    let broken = || StoreError::broken("a deflated record does not have its length");
    let (length, packed) = rest.split_first_chunk().ok_or_else(broken)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok().filter(|length| *length <= LONGEST);
    let length = length.ok_or_else(broken)?;
    inflated(packed, length).ok_or_else(broken)
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
    use super::super::keys::Kind;
    use super::*;
    use crate::journal::pb;

    #[test]
    fn a_record_under_another_key_or_with_a_flipped_bit_is_refused() {
        let message = pb::KeyUse { body: 9, call: 8, seq: 7, at_ms: 6 };
        refuses_what_is_changed(&message);
        let call = |slot| pb::Call {
            slot,
            goal: "a goal of many calls, of which each repeats its name".into(),
            ..pb::Call::default()
        };
        let calls = (0..32).map(call).collect();
        refuses_what_is_changed(&pb::CallPage { calls });
    }

    fn refuses_what_is_changed<M: Message + Default + PartialEq + std::fmt::Debug>(message: &M) {
        let key = Kind::Key.key(&[&5_u128.to_be_bytes()]);
        let value = seal(&key, message);
        assert_eq!(&unseal::<M>(&key, &value).unwrap(), message);
        check(&key, &value).unwrap();
        let other = Kind::Key.key(&[&6_u128.to_be_bytes()]);
        assert!(unseal::<M>(&other, &value).is_err() && check(&other, &value).is_err());
        for bit in 0..value.len() * 8 {
            let mut flipped = value.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(unseal::<M>(&key, &flipped).is_err() && check(&key, &flipped).is_err(), "bit {bit}");
        }
        assert!(unseal::<M>(&key, &value[..3]).is_err());
    }

    /// What lies in a snapshot may have been written before long messages were deflated.
    #[test]
    fn a_long_message_of_format_9_is_read_and_takes_less_when_stored_again() {
        let call =
            |slot| pb::Call { slot, goal: format!("a goal with a long name, number {slot}"), ..pb::Call::default() };
        let calls = (0..32).map(call).collect();
        let message = pb::CallPage { calls };
        let key = Kind::Page.key(&[&7_u64.to_be_bytes()]);
        let mut plain = vec![VERSION];
        plain.extend_from_slice(&message.encode_to_vec());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&key), &plain);
        plain.extend_from_slice(&crc.to_le_bytes());
        assert_eq!(unseal::<pb::CallPage>(&key, &plain).unwrap(), message);
        let value = seal(&key, &message);
        assert!(value[0] == DEFLATED && value.len() * 2 < plain.len(), "{} of {}", value.len(), plain.len());
    }

    #[test]
    fn a_length_that_a_deflated_message_does_not_have_is_refused() {
        let text = pb::NameText { text: "over and over ".repeat(200) };
        let key = Kind::Name.key(&[&[0, 0]]);
        let value = seal(&key, &text);
        for length in [0, 10, text.encoded_len() as u32 + 1, u32::MAX] {
            let mut other = value[..value.len() - CRC].to_vec();
            other[1..5].copy_from_slice(&length.to_le_bytes());
            let crc = crc32c::crc32c_append(crc32c::crc32c(&key), &other);
            other.extend_from_slice(&crc.to_le_bytes());
            assert!(unseal::<pb::NameText>(&key, &other).is_err(), "length {length}");
        }
    }

    /// Bytes that do not compress are stored as they are.
    #[test]
    fn what_deflating_does_not_shorten_stays_as_it_is() {
        let mut noise = Vec::new();
        for number in 0_u32..200 {
            noise.extend_from_slice(blake3::hash(&number.to_le_bytes()).as_bytes());
        }
        let message = pb::Meta { records_sum: noise, ..pb::Meta::default() };
        let key = Kind::Meta.prefix();
        let value = seal(&key, &message);
        assert_eq!((value[0], value.len()), (VERSION, 1 + message.encoded_len() + CRC));
        assert_eq!(unseal::<pb::Meta>(&key, &value).unwrap(), message);
    }
}
