//! A parsed TOML document as typed values that remember their place and path. Every mistake is put on one list, so
//! that a reader goes on and finds the next one. A key is known because somebody asked for it; what nobody asked for
//! is unknown. It refuses to know what any key means.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};

use toml::de::{DeTable, DeValue};
use toml::value::Datetime;

use crate::domain::param::{MAX_WHOLE, ParamValue};

use super::report::{ConfigError, Origin, Report, SourceText, Warning, quoted, suggestion};

/// The text being read and what was found wrong with it so far.
pub(super) struct Reader<'a> {
    source: SourceText<'a>,
    errors: RefCell<Vec<ConfigError>>,
    warnings: RefCell<Vec<Warning>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a str, text: &'a str) -> Self {
        Self { source: SourceText { file, text }, errors: RefCell::default(), warnings: RefCell::default() }
    }

    /// The document's top level; `None` after a mistake in the TOML itself, when nothing else is worth reading.
    pub(super) fn root<'r>(&'r self, document: &'r DeTable<'r>, syntax: &[toml::de::Error]) -> Option<Section<'r>> {
        for error in syntax {
            let span = error.span().unwrap_or_default();
            let message = format!("not valid TOML: {}", error.message().replace('\n', ", "));
            self.error(&span, String::new(), message, None);
        }
        let section =
            Section { reader: self, table: document, path: String::new(), span: 0..0, asked: RefCell::default() };
        syntax.is_empty().then_some(section)
    }

    fn report(&self, span: &Range<usize>, key: String, message: String, help: Option<String>) -> Report {
        let (origin, excerpt) = self.source.locate(span);
        Report { origin, key, message, help, excerpt: Some(excerpt) }
    }

    fn error(&self, span: &Range<usize>, key: String, message: String, help: Option<String>) {
        self.errors.borrow_mut().push(ConfigError(self.report(span, key, message, help)));
    }

    /// `value` and the warnings when nothing was wrong; otherwise everything that was, in file order.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<(T, Vec<Warning>), Vec<ConfigError>> {
        let (mut errors, mut warnings) = (self.errors.into_inner(), self.warnings.into_inner());
        errors.sort_by_key(|e| line_of(&e.0));
        errors.dedup(); // What is read more than once is wrong once.
        warnings.sort_by_key(|w| line_of(&w.0));
        match value {
            Some(value) if errors.is_empty() => Ok((value, warnings)),
            _ => {
                assert!(!errors.is_empty(), "INV-CONFIG-1: a configuration is only refused with a reason");
                Err(errors)
            }
        }
    }
}

fn line_of(report: &Report) -> (usize, usize) {
    if let Origin::File { line, column, .. } = report.origin { (line, column) } else { (0, 0) }
}

/// One value with its place and path.
#[derive(Clone)]
pub(super) struct Value<'r> {
    reader: &'r Reader<'r>,
    written: &'r DeValue<'r>,
    span: Range<usize>,
    path: String,
}

impl<'r> Value<'r> {
    pub(super) fn error(&self, message: impl Into<String>, help: Option<String>) {
        self.reader.error(&self.span, self.path.clone(), message.into(), help);
    }

    pub(super) fn warn(&self, message: impl Into<String>, help: Option<String>) {
        let report = self.reader.report(&self.span, self.path.clone(), message.into(), help);
        self.reader.warnings.borrow_mut().push(Warning(report));
    }

    /// The value of `result`, or its error put on the list.
    pub(super) fn check<T>(&self, result: Result<T, impl Display>) -> Option<T> {
        result.map_err(|e| self.error(e.to_string(), None)).ok()
    }

    pub(super) fn origin(&self) -> Origin {
        self.reader.source.locate(&self.span).0
    }

