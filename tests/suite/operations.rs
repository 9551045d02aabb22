//! The operations report: in two scripted months of a support workflow the cost of a resolved ticket goes up 38 % to $0.47.
//! Everybody suspects search_api, whose retries went from 5 % to 25 %; it wastes a good sixth of the spend, which does not
//! explain the rise. What the daemon says about it, on all its ways out, is what an operations manager would act on.
//!
//! A tenth of the months is played: 2,742 tickets and $1,239.86 for 27,420 and $12,398.60. The whole is the same story
//! ten times over, told by the test that is ignored for its length.

use oddsmaker::domain::time::{HOUR_MS, UnixMillis};
use oddsmaker::wire::pb;
use pb::{ChangeFactor, GoalState};

use super::calls::{elsewhere, outcomes, report};
use super::catalogues;
use super::harness::Home;
use super::own_clock::Timed;

const DAY_MS: i64 = 24 * HOUR_MS;
const DAYS: i64 = 30;
const LOOKBACK_HOURS: f64 = 24.0 * DAYS as f64;
const WORKFLOW: &str = "support-ticket";

/// A tenth of a month. Each ticket is searched for once at $0.20, drafted by gpt-4o at $5 and $15 a million tokens, and
/// summarised by gpt-4-turbo at $10 and $30; what failed is done again.
#[derive(Clone, Copy)]
struct Month {
    name: &'static str,
    tickets: u64,
    accepted: u64,
    /// Searches that fail.
    failed_searches: u64,
    /// Drafts that fail.
    failed_drafts: u64,
    /// Tokens in and out of every draft.
    draft: (u64, u64),
    /// Tokens in and out of most summaries.
    summary: (u64, u64),
    /// So many have one token more: in or out.
    longer: (u64, (u64, u64)),
}

/// 130 of 2,600 searches are retries. $520.00 for searches, $225.505 for drafts, $63.7606 for summaries.
const BEFORE: Month = Month {
    name: "before",
    tickets: 2_470,
    accepted: 2_376,
    failed_searches: 130,
    failed_drafts: 183,
    draft: (11_000, 2_000),
    summary: (2_002, 193),
    longer: (990, (1, 0)),
};

/// 914 of 3,656 searches are retries. $731.20 for searches, $394.63 for drafts, $114.03 for summaries.
const AFTER: Month = Month {
    name: "after",
    tickets: 2_742,
    accepted: 2_638,
    failed_searches: 914,
    failed_drafts: 203,
    draft: (17_800, 3_000),
    summary: (3_000, 386),
    longer: (588, (0, 1)),
};

impl Month {
    /// Whether the n-th of all tickets is among `of`, spread evenly.
    fn falls(&self, n: u64, of: u64) -> bool {
        (n + 1) * of / self.tickets > n * of / self.tickets
    }

    /// Every call of the n-th ticket.
    fn calls(&self, ticket: &str, n: u64) -> Vec<pb::RecordOutcomeRequest> {
        let mut calls = Vec::new();
        let mut attempt = |step: &str, success: bool, call: pb::RecordOutcomeRequest| {
            calls.push(pb::RecordOutcomeRequest {
                goal_id: Some(ticket.to_owned()),
                workflow: Some(WORKFLOW.into()),
                success: Some(success),
                idempotency_key: Some(format!("{ticket} {step} {success}")),
                ..call
            });
        };
        let search =
            pb::RecordOutcomeRequest { tool: Some("search_api".into()), cost_usd: Some(0.20), ..Default::default() };
        let used = |task: &str, model: &str, (input, output): (u64, u64)| pb::RecordOutcomeRequest {
            usage: super::calls::usage(input, output),
            ..elsewhere(task, model, true)
        };
        let draft = used("draft_reply", "openai/gpt-4o", self.draft);
        let more = if self.falls(n, self.longer.0) { self.longer.1 } else { (0, 0) };
        let summary = (self.summary.0 + more.0, self.summary.1 + more.1);
        for (step, fails, call) in [
            ("search", self.falls(n, self.failed_searches), search),
            ("draft", self.falls(n, self.failed_drafts), draft),
            ("summarise", false, used("summarise", "openai/gpt-4-turbo", summary)),
        ] {
            if fails {
                attempt(step, false, call.clone());
            }
            attempt(step, true, call);
        }
        calls
    }

