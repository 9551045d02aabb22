//! Checks on single fields of a request. Every violation is collected, so that a caller learns all of them at once;
//! nothing of a request that has one may be used (`finish` says so). It knows no message and no rpc.

use std::collections::BTreeMap;

use super::refusal::Refusal;
use crate::domain::catalog::ServiceTier;
use crate::domain::money::{MAX_CALL_NANO_USD, NANO_PER_USD, NanoUsd};
use crate::domain::names::Labels;
use crate::domain::outcome::QualityMicro;
use crate::domain::pricing::MAX_TOKENS;
use crate::domain::time::UnixMillis;
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
mod tests {
    use super::*;

    fn violations(check: impl FnOnce(&mut Fields)) -> Vec<(String, String)> {
        let mut fields = Fields::default();
        check(&mut fields);
        let found = fields.finish().err().map(|r| r.violations).unwrap_or_default();
        found.into_iter().map(|v| (v.field, v.description)).collect()
    }

    fn refused(check: impl FnOnce(&mut Fields)) -> bool {
        !violations(check).is_empty()
    }

    #[test]
    fn numbers_that_are_no_amounts_are_refused() {
        let never = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, -1e-300, -f64::MIN_POSITIVE, 1e308];
        for bad in never {
            assert!(refused(|f| assert_eq!(f.usd("x", Some(bad)), None)), "usd {bad}");
            assert!(refused(|f| assert_eq!(f.fraction("x", Some(bad)), None)), "fraction {bad}");
            assert!(refused(|f| assert_eq!(f.quality("x", Some(bad)), None)), "quality {bad}");
            assert!(refused(|f| assert_eq!(f.energy("x", Some(bad)), None)), "energy {bad}");
        }
        assert!(refused(|f| assert_eq!(f.usd("x", Some(1_000_000.000_000_1)), None)));
        assert!(refused(|f| assert_eq!(f.fraction("x", Some(1.0 + f64::EPSILON)), None)));
        assert!(refused(|f| assert_eq!(f.energy("x", Some(1.000_001e12)), None)));
        assert!(refused(|f| assert_eq!(f.tokens("x", Some(MAX_TOKENS + 1)), None)));
        assert!(refused(|f| assert_eq!(f.millis("x", Some(1 << 32)), None)));
    }

    #[test]
    fn numbers_at_the_edge_are_taken_and_rounded_half_to_even() {
        let mut f = Fields::default();
        assert_eq!(f.usd("x", Some(1_000_000.0)), Some(NanoUsd(MAX_CALL_NANO_USD)));
        assert_eq!(f.usd("x", Some(-0.0)), Some(NanoUsd(0)));
        assert_eq!(f.usd("x", Some(2.5e-9)), Some(NanoUsd(2)));
        assert_eq!(f.usd("x", None), None);
        assert_eq!(f.fraction("x", Some(1.0)), Some(1.0));
        assert_eq!(f.fraction("x", Some(-0.0)).map(f64::to_bits), Some(0));
        assert_eq!(f.quality("x", Some(0.000_000_5)), Some(QualityMicro(0)));
        assert_eq!(f.quality("x", Some(0.000_001_5)), Some(QualityMicro(2)));
        assert_eq!(f.quality("x", Some(1.0)), Some(QualityMicro(1_000_000)));
        assert_eq!(f.energy("x", Some(0.000_5)), Some(0));
        assert_eq!(f.energy("x", Some(1.25)), Some(1_250));
        assert_eq!(f.tokens("x", Some(MAX_TOKENS)), Some(MAX_TOKENS));
        assert_eq!(f.millis("x", Some(u64::from(u32::MAX))), Some(u32::MAX));
        assert!(f.finish().is_ok());
    }

    #[test]
    fn texts_are_bounded_in_bytes_and_free_of_control_characters() {
        for bad in ["a\nb", "a\0", "\u{7f}", "\u{85}", "\x1b[31m", "tab\t"] {
            let found = violations(|f| drop(f.text("x", bad.to_owned(), 99)));
            assert_eq!(found, [("x".to_owned(), "has a control character; send plain text".to_owned())], "{bad:?}");
        }
        assert!(!refused(|f| assert_eq!(f.text("x", "é".repeat(5), 10), "ééééé")));
        assert!(refused(|f| drop(f.text("x", "é".repeat(6), 11))));
        assert!(refused(|f| drop(f.name("x", Some("a".repeat(201))))));
        assert!(!refused(|f| assert_eq!(f.optional_name("x", Some(String::new())), None)));
        let found = violations(|f| drop(f.required("x", String::new(), 10)));
        assert_eq!(found, [("x".to_owned(), "is required".to_owned())]);
    }

    #[test]
    fn times_are_cut_to_the_millisecond_and_must_be_times() {
        let at = |seconds, nanos| Some(prost_types::Timestamp { seconds, nanos });
        let mut f = Fields::default();
        assert_eq!(f.time("x", at(1, 999_999_999)), Some(UnixMillis(1_999)));
        assert_eq!(f.time("x", at(-1, 500_000_000)), Some(UnixMillis(-500)));
        assert_eq!(f.time("x", None), None);
        assert!(f.finish().is_ok());
        for (seconds, nanos) in [(i64::MAX, 0), (i64::MIN, 0), (0, -1), (0, 1_000_000_000), (253_402_300_800, 0)] {
            assert!(refused(|f| assert_eq!(f.time("x", at(seconds, nanos)), None)), "{seconds} {nanos}");
        }
    }

    #[test]
    fn labels_and_features_are_bounded_and_named() {
        let key = TokenKey::new([1; 32]);
        let pair = |k: &str, v: &str| BTreeMap::from([(k.to_owned(), v.to_owned())]);
        let many = (0..33).map(|i| (format!("k{i}"), "v".to_owned())).collect();
        assert_eq!(violations(|f| drop(f.labels("labels", many, &key)))[0].0, "labels");
        assert!(refused(|f| drop(f.labels("labels", pair("", "v"), &key))));
        assert!(refused(|f| drop(f.labels("labels", pair(&"k".repeat(65), "v"), &key))));
        assert!(refused(|f| drop(f.labels("labels", pair("a\u{1b}", "v"), &key))));
        assert_eq!(violations(|f| drop(f.labels("labels", pair("team", &"v".repeat(257)), &key)))[0].0, "labels.team");
        assert_eq!(violations(|f| drop(f.labels("labels", pair("user", "a\n"), &key)))[0].0, "labels.user");
        assert!(!refused(|f| assert_eq!(f.labels("labels", pair("team", ""), &key), Labels::new())));

        let feature = |v: f64| BTreeMap::from([("length".to_owned(), v)]);
        for bad in [f64::NAN, f64::INFINITY] {
            assert_eq!(violations(|f| drop(f.features("features", feature(bad))))[0].0, "features.length");
        }
        assert!(!refused(|f| assert_eq!(f.features("features", feature(-1e308)), feature(-1e308))));
        let many = (0..33).map(|i| (format!("k{i}"), 0.0)).collect();
        assert!(refused(|f| drop(f.features("features", many))));
    }

    #[test]
    fn the_user_is_concealed() {
        let key = TokenKey::new([1; 32]);
        let user = |value: &str| BTreeMap::from([("user".to_owned(), value.to_owned())]);
        let mut f = Fields::default();
        let ada = f.labels("labels", user("ada@example.org"), &key);
        assert_eq!(ada["user"], key.conceal("ada@example.org"));
        assert!(!ada["user"].contains("ada"));
        assert_ne!(ada, f.labels("labels", user("bob@example.org"), &key));
    }

    #[test]
    fn lists_tiers_and_enum_values_must_be_known_in_form() {
        let found = violations(|f| drop(f.list("models", vec!["a".into(), String::new(), "b\n".into()])));
        assert_eq!(found.iter().map(|v| v.0.as_str()).collect::<Vec<_>>(), ["models[1]", "models[2]"]);
        assert!(refused(|f| drop(f.list("models", vec!["a".to_owned(); 65]))));
        let found = violations(|f| assert_eq!(f.service_tier("tier", Some("Batch\n".into())), ServiceTier::Standard));
        assert_eq!(found[0].1, r#"is "Batch\n"; service tiers are standard, batch, priority, flex"#);
        let mut f = Fields::default();
        assert_eq!(f.service_tier("tier", Some("batch".into())), ServiceTier::Batch);
        assert_eq!(f.service_tier("tier", None), ServiceTier::Standard);
        assert!(f.finish().is_ok());
        use crate::wire::pb::Purpose;
        assert!(!refused(|f| assert_eq!(f.word::<Purpose>("purpose", 2), Some(Purpose::Evaluation))));
        assert!(!refused(|f| assert_eq!(f.word::<Purpose>("purpose", 0), None)));
        for bad in [3, -1, i32::MAX] {
            assert!(refused(|f| assert_eq!(f.word::<Purpose>("purpose", bad), None)), "{bad}");
        }
    }

    #[test]
    fn all_violations_are_reported_up_to_a_bound() {
        let found = violations(|f| {
            assert_eq!(f.usd("a", Some(-1.0)), None);
            assert_eq!(f.fraction("b", Some(2.0)), None);
        });
        assert_eq!(
            found[0],
            ("a".into(), "is -1.0; an amount of dollars is finite, 0 or more and at most 1000000".into())
        );
        assert_eq!(found[1], ("b".into(), "is 2.0; a fraction is from 0 to 1".into()));
        assert_eq!(violations(|f| drop(f.list("x", vec![String::new(); 64]))).len(), VIOLATIONS_MAX);
    }
}
