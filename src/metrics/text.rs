//! Converts OpenMetrics to Prometheus' own text format, version 0.0.4, for clients that prefer it.
//!
//! The samples are the same. A counter is declared by the name of its samples, `info` is a gauge, and units
//! and the end are not marked.

/// The same metrics in Prometheus' text format.
pub fn prometheus(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len());
    // In OpenMetrics the help of a metric comes before its type.
    let mut help = None;
    for line in openmetrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map(|(_, help)| help);
        } else if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split_once(' '))
        {
            let (ending, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                other => ("", other),
            };
            if let Some(help) = help.take() {
                text.extend(["# HELP ", name, ending, " ", help, "\n"]);
            }
            text.extend(["# TYPE ", name, ending, " ", kind, "\n"]);
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_infos_are_declared_by_the_names_of_their_samples() {
        let openmetrics = "# HELP sluice_calls Calls.\n# TYPE sluice_calls counter\n\
            sluice_calls_total{outcome=\"ok\"} 1\n# HELP sluice_took How long.\n\
            # TYPE sluice_took_seconds histogram\n# UNIT sluice_took_seconds seconds\n\
            sluice_took_seconds_sum 7.0\n# HELP sluice_build Which.\n# TYPE sluice_build info\n\
            sluice_build_info{version=\"1\"} 1\n# EOF\n";
        let expected = "# HELP sluice_calls_total Calls.\n# TYPE sluice_calls_total counter\n\
            sluice_calls_total{outcome=\"ok\"} 1\n# HELP sluice_took_seconds How long.\n\
            # TYPE sluice_took_seconds histogram\nsluice_took_seconds_sum 7.0\n\
            # HELP sluice_build_info Which.\n# TYPE sluice_build_info gauge\n\
            sluice_build_info{version=\"1\"} 1\n";
        assert_eq!(prometheus(openmetrics), expected);
    }
}
