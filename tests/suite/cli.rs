//! The command line of the built program: what it prints, how it exits, and that the verbs that only look change
//! nothing. It refuses to know how a verb is done.

use std::fs;
use std::process::{Output, Stdio};

use serde_json::Value;

use super::calls::{ask, decide, priced, record};
use super::catalogues;
use super::harness::{Home, copy_dir, files};

/// Runs the program in the folder and returns exit code, output and complaints.
fn run(home: &Home, line: &str) -> (Option<i32>, String, String) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let Output { status, stdout, stderr } = home.command(&words).output().expect("the program runs");
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

pub(crate) fn json(home: &Home, line: &str) -> Value {
    let (code, out, said) = run(home, line);
    assert_eq!(code, Some(0), "{line}: {said}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{line}: {error}: {out}"))
}

#[test]
fn the_exit_code_says_who_must_act() {
    let home = Home::new(&catalogues::usual());
    for (line, code) in [
        ("--version", 0),
        ("--help", 0),
        ("insights --help", 0),
        ("frobnicate", 2),
        ("models", 2),
        ("insights --lookback yesterday", 2),
        ("models explain gpt-4o --tier gold", 2),
        ("config show --set nonsense", 2),
        ("config check", 0),
        ("config check --set log.levle=debug", 78),
        ("config check --config missing.toml", 78),
        ("config check --models missing.toml", 78),
        ("serve --listen 0.0.0.0:7070", 78),
        ("--listen nowhere", 78),
        ("models check", 0),
        ("verify --data-dir missing", 1),
        ("export --data-dir missing", 1),
        ("export --data-dir missing --format csv", 2),
        ("healthcheck --address http://127.0.0.1:1", 1),
        ("insights --address 127.0.0.1:1", 1),
        ("insights --address http://", 1),
        ("receipt t-1 --address 127.0.0.1:1", 1),
        ("goals --address 127.0.0.1:1", 1),
        ("budgets --address 127.0.0.1:1", 1),
        ("alerts --acknowledge a-1 --by kim --address 127.0.0.1:1", 1),
        ("audit sample --address 127.0.0.1:1", 1),
        ("audit import missing.csv --by kim", 1),
        ("receipt", 2),
        ("goals --state done", 2),
        ("alerts --acknowledge a-1", 2),
        ("audit sample --n 0", 2),
        ("audit import missing.csv", 2),
    ] {
        let (got, out, said) = run(&home, line);
        assert_eq!(got, Some(code), "{line}: {out}{said}");
        assert_eq!(said.is_empty(), code == 0, "a failure says why, and only that: {line}: {said}");
    }
    for verb in ["healthcheck", "insights", "goals", "budgets", "alerts"] {
        let (_, _, said) = run(&home, &format!("{verb} --address http://127.0.0.1:1"));
        assert!(said.contains("is the daemon running? `oddsmaker` starts it"), "{said}");
    }
    assert!(!home.data().exists() && !home.models().with_file_name("missing").exists(), "looking makes no folder");
}

#[test]
fn a_bad_catalogue_is_named_by_line_before_anything_starts() {
    let text = catalogues::usual();
    let line = 1 + text.lines().position(|l| l.starts_with("candidates = ")).expect("a task type");
    let home = Home::new(&text.replacen("candidates = ", "candidtes = ", 1));
    let place = format!("models.toml:{line}:1");
    for verb in ["models check", "config check", "models list", "serve --listen 127.0.0.1:0 --data-dir data"] {
        let (code, _, said) = run(&home, verb);
        assert_eq!(code, Some(78), "{verb}: {said}");
        assert!(said.contains(&place) && said.contains("did you mean `candidates`?"), "{verb}: {said}");
    }
    assert!(!home.data().exists(), "nothing was made");
    let (code, out, _) = run(&home, "models check --format json");
    let reports: Value = serde_json::from_str(&out).unwrap();
    let told = |report: &&Value| report["level"] == "error" && report["line"] == line && report["column"] == 1;
    assert_eq!((code, reports.as_array().unwrap().iter().filter(told).count()), (Some(78), 1), "{reports}");
    let other = home.models().with_file_name("good.toml");
    fs::write(&other, &text).unwrap();
    assert_eq!(run(&home, "models check good.toml").0, Some(0), "another file may be checked");
}

