//! What administration asks of the service and what it answers, in the domain's own types; `wire` turns both into
//! messages. Everything derived from a cell is computed here, from the cell alone; no lock and no clock.

use std::path::PathBuf;
use std::sync::Arc;

use super::reply::INTERVAL_LEVEL;
use crate::domain::beta::{Beta, BetaGrid};
use crate::domain::catalog::{Model, Price, Prior, TaskCandidate};
use crate::domain::cell::{Cell, Evidence};
use crate::domain::contextual::Fit;
use crate::domain::event::{Key, ModelState};
use crate::domain::money::NanoUsd;
use crate::domain::strata::{Strata, Stratum};
use crate::domain::time::UnixMillis;

/// A new state for one model, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetModelState {
    /// The model: catalogue id, alias or, with a task type, candidate id; not empty.
    pub model: String,
    /// Only for this task type; `None`: everywhere.
    pub task_type: Option<String>,
    /// The state it shall have.
    pub state: ModelState,
    /// By whom; not empty.
    pub by: String,
    /// Why; not empty.
    pub reason: String,
}

/// What SetModelState came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelStateReply {
    /// Catalogue id of the model, or candidate id where one was given.
    pub model: String,
    /// The task type it holds for; `None`: everywhere.
    pub task_type: Option<String>,
    /// The state it has now.
    pub state: ModelState,
    /// The state it had before.
    pub previous: ModelState,
    /// Whether anything was written.
    pub changed: bool,
}

/// What to forget, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResetPosterior {
    /// Name of the task type; not empty.
    pub task_type: String,
    /// Only this model: catalogue id, alias or candidate id; `None`: every candidate.
    pub model: Option<String>,
    /// By whom; not empty.
    pub by: String,
    /// Why; not empty.
    pub reason: String,
    /// Idempotency key.
    pub key: Option<Key>,
}

/// What ResetPosterior came to.
#[derive(Clone, Debug)]
pub struct ResetReply {
    /// The cells after the reset, in catalogue order.
    pub cells: Vec<CellReply>,
    /// The first answer again: nothing was written.
    pub duplicate: bool,
}

/// The answer of ListModels.
#[derive(Clone, Debug)]
pub struct ModelsReply {
    /// Every model, in catalogue order.
    pub models: Vec<ModelReply>,
    /// Version of the catalogue.
    pub catalog_version: String,
}

/// One model of the catalogue.
#[derive(Clone, Debug)]
pub struct ModelReply {
    /// The model.
    pub model: Arc<Model>,
    /// Its state where no task type says otherwise.
    pub state: ModelState,
    /// The price rows in force now, one for each service tier that has one.
    pub prices: Vec<Price>,
    /// Task types it is a candidate of.
    pub task_types: Vec<String>,
    /// Task types for which its state is another one than `state`.
    pub task_states: Vec<(String, ModelState)>,
}

impl ModelReply {
    /// The rows of `model` that apply at `now`, one for each service tier, in the order of the tiers.
    #[must_use]
    pub fn prices_at(model: &Model, now: UnixMillis) -> Vec<Price> {
        use crate::domain::catalog::ServiceTier;
        ServiceTier::ALL.iter().filter_map(|tier| model.price_at(*tier, now).cloned()).collect()
    }
}

/// The answer of GetPosterior.
#[derive(Clone, Debug)]
pub struct PosteriorsReply {
    /// Name of the task type.
    pub task_type: String,
    /// One for each candidate asked for, in catalogue order.
    pub cells: Vec<CellReply>,
}

/// What was learned about one candidate at one task type.
#[derive(Clone, Debug)]
pub struct CellReply {
    /// Which.
    pub candidate: TaskCandidate,
    /// Whether it may be served there.
    pub state: ModelState,
    /// What was assumed before the first outcome.
    pub prior: Prior,
    /// Σ reward since the last change, in millionths.
    pub successes_micro: u64,
    /// Σ (1 − reward) since the last change, in millionths.
    pub failures_micro: u64,
    /// Teaching calls that succeeded, 0/1, since the last change.
    pub successes: u64,
    /// Teaching calls that failed, 0/1, since the last change.
    pub failures: u64,
    /// Prior and evidence.
    pub posterior: Beta,
    /// 90 % interval of it.
    pub interval: (f64, f64),
    /// Probability that its mean reward is the highest of the task type, in [0, 1].
    pub probability_best: f64,
    /// Mean input of its priced calls, in tokens; `None`: there are none.
    pub mean_input_tokens: Option<f64>,
    /// Mean output of its priced calls, in tokens; `None`: there are none.
    pub mean_output_tokens: Option<f64>,
    /// Mean cost of its calls of known cost; `None`: there are none.
    pub mean_cost: Option<NanoUsd>,
    /// When its evidence last began anew; `None`: never.
    pub changed_at: Option<UnixMillis>,
    /// Probability that the features matter to it otherwise than to all; `None`: the task type has none.
    pub features_matter: Option<f64>,
    /// What is known of each stratum that taught something.
    pub strata: Vec<StratumReply>,
}

