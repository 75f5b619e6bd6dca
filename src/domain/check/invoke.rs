//! Whether an invocation answered as a check wants.

use serde_json::Value;

use crate::domain::{
    desired::DesiredCheck,
    function::Invocation,
    machine::{CheckPhase, CheckResult},
    outcome::shorten,
};

/// What a function may say in a message: enough to recognise an error, not a whole page.
const EXCERPT: usize = 300;

/// One of a check's invocations.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The check.
    pub check: &'a DesiredCheck,
    /// When in the rollout.
    pub phase: CheckPhase,
    /// The version that has to answer.
    pub version: &'a str,
    /// Which of the invocations it is, from 1.
    pub nth: u32,
}

/// Looks at an answer.
pub fn evaluate(attempt: Attempt<'_>, answer: &Invocation) -> CheckResult {
    let Attempt { check, version, .. } = attempt;
    let failed = |why: String| attempt.failed(&why);
    let said = || shorten(&String::from_utf8_lossy(&answer.payload), EXCERPT);
    if let Some(executed) = &answer.executed_version
        && executed != version
    {
        return failed(format!("version {executed} answered instead"));
    }
    if let Some(kind) = &answer.function_error {
        return failed(format!("the function failed ({kind}): {}", said()));
    }
    let Some(expect) = &check.expect else {
        return CheckResult::Passed;
    };
    let Ok(body) = serde_json::from_slice::<Value>(&answer.payload) else {
        return failed(format!("the answer is not JSON: {}", said()));
    };
    let place = if expect.path.is_empty() {
        "the answer".to_owned()
    } else {
        expect.path.clone()
    };
    match body.pointer(&expect.path) {
        Some(value) if equal(value, &expect.equals) => CheckResult::Passed,
        Some(value) => failed(format!(
            "{place} is {}, not {}",
            shorten(&value.to_string(), EXCERPT),
            expect.equals
        )),
        None => failed(format!("the answer has no {place}: {}", said())),
    }
}

/// No answer came in time.
pub fn timed_out(attempt: Attempt<'_>) -> CheckResult {
    attempt.failed(&format!(
        "no answer within {}s",
        attempt.check.timeout.as_secs()
    ))
}

impl Attempt<'_> {
    fn failed(&self, why: &str) -> CheckResult {
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
        CheckResult::Failed(format!(
            "check {name} failed {when} on version {}{which}: {why}",
            self.version
        ))
    }
}

/// Equal as JSON, where 200 and 200.0 are the same number.
fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            one == other || one.as_f64() == other.as_f64()
        }
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use serde_json::json;

    use super::*;
    use crate::api::v1alpha1::Expectation;

    fn check(expect: Option<(&str, Value)>) -> DesiredCheck {
        DesiredCheck {
            name: "smoke".into(),
            payload: "{}".into(),
            expect: expect.map(|(path, equals)| Expectation {
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

    fn why(result: CheckResult) -> String {
        match result {
            CheckResult::Passed => "passed".into(),
            CheckResult::Failed(why) | CheckResult::NotYet(why) => why,
        }
    }

    #[test]
    fn answers_are_judged() {
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
    fn of_several_invocations_the_one_that_failed_is_named() {
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
