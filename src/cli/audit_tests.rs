//! A sample that goes out, is graded, and comes back: once, twice, wrongly, and after somebody else has spoken.

use std::fs;

use serde_json::Value;

use super::super::args_goals::KindArgs;
use super::super::fake_daemon::{Fake, World};
use super::*;
use crate::wire::pb::GoalState;

fn goal(id: &str, state: GoalState) -> pb::Goal {
    pb::Goal {
        goal_id: id.to_owned(),
        state: state.into(),
        workflow: Some("w".to_owned()),
        total_cost_usd: 0.47,
        ..pb::Goal::default()
    }
}

fn world() -> World {
    // An auditor overruled the caller on the first; the second is of a daemon that does not tell the two apart.
    let (accepted, rejected) = (GoalState::Accepted.into(), GoalState::Rejected.into());
    let first = pb::Goal { reported_state: accepted, graded_state: rejected, ..goal("t-1", GoalState::Rejected) };
    let goals = vec![first, goal("=2", GoalState::TimedOut), goal("t-3", GoalState::Open)];
    World { goals, ..World::default() }
}

fn sampled(fake: &Fake, format: Format) -> String {
    let kind = KindArgs { workflow: None, label: vec![] };
    let args = SampleArgs { server: fake.server(), n: 200, seed: 7, lookback: Some(HOUR_MS / 2), state: None, kind };
    let mut out = Vec::new();
    sample(&SettingFlags::default(), &args, format, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

struct Sheets(tempfile::TempDir);

impl Sheets {
    fn import(&self, fake: &Fake, text: &str, dry_run: bool) -> (Vec<String>, Result<(), String>) {
        let sheet = self.0.path().join("sheet.csv");
        fs::write(&sheet, text).unwrap();
        let args = ImportArgs { server: fake.server(), sheet: sheet.clone(), by: "kim".to_owned(), dry_run };
        let mut out = Vec::new();
        let ended = import(&SettingFlags::default(), &args, Format::Json, &mut out);
        let ended = ended.map_err(|failure| failure.to_string().replace(&sheet.display().to_string(), "sheet.csv"));
        let rows: Value = if out.is_empty() { Value::Array(vec![]) } else { serde_json::from_slice(&out).unwrap() };
        let word = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let told = |row: &Value| {
            format!("{} {} {} {}", row["line"], word(row, "goal_id"), word(row, "result"), word(row, "state"))
        };
        (rows.as_array().unwrap().iter().map(told).collect(), ended)
    }
}

#[test]
fn a_sample_is_graded_and_taken_once() {
    let (fake, sheets) = (Fake::start(world()), Sheets(tempfile::tempdir().unwrap()));
    let sheet = sampled(&fake, Format::Table);
    assert_eq!(
        sheet,
        "goal_id,workflow,self_reported,graded_before,cost_usd,graded,note\nt-1,w,accepted,rejected,0.47,,\n'=2,w,timed_out,,0.47,,\n"
    );
    assert_eq!(fake.asked(), ["n 200 seed 7 hours Some(0.5)"]);
    assert_eq!(sampled(&fake, Format::Csv), sheet);
    let rows: Value = serde_json::from_str(&sampled(&fake, Format::Json)).unwrap();
    assert_eq!((rows.as_array().unwrap().len(), &rows[0]["graded"]), (2, &"".into()));
    assert_eq!(sheets.import(&fake, &sheet, false), (vec![], Ok(())), "nobody graded anything");

    let filled =
        sheet.replace("rejected,0.47,,", "rejected,0.47,rejected,wrong order").replace("0.47,,", "0.47,Accepted,");
    let (rows, ended) = sheets.import(&fake, &filled, true);
    assert_eq!(
        (rows, ended),
        (vec!["2 t-1 would_amend rejected".to_owned(), "3 =2 would_amend timed_out".to_owned()], Ok(()))
    );
    assert!(fake.world.lock().unwrap().amendments.is_empty(), "a dry run sends nothing");

    let (rows, ended) = sheets.import(&fake, &filled, false);
    assert_eq!((rows, ended), (vec!["2 t-1 amended rejected".to_owned(), "3 =2 amended accepted".to_owned()], Ok(())));
    {
        let world = fake.world.lock().unwrap();
        let said: Vec<_> = world.amendments.values().collect();
        let of = |id: &str| said.iter().find(|request| request.goal_id == id).copied().unwrap();
        assert_eq!((said.len(), of("t-1").state(), of("=2").state()), (2, GoalState::Rejected, GoalState::Accepted));
        assert_eq!((of("t-1").by(), of("t-1").reason.as_str()), ("audit:kim", "sampled audit: wrong order"));
        assert_eq!((of("=2").reason.as_str(), of("=2").score), ("sampled audit", None));
    }
    let (rows, _) = sheets.import(&fake, &filled, false);
    assert_eq!(rows, ["2 t-1 unchanged rejected", "3 =2 unchanged accepted"]);
    assert_eq!(fake.world.lock().unwrap().amendments.len(), 2, "the same keys again");

    fake.world.lock().unwrap().goals[0].state = GoalState::Escalated.into();
    let (rows, _) = sheets.import(&fake, &filled, false);
    assert_eq!(rows[0], "2 t-1 superseded escalated", "what somebody found later stays");
    let (rows, _) = sheets.import(&fake, &filled.replace("wrong order", "looked again"), false);
    assert_eq!(rows[0], "2 t-1 amended rejected", "other words are another grade");
}

#[test]
fn a_faulty_sheet_changes_nothing_and_names_every_place() {
    let (fake, sheets) = (Fake::start(world()), Sheets(tempfile::tempdir().unwrap()));
    let text = "goal_id,graded\nt-1,accepted\nt-3,acepted\n,rejected\n";
    let (rows, ended) = sheets.import(&fake, text, false);
    let expected = "2 faults\nsheet.csv:3: graded: `acepted` is no state; known: accepted, rejected, abandoned, timed_out, \
                    tool_error, escalated\nsheet.csv:4: goal_id: this is empty";
    assert_eq!((rows.len(), ended), (0, Err(expected.to_owned())));
    assert!(fake.world.lock().unwrap().amendments.is_empty());
}

#[test]
fn a_row_the_daemon_refuses_is_named_and_keeps_no_other() {
    let (fake, sheets) = (Fake::start(world()), Sheets(tempfile::tempdir().unwrap()));
    let text = format!("goal_id,graded,note\ngone,accepted,\nt-1,rejected,{}\n=2,accepted,\n", "x".repeat(200));
    let (rows, ended) = sheets.import(&fake, &text, false);
    assert_eq!(rows, ["2 gone refused ", "3 t-1 refused ", "4 =2 amended accepted"]);
    let expected =
        "2 faults\nsheet.csv:2: goal_id: the goal gone is not known\nsheet.csv:3: note: has more than 200 bytes";
    assert_eq!(ended, Err(expected.to_owned()));
}

#[test]
fn whoever_grades_has_a_name() {
    let args = ImportArgs {
        server: crate::cli::args::ServerArgs { address: None },
        sheet: "none.csv".into(),
        by: "audit: ".to_owned(),
        dry_run: true,
    };
    let ended = import(&SettingFlags::default(), &args, Format::Table, &mut Vec::new());
    assert!(matches!(ended, Err(Failure::Usage(_))), "{ended:?}");
}

#[test]
fn a_dry_run_promises_no_more_than_it_knows() {
    let (fake, sheets) = (Fake::start(world()), Sheets(tempfile::tempdir().unwrap()));
    let text = "goal_id,graded\ngone,accepted\nt-3,accepted\nt-1,GOAL_STATE_ACCEPTED\n";
    let (rows, ended) = sheets.import(&fake, text, true);
    assert_eq!(rows, ["2 gone would_refuse ", "3 t-3 would_refuse ", "4 t-1 would_amend rejected"]);
    let expected = "2 faults\nsheet.csv:2: goal_id: no such goal is known\nsheet.csv:3: goal_id: this goal is open";
    assert_eq!(ended, Err(expected.to_owned()));

    let sheet = sheets.0.path().join("sheet.csv");
    let server = crate::cli::args::ServerArgs { address: Some("http://127.0.0.1:1".to_owned()) };
    let args = ImportArgs { server, sheet, by: "kim".to_owned(), dry_run: true };
    let mut out = Vec::new();
    import(&SettingFlags::default(), &args, Format::Table, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.matches("well_formed").count() == 3 && !text.contains("would_amend"), "{text}");
    assert!(text.contains("\n3 grades to send, 0 rows without a grade\nWhether the goals can be amended is not known: nothing answers at"), "{text}");
}

#[test]
fn the_key_is_that_of_the_whole_grade() {
    let graded = Graded { line: 2, goal_id: "t".to_owned(), state: GoalState::Accepted, note: String::new() };
    let key = |graded: &Graded, by: &str| amendment(graded, by).idempotency_key.unwrap();
    let first = key(&graded, "kim");
    assert_eq!(key(&Graded { line: 9, ..graded.clone() }, "kim"), first, "wherever the row stands");
    let others = [
        key(&graded, "lee"),
        key(&Graded { goal_id: "u".to_owned(), ..graded.clone() }, "kim"),
        key(&Graded { state: GoalState::Rejected, ..graded.clone() }, "kim"),
        key(&Graded { note: "n".to_owned(), ..graded.clone() }, "kim"),
    ];
    assert!(others.iter().all(|other| *other != first));
    assert!(first.len() <= crate::wire::KEY_BYTES_MAX, "{first}");
}
