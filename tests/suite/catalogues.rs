//! The catalogues of the suite: small, with round prices, so that every expected figure can be worked out by hand.

/// gpt-4o at $5/$15 and gpt-4o-mini at $0.15/$0.60 per Mtok, typically 300 tokens in and 40 out:
/// 2,100,000 and 69,000 nano-USD a call.
pub(crate) const MODELS: &str = r#"schema = 1
[defaults]
task = "general"
[[model]]
id = "openai/gpt-4o"
aliases = ["gpt-4o"]
capabilities = ["json", "tools", "vision"]
limit = { context = 128_000, output = 16_384 }
typical = { input_tokens = 300, output_tokens = 40 }
source = "test"
[[model.price]]
from = 2024-01-01
unit = "usd_per_mtok"
input = "5.00"
output = "15.00"
[[model]]
id = "openai/gpt-4o-mini"
aliases = ["gpt-4o-mini"]
capabilities = ["json"]
limit = { context = 128_000, output = 16_384 }
typical = { input_tokens = 300, output_tokens = 40 }
source = "test"
[[model.price]]
from = 2024-01-01
unit = "usd_per_mtok"
input = "0.15"
output = "0.60"
[[model]]
id = "openai/gpt-4-turbo"
aliases = ["gpt-4-turbo"]
capabilities = ["json", "tools"]
limit = { context = 8_000, output = 4_096 }
typical = { input_tokens = 300, output_tokens = 40 }
source = "test"
[[model.price]]
from = 2024-01-01
unit = "usd_per_mtok"
input = "10.00"
output = "30.00"
"#;

/// The task types most stories use.
const TASKS: &str = r#"
[[task]]
id = "general"
candidates = ["openai/gpt-4o", "openai/gpt-4o-mini"]
[[task]]
id = "triage"
candidates = ["openai/gpt-4o", "openai/gpt-4o-mini", "openai/gpt-4-turbo"]
[[task]]
id = "single"
candidates = ["openai/gpt-4o"]
[[task]]
id = "brief"
candidates = ["openai/gpt-4o"]
decision_ttl = "1s"
[[task]]
id = "with_shadow"
candidates = ["openai/gpt-4o", "openai/gpt-4o-mini"]
shadow = ["openai/gpt-4o-mini"]
[[task]]
id = "with_rule"
candidates = ["openai/gpt-4o"]
rules = [{ when = { label = "cached", equals = "true" }, verdict = "no_model", reason = "the answer is cached" }]
[[task]]
id = "graded"
candidates = ["openai/gpt-4o"]
reward = "quality"
[[task]]
id = "known_prior"
candidates = ["openai/gpt-4o", "openai/gpt-4o-mini"]
exploration_floor = 0.5
[[task.candidate]]
id = "openai/gpt-4o#best"
model = "openai/gpt-4o"
params = { style = "best" }
prior = { successes = 9, failures = 1 }
"#;

/// The usual catalogue.
pub(crate) fn usual() -> String {
    format!("{MODELS}{TASKS}")
}

/// The usual catalogue without a default task type.
pub(crate) fn without_default() -> String {
    usual().replace("[defaults]\ntask = \"general\"\n", "")
}

/// The models with these task types, one of which must be `general`.
pub(crate) fn with_tasks(tasks: &str) -> String {
    format!("{MODELS}{tasks}")
}