#[test]
fn settings_come_in_layers_and_show_where_from() {
    let home = Home::new(&catalogues::usual());
    let file = "[server]\nmax_connections = 5\nmax_in_flight = 6\n[log]\nlevel = \"warn\"\n";
    fs::write(home.models().with_file_name("oddsmaker.toml"), file).unwrap();
    let mut command = home.command(&["config", "show", "--format", "json", "--set", "log.level=debug"]);
    command.env("ODDSMAKER_SERVER__MAX_IN_FLIGHT", "7").env("ODDSMAKER_LOG__LEVEL", "error");
    let shown: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    let of = |key: &str| {
        let row = shown.as_array().unwrap().iter().find(|row| row["key"] == key).expect("a row for every setting");
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        for name in ["unit", "default", "meaning", "environment"] {
            assert!(!text(name).is_empty(), "{key}: {name}");
        }
        (text("value"), text("source"))
    };
    let pair = |value: &str, source: &str| (value.to_owned(), source.to_owned());
    assert_eq!(of("server.listen"), pair("127.0.0.1:7070", "default"));
    assert_eq!(of("server.max_connections"), pair("5", "oddsmaker.toml:2:19"));
    assert_eq!(of("server.max_in_flight"), pair("7", "environment variable ODDSMAKER_SERVER__MAX_IN_FLIGHT"));
    assert_eq!(of("log.level"), pair("debug", "flag log.level"));
    let (_, table, _) = run(&home, "config show");
    let (_, csv, _) = run(&home, "config show --format csv");
    let rows = shown.as_array().unwrap().len();
    assert_eq!((table.lines().count(), csv.lines().count()), (rows + 1, rows + 1));
    assert!(csv.starts_with("key,value,unit,default,source,environment,meaning\n"));
}

#[test]
fn budgets_are_checked_and_shown() {
    let home = Home::new(&catalogues::usual());
    let file = home.models().with_file_name("oddsmaker.toml");
    let budget = "[[budget]]\nid = \"ticket-run\"\nscope = \"goal\"\nlimit = \"2.00\"\ntime_zone = \"Europe/Berlin\"\n";
    fs::write(&file, format!("[[workflow]]\nid = \"support\"\nprice_usd = \"0.99\"\n{budget}")).unwrap();
    let checked = json(&home, "config check --format json");
    assert_eq!(
        (&checked["budgets"], &checked["workflows"], &checked["settings_set"]),
        (&1.into(), &1.into(), &4.into())
    );
    let (_, text, _) = run(&home, "config check");
    assert!(text.contains("\nbudgets    fine (1 budget, 1 workflow)\n"), "{text}");
    let shown = json(&home, "config show --format json");
    let row = |key: &str| shown.as_array().unwrap().iter().find(|row| row["key"] == key).expect("a row").clone();
    let limit = row("budget.ticket-run.limit");
    assert_eq!((&limit["value"], &limit["source"]), (&"2.00".into(), &"oddsmaker.toml:7:9".into()));
    assert_eq!(limit["environment"], Value::Null, "only the file can say it");
    assert_eq!(row("budget.ticket-run.period")["value"], "per_goal");
    assert_eq!(row("goals.idle_timeout")["environment"], "ODDSMAKER_GOALS__IDLE_TIMEOUT");

    let doubtful = format!("{budget}match = {{ worklow = \"support\" }}\n");
    fs::write(&file, doubtful).unwrap();
    let (code, _, said) = run(&home, "config check");
    assert!(code == Some(0) && said.starts_with("warning: `worklow` is taken for a label\n"), "{said}");
    fs::write(&file, budget.replace("Berlin", "Berln")).unwrap();
    for verb in ["config check", "config show", "serve --listen 127.0.0.1:0 --data-dir data"] {
        let (code, _, said) = run(&home, verb);
        assert_eq!(code, Some(78), "{verb}: {said}");
        assert!(said.contains("--> oddsmaker.toml:5:13") && said.contains("did you mean `Europe/Berlin`?"), "{said}");
    }
    fs::write(&file, "[alerts]\nwebhook_secret_file = \"no-such-file\"\n").unwrap();
    let (code, _, said) = run(&home, "config check");
    assert!(code == Some(78) && said.contains("cannot read the webhook secret no-such-file: "), "{said}");
    assert!(!home.data().exists(), "looking makes no folder");
}

