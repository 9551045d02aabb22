//! models.toml, from its text to a checked catalogue: all mistakes are reported at once, each with its place. It
//! reads no file and no clock; what a model or a task type may say is read next door.

use std::sync::Arc;

use toml::de::DeTable;

use crate::domain::catalog::{Catalog, Task};

use super::models::read_models;
use super::report::{ConfigError, Warning, nearest, quoted};
use super::section::{Reader, Section, Value};
use super::tasks::read_tasks;

/// The one version of the file format.
const SCHEMA: u64 = 1;

/// Digits of the catalogue's version.
const VERSION_DIGITS: usize = 12;

/// The catalogue written in `text`; `file` is what its errors call it. Its version is the first twelve hexadecimal
/// digits of the text's BLAKE3 digest.
///
/// # Errors
/// Everything that is wrong with it, in file order.
pub fn parse_catalogue(text: &str, file: &str) -> Result<(Catalog, Vec<Warning>), Vec<ConfigError>> {
    let (document, syntax) = DeTable::parse_recoverable(text);
    let reader = Reader::new(file, text);
    let version = blake3::hash(text.as_bytes()).to_hex()[..VERSION_DIGITS].to_owned();
    let catalog = reader.root(document.get_ref(), &syntax).map(|root| read(root, version));
    reader.finish(catalog)
}

fn read(root: Section<'_>, version: String) -> Catalog {
    if let Some(schema) = root.need("schema")
        && let Some(number) = schema.integer(0..=u64::MAX).filter(|n| *n != SCHEMA)
    {
        schema.error(format!("the schema {number} is not known: this version reads schema {SCHEMA}"), None);
    }
    let models = read_models(&root);
    let models = Catalog::new(version, models, Vec::new(), None);
    let tasks = read_tasks(&root, &models);
    let default_task = root.get("defaults").and_then(|v| v.section()).and_then(|section| read_default(section, &tasks));
    root.finish();
    Catalog::new(models.version().to_owned(), models.models().to_vec(), tasks, default_task)
}

fn read_default(section: Section<'_>, tasks: &[Task]) -> Option<Arc<str>> {
    let value = section.get("task");
    let name = value.as_ref().and_then(Value::id);
    section.finish();
    let (value, name) = (value?, name?);
    let found = tasks.iter().find(|t| *t.id == *name);
    if found.is_none() {
        let near = nearest(name, tasks.iter().map(|t| &*t.id));
        let help = near.map(|near| format!("did you mean {}?", quoted(near)));
        value.error(format!("no task type is called {}", quoted(name)), help);
    }
    found.map(|t| t.id.clone())
}
