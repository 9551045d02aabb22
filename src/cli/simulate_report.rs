//! The report of a simulation: one page that needs nothing from elsewhere, with the table behind every plot. It refuses to know
//! how figures come about.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::human::short_usd;
use super::simulate_asserts::Figures as _;
use super::simulate_files::{Plots, figures, slots, traffic};
use super::simulate_scenarios::Played;
use crate::domain::time::HOUR_MS;
use crate::simulation::figures::{Figure, Point, Summary};
use crate::simulation::scenario::{Happening, What};

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2.5rem}\
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem}\
th,td{padding:.2rem .7rem .2rem 0;text-align:right;border-bottom:1px solid #8884;vertical-align:top}\
th:first-child,td:first-child{text-align:left}\
small,.i{color:#888}.scroll{overflow-x:auto}\
svg{max-width:100%;height:auto}svg text{fill:currentColor}svg [stroke=\"#000000\"]{stroke:currentColor}\
summary{cursor:pointer}";

/// The page.
pub(super) fn page(played: &Played, plots: &Plots) -> String {
    let scenario = &played.scenario;
    let arrivals = if scenario.workflows.is_empty() { "calls" } else { "goals" };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width,initial-scale=1";
                title { (scenario.name) " – simulation" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (scenario.name) }
                @if !scenario.about.is_empty() { p { (scenario.about) } }
                p { strong { (headline(played)) } }
                p {
                    (scenario.replications) " replications of " (scenario.arrivals) " " (arrivals) ", "
                    (scenario.per_hour) " an hour, with each policy; seed " (scenario.seed) ". Figures are means; below them what "
                    "the middle nine tenths of the replications lie between."
                }
                h2 { "Policies" }
                div.scroll { (policies(played)) }
                @for (n, (_, title, svg)) in plots.all.iter().enumerate() {
                    h2 { (title) }
                    figure role="img" aria-label=(title) style="margin:0" { (PreEscaped(svg)) }
                    details { summary { "As a table" } div.scroll { (behind(played, plots, n)) } }
                }
                (world(played))
                (happenings(played))
                h2 { "What the figures mean" }
                dl { @for figure in figures(played) { dt { code { (figure.name) } } dd { (figure.meaning) } } }
                p { small {
                    "Made by oddsmaker simulate " (env!("CARGO_PKG_VERSION")) " from " (played.file)
                    ". The same scenario, seed and version give the same bytes."
                } }
            }
        }
    };
    page.into_string()
}

fn of(played: &Played, policy: usize, name: &str) -> Summary {
    Figure::named(name).map_or_else(Summary::default, |figure| played.figure(policy, figure))
}

fn percent(x: f64) -> String {
    format!("{:.1} %", x * 100.0)
}

/// The first policy in a sentence, and against the dearest model (else the second policy) where there is one.
fn headline(played: &Played) -> String {
    let names: Vec<&str> = played.policies();
    let figures = |n: usize| of(played, n, "success_rate").mean.zip(of(played, n, "cost_per_success").mean);
    let Some((success, cost)) = figures(0) else { return format!("{} made no call that succeeded.", names[0]) };
    let own = format!("{}: {} of the calls succeed, a success costs ${}", names[0], percent(success), short_usd(cost));
    let other = names.iter().position(|name| *name == "dearest").or((names.len() > 1).then_some(1));
    let Some((place, (than, than_cost))) = other.filter(|n| *n > 0).and_then(|n| Some((n, figures(n)?))) else {
        return format!("{own}.");
    };
    let signed = |x: f64, digits: usize| format!("{x:+.digits$}").replace('-', "−");
    let (change, points) = (signed((cost / than_cost - 1.0) * 100.0, 0), signed((success - than) * 100.0, 1));
    format!("{own}: {change} % of cost a success and {points} points of success against {}.", names[place])
}

fn shown(figure: &Figure, x: f64) -> String {
    match figure.name {
        name if name.ends_with("_rate") || name.contains("success_rate") => percent(x),
        name if name.starts_with("cost") => format!("${}", short_usd(x)),
        _ if x.fract() == 0.0 || x.abs() >= 1_000.0 => format!("{x:.0}"),
        _ => format!("{x:.1}"),
    }
}

