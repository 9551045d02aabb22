//! Numbers, times and foreign text for people: as few digits as say something, nothing a terminal would obey. It
//! refuses to know what a number counts.

use prost_types::Timestamp;

use crate::config::format_duration_ms;
use crate::domain::time::{DAY_MS, UnixMillis};
use crate::insights::{grouped, shown_percent};

/// What stands where nothing is known.
pub(super) const UNKNOWN: &str = "–";

/// 1234567 → "1,234,567".
pub(super) fn count(n: u64) -> String {
    grouped(&n.to_string())
}

/// "1 call", "2,000 calls".
pub(super) fn many(n: u64, one: &str) -> String {
    format!("{} {one}{}", count(n), if n == 1 { "" } else { "s" })
}

/// Dollars: cents from $1 on, else three significant digits, nine decimals at most (a nano-dollar).
pub(super) fn usd(amount: f64) -> String {
    if !amount.is_finite() {
        return UNKNOWN.to_owned();
    }
    let sign = if amount < 0.0 { "-" } else { "" };
    let size = amount.abs();
    if size >= 0.995 {
        let cents = (size * 100.0).round() as u64;
        return format!("{sign}${}.{:02}", count(cents / 100), cents % 100);
    }
    // Decimals that leave three significant digits: 0.0123 has its first at place 2.
    let first = if size > 0.0 { (-size.log10()).floor() as usize + 1 } else { 1 };
    let text = format!("{size:.*}", (first + 2).min(9));
    let (whole, decimals) = text.split_once('.').unwrap_or((&text, ""));
    format!("{sign}${whole}.{:0<2}", decimals.trim_end_matches('0'))
}

/// Nano-dollars as dollars to the last digit, so that a person can add them up.
pub(super) fn usd_exact(nano: u64) -> String {
    let decimals = format!("{:09}", nano % 1_000_000_000);
    format!("${}.{:0<2}", count(nano / 1_000_000_000), decimals.trim_end_matches('0'))
}

/// An amount in the unit of a budget's measure: dollars of "usd", else a count.
pub(super) fn amount(measure: &str, amount: f64) -> String {
    match (measure, amount < 0.0) {
        ("usd", _) => usd(amount),
        (_, true) => format!("-{}", count((-amount).round() as u64)),
        (_, false) => count(amount.round() as u64),
    }
}

/// A known amount, else [`UNKNOWN`].
pub(super) fn usd_or_unknown(amount: Option<f64>) -> String {
    amount.map_or_else(|| UNKNOWN.to_owned(), usd)
}

/// 0.9734 → "97.3 %".
pub(super) fn percent(fraction: f64) -> String {
    format!("{:.1} %", shown_percent(fraction))
}

/// A probability that no outcome can make certain: beyond 99.9 % and 0.1 % only that is told.
pub(super) fn chance(probability: f64) -> String {
    match probability {
        p if p > 0.999 => ">99.9 %".to_owned(),
        p if p < 0.001 => "<0.1 %".to_owned(),
        p => percent(p),
    }
}

/// A known share, else [`UNKNOWN`].
pub(super) fn percent_or_unknown(fraction: Option<f64>) -> String {
    fraction.map_or_else(|| UNKNOWN.to_owned(), percent)
}

/// 0.38 → "+38.0 %".
pub(super) fn change(relative: f64) -> String {
    let percent = (relative * 1_000.0).round() / 10.0;
    if percent > 1_000.0 {
        return format!("× {:.0}", relative + 1.0);
    }
    if percent == 0.0 { "±0.0 %".to_owned() } else { format!("{percent:+.1} %") }
}

/// A duration in days where that is whole and more than one, else as it is written in settings.
pub(super) fn span(ms: i64) -> String {
    let days = ms / DAY_MS;
    if days > 1 && ms % DAY_MS == 0 { format!("{days} days") } else { format_duration_ms(ms) }
}

/// The day of an instant, in UTC.
pub(super) fn day(at: UnixMillis) -> String {
    formatted(at, "%Y-%m-%d")
}

/// The minute of an instant, in UTC.
pub(super) fn minute(at: UnixMillis) -> String {
    formatted(at, "%Y-%m-%d %H:%M")
}

