//! Values of the fixed parameters of a candidate, with the type they were written with. It refuses to know what any
//! parameter means: the caller passes them on to the provider.

use std::collections::BTreeMap;

/// Largest whole number that every program reading JSON holds exactly: 2^53 - 1 (RFC 8259, section 6).
pub const MAX_WHOLE: i64 = (1 << 53) - 1;

/// One value, as JSON has them.
#[derive(Clone, Debug, PartialEq)]
pub enum ParamValue {
    /// Text.
    Text(String),
    /// A finite number; whole ones are at most [`MAX_WHOLE`] in size.
    Number(f64),
    /// True or false.
    Flag(bool),
    /// Several values.
    List(Vec<ParamValue>),
    /// Values by name.
    Table(BTreeMap<String, ParamValue>),
}