fn policies(played: &Played) -> Markup {
    html! {
        table {
            thead { tr { th { "figure" } @for name in played.policies() { th { (name) } } } }
            tbody {
                tr { td { "played through" } @for n in 0..played.runs.len() { td { (played.through(n)) } } }
                @for figure in figures(played) {
                    tr {
                        td { (figure.name.replace('_', " ")) }
                        @for n in 0..played.runs.len() {
                            @let summary = played.figure(n, figure);
                            td {
                                @match (summary.mean, summary.low, summary.high) {
                                    (Some(mean), Some(low), Some(high)) => {
                                        (shown(figure, mean))
                                        @if low != high {
                                            br; small { (shown(figure, low)) " to " (shown(figure, high)) }
                                        }
                                    }
                                    _ => "–",
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The table behind the plot of that place.
fn behind(played: &Played, plots: &Plots, n: usize) -> Markup {
    let names = played.policies();
    let over = |heads: Vec<&str>, cell: &dyn Fn(usize, usize) -> String| {
        // Every fifth point: the files have all of them.
        let rows = (4..plots.curves[0].len()).step_by(5);
        html! {
            table {
                thead { tr { th { "after" } @for head in &heads { th { (head) } } } }
                tbody { @for row in rows {
                    tr { td { (format!("{:.0}", plots.curves[0][row].arrivals)) } @for c in 0..heads.len() { td { (cell(c, row)) } } }
                } }
            }
        }
    };
    let text = |x: Option<f64>, text: &dyn Fn(f64) -> String| x.map_or_else(|| "–".to_owned(), text);
    let point = |policy: usize, row: usize| -> &Point { &plots.curves[policy][row] };
    match n {
        0 => over(names, &|c, row| text(point(c, row).regret.mean, &|x| format!("{x:.1}"))),
        1 => over(names, &|c, row| text(point(c, row).cost_per_success.mean, &short_usd)),
        2 => {
            let lines = traffic(played, &plots.curves[0]);
            over(lines.iter().map(|l| l.0.as_str()).collect(), &|c, row| percent(lines[c].1[row].1))
        }
        _ => html! {
            table {
                thead { tr { th { "policy" } th { "USD a call" } th { "success rate" } } }
                tbody { @for (n, name) in names.iter().enumerate() {
                    tr {
                        td { (name) }
                        td { (text(of(played, n, "cost_per_call").mean, &short_usd)) }
                        td { (text(of(played, n, "success_rate").mean, &percent)) }
                    }
                } }
            }
        },
    }
}

/// What candidates truly are at the start.
fn world(played: &Played) -> Markup {
    let slots = slots(played);
    html! {
        h2 { "The world at its start" }
        div.scroll { table {
            thead { tr {
                th { "task type" } th { "model" } th { "succeeds" } th { "input tokens" } th { "output tokens" } th { "latency" }
            } }
            tbody { @for ((task, model), (_, truth)) in slots.iter().zip(played.scenario.slots()) {
                tr {
                    td { (task) } td { (model) @if !truth.offered { " (not offered yet)" } } td { (percent(truth.success)) }
                    td { (truth.input.mean) } td { (truth.output.mean) } td { (truth.latency_ms.mean) " ms" }
                }
            } }
        } }
    }
}

fn happenings(played: &Played) -> Markup {
    let scenario = &played.scenario;
    let hour = |event: &Happening| (scenario.time_of(event.at).0 - scenario.start.0) as f64 / HOUR_MS as f64;
    let what = |event: &Happening| {
        let model = &scenario.models[event.model].id;
        match event.what {
            What::Success(Some(rate)) => format!("{model} succeeds {} of the time", percent(rate)),
            What::Success(None) => format!("{model} succeeds as at the start"),
            What::Outage => format!("{model} is down"),
            What::PriceFactor(factor) => format!("the price of {model} is {factor} times what it was"),
            What::Price(_) => format!("{model} has another price"),
            What::Offered(true) => format!("{model} is offered"),
            What::Offered(false) => format!("{model} is no longer offered"),
        }
    };
    html! {
        @if !scenario.events.is_empty() {
            h2 { "What happens" }
            div.scroll { table {
                thead { tr { th { "what" } th { "before arrival" } th { "hour" } } }
                tbody { @for event in &scenario.events {
                    tr { td { (what(event)) } td { (event.at) } td { (format!("{:.1}", hour(event))) } }
                } }
            } }
        }
    }
}
