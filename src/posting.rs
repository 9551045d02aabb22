//! Hands raised alerts to the webhook and remembers how far it came, so that each is posted at least once across restarts.
//! It knows neither how a post is made (see `webhook`) nor when an alert is due.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::service::{Clock, Service};
use crate::webhook::{self, Delivered, Target};
use crate::wire::pb;

/// The file that holds the number up to which every alert is done with.
const MARK: &str = "alerts-posted";

/// The pause between two looks for new alerts.
const LOOK: Duration = Duration::from_secs(1);

/// Posts every alert that is raised from now on, and those of earlier runs that were not done with; never ends.
pub(crate) async fn run(service: Arc<Service>, target: Target, clock: Arc<dyn Clock>, data_dir: &Path) {
    let mark = data_dir.join(MARK);
    let known = std::fs::read_to_string(&mark).ok().and_then(|text| text.trim().parse::<u64>().ok());
    // Alerts from before there was a webhook are not posted after the fact.
    let from = known.unwrap_or_else(|| service.last_alert());
    let done = Mutex::new(Done { all_up_to: from, beyond: BTreeSet::new() });
    write(&mark, from);
    let (sender, alerts) = mpsc::channel(16);
    let became = |alert: &pb::Alert, delivered: &Delivered| {
        if let Delivered::GivenUp { why, attempts } = delivered {
            tracing::error!(alert = alert.alert_id, why, attempts, "an alert was not taken by the webhook");
        }
        let number = alert.alert_id.strip_prefix("a_").and_then(|n| n.parse().ok());
        if let Some(up_to) = number.and_then(|n| done.lock().add(n)) {
            write(&mark, up_to);
        }
    };
    let feed = async {
        let mut last = from;
        loop {
            match service.alerts_after(last).await {
                Ok(new) => {
                    for (number, alert) in new {
                        last = number;
                        if sender.send(crate::wire::reply_budget::alert(alert)).await.is_err() {
                            return;
                        }
                    }
                }
                Err(error) => tracing::warn!(%error, "alerts cannot be read now"),
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::join!(feed, webhook::work(alerts, target, webhook::Daemons(clock), became));
}

fn write(mark: &Path, up_to: u64) {
    let new = mark.with_extension("new");
    let written = std::fs::write(&new, format!("{up_to}\n")).and_then(|()| std::fs::rename(&new, mark));
    if let Err(error) = written {
        tracing::warn!(%error, "cannot note which alerts were posted; some may be posted again");
    }
}

/// Which alerts are done with: all up to a number, and some beyond it.
struct Done {
    all_up_to: u64,
    beyond: BTreeSet<u64>,
}

impl Done {
    /// Adds one; the new number up to which all are done, where it moved.
    fn add(&mut self, number: u64) -> Option<u64> {
        self.beyond.insert(number);
        let before = self.all_up_to;
        while self.beyond.remove(&(self.all_up_to + 1)) {
            self.all_up_to += 1;
        }
        (self.all_up_to != before).then_some(self.all_up_to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_moves_only_over_what_is_done_without_a_gap() {
        let mut done = Done { all_up_to: 3, beyond: BTreeSet::new() };
        assert_eq!(done.add(5), None);
        assert_eq!(done.add(4), Some(5));
        assert_eq!((done.add(7), done.add(6)), (None, Some(7)));
    }
}
