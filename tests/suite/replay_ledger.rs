//! The record of a daemon, exported and decided again by the built program: what it says really happened is what the daemon says,
//! and what a fixed policy would have brought is what the daemon answers.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::catalogues;
use super::harness::{Daemon, Home};
use super::http_client::{get, post};
use super::replay::{home_dir, printed, rows};
use super::seed_world::{CHEAP, DEAR, uniform};

/// Two models of which the router takes either at random every other time, and a task type with no other choice.
const TASKS: &str = r#"
[[task]]
id = "general"
candidates = ["openai/gpt-4o"]
[[task]]
id = "routed"
candidates = ["openai/gpt-4o", "openai/gpt-4o-mini"]
exploration_floor = 0.5
"#;

/// A catalogue that knows nothing of the record.
const OTHER: &str = r#"
schema = 1
[[model]]
id = "acme/one"
limit = { context = 8_000, output = 4_096 }
source = "test"
[[model.price]]
from = 2024-01-01
unit = "usd_per_mtok"
input = "1"
output = "2"
[[task]]
id = "elsewhere"
candidates = ["acme/one"]
"#;

/// Budgets that never refuse, so that calls are booked and alerts raised.
const SETTINGS: &str = r#"
[[budget]]
id = "run"
scope = "goal"
limit = "0.003"
on_exceed = "warn"
[[budget]]
id = "work"
scope = "workflow"
limit = "0.02"
period = "total"
on_exceed = "warn"
"#;

const SEED: u64 = 20_111;

fn posted(daemon: &Daemon, path: &str, body: &Value) -> Value {
    let answer = post(daemon.address, path, &body.to_string());
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

fn got(daemon: &Daemon, path: &str) -> Value {
    let answer = get(daemon.address, path).expect("an answer");
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

/// What asks for one of the 440 decisions: pins, single choices, goals of two calls with a gate between them.
fn request(daemon: &Daemon, n: u64) -> Value {
    let task = if n % 11 == 10 { "general" } else { "routed" };
    let pin = if n % 13 == 12 { json!({ "allowed_models": [DEAR] }) } else { Value::Null };
    let mut request =
        json!({ "task_type": task, "constraints": pin, "labels": { "team": "care" }, "features": { "n": 0.5 } });
    if n % 17 > 14 {
        let goal = format!("goal-{}", n / 17);
        if n % 17 == 16 {
            posted(
                daemon,
                "/v1/gate",
                &json!({ "goal_id": goal, "step": "look", "tool": "crm", "estimated_cost_usd": 0.001 }),
            );
        }
        request["goal_id"] = goal.into();
        request["workflow"] = "support".into();
        request["step"] = format!("step-{}", n % 17).into();
    }
    request
}

/// The decisions over HTTP, with outcomes told at once, late, corrected or never.
fn drive(daemon: &Daemon) {
    println!("seed {SEED}");
    let mut late = Vec::new();
    for n in 0..440_u64 {
        let decided = posted(daemon, "/v1/policy", &request(daemon, n));
        let rate = if decided["model"] == CHEAP { 0.6 } else { 0.9 };
        let outcome = json!({
            "decision_id": decided["decision_id"],
            "success": uniform(SEED ^ n) < rate,
            "usage": { "input_tokens": 300 + n, "output_tokens": 40 },
        });
        match n % 20 {
            7 => late.push(outcome),
            9 => continue,
            _ => {
                posted(daemon, "/v1/outcomes", &outcome);
            }
        }
        if n % 20 == 3 {
            let amendment = json!({ "decision_id": decided["decision_id"], "success": n % 40 == 3, "by": "qa", "reason": "looked at" });
            posted(daemon, "/v1/outcomes/amend", &amendment);
        }
    }
    for goal in 0..25 {
        let state = if goal % 3 == 0 { "GOAL_STATE_REJECTED" } else { "GOAL_STATE_ACCEPTED" };
        posted(daemon, &format!("/v1/goals/goal-{goal}/complete"), &json!({ "state": state }));
    }
    late.iter().for_each(|outcome| drop(posted(daemon, "/v1/outcomes", outcome)));
}

/// The whole record in two files, the second one gzipped.
fn export(home: &Home) {
    let dir = home_dir(home);
    let all = printed(home, &["export", "--data-dir", home.data().to_str().unwrap()]);
    let half = all.lines().count() / 2;
    let part = |lines: Vec<&str>| lines.join("\n") + "\n";
    fs::write(dir.join("all.jsonl"), &all).unwrap();
    fs::write(dir.join("a.jsonl"), part(all.lines().take(half).collect())).unwrap();
    let mut packed =
        flate2::write::GzEncoder::new(fs::File::create(dir.join("b.jsonl.gz")).unwrap(), flate2::Compression::fast());
    packed.write_all(part(all.lines().skip(half).collect()).as_bytes()).unwrap();
    packed.finish().unwrap();
}

/// The row of a policy at a task type; empty: in all.
fn row<'r>(rows: &'r [Value], policy: &str, task: &str) -> &'r Value {
    let found =
        rows.iter().find(|row| row["policy"] == policy && row["task_type"].as_str().unwrap_or_default() == task);
    found.unwrap_or_else(|| panic!("{policy} {task}"))
}

