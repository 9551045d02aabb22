//! How long the engine's own work takes, without any I/O: draws, a pick, a decision, an outcome folded in, an event
//! encoded, a report. It knows no daemon and no socket; what a caller waits for is measured by `load`.
//!
//! `cargo bench --bench engine` (less than a minute), `cargo bench --bench engine -- decide` for a part.

#[path = "load/catalogue.rs"]
mod catalogue;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use criterion::{BenchmarkId, Criterion};
use oddsmaker::config::parse_catalogue;
use oddsmaker::domain::beta::Beta;
use oddsmaker::domain::choose::{Contender, choose_with_tolerance};
use oddsmaker::domain::draw::{decision_rng, draw_beta};
use oddsmaker::domain::event::Event;
use oddsmaker::domain::names::Labels;
use oddsmaker::domain::outcome::{DecisionRef, FailureReason, OutcomeOf, OutcomeReport, Verdict};
use oddsmaker::domain::pricing::Usage;
use oddsmaker::domain::request::{PolicyRequest, UsageEstimate};
use oddsmaker::domain::state::State;
use oddsmaker::domain::time::{DAY_MS, HOUR_MS, UnixMillis};
use oddsmaker::engine::hydrate::NoStore;
use oddsmaker::engine::{Engine, PolicyAnswer};
use oddsmaker::insights;
use oddsmaker::journal::codec;

/// Seed of every generator here, so that two runs draw the same.
const SEED: u64 = 2026;

/// Numbers of candidates measured.
const SIZES: [usize; 4] = [2, 5, 10, 50];

/// Calls taught before anything is measured, so that posteriors are those of a task type in use.
const TAUGHT: u64 = 2_000;

/// Calls after which what a daemon would have moved to its store is dropped, so that memory stays bounded.
const KEPT_CALLS: usize = 10_000;

/// Hours of the record a report is measured over.
const REPORT_HOURS: i64 = 168;

/// Calls in each of these hours.
const CALLS_AN_HOUR: u64 = 500;

/// Sets of labels these calls carry.
const LABEL_SETS: u64 = 8;

fn main() -> anyhow::Result<()> {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .without_plots()
        .configure_from_args();
    draws(&mut criterion)?;
    decisions(&mut criterion)?;
    outcomes(&mut criterion)?;
    events(&mut criterion)?;
    reports(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}

/// A generator seeded and one draw for each candidate; then the same with the choice among them.
fn draws(criterion: &mut Criterion) -> anyhow::Result<()> {
    for size in SIZES {
        let posteriors = posteriors(size)?;
        criterion.bench_with_input(BenchmarkId::new("draw", size), &posteriors, |bencher, posteriors| {
            let mut number = 0;
            bencher.iter(|| {
                number += 1;
                let mut rng = decision_rng(SEED, number);
                posteriors.iter().map(|posterior| draw_beta(&mut rng, *posterior)).sum::<f64>()
            });
        });
        let mut contenders: Vec<Contender> = (0..size)
            .map(|index| Contender { index, theta: 0.0, expected_cost_nano: Some(100_000 + 7_000 * index as u64) })
            .collect();
        criterion.bench_with_input(BenchmarkId::new("pick", size), &posteriors, |bencher, posteriors| {
            let mut number = 0;
            bencher.iter(|| {
                number += 1;
                let mut rng = decision_rng(SEED, number);
                for (contender, posterior) in contenders.iter_mut().zip(posteriors) {
                    contender.theta = draw_beta(&mut rng, *posterior);
                }
                choose_with_tolerance(black_box(&contenders), 0.01)
            });
        });
    }
    Ok(())
}

/// A whole decision: without consequences, and folded in.
fn decisions(criterion: &mut Criterion) -> anyhow::Result<()> {
    for size in SIZES {
        let mut bench = Bench::new(size)?;
        let mut request = bench.request.clone();
        request.dry_run = true;
        let now = bench.now;
        criterion.bench_function(&format!("decide_dry_run/{size}"), |bencher| {
            bencher.iter(|| bench.engine.decide(&request, now).map(|answer| answer.served));
        });
        criterion.bench_function(&format!("decide_and_apply/{size}"), |bencher| {
            bencher.iter(|| {
                bench.trim();
                bench.decide().map(|answer| answer.served)
            });
        });
    }
    Ok(())
}

/// An outcome turned into a fact, and that fact folded in; the decisions before it are not timed.
fn outcomes(criterion: &mut Criterion) -> anyhow::Result<()> {
    let mut bench = Bench::new(10)?;
    let mut failure = None;
    criterion.bench_function("record_and_apply/10", |bencher| {
        bencher.iter_custom(|iterations| match bench.time_outcomes(iterations) {
            Ok(took) => took,
            Err(error) => {
                failure = Some(error);
                Duration::from_nanos(1)
            }
        });
    });
    failure.map_or(Ok(()), Err)
}

/// The bytes of a decision and of an outcome.
fn events(criterion: &mut Criterion) -> anyhow::Result<()> {
    let mut bench = Bench::new(10)?;
    let answer = bench.decide()?;
    let decided = answer.events.last().cloned().ok_or_else(|| anyhow!("a decision without an event"))?;
    let outcome = bench.outcome(&answer, 1)?;
    for (name, event) in [("encode_decided/10", decided), ("encode_outcome", outcome)] {
        let mut bytes = Vec::with_capacity(512);
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| {
                bytes.clear();
                codec::encode(black_box(&event), &mut bytes);
                bytes.len()
            });
        });
        println!("{name}: {} bytes", bytes.len());
    }
    Ok(())
}

