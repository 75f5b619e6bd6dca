//! Evaluation of an invocation's response against a check.

use serde_json::{Number, Value};

use super::{desired::DesiredCheck, function::Invocation};
use crate::domain::{
    check::{CheckPhase, Verdict},
    outcome::shorten,
};

/// The most characters of a response in a message: enough to recognise an error.
const EXCERPT: usize = 300;

/// One of a check's invocations.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The check.
    pub check: &'a DesiredCheck,
    /// The phase of the rollout.
    pub phase: CheckPhase,
    /// The version that must respond.
    pub version: &'a str,
    /// The number of the invocation, from 1.
    pub nth: u32,
}

/// Evaluates a response.
pub fn evaluate(attempt: Attempt<'_>, answer: &Invocation) -> Verdict {
    let Attempt { check, version, .. } = attempt;
    let failed = |why: String| attempt.failed(&why);
    let excerpt = || shorten(&String::from_utf8_lossy(&answer.payload), EXCERPT);
    if let Some(executed) = &answer.executed_version
        && executed != version
    {
        return failed(format!("version {executed} answered instead"));
    }
    if let Some(kind) = &answer.function_error {
        return failed(format!("the function failed ({kind}): {}", excerpt()));
    }
    let Some(expect) = &check.expect else {
        return Verdict::Passed;
    };
    let Ok(body) = serde_json::from_slice::<Value>(&answer.payload) else {
        return failed(format!("the answer is not JSON: {}", excerpt()));
    };
    let subject = if expect.path.is_empty() {
        "the answer".to_owned()
    } else {
        expect.path.clone()
    };
    match body.pointer(&expect.path) {
        Some(value) if equal(value, &expect.equals) => Verdict::Passed,
        Some(value) => failed(format!(
            "{subject} is {}, not {}",
            shorten(&value.to_string(), EXCERPT),
            expect.equals
        )),
        None => failed(format!("the answer has no {subject}: {}", excerpt())),
    }
}

/// The verdict if the invocation exceeded its timeout.
pub fn timed_out(attempt: Attempt<'_>) -> Verdict {
    attempt.failed(&format!(
        "no answer within {}s",
        attempt.check.timeout.as_secs()
    ))
}

impl Attempt<'_> {
    fn failed(&self, why: &str) -> Verdict {
        let when = match self.phase {
            CheckPhase::BeforeTraffic => "before traffic",
            CheckPhase::DuringTraffic => "with a part of the traffic",
            CheckPhase::AfterTraffic => "through the alias",
        };
        let DesiredCheck { name, repeats, .. } = self.check;
        let which = match repeats {
            1 => String::new(),
            _ => format!(" (invocation {} of {repeats})", self.nth),
        };
        Verdict::Failed(format!(
            "check {name} failed {when} on version {}{which}: {why}",
            self.version
        ))
    }
}

/// Whether two JSON values are equal, with 200 and 200.0 as the same number at any depth.
fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => equal_numbers(one, other),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let same = |(key, value): (&String, &Value)| {
                other.get(key).is_some_and(|other| equal(value, other))
            };
            one.len() == other.len() && one.iter().all(same)
        }
        _ => one == other,
    }
}