    /// The text, where it is one; anything else is no mistake.
    pub(super) fn as_text(&self) -> Option<&'r str> {
        if let DeValue::String(text) = self.written { Some(text.as_ref()) } else { None }
    }

    pub(super) fn text(&self) -> Option<&'r str> {
        match self.written {
            DeValue::String(text) => Some(text.as_ref()),
            _ => self.wrong_type("a string", None),
        }
    }

    /// Money, prices and factors: a string, because a TOML number is a binary float.
    pub(super) fn decimal_text(&self) -> Option<&'r str> {
        match self.written {
            DeValue::Integer(n) => self.wrong_type("a string", Some(format!("write \"{n}\""))),
            DeValue::Float(n) => {
                self.wrong_type("a string", Some(format!("write \"{n}\": a float cannot hold money exactly")))
            }
            _ => self.text(),
        }
    }

    /// Text of any length without control characters.
    pub(super) fn line(&self) -> Option<&'r str> {
        let text = self.text()?;
        if text.chars().any(char::is_control) {
            self.error("contains a control character", None);
            return None;
        }
        Some(text)
    }

    /// An integer of any size, in decimal.
    pub(super) fn integer_text(&self) -> Option<String> {
        let DeValue::Integer(n) = self.written else { return self.wrong_type("an integer", None) };
        Some(i128::from_str_radix(n.as_str(), n.radix()).map_or_else(|_| n.to_string(), |n| n.to_string()))
    }

    pub(super) fn integer(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let DeValue::Integer(n) = self.written else { return self.wrong_type("an integer", None) };
        let number = i128::from_str_radix(n.as_str(), n.radix()).ok().and_then(|n| u64::try_from(n).ok());
        let inside = number.filter(|n| range.contains(n));
        if inside.is_none() {
            self.error(format!("{n} is not from {} to {}", range.start(), range.end()), None);
        }
        inside
    }

    /// An integer or float within the range; infinities and NaN are outside every range.
    pub(super) fn number(&self, range: RangeInclusive<f64>) -> Option<f64> {
        let written = match self.written {
            DeValue::Integer(n) if n.radix() == 10 => n.as_str(),
            DeValue::Float(n) => n.as_str(),
            _ => return self.wrong_type("a number", None),
        };
        let inside = written.parse().ok().filter(|n| range.contains(n));
        if inside.is_none() {
            self.error(
                match *range.end() {
                    // Nobody reads a range of three hundred zeros.
                    ..1e18 => format!("{written} is not from {} to {}", range.start(), range.end()),
                    _ => format!("{written} is not a finite number"),
                },
                None,
            );
        }
        inside
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        if let DeValue::Boolean(b) = self.written { Some(*b) } else { self.wrong_type("true or false", None) }
    }

    pub(super) fn datetime(&self) -> Option<&'r Datetime> {
        let help = || Some("write a date without quotes, such as 2024-10-02".to_owned());
        if let DeValue::Datetime(d) = self.written { Some(d) } else { self.wrong_type("a date", help()) }
    }

    /// A value with the type it is written with: whatever JSON has too, whole numbers up to 2^53.
    pub(super) fn json(&self) -> Option<ParamValue> {
        let whole = MAX_WHOLE as f64;
        Some(match self.written {
            DeValue::String(text) => ParamValue::Text(text.to_string()),
            DeValue::Integer(n) if n.radix() == 10 => ParamValue::Number(self.number(-whole..=whole)?),
            DeValue::Integer(_) => ParamValue::Number(self.integer(0..=MAX_WHOLE.unsigned_abs())? as f64),
            DeValue::Float(n) => {
                let number = n.as_str().parse().ok().filter(|n: &f64| n.is_finite());
                ParamValue::Number(self.check(number.ok_or("JSON has neither infinities nor NaN"))?)
            }
            DeValue::Boolean(b) => ParamValue::Flag(*b),
            DeValue::Array(_) => ParamValue::List(self.list().iter().filter_map(Value::json).collect()),
            DeValue::Table(_) => ParamValue::Table(self.section()?.json()),
            DeValue::Datetime(_) => {
                return self.wrong_type("what JSON has too", Some("write a date as a string, in quotes".to_owned()));
            }
        })
    }

    pub(super) fn list(&self) -> Vec<Value<'r>> {
        let DeValue::Array(items) = self.written else {
            return self.wrong_type("an array", None).unwrap_or_default();
        };
        let item = |(i, v): (usize, &'r toml::Spanned<DeValue<'r>>)| Value {
            reader: self.reader,
            written: v.get_ref(),
            span: v.span(),
            path: format!("{}[{i}]", self.path),
        };
        items.iter().enumerate().map(item).collect()
    }

    pub(super) fn section(&self) -> Option<Section<'r>> {
        let DeValue::Table(table) = self.written else { return self.wrong_type("a table", None) };
        let (reader, path, span) = (self.reader, self.path.clone(), self.span.clone());
        Some(Section { reader, table, path, span, asked: RefCell::default() })
    }

    /// Every section of an array of tables.
    pub(super) fn sections(&self) -> Vec<Section<'r>> {
        self.list().iter().filter_map(Value::section).collect()
    }

    fn wrong_type<T>(&self, expected: &str, help: Option<String>) -> Option<T> {
        let found = match self.written {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        self.error(format!("expected {expected}, found {found}"), help);
        None
    }
}

