//! Stories of catalogues that are refused: what exactly is said, and that nothing is left unsaid.

use super::catalogue_tests::MODELS;
use super::{ConfigError, parse_catalogue};

fn bad(text: &str) -> Vec<ConfigError> {
    parse_catalogue(text, "models.toml").expect_err("accepted")
}

fn printed(errors: &[ConfigError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// What is said about `MODELS` and these lines; they begin at line 12.
fn said(lines: &str) -> String {
    printed(&bad(&format!("{MODELS}{lines}")))
}

/// Line, column, key and message of every error of `MODELS` and these lines.
fn short(lines: &str) -> Vec<String> {
    shorten(&bad(&format!("{MODELS}{lines}")))
}

fn shorten(errors: &[ConfigError]) -> Vec<String> {
    let one = |e: &ConfigError| {
        format!("{} {}: {}", e.0.origin.to_string().replace("models.toml:", ""), e.0.key, e.0.message)
    };
    errors.iter().map(one).collect()
}

#[test]
fn an_unknown_key_is_shown_with_its_line_and_the_nearest_name() {
    let expected = "\
error: unknown key `tolerence`
  --> models.toml:15:1
   |
15 | tolerence = 0.1
   | ^^^^^^^^^
   = key: task[0].tolerence
   = help: did you mean `tolerance`?";
    assert_eq!(said("[[task]]\nid = \"t\"\ncandidates = [\"gpt-4o\"]\ntolerence = 0.1\n"), expected);
}

#[test]
fn an_unknown_candidate_is_shown_with_the_nearest_model() {
    let expected = "\
error: no model is called `openai/gpt-4o-mni`
  --> models.toml:14:25
   |
14 | candidates = [\"gpt-4o\", \"openai/gpt-4o-mni#short\"]
   |                         ^^^^^^^^^^^^^^^^^^^^^^^^^
   = key: task[0].candidates[1]
   = help: did you mean `openai/gpt-4o-mini`?";
    assert_eq!(said("[[task]]\nid = \"t\"\ncandidates = [\"gpt-4o\", \"openai/gpt-4o-mni#short\"]\n"), expected);
}

#[test]
fn a_price_without_a_unit_is_refused() {
    let expected = "\
error: `unit` is missing
  --> models.toml:12:1
   |
12 | [[model.price]]
   | ^^^^^^^^^^^^^^^
   = key: model[1].price[0].unit";
    assert_eq!(said("[[model.price]]\nfrom = 2024-01-01\ninput = \"1\"\noutput = \"2\"\n"), expected);
}

#[test]
fn a_price_is_a_string() {
    let expected = "\
error: expected a string, found a float
  --> models.toml:15:9
   |
15 | input = 0.15
   |         ^^^^
   = key: model[1].price[0].input
   = help: write \"0.15\": a float cannot hold money exactly";
    let lines = "[[model.price]]\nfrom = 2024-01-01\nunit = \"usd_per_mtok\"\ninput = 0.15\noutput = \"2\"\n";
    assert_eq!(said(lines), expected);
}

#[test]
fn broken_toml_is_shown_where_it_breaks() {
    let expected = "\
error: not valid TOML: unclosed table, expected `]`
 --> models.toml:1:6
  |
1 | [task
  |      ^";
    assert_eq!(printed(&bad("[task\nid = 1\n")), expected);
}

#[test]
fn every_mistake_of_the_prices_is_found() {
    let lines = r#"[[model.price]]
from = 2024-01-01
unit = "usd_per_token"
input = "-1"
output = "0.0000001"
service_tier = "bach"
[[model.price]]
from = "2024-01-01"
unit = "usd_per_mtok"
input = "1"
output = "2"
multiplier = 0.5
tiers = [{ above_input_tokens = 10, input = "1", output = "2" }, { above_input_tokens = 10, input = "1" }]
[[model.price]]
from = 2024-01-01T10:00:00Z
unit = "usd_per_mtok"
input = "1e3"
output = "101000000"
[[model.price]]
from = 2024-02-03
unit = "usd_per_mtok"
input = "1"
output = "2"
[[model.price]]
from = 2024-02-03
unit = "usd_per_mtok"
input = "1"
output = "2"
cached = "1"
"#;
    let expected = [
        "14:8 model[1].price[0].unit: unknown value `usd_per_token`",
        "15:9 model[1].price[0].input: `-1` is not a plain decimal number such as \"2.50\"",
        "16:10 model[1].price[0].output: `0.0000001` has more than 6 digits after the point",
        "17:16 model[1].price[0].service_tier: unknown value `bach`",
        "19:8 model[1].price[1].from: expected a date, found a string",
        "23:14 model[1].price[1].multiplier: expected a string, found a float",
        "24:66 model[1].price[1].tiers[1].output: `output` is missing",
        "24:89 model[1].price[1].tiers[1].above_input_tokens: tiers must rise: this one starts no higher than the one before",
        "26:8 model[1].price[2].from: expected a day, found a time",
        "28:9 model[1].price[2].input: `1e3` is not a plain decimal number such as \"2.50\"",
        "29:10 model[1].price[2].output: `101000000` is out of range",
        "36:8 model[1].price[4].from: there is already a price of the service tier `standard` from this day on",
        "40:1 model[1].price[4].cached: unknown key `cached`",
    ];
    assert_eq!(short(lines), expected);
}

#[test]
fn every_mistake_of_the_names_is_found() {
    let lines = r#"aliases = ["gpt-4o", "openai/gpt-4o", "a#b", "\u0007", " x"]
match = [{}, { begins_with = "a" }, { starts_with = "" }]
[[model]]
id = "gpt-5"
[[model]]
id = "openai/gpt-4o"
[[model]]
aliases = ["five"]
limit = { context = -1, output = 1.5, input = 3 }
typical = { input_tokens = 3 }
capabilities = "json"
[[provider]]
id = "openia"
price_multiplier = "101"
"#;
    let expected = [
        "12:12 model[1].aliases[0]: `gpt-4o` is already an alias of `openai/gpt-4o`",
        "12:22 model[1].aliases[1]: the alias `openai/gpt-4o` is the id of a model",
        "12:39 model[1].aliases[2]: `a#b` contains `#`, which begins the variant of a candidate",
        "12:46 model[1].aliases[3]: `\\u{7}` contains a control character",
        "12:56 model[1].aliases[4]: ` x` begins or ends with white space",
        "13:10 model[1].match[0]: a match rule needs `equals`, `starts_with`, `ends_with` or `contains`",
        "13:16 model[1].match[1].begins_with: unknown key `begins_with`",
        "13:53 model[1].match[2].starts_with: must not be empty",
        "15:6 model[2].id: `gpt-5` is not of the form `provider/name`",
        "17:6 model[3].id: the model `openai/gpt-4o` is declared twice",
        "18:1 model[4].id: `id` is missing",
        "20:21 model[4].limit.context: -1 is not from 1 to 1000000000",
        "20:34 model[4].limit.output: expected an integer, found a float",
        "20:39 model[4].limit.input: unknown key `input`",
        "21:11 model[4].typical.output_tokens: `output_tokens` is missing",
        "22:16 model[4].capabilities: expected an array, found a string",
        "24:6 provider[0].id: no model is of the provider `openia`",
        "25:20 provider[0].price_multiplier: `101` is out of range",
    ];
    assert_eq!(short(lines), expected);
}

#[test]
fn every_mistake_of_a_task_type_is_found() {
    let lines = r#"[[task]]
id = "t"
candidates = ["gpt-4o", "openai/gpt-4o", "gpt-4o#"]
tolerance = 1.01
exploration_floor = nan
flag_margin = "0.02"
objective = "net-value"
sticky = true
min_success_rate = -0.1
max_cost_usd = 0.05
prior = { successes = 0, failures = inf }
decision_ttl = "1 hour"
rules = [{ when = {}, verdict = "no_model", reason = "r" }, { when = { label = "l" }, verdict = "none" }]
[[task]]
id = "t"
candidates = []
[[task]]
id = "u"
objective = "net_value"
decision_ttl = "31d"
[[task]]
id = "v"
candidates = ["gpt-4o"]
shadow = ["gpt-4o", "gpt-4o-mini"]
[[task.candidate]]
id = "openai/gpt-4o#concise"
model = "openai/gpt-4o-mini"
params = { a = [2024-10-02], b = 9007199254740992, c = inf }
[[task]]
id = "w"
candidates = ["gpt-4o"]
shadow = ["openai/gpt-4o"]
[defaults]
task = "triage"
"#;
    let expected = [
        "14:25 task[0].candidates[1]: `openai/gpt-4o` is already a candidate",
        "14:42 task[0].candidates[2]: `gpt-4o#` has no variant after `#`",
        "15:13 task[0].tolerance: 1.01 is not from 0 to 1",
        "16:21 task[0].exploration_floor: nan is not from 0 to 1",
        "17:15 task[0].flag_margin: expected a number, found a string",
        "18:13 task[0].objective: unknown value `net-value`",
        "19:10 task[0].sticky: expected a string, found a boolean",
        "20:20 task[0].min_success_rate: -0.1 is not from 0 to 1",
        "21:16 task[0].max_cost_usd: expected a string, found a float",
        "22:23 task[0].prior.successes: 0 is not from 0.000001 to 1000000",
        "22:37 task[0].prior.failures: inf is not from 0.000001 to 1000000",
        "23:16 task[0].decision_ttl: `1 hour` is not a duration such as \"90s\", \"5m\", \"1h\" or \"7d\"",
        "24:19 task[0].rules[0].when: a rule needs a condition: `label` and `equals`, `step` or `reversible`",
        "24:61 task[0].rules[1].reason: `reason` is missing",
        "24:70 task[0].rules[1].when: `label` and `equals` belong together",
        "24:97 task[0].rules[1].verdict: unknown value `none`",
        "26:6 task[1].id: the task type `t` is declared twice",
        "27:14 task[1].candidates: a task type needs `candidates` or `[[task.candidate]]`",
        "28:1 task[2]: a task type needs `candidates` or `[[task.candidate]]`",
        "30:13 task[2].objective: the objective `net_value` needs `value_usd` above 0",
        "31:16 task[2].decision_ttl: 31d is not from 1s to 30d",
        "35:21 task[3].shadow[1]: `gpt-4o-mini` is not a candidate of this task type",
        "38:9 task[3].candidate[0].model: the id `openai/gpt-4o#concise` names the model `openai/gpt-4o`, not `openai/gpt-4o-mini`",
        "39:17 task[3].candidate[0].params.a[0]: expected what JSON has too, found a date",
        "39:34 task[3].candidate[0].params.b: 9007199254740992 is not from -9007199254740991 to 9007199254740991",
        "39:56 task[3].candidate[0].params.c: JSON has neither infinities nor NaN",
        "43:10 task[4].shadow: every candidate is a shadow, so none could be served",
        "45:8 defaults.task: no task type is called `triage`",
    ];
    assert_eq!(short(lines), expected);
}

#[test]
fn a_rollout_must_be_one_that_can_be() {
    let lines = r#"[[task]]
id = "t"
candidates = ["gpt-4o"]
serve_share = 1.5
holdout = { model = "openai/gpt-4o-mini", share = 0.05 }
half_life_days = -1
learn_from = "gaol"
"#;
    let expected = [
        "15:15 task[0].serve_share: 1.5 is not from 0 to 1",
        "16:21 task[0].holdout.model: `openai/gpt-4o-mini` is not a candidate of this task type",
        "17:18 task[0].half_life_days: -1 is not from 0 to 36500",
        "18:14 task[0].learn_from: unknown value `gaol`",
    ];
    assert_eq!(short(lines), expected);
    let typo = short("[[task]]\nid = \"t\"\ncandidates = [\"gpt-4o\"]\nmode = \"serv\"\nserve_share = 2\n");
    let expected = ["15:8 task[0].mode: unknown value `serv`", "16:15 task[0].serve_share: 2 is not from 0 to 1"];
    assert_eq!(typo, expected);
    let lines = r#"[[task]]
id = "t"
candidates = ["gpt-4o", "gpt-4o-mini"]
shadow = ["gpt-4o-mini"]
holdout = { model = "gpt-4o-mini", share = -0.5, part = 1 }
[[task]]
id = "u"
candidates = ["gpt-4o"]
holdout = { model = "gpt-5o" }
"#;
    let expected = [
        "16:44 task[0].holdout.share: -0.5 is not from 0 to 1",
        "16:50 task[0].holdout.part: unknown key `part`",
        "20:11 task[1].holdout.share: `share` is missing",
    ];
    assert_eq!(short(lines), expected);
}

#[test]
fn features_are_refused_where_they_are_wrong() {
    let lines = r#"[[task]]
id = "t"
candidates = ["gpt-4o"]
features = [
  { name = "a", edges = [0.5, 0.5] },
  { name = "b", edges = [] },
  { name = "c", values = ["x"] },
  { label = "user", values = ["x"] },
  { label = "d", values = ["x", "x"] },
  { label = "e", values = [] },
  { label = "f", values = ["x"], weight = 2 },
  { label = "f", values = ["x"] },
  { name = "g", edges = [0.5, nan] },
  { name = "h", edges = [-inf, 0.5] },
]
[[task]]
id = "u"
candidates = ["gpt-4o"]
features = [{ name = "a", edges = [1, 2, 3, 4, 5, 6, 7] }, { label = "b", values = ["x", "y", "z", "v", "w", "s", "t"] }]
"#;
    let expected = [
        "16:25 task[0].features[0].edges: `edges` needs at least one number, and each above the one before",
        "17:25 task[0].features[1].edges: `edges` needs at least one number, and each above the one before",
        "18:3 task[0].features[2]: a feature is a number with its edges or a label with its values",
        "19:13 task[0].features[3].label: the label \"user\" is kept as a keyed hash, and tells people apart, not requests",
        "20:33 task[0].features[4].values[1]: `x` is listed twice",
        "21:27 task[0].features[5].values: `values` needs at least one value to be told apart from the others",
        "22:34 task[0].features[6].weight: unknown key `weight`",
        "23:3 task[0].features[7]: `f` is a feature already",
        "24:31 task[0].features[8].edges[1]: nan is not a finite number",
        "25:26 task[0].features[9].edges[0]: -inf is not a finite number",
        "30:12 task[1].features: 9 × 8 strata are more than 64",
    ];
    assert_eq!(short(lines), expected);
}

#[test]
fn sources_are_refused_where_they_are_wrong() {
    let lines = r#"[[task]]
id = "t"
candidates = ["gpt-4o"]
sources = [
  { id = "ci", weight = 1.5 },
  { id = "judge" },
  { weight = 0.5 },
  { id = "ci", max_share = 0.5 },
  { id = "*", max_share = 0.5 },
  { id = "*", max_share = 0.5, share = 1 },
]
"#;
    let expected = [
        "16:25 task[0].sources[0].weight: 1.5 is not from 0 to 1",
        "17:3 task[0].sources[1]: a source needs `weight` or `max_share`",
        "18:3 task[0].sources[2].id: `id` is missing",
        "19:3 task[0].sources[3]: the source `ci` is declared twice",
        "21:3 task[0].sources[5]: the source `*` is declared twice",
        "21:32 task[0].sources[5].share: unknown key `share`",
    ];
    assert_eq!(short(lines), expected);
}

#[test]
fn the_top_level_is_checked_too() {
    assert_eq!(shorten(&bad("")), ["1:1 schema: `schema` is missing"]);
    let expected = [
        "1:10 schema: the schema 2 is not known: this version reads schema 1",
        "2:9 model: expected an array, found an integer",
        "3:1 budget: unknown key `budget`",
    ];
    assert_eq!(shorten(&bad("schema = 2\nmodel = 3\nbudget = 1\n")), expected);
}
