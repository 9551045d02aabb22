//! The report against a real engine: acceptance arithmetic, windows and filters, the flag's evidence, and truth that
//! arrives in any order.

mod acceptance;
mod any_order;
mod any_order_goals;
mod any_order_kin;
mod drift;
mod flag;
mod goal_ends;
mod goals;
mod savings;
mod signals;
mod sources;
mod windows;

/// Equal but for the last bits of a division.
fn assert_close(found: Option<f64>, expected: f64) {
    let found = found.expect("there is a figure");
    assert!((found - expected).abs() <= 1e-12 * expected.abs().max(1e-300), "{found} is not {expected}");
}
