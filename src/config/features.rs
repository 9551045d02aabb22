//! `features` of a task type: what a request may say of itself beforehand, cut into few strata. Every mistake is named where it
//! stands. It refuses to know what is learned of strata.

use crate::domain::strata::{Feature, STRATA_MAX, Strata};

use super::report::quoted;
use super::section::Value;
use super::values::NAME_BYTES_MAX;

/// Longest name of a number, or key of a label, that a request can carry, in bytes.
const KEY_BYTES_MAX: usize = 64;

/// The strata of a list of features; none where something is wrong with it.
pub(super) fn read_strata(list: &Value<'_>) -> Strata {
    let mut features: Vec<Feature> = Vec::new();
    for item in list.list() {
        let Some(feature) = read_feature(&item) else { continue };
        if features
            .iter()
            .any(|f| std::mem::discriminant(f) == std::mem::discriminant(&feature) && f.name() == feature.name())
        {
            item.error(format!("{} is a feature already", quoted(feature.name())), None);
        }
        features.push(feature);
    }
    let levels: Vec<String> = features.iter().map(|f| f.levels().to_string()).collect();
    Strata::new(features).unwrap_or_else(|| {
        let help = "use fewer edges or values, or leave a feature out; what is not sent is a level too".to_owned();
        list.error(format!("{} strata are more than {STRATA_MAX}", levels.join(" × ")), Some(help));
        Strata::default()
    })
}

/// `{ name, edges }`, a number, or `{ label, values }`.
fn read_feature(item: &Value<'_>) -> Option<Feature> {
    let section = item.section()?;
    let (name, label) = (section.get("name"), section.get("label"));
    let (edges, values) = (section.get("edges"), section.get("values"));
    section.finish();
    match (name, label, edges, values) {
        (Some(name), None, Some(edges), None) => {
            Some(Feature::Number { name: name.name(KEY_BYTES_MAX)?.to_owned(), edges: read_edges(&edges)? })
        }
        (None, Some(label), None, Some(values)) => {
            Some(Feature::Label { key: read_label(&label)?.to_owned(), values: read_values(&values)? })
        }
        _ => {
            let help =
                "{ name = \"difficulty\", edges = [0.3, 0.6] } or { label = \"language\", values = [\"en\", \"de\"] }";
            item.error("a feature is a number with its edges or a label with its values", Some(help.to_owned()));
            None
        }
    }
}

fn read_edges(list: &Value<'_>) -> Option<Vec<f64>> {
    let edges: Vec<f64> = list.list().iter().map(|edge| edge.number(-1e300..=1e300)).collect::<Option<_>>()?;
    if edges.is_empty() || edges.windows(2).any(|pair| pair[0] >= pair[1]) {
        list.error("`edges` needs at least one number, and each above the one before", None);
        return None;
    }
    Some(edges)
}

fn read_label<'r>(value: &Value<'r>) -> Option<&'r str> {
    let key = value.name(KEY_BYTES_MAX)?;
    if key == "user" {
        value.error("the label \"user\" is kept as a keyed hash, and tells people apart, not requests", None);
        return None;
    }
    Some(key)
}

fn read_values(list: &Value<'_>) -> Option<Vec<String>> {
    let mut values: Vec<String> = Vec::new();
    for item in list.list() {
        let value = item.name(NAME_BYTES_MAX)?;
        if values.iter().any(|v| v == value) {
            item.error(format!("{} is listed twice", quoted(value)), None);
            return None;
        }
        values.push(value.to_owned());
    }
    if values.is_empty() {
        list.error("`values` needs at least one value to be told apart from the others", None);
        return None;
    }
    Some(values)
}
