//! Stories of catalogues that are read: what each becomes, and what is doubted.

use std::sync::Arc;

use crate::config::{Warning, parse_catalogue};
use crate::domain::catalog::{
    Catalog, ContextTier, MatchRule, Objective, Pins, Prior, Reward, Rule, RuleVerdict, ServiceTier, Sticky,
    TaskSettings,
};
use crate::domain::history::Memory;
use crate::domain::money::{NanoUsd, PicoUsdPerToken, PriceMultiplier};
use crate::domain::param::ParamValue;
use crate::domain::pricing::{MatchStep, Usage};
use crate::domain::rollout::{Holdout, Mode, Rollout};
use crate::domain::time::UnixMillis;
use crate::domain::trust::{Limits, Sources};

pub(super) const MODELS: &str = r#"schema = 1
[[model]]
id = "openai/gpt-4o"
aliases = ["gpt-4o"]
[[model.price]]
from = 2024-10-02
unit = "usd_per_mtok"
input = "2.50"
output = "10.00"
[[model]]
id = "openai/gpt-4o-mini"
"#;

fn good(text: &str) -> (Catalog, Vec<Warning>) {
    parse_catalogue(text, "models.toml").unwrap_or_else(|errors| panic!("{errors:#?}"))
}

const WHOLE: &str = r#"
schema = 1
[defaults]
task = "triage"
[[provider]]
id = "openai"
price_multiplier = "0.5"
[[model]]
id = "openai/gpt-4o"
aliases = ["4o"]
match = [{ starts_with = "gpt-4o-2024", contains = "preview" }]
capabilities = ["json", "tools"]
limit = { context = 128_000, output = 16_384 }
typical = { input_tokens = 300, output_tokens = 40 }
source = "price list"
price_multiplier = "0.9"
[[model.price]]
from = 2024-10-02
unit = "usd_per_mtok"
input = "2.50"
output = "10.00"
cached_input = "1.25"
cache_write = "3"
multiplier = "0.8"
tiers = [{ above_input_tokens = 200_000, input = "5.00", output = "15.00", cached_input = "2.5" }]
[[model.price]]
from = 2024-05-13
unit = "usd_per_mtok"
input = "5"
output = "15"
[[model.price]]
from = 2024-10-02
unit = "usd_per_mtok"
input = "1.25"
output = "5"
service_tier = "batch"
[[task]]
id = "triage"
candidates = ["4o"]
tolerance = 0.02
exploration_floor = 0
flag_margin = 0.03
objective = "net_value"
sticky = "step"
pins = "exchangeable"
learn_from = "goal"
mode = "serve"
serve_share = 0.25
holdout = { model = "4o", share = 0.05 }
reward = "quality"
min_success_rate = 0.5
max_cost_usd = "0.05"
failure_cost_usd = "0.01"
value_usd = "0.10"
prior = { successes = 1.5, failures = 2 }
half_life_days = 0.5
sibling_prior = 12
half_life_outcomes = 1_386
evidence_cap = 5_000
change_detection = false
features = [{ name = "difficulty", edges = [0.3, 0.6] }, { label = "language", values = ["en"] }]
sources = [{ id = "user-thumbs", weight = 0.5, max_share = 0.2 }, { id = "*", max_share = 0.333_333_4 }]
decision_ttl = "90s"
shadow = ["4o#concise"]
rules = [{ when = { label = "cached", equals = "true", step = "s", reversible = true }, verdict = "no_model", reason = "cached" }]
[[task.candidate]]
id = "4o#concise"
model = "openai/gpt-4o"
params = { style = "concise", seed = "120", temperature = 0.20, max_tokens = 1_000, stream = false, stop = ["a", 0x10], format = { type = "json" } }
prior = { successes = 3, failures = 1 }
tier = 2
"#;

