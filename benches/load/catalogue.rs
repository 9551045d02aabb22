//! Catalogues made up for measuring: as many candidates as wanted, each with its own price. They know no real model.

use std::fmt::Write as _;

/// Task types of the mixed load, `mix-0`, `mix-1` and so on.
pub(crate) const MIXED_TASKS: usize = 8;

/// Candidates of each task type of the mixed load.
const MIXED_CANDIDATES: usize = 5;

/// The task type with `candidates` candidates.
pub(crate) fn task_of(candidates: usize) -> String {
    format!("choice-of-{candidates}")
}

/// A catalogue with one task type for each of `sizes`, and those of the mixed load.
pub(crate) fn text(sizes: &[usize]) -> String {
    let models = sizes.iter().copied().fold(MIXED_CANDIDATES, usize::max);
    let mut text = String::from("schema = 1\n");
    for model in 0..models {
        // From $0.10 and $0.40 per million tokens on, each a little dearer than the one before.
        let (input, output) = (10 + 7 * model, 40 + 28 * model);
        let _ = write!(
            text,
            "\n[[model]]\nid = \"bench/model-{model:02}\"\nlimit = {{ context = 128_000, output = 16_384 }}\n\
             typical = {{ input_tokens = 300, output_tokens = 40 }}\nsource = \"made up\"\n\
             price = [{{ from = 2020-01-01, unit = \"usd_per_mtok\", input = \"{}\", output = \"{}\" }}]\n",
            cents(input),
            cents(output),
        );
    }
    for size in sizes {
        task(&mut text, &task_of(*size), *size);
    }
    for number in 0..MIXED_TASKS {
        task(&mut text, &format!("mix-{number}"), MIXED_CANDIDATES);
    }
    text
}

fn cents(cents: usize) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

fn task(text: &mut String, id: &str, candidates: usize) {
    let ids: Vec<String> = (0..candidates).map(|model| format!("\"bench/model-{model:02}\"")).collect();
    let _ = write!(text, "\n[[task]]\nid = \"{id}\"\ncandidates = [{}]\n", ids.join(", "));
}
