//! A sum over calls in few bytes. Most sums are over a handful of calls and most of their numbers are nothing, so that a
//! tally of some 400 bytes is kept in some 40; hours are kept for ever. It knows no numbers' meaning.

use super::rollup::{NUMBERS, Tally};
use super::series::Kept;

/// A tally as it is kept: which of its numbers are not nothing, one bit each, and then those, each zigzag and in groups of
/// seven bits, the lowest first. Nothing at all is no bytes. Equal tallies have equal bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackedTally(Box<[u8]>);

impl PackedTally {
    /// What `tally` is kept as.
    #[must_use]
    pub fn of(tally: &Tally) -> Self {
        let (mut bits, mut bytes) = (0, Vec::with_capacity(64));
        for (place, number) in tally.numbers().into_iter().enumerate() {
            if number != 0 {
                bits |= 1 << place;
                put(&mut bytes, zigzag(number));
            }
        }
        if bytes.is_empty() {
            return Self::default();
        }
        let mut all = Vec::with_capacity(bytes.len() + NUMBERS.div_ceil(7));
        put(&mut all, bits);
        all.extend_from_slice(&bytes);
        Self(all.into_boxed_slice())
    }

    /// The tally that is kept.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let mut bytes = &*self.0;
        if bytes.is_empty() {
            return Tally::default();
        }
        let bits = take(&mut bytes);
        let number = |place| if bits >> place & 1 == 0 { 0 } else { unzigzag(take(&mut bytes)) };
        Tally::of_numbers(&std::array::from_fn(number))
    }
}

impl Kept for PackedTally {
    type Sum = Tally;
    const BY_DAY: bool = true;

    fn look<R>(&self, look: impl FnOnce(&Tally) -> R) -> R {
        look(&self.tally())
    }

    fn change<R>(&mut self, change: impl FnOnce(&mut Tally) -> R) -> R {
        let mut tally = self.tally();
        let told = change(&mut tally);
        *self = Self::of(&tally);
        told
    }
}

fn zigzag(number: i128) -> u128 {
    (number << 1 ^ number >> 127) as u128
}

fn unzigzag(number: u128) -> i128 {
    (number >> 1) as i128 ^ -((number & 1) as i128)
}

fn put(bytes: &mut Vec<u8>, mut number: u128) {
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// The next number; what is not there counts as 0.
fn take(bytes: &mut &[u8]) -> u128 {
    let (mut number, mut shift) = (0, 0);
    while let Some((byte, rest)) = bytes.split_first() {
        *bytes = rest;
        number |= u128::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_takes_no_bytes_and_a_few_numbers_few() {
        assert_eq!(PackedTally::of(&Tally::default()), PackedTally::default());
        let tally = Tally { calls: 1, successes: 1, cost: 420_000, costed: 1, input_tokens: 300, ..Tally::default() };
        // The bits up to that of `input_tokens`, the 20th, take 3; then 1 + 1 + 3 + 1 + 2.
        assert_eq!(PackedTally::of(&tally).0.len(), 11);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_tally_comes_back_as_it_was(
            small in prop::array::uniform20(-3_i64..3), large in any::<[i128; 6]>(),
            arms in any::<[i64; 7]>(), selections in prop::array::uniform7(0_i64..2),
        ) {
            let mut numbers: Vec<i128> = small.iter().chain(&arms).chain(&selections).map(|n| i128::from(*n)).collect();
            let tally = Tally {
                arms, selections, calls: small[0], metered: small[1], decisions: small[2], cost: large[0],
                cost_squared: large[1], evaluation_cost: large[2], ..Tally::default()
            };
            prop_assert_eq!(PackedTally::of(&tally).tally(), tally);
            numbers.extend(large);
            numbers.truncate(NUMBERS);
            let mut bytes = Vec::new();
            numbers.iter().for_each(|n| put(&mut bytes, zigzag(*n)));
            let mut rest = &*bytes;
            for number in numbers {
                prop_assert_eq!(unzigzag(take(&mut rest)), number);
            }
            prop_assert!(rest.is_empty());
        }
    }
}
