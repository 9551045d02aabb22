//! Checks on single fields of a request. Every violation is collected, so that a caller learns all of them at once;
//! nothing of a request that has one may be used (`finish` says so). It knows no message and no rpc.

use std::collections::BTreeMap;

use super::refusal::Refusal;
use crate::domain::catalog::ServiceTier;
use crate::domain::money::{MAX_CALL_NANO_USD, NANO_PER_USD, NanoUsd};
use crate::domain::names::Labels;
use crate::domain::outcome::QualityMicro;
use crate::domain::pricing::MAX_TOKENS;
use crate::domain::request_goal::{PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, Page};
use crate::domain::time::{HOUR_MS, UnixMillis};
use crate::domain::token::TokenKey;
use crate::engine::FieldViolation;

/// Longest name or id, in bytes.
pub const NAME_BYTES_MAX: usize = 200;
/// Longest reason, reference or piece of evidence, in bytes.
pub const TEXT_BYTES_MAX: usize = 2_000;
/// Most labels of one call.
pub const LABELS_MAX: usize = 32;
/// Longest key of a label or feature, in bytes.
pub const KEY_BYTES_MAX: usize = 64;
/// Longest value of a label, in bytes.
pub const LABEL_VALUE_BYTES_MAX: usize = 256;
/// Most features of one request.
pub const FEATURES_MAX: usize = 32;
/// Most entries of a list of models or capabilities.
pub const LIST_MAX: usize = 64;

/// The label whose value is kept only as a keyed digest.
pub(super) const CONCEALED_LABEL: &str = "user";

/// Most violations reported at once: they travel in a header, whose size is bounded.
const VIOLATIONS_MAX: usize = 16;
/// Most energy of one call, in joules.
const ENERGY_J_MAX: f64 = 1e12;
/// Longest window of a report, in hours (about 114 years).
const LOOKBACK_HOURS_MAX: f64 = 1_000_000.0;
/// Seconds of 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z: what a protobuf timestamp may hold.
const TIMESTAMP_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// Collects what is wrong with a request.
#[derive(Debug, Default)]
pub(super) struct Fields {
    violations: Vec<FieldViolation>,
}

