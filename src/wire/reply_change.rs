//! The explanation of a change of spend as a message. Signed amounts are given in dollars and, exactly, in nano-USD.

use super::insights::window;
use super::pb;
use super::reply_budget::text;
use crate::domain::money::NANO_PER_USD;
use crate::insights::{CallKind, Contribution, Driver, Factor, Part, Split};
use crate::service::goal_reply::ChangeReply;

impl From<ChangeReply> for pb::ExplainChangeResponse {
    fn from(reply: ChangeReply) -> Self {
        Self {
            previous_window: Some(window(reply.previous_window)),
            current_window: Some(window(reply.current_window)),
            spend: Some(split(reply.change.spend)),
            per_accepted_goal: reply.change.per_accepted_goal.map(split),
            recommendation: reply.change.recommendation,
        }
    }
}

fn split(of: Split) -> pb::ChangeSplit {
    pb::ChangeSplit {
        answer: of.answer,
        previous_usd: usd(of.before_nano_usd),
        previous_nano_usd: nano(of.before_nano_usd),
        current_usd: usd(of.after_nano_usd),
        current_nano_usd: nano(of.after_nano_usd),
        change_usd: usd(of.change_nano_usd),
        change_nano_usd: nano(of.change_nano_usd),
        parts: of.parts.iter().map(part).collect(),
        by_step: of.by_step.iter().map(contribution).collect(),
        by_model: of.by_model.iter().map(contribution).collect(),
        drivers: of.drivers.iter().map(driver).collect(),
    }
}

fn part(of: &Part) -> pb::ChangePart {
    pb::ChangePart {
        factor: factor(of.factor).into(),
        amount_usd: usd(of.amount_nano_usd),
        amount_nano_usd: nano(of.amount_nano_usd),
        share: of.share,
    }
}

fn contribution(of: &Contribution) -> pb::ChangeContribution {
    pb::ChangeContribution {
        name: of.name.to_string(),
        kind: kind(of.kind).into(),
        amount_usd: usd(of.amount_nano_usd),
        amount_nano_usd: nano(of.amount_nano_usd),
        share: of.share,
    }
}

fn driver(of: &Driver) -> pb::ChangeDriver {
    pb::ChangeDriver {
        factor: factor(of.factor).into(),
        kind: of.kind.map_or(pb::CallKind::Unspecified, kind).into(),
        step: text(of.step.to_string()),
        model: text(of.model.to_string()),
        amount_usd: usd(of.amount_nano_usd),
        amount_nano_usd: nano(of.amount_nano_usd),
        previous: of.before,
        current: of.after,
        unit: of.unit.as_str().to_owned(),
    }
}

fn factor(factor: Factor) -> pb::ChangeFactor {
    match factor {
        Factor::Traffic => pb::ChangeFactor::Traffic,
        Factor::Failures => pb::ChangeFactor::Failures,
        Factor::StepMix => pb::ChangeFactor::StepMix,
        Factor::Retries => pb::ChangeFactor::Retries,
        Factor::ModelMix => pb::ChangeFactor::ModelMix,
        Factor::Usage => pb::ChangeFactor::Usage,
        Factor::Price => pb::ChangeFactor::Price,
    }
}

fn kind(kind: CallKind) -> pb::CallKind {
    match kind {
        CallKind::Model => pb::CallKind::Model,
        CallKind::Tool => pb::CallKind::Tool,
    }
}

/// Within nine billion dollars exact; what is beyond cannot be told.
fn nano(amount: i128) -> i64 {
    i64::try_from(amount).unwrap_or(if amount < 0 { i64::MIN } else { i64::MAX })
}

fn usd(amount: i128) -> f64 {
    amount as f64 / NANO_PER_USD as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::UnixMillis;
    use crate::insights::{Resolution, SpendCell, SpendWindow, Window, explain_change};

    /// A tool whose calls and retries rise from 100 to 125 and from 0 to 25, at 30,000,001 nano-USD each.
    fn reply(accepted_goals: u64) -> ChangeReply {
        let window_of = |calls: u64, retries: u64| SpendWindow {
            accepted_goals,
            traffic: 100,
            of_first_attempts: false,
            cells: vec![SpendCell {
                step: "search_api".into(),
                kind: CallKind::Tool,
                model: "".into(),
                calls,
                retries,
                failures: retries,
                units: calls,
                listed_pico_usd: 0,
                cost_nano_usd: calls * 30_000_001,
            }],
        };
        let span = |start, end| Window { start: UnixMillis(start), end: UnixMillis(end), resolution: Resolution::Hour };
        ChangeReply {
            previous_window: span(0, 3_600_000),
            current_window: span(3_600_000, 7_200_000),
            change: explain_change(&window_of(100, 0), &window_of(125, 25)),
        }
    }

    #[test]
    fn a_split_adds_up_to_the_nano_dollar() {
        let shown = pb::ExplainChangeResponse::from(reply(100));
        let spend = shown.spend.unwrap();
        assert_eq!((spend.previous_nano_usd, spend.current_nano_usd), (3_000_000_100, 3_750_000_125));
        assert_eq!((spend.change_nano_usd, spend.change_usd), (750_000_025, 0.750_000_025));
        assert_eq!(spend.parts.iter().map(|p| p.amount_nano_usd).sum::<i64>(), spend.change_nano_usd);
        assert_eq!(spend.by_step.iter().map(|c| c.amount_nano_usd).sum::<i64>(), spend.change_nano_usd);
        assert_eq!(spend.by_model.iter().map(|c| c.amount_nano_usd).sum::<i64>(), spend.change_nano_usd);
        assert_eq!(spend.drivers.iter().map(|d| d.amount_nano_usd).sum::<i64>(), spend.change_nano_usd);
        let most = &spend.drivers[0];
        assert_eq!((most.factor(), most.kind()), (pb::ChangeFactor::Retries, pb::CallKind::Tool));
        assert_eq!((most.step.as_deref(), most.model.as_ref(), most.current), (Some("search_api"), None, Some(0.2)));
        let windows = [shown.previous_window.unwrap(), shown.current_window.unwrap()];
        assert_eq!(windows.map(|w| (w.start.unwrap().seconds, w.end.unwrap().seconds)), [(0, 3_600), (3_600, 7_200)]);
    }

    #[test]
    fn without_an_accepted_goal_there_is_no_cost_of_one() {
        assert_eq!(pb::ExplainChangeResponse::from(reply(0)).per_accepted_goal, None);
        assert!(pb::ExplainChangeResponse::from(reply(1)).per_accepted_goal.is_some());
    }

    #[test]
    fn amounts_keep_their_sign_and_stay_in_range() {
        assert_eq!((nano(-30), usd(-30)), (-30, -30e-9));
        assert_eq!((nano(i128::MAX), nano(i128::MIN)), (i64::MAX, i64::MIN));
    }
}
