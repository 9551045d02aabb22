//! Stories of the table of settings: names that agree, and values that can be written back.

use std::collections::BTreeSet;

use super::settings::Settings;
use super::settings_keys::{KEYS, Key, Shape};

#[test]
fn keys_are_whole_and_distinct() {
    let paths: BTreeSet<&str> = KEYS.iter().map(|key| key.path).collect();
    assert_eq!(paths.len(), KEYS.len());
    let sections = KEYS.chunk_by(|a, b| a.section() == b.section()).count();
    assert_eq!(sections, KEYS.iter().map(Key::section).collect::<BTreeSet<_>>().len(), "sections are in one piece");
    for key in KEYS {
        assert!(key.meaning.ends_with('.') && !key.unit.is_empty() && !key.section().is_empty(), "{}", key.path);
        assert!(!key.default_text().is_empty(), "{}", key.path);
    }
}

/// What is shown can be written back, and means the same: a key that sets another's field would fail here.
#[test]
fn every_value_that_is_shown_can_be_set() {
    let other = |key: &Key| match key.path {
        "server.listen" => "127.0.0.1:9".to_owned(),
        "server.allowed_hosts" => "a,b".to_owned(),
        "log.format" => "json".to_owned(),
        "log.level" => "trace".to_owned(),
        "ledger.retention" => "77d".to_owned(),
        "alerts.webhook_url" => "http://localhost:8080/alerts?from=here".to_owned(),
        path if path.ends_with("_bytes") => "1048576".to_owned(),
        _ if key.shape == Shape::Integer => "77".to_owned(),
        _ if key.unit.starts_with("duration") => "77s".to_owned(),
        _ => "elsewhere".to_owned(),
    };
    for key in KEYS {
        let mut settings = Settings::with_data_dir("d".into());
        let before: Vec<String> = KEYS.iter().map(|k| k.value(&settings)).collect();
        (key.set)(&mut settings, &other(key)).unwrap();
        assert_eq!(key.value(&settings), other(key), "{}", key.path);
        let changed = KEYS.iter().zip(before).filter(|(k, old)| k.value(&settings) != *old).count();
        assert_eq!(changed, 1, "{} changes itself only", key.path);
    }
}

#[test]
fn names_follow_from_the_path() {
    let key = &KEYS[0];
    assert_eq!((key.section(), key.name(), key.env_name().as_str()), ("server", "listen", "ODDSMAKER_SERVER__LISTEN"));
    assert_eq!(key.default_text(), "127.0.0.1:7070");
}
