//! Figures for people: dollars, shares, counts and instants as text. It knows no report.

use crate::insights::{grouped, shown_percent};

/// Keeps a number and what belongs to it on one line.
const NARROW_SPACE: char = '\u{202f}';

/// Dollars: cents from one dollar up, else three digits that count. Below half a billionth of a dollar: $0.00.
pub(super) fn usd(usd: f64) -> String {
    let size = usd.abs();
    let sign = if usd < 0.0 { "−" } else { "" };
    if size < 5e-10 {
        return "$0.00".to_owned();
    }
    if size >= 0.995 {
        let cents = format!("{size:.2}");
        let (whole, fraction) = cents.split_once('.').unwrap_or((&cents, "00"));
        return format!("{sign}${}.{fraction}", grouped(whole));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 2 to 12: size is from 5e-10 to 0.995"
    )]
    let decimals = (2.0 - size.log10().floor()) as usize;
    let text = format!("{size:.decimals$}");
    let end = text.trim_end_matches('0').len().max("0.00".len());
    format!("{sign}${}", &text[..end])
}

/// A whole number with its thousands apart.
pub(super) fn count(count: u64) -> String {
    grouped(&count.to_string())
}

/// A fraction as a percentage with one decimal. What is not all or nothing is not shown as such.
pub(super) fn percent(share: f64) -> String {
    format!("{}{NARROW_SPACE}%", tenths(share))
}

/// A probability that no outcome can make certain: beyond 99.9 % and 0.1 % only that is told.
pub(super) fn chance(probability: f64) -> String {
    match probability {
        p if p > 0.999 => format!(">99.9{NARROW_SPACE}%"),
        p if p < 0.001 => format!("<0.1{NARROW_SPACE}%"),
        p => percent(p),
    }
}

/// "1 call", "2,000 calls".
pub(super) fn many(n: u64, one: &str) -> String {
    format!("{} {one}{}", count(n), if n == 1 { "" } else { "s" })
}

/// The ends of an interval of fractions, as percentages.
pub(super) fn percent_range(low: f64, high: f64) -> String {
    format!("{}–{}{NARROW_SPACE}%", tenths(low), tenths(high))
}

fn tenths(share: f64) -> String {
    let text = format!("{:.1}", shown_percent(share));
    text.strip_suffix(".0").unwrap_or(&text).to_owned()
}

/// A relative change with its sign, as a whole percentage.
pub(super) fn change(change: f64) -> String {
    let percent = (change * 100.0).round();
    let sign = if percent > 0.0 {
        "+"
    } else if percent < 0.0 {
        "−"
    } else {
        "±"
    };
    format!("{sign}{}{NARROW_SPACE}%", percent.abs())
}

/// Hours as the largest unit that fits: "7 days", "36 hours".
pub(super) fn hours(hours: f64) -> String {
    let (number, unit) = if hours >= 48.0 && hours % 24.0 == 0.0 { (hours / 24.0, "day") } else { (hours, "hour") };
    format!("{number} {unit}{}", if number == 1.0 { "" } else { "s" })
}

/// An instant in UTC, to the minute.
pub(super) fn instant(seconds: i64) -> String {
    let utc = jiff::Timestamp::from_second(seconds).map(|at| jiff::tz::TimeZone::UTC.to_datetime(at));
    utc.map_or_else(|_| "–".to_owned(), |at| at.strftime("%-d %b %Y %H:%M").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_keep_the_digits_that_count() {
        for (value, text) in [
            (0.0, "$0.00"),
            (1e-10, "$0.00"),
            (0.47, "$0.47"),
            (0.3406, "$0.341"),
            (0.0162, "$0.0162"),
            (0.000_98, "$0.00098"),
            (0.000_000_001, "$0.000000001"),
            (0.996, "$1.00"),
            (0.1, "$0.10"),
            (0.999, "$1.00"),
            (12.345, "$12.35"),
            (1_283.4, "$1,283.40"),
            (1_234_567.0, "$1,234,567.00"),
            (-3.5, "−$3.50"),
        ] {
            assert_eq!(usd(value), text, "{value}");
        }
    }

    #[test]
    fn shares_are_percentages_that_do_not_lie_at_the_ends() {
        for (value, text) in
            [(0.0, "0"), (1.0, "100"), (0.999_99, "99.9"), (0.000_01, "0.1"), (0.964_2, "96.4"), (0.5, "50")]
        {
            assert_eq!(percent(value), format!("{text}\u{202f}%"));
        }
        let chances = [1.0, 0.999_1, 0.999, 0.5, 0.001, 0.000_9, 0.0].map(chance);
        let texts = [">99.9", ">99.9", "99.9", "50", "0.1", "<0.1", "<0.1"];
        assert_eq!(chances, texts.map(|text| format!("{text}\u{202f}%")));
        assert_eq!(percent_range(0.951, 0.968), "95.1–96.8\u{202f}%");
        assert_eq!([change(0.38), change(-0.041), change(0.0)], ["+38\u{202f}%", "−4\u{202f}%", "±0\u{202f}%"]);
    }

    #[test]
    fn counts_and_times_are_readable() {
        assert_eq!([count(0), count(999), count(1_000), count(1_234_567)], ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([many(1, "call"), many(0, "call"), many(2_000, "call")], ["1 call", "0 calls", "2,000 calls"]);
        assert_eq!([hours(1.0), hours(24.0), hours(168.0), hours(0.5)], ["1 hour", "24 hours", "7 days", "0.5 hours"]);
        assert_eq!(instant(1_795_317_608), "22 Nov 2026 03:20");
    }
}