/// The second of an instant on the wire, in UTC; [`UNKNOWN`] where there is none.
pub(super) fn instant(at: Option<&Timestamp>) -> String {
    at.map_or_else(|| UNKNOWN.to_owned(), |at| formatted(millis(at), "%Y-%m-%d %H:%M:%S"))
}

/// An instant on the wire for programs: RFC 3339, in UTC.
pub(super) fn rfc3339(at: Option<&Timestamp>) -> Option<String> {
    Some(jiff::Timestamp::new(at?.seconds, at?.nanos).ok()?.to_string())
}

fn millis(at: &Timestamp) -> UnixMillis {
    UnixMillis(at.seconds.saturating_mul(1_000).saturating_add(i64::from(at.nanos / 1_000_000)))
}

fn formatted(at: UnixMillis, form: &str) -> String {
    let instant = jiff::Timestamp::from_millisecond(at.0);
    instant.map_or_else(|_| UNKNOWN.to_owned(), |i| i.strftime(form).to_string())
}

/// Foreign text made harmless for a terminal and a single line: control characters are written out.
pub(super) fn printable(text: &str) -> String {
    let escaped =
        |c: char| if c.is_control() || is_direction(c) { c.escape_unicode().collect() } else { c.to_string() };
    text.chars().map(escaped).collect::<String>()
}

/// Characters that turn the direction of the text around them.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A small amount of dollars without its sign: four significant digits.
pub(super) fn short_usd(x: f64) -> String {
    let digits = if x > 0.0 { (3 - x.log10().floor() as i32).clamp(0, 12) as usize } else { 0 };
    format!("{x:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_keeps_what_says_something() {
        for (amount, text) in [
            (0.0, "$0.00"),
            (1_234_567.891, "$1,234,567.89"),
            (1.0, "$1.00"),
            (0.9951, "$1.00"),
            (0.47, "$0.47"),
            (0.3406, "$0.341"),
            (0.0021, "$0.0021"),
            (0.000_069, "$0.000069"),
            (0.000_000_001, "$0.000000001"),
            (-0.5, "-$0.50"),
            (-12.0, "-$12.00"),
        ] {
            assert_eq!(usd(amount), text);
        }
        assert_eq!(usd_or_unknown(None), "–");
    }

    #[test]
    fn a_receipts_money_is_exact() {
        for (nano, text) in [
            (0, "$0.00"),
            (2_100_000, "$0.0021"),
            (1, "$0.000000001"),
            (1_500_000_000, "$1.50"),
            (1_234_567_123_456_789, "$1,234,567.123456789"),
        ] {
            assert_eq!(usd_exact(nano), text);
        }
        let of = [("usd", 0.5), ("usd", -12.0), ("calls", 1_000.0), ("tokens", -3.0)].map(|(m, n)| amount(m, n));
        assert_eq!(of, ["$0.50", "-$12.00", "1,000", "-3"]);
    }

    #[test]
    fn instants_of_the_wire_are_shown_to_the_second() {
        let at = Timestamp { seconds: 1_795_348_800, nanos: 250_000_000 };
        assert_eq!(instant(Some(&at)), "2026-11-22 12:00:00");
        assert_eq!(rfc3339(Some(&at)).as_deref(), Some("2026-11-22T12:00:00.25Z"));
        assert_eq!((instant(None), rfc3339(None)), (UNKNOWN.to_owned(), None));
    }

    #[test]
    fn counts_shares_and_changes() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!((many(1, "call"), many(2_000, "call")), ("1 call".into(), "2,000 calls".into()));
        assert_eq!(
            (percent(0.9734), change(0.38), change(-0.05)),
            ("97.3 %".into(), "+38.0 %".into(), "-5.0 %".into())
        );
        assert_eq!((span(168 * 3_600_000), span(3_600_000)), ("7 days".into(), "1h".into()));
        assert_eq!(minute(UnixMillis(1_763_793_720_000)), "2025-11-22 06:42");
    }

    #[test]
    fn nothing_a_terminal_would_obey_is_printed() {
        assert_eq!(printable("a\u{1b}[31m\nb\u{202e}c"), "a\\u{1b}[31m\\u{a}b\\u{202e}c");
        assert_eq!(printable("Grüße 你好"), "Grüße 你好");
    }
}
