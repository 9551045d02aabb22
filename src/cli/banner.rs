//! What the start prints: where the daemon answers, where it keeps its data, which catalogue it uses, and what to try
//! next. One log line off a terminal. It refuses to know how any of that came about.

use super::failure::complain;
use super::human::{count, many, printable};
use crate::daemon::Ready;
use crate::domain::catalog::Catalog;

/// Tells that the daemon answers. `people`: as text on standard error, else as one log line.
pub(super) fn show(ready: &Ready, catalog: &Catalog, people: bool) {
    let next = next_command(ready, catalog);
    if people {
        complain(&text(ready, &next));
        return;
    }
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        address = %ready.address,
        page = format!("http://{}/", ready.address),
        data_dir = %ready.data_dir.display(),
        catalogue = ready.catalog_summary,
        events = ready.last_seq,
        events_folded = ready.folded,
        state_rebuilt = ready.rebuilt,
        dropped_tail_bytes = ready.dropped_tail_bytes,
        next = next.as_str(),
        "ready"
    );
}

/// A first request that the catalogue can answer.
fn next_command(ready: &Ready, catalog: &Catalog) -> String {
    let task = catalog.default_task().or_else(|| catalog.tasks().next()).map_or("general", |task| &task.id);
    let body = serde_json::json!({ "task_type": task }).to_string().replace('\'', "'\\''");
    format!("curl -s http://{}/v1/policy -H 'content-type: application/json' -d '{body}'", ready.address)
}

fn text(ready: &Ready, next: &str) -> String {
    let mut text = format!("oddsmaker {}\n", env!("CARGO_PKG_VERSION"));
    let mut line = |name: &str, value: &str| text += &format!("  {name:<10} {value}\n");
    line("page, API", &format!("http://{}/  (gRPC and HTTP on this one port)", ready.address));
    line("data", &format!("{}  ({})", printable(&ready.data_dir.display().to_string()), record(ready)));
    line("catalogue", &printable(&ready.catalog_summary));
    line("try", &printable(next));
    line("stop", "Ctrl-C");
    text
}

fn record(ready: &Ready) -> String {
    let mut parts = vec![many(ready.last_seq, "event")];
    if ready.rebuilt {
        parts.push("the indexed state was unusable and has been rebuilt from them".to_owned());
    } else if ready.folded > 0 {
        parts.push(format!("{} folded now", count(ready.folded)));
    }
    if ready.dropped_tail_bytes > 0 {
        let bytes = many(ready.dropped_tail_bytes, "byte");
        parts.push(format!("{bytes} of a torn last write dropped, never acknowledged"));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready() -> Ready {
        Ready {
            address: std::net::SocketAddr::from(([127, 0, 0, 1], 7070)),
            data_dir: "/data".into(),
            catalog_summary: "2 models of 1 provider".to_owned(),
            last_seq: 1_234,
            folded: 0,
            dropped_tail_bytes: 0,
            rebuilt: false,
        }
    }

    #[test]
    fn the_start_says_where_what_and_what_next() {
        let expected = "  page, API  http://127.0.0.1:7070/  (gRPC and HTTP on this one port)\n  \
                        data       /data  (1,234 events)\n  catalogue  2 models of 1 provider\n  \
                        try        curl x\n  stop       Ctrl-C\n";
        assert_eq!(text(&ready(), "curl x"), format!("oddsmaker {}\n{expected}", env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn what_was_mended_at_the_start_is_told() {
        let mended = Ready { rebuilt: true, dropped_tail_bytes: 1, ..ready() };
        let sentence = "1,234 events; the indexed state was unusable and has been rebuilt from them; 1 byte of a torn \
                        last write dropped, never acknowledged";
        assert_eq!(record(&mended), sentence);
        assert_eq!(record(&Ready { folded: 20, ..ready() }), "1,234 events; 20 folded now");
    }

    #[test]
    fn the_command_to_try_fits_the_catalogue() {
        let next = next_command(&ready(), &Catalog::default());
        let expected = "curl -s http://127.0.0.1:7070/v1/policy -H 'content-type: application/json' -d \
                        '{\"task_type\":\"general\"}'";
        assert_eq!(next, expected);
    }
}