/// Compares integers exactly, because several integers round to the same floating-point number. Integers
/// beyond 64 bits are available as floating-point numbers only.
fn equal_numbers(one: &Number, other: &Number) -> bool {
    match (whole(one), whole(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one.as_f64() == other.as_f64(),
    }
}

/// The exact integer; `None` if the number has a fraction or may be rounded.
fn whole(number: &Number) -> Option<i128> {
    // Beyond this, a floating-point number may stand for several integers.
    const EXACT: f64 = 9_223_372_036_854_775_808.0;
    if let Some(integer) = number.as_i64() {
        return Some(integer.into());
    }
    if let Some(integer) = number.as_u64() {
        return Some(integer.into());
    }
    let float = number.as_f64()?;
    #[allow(
        clippy::cast_possible_truncation,
        reason = "it has no fraction and is within bounds"
    )]
    (float.fract() == 0.0 && float.abs() < EXACT).then_some(float as i128)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use serde_json::json;

    use super::*;
    use crate::domain::workload::lambda::Expected;

    fn check(expect: Option<(&str, Value)>) -> DesiredCheck {
        DesiredCheck {
            name: "smoke".into(),
            payload: "{}".into(),
            expect: expect.map(|(path, equals)| Expected {
                path: path.into(),
                equals,
            }),
            timeout: Duration::from_secs(10),
            repeats: 1,
        }
    }

    fn answer(version: &str, error: Option<&str>, payload: &str) -> Invocation {
        Invocation {
            executed_version: Some(version.into()),
            function_error: error.map(Into::into),
            payload: Bytes::copy_from_slice(payload.as_bytes()),
        }
    }

    fn why(result: Verdict) -> String {
        match result {
            Verdict::Passed => "passed".into(),
            Verdict::Failed(why) | Verdict::Inconclusive(why) => why,
        }
    }

    #[test]
    fn invocation_responses_are_evaluated() {
        let before = CheckPhase::BeforeTraffic;
        let wants_200 = check(Some(("/statusCode", json!(200))));
        for (check, answer, expected) in [
            (
                &wants_200,
                answer("3", None, r#"{"statusCode":200}"#),
                "passed",
            ),
            (
                &wants_200,
                answer("3", None, r#"{"statusCode":200.0}"#),
                "passed",
            ),
            (
                &wants_200,
                answer("3", None, r#"{"statusCode":500}"#),
                "check smoke failed before traffic on version 3: /statusCode is 500, not 200",
            ),
            (
                &wants_200,
                answer("3", None, "{}"),
                "check smoke failed before traffic on version 3: the answer has no /statusCode: {}",
            ),
            (
                &wants_200,
                answer("3", None, "oops"),
                "check smoke failed before traffic on version 3: the answer is not JSON: oops",
            ),
            (
                &check(None),
                answer("3", Some("Unhandled"), r#"{"errorMessage":"no module"}"#),
                "check smoke failed before traffic on version 3: the function failed (Unhandled): {\"errorMessage\":\"no module\"}",
            ),
            (
                &check(None),
                answer("2", None, "null"),
                "check smoke failed before traffic on version 3: version 2 answered instead",
            ),
            (&check(None), answer("3", None, "null"), "passed"),
        ] {
            let attempt = Attempt {
                check,
                phase: before,
                version: "3",
                nth: 1,
            };
            assert_eq!(why(evaluate(attempt, &answer)), expected);
        }
    }

    #[test]
    fn values_are_equal_as_json_and_integers_exactly() {
        for (expected, answered, same) in [
            ("9007199254740993", "9007199254740993", true),
            ("9007199254740993", "9007199254740992", false),
            ("9007199254740993", "9007199254740992.0", false),
            ("9223372036854775807", "9223372036854775806", false),
            ("18446744073709551615", "18446744073709551614", false),
            ("-9007199254740993", "-9007199254740992", false),
            // The API server keeps signed 64-bit integers; it returns others as floating point.
            ("1.8446744073709552e19", "18446744073709551615", true),
            ("200", "200.0", true),
            ("200", "200.5", false),
            ("0.1", "0.1", true),
            ("0", "-0.0", true),
            ("null", "null", true),
            ("null", "0", false),
            ("null", "\"\"", false),
            (
                r#"{"a": [200, {"b": null}]}"#,
                r#"{"a": [200.0, {"b": null}]}"#,
                true,
            ),
            (r#"{"a": 1}"#, r#"{"a": 1, "b": 2}"#, false),
            (r#"{"a": null}"#, "{}", false),
            ("[1]", "[1, 2]", false),
        ] {
            let check = check(Some(("", serde_json::from_str(expected).expect("JSON"))));
            let attempt = Attempt {
                check: &check,
                phase: CheckPhase::BeforeTraffic,
                version: "3",
                nth: 1,
            };
            let result = evaluate(attempt, &answer("3", None, answered));
            let passed = matches!(result, Verdict::Passed);
            assert_eq!(passed, same, "{answered} for {expected}");
        }
    }

    #[test]
    fn missing_field_is_not_null() {
        let check = check(Some(("/error", Value::Null)));
        let attempt = Attempt {
            check: &check,
            phase: CheckPhase::BeforeTraffic,
            version: "3",
            nth: 1,
        };
        let result = |payload| why(evaluate(attempt, &answer("3", None, payload)));
        assert_eq!(result(r#"{"error": null}"#), "passed");
        assert!(result("{}").ends_with("the answer has no /error: {}"));
        assert!(result(r#"{"error": 1}"#).ends_with("/error is 1, not null"));
    }

    #[test]
    fn failed_repetition_of_a_check_is_named() {
        let check = DesiredCheck {
            repeats: 5,
            ..check(None)
        };
        let attempt = Attempt {
            check: &check,
            phase: CheckPhase::AfterTraffic,
            version: "3",
            nth: 2,
        };
        assert_eq!(
            why(timed_out(attempt)),
            "check smoke failed through the alias on version 3 (invocation 2 of 5): no answer within 10s"
        );
    }
}
