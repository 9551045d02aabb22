//! Tables and problems whose truth is known, through the built program: the figures it prints are those of the table, and the
//! same seed prints the same bytes.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::catalogues;
use super::harness::Home;

pub(crate) fn home_dir(home: &Home) -> PathBuf {
    home.models().parent().unwrap().to_owned()
}

pub(crate) fn printed(home: &Home, words: &[&str]) -> String {
    let output = home.command(words).output().expect("the program runs");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn rows(home: &Home, words: &[&str]) -> Vec<Value> {
    serde_json::from_str(&printed(home, words)).unwrap()
}

/// 300 queries of two task types: `dear` succeeds at nine of ten, `cheap` at nine of ten easy ones and one of three hard ones.
fn table() -> String {
    let mut text = "task_type,query_id,model,success,cost_usd\n".to_owned();
    for n in 0..300 {
        let (task, dear) = (if n % 2 == 0 { "easy" } else { "hard" }, n % 20 > 1);
        let cheap = if n % 2 == 0 { dear } else { n % 3 == 0 };
        writeln!(text, "{task},q{n},dear,{},0.01", u8::from(dear)).unwrap();
        writeln!(text, "{task},q{n},cheap,{},0.0001", u8::from(cheap)).unwrap();
    }
    text
}

#[test]
fn a_table_is_replayed_beside_what_it_says_itself() {
    let home = Home::new(&catalogues::usual());
    fs::write(home_dir(&home).join("t.csv"), table()).unwrap();
    let line = ["replay", "t.csv", "--shuffles", "20", "--passes", "5", "--format", "json", "--policy", "default"];
    let router = rows(&home, &line);
    assert_eq!(printed(&home, &line), printed(&home, &line), "the same seed");
    let fixed =
        ["replay", "t.csv", "--shuffles", "2", "--format", "json", "--policy", "best_fixed", "uniform", "per_type"];
    let known = rows(&home, &fixed);
    let figure = |row: &Value, key: &str| row[key].as_f64().unwrap();
    assert_eq!(
        (&known[0]["dataset"], &known[0]["model"], &known[0]["shuffles"]),
        (&"t".into(), &"dear".into(), &2.into())
    );
    assert_eq!((figure(&known[0], "success_rate"), figure(&known[0], "cost_usd_per_query")), (0.9, 0.01));
    assert!((figure(&known[0], "cost_per_success_usd") - 0.01 / 0.9).abs() < 1e-9);
    assert_eq!(figure(&known[2], "success_rate"), 0.9);
    assert!((figure(&known[2], "cost_usd_per_query") - 0.00505).abs() < 1e-9, "cheap at the easy half");
    assert_eq!(router[0]["queries"], 1_500);
    assert!(figure(&router[0], "success_rate") > figure(&known[1], "success_rate"), "better than chance");
    assert!(figure(&router[0], "success_rate_last_fifth") > 0.85);
    assert!(
        figure(&router[0], "cost_per_success_usd_last_fifth") < 0.7 * 0.01 / 0.9,
        "and cheaper than the best model"
    );
    let refused = home.command(&["replay", "t.csv", "--policy", "tolerance=2"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn a_replay_leaves_its_figures_passes_and_a_plot() {
    let home = Home::new(&catalogues::usual());
    fs::write(home_dir(&home).join("t.csv"), table()).unwrap();
    let line = ["replay", "t.csv", "--shuffles", "3", "--policy", "best_fixed", "cheapest", "--out", "replayed"];
    printed(&home, &line);
    let read = |name: &str| fs::read_to_string(home_dir(&home).join("replayed").join(name)).unwrap();
    let figures: Vec<Value> = serde_json::from_str(&read("figures.json")).unwrap();
    assert_eq!((figures.len(), &figures[1]["policy"], &figures[1]["model"]), (2, &"cheapest".into(), &"cheap".into()));
    let passes = read("passes.csv");
    assert_eq!(passes.lines().count(), 1 + 2 * 3);
    assert_eq!(passes.lines().nth(1), Some("t,best_fixed,0,300,270,300,3000000000,60,54,60,600000000"));
    assert!(read("quality_cost_t.svg").contains("best_fixed"));
    let manifest: Value = serde_json::from_str(&read("manifest.json")).unwrap();
    assert_eq!(manifest["files_blake3"].as_object().unwrap().len(), 3);
    assert_eq!(manifest["made_by"], "oddsmaker replay");
    printed(&home, &line);
    fs::write(home_dir(&home).join("replayed/manifest.json"), "{}").unwrap();
    assert_eq!(
        home.command(&line).output().unwrap().status.code(),
        Some(1),
        "a folder of somebody else stays as it is"
    );
}

#[test]
fn a_table_without_some_costs_or_rows_says_so_and_models_are_named() {
    let home = Home::new(&catalogues::usual());
    let unpriced = table().replace(",0.01\n", ",\n").replace("hard,q3,cheap,1,0.0001\n", "");
    fs::write(home_dir(&home).join("t.csv"), unpriced).unwrap();
    let line = ["replay", "t.csv", "--shuffles", "1", "--policy", "uniform", "always:dear", "always=cheap"];
    let found = rows(&home, &[&line[..], &["--format", "json"]].concat());
    let named: Vec<&str> = found.iter().map(|row| row["policy"].as_str().unwrap()).collect();
    assert_eq!(named, ["uniform", "always=dear", "always=cheap"], "in either spelling");
    let share = found[0]["cost_known_share"].as_f64().unwrap();
    assert!((0.4..0.6).contains(&share) && found[0]["cost_usd_per_query"] == 0.0001, "{}", found[0]);
    assert_eq!((&found[1]["cost_known_share"], &found[1]["cost_usd_per_query"]), (&0.0.into(), &Value::Null));
    assert_eq!((&found[2]["cost_known_share"], &found[2]["queries"]), (&1.0.into(), &299.into()));
    let text = printed(&home, &line);
    assert!(text.contains("Not every cost is known of uniform (t), always=dear (t): "), "{text}");
    assert!(text.contains("t: no row of cheap for 1 of 300 queries"), "{text}");
    assert!(text.contains("\nOne pass, ") && text.contains(" Cost known "), "{text}");
    for (flag, named, say) in [
        ("--policy", "always=m/nosuch", "`always=m/nosuch`: no model `m/nosuch` in t; there are cheap, dear"),
        ("--task", "easy", "--task is for ledgers"),
    ] {
        let refused = home.command(&["replay", "t.csv", flag, named]).output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!((refused.status.code(), said.contains(say)), (Some(2), true), "{said}");
    }
}

#[test]
fn problems_are_simulated_with_the_figures_of_the_contract() {
    let home = Home::new(&catalogues::usual());
    let problem = r#"{"problems": [{"id": "two", "seed": 1001, "T": 2000, "segments": [{"start": 0, "p": [0.5, 0.9]}],
        "cost_usd": [0.001, 0.01]}]}"#;
    fs::write(home_dir(&home).join("p.json"), problem).unwrap();
    let line = ["simulate", "--problems", "p.json", "--reps", "10", "--format", "json"];
    let rows = rows(&home, &line);
    let regret = |policy: &str| {
        let row = rows.iter().find(|row| row["policy"] == policy).unwrap_or_else(|| panic!("{policy}"));
        assert_eq!((&row["problem"], &row["reps"]), (&"two".into(), &10.into()));
        assert!(row["regret_se"].is_number());
        row["regret_mean"].as_f64().unwrap()
    };
    assert!((regret("uniform") - 400.0).abs() < 15.0);
    for policy in ["default", "shipped", "plain", "thompson", "klucb"] {
        assert!(regret(policy) < 30.0, "{policy}: {}", regret(policy));
    }
    fs::write(home_dir(&home).join("p.json"), problem.replace("0.9", "1.9")).unwrap();
    let refused = home.command(&line).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("problem `two`: 1.9 is no probability"));
}