fn close(a: &Value, b: &Value) {
    let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
    assert!((a - b).abs() <= 1e-9 * b.abs(), "{a} {b}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exported_ledger_says_what_the_daemon_says() {
    let home = Home::seeded(&catalogues::with_tasks(TASKS), 8);
    let daemon = home.start_with(SETTINGS);
    drive(&daemon);
    let insights = got(&daemon, "/v1/insights?lookback_hours=24");
    let cheap = got(&daemon, "/v1/evaluate-policy?policy=always:gpt-4o-mini&lookback_hours=24");
    let uniform = got(&daemon, "/v1/evaluate-policy?policy=uniform&lookback_hours=24");
    daemon.stop().await;
    export(&home);
    let line = ["replay", "a.jsonl", "b.jsonl.gz", "--shuffles", "5", "--format", "json"];
    let found = rows(&home, &line);

    for of in insights["by_task"].as_array().unwrap() {
        let told = row(&found, "recorded", of["name"].as_str().unwrap());
        assert_eq!((&told["calls"], &told["successes"]), (&of["calls"], &of["successes"]), "{of}");
        assert_eq!(told["cost_nano_usd"], of["total_cost_nano_usd"]);
        close(&told["success_rate"], &of["success_rate"]);
        close(&told["success_rate_low"], &of["success_rate_interval"]["low"]);
        close(&told["cost_per_call_usd"], &of["avg_cost_per_call"]);
        close(&told["cost_per_success_usd"], &of["cost_per_success"]);
        close(&told["cost_per_success_usd_high"], &of["cost_per_success_interval"]["high"]);
        assert_eq!(told["pricing_coverage"], 1.0);
    }
    let all = row(&found, "recorded", "");
    assert_eq!((&all["calls"], &all["cost_nano_usd"]), (&insights["calls"], &insights["total_cost_nano_usd"]));
    assert_eq!(all["successes"], insights["successful_outcomes"]);
    assert_eq!(all["calls"], 418, "one in twenty was never told");

    let drawn = row(&found, "recorded_draws", "");
    assert_eq!((&drawn["draws"], &drawn["calls"]), (&cheap["draws"], &cheap["calls"]));
    close(&drawn["success_rate"], &cheap["observed"]["success_rate"]);
    for (policy, of) in [("always=openai/gpt-4o-mini", &cheap), ("uniform", &uniform)] {
        let told = row(&found, policy, "");
        assert_eq!((&told["draws"], &told["refused"]), (&of["draws"], &Value::Null));
        close(&told["doubly_robust_success_rate"], &of["success_rate"]["value"]);
        close(&told["doubly_robust_success_rate_high"], &of["success_rate"]["interval"]["high"]);
        close(&told["doubly_robust_cost_per_call_usd"], &of["cost_per_call_usd"]["value"]);
        close(&told["success_rate"], &of["self_normalised"]["success_rate"]);
        close(&told["cost_per_success_usd"], &of["self_normalised"]["cost_per_success_usd"]);
    }
    close(&row(&found, "cheapest", "")["success_rate"], &cheap["self_normalised"]["success_rate"]);
    let router = row(&found, "default", "");
    let (matched, rate) = (router["matched_share"].as_f64().unwrap(), router["success_rate"].as_f64().unwrap());
    assert!((0.5..0.9).contains(&matched) && (0.7..0.9).contains(&rate), "{router}");
    assert!(row(&found, "always=openai/gpt-4o", "")["matched_share"].as_f64().unwrap() > 0.5);
    assert_eq!(printed(&home, &line), printed(&home, &line), "the same seed");
    let whole = ["replay", "all.jsonl", "--shuffles", "5", "--format", "json"];
    assert_eq!(printed(&home, &whole).replace("\"all\"", "\"a\""), printed(&home, &line), "in one file or two");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_read_what_a_replayed_ledger_can_say_and_mistakes_by_line() {
    let home = Home::seeded(&catalogues::with_tasks(TASKS), 9);
    let daemon = home.start_with(SETTINGS);
    drive(&daemon);
    daemon.stop().await;
    export(&home);
    let dir = home_dir(&home);
    let line = ["replay", "all.jsonl", "--shuffles", "2", "--policy", "default", "tolerance=0.05", "--out", "left"];
    let text = printed(&home, &line);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[1].starts_with("general") && lines[1].contains("as it was"), "{text}");
    assert!(lines[2].starts_with("routed") && lines[3].starts_with("all"), "{text}");
    assert!(lines[4].contains("as it was, drawn") && lines[5].contains("default"), "{text}");
    assert!(text.contains("Decisions left out: 30 pinned, 40 with one candidate, "), "{text}");
    assert!(text.contains("learns more slowly than a daemon would"), "{text}");
    assert!(text.contains("are means of 2 lives") && text.contains("--task NAME tells one apart"), "{text}");
    let figures: Vec<Value> = serde_json::from_str(&read(&dir, "left/figures.json")).unwrap();
    assert_eq!(figures.len(), 6);
    assert!(read(&dir, "left/quality_cost_all.svg").contains("tolerance=0.05"));
    let manifest: Value = serde_json::from_str(&read(&dir, "left/manifest.json")).unwrap();
    assert_eq!(manifest["files_blake3"].as_object().unwrap().len(), 2);

    let whole = read(&dir, "all.jsonl");
    fs::write(dir.join("cut.jsonl"), &whole[..whole.len() - 9]).unwrap();
    let last = whole.lines().count();
    fs::write(dir.join("t.csv"), "task_type,query_id,model,success\nt,q,a,1\n").unwrap();
    let without: Vec<&str> = whole.lines().enumerate().filter(|(at, _)| *at != 30).map(|(_, line)| line).collect();
    fs::write(dir.join("hole.jsonl"), without.join("\n")).unwrap();
    for (words, code, say) in [
        (&["replay", "cut.jsonl"][..], 1, format!("cut.jsonl:{last}: no JSON")),
        (&["replay", "b.jsonl.gz", "a.jsonl"], 1, "a.jsonl:1: event 1 comes after event".to_owned()),
        (&["replay", "hole.jsonl"], 1, "hole.jsonl:31: event 32 comes right after event 30".to_owned()),
        (&["replay", "all.jsonl", "t.csv"], 2, "replayed apart".to_owned()),
        (&["replay", "all.jsonl", "--policy", "oracle"], 2, "no policy `oracle` for a ledger".to_owned()),
        (&["replay", "all.jsonl", "--policy", "always=o9"], 2, "no such model".to_owned()),
        (&["replay", "all.jsonl", "--policy", "always:o9"], 2, "`always=o9`: no such model".to_owned()),
        (
            &["replay", "all.jsonl", "--task", "rooted"],
            2,
            "no task type `rooted` in this ledger; there are ".to_owned(),
        ),
        (&["replay", "all.jsonl", "--passes", "2"], 2, "for tables".to_owned()),
    ] {
        let refused = home.command(words).output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!((refused.status.code(), said.contains(&say)), (Some(code), true), "{words:?}: {said}");
    }

    let of_task = ["replay", "all.jsonl", "--shuffles", "1", "--policy", "uniform", "--task", "routed"];
    let found = rows(&home, &[&of_task[..], &["--format", "json"]].concat());
    assert!(found.iter().all(|row| row["task_type"] == "routed"), "{found:?}");
    let without = rows(&home, &["replay", "all.jsonl", "--policy", "uniform", "--format", "json"]);
    assert_eq!(row(&found, "uniform", "routed")["draws"], row(&without, "uniform", "")["draws"], "all draws are of it");
    let text = printed(&home, &of_task);
    assert!(text.contains("are those of one life. Decisions left out, of all task types: 30 pinned"), "{text}");
    let found = rows(&home, &["replay", "all.jsonl", "--policy", "uniform", "--task", "general", "--format", "json"]);
    assert_eq!(row(&found, "uniform", "general")["draws"], 0, "it has one candidate");

    fs::write(dir.join("other.toml"), OTHER).unwrap();
    let other = ["replay", "all.jsonl", "--shuffles", "1", "--policy", "default", "--models"];
    let text = printed(&home, &[&other[..], &["other.toml"]].concat());
    let say = "--models does not declare the task types routed, general (they are decided by the settings as shipped), nor the \
               models openai/gpt-4o, openai/gpt-4o-mini ";
    assert!(text.contains(say), "{text}");
    let models = home.models();
    let text = printed(&home, &[&other[..], &[models.to_str().unwrap()]].concat());
    assert!(!text.contains("does not declare"), "{text}");

    // The second half alone: its names stand in its lines, its catalogue has to be given.
    let alone = ["replay", "b.jsonl.gz", "--shuffles", "2", "--format", "json", "--policy", "uniform"];
    let found = rows(&home, &alone);
    assert_eq!((&row(&found, "uniform", "")["draws"], &found[0]["task_type"]), (&json!(0), &json!("general")));
    let said = found.iter().find(|row| row["policy"] == "uniform").unwrap()["refused"].as_str().unwrap();
    assert!(said.ends_with("; give the catalogue that decided them (`--models`)"), "{said}");
    let given = [&alone[..], &["--models", models.to_str().unwrap()]].concat();
    let draws = row(&rows(&home, &given), "uniform", "")["draws"].as_u64().unwrap();
    assert!((120..240).contains(&draws), "{draws}");
}

fn read(dir: &Path, name: &str) -> String {
    fs::read_to_string(dir.join(name)).unwrap()
}
