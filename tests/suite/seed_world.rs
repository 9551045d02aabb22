//! A world in which every model has a true success rate: a client asks the daemon, makes the call there, reports what
//! came of it, and tells the daemon nothing else. The suite and the benches play in it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use oddsmaker::wire::pb;
use pb::router_service_client::RouterServiceClient;
use tonic::transport::Channel;

/// Tokens of every call of the seed scenario.
const INPUT_TOKENS: u64 = 300;
const OUTPUT_TOKENS: u64 = 40;

/// The dear model and the cheap one.
pub(crate) const DEAR: &str = "openai/gpt-4o";
/// See [`DEAR`].
pub(crate) const CHEAP: &str = "openai/gpt-4o-mini";

/// How failures fall.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Luck {
    /// Evenly: of each thousand calls of a model exactly its share fails, so that counts hold whatever the order.
    Even,
    /// At random, from this seed.
    Seeded(u64),
}

/// What is true of the models.
#[derive(Clone, Debug)]
pub(crate) struct World {
    /// Catalogue id and successes in a thousand calls.
    pub(crate) successes_per_mille: Vec<(&'static str, u64)>,
    /// How failures fall.
    pub(crate) luck: Luck,
}

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Traffic {
    /// Task type.
    pub(crate) task: &'static str,
    /// How many calls.
    pub(crate) calls: u64,
    /// How many of each hundred name [`DEAR`] as the only model allowed.
    pub(crate) pinned_percent: u64,
    /// Ceiling on the cost of a call, in USD.
    pub(crate) max_cost_usd: Option<f64>,
    /// Calls in flight.
    pub(crate) at_once: usize,
}

/// One call as it went.
#[derive(Clone, Debug)]
pub(crate) struct Played {
    /// Its place in the traffic.
    pub(crate) at: u64,
    /// The model served.
    pub(crate) model: String,
    /// Whether it succeeded.
    pub(crate) success: bool,
    /// What it cost, in USD.
    pub(crate) cost_usd: f64,
}

/// Plays the traffic and returns the calls in their order.
pub(crate) async fn play(channel: &Channel, world: &World, traffic: &Traffic) -> Vec<Played> {
    let next = Arc::new(AtomicU64::new(0));
    let seen: Arc<Mutex<HashMap<String, u64>>> = Arc::default();
    let mut callers = Vec::new();
    for _ in 0..traffic.at_once {
        let (next, seen) = (next.clone(), seen.clone());
        let (world, traffic) = (world.clone(), traffic.clone());
        let mut router = RouterServiceClient::new(channel.clone());
        callers.push(tokio::spawn(async move {
            let mut played = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= traffic.calls {
                    return played;
                }
                let decided = router.get_policy(request(&traffic, at)).await.unwrap().into_inner();
                let model = decided.model.expect("a model");
                let nth = nth_call(&seen, &model);
                let success = world.succeeds(&model, at, nth);
                let report = outcome(decided.decision_id, success);
                let recorded = router.record_outcome(report).await.unwrap().into_inner();
                let cost_usd = recorded.cost_usd.expect("a price");
                played.push(Played { at, model, success, cost_usd });
            }
        }));
    }
    let mut played = Vec::new();
    for caller in callers {
        played.extend(caller.await.unwrap());
    }
    played.sort_by_key(|p| p.at);
    played
}

fn nth_call(seen: &Mutex<HashMap<String, u64>>, model: &str) -> u64 {
    let mut seen = seen.lock().unwrap();
    let count = seen.entry(model.to_owned()).or_default();
    *count += 1;
    *count - 1
}

fn request(traffic: &Traffic, at: u64) -> pb::GetPolicyRequest {
    let pinned = (at + 1) * traffic.pinned_percent / 100 > at * traffic.pinned_percent / 100;
    let allowed_models = if pinned { vec![DEAR.to_owned()] } else { Vec::new() };
    let constraints = pb::Constraints { max_cost_usd: traffic.max_cost_usd, allowed_models, ..Default::default() };
    pb::GetPolicyRequest { task_type: traffic.task.to_owned(), constraints: Some(constraints), ..Default::default() }
}

fn outcome(decision_id: Option<String>, success: bool) -> pb::RecordOutcomeRequest {
    let usage =
        pb::Usage { input_tokens: Some(INPUT_TOKENS), output_tokens: Some(OUTPUT_TOKENS), ..Default::default() };
    pb::RecordOutcomeRequest { decision_id, success: Some(success), usage: Some(usage), ..Default::default() }
}

impl World {
    /// A world of the two models.
    pub(crate) fn of_two(dear: u64, cheap: u64, luck: Luck) -> Self {
        Self { successes_per_mille: vec![(DEAR, dear), (CHEAP, cheap)], luck }
    }

    fn succeeds(&self, model: &str, at: u64, nth: u64) -> bool {
        let rate = self.successes_per_mille.iter().find(|(id, _)| *id == model).map(|(_, rate)| *rate);
        let failures = 1_000 - rate.expect("a model of this world");
        match self.luck {
            Luck::Even => (nth + 1) * failures / 1_000 == nth * failures / 1_000,
            Luck::Seeded(seed) => uniform(seed ^ at) >= failures as f64 / 1_000.0,
        }
    }
}

/// A number in [0, 1) that depends on `seed` alone (SplitMix64; Steele, Lea & Flood 2014).
pub(crate) fn uniform(seed: u64) -> f64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// The share of the calls that this model served.
pub(crate) fn share(played: &[Played], model: &str) -> f64 {
    played.iter().filter(|p| p.model == model).count() as f64 / played.len() as f64
}

/// The share of the calls that succeeded.
pub(crate) fn success_rate(played: &[Played]) -> f64 {
    played.iter().filter(|p| p.success).count() as f64 / played.len() as f64
}

/// What one success cost, in USD.
pub(crate) fn cost_per_success(played: &[Played]) -> f64 {
    let cost: f64 = played.iter().map(|p| p.cost_usd).sum();
    cost / played.iter().filter(|p| p.success).count() as f64
}

/// The task types of the seed scenario.
pub(crate) const TASKS: &str = r#"
[[task]]
id = "general"
candidates = ["openai/gpt-4o", "openai/gpt-4o-mini"]
[[task]]
id = "ticket_classification"
candidates = ["openai/gpt-4o", "openai/gpt-4o-mini"]
tolerance = 0.05
[[task]]
id = "ticket_classification_pinned"
candidates = ["openai/gpt-4o", "openai/gpt-4o-mini"]
tolerance = 0.05
flag_margin = 0.05
pins = "exchangeable"
[[task]]
id = "ticket_classification_pinned_strict"
candidates = ["openai/gpt-4o", "openai/gpt-4o-mini"]
tolerance = 0.05
flag_margin = 0.005
pins = "exchangeable"
[[task]]
id = "escalation_summary"
candidates = ["openai/gpt-4o", "openai/gpt-4o-mini"]
"#;