    fn state(&self, n: u64) -> GoalState {
        match self.falls(n, self.tickets - self.accepted) {
            false => GoalState::Accepted,
            true if n.is_multiple_of(3) => GoalState::Escalated,
            true => GoalState::Rejected,
        }
    }
}

/// Plays `month` day by day from `from` on, `times` over.
async fn play(daemon: &Timed, month: Month, from: UnixMillis, times: u64) {
    let mut router = daemon.router().await;
    let goals = daemon.goals().await;
    for day in 0..DAYS {
        daemon.set(from.plus_ms(day * DAY_MS + HOUR_MS));
        let tickets = (0..month.tickets).filter(|n| n * DAYS as u64 / month.tickets == day as u64);
        let tickets: Vec<(String, u64)> =
            tickets.flat_map(|n| (0..times).map(move |copy| (format!("{} {copy} {n}", month.name), n))).collect();
        outcomes(&mut router, tickets.iter().flat_map(|(ticket, n)| month.calls(ticket, *n))).await;
        for at_once in tickets.chunks(64) {
            let mut closing = tokio::task::JoinSet::new();
            for (ticket, n) in at_once {
                let (mut goals, state) = (goals.clone(), month.state(*n).into());
                let request = pb::CompleteGoalRequest { goal_id: ticket.clone(), state, ..Default::default() };
                closing.spawn(async move { goals.complete_goal(request).await.unwrap() });
            }
            closing.join_all().await;
        }
    }
}

/// A daemon at the end of both months.
async fn two_months(times: u64) -> Timed {
    let now = UnixMillis(1_795_348_800_000);
    let first = now.plus_ms(-2 * DAYS * DAY_MS);
    let daemon = Timed::start(&catalogues::usual(), first).await;
    play(&daemon, BEFORE, first, times).await;
    play(&daemon, AFTER, first.plus_ms(DAYS * DAY_MS), times).await;
    daemon.set(now);
    daemon
}

/// What the calls say, for the months played once.
fn check_the_figures(report: &pb::GetInsightsResponse) {
    let all = |goals: &Option<pb::GoalInsights>| {
        let row = goals.as_ref().unwrap().by_workflow.iter().find(|row| row.workflow == WORKFLOW).unwrap();
        (row.accepted, row.spend_nano_usd, row.cost_per_accepted_goal)
    };
    assert_eq!(all(&report.goals), (2_638, 1_239_860_000_000, Some(0.47)));
    assert_eq!(all(&report.previous_goals), (2_376, 809_265_600_000, Some(0.3406)));
    let change = report.goals.as_ref().unwrap().by_workflow[0].changes.unwrap().cost_per_accepted_goal.unwrap();
    assert_eq!(format!("{:.1} %", change * 100.0), "38.0 %");
    // $210.00 of $1,239.86 was paid for nothing.
    assert_eq!((report.failed_calls_count, report.failed_call_cost_nano_usd), (1_117, 210_002_000_000));
    assert_eq!(format!("{:.3}", report.waste.as_ref().unwrap().retry_waste_ratio.unwrap()), "0.169");
    let told: Vec<&str> = report.signals.iter().map(|signal| signal.sentence.as_str()).collect();
    let jump = "search_api: 25.0 % of its 3,656 calls were retries, before 5.0 % of 2,600; the retries cost $182.80. \
                Recommended: look at the failures of search_api and cap its attempts.";
    let dear = "search_api takes 59.0 % of the spend ($731.20, 3,656 calls at $0.20 each). Recommended: cache or reuse what \
                search_api returns, or cap its attempts.";
    assert_eq!(told, [jump, dear]);
}

/// The parts of a split that are not 0, which sum to its change.
fn parts(split: &pb::ChangeSplit) -> Vec<(ChangeFactor, i64)> {
    assert_eq!(split.current_nano_usd - split.previous_nano_usd, split.change_nano_usd);
    assert_eq!(split.parts.iter().map(|part| part.amount_nano_usd).sum::<i64>(), split.change_nano_usd);
    let parts = split.parts.iter().map(|part| (part.factor(), part.amount_nano_usd));
    parts.filter(|(_, amount)| *amount != 0).collect()
}

