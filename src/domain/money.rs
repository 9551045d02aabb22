//! Money as exact integers: prices in pico-USD per token, amounts in nano-USD. There is no floating-point money
//! inside; `f64` dollars exist only at the wire and are converted here, once, on the way in and out.

use std::fmt;

/// Nano-USD in one dollar.
pub const NANO_PER_USD: u64 = 1_000_000_000;

/// The largest amount one call may cost, in nano-USD ($1,000,000).
pub const MAX_CALL_NANO_USD: u64 = 1_000_000 * NANO_PER_USD;

/// An amount of money in integer nano-USD (10⁻⁹ USD); never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NanoUsd(pub u64);

/// Why a number or text is not an amount of money.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not a plain decimal number.
    #[error("`{0}` is not a plain decimal number such as \"2.50\"")]
    NotDecimal(String),
    /// More digits after the point than can be kept exactly.
    #[error("`{0}` has more than {1} digits after the point")]
    TooPrecise(String, u32),
    /// Outside the range of the unit.
    #[error("`{0}` is out of range")]
    OutOfRange(String),
}

impl NanoUsd {
    /// No money.
    pub const ZERO: Self = Self(0);

    /// Dollars to nano-USD, rounded half to even.
    ///
    /// # Errors
    /// Not finite, negative, or above $1,000,000.
    pub fn from_usd(usd: f64) -> Result<Self, MoneyError> {
        let nano = (usd * NANO_PER_USD as f64).round_ties_even();
        if !(0.0..=MAX_CALL_NANO_USD as f64).contains(&nano) {
            return Err(MoneyError::OutOfRange(usd.to_string()));
        }
        Ok(Self(nano as u64))
    }

    /// Parses dollars written as a plain decimal (`"0.05"`), at most nine digits after the point.
    ///
    /// # Errors
    /// Not a plain decimal, too precise, or above $1,000,000.
    pub fn parse_usd(text: &str) -> Result<Self, MoneyError> {
        Self::parse_usd_up_to(text, Self(MAX_CALL_NANO_USD))
    }

    /// As [`Self::parse_usd`], for amounts that are more than one call's: at most `max`.
    ///
    /// # Errors
    /// Not a plain decimal, too precise, or above `max`.
    pub fn parse_usd_up_to(text: &str, max: Self) -> Result<Self, MoneyError> {
        let amount = Self(parse_decimal(text, 9)?);
        if amount > max { Err(MoneyError::OutOfRange(text.to_owned())) } else { Ok(amount) }
    }

    /// The amount in dollars, for the wire and for people.
    #[must_use]
    pub fn usd(self) -> f64 {
        self.0 as f64 / NANO_PER_USD as f64
    }
}

/// Dollars with nine digits, trailing zeros cut to at least two: `$0.0021`, `$1.00`.
impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:09}", self.0 % NANO_PER_USD);
        let cut = digits.trim_end_matches('0');
        write!(f, "${}.{cut:0<2}", self.0 / NANO_PER_USD)
    }
}

/// A price in integer pico-USD (10⁻¹² USD) per token: $1 per million tokens is 1,000,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PicoUsdPerToken(pub u64);

/// The dearest price a catalogue may hold: $1 a token.
const MAX_PICO_PER_TOKEN: u64 = 1_000_000_000_000;

impl PicoUsdPerToken {
    /// Parses a price in USD per million tokens (`"0.15"`), at most six digits after the point.
    ///
    /// # Errors
    /// Not a plain decimal, too precise, or above $1 a token.
    pub fn parse_usd_per_mtok(text: &str) -> Result<Self, MoneyError> {
        let pico = parse_decimal(text, 6)?;
        if pico > MAX_PICO_PER_TOKEN {
            return Err(MoneyError::OutOfRange(text.to_owned()));
        }
        Ok(Self(pico))
    }

    /// The price in USD per million tokens, for people.
    #[must_use]
    pub fn usd_per_mtok(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

/// A negotiated factor on list prices in parts per billion; `ONE` changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PriceMultiplier(u64);

impl Default for PriceMultiplier {
    fn default() -> Self {
        Self::ONE
    }
}

impl PriceMultiplier {
    /// List price.
    pub const ONE: Self = Self(1_000_000_000);

    /// Parses a factor such as `"0.85"`; 0 to 100, at most nine digits after the point.
    ///
    /// # Errors
    /// Not a plain decimal, too precise, or above 100.
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        let ppb = parse_decimal(text, 9)?;
        if ppb > 100 * Self::ONE.0 {
            return Err(MoneyError::OutOfRange(text.to_owned()));
        }
        Ok(Self(ppb))
    }

    /// This factor times another, rounded half to even to one part per billion and held at 100.
    #[must_use]
    pub fn times(self, other: Self) -> Self {
        let product = div_half_even(u128::from(self.0) * u128::from(other.0), u128::from(Self::ONE.0));
        Self(u64::try_from(product).unwrap_or(u64::MAX).min(100 * Self::ONE.0))
    }

    /// The factor as a number.
    #[must_use]
    pub fn factor(self) -> f64 {
        self.0 as f64 / Self::ONE.0 as f64
    }
}

/// Pico-USD of one call before the multiplier; sums of tokens × price, exact in 128 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PicoUsd(pub u128);

impl PicoUsd {
    /// Adds `tokens` at `price`.
    #[must_use]
    pub fn plus(self, tokens: u64, price: PicoUsdPerToken) -> Self {
        Self(self.0 + u128::from(tokens) * u128::from(price.0))
    }