/// The example of the README is read as it stands there.
#[test]
fn the_budgets_of_the_readme_are_valid() {
    let home = Home::new(&catalogues::usual());
    let readme = include_str!("../../README.md");
    let section = readme.split("\n## Budgets\n").nth(1).expect("a section on budgets");
    let example = section.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let secret = home.models().with_file_name("secret");
    fs::write(&secret, "0123456789abcdef").unwrap();
    let example = example.replace("/etc/oddsmaker/webhook-secret", &secret.display().to_string());
    fs::write(home.models().with_file_name("oddsmaker.toml"), example).unwrap();
    let checked = json(&home, "config check --format json");
    let told = (&checked["budgets"], &checked["workflows"], &checked["alerts_signed"], &checked["warnings"]);
    assert_eq!(told, (&4.into(), &1.into(), &true.into(), &0.into()), "{checked}");
}

#[test]
fn an_id_is_explained_to_the_nano_dollar() {
    let home = Home::new(&catalogues::usual());
    for (id, step) in [("openai/gpt-4o", "exact_id"), ("gpt-4o", "alias"), ("gpt-4o-2024-08-06", "date_suffix_cut_off")]
    {
        let told = json(&home, &format!("models explain {id} --input 1000 --output 100 --cached 400 --format json"));
        assert_eq!((&told["model"], &told["step"]), (&"openai/gpt-4o".into(), &step.into()), "{id}");
        // No price for cached input: it is billed as input. 1,000 at $5 and 100 at $15 per million tokens.
        assert_eq!(told["cost_nano_usd"], 6_500_000, "{id}");
    }
    let (_, text, _) = run(&home, "models explain gpt-4o-mini");
    let expected = "gpt-4o-mini is openai/gpt-4o-mini\n  recognised  step 2 of 5: it is a declared alias\n  \
                    price       standard tier, from 2024-01-01: input $0.15, output $0.60 per million tokens\n  \
                    usage       300 input and 40 output tokens (typical of the model; give --input and --output)\n  \
                    cost        $0.000069\n";
    assert_eq!(text, expected);
    let early = json(&home, "models explain gpt-4o --at 2023-12-31 --format json");
    assert_eq!((&early["status"], &early["cost_nano_usd"]), (&"unpriced".into(), &Value::Null));
    let batch = json(&home, "models explain gpt-4o --tier batch --format json");
    assert_eq!(
        (&batch["status"], &batch["cost_usd"]),
        (&"unpriced".into(), &Value::Null),
        "never another tier's price"
    );
    let (code, out, said) = run(&home, "models explain gpt-4o --input 10 --cached 11");
    assert_eq!((code, out.as_str()), (Some(2), ""), "{said}");
}

