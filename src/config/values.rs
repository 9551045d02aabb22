//! Values that recur in configuration files: names, fractions, money, words of a closed list, durations, days.
//! Pure parsing: it refuses to know which key a value belongs to.

use crate::domain::money::{NanoUsd, PicoUsdPerToken, PriceMultiplier};
use crate::domain::time::{DAY_MS, HOUR_MS, MINUTE_MS, UnixMillis};

use super::report::{quoted, suggestion};
use super::section::Value;

/// Longest name a request can carry, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 200;

/// Longest id, alias or label, in characters.
pub(super) const ID_CHARS_MAX: usize = 200;

const UNITS: [(&str, i64); 5] = [("ms", 1), ("s", 1_000), ("m", MINUTE_MS), ("h", HOUR_MS), ("d", DAY_MS)];

/// Parses a whole number and a unit (`"500ms"`, `"90s"`, `"5m"`, `"1h"`, `"7d"`) into milliseconds.
///
/// # Errors
/// A sentence: no such form, or longer than about 290 million years.
pub fn parse_duration_ms(text: &str) -> Result<i64, String> {
    let bad = || format!("{} is not a duration such as \"90s\", \"5m\", \"1h\" or \"7d\"", quoted(text));
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
    let (number, unit) = text.split_at(split);
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
    number.parse::<i64>().ok().and_then(|n| n.checked_mul(*factor)).ok_or_else(bad)
}

/// A duration in the largest unit that keeps it whole; the inverse of [`parse_duration_ms`].
#[must_use]
pub fn format_duration_ms(ms: i64) -> String {
    let (unit, factor) = UNITS.iter().rev().find(|(_, factor)| ms % factor == 0 && ms >= *factor).unwrap_or(&UNITS[0]);
    format!("{}{unit}", ms / factor)
}

impl<'r> Value<'r> {
    /// A name: not empty, at most 200 characters, no control characters, no white space at either end.
    pub(super) fn id(&self) -> Option<&'r str> {
        let text = self.text()?;
        let wrong = if text.is_empty() {
            "must not be empty".to_owned()
        } else if text.chars().count() > ID_CHARS_MAX {
            format!("is longer than {ID_CHARS_MAX} characters")
        } else if text.chars().any(char::is_control) {
            "contains a control character".to_owned()
        } else if text.trim() != text {
            "begins or ends with white space".to_owned()
        } else {
            return Some(text);
        };
        self.error(if text.is_empty() { wrong } else { format!("{} {wrong}", quoted(text)) }, None);
        None
    }

    /// An [`id`](Self::id) a request can carry: at most `bytes_max` bytes.
    pub(super) fn name(&self, bytes_max: usize) -> Option<&'r str> {
        let text = self.id()?;
        if text.len() > bytes_max {
            self.error(format!("{} is longer than the {bytes_max} bytes a request can carry", quoted(text)), None);
            return None;
        }
        Some(text)
    }

    /// A number in [0, 1].
    pub(super) fn fraction(&self) -> Option<f64> {
        self.number(0.0..=1.0)
    }

    pub(super) fn usd(&self) -> Option<NanoUsd> {
        self.decimal_text().and_then(|text| self.check(NanoUsd::parse_usd(text)))
    }

    pub(super) fn usd_per_mtok(&self) -> Option<PicoUsdPerToken> {
        self.decimal_text().and_then(|text| self.check(PicoUsdPerToken::parse_usd_per_mtok(text)))
    }

    pub(super) fn multiplier(&self) -> Option<PriceMultiplier> {
        self.decimal_text().and_then(|text| self.check(PriceMultiplier::parse(text)))
    }

    /// The meaning of one word of a closed list.
    pub(super) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.error(format!("unknown value {}", quoted(text)), suggestion(text, &known));
        }
        found.map(|(_, meaning)| *meaning)
    }

    /// A duration in `range_ms`.
    pub(super) fn duration_ms(&self, range_ms: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let ms = self.check(parse_duration_ms(self.text()?))?;
        let inside = range_ms.contains(&ms);
        if !inside {
            let [low, high] = [*range_ms.start(), *range_ms.end()].map(format_duration_ms);
            self.error(format!("{} is not from {low} to {high}", format_duration_ms(ms)), None);
        }
        inside.then_some(ms)
    }

    /// The first instant (UTC) of a day written as a TOML date.
    pub(super) fn day(&self) -> Option<UnixMillis> {
        let written = self.datetime()?;
        let (Some(date), None, None) = (written.date, written.time, written.offset) else {
            self.error("expected a day, found a time", Some("write only the date, such as 2024-10-02".to_owned()));
            return None;
        };
        let numbers = (i16::try_from(date.year), i8::try_from(date.month), i8::try_from(date.day));
        let (Ok(year), Ok(month), Ok(day)) = numbers else { return self.check(Err("no such day")) };
        let midnight = jiff::civil::Date::new(year, month, day).and_then(|d| d.to_zoned(jiff::tz::TimeZone::UTC));
        self.check(midnight).map(|m| UnixMillis(m.timestamp().as_millisecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_whole_number_and_a_unit() {
        for (text, ms) in
            [("0s", 0), ("250ms", 250), ("90s", 90_000), ("5m", 300_000), ("1h", 3_600_000), ("7d", 604_800_000)]
        {
            assert_eq!(parse_duration_ms(text), Ok(ms));
        }
        for bad in ["", "5", "h", "1.5h", "-1h", "1 h", "1H", "1h30m", "9223372036854775807d", "٣s"] {
            assert!(parse_duration_ms(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_print_in_the_largest_whole_unit() {
        for text in ["0ms", "250ms", "90s", "5m", "1h", "7d", "36h"] {
            assert_eq!(format_duration_ms(parse_duration_ms(text).unwrap()), text);
        }
        assert_eq!(format_duration_ms(3_600_000 * 24), "1d");
    }
}
