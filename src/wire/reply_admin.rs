//! Answers of the admin service as messages.

use super::pb;
use super::reply::{interval, timestamp};
use crate::domain::catalog::{Price, Rates};
use crate::domain::event::ModelState;
use crate::domain::money::{NanoUsd, PicoUsdPerToken};
use crate::domain::time::UnixMillis;
use crate::service::admin_reply::{
    CellReply, ModelReply, ModelStateReply, ModelsReply, PosteriorsReply, ReloadReply, ResetReply, StatusReply,
    StratumReply,
};

impl From<ModelsReply> for pb::ListModelsResponse {
    fn from(reply: ModelsReply) -> Self {
        Self { models: reply.models.into_iter().map(model).collect(), catalog_version: reply.catalog_version }
    }
}

impl From<PosteriorsReply> for pb::GetPosteriorResponse {
    fn from(reply: PosteriorsReply) -> Self {
        Self { task_type: reply.task_type, cells: reply.cells.iter().map(cell).collect() }
    }
}

impl From<ModelStateReply> for pb::SetModelStateResponse {
    fn from(reply: ModelStateReply) -> Self {
        Self {
            model: reply.model,
            task_type: reply.task_type,
            state: model_state(reply.state).into(),
            previous_state: model_state(reply.previous).into(),
            changed: reply.changed,
        }
    }
}

impl From<ResetReply> for pb::ResetPosteriorResponse {
    fn from(reply: ResetReply) -> Self {
        Self { cells: reply.cells.iter().map(cell).collect(), duplicate: reply.duplicate }
    }
}

impl From<ReloadReply> for pb::ReloadCatalogResponse {
    fn from(reply: ReloadReply) -> Self {
        let ReloadReply { catalog_version, changed, changes, warnings } = reply;
        Self { catalog_version, changed, changes, warnings }
    }
}

impl From<StatusReply> for pb::GetStatusResponse {
    fn from(reply: StatusReply) -> Self {
        let counts = pb::RecordCounts {
            decisions: reply.counts.decisions,
            outcomes: reply.counts.outcomes,
            amendments: reply.counts.amendments,
            voided_decisions: reply.counts.voided,
            expired_decisions: reply.counts.expired,
            task_types: reply.counts.task_types,
        };
        Self {
            version: reply.version,
            uptime_seconds: reply.uptime_seconds,
            ready: reply.not_ready.is_none(),
            not_ready_reason: reply.not_ready,
            data_dir: reply.data_dir.display().to_string(),
            journal_last_seq: reply.journal_last_seq,
            journal_synced_seq: reply.journal_synced_seq,
            applied_seq: reply.applied_seq,
            open_decisions: reply.open_decisions,
            counts: Some(counts),
            catalog_version: reply.catalog_version,
            catalog_summary: reply.catalog_summary,
            addresses: reply.addresses,
            journal_bytes: reply.journal_bytes,
            state_bytes: reply.state_bytes,
        }
    }
}

fn model(reply: ModelReply) -> pb::Model {
    let of_task = |(task_type, state)| pb::TaskModelState { task_type, state: model_state(state).into() };
    pb::Model {
        id: reply.model.id.to_string(),
        provider: reply.model.provider().to_owned(),
        aliases: reply.model.aliases.clone(),
        state: model_state(reply.state).into(),
        capabilities: reply.model.capabilities.iter().cloned().collect(),
        context_limit_tokens: reply.model.context_tokens,
        output_limit_tokens: reply.model.output_tokens,
        prices: reply.prices.iter().map(price).collect(),
        task_types: reply.task_types,
        task_states: reply.task_states.into_iter().map(of_task).collect(),
    }
}

fn price(row: &Price) -> pb::ModelPrice {
    let Texts { input, output, cached_input, cache_write } = texts(&row.rates);
    pb::ModelPrice {
        service_tier: row.service_tier.as_str().to_owned(),
        valid_from: day(row.from),
        input_usd_per_mtok: input,
        output_usd_per_mtok: output,
        cached_input_usd_per_mtok: cached_input,
        cache_write_usd_per_mtok: cache_write,
        multiplier: row.multiplier.factor().to_string(),
        tiers: row.tiers.iter().map(|tier| price_tier(tier.above_input_tokens, &tier.rates)).collect(),
    }
}

