//! Scenarios through the built program: all of `simulations/` play, the same seed gives the same bytes, conditions decide the exit
//! code, and no folder is overwritten that holds something else.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::Value;

use super::catalogues;
use super::harness::Home;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("simulations")
}

fn scenario(name: &str) -> String {
    folder().join(name).to_str().unwrap().to_owned()
}

/// Runs `oddsmaker simulate` with the built-in catalogue and returns exit code, output and complaints.
fn simulate(home: &Home, words: &[&str]) -> (Option<i32>, String, String) {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models.toml");
    let all = [&["simulate", "--models", models.to_str().unwrap()], words].concat();
    let Output { status, stdout, stderr } = home.command(&all).output().expect("the program runs");
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// Every file of a folder with its bytes.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect()
}

#[test]
fn a_table_says_what_its_columns_are_in() {
    let home = Home::new(&catalogues::usual());
    let few = ["--reps", "2", "--calls", "100"];
    let (_, out, _) = simulate(&home, &[&[scenario("tight_gaps.toml").as_str()], &few[..]].concat());
    let said = "\nMeans of the runs:\n  Calls: calls made\n  Refused: calls not made, because nobody might have them\n";
    assert!(out.contains(said), "{out}");
    assert!(
        out.contains("\n  USD a success: cost ÷ successes, USD\n") && !out.contains("accepted goals, USD"),
        "{out}"
    );
    let (_, out, _) = simulate(&home, &[&[scenario("agent_budgets.toml").as_str()], &few[..]].concat());
    assert!(out.contains("\n  USD an accepted goal: cost ÷ accepted goals, USD\n"), "{out}");
}