#[test]
fn an_unknown_id_is_unpriced_and_its_neighbours_are_named() {
    let home = Home::new(&catalogues::usual());
    let (code, out, _) = run(&home, "models explain gpt-4o-mni");
    assert_eq!(code, Some(0));
    assert!(out.starts_with("gpt-4o-mni is UNPRICED\n") && out.contains("nearest     openai/gpt-4o-mini"), "{out}");
    let told = json(&home, "models explain wholly-other --format json");
    assert_eq!(
        (&told["status"], &told["nearest"], &told["cost_usd"]),
        (&"unpriced".into(), &Value::Array(vec![]), &Value::Null)
    );
    let twice =
        catalogues::usual().replacen("id = \"openai/gpt-4o\"\naliases = [\"gpt-4o\"]", "id = \"openai/gpt-4o\"", 1)
            + "[[model]]\nid = \"azure/gpt-4o\"\nsource = \"test\"\n[[model.price]]\nfrom = 2024-01-01\n\
           unit = \"usd_per_mtok\"\ninput = \"6.00\"\noutput = \"16.00\"\n";
    home.write_catalogue(&twice);
    let told = json(&home, "models explain gpt-4o --format json");
    let both = ["openai/gpt-4o", "azure/gpt-4o"].map(Value::from).to_vec();
    assert_eq!((&told["status"], &told["matches"]), (&"ambiguous".into(), &Value::Array(both)));
}

#[test]
fn the_models_are_listed_in_all_forms() {
    let home = Home::new(&catalogues::usual());
    let listed = json(&home, "models list --format json");
    let mini = listed.as_array().unwrap().iter().find(|m| m["id"] == "openai/gpt-4o-mini").unwrap();
    assert_eq!((&mini["input_usd_per_mtok"], &mini["context_tokens"]), (&0.15.into(), &128_000.into()));
    assert_eq!((&mini["cached_input_usd_per_mtok"], &mini["price_from"]), (&Value::Null, &"2024-01-01".into()));
    let (_, table, _) = run(&home, "models list");
    assert!(table.contains("openai/gpt-4o-mini   0.15    0.60"), "{table}");
    assert!(table.contains("3 models of 1 provider"), "{table}");
    assert_eq!(run(&home, "models list --format csv").1.lines().count(), 4);
}

