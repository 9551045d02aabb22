//! Scenarios as they are written, right and wrong.

use super::scenario::parse_scenario;
use crate::domain::catalog::Catalog;
use crate::simulation::scenario::{DelayShape, Kind, Scenario, What};

const WORLD: &str = r#"
calls = 500
calls_per_hour = 50
[[task]]
id = "t"
tolerance = 0.05
[[task.candidate]]
model = "a/one"
price = { input = "1", output = "2" }
success = 0.9
input_tokens = 100
output_tokens = 10
[[task.candidate]]
model = "a/two"
cost_usd = "0.01"
success = 0.8
"#;

fn parse(text: &str) -> Result<Scenario, String> {
    let parsed = parse_scenario(text, "s.toml", "s", &Catalog::default(), "models.toml");
    parsed
        .map(|(scenario, _)| scenario)
        .map_err(|errors| errors.iter().map(|e| e.0.one_line()).collect::<Vec<_>>().join("\n"))
}

fn with(more: &str) -> Result<Scenario, String> {
    parse(&format!("{WORLD}{more}"))
}

#[test]
fn a_scenario_is_read_with_its_defaults() {
    let scenario = with("").unwrap();
    assert_eq!((scenario.name.as_str(), scenario.arrivals, scenario.per_hour), ("s", 500, 50.0));
    assert_eq!((scenario.seed, scenario.replications, scenario.models.len()), (1, 100, 2));
    let names: Vec<&str> = scenario.policies.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["router", "cheapest", "dearest", "uniform", "oracle"]);
    let Kind::Router(settings) = &scenario.policies[0].kind else { panic!("the router") };
    assert_eq!(settings[0].tolerance, 0.05);
    assert_eq!(scenario.time_of(50).0 - scenario.start.0, 3_600_000);
}

#[test]
fn a_policy_has_the_settings_of_the_task_but_for_its_own() {
    let policy = "[[policy]]\nname = \"bold\"\nexploration_floor = 0.2\n[[policy]]\nname = \"one\"\nkind = \"always\"\nmodel = \"a/one\"\nbudgets = false\n";
    let scenario = with(policy).unwrap();
    let Kind::Router(settings) = &scenario.policies[0].kind else { panic!("a router") };
    assert_eq!((settings[0].tolerance, settings[0].exploration_floor), (0.05, 0.2));
    assert_eq!((&scenario.policies[1].kind, scenario.policies[1].keeps_budgets), (&Kind::Always(0), false));
    assert_eq!(scenario.policies.len(), 2, "the usual ones only where nothing is said");
}

#[test]
fn events_stand_in_the_order_of_their_time() {
    let events = "[[event]]\nkind = \"outage\"\nmodel = \"a/two\"\nat_hour = 4\nhours = 2\n\
                  [[event]]\nkind = \"regression\"\nmodel = \"a/one\"\nat_call = 7\nsuccess = 0.1\n";
    let events: Vec<_> = with(events).unwrap().events.into_iter().map(|e| (e.at, e.model, e.what)).collect();
    let expected = [(7, 0, What::Success(Some(0.1))), (200, 1, What::Outage), (300, 1, What::Success(None))];
    assert_eq!(events, expected);
}

#[test]
fn a_reporter_tells_as_all_do_but_for_what_it_says() {
    let text = "[feedback]\ndelay_hours = 2\ndelay_shape = \"lognormal\"\ndelay_spread = 0.5\nmissing = 0.3\n\
                [[feedback.reporter]]\nname = \"r\"\nmodel = \"a/two\"\nwrong = 1\nmissing_failures = 0.9\n";
    let feedback = with(text).unwrap().feedback;
    assert_eq!(feedback.usual.delay.shape, DelayShape::LogNormal(0.5));
    let reporter = &feedback.reporters[0];
    assert_eq!((reporter.model, reporter.share, reporter.telling.wrong), (Some(1), 1.0, 1.0));
    assert_eq!((reporter.telling.missing_successes, reporter.telling.missing_failures), (0.3, 0.9));
    assert_eq!(reporter.telling.delay, feedback.usual.delay);
}

#[test]
fn every_mistake_is_named_with_its_place_and_the_nearest_name() {
    for (more, said) in [
        ("[[event]]\nkind = \"outtage\"\nmodel = \"a/one\"\nat_call = 1\n", "did you mean `outage`?"),
        ("[[event]]\nkind = \"outage\"\nmodel = \"a/on\"\nat_call = 1\n", "did you mean `a/one`?"),
        ("[[event]]\nkind = \"outage\"\nmodel = \"a/one\"\n", "an event needs `at_call` or `at_hour`"),
        ("[[event]]\nkind = \"outage\"\nmodel = \"a/one\"\nat_call = 1\nhour = 3\n", "s.toml:21:1: unknown key `hour`"),
        ("[[event]]\nkind = \"price_change\"\nmodel = \"a/one\"\nat_call = 1\n", "needs `factor` or `price`"),
        (
            "[[event]]\nkind = \"price_change\"\nmodel = \"a/two\"\nat_call = 1\nprice = { input = \"1\", output = \"1\" }\n",
            "has `cost_usd`",
        ),
        ("[[policy]]\nname = \"x\"\ntolernace = 0.1\n", "did you mean `tolerance`?"),
        ("[[policy]]\nname = \"x\"\nkind = \"always\"\n", "`model` is missing"),
        ("[feedback]\nmising = 0.1\n", "did you mean `missing`?"),
        ("[[workflow]]\nid = \"w\"\nsteps = [\"u\"]\n", "no task type is called `u`"),
        (
            "[[budget]]\nid = \"b\"\nscope = \"goal\"\nlimit = \"1\"\n",
            "a budget in money only holds models with a price",
        ),
    ] {
        let errors = with(more).unwrap_err();
        assert!(errors.contains(said), "{more}: {errors}");
    }
    let errors = parse(&WORLD.replace("calls = 500", "goals = 500\npolicies = [\"ruter\"]")).unwrap_err();
    assert!(errors.contains("there is no workflow") && errors.contains("did you mean `router`?"), "{errors}");
    for name in ["../up", ".hidden", "a/b"] {
        let named = format!("name = \"{name}\"\n{WORLD}");
        assert!(parse(&named).unwrap_err().contains("cannot name a folder"), "{name}");
    }
    assert!(parse("calls = 3\n").unwrap_err().contains("`task` is missing"));
    let unknown = parse(&WORLD.replace("price = ", "prize = ")).unwrap_err();
    assert!(unknown.contains("no model of the catalogue (models.toml) is called"), "{unknown}");
    assert!(unknown.contains("has no price here") && unknown.contains("another catalogue with --models"), "{unknown}");
    let twice = with("[[task]]\nid = \"u\"\n[[task.candidate]]\nmodel = \"a/one\"\nsuccess = 1\ncost_usd = \"1\"\n");
    assert!(twice.unwrap_err().contains("another price than where it stands first"));
}