impl Fields {
    /// Notes that a field cannot be taken.
    pub(super) fn refuse(&mut self, field: impl Into<String>, why: impl Into<String>) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(FieldViolation::new(field, why));
        }
    }

    /// Ends the checks.
    ///
    /// # Errors
    /// At least one field was refused.
    pub(super) fn finish(self) -> Result<(), Refusal> {
        if self.violations.is_empty() { Ok(()) } else { Err(Refusal::invalid(self.violations)) }
    }

    /// A text of at most `bytes_max` bytes without control characters; empty is allowed.
    pub(super) fn text(&mut self, field: &str, text: String, bytes_max: usize) -> String {
        if let Some(why) = fault_of_text(&text, bytes_max) {
            self.refuse(field, why);
        }
        text
    }

    /// A name or id; absent and empty are the same.
    pub(super) fn name(&mut self, field: &str, text: Option<String>) -> String {
        self.text(field, text.unwrap_or_default(), NAME_BYTES_MAX)
    }

    /// A name or id, `None` where it was left out.
    pub(super) fn optional_name(&mut self, field: &str, text: Option<String>) -> Option<String> {
        Some(self.name(field, text)).filter(|t| !t.is_empty())
    }

    /// A text that must be there.
    pub(super) fn required(&mut self, field: &str, text: String, bytes_max: usize) -> String {
        if text.is_empty() {
            self.refuse(field, "is required");
        }
        self.text(field, text, bytes_max)
    }

    /// Dollars: finite, 0 to 1,000,000; rounded half to even to nano-USD.
    pub(super) fn usd(&mut self, field: &str, usd: Option<f64>) -> Option<NanoUsd> {
        let usd = usd?;
        let max = (MAX_CALL_NANO_USD / NANO_PER_USD) as f64;
        let nano = if (0.0..=max).contains(&usd) { NanoUsd::from_usd(usd).ok() } else { None };
        if nano.is_none() {
            self.refuse(field, format!("is {usd:?}; an amount of dollars is finite, 0 or more and at most 1000000"));
        }
        nano
    }

    /// A fraction from 0 to 1.
    pub(super) fn fraction(&mut self, field: &str, value: Option<f64>) -> Option<f64> {
        let value = value?;
        // Also turns -0.0 into 0.0.
        let good = (0.0..=1.0).contains(&value).then_some(value + 0.0);
        if good.is_none() {
            self.refuse(field, format!("is {value:?}; a fraction is from 0 to 1"));
        }
        good
    }

    /// A quality score from 0 to 1; rounded half to even to millionths.
    pub(super) fn quality(&mut self, field: &str, value: Option<f64>) -> Option<QualityMicro> {
        self.fraction(field, value).map(|v| QualityMicro((v * 1e6).round_ties_even() as u32))
    }

    /// A number of tokens, at most [`MAX_TOKENS`].
    pub(super) fn tokens(&mut self, field: &str, tokens: Option<u64>) -> Option<u64> {
        let tokens = tokens?;
        if tokens > MAX_TOKENS {
            self.refuse(field, format!("is {tokens}; at most {MAX_TOKENS} tokens can be counted"));
            return None;
        }
        Some(tokens)
    }

    /// Milliseconds that fit in 32 bits (49 days).
    pub(super) fn millis(&mut self, field: &str, ms: Option<u64>) -> Option<u32> {
        let ms = ms?;
        let good = u32::try_from(ms).ok();
        if good.is_none() {
            self.refuse(field, format!("is {ms}; at most {} ms can be kept", u32::MAX));
        }
        good
    }

    /// Joules, 0 to 10¹²; rounded half to even to millijoules.
    pub(super) fn energy(&mut self, field: &str, joules: Option<f64>) -> Option<u64> {
        let joules = joules?;
        if !(0.0..=ENERGY_J_MAX).contains(&joules) {
            self.refuse(field, format!("is {joules:?}; energy in joules is finite, 0 or more and at most 1e12"));
            return None;
        }
        Some((joules * 1e3).round_ties_even() as u64)
    }

    /// An instant; rounded down to the millisecond.
    pub(super) fn time(&mut self, field: &str, at: Option<prost_types::Timestamp>) -> Option<UnixMillis> {
        let prost_types::Timestamp { seconds, nanos } = at?;
        if !TIMESTAMP_SECONDS.contains(&seconds) || !(0..1_000_000_000).contains(&nanos) {
            self.refuse(field, "is no timestamp: seconds must lie in the years 1 to 9999 and nanos in 0 to 999999999");
            return None;
        }
        Some(UnixMillis(seconds * 1_000 + i64::from(nanos) / 1_000_000))
    }

    /// The length of a window in hours, as milliseconds: above 0 and at most 1,000,000 hours; rounded up, so that it is
    /// never empty. `left_out` says what it is where it is left out.
    pub(super) fn lookback_ms(&mut self, field: &str, hours: f64, left_out: &str) -> Option<i64> {
        if !(hours > 0.0 && hours <= LOOKBACK_HOURS_MAX) {
            let allowed = format!("any number of hours above 0, at most {LOOKBACK_HOURS_MAX}");
            self.refuse(field, format!("is {hours:?}; allowed is {allowed}, and left out it is {left_out}"));
            return None;
        }
        Some((hours * HOUR_MS as f64).ceil() as i64)
    }

    /// A whole number from 1 to `max`; 0 counts as left out, which `default` stands for (`None`: it is required).
    pub(super) fn count(&mut self, field: &str, count: u64, max: u32, default: Option<u32>) -> u32 {
        let found = u32::try_from(count).ok().filter(|n| *n <= max).filter(|n| *n > 0 || default.is_some());
        if found.is_none() {
            self.refuse(field, format!("is {count}; it is a whole number from 1 to {max}"));
        }
        found.filter(|n| *n > 0).or(default).unwrap_or(1)
    }

    /// Which part of a long list: fields `page_size` and `page_token`.
    pub(super) fn page(&mut self, size: u64, token: Option<String>) -> Page {
        let size = self.count("page_size", size, PAGE_SIZE_MAX, Some(PAGE_SIZE_DEFAULT));
        Page { size, token: self.text("page_token", token.unwrap_or_default(), TEXT_BYTES_MAX) }
    }

    /// The service tier of that word; absent and empty are "standard".
    pub(super) fn service_tier(&mut self, field: &str, word: Option<String>) -> ServiceTier {
        let word = word.unwrap_or_default();
        if word.is_empty() {
            return ServiceTier::Standard;
        }
        ServiceTier::parse(&word).unwrap_or_else(|| {
            let known = ServiceTier::ALL.map(ServiceTier::as_str).join(", ");
            self.refuse(field, format!("is \"{}\"; service tiers are {known}", shown(&word)));
            ServiceTier::Standard
        })
    }

    /// The enum value of that number; `None` for the unspecified one (0).
    pub(super) fn word<T: TryFrom<i32>>(&mut self, field: &str, number: i32) -> Option<T> {
        if number == 0 {
            return None;
        }
        let value = T::try_from(number).ok();
        if value.is_none() {
            self.refuse(field, format!("is {number}, a value that this version does not know"));
        }
        value
    }

    /// Labels: at most 32 pairs; the value of `user` is concealed with `key`. An empty value counts as left out.
    pub(super) fn labels(&mut self, field: &str, labels: BTreeMap<String, String>, key: &TokenKey) -> Labels {
        if labels.len() > LABELS_MAX {
            self.refuse(field, format!("has {} pairs; at most {LABELS_MAX} are kept", labels.len()));
            return Labels::new();
        }
        let mut checked = Labels::new();
        for (name, value) in labels {
            let Some(path) = self.key_of(field, &name) else { continue };
            let value = self.text(&path, value, LABEL_VALUE_BYTES_MAX);
            if !value.is_empty() {
                let value = if name == CONCEALED_LABEL { key.conceal(&value) } else { value };
                checked.insert(name, value);
            }
        }
        checked
    }

    /// Features: at most 32 finite numbers.
    pub(super) fn features(&mut self, field: &str, features: BTreeMap<String, f64>) -> BTreeMap<String, f64> {
        if features.len() > FEATURES_MAX {
            self.refuse(field, format!("has {} entries; at most {FEATURES_MAX} are kept", features.len()));
            return BTreeMap::new();
        }
        for (name, value) in &features {
            let Some(path) = self.key_of(field, name) else { continue };
            if !value.is_finite() {
                self.refuse(path, format!("is {value:?}; a feature is a finite number"));
            }
        }
        features
    }

    /// A list of at most [`LIST_MAX`] names, none of them empty.
    pub(super) fn list(&mut self, field: &str, names: Vec<String>) -> Vec<String> {
        if names.len() > LIST_MAX {
            self.refuse(field, format!("has {} entries; at most {LIST_MAX} are taken", names.len()));
            return Vec::new();
        }
        for (i, name) in names.iter().enumerate() {
            let fault = if name.is_empty() { Some("is empty".to_owned()) } else { fault_of_text(name, NAME_BYTES_MAX) };
            if let Some(why) = fault {
                self.refuse(format!("{field}[{i}]"), why);
            }
        }
        names
    }

    /// The path of a map's entry; `None` where its key cannot be taken.
    fn key_of(&mut self, field: &str, key: &str) -> Option<String> {
        let fault = if key.is_empty() { Some("is empty".to_owned()) } else { fault_of_text(key, KEY_BYTES_MAX) };
        match fault {
            None => Some(format!("{field}.{key}")),
            Some(why) => {
                self.refuse(field, format!("the key \"{}\" {why}", shown(key)));
                None
            }
        }
    }
}

fn fault_of_text(text: &str, bytes_max: usize) -> Option<String> {
    if text.len() > bytes_max {
        return Some(format!("has {} bytes; at most {bytes_max} are taken", text.len()));
    }
    text.contains(char::is_control).then(|| "has a control character; send plain text".to_owned())
}

/// A foreign text in a form and length that is safe to repeat.
fn shown(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests;
