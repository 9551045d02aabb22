//! Configuration, from what people wrote to what the rest may trust. It reads no file, no environment and no clock:
//! texts and variables are arguments. Two stages: a document whose values know
//! their place, then checked values.
//!
//! | file | what it reads |
//! |---|---|
//! | `catalogue` | models.toml as a whole |
//! | `models`, `model_names`, `prices` | its models |
//! | `tasks`, `candidates` | its task types |
//! | `settings`, `settings_keys`, `setting_values`, `layers` | the daemon's settings: what they are, one table of all, and their layers: defaults, oddsmaker.toml, environment, flags |
//! | `section`, `values`, `report` | what they share: typed access with places, values, errors |

mod candidates;
mod catalogue;
#[cfg(test)]
mod catalogue_error_tests;
#[cfg(test)]
mod catalogue_tests;
mod layers;
mod model_names;
mod models;
mod prices;
mod report;
mod section;
mod setting_values;
mod settings;
mod settings_keys;
mod tasks;
mod values;

pub use catalogue::parse_catalogue;
pub use layers::{Shown, Sources, resolve, shown};
pub use report::{ConfigError, Excerpt, Origin, Report, Warning};
pub use settings::{Ledger, Log, LogFormat, LogLevel, Models, Server, Settings};
pub use settings_keys::{KEYS, Key, Shape};
pub use values::{format_duration_ms, parse_duration_ms};
