//! Stories of goals, workflows, budgets and alerts in oddsmaker.toml: what each becomes, and what exactly is said of
//! mistakes.

use std::collections::BTreeMap;

use jiff::tz::TimeZoneDatabase;

use super::{BUDGET_KEYS, Configured, WORKFLOW_KEYS, resolve, shown};
use crate::domain::budget::{Budget, Measure, OnExceed, Period, Scope, Site};
use crate::domain::goal::WorkflowRules;
use crate::domain::money::NanoUsd;
use crate::domain::names::Labels;
use crate::domain::token::TokenKey;

const WHOLE: &str = r#"
[goals]
idle_timeout = "36h"
[alerts]
webhook_url = "http://localhost:8080/alerts"
webhook_secret_file = "/etc/oddsmaker/secret"
webhook_timeout = "5s"
webhook_retry_for = "2h"
[[workflow]]
id = "support-ticket"
idle_timeout = "72h"
price_usd = "0.99"
[[workflow]]
id = "Angebot für Kim"
[[budget]]
id = "ticket-run"
scope = "goal"
match = { workflow = "support-ticket", tier = "gold", user = "ada" }
measure = "tokens"
limit = 1_000
period = "week"
time_zone = "europe/berlin"
alert_thresholds = [1, 100, 1000]
on_exceed = "hand_off"
message = "Ask a person – at once."
[[budget]]
id = "team/default"
scope = "team"
default = true
limit = "0.000000001"
"#;

fn read(file: &str) -> Result<Configured, String> {
    let home = std::iter::once(("HOME".to_owned(), "/home/kim".to_owned()));
    resolve(Some((file, "f")), home, &[]).map_err(|errors| {
        let short = |e: &super::ConfigError| {
            let help = e.0.help.as_ref().map_or_else(String::new, |help| format!(" ({help})"));
            format!("{} {}: {}{help}", e.0.origin.to_string().replace("f:", ""), e.0.key, e.0.message)
        };
        errors.iter().map(short).collect::<Vec<_>>().join("\n")
    })
}

/// What is said of a budget with this line; the line is the fifth.
fn said(line: &str) -> String {
    let keys: Vec<&str> = line.lines().filter_map(|l| l.split(" =").next()).collect();
    let usual = [("id", "\"b\""), ("scope", "\"team\""), ("limit", "\"1.00\"")];
    let mut file = "[[budget]]\n".to_owned();
    for (key, value) in usual {
        file += &if keys.contains(&key) { "\n".to_owned() } else { format!("{key} = {value}\n") };
    }
    read(&(file + line)).map_or_else(|e| e, |all| all.warnings.iter().map(|w| w.0.message.clone()).collect())
}

#[test]
fn every_key_is_read_into_its_place() {
    let all = read(WHOLE).unwrap();
    assert_eq!(all.warnings, []);
    let (rules, alerts) = (&all.settings.goal_rules, &all.settings.alerts);
    assert_eq!((rules.idle_timeout_ms, rules.workflows.len()), (36 * 3_600_000, 2));
    let ticket = WorkflowRules { idle_timeout_ms: Some(72 * 3_600_000), price: Some(NanoUsd(990_000_000)) };
    assert_eq!(rules.workflows["support-ticket"], ticket);
    assert_eq!(rules.workflows["Angebot für Kim"], WorkflowRules::default());
    assert_eq!(rules.idle_timeout_ms("Angebot für Kim"), 36 * 3_600_000);
    assert_eq!(alerts.webhook_url.as_deref(), Some("http://localhost:8080/alerts"));
    assert_eq!(alerts.webhook_secret_file.as_deref(), Some(std::path::Path::new("/etc/oddsmaker/secret")));
    assert_eq!((alerts.webhook_timeout_ms, alerts.webhook_retry_for_ms), (5_000, 7_200_000));
    let pairs = [("workflow", "support-ticket"), ("tier", "gold"), ("user", "ada")];
    let written = Budget {
        id: "ticket-run".into(),
        scope: Scope::Goal,
        matches: pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        is_default: false,
        measure: Measure::Tokens,
        limit: 1_000,
        period: Period::Week,
        zone: TimeZoneDatabase::bundled().get("Europe/Berlin").unwrap(),
        alert_thresholds: vec![1, 100, 1_000],
        on_exceed: OnExceed::HandOff,
        message: "Ask a person – at once.".into(),
    };
    let defaults = Budget {
        id: "team/default".into(),
        scope: Scope::Team,
        matches: BTreeMap::new(),
        is_default: true,
        measure: Measure::Usd,
        limit: 1,
        period: Period::Month,
        zone: TimeZoneDatabase::bundled().get("UTC").unwrap(),
        alert_thresholds: vec![50, 80, 100],
        on_exceed: OnExceed::Block,
        message: String::new(),
    };
    assert_eq!(all.settings.budgets.as_written(), [written, defaults]);
}

