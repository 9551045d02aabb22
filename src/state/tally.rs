//! Sums over calls, between the domain and the bytes: counts as one packed sequence, 128-bit sums in their shortest form.

use crate::domain::rollup::Tally;
use crate::journal::codec::CodecError;
use crate::journal::pb;

const ARMS: usize = 7;
const SELECTIONS: usize = 7;
const SCALARS: usize = 16;
const SUMS: usize = 6;
/// Counts that came later; they stand after the others, which keep their places.
const LATER: usize = 5;

/// A sum as stored.
pub(super) fn stored(tally: &Tally) -> pb::Tally {
    // Taken apart by name, so that a field added to the domain does not compile until it is stored.
    let Tally {
        decisions,
        decisions_settled,
        decisions_expired,
        decisions_voided,
        calls,
        successes,
        failures,
        retries,
        off_policy,
        unpriced,
        cost,
        costed,
        failed_cost,
        retry_cost,
        costed_successes,
        cost_squared,
        success_cost,
        evaluations,
        evaluation_cost,
        input_tokens,
        output_tokens,
        cached_input_tokens,
        cache_write_tokens,
        latency_ms,
        timed,
        energy_mj,
        metered,
        arms,
        selections,
    } = *tally;
    let scalars: [i64; SCALARS] = [
        decisions,
        decisions_settled,
        decisions_expired,
        decisions_voided,
        calls,
        successes,
        failures,
        retries,
        off_policy,
        unpriced,
        costed,
        costed_successes,
        evaluations,
        input_tokens,
        output_tokens,
        cached_input_tokens,
    ];
    let later: [i64; LATER] = [latency_ms, timed, energy_mj, metered, cache_write_tokens];
    let mut counts = [&scalars[..], &arms, &selections, &later].concat();
    while counts.last() == Some(&0) {
        counts.pop();
    }
    let wides: [i128; SUMS] = [cost, failed_cost, retry_cost, cost_squared, success_cost, evaluation_cost];
    let mut sums = wides.map(wide_of).to_vec();
    while sums.last().is_some_and(Vec::is_empty) {
        sums.pop();
    }
    pb::Tally { counts, sums }
}

/// A sum as read.
pub(super) fn read(stored: &pb::Tally) -> Result<Tally, CodecError> {
    let count = |i: usize| stored.counts.get(i).copied().unwrap_or(0);
    let sum = |i: usize| stored.sums.get(i).map_or(Ok(0), |bytes| wide(bytes));
    if stored.counts.len() > SCALARS + ARMS + SELECTIONS + LATER || stored.sums.len() > SUMS {
        return Err(CodecError::Ragged { field: "tally" });
    }
    let later = |i: usize| count(SCALARS + ARMS + SELECTIONS + i);
    Ok(Tally {
        decisions: count(0),
        decisions_settled: count(1),
        decisions_expired: count(2),
        decisions_voided: count(3),
        calls: count(4),
        successes: count(5),
        failures: count(6),
        retries: count(7),
        off_policy: count(8),
        unpriced: count(9),
        cost: sum(0)?,
        costed: count(10),
        failed_cost: sum(1)?,
        retry_cost: sum(2)?,
        costed_successes: count(11),
        cost_squared: sum(3)?,
        success_cost: sum(4)?,
        evaluations: count(12),
        evaluation_cost: sum(5)?,
        input_tokens: count(13),
        output_tokens: count(14),
        cached_input_tokens: count(15),
        cache_write_tokens: later(4),
        latency_ms: later(0),
        timed: later(1),
        energy_mj: later(2),
        metered: later(3),
        arms: std::array::from_fn(|i| count(SCALARS + i)),
        selections: std::array::from_fn(|i| count(SCALARS + ARMS + i)),
    })
}

/// Big-endian two's complement without the bytes that only repeat the sign; 0 is empty.
pub(super) fn wide_of(number: i128) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let sign = if number < 0 { 0xff } else { 0 };
    let first = bytes.iter().position(|b| *b != sign).unwrap_or(bytes.len());
    // The leading bit kept must be the sign.
    let keeps_sign = bytes.get(first).is_some_and(|b| (b & 0x80 != 0) == (number < 0));
    let from = if keeps_sign || number == 0 { first } else { first - 1 };
    bytes[from..].to_vec()
}

/// The inverse of [`wide_of`].
pub(super) fn wide(stored: &[u8]) -> Result<i128, CodecError> {
    if stored.len() > 16 {
        return Err(CodecError::Ragged { field: "sums" });
    }
    let sign = if stored.first().is_some_and(|b| b & 0x80 != 0) { -1 } else { 0 };
    Ok(stored.iter().fold(sign, |number: i128, byte| number << 8 | i128::from(*byte)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wide_numbers_take_their_shortest_form() {
        let form = |n: i128| (n, wide_of(n).len());
        assert_eq!(
            [0, 127, 128, -1, -128, -129].map(form),
            [(0, 0), (127, 1), (128, 2), (-1, 1), (-128, 1), (-129, 2)]
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_sum_comes_back_as_it_was(
            counts in proptest::array::uniform16(any::<i64>()), sums in proptest::array::uniform6(any::<i128>()),
            small in any::<i64>(), later in any::<[i64; 5]>(), arms in any::<[i64; 7]>(), selections in any::<[i64; 7]>(),
        ) {
            let tally = Tally {
                decisions: counts[0], decisions_settled: counts[1], decisions_expired: counts[2],
                decisions_voided: counts[3], calls: counts[4], successes: counts[5], failures: counts[6],
                retries: counts[7], off_policy: counts[8], unpriced: counts[9], cost: sums[0], costed: counts[10],
                failed_cost: sums[1], retry_cost: sums[2], costed_successes: counts[11], cost_squared: sums[3],
                success_cost: i128::from(small), evaluations: counts[12], evaluation_cost: sums[5],
                input_tokens: counts[13], output_tokens: counts[14],
                cached_input_tokens: counts[15], cache_write_tokens: later[4], latency_ms: later[0],
                timed: later[1], energy_mj: later[2], metered: later[3], arms, selections,
            };
            prop_assert_eq!(read(&stored(&tally)).unwrap(), tally);
            let decisions = Tally { decisions: counts[0], ..Tally::default() };
            prop_assert_eq!(read(&stored(&decisions)).unwrap(), decisions);
        }
    }
}