/// One table with its place and path.
pub(super) struct Section<'r> {
    reader: &'r Reader<'r>,
    table: &'r DeTable<'r>,
    path: String,
    span: Range<usize>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'r> Section<'r> {
    /// The value of a key, which is known from now on.
    pub(super) fn get(&self, key: &'static str) -> Option<Value<'r>> {
        self.asked.borrow_mut().push(key);
        let value = self.table.get(key)?;
        Some(Value { reader: self.reader, written: value.get_ref(), span: value.span(), path: self.path_of(key) })
    }

    /// The value of a key that must be there.
    pub(super) fn need(&self, key: &'static str) -> Option<Value<'r>> {
        let value = self.get(key);
        if value.is_none() {
            self.reader.error(&self.span, self.path_of(key), format!("{} is missing", quoted(key)), None);
        }
        value
    }

    /// The sections of an array of tables, none when the key is not there.
    pub(super) fn sections(&self, key: &'static str) -> Vec<Section<'r>> {
        self.get(key).map_or_else(Vec::new, |v| v.sections())
    }

    /// The items of an array, none when the key is not there.
    pub(super) fn list(&self, key: &'static str) -> Vec<Value<'r>> {
        self.get(key).map_or_else(Vec::new, |v| v.list())
    }

    /// Every key with its value, for tables whose keys are free.
    pub(super) fn entries(&self) -> Vec<(&'r str, Value<'r>)> {
        let value = |key: &'r str, v: &'r toml::Spanned<DeValue<'r>>| {
            (key, Value { reader: self.reader, written: v.get_ref(), span: v.span(), path: self.path_of(key) })
        };
        self.table.iter().map(|(k, v)| value(k.get_ref().as_ref(), v)).collect()
    }

    /// Every key with its value as JSON has it, for tables whose keys are free.
    pub(super) fn json(&self) -> BTreeMap<String, ParamValue> {
        self.entries().into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.json()?))).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Puts a mistake of the table as a whole on the list.
    pub(super) fn error(&self, message: impl Into<String>, help: Option<String>) {
        self.reader.error(&self.span, self.path.clone(), message.into(), help);
    }

    /// Reports every key nobody asked for.
    pub(super) fn finish(self) {
        let asked = self.asked.borrow();
        for key in self.table.keys().filter(|k| !asked.contains(&k.get_ref().as_ref())) {
            let name = key.get_ref().as_ref();
            let message = format!("unknown key {}", quoted(name));
            self.reader.error(&key.span(), self.path_of(name), message, suggestion(name, &asked));
        }
    }

    fn path_of(&self, key: &str) -> String {
        let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        let key = if bare { key.to_owned() } else { format!("{key:?}") };
        if self.path.is_empty() { key } else { format!("{}.{key}", self.path) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "INV-CONFIG-1")]
    fn a_refusal_without_a_reason_is_a_bug_of_ours() {
        let _ = Reader::new("f", "").finish(None::<()>);
    }
}