#[test]
fn a_whole_catalogue_is_read() {
    let (catalog, warnings) = good(WHOLE);
    assert_eq!(warnings, []);
    assert_eq!(catalog.version(), &blake3::hash(WHOLE.as_bytes()).to_hex()[..12]);
    let model = &catalog.models()[0];
    let rule =
        MatchRule { starts_with: Some("gpt-4o-2024".into()), contains: Some("preview".into()), ..Default::default() };
    assert_eq!((model.rules.as_slice(), model.source.as_str()), ([rule].as_slice(), "price list"));
    assert_eq!((model.context_tokens, model.output_tokens), (Some(128_000), Some(16_384)));
    assert_eq!(model.typical.map(|t| (t.input_tokens, t.output_tokens)), Some((300, 40)));
    let rows: Vec<_> = model.prices.iter().map(|p| (p.from.0, p.service_tier, p.rates.input.0)).collect();
    let (may, october) = (1_715_558_400_000, 1_727_827_200_000);
    let expected = [
        (may, ServiceTier::Standard, 5_000_000),
        (october, ServiceTier::Standard, 2_500_000),
        (october, ServiceTier::Batch, 1_250_000),
    ];
    assert_eq!(rows, expected, "rising days, midnight UTC");
    let row = &model.prices[1];
    assert_eq!(row.multiplier, PriceMultiplier::parse("0.36").unwrap(), "provider × model × row");
    assert_eq!(row.rates.cache_write, Some(PicoUsdPerToken(3_000_000)));
    let ContextTier { above_input_tokens, rates } = row.tiers[0];
    assert_eq!(
        (above_input_tokens, rates.output.0, rates.cached_input.map(|c| c.0)),
        (200_000, 15_000_000, Some(2_500_000))
    );

    let task = catalog.default_task().expect("the default task");
    let settings = &task.settings;
    assert_eq!((settings.tolerance, settings.exploration_floor, settings.flag_margin), (0.02, 0.0, 0.03));
    assert_eq!((settings.objective, settings.sticky), (Objective::NetValue, Sticky::Step));
    assert!(settings.learns_from_goal && !TaskSettings::default().learns_from_goal);
    assert_eq!((settings.pins, settings.reward, settings.min_success_rate), (Pins::Exchangeable, Reward::Quality, 0.5));
    assert_eq!(settings.max_cost, Some(NanoUsd(50_000_000)));
    assert_eq!((settings.failure_cost, settings.value), (NanoUsd(10_000_000), NanoUsd(100_000_000)));
    assert_eq!(settings.prior, Prior { successes_micro: 1_500_000, failures_micro: 2_000_000 });
    assert_eq!(settings.decision_ttl_ms, 90_000);
    assert_eq!((settings.sibling_prior, TaskSettings::default().sibling_prior), (12, 0));
    let memory = Memory { half_life_ms: 43_200_000, half_life_outcomes: 1_386, evidence_cap: 5_000 };
    assert_eq!((settings.memory, settings.detects_changes), (memory, false));
    let held_out = Some(Holdout { model: "openai/gpt-4o".into(), share: 0.05 });
    assert_eq!(settings.rollout, Rollout { mode: Mode::Serve, serve_share: 0.25, holdout: held_out });
    let texts: Vec<&str> = settings.strata.all().iter().map(|s| &*s.1).collect();
    assert_eq!((texts.len(), texts[1]), (8, "0.3 <= difficulty < 0.6, language = en"));
    assert!(TaskSettings::default().strata.is_empty());
    let limits = |weight_micro, max_share_micro| Limits { weight_micro, max_share_micro };
    let declared = vec![("user-thumbs".to_owned(), limits(500_000, 200_000))];
    assert_eq!(*settings.sources, Sources { declared, others: limits(1_000_000, 333_333) });
    let untold = TaskSettings::default();
    assert!(!untold.rollout.is_in_force(), "the router serves all");
    assert!(untold.memory.is_perfect() && untold.detects_changes, "changes are looked for, nothing else is forgotten");
    let rule = Rule {
        label_equals: Some(("cached".into(), "true".into())),
        step: Some("s".into()),
        reversible: Some(true),
        verdict: RuleVerdict::NoModel,
        reason: "cached".into(),
    };
    assert_eq!(settings.rules, [rule]);
    let [plain, concise] = task.candidates.as_slice() else { panic!("two candidates") };
    assert_eq!((&*plain.id, plain.shadow, plain.tier), ("openai/gpt-4o", false, None));
    assert_eq!((&*concise.id, concise.shadow, concise.tier), ("openai/gpt-4o#concise", true, Some(2)));
    assert!(Arc::ptr_eq(&concise.model, model), "one model, shared");
    let text = |text: &str| ParamValue::Text(text.to_owned());
    let params: Vec<_> = concise.params.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
    let expected = [
        ("format", ParamValue::Table([("type".to_owned(), text("json"))].into())),
        ("max_tokens", ParamValue::Number(1_000.0)),
        ("seed", text("120")),
        ("stop", ParamValue::List(vec![text("a"), ParamValue::Number(16.0)])),
        ("stream", ParamValue::Flag(false)),
        ("style", text("concise")),
        ("temperature", ParamValue::Number(0.2)),
    ];
    assert_eq!(params, expected, "as they are written: text that looks like a number stays text");
    assert_eq!(concise.prior, Some(Prior { successes_micro: 3_000_000, failures_micro: 1_000_000 }));
}

