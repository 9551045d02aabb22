//! What the page shows, and that nothing on it comes alive.

use super::*;
use crate::wire::pb::OverProvisioningFlag as Flag;

fn shown(report: &pb::GetInsightsResponse) -> String {
    page(&Shown { report: report.clone(), ..Shown::default() }, 24.0, "localhost:7070").into_string()
}

#[test]
fn an_empty_page_says_what_to_do_first() {
    let html = shown(&pb::GetInsightsResponse::default());
    assert!(html.contains("No calls in this window"), "{html}");
    assert!(html.contains("curl http://localhost:7070/v1/policy"));
    assert!(html.contains(r#"<span class="none">–</span> <span class="why">no calls</span>"#));
    assert!(!html.contains("<table"));
    let waiting = pb::GetInsightsResponse { decisions: 3, decisions_open: 3, ..Default::default() };
    assert!(shown(&waiting).contains("3 decisions made; tell"));
}

#[test]
fn markup_in_names_is_inert() {
    let hostile = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>";
    let report = pb::GetInsightsResponse {
        calls: 1,
        note: Some(hostile.into()),
        by_task: vec![pb::TaskInsights {
            name: hostile.into(),
            over_provisioning: Some(pb::OverProvisioning { sentence: hostile.into(), ..Default::default() }),
            by_model: vec![pb::ModelInsights {
                model: hostile.into(),
                candidate: hostile.into(),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let html = shown(&report);
    assert_eq!(html.matches("&lt;script&gt;alert(1)&lt;/script&gt;").count(), 4);
    assert!(!html.contains("<script") && !html.contains("<img"), "{html}");
    let host = page(&Shown::default(), 24.0, "<b>").into_string();
    assert!(!host.contains("<b>"));
}

#[test]
fn figures_stand_with_their_intervals_and_reasons() {
    let interval = |low, high| Some(pb::Interval { low, high, level: 0.9 });
    let report = pb::GetInsightsResponse {
        calls: 1_200,
        cost_per_success: Some(0.47),
        cost_per_success_interval: interval(0.452, 0.489),
        changes: Some(pb::HeadlineChanges {
            cost_per_success: Some(0.38),
            cost_per_success_is_thin: true,
            ..Default::default()
        }),
        by_task: vec![pb::TaskInsights {
            name: "ticket_classification".into(),
            calls: 1_200,
            success_rate: Some(0.96),
            success_rate_interval: interval(0.951, 0.968),
            uses_higher_tier_than_needed: true,
            over_provisioning: Some(pb::OverProvisioning {
                flag: Flag::Flagged.into(),
                sentence: "Use the cheaper one.".into(),
                ..Default::default()
            }),
            by_model: vec![
                pb::ModelInsights {
                    candidate: "a/kept".into(),
                    in_catalog: true,
                    probability_best: Some(0.75),
                    p95_latency_ms: Some(812.4),
                    pricing_coverage: Some(0.0),
                    ..Default::default()
                },
                pb::ModelInsights { candidate: "a/gone".into(), router_calls: 3, ..Default::default() },
                pb::ModelInsights { candidate: "a/stranger".into(), elsewhere_calls: 3, ..Default::default() },
            ],
            ..Default::default()
        }],
        expected_false_flags: 0.05,
        ..Default::default()
    };
    let html = shown(&report);
    assert!(!html.contains("a/kept <span"), "{html}");
    for part in [
        "$0.47",
        "90 % interval $0.452–$0.489",
        "+38\u{202f}% on the 24 hours before",
        "too few calls before to rely on that",
        "More model than needed",
        "75\u{202f}%",
        "812 ms",
        "fewer than 20 latencies",
        r#"a/gone <span class="badge">left the catalogue</span>"#,
        r#"a/stranger <span class="badge">not in the catalogue</span>"#,
        "Use the cheaper one.",
        "95.1–96.8\u{202f}%",
        "cost unknown",
        "0.05 flags would still be expected by chance",
        r#"<a href="/?lookback_hours=24" aria-current="page">24 h</a>"#,
    ] {
        assert!(html.contains(part), "{part} in {html}");
    }
}
