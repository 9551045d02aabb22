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
//! | `budgets`, `workflows`, `listed` | its budgets and workflows, and the table of their keys |
//! | `scenario` with `scenario_…` | worlds of `oddsmaker simulate` |
//! | `shown` | all of them as they are printed, with their places |
//! | `section`, `values`, `report` | what they share: typed access with places, values, errors |

#[cfg(test)]
mod budget_tests;
mod budgets;
mod candidates;
mod catalogue;
#[cfg(test)]
mod catalogue_error_tests;
#[cfg(test)]
mod catalogue_tests;
mod features;
mod layers;
mod listed;
mod model_names;
mod models;
mod prices;
mod report;
mod rollout;
mod scenario;
mod scenario_events;
mod scenario_rollout;
#[cfg(test)]
mod scenario_tests;
mod scenario_world;
mod section;
mod setting_values;
mod settings;
mod settings_keys;
#[cfg(test)]
mod settings_keys_tests;
mod shown;
mod sources;
mod tasks;
mod values;
mod workflows;

pub use budgets::BudgetsAsWritten;
pub use catalogue::parse_catalogue;
pub use layers::{Configured, resolve};
pub use listed::{BUDGET_KEYS, ListedKey, WORKFLOW_KEYS};
pub(crate) use report::suggestion;
pub use report::{ConfigError, Excerpt, Origin, Report, Warning};
pub use scenario::parse_scenario;
pub use settings::{Alerts, Ledger, Log, LogFormat, LogLevel, Models, Server, Settings};
pub use settings_keys::{KEYS, Key, Shape};
pub use shown::{Shown, Sources, shown};
pub use values::{format_duration_ms, parse_duration_ms};