#[tokio::test]
async fn a_running_daemon_is_asked_and_its_record_only_looked_at() {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start();
    let mut router = daemon.router().await;
    for success in [true, true, false, true] {
        let (_, id) = decide(&mut router, ask("single")).await;
        record(&mut router, priced(&id, success)).await;
    }
    let at = format!("--address http://{}", daemon.address);
    assert_eq!(run(&home, &format!("healthcheck {at}")), (Some(0), "serving\n".to_owned(), String::new()));
    assert_eq!(run(&home, &format!("healthcheck --listen {}", daemon.address)).0, Some(0), "settings say where it is");

    let told = json(&home, &format!("insights {at} --lookback 1h --format json"));
    assert_eq!((&told["successful_outcomes"], &told["failed_calls_count"]), (&3.into(), &1.into()));
    assert_eq!(told["total_cost_nano_usd"], 4 * 2_100_000);
    assert_eq!((&told["note"], &told["by_task"][0]["name"]), (&Value::Null, &"single".into()));
    let (_, csv, _) = run(&home, &format!("insights {at} --format csv"));
    let mut rows = csv::Reader::from_reader(csv.as_bytes());
    let names = rows.headers().unwrap().clone();
    let row = rows.records().next().unwrap().unwrap();
    let cell = |name: &str| row.get(names.iter().position(|n| n == name).unwrap()).unwrap().to_owned();
    assert_eq!(
        (cell("name"), cell("successes"), cell("total_cost_nano_usd")),
        ("single".into(), "3".into(), "8400000".into())
    );
    let (_, text, _) = run(&home, &format!("insights {at} --compare-previous --cost-breakdown"));
    // (3 × $0.0021 + $0.0021) ÷ 3
    for part in
        ["cost of one success      $0.0028", "failed calls             1, costing $0.0021", "single: 4 calls, 75.0 %"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let change = json(&home, &format!("insights {at} --explain-change --format json"));
    assert_eq!(change["spend"]["change_nano_usd"], 4 * 2_100_000);
    let (_, text, _) = run(&home, &format!("insights {at} --explain-change --task-type single"));
    assert!(text.contains("Spend rose $0.0084") && text.contains("Recommended: "), "{text}");
    let (_, text, _) = run(&home, &format!("insights {at} --compare team care sales --overhead agent single"));
    assert!(text.contains("Label team") && text.contains("Overhead: agent cannot be measured by single"), "{text}");
    let (code, _, said) = run(&home, &format!("insights {at} --compare team care care"));
    assert!(code == Some(1) && said.contains("compare_b"), "{said}");
    let (code, _, said) = run(&home, &format!("insights {at} --goal-id {}", "x".repeat(5_000)));
    assert_eq!(code, Some(1));
    assert!(said.contains("goal_id"), "the daemon's refusal names the field: {said}");

    let (code, out, said) = run(&home, "verify --data-dir data");
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(said.contains("a daemon is using ") && said.contains("stop it first"), "{said}");
    daemon.stop().await;
    assert_eq!(run(&home, &format!("healthcheck {at}")).0, Some(1));

    let contents = || files(&home.data()).into_iter().map(|p| (fs::read(&p).unwrap(), p)).collect::<Vec<_>>();
    let before = contents();
    let checks = json(&home, "verify --data-dir data --format json");
    let results: Vec<(&str, &str)> = checks
        .as_array()
        .unwrap()
        .iter()
        .map(|r| (r["check"].as_str().unwrap(), r["result"].as_str().unwrap()))
        .collect();
    assert_eq!(results, [("record", "fine"), ("state", "fine"), ("money", "fine"), ("books", "fine")], "{checks}");
    assert!(checks[2]["detail"].as_str().unwrap().contains("$0.0084"), "{checks}");
    let (code, all, _) = run(&home, "export --data-dir data");
    assert_eq!(code, Some(0));
    let (_, some, _) = run(&home, "export --data-dir data --from-seq 3");
    let later: Vec<&str> = all.lines().skip(2).collect();
    assert_eq!(some.lines().collect::<Vec<_>>(), later, "the same lines, whichever comes first");
    assert_eq!(contents(), before, "looking changes nothing");
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_ends_an_export_quietly() {
    let home = Home::new(&catalogues::usual());
    home.start().stop().await;
    let mut command = home.command(&["export", "--data-dir", "data"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[tokio::test]
async fn a_state_that_is_not_the_records_is_told() {
    let mut homes = Vec::new();
    for outcomes in [[true].as_slice(), &[false], &[true, true]] {
        let home = Home::new(&catalogues::usual());
        let daemon = home.start();
        let mut router = daemon.router().await;
        for success in outcomes {
            let (_, id) = decide(&mut router, ask("single")).await;
            record(&mut router, priced(&id, *success)).await;
        }
        let (status, said) = daemon.stop().await;
        assert!(status.success(), "{said}");
        homes.push(home);
    }
    let with_state_of = |other: &Home| {
        let copy = homes[0].copy();
        fs::remove_dir_all(copy.data().join("state")).unwrap();
        copy_dir(&other.data().join("state"), &copy.data().join("state"));
        let (code, out, said) = run(&copy, "verify --data-dir data");
        assert!(code == Some(0) || said == "error: 1 problem found\n", "{said}");
        (code, out)
    };
    let (code, out) = with_state_of(&homes[0]);
    assert!(code == Some(0) && out.contains("state   fine"), "{out}");
    let (code, out) = with_state_of(&homes[1]);
    assert!(code == Some(1) && out.contains("state   WRONG") && out.contains("but the record folds to"), "{out}");
    assert!(out.contains("money   fine    $0.0021 in 1 call of known cost"), "{out}");
    let (code, out) = with_state_of(&homes[2]);
    assert!(code == Some(1) && out.contains("it has seen event "), "{out}");
}