#[test]
fn the_name_of_the_limit_of_start_goal_is_taken() {
    let file = |id: &str| format!("[[budget]]\nid = \"{id}\"\nscope = \"team\"\nlimit = \"1\"\n");
    let refused = read(&file("goal_limit")).unwrap_err();
    assert!(refused.contains("`goal_limit` is the name of the limit that StartGoal sets"), "{refused}");
    assert!(read(&file("goal_limits")).is_ok());
}

#[test]
fn nothing_is_limited_where_nobody_said_so() {
    let settings = read("").unwrap().settings;
    assert!(settings.budgets.as_written().is_empty() && settings.goal_rules.workflows.is_empty());
    assert_eq!((settings.goal_rules.idle_timeout_ms, settings.alerts.webhook_url), (86_400_000, None));
    let message = said("alert_thresholds = []\nlimit = \"0\"\nmessage = \"\"\n");
    assert_eq!(message, "", "no alerts, nothing allowed, no sentence: all of that can be meant");
}

/// A word that is read as another would fail here, and one that cannot be written at all.
#[test]
fn every_word_is_known_by_its_name() {
    for scope in Scope::ALL {
        let file = format!("[[budget]]\nid = \"b\"\nscope = \"{}\"\nlimit = \"1\"\n", scope.as_str());
        let budget = read(&file).unwrap().settings.budgets.as_written()[0].clone();
        let usual = if *scope == Scope::Goal { Period::PerGoal } else { Period::Month };
        assert_eq!((budget.scope, budget.period), (*scope, usual));
    }
    let with = |line: String| {
        let file = format!("[[budget]]\nid = \"b\"\nscope = \"goal\"\n{line}\n");
        read(&file).unwrap().settings.budgets.as_written()[0].clone()
    };
    for period in Period::ALL {
        assert_eq!(with(format!("limit = \"1\"\nperiod = \"{}\"", period.as_str())).period, *period);
    }
    for action in OnExceed::ALL {
        assert_eq!(with(format!("limit = \"1\"\non_exceed = \"{}\"", action.as_str())).on_exceed, *action);
    }
    for measure in Measure::ALL {
        let (limit, kept) = if *measure == Measure::Usd { ("\"7\"", 7_000_000_000) } else { ("7", 7) };
        let budget = with(format!("limit = {limit}\nmeasure = \"{}\"", measure.as_str()));
        assert_eq!((budget.measure, budget.limit), (*measure, kept));
    }
}

