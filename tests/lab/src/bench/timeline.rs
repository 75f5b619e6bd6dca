//! The events of a delivery in order, to see where its time goes.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::delivery::Delivery;
use crate::demo::tell::{block, say};

/// Prints one delivery.
pub fn show(name: &str, delivery: Option<&Delivery>) {
    let Some(delivery) = delivery else { return };
    say(&format!(
        "{name}: milliseconds since GitLab was polled, and until the response"
    ));
    let mut lines: Vec<(f64, Option<f64>, String)> = Vec::new();
    let since = |at: Timestamp| at.duration_since(delivery.listed_at).as_secs_f64() * 1000.0;
    let record = &delivery.record;
    for call in record.calls.iter() {
        let qualifier = call.qualifier.as_deref().unwrap_or_default();
        let status = call.status.unwrap_or_default();
        let text = format!("{} {} {qualifier} {status}", call.name(), call.resource);
        lines.push((since(call.at), call.answered_at.map(since), text));
    }
    for request in &record.gitlab {
        let status = request.status.unwrap_or_default();
        let text = format!("gitlab:{} {} {status}", request.method, request.path);
        lines.push((since(request.at), None, text));
    }
    for request in record.api.iter().filter(|request| request.is_write()) {
        let text = format!(
            "api:{} {} {} {}",
            request.verb,
            request.rbac_resource(),
            request.name,
            request.code
        );
        if let Ok(at) = request.at.parse() {
            lines.push((since(at), None, text));
        }
    }
    lines.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut shown = String::new();
    for (at, end, text) in lines.iter().filter(|line| line.0 >= 0.0) {
        let took = end.map_or_else(String::new, |end| format!("{:.0}", end - at));
        let _ = writeln!(shown, "{at:>7.0} {took:>6}  {text}");
    }
    block(&shown);
}