    /// Rounds once, half to even, to nano-USD after the multiplier; `None` above $1,000,000.
    #[must_use]
    pub fn round(self, multiplier: PriceMultiplier) -> Option<NanoUsd> {
        let scaled = self.0.checked_mul(u128::from(multiplier.0))?;
        let nano = div_half_even(scaled, 1_000 * u128::from(PriceMultiplier::ONE.0));
        u64::try_from(nano).ok().filter(|n| *n <= MAX_CALL_NANO_USD).map(NanoUsd)
    }
}

/// `n / d` rounded half to even; `d` > 0.
pub(crate) fn div_half_even(n: u128, d: u128) -> u128 {
    let (q, r) = (n / d, n % d);
    match (2 * r).cmp(&d) {
        std::cmp::Ordering::Greater => q + 1,
        std::cmp::Ordering::Equal => q + (q & 1),
        std::cmp::Ordering::Less => q,
    }
}

/// A plain non-negative decimal as an integer of 10^-`digits` units.
fn parse_decimal(text: &str, digits: u32) -> Result<u64, MoneyError> {
    let bad = || MoneyError::NotDecimal(text.to_owned());
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    if whole.is_empty() || part.is_empty() || !(whole.bytes().chain(part.bytes())).all(|b| b.is_ascii_digit()) {
        return Err(bad());
    }
    let part = part.trim_end_matches('0');
    if part.len() > digits as usize {
        return Err(MoneyError::TooPrecise(text.to_owned(), digits));
    }
    let range = || MoneyError::OutOfRange(text.to_owned());
    let whole: u64 = whole.parse().map_err(|_| range())?;
    let part: u64 = format!("{part:0<width$}", width = digits as usize).parse().map_err(|_| bad())?;
    whole.checked_mul(10u64.pow(digits)).and_then(|w| w.checked_add(part)).ok_or_else(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_round_half_to_even_on_entry() {
        assert_eq!(NanoUsd::from_usd(0.0021), Ok(NanoUsd(2_100_000)));
        assert_eq!(NanoUsd::from_usd(0.5e-9), Ok(NanoUsd(0)));
        assert_eq!(NanoUsd::from_usd(1.5e-9), Ok(NanoUsd(2)));
        for bad in [f64::NAN, f64::INFINITY, -1.0, 1e308, 1_000_000.1] {
            assert!(NanoUsd::from_usd(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn prices_parse_exactly_or_not_at_all() {
        assert_eq!(PicoUsdPerToken::parse_usd_per_mtok("0.15"), Ok(PicoUsdPerToken(150_000)));
        assert_eq!(PicoUsdPerToken::parse_usd_per_mtok("5"), Ok(PicoUsdPerToken(5_000_000)));
        for bad in ["", ".", "1.", ".5", "-1", "1e3", "0.0000001", "1,5", " 1", "99999999999999999999"] {
            assert!(PicoUsdPerToken::parse_usd_per_mtok(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn one_rounding_per_call_half_to_even() {
        let one = PicoUsdPerToken(1);
        assert_eq!(PicoUsd::default().plus(500, one).round(PriceMultiplier::ONE), Some(NanoUsd(0)));
        assert_eq!(PicoUsd::default().plus(1500, one).round(PriceMultiplier::ONE), Some(NanoUsd(2)));
        let half = PriceMultiplier::parse("0.5").unwrap();
        assert_eq!(PicoUsd::default().plus(3000, one).round(half), Some(NanoUsd(2)));
        assert_eq!(half.times(half), PriceMultiplier::parse("0.25").unwrap());
    }

    #[test]
    fn amounts_print_with_two_to_nine_digits() {
        assert_eq!(NanoUsd(69_000).to_string(), "$0.000069");
        assert_eq!(NanoUsd(1_500_000_000).to_string(), "$1.50");
        assert_eq!(NanoUsd(2_000_000_000).to_string(), "$2.00");
    }
}
