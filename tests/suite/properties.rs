//! Random stories told to the real engine, in this process: the fold gives the same state every time, an outcome counts
//! once however often it is sent, late truth equals truth at once, and the order of arrival does not matter. A failing
//! story is printed whole, with the seed that repeats it.

use std::time::{SystemTime, UNIX_EPOCH};

use oddsmaker::domain::event::Key;
use oddsmaker::domain::outcome::Verdict;
use oddsmaker::domain::state::State;
use oddsmaker::engine::apply;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::story::{Truth, World, retries_expected, shuffled_story, sums, sums_expected, truth, whole};

fn key(number: usize) -> Key {
    Key { hash: 1_000 + number as u128, body: 1 }
}

/// 96 stories each from a seed that is printed; `PROPTEST_RNG_SEED` repeats it, `PROPTEST_CASES` tells more stories.
fn config() -> ProptestConfig {
    let mut config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 96;
    }
    if matches!(config.rng_seed, RngSeed::Random) {
        let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        println!("PROPTEST_RNG_SEED={seed}");
        config.rng_seed = RngSeed::Fixed(seed);
    }
    config
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn folding_the_same_facts_twice_gives_the_same_state((story, order) in shuffled_story()) {
        let mut world = World::new();
        let decisions = world.decide(&story);
        for i in order {
            world.record(&story[i], &decisions[i], story[i].truth, Some(key(i)));
            if i % 5 == 0 {
                world.amend(&decisions[i], &Truth { verdict: Some(Verdict::Success), ..story[i].truth });
            }
        }
        world.expire_all();
        let fold = || {
            let mut state = State::default();
            world.journal.iter().for_each(|(seq, event)| apply(&mut state, *seq, event));
            whole(&state)
        };
        let first = fold();
        prop_assert_eq!(&first, &fold());
        prop_assert_eq!(first, whole(&world.engine.state));
    }

    #[test]
    fn an_outcome_counts_once_however_often_it_is_sent(
        (story, order) in shuffled_story(),
        again in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        keyed in any::<bool>(),
    ) {
        let with_key = |i: usize| keyed.then(|| key(i));
        let mut once = World::new();
        let mut often = World::new();
        let decisions = once.decide(&story);
        prop_assert_eq!(&decisions, &often.decide(&story));
        for (at, i) in order.iter().copied().enumerate() {
            prop_assert!(!once.record(&story[i], &decisions[i], story[i].truth, with_key(i)));
            prop_assert!(!often.record(&story[i], &decisions[i], story[i].truth, with_key(i)));
            for repeat in again.iter().map(|index| index.index(order.len())).filter(|r| *r <= at) {
                let j = order[repeat];
                prop_assert!(often.record(&story[j], &decisions[j], story[j].truth, with_key(j)), "a duplicate");
            }
        }
        prop_assert_eq!(whole(&once.engine.state), whole(&often.engine.state));
    }

    #[test]
    fn truth_that_comes_late_counts_as_if_it_had_come_at_once(
        (story, order) in shuffled_story(),
        errors in prop::collection::vec(truth(), 30),
        twice in any::<bool>(),
    ) {
        let mut at_once = World::new();
        let mut late = World::new();
        let decisions = at_once.decide(&story);
        late.decide(&story);
        for (i, told) in story.iter().enumerate() {
            let before = first_told(told.truth, errors[i]);
            at_once.record(told, &decisions[i], told.truth, None);
            late.record(told, &decisions[i], before, None);
        }
        for i in order {
            if twice {
                late.amend(&decisions[i], &first_told(story[i].truth, errors[(i + 7) % 30]));
            }
            late.amend(&decisions[i], &story[i].truth);
        }
        prop_assert_eq!(at_once.figures(), late.figures());
    }

    #[test]
    fn the_order_of_arrival_does_not_matter((story, order) in shuffled_story(), expire_after in 0..30_usize) {
        let mut in_order = World::new();
        let mut shuffled = World::new();
        let decisions = in_order.decide(&story);
        shuffled.decide(&story);
        for (i, told) in story.iter().enumerate() {
            in_order.record(told, &decisions[i], told.truth, None);
        }
        for (at, i) in order.iter().copied().enumerate() {
            if at == expire_after {
                shuffled.expire_all();
            }
            shuffled.record(&story[i], &decisions[i], story[i].truth, None);
        }
        // Of some decisions only a quality check was told: their time runs out, here as there.
        in_order.expire_all();
        shuffled.expire_all();
        prop_assert_eq!(in_order.figures(), shuffled.figures());
        let calls = &shuffled.engine.state.calls;
        let retries: Vec<bool> = decisions.iter().map(|d| calls[&d.number].is_retry()).collect();
        prop_assert_eq!(retries, retries_expected(&story));
        prop_assert_eq!(sums(&shuffled.engine.state), sums_expected(&story, &shuffled.engine.state));
    }
}

/// What is said first of a call whose truth is `truth`: anything for what an amendment can change, nothing more.
fn first_told(truth: Truth, wrong: Truth) -> Truth {
    Truth {
        verdict: truth.verdict.and(wrong.verdict),
        quality: truth.quality.and(wrong.quality),
        cost: truth.cost.and(wrong.cost),
        ..truth
    }
}