#[test]
fn the_least_catalogue_has_the_designs_defaults() {
    let (catalog, _) = good(&format!("{MODELS}[[task]]\nid = \"t\"\ncandidates = [\"gpt-4o-mini-2024-07-18\"]\n"));
    let task = catalog.task("t").expect("declared");
    assert_eq!(task.settings, TaskSettings::default());
    assert_eq!(&*task.candidates[0].id, "openai/gpt-4o-mini", "the model's own id is the key");
    assert!(catalog.default_task().is_none());
    assert_eq!(
        catalog.resolve("gpt-4o").unwrap().map(|(m, s)| (m.prices[0].from, s)),
        Some((UnixMillis(1_727_827_200_000), MatchStep::Alias))
    );
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    let text = r#"schema = 1
[[model]]
id = "openai/gpt-4o"
match = [{ starts_with = "gpt-4o" }]
[[model.price]]
from = 2024-01-01
unit = "usd_per_mtok"
input = "1"
output = "2"
cached_input = "0.5"
tiers = [{ above_input_tokens = 5, input = "2", output = "4" }]
[[model]]
id = "azure/gpt-4o"
match = [{ starts_with = "gpt-4o-mini" }]
"#;
    let (_, warnings) = good(text);
    let said: Vec<String> = warnings.iter().map(|w| format!("{} {}", w.0.origin, w.0.message)).collect();
    let expected = [
        "models.toml:11:10 cached input of this tier is billed as its input",
        "models.toml:13:6 `gpt-4o` alone is ambiguous: `openai/gpt-4o` has the same name",
        "models.toml:14:10 ids that start with `gpt-4o-mini` also match a rule of `openai/gpt-4o`",
    ];
    assert_eq!(said, expected);
    assert!(warnings[0].to_string().starts_with("warning: cached input"));
}

#[test]
fn the_shipped_catalogue_is_good() {
    let (catalog, warnings) = good(include_str!("../../models.toml"));
    let said: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert!(said.is_empty(), "{}", said.join("\n"));
    assert!(catalog.default_task().is_some());
    for task in catalog.tasks() {
        assert!(task.candidates.iter().all(|c| !c.model.prices.is_empty()), "{}: every candidate has a price", task.id);
    }
    for model in catalog.models() {
        for name in model.aliases.iter().map(String::as_str).chain([&*model.id]) {
            let meant = catalog.resolve(name).unwrap().map(|(m, _)| m.id.clone());
            assert_eq!(meant, Some(model.id.clone()), "{name}");
        }
    }
}

/// Acceptance A8 with the prices as shipped: 300 in and 40 out in June 2024.
#[test]
fn the_shipped_prices_give_the_sums_of_a8() {
    let (catalog, _) = good(include_str!("../../models.toml"));
    let june = UnixMillis(1_717_200_000_000);
    let usage = Usage { input: 300, output: 40, ..Usage::default() };
    let cost = |id: &str| catalog.resolve(id).unwrap()?.0.cost(&usage, ServiceTier::Standard, june);
    assert_eq!(cost("openai/gpt-4o"), Some(NanoUsd(2_100_000)));
    assert_eq!(cost("openai/gpt-4-turbo"), Some(NanoUsd(4_200_000)));
    let august = UnixMillis(1_722_470_400_000);
    let mini = catalog.resolve("openai/gpt-4o-mini").unwrap().expect("shipped").0;
    assert_eq!(mini.cost(&usage, ServiceTier::Standard, august), Some(NanoUsd(69_000)));
}

/// Cut anywhere, a catalogue is refused or read, but nothing panics.
#[test]
fn no_cut_or_changed_byte_panics() {
    let text =
        format!("{MODELS}[[task]]\nid = \"t\"\ncandidates = [\"gpt-4o\"]\nprior = {{ successes = 1, failures = 2 }}\n");
    for at in 0..text.len() {
        let _ = parse_catalogue(&text[..at], "cut");
        for byte in ["", "\u{0}", "\"", "]", "é", "\n", "#", "=", "9"] {
            let changed = format!("{}{byte}{}", &text[..at], &text[at + 1..]);
            let _ = parse_catalogue(&changed, "changed");
        }
    }
}
