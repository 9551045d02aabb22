//! Every check on a single field, at its edges.

use super::*;

fn violations(check: impl FnOnce(&mut Fields)) -> Vec<(String, String)> {
    let mut fields = Fields::default();
    check(&mut fields);
    let found = fields.finish().err().map(|r| r.violations).unwrap_or_default();
    found.into_iter().map(|v| (v.field, v.description)).collect()
}

fn refused(check: impl FnOnce(&mut Fields)) -> bool {
    !violations(check).is_empty()
}

#[test]
fn numbers_that_are_no_amounts_are_refused() {
    let never = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, -1e-300, -f64::MIN_POSITIVE, 1e308];
    for bad in never {
        assert!(refused(|f| assert_eq!(f.usd("x", Some(bad)), None)), "usd {bad}");
        assert!(refused(|f| assert_eq!(f.fraction("x", Some(bad)), None)), "fraction {bad}");
        assert!(refused(|f| assert_eq!(f.quality("x", Some(bad)), None)), "quality {bad}");
        assert!(refused(|f| assert_eq!(f.energy("x", Some(bad)), None)), "energy {bad}");
    }
    assert!(refused(|f| assert_eq!(f.usd("x", Some(1_000_000.000_000_1)), None)));
    assert!(refused(|f| assert_eq!(f.fraction("x", Some(1.0 + f64::EPSILON)), None)));
    assert!(refused(|f| assert_eq!(f.energy("x", Some(1.000_001e12)), None)));
    assert!(refused(|f| assert_eq!(f.tokens("x", Some(MAX_TOKENS + 1)), None)));
    assert!(refused(|f| assert_eq!(f.millis("x", Some(1 << 32)), None)));
}

#[test]
fn numbers_at_the_edge_are_taken_and_rounded_half_to_even() {
    let mut f = Fields::default();
    assert_eq!(f.usd("x", Some(1_000_000.0)), Some(NanoUsd(MAX_CALL_NANO_USD)));
    assert_eq!(f.usd("x", Some(-0.0)), Some(NanoUsd(0)));
    assert_eq!(f.usd("x", Some(2.5e-9)), Some(NanoUsd(2)));
    assert_eq!(f.usd("x", None), None);
    assert_eq!(f.fraction("x", Some(1.0)), Some(1.0));
    assert_eq!(f.fraction("x", Some(-0.0)).map(f64::to_bits), Some(0));
    assert_eq!(f.quality("x", Some(0.000_000_5)), Some(QualityMicro(0)));
    assert_eq!(f.quality("x", Some(0.000_001_5)), Some(QualityMicro(2)));
    assert_eq!(f.quality("x", Some(1.0)), Some(QualityMicro(1_000_000)));
    assert_eq!(f.energy("x", Some(0.000_5)), Some(0));
    assert_eq!(f.energy("x", Some(1.25)), Some(1_250));
    assert_eq!(f.tokens("x", Some(MAX_TOKENS)), Some(MAX_TOKENS));
    assert_eq!(f.millis("x", Some(u64::from(u32::MAX))), Some(u32::MAX));
    assert!(f.finish().is_ok());
}

#[test]
fn texts_are_bounded_in_bytes_and_free_of_control_characters() {
    for bad in ["a\nb", "a\0", "\u{7f}", "\u{85}", "\x1b[31m", "tab\t"] {
        let found = violations(|f| drop(f.text("x", bad.to_owned(), 99)));
        assert_eq!(found, [("x".to_owned(), "has a control character; send plain text".to_owned())], "{bad:?}");
    }
    assert!(!refused(|f| assert_eq!(f.text("x", "é".repeat(5), 10), "ééééé")));
    assert!(refused(|f| drop(f.text("x", "é".repeat(6), 11))));
    assert!(refused(|f| drop(f.name("x", Some("a".repeat(201))))));
    assert!(!refused(|f| assert_eq!(f.optional_name("x", Some(String::new())), None)));
    let found = violations(|f| drop(f.required("x", String::new(), 10)));
    assert_eq!(found, [("x".to_owned(), "is required".to_owned())]);
}

#[test]
fn times_are_cut_to_the_millisecond_and_must_be_times() {
    let at = |seconds, nanos| Some(prost_types::Timestamp { seconds, nanos });
    let mut f = Fields::default();
    assert_eq!(f.time("x", at(1, 999_999_999)), Some(UnixMillis(1_999)));
    assert_eq!(f.time("x", at(-1, 500_000_000)), Some(UnixMillis(-500)));
    assert_eq!(f.time("x", None), None);
    assert!(f.finish().is_ok());
    for (seconds, nanos) in [(i64::MAX, 0), (i64::MIN, 0), (0, -1), (0, 1_000_000_000), (253_402_300_800, 0)] {
        assert!(refused(|f| assert_eq!(f.time("x", at(seconds, nanos)), None)), "{seconds} {nanos}");
    }
}