#[test]
fn every_scenario_plays_and_says_what_it_is_about() {
    let home = Home::new(&catalogues::usual());
    let mut scenarios: Vec<String> =
        fs::read_dir(folder()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    scenarios.retain(|name| name.ends_with(".toml"));
    scenarios.sort();
    assert!(scenarios.len() >= 12, "{scenarios:?}");
    let paths: Vec<String> = scenarios.iter().map(|name| scenario(name)).collect();
    let few = ["--reps", "2", "--calls", "300", "--format", "json"];
    let words: Vec<&str> = paths.iter().map(String::as_str).chain(few).collect();
    let (code, out, said) = simulate(&home, &words);
    assert_eq!((code, said.as_str()), (Some(0), ""));
    let rows: Value = serde_json::from_str(&out).unwrap();
    let readme = fs::read_to_string(folder().join("README.md")).unwrap();
    for name in &scenarios {
        let stem = name.trim_end_matches(".toml");
        let of = rows.as_array().unwrap().iter().filter(|row| row["scenario"] == stem);
        assert!(of.clone().count() >= 4, "{name}");
        assert!(of.clone().all(|row| row["calls"].as_f64().unwrap() >= 100.0), "{name}");
        let oracle =
            of.clone().find(|row| row["policy"] == "oracle").expect("every scenario is compared with what is possible");
        assert!(of.clone().all(|row| row["regret"].as_f64() >= oracle["regret"].as_f64()), "{name}");
        assert!(readme.contains(&format!("[{stem}]({name})")), "the list names {name}");
        let text = fs::read_to_string(folder().join(name)).unwrap();
        assert!(text.starts_with("# ") && text.contains("\nabout = \""), "{name} says what it is about");
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_in_every_file_and_another_seed_others() {
    let home = Home::new(&catalogues::usual());
    let agent = scenario("agent_budgets.toml");
    let played = |name: &str, more: &[&str]| {
        let out = home.models().with_file_name(name);
        let words = [&[&agent, "--reps", "2", "--calls", "60", "--out", out.to_str().unwrap()], more].concat();
        assert_eq!(simulate(&home, &words).0, Some(0));
        contents(&out)
    };
    let (first, again, other) = (played("one", &[]), played("two", &[]), played("three", &["--seed", "2"]));
    let names: Vec<&str> = first.keys().map(String::as_str).collect();
    let expected = [
        "cost_per_success.svg",
        "curves.csv",
        "manifest.json",
        "quality_cost.svg",
        "regret.svg",
        "report.html",
        "runs.csv",
        "scenario.toml",
        "shares.csv",
        "summary.json",
        "traffic_share.svg",
    ];
    assert_eq!(names, expected);
    for name in names {
        assert!(first[name] == again[name], "{name}");
        assert!(name == "scenario.toml" || first[name] != other[name], "{name}");
    }
    assert!(first == played("one", &[]), "a folder of ours is written anew");
    let text = |name: &str| String::from_utf8(first[name].clone()).unwrap();
    let manifest: Value = serde_json::from_str(&text("manifest.json")).unwrap();
    assert_eq!(manifest["scenario_blake3"], blake3::hash(&fs::read(&agent).unwrap()).to_hex().as_str());
    for (name, digest) in manifest["files_blake3"].as_object().unwrap() {
        assert_eq!(digest, blake3::hash(&first[name]).to_hex().as_str(), "{name}");
    }
    assert_eq!(manifest["files_blake3"].as_object().unwrap().len(), expected.len() - 1);
    let report = text("report.html");
    assert_eq!(report.matches("<svg").count(), 4);
    assert!(report.matches("<table").count() >= 6, "a table behind every plot");
    for outside in ["<script", "<link", "<img", "@import", "url(", "src="] {
        assert!(!report.contains(outside), "{outside}");
    }
}

#[test]
fn conditions_decide_the_exit_code_and_say_what_is() {
    let home = Home::new(&catalogues::usual());
    let synthesis = scenario("synthesis.toml");
    let with = |conditions: &[&str]| {
        let few = [synthesis.as_str(), "--reps", "2", "--calls", "1000"];
        let words: Vec<&str> = few.into_iter().chain(conditions.iter().flat_map(|c| ["--assert", c])).collect();
        simulate(&home, &words)
    };
    let (code, _, said) = with(&["router.success_rate > cheapest.success_rate", "cost_per_success < 1"]);
    assert_eq!((code, said.as_str()), (Some(0), ""));
    let (code, out, said) = with(&["cost_per_success < 1", "router.success_rate > 0.99", "oracle.regret > 0"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("`router.success_rate > 0.99` does not hold: router.success_rate = 0."), "{said}");
    assert!(said.contains("`oracle.regret > 0` does not hold: oracle.regret = 0"), "{said}");
    assert!(out.contains("router"), "what was found is shown first");
    assert_eq!(with(&["nobody.regret < 1"]).0, Some(2));
    assert_eq!(with(&["regret"]).0, Some(2));
}

#[test]
fn a_folder_of_others_and_a_bad_scenario_are_refused_before_anything_is_played() {
    let home = Home::new(&catalogues::usual());
    let here = |name: &str| home.models().with_file_name(name);
    fs::create_dir(here("mine")).unwrap();
    fs::write(here("mine").join("letter.txt"), "dear").unwrap();
    let synthesis = scenario("synthesis.toml");
    let (code, out, said) = simulate(&home, &[&synthesis, "--out", here("mine").to_str().unwrap()]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(said.contains("holds something else than a simulation"), "{said}");
    assert_eq!(contents(&here("mine")).len(), 1);
    let text = fs::read_to_string(&synthesis).unwrap();
    let line = 1 + text.lines().position(|l| l.starts_with("success = ")).unwrap();
    fs::write(here("bad.toml"), text.replacen("success = ", "sucess = ", 1)).unwrap();
    let (code, _, said) = simulate(&home, &[here("bad.toml").to_str().unwrap()]);
    assert_eq!(code, Some(78));
    assert!(said.contains(&format!("bad.toml:{line}:1")) && said.contains("did you mean `success`?"), "{said}");
    for (words, code) in [
        (vec![], 2),
        (vec!["missing.toml"], 78),
        (vec![&*synthesis, "--policy", "nobody"], 2),
        (vec![&*synthesis, &*synthesis, "--out", "twice"], 2),
        (vec![&*synthesis, "--problems", "p.json"], 2),
    ] {
        assert_eq!(simulate(&home, &words).0, Some(code), "{words:?}");
    }
    // A closed standard error ends nothing otherwise: nobody is there to be told.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = home.command(&["simulate", "missing.toml"]).stdout(Stdio::null()).stderr(writer).status();
    assert_eq!(status.unwrap().code(), Some(78));
}

#[test]
fn a_table_is_refused_with_where_it_belongs() {
    let home = Home::new(&catalogues::usual());
    let file = home.models().with_file_name("t.csv");
    fs::write(&file, "prompt,model,success\n".repeat(1_000)).unwrap();
    let (code, out, said) = simulate(&home, &[file.to_str().unwrap()]);
    assert_eq!((code, out.as_str()), (Some(78), ""));
    assert!(said.matches("error: ").count() == 20 && said.contains("\nand 980 more\n"), "{said}");
    assert!(said.ends_with("A scenario is TOML; a table is for `oddsmaker replay`.\n"), "{said}");
}