#[test]
fn every_mistake_of_a_budget_is_named_with_its_place() {
    for (line, expected) in [
        ("limt = 1", "5:1 budget[0].limt: unknown key `limt` (did you mean `limit`?)"),
        ("scope = \"tema\"", "5:9 budget[0].scope: unknown value `tema` (did you mean `team`?)"),
        ("period = \"daily\"", "5:10 budget[0].period: unknown value `daily` (did you mean `day`?)"),
        ("on_exceed = \"blok\"", "5:13 budget[0].on_exceed: unknown value `blok` (did you mean `block`?)"),
        ("limit = 2", "5:9 budget[0].limit: expected a string, found an integer (write \"2\")"),
        ("limit = \"-1\"", "5:9 budget[0].limit: `-1` is not a plain decimal number such as \"2.50\""),
        ("limit = \"1000000000.01\"", "5:9 budget[0].limit: `1000000000.01` is out of range"),
        ("limit = \"0.0000000001\"", "5:9 budget[0].limit: `0.0000000001` has more than 9 digits after the point"),
        ("limit = \"2\"\nmeasure = \"calls\"", "5:9 budget[0].limit: expected an integer, found a string"),
        ("limit = -2\nmeasure = \"calls\"", "5:9 budget[0].limit: -2 is not from 0 to 1000000000000000"),
        (
            "time_zone = \"Europe/Berln\"",
            "5:13 budget[0].time_zone: no time zone is called `Europe/Berln` (did you mean `Europe/Berlin`?)",
        ),
        ("time_zone = \"Etc/Unknown\"", "5:13 budget[0].time_zone: no time zone is called `Etc/Unknown`"),
        ("time_zone = \"CET-1CEST\"", "5:13 budget[0].time_zone: no time zone is called `CET-1CEST`"),
        ("alert_thresholds = [50, 50]", "5:25 budget[0].alert_thresholds[1]: 50 does not rise above the 50 before it"),
        ("alert_thresholds = [80, 50]", "5:25 budget[0].alert_thresholds[1]: 50 does not rise above the 80 before it"),
        ("alert_thresholds = [0]", "5:21 budget[0].alert_thresholds[0]: 0 is not from 1 to 1000"),
        ("alert_thresholds = [1001]", "5:21 budget[0].alert_thresholds[0]: 1001 is not from 1 to 1000"),
        ("default = \"yes\"", "5:11 budget[0].default: expected true or false, found a string"),
        (
            "id = \"a b\"",
            "5:6 budget[0].id: `a b` is not the id of a budget (use letters, digits and any of - _ . : /)",
        ),
        ("id = \"\"", "5:6 budget[0].id: must not be empty"),
        ("message = \"a\\nb\"", "5:11 budget[0].message: contains a control character"),
        ("match = \"x\"", "5:9 budget[0].match: expected a table, found a string"),
        ("match = { tool = \"\" }", "5:18 budget[0].match.tool: must not be empty"),
        ("match = { team = 1 }", "5:18 budget[0].match.team: expected a string, found an integer"),
    ] {
        let refused = said(line);
        assert!(refused.starts_with(expected), "{line}: {refused}");
        assert_eq!(refused.lines().count(), 1, "{line}: {refused}");
    }
    let long = format!("match = {{ workflow = \"{}\" }}", "é".repeat(101));
    assert!(said(&long).ends_with("is longer than the 200 bytes a request can carry"), "{}", said(&long));
    assert!(said(&format!("message = \"{}\"", "x".repeat(501))).ends_with("is longer than 500 characters"));
    assert_eq!(said(&format!("message = \"{}\"", "x".repeat(500))), "");
}

