//! What is wrong with a file, variable or flag, said so that the person who wrote it can mend it: place, key,
//! sentence, and the nearest name that exists. It refuses to know what any key means.

use std::fmt;
use std::ops::Range;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A file.
    File {
        /// Name of the file, as given.
        file: String,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
    },
    /// An environment variable.
    Environment(String),
    /// A flag of the command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// The line of a file a report points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// Text of the line, or the part of a long line around the place; printable.
    pub text: String,
    /// Characters before the place.
    pub indent: usize,
    /// Characters the place is long; at least 1.
    pub width: usize,
}

/// One thing wrong or doubtful.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Where.
    pub origin: Origin,
    /// Path of the key, such as `model[2].price[0].input`; empty: the file as a whole.
    pub key: String,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// What to do, such as the nearest known name.
    pub help: Option<String>,
    /// The line, where there is one.
    pub excerpt: Option<Excerpt>,
}

/// Something that keeps the configuration from being used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(pub Report);

/// Something the configuration can be used with, but which is probably not meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning(pub Report);

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.print("error", f)
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.print("warning", f)
    }
}

impl Report {
    /// A report about a variable or flag; it has no line to show.
    #[must_use]
    pub fn without_excerpt(origin: Origin, key: &str, message: String, help: Option<String>) -> Self {
        Self { origin, key: key.to_owned(), message, help, excerpt: None }
    }

    /// All of it but the picture, on one line: "models.toml:3:1: message (key: …; help: …)".
    #[must_use]
    pub fn one_line(&self) -> String {
        let key = Some(&self.key).filter(|key| !key.is_empty()).map(|key| format!("key: {key}"));
        let help = self.help.as_ref().map(|help| format!("help: {help}"));
        let more: Vec<String> = key.into_iter().chain(help).collect();
        let more = if more.is_empty() { String::new() } else { format!(" ({})", more.join("; ")) };
        format!("{}: {}{more}", self.origin, self.message)
    }

    fn print(&self, level: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = if let Origin::File { line, .. } = &self.origin { line.to_string() } else { String::new() };
        let pad = " ".repeat(number.len());
        write!(f, "{level}: {}\n{pad}--> {}", self.message, self.origin)?;
        if let Some(Excerpt { text, indent, width }) = &self.excerpt {
            write!(f, "\n{pad} |\n{number} | {text}\n{pad} | {:indent$}{}", "", "^".repeat(*width))?;
        }
        if !self.key.is_empty() {
            write!(f, "\n{pad} = key: {}", self.key)?;
        }
        self.help.iter().try_for_each(|help| write!(f, "\n{pad} = help: {help}"))
    }
}

/// A file's text, for turning byte positions into lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct SourceText<'a> {
    /// Name of the file, as given.
    pub(super) file: &'a str,
    /// All of it.
    pub(super) text: &'a str,
}

/// Longest part of a line that is shown, in characters.
const LINE_SHOWN: usize = 120;

/// Stands for what is cut off.
const CUT: char = '…';

impl SourceText<'_> {
    /// The origin and the excerpt of a byte range; a range outside the text is brought inside.
    #[must_use]
    pub(super) fn locate(&self, span: &Range<usize>) -> (Origin, Excerpt) {
        let start = floor_boundary(self.text, span.start);
        let end = floor_boundary(self.text, span.end).max(start);
        let line_start = self.text[..start].rfind('\n').map_or(0, |i| i + 1);
        let line_end = self.text[start..].find('\n').map_or(self.text.len(), |i| start + i);
        let column = self.text[line_start..start].chars().count();
        let width = self.text[start..end.min(line_end)].chars().count().max(1);
        let skipped = column.saturating_sub(LINE_SHOWN / 2);
        let line = self.text[line_start..line_end].trim_end();
        let printable = |c: char| if c.is_control() { ' ' } else { c };
        let mut shown: Vec<char> = line.chars().skip(skipped).take(LINE_SHOWN).map(printable).collect();
        if let (1.., Some(first)) = (skipped, shown.first_mut()) {
            *first = CUT;
        }
        if let (true, Some(last)) = (line.chars().nth(skipped + LINE_SHOWN).is_some(), shown.last_mut()) {
            *last = CUT;
        }
        let shown = shown.into_iter().collect();
        let line_number = 1 + self.text[..line_start].matches('\n').count();
        let indent = column - skipped;
        let origin = Origin::File { file: self.file.to_owned(), line: line_number, column: column + 1 };
        (origin, Excerpt { text: shown, indent, width: width.min(LINE_SHOWN - indent) })
    }
}

fn floor_boundary(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at.min(text.len()))
}

/// Names longer than this, in bytes, are not compared.
const LONGEST_NAME: usize = 800;

/// The known name most like `given`, unless none is like it.
#[must_use]
pub(super) fn nearest<'n>(given: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    if given.len() > LONGEST_NAME {
        return None;
    }
    let given = given.to_lowercase();
    let allowed = 1 + given.chars().count().min(24) / 4;
    let distances = known.into_iter().map(|name| (strsim::damerau_levenshtein(&given, &name.to_lowercase()), name));
    distances.filter(|(distance, _)| *distance <= allowed).min().map(|(_, name)| name)
}

/// "did you mean …", when a known name is near, else the known names, when they are few.
#[must_use]
pub(crate) fn suggestion(given: &str, known: &[&str]) -> Option<String> {
    const LISTED: usize = 12;
    if let Some(name) = nearest(given, known.iter().copied()) {
        return Some(format!("did you mean {}?", quoted(name)));
    }
    let list = || known.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
    (1..=LISTED).contains(&known.len()).then(|| format!("known: {}", list()))
}

/// `text` between backticks, control characters escaped, long texts cut: safe to print and to log.
#[must_use]
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 80;
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    let shown: String = text.chars().take(SHOWN).map(escape).collect();
    let more = if text.chars().nth(SHOWN).is_some() { "…" } else { "" };
    format!("`{shown}{more}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_and_survive_any_range() {
        let source = SourceText { file: "f", text: "a = 1\nü = \"é\" # x\n" };
        let at = |span| {
            let (origin, excerpt) = source.locate(&span);
            (origin.to_string(), excerpt.text, excerpt.indent, excerpt.width)
        };
        assert_eq!(at(11..15), ("f:2:5".into(), "ü = \"é\" # x".into(), 4, 3));
        assert_eq!(at(0..19), ("f:1:1".into(), "a = 1".into(), 0, 5), "one line only");
        assert_eq!(at(7..99).0, "f:2:1", "inside a character");
        assert_eq!(at(500..600), ("f:3:1".into(), String::new(), 0, 1));
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let text = format!("k = \"{}\"", "x".repeat(5_000));
        let (_, excerpt) = SourceText { file: "f", text: &text }.locate(&(4_000..4_010));
        assert_eq!(excerpt.text, format!("…{}…", "x".repeat(118)));
        assert_eq!((excerpt.indent, excerpt.width), (60, 10));
    }

    #[test]
    fn only_a_name_that_is_near_is_offered() {
        assert_eq!(nearest("candidtes", ["model", "candidates"]), Some("candidates"));
        assert_eq!(nearest("Tolerance", ["tolerance"]), Some("tolerance"));
        assert_eq!(nearest("colour", ["id", "tolerance"]), None);
        assert_eq!(quoted("a\u{1b}[31m\n"), "`a\\u{1b}[31m\\n`");
    }
}