/// A report over a week in which every hour has calls of every task type, candidate and set of labels.
fn reports(criterion: &mut Criterion) -> anyhow::Result<()> {
    let bench = a_week()?;
    let query = insights::Query { lookback_ms: REPORT_HOURS * HOUR_MS, ..insights::Query::default() };
    let buckets: usize = bench.engine.state.rollups.hours.values().map(std::collections::HashMap::len).sum();
    println!("insights_168h: {} calls in {buckets} hourly sums", bench.engine.state.calls_total);
    criterion.bench_function("insights_168h", |bencher| {
        bencher.iter(|| insights::report(&bench.engine, None, &query, bench.now));
    });
    Ok(())
}

fn a_week() -> anyhow::Result<Bench> {
    let mut bench = Bench::new(10)?;
    let start = bench.now;
    for hour in 0..REPORT_HOURS {
        for call in 0..CALLS_AN_HOUR {
            bench.now = start.plus_ms(hour * HOUR_MS + (call * 3_600_000 / CALLS_AN_HOUR) as i64);
            bench.request.task_type = format!("mix-{}", call % catalogue::MIXED_TASKS as u64);
            let team = format!("team-{}", call / 8 % LABEL_SETS);
            bench.request.labels = Labels::from([("team".to_owned(), team)]);
            bench.decide_and_record(call)?;
        }
    }
    Ok(bench)
}

fn posteriors(size: usize) -> anyhow::Result<Vec<Beta>> {
    let one = |index: usize| Beta::new(900.0 + 3.0 * index as f64, 100.0 - index as f64);
    (0..size).map(|index| one(index).ok_or_else(|| anyhow!("shapes must be above zero"))).collect()
}

/// An engine over a catalogue of its own, with what it takes to drive it.
struct Bench {
    engine: Engine,
    request: PolicyRequest,
    now: UnixMillis,
    seq: u64,
}

impl Bench {
    /// An engine with a task type of `candidates` candidates that has been used for a while.
    fn new(candidates: usize) -> anyhow::Result<Self> {
        let text = catalogue::text(&[candidates]);
        let (catalog, _) = parse_catalogue(&text, "made up").map_err(|errors| anyhow!("{errors:?}"))?;
        let now = UnixMillis(20_000 * DAY_MS);
        let engine = Engine::new(State::default(), Arc::new(catalog), SEED);
        let request = PolicyRequest {
            task_type: catalogue::task_of(candidates),
            labels: Labels::from([("team".to_owned(), "support".to_owned())]),
            estimate: UsageEstimate { input_tokens: Some(300), output_tokens: Some(40), ..UsageEstimate::default() },
            ..PolicyRequest::default()
        };
        let mut bench = Self { engine, request, now, seq: 0 };
        let started = bench.engine.start("bench", &text, now);
        bench.apply(&started);
        for call in 0..TAUGHT {
            bench.decide_and_record(call)?;
        }
        Ok(bench)
    }

    fn apply(&mut self, events: &[Event]) {
        for event in events {
            self.seq += 1;
            self.engine.apply(self.seq, event);
        }
    }

    /// Drops what a daemon would have moved to its store.
    fn trim(&mut self) {
        if self.engine.state.calls.len() > KEPT_CALLS {
            self.engine.state.calls.clear();
            self.engine.state.open.clear();
        }
    }

    fn decide(&mut self) -> anyhow::Result<PolicyAnswer> {
        let answer = self.engine.decide(&self.request, self.now)?;
        self.apply(&answer.events);
        Ok(answer)
    }

    /// The fact that the outcome of a decision is; every tenth call fails.
    fn outcome(&mut self, answer: &PolicyAnswer, number: u64) -> anyhow::Result<Event> {
        let report = report(answer, self.now, number);
        let recorded = self.engine.record(&NoStore, &report, self.now)?;
        recorded.events.last().cloned().ok_or_else(|| anyhow!("an outcome without an event"))
    }

    fn decide_and_record(&mut self, number: u64) -> anyhow::Result<()> {
        self.trim();
        let answer = self.decide()?;
        let event = self.outcome(&answer, number)?;
        self.apply(&[event]);
        Ok(())
    }

    /// How long `count` outcomes take, their decisions left out.
    fn time_outcomes(&mut self, count: u64) -> anyhow::Result<Duration> {
        let mut took = Duration::ZERO;
        let mut left = count;
        while left > 0 {
            let now = left.min(1_000);
            left -= now;
            self.trim();
            let answers: Vec<PolicyAnswer> = (0..now).map(|_| self.decide()).collect::<Result<_, _>>()?;
            let reports: Vec<OutcomeReport> = answers.iter().zip(0..).map(|(a, n)| report(a, self.now, n)).collect();
            let began = Instant::now();
            for report in &reports {
                let recorded = self.engine.record(&NoStore, report, self.now)?;
                self.apply(&recorded.events);
            }
            took += began.elapsed();
        }
        Ok(took)
    }
}

fn report(answer: &PolicyAnswer, at: UnixMillis, number: u64) -> OutcomeReport {
    let (decided, place) = (&answer.decided, &answer.decided.place);
    let of = DecisionRef {
        number: decided.number,
        at,
        task: place.task,
        candidate: place.candidate,
        step: place.step,
        traits: decided.traits,
    };
    let failed = number % 10 == 9;
    OutcomeReport {
        verdict: Some(if failed { Verdict::Failure(FailureReason::ValidationFailed) } else { Verdict::Success }),
        usage: Some(Usage { input: 300, cached_input: 0, cache_write: 0, output: 40, reasoning: 0 }),
        latency_ms: Some(800),
        body: number,
        ..OutcomeReport::about(OutcomeOf::Decision(of))
    }
}