fn price_tier(above_input_tokens: u64, rates: &Rates) -> pb::PriceTier {
    let Texts { input, output, cached_input, cache_write } = texts(rates);
    pb::PriceTier {
        above_input_tokens,
        input_usd_per_mtok: input,
        output_usd_per_mtok: output,
        cached_input_usd_per_mtok: cached_input,
        cache_write_usd_per_mtok: cache_write,
    }
}

struct Texts {
    input: String,
    output: String,
    cached_input: Option<String>,
    cache_write: Option<String>,
}

/// Prices as decimal texts. A price has at most 13 significant digits, so the shortest text of its double is exact.
fn texts(rates: &Rates) -> Texts {
    let text = |price: PicoUsdPerToken| price.usd_per_mtok().to_string();
    Texts {
        input: text(rates.input),
        output: text(rates.output),
        cached_input: rates.cached_input.map(text),
        cache_write: rates.cache_write.map(text),
    }
}

/// The (UTC) day of an instant, as "2024-10-02".
fn day(at: UnixMillis) -> String {
    let stamp = jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    stamp.to_zoned(jiff::tz::TimeZone::UTC).date().to_string()
}

fn micro(sum: u64) -> f64 {
    sum as f64 / 1e6
}

fn cell(reply: &CellReply) -> pb::PosteriorCell {
    pb::PosteriorCell {
        model: reply.candidate.model.id.to_string(),
        candidate: reply.candidate.id.to_string(),
        state: model_state(reply.state).into(),
        prior: Some(pb::Prior {
            successes: micro(reply.prior.successes_micro),
            failures: micro(reply.prior.failures_micro),
        }),
        successes: micro(reply.successes_micro),
        failures: micro(reply.failures_micro),
        success_count: reply.successes,
        failure_count: reply.failures,
        alpha: reply.posterior.alpha(),
        beta: reply.posterior.beta(),
        mean: reply.posterior.mean(),
        interval: Some(interval(reply.interval)),
        probability_best: reply.probability_best,
        mean_input_tokens: reply.mean_input_tokens,
        mean_output_tokens: reply.mean_output_tokens,
        mean_cost_usd: reply.mean_cost.map(NanoUsd::usd),
        evidence_since_change: reply.successes + reply.failures,
        changed_at: reply.changed_at.map(timestamp),
        features_matter: reply.features_matter,
        strata: reply.strata.iter().map(stratum).collect(),
    }
}

fn stratum(of: &StratumReply) -> pb::PosteriorStratum {
    pb::PosteriorStratum {
        stratum: of.text.clone(),
        successes: micro(of.evidence.successes_micro),
        failures: micro(of.evidence.failures_micro),
        alpha: of.posterior.alpha(),
        beta: of.posterior.beta(),
        mean: of.posterior.mean(),
        interval: Some(interval(of.interval)),
    }
}

fn model_state(state: ModelState) -> pb::ModelState {
    match state {
        ModelState::Enabled => pb::ModelState::Enabled,
        ModelState::Disabled => pb::ModelState::Disabled,
        ModelState::Shadow => pb::ModelState::Shadow,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::catalog::{ContextTier, ServiceTier};
    use crate::domain::money::PriceMultiplier;

    #[test]
    fn prices_are_exact_decimals() {
        let parse = |text| PicoUsdPerToken::parse_usd_per_mtok(text).unwrap();
        let rates = Rates {
            input: parse("2.50"),
            output: parse("0.000001"),
            cached_input: Some(parse("0.1")),
            cache_write: None,
        };
        let long =
            Rates { input: parse("1000000"), output: parse("999999.999999"), cached_input: None, cache_write: None };
        let row = Price {
            from: UnixMillis(1_727_827_200_000),
            service_tier: ServiceTier::Batch,
            rates,
            multiplier: PriceMultiplier::parse("0.123456789").unwrap(),
            tiers: vec![ContextTier { above_input_tokens: 200_000, rates: long }],
        };
        let shown = price(&row);
        assert_eq!(shown.valid_from, "2024-10-02");
        assert_eq!((shown.input_usd_per_mtok.as_str(), shown.output_usd_per_mtok.as_str()), ("2.5", "0.000001"));
        assert_eq!((shown.cached_input_usd_per_mtok.as_deref(), shown.cache_write_usd_per_mtok), (Some("0.1"), None));
        assert_eq!((shown.service_tier.as_str(), shown.multiplier.as_str()), ("batch", "0.123456789"));
        assert_eq!(shown.tiers[0].input_usd_per_mtok, "1000000");
        assert_eq!(shown.tiers[0].output_usd_per_mtok, "999999.999999");
    }
}