#[test]
fn what_is_missing_or_twice_is_named() {
    let file = "[[budget]]\nid = \"b\"\n[[budget]]\nid = \"b\"\nscope = \"goal\"\nlimit = \"1\"\n[[budget]]\nid = \"b\"\n\
                scope = \"team\"\nlimit = \"1\"\n[[workflow]]\nid = \"w\"\n[[workflow]]\nid = \"w\"\nprice_usd = 1\n\
                [[workflow]]\nidle_timeout = \"1ms\"\n[goals]\nidle_timout = \"1h\"\n[alerts]\nwebhook = \"x\"\n";
    let expected = "\
1:1 budget[0].scope: `scope` is missing
1:1 budget[0].limit: `limit` is missing
8:6 budget[2].id: the budget `b` is declared twice
14:6 workflow[1].id: the workflow `w` is declared twice
15:13 workflow[1].price_usd: expected a string, found an integer (write \"1\")
16:1 workflow[2].id: `id` is missing
17:16 workflow[2].idle_timeout: 1ms is not from 1s to 3650d
19:1 goals.idle_timout: unknown key `idle_timout` (did you mean `idle_timeout`?)
21:1 alerts.webhook: unknown key `webhook` (known: `webhook_url`, `webhook_secret_file`, `webhook_timeout`, `webhook_retry_for`)";
    assert_eq!(read(file).unwrap_err(), expected);
}

#[test]
fn a_match_that_names_no_label_is_doubted() {
    assert_eq!(said("match = { tier = \"gold\", team = \"a\", tool = \"search\" }"), "");
    assert_eq!(said("match = { worklow = \"w\" }"), "`worklow` is taken for a label");
    assert_eq!(said("match = { task = \"t\" }"), "`task` is taken for a label");
    assert_eq!(said("match = { model = \"m\" }"), "`model` is taken for a label");
}

#[test]
fn there_is_an_end_to_budgets() {
    let budget = |i: usize| format!("[[budget]]\nid = \"b{i}\"\nscope = \"goal\"\nlimit = \"1\"\n");
    let most: String = (0..1_000).map(budget).collect();
    assert_eq!(read(&most).unwrap().settings.budgets.as_written().len(), 1_000);
    let more = read(&(most + &budget(1_000) + &budget(1_001))).unwrap_err();
    assert!(more.starts_with("4002:6 budget[1000].id: there are more than 1000 budgets"), "{more}");
    assert_eq!(more.lines().count(), 1, "said once: {more}");
}

/// Calls name users by keyed digest: a budget that kept the name in clear would never hold.
#[test]
fn a_user_is_matched_by_digest() {
    let key = TokenKey::new([7; 32]);
    let file = "[[budget]]\nid = \"b\"\nscope = \"agent\"\nmatch = { user = \"ada\", team = \"ada\" }\nlimit = \"1\"\n";
    let budgets = read(file).unwrap().settings.budgets.conceal(&key);
    assert_eq!(budgets.all[0].matches["team"], "ada", "other labels stay");
    let labels = |user: &str| {
        let pairs = [("user", user), ("team", "ada"), ("agent", "a")];
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Labels>()
    };
    let applies = |user: &str| {
        let site = Site { task: "", workflow: "", step: "", tool: "", labels: &labels(user), goal: "" };
        budgets.applying(&site).len()
    };
    assert_eq!((applies(&key.conceal("ada")), applies(&key.conceal("bob")), applies("ada")), (1, 0, 0));
}

#[test]
fn budgets_and_workflows_are_shown_key_by_key() {
    let all = read(WHOLE).unwrap();
    let rows: Vec<String> = shown(&all.settings, &all.sources)
        .filter(|s| s.env_name.is_none())
        .map(|s| format!("{} = {} ({})", s.path, s.value, s.origin))
        .collect();
    assert_eq!(rows.len(), 2 * WORKFLOW_KEYS.len() + 2 * BUDGET_KEYS.len());
    for row in [
        "workflow.support-ticket.idle_timeout = 3d (f:11:16)",
        "workflow.support-ticket.price_usd = 0.99 (f:12:13)",
        "workflow.Angebot für Kim.price_usd =  (default)",
        "budget.ticket-run.match = tier=gold,user=ada,workflow=support-ticket (f:18:9)",
        "budget.ticket-run.limit = 1000 (f:20:9)",
        "budget.ticket-run.time_zone = Europe/Berlin (f:22:13)",
        "budget.team/default.default = true (f:29:11)",
        "budget.team/default.limit = 0.000000001 (f:30:9)",
        "budget.team/default.period = month (default)",
        "budget.team/default.alert_thresholds = 50,80,100 (default)",
    ] {
        assert!(rows.iter().any(|r| r == row), "{row} in {rows:#?}");
    }
}

/// The table of keys documents what is read: every key of it can be written, and a default in it is the one that holds.
#[test]
fn the_table_of_keys_says_what_is_read() {
    let read_without = read("[[budget]]\nid = \"b\"\nscope = \"team\"\nlimit = \"1\"\n").unwrap();
    let usual = &read_without.settings.budgets.as_written()[0];
    for key in BUDGET_KEYS {
        assert!(key.meaning.ends_with('.') && !key.unit.is_empty(), "{}", key.name);
        let written = format!("[[budget]]\n{} = {{}}\n", key.name);
        assert!(!read(&written).unwrap_err().contains("unknown key"), "{}", key.name);
        let value = (key.show)(usual);
        let told = key.default_text == value || ["match", "message"].contains(&key.name) && value.is_empty();
        let told = told || key.default_text == "—" || key.default_text.ends_with(&format!("else {value}"));
        assert!(told, "{}: {} is not {value}", key.name, key.default_text);
    }
    for key in WORKFLOW_KEYS {
        let written = format!("[[workflow]]\n{} = {{}}\n", key.name);
        assert!(!read(&written).unwrap_err().contains("unknown key"), "{}", key.name);
        assert_eq!((key.show)(&WorkflowRules::default()), "", "{}", key.name);
    }
}