const ANSWER: &str = "Cost per accepted goal rose $0.13 (+38.0 %) from $0.34 to $0.47: usage per call drove $0.0711 of it \
                      (foremost openai/gpt-4o's usage per call in draft_reply: 13,000 → 20,800 tokens a call), search_api's \
                      retries $0.0584 (5.0 % → 25.0 % of its calls); of all tools and models, search_api contributed most \
                      ($0.0583).";
const TO_DO: &str = "Recommended: look at the failures of search_api (25.0 % of its calls failed, before 5.0 %) and cap its \
                     attempts; this added $0.0584 to each accepted goal.";

/// What drove it. The amounts are those of the formula, worked out apart with 60 digits and rounded as documented.
fn check_the_split(change: &pb::ExplainChangeResponse) {
    let (each, spend) = (change.per_accepted_goal.as_ref().unwrap(), change.spend.as_ref().unwrap());
    assert_eq!((each.previous_nano_usd, each.current_nano_usd), (340_600_000, 470_000_000));
    let expected =
        [(ChangeFactor::Failures, -53_480), (ChangeFactor::Retries, 58_351_139), (ChangeFactor::Usage, 71_102_341)];
    assert_eq!(parts(each), expected, "retries alone do not explain it, usage explains most");
    let expected = [
        (ChangeFactor::Traffic, 105_337_315_808),
        (ChangeFactor::Retries, 146_453_815_677),
        (ChangeFactor::Usage, 178_803_268_515),
    ];
    assert_eq!(parts(spend), expected);
    let retries = &each.drivers[0];
    assert_eq!(
        (retries.step.as_deref(), retries.previous, retries.current),
        (Some("search_api"), Some(0.05), Some(0.25))
    );
    // Had no call failed in either month, more than half of the rise would still be there.
    let useful = |spent: i64, wasted: i64, accepted: i64| (spent - wasted) / accepted;
    let rest =
        useful(spend.current_nano_usd, 210_002_000_000, 2_638) - useful(spend.previous_nano_usd, 41_555_000_000, 2_376);
    assert!(rest * 2 > each.change_nano_usd, "{rest} of {}", each.change_nano_usd);
    assert_eq!((each.answer.as_str(), change.recommendation.as_str()), (ANSWER, TO_DO));
}

/// What the command line prints.
async fn printed(daemon: &Timed, flag: &str) -> String {
    let home = Home::new(&catalogues::usual());
    let address = format!("http://{}", daemon.address);
    let mut command = home.command(&["insights", "--lookback", "30d", flag, "--address", &address]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn the_operations_report() {
    let daemon = two_months(1).await;
    let (request, asked) = requests();
    check_the_figures(&report(&mut daemon.insights().await, request).await);
    check_the_split(&daemon.insights().await.explain_change(asked).await.unwrap().into_inner());
    for flag in ["--explain-change", "--compare-previous"] {
        let text = printed(&daemon, flag).await;
        let on_top: Vec<&str> = text.lines().skip(2).take(3).collect();
        assert_eq!((on_top[0], on_top[2]), (ANSWER, TO_DO), "{text}");
        println!("{text}");
    }
}

#[tokio::test]
#[ignore = "minutes: ten times as many tickets, the same story"]
async fn the_operations_report_at_full_length() {
    let daemon = two_months(10).await;
    let (request, asked) = requests();
    let report = report(&mut daemon.insights().await, request).await;
    let change = daemon.insights().await.explain_change(asked).await.unwrap().into_inner();
    assert_eq!((report.total_cost_nano_usd, report.failed_call_cost_nano_usd), (12_398_600_000_000, 2_100_020_000_000));
    let each = change.per_accepted_goal.unwrap();
    assert_eq!((each.previous_nano_usd, each.current_nano_usd), (340_600_000, 470_000_000));
    parts(&each);
    assert_eq!((each.answer.as_str(), change.recommendation.as_str()), (ANSWER, TO_DO));
}

/// Both questions about the later month.
fn requests() -> (pb::GetInsightsRequest, pb::ExplainChangeRequest) {
    let lookback_hours = Some(LOOKBACK_HOURS);
    let report = pb::GetInsightsRequest { lookback_hours, compare_previous: true, ..Default::default() };
    (report, pb::ExplainChangeRequest { lookback_hours, ..Default::default() })
}