/// What was learned about one candidate in one stratum.
#[derive(Clone, Debug)]
pub struct StratumReply {
    /// What the stratum says.
    pub text: String,
    /// Σ reward and Σ (1 − reward) there since the last change, in millionths.
    pub evidence: Evidence,
    /// What such requests are decided by.
    pub posterior: Beta,
    /// 90 % interval of it.
    pub interval: (f64, f64),
}

impl CellReply {
    /// The reply for `cell` (`None`: nothing came yet) with its prior and posterior.
    #[must_use]
    pub fn new(
        candidate: TaskCandidate,
        state: ModelState,
        (prior, posterior): (Prior, Beta),
        cell: Option<&Cell>,
        probability_best: f64,
        changed_at: Option<UnixMillis>,
    ) -> Self {
        let cell = cell.cloned().unwrap_or_default();
        let mean = |sum: u64| (cell.usage.priced > 0).then(|| sum as f64 / cell.usage.priced as f64);
        Self {
            candidate,
            state,
            prior,
            successes_micro: cell.evidence.successes_micro,
            failures_micro: cell.evidence.failures_micro,
            successes: cell.successes,
            failures: cell.failures,
            posterior,
            interval: BetaGrid::new(posterior).interval(INTERVAL_LEVEL),
            probability_best,
            mean_input_tokens: mean(cell.usage.input),
            mean_output_tokens: mean(cell.usage.output),
            mean_cost: cell.mean_cost(),
            changed_at,
            features_matter: None,
            strata: Vec::new(),
        }
    }

    /// The same with what `fit` says of the candidate at `place`.
    #[must_use]
    pub fn with_strata(self, strata: &Strata, fit: &Fit, place: usize, cell: Option<&Cell>) -> Self {
        let evidence = cell.map(|c| c.history.total().strata).unwrap_or_default();
        let told = |(stratum, text): &(Stratum, String)| {
            let (_, evidence) = *evidence.iter().find(|e| e.0 == *stratum)?;
            let posterior = fit.posterior(place, *stratum);
            let interval = BetaGrid::new(posterior).interval(INTERVAL_LEVEL);
            Some(StratumReply { text: text.clone(), evidence, posterior, interval })
        };
        let told = strata.all().iter().filter_map(told).collect();
        Self { features_matter: Some(fit.strays(place)), strata: told, ..self }
    }
}

/// The answer of ReloadCatalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadReply {
    /// Version of the catalogue now in force.
    pub catalog_version: String,
    /// Whether it, a budget or a setting of goals differs from the one before.
    pub changed: bool,
    /// One sentence for each difference.
    pub changes: Vec<String>,
    /// One sentence for each thing that is allowed but probably not meant.
    pub warnings: Vec<String>,
}

/// The answer of GetStatus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusReply {
    /// Version of the program.
    pub version: String,
    /// Seconds since its start.
    pub uptime_seconds: u64,
    /// Why no requests are taken; `None`: they are.
    pub not_ready: Option<String>,
    /// The directory of record and state.
    pub data_dir: PathBuf,
    /// The last event appended to the journal; 0: none.
    pub journal_last_seq: u64,
    /// The last event that is safely on disk.
    pub journal_synced_seq: u64,
    /// The last event that the stored state contains.
    pub applied_seq: u64,
    /// Decisions that wait for their outcome.
    pub open_decisions: u64,
    /// How much was recorded.
    pub counts: RecordCounts,
    /// Version of the catalogue.
    pub catalog_version: String,
    /// One sentence: how many models, providers and task types.
    pub catalog_summary: String,
    /// The addresses served.
    pub addresses: Vec<String>,
    /// Size of the journal on disk, in bytes.
    pub journal_bytes: u64,
    /// Size of the stored state on disk, in bytes.
    pub state_bytes: u64,
}

/// How much was recorded since the first start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordCounts {
    /// Decisions made.
    pub decisions: u64,
    /// Outcomes recorded.
    pub outcomes: u64,
    /// Outcomes amended.
    pub amendments: u64,
    /// Decisions voided.
    pub voided: u64,
    /// Decisions that expired without an outcome.
    pub expired: u64,
    /// Task types with statistics of their own.
    pub task_types: u64,
}