#[test]
fn labels_and_features_are_bounded_and_named() {
    let key = TokenKey::new([1; 32]);
    let pair = |k: &str, v: &str| BTreeMap::from([(k.to_owned(), v.to_owned())]);
    let many = (0..33).map(|i| (format!("k{i}"), "v".to_owned())).collect();
    assert_eq!(violations(|f| drop(f.labels("labels", many, &key)))[0].0, "labels");
    assert!(refused(|f| drop(f.labels("labels", pair("", "v"), &key))));
    assert!(refused(|f| drop(f.labels("labels", pair(&"k".repeat(65), "v"), &key))));
    assert!(refused(|f| drop(f.labels("labels", pair("a\u{1b}", "v"), &key))));
    assert_eq!(violations(|f| drop(f.labels("labels", pair("team", &"v".repeat(257)), &key)))[0].0, "labels.team");
    assert_eq!(violations(|f| drop(f.labels("labels", pair("user", "a\n"), &key)))[0].0, "labels.user");
    assert!(!refused(|f| assert_eq!(f.labels("labels", pair("team", ""), &key), Labels::new())));

    let feature = |v: f64| BTreeMap::from([("length".to_owned(), v)]);
    for bad in [f64::NAN, f64::INFINITY] {
        assert_eq!(violations(|f| drop(f.features("features", feature(bad))))[0].0, "features.length");
    }
    assert!(!refused(|f| assert_eq!(f.features("features", feature(-1e308)), feature(-1e308))));
    let many = (0..33).map(|i| (format!("k{i}"), 0.0)).collect();
    assert!(refused(|f| drop(f.features("features", many))));
}

#[test]
fn the_user_is_concealed() {
    let key = TokenKey::new([1; 32]);
    let user = |value: &str| BTreeMap::from([("user".to_owned(), value.to_owned())]);
    let mut f = Fields::default();
    let ada = f.labels("labels", user("ada@example.org"), &key);
    assert_eq!(ada["user"], key.conceal("ada@example.org"));
    assert!(!ada["user"].contains("ada"));
    assert_ne!(ada, f.labels("labels", user("bob@example.org"), &key));
}

#[test]
fn lists_tiers_and_enum_values_must_be_known_in_form() {
    let found = violations(|f| drop(f.list("models", vec!["a".into(), String::new(), "b\n".into()])));
    assert_eq!(found.iter().map(|v| v.0.as_str()).collect::<Vec<_>>(), ["models[1]", "models[2]"]);
    assert!(refused(|f| drop(f.list("models", vec!["a".to_owned(); 65]))));
    let found = violations(|f| assert_eq!(f.service_tier("tier", Some("Batch\n".into())), ServiceTier::Standard));
    assert_eq!(found[0].1, r#"is "Batch\n"; service tiers are standard, batch, priority, flex"#);
    let mut f = Fields::default();
    assert_eq!(f.service_tier("tier", Some("batch".into())), ServiceTier::Batch);
    assert_eq!(f.service_tier("tier", None), ServiceTier::Standard);
    assert!(f.finish().is_ok());
    use crate::wire::pb::Purpose;
    assert!(!refused(|f| assert_eq!(f.word::<Purpose>("purpose", 2), Some(Purpose::Evaluation))));
    assert!(!refused(|f| assert_eq!(f.word::<Purpose>("purpose", 0), None)));
    for bad in [3, -1, i32::MAX] {
        assert!(refused(|f| assert_eq!(f.word::<Purpose>("purpose", bad), None)), "{bad}");
    }
}

#[test]
fn all_violations_are_reported_up_to_a_bound() {
    let found = violations(|f| {
        assert_eq!(f.usd("a", Some(-1.0)), None);
        assert_eq!(f.fraction("b", Some(2.0)), None);
    });
    assert_eq!(found[0], ("a".into(), "is -1.0; an amount of dollars is finite, 0 or more and at most 1000000".into()));
    assert_eq!(found[1], ("b".into(), "is 2.0; a fraction is from 0 to 1".into()));
    assert_eq!(violations(|f| drop(f.list("x", vec![String::new(); 64]))).len(), VIOLATIONS_MAX);
}

#[test]
fn counts_have_a_default_or_are_required() {
    assert!(refused(|f| assert_eq!(f.count("n", 0, 10, None), 1)));
    assert!(refused(|f| assert_eq!(f.count("n", 11, 10, None), 1)));
    assert!(refused(|f| assert_eq!(f.count("n", 1 << 32, u32::MAX, Some(0)), 0)));
    let mut f = Fields::default();
    assert_eq!((f.count("n", 0, 10, Some(5)), f.count("n", 10, 10, Some(5)), f.count("n", 1, 10, None)), (5, 10, 1));
    assert_eq!(f.page(0, None), Page { size: 50, token: String::new() });
    assert!(f.finish().is_ok());
}
