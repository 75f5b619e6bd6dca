//! Alarms in every state and with every history.

use super::*;

/// When the rollout began.
const BEGAN: i64 = 1_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(BEGAN + second).unwrap()
}

fn alarm(state: AlarmState, since: Option<i64>) -> Alarm {
    Alarm {
        name: "errors".into(),
        state,
        since: since.map(at),
        reason: "Threshold Crossed".into(),
        trouble: None,
        window: Some(Duration::from_mins(3)),
        rule: None,
    }
}

fn alarms(all: impl IntoIterator<Item = Alarm>) -> Alarms {
    all.into_iter().map(|one| (one.name.clone(), one)).collect()
}

fn change(second: i64, from: AlarmState, to: AlarmState) -> Transition {
    Transition {
        at: at(second),
        from,
        to,
        reason: "1 datapoint was over the threshold".into(),
    }
}

fn check(already_in_alarm: AlreadyInAlarm, insufficient_data: InsufficientData) -> DesiredAlarms {
    DesiredAlarms {
        names: vec!["errors".into()],
        already_in_alarm,
        insufficient_data,
    }
}

fn strict() -> DesiredAlarms {
    check(AlreadyInAlarm::Fail, InsufficientData::Wait)
}

fn lenient() -> DesiredAlarms {
    check(AlreadyInAlarm::Ignore, InsufficientData::Wait)
}

/// The verdict as text.
fn outcome(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Passed => "passed".to_owned(),
        Verdict::Failed(why) => format!("failed: {why}"),
        Verdict::Inconclusive(why) => format!("not yet: {why}"),
    }
}

#[track_caller]
fn assert_outcome(verdict: &Verdict, expected: &str) {
    let outcome = outcome(verdict);
    assert!(
        outcome.starts_with(expected),
        "{outcome}\nis not\n{expected}"
    );
}

fn judged(check: &DesiredAlarms, alarm: Alarm, history: Option<Vec<Transition>>) -> Verdict {
    let histories = history
        .map(|changes| Histories::from([("errors".to_owned(), changes)]))
        .unwrap_or_default();
    check.evaluate(at(0), &alarms([alarm]), &histories)
}

#[test]
fn alarm_since_the_rollout_began_fails_the_check() {
    use AlarmState::{Alarm, InsufficientData, Ok};
    let red_and_back = || vec![change(20, Ok, Alarm), change(80, Alarm, Ok)];
    for (case, state, since, history, expected) in [
        ("quiet", Ok, Some(-600), None, "passed"),
        (
            "red now",
            Alarm,
            Some(30),
            None,
            "failed: alarm errors is in ALARM since 1970-01-12T13:47:10Z: Threshold Crossed",
        ),
        (
            "red and back",
            Ok,
            Some(80),
            Some(red_and_back()),
            "failed: alarm errors entered ALARM at 1970-01-12T13:47:00Z",
        ),
        (
            "red and back, and CloudWatch does not say since when it is as it is",
            Ok,
            None,
            Some(red_and_back()),
            "failed: alarm errors entered ALARM",
        ),
        (
            "red, then without data",
            InsufficientData,
            Some(90),
            Some(vec![
                change(20, Ok, Alarm),
                change(90, Alarm, InsufficientData),
            ]),
            "failed: alarm errors entered ALARM",
        ),
        (
            "red just before by CloudWatch's clock",
            Ok,
            Some(40),
            Some(vec![change(-1, Ok, Alarm), change(40, Alarm, Ok)]),
            "failed: alarm errors entered ALARM",
        ),
        (
            "first data",
            Ok,
            Some(60),
            Some(vec![change(60, InsufficientData, Ok)]),
            "passed",
        ),
        (
            "first data, and an old spell in the history",
            Ok,
            Some(60),
            Some(vec![
                change(-500, Ok, Alarm),
                change(-400, Alarm, InsufficientData),
                change(60, InsufficientData, Ok),
            ]),
            "passed",
        ),
    ] {
        println!("{case}");
        assert_outcome(&judged(&strict(), alarm(state, since), history), expected);
    }
}

#[test]
fn late_alarm_history_is_inconclusive() {
    use AlarmState::{Alarm, InsufficientData, Ok};
    for (case, since, history) in [
        ("not read", Some(80), None),
        ("not read, and nothing is known", None, None),
        ("empty", Some(80), Some(vec![])),
        (
            "its last change is an older one",
            Some(300),
            Some(vec![change(60, InsufficientData, Ok)]),
        ),
        (
            "it ends in another state",
            Some(80),
            Some(vec![change(60, Ok, InsufficientData)]),
        ),
    ] {
        println!("{case}");
        let verdict = judged(&strict(), alarm(Ok, since), history);
        assert_outcome(
            &verdict,
            "not yet: the history of alarm errors does not show",
        );
    }
    // A check that fails anyway needs no history.
    let verdict = judged(&strict(), alarm(Alarm, Some(5)), None);
    assert_outcome(&verdict, "failed");
}

#[test]
fn alarm_from_before_the_rollout_follows_already_in_alarm() {
    use AlarmState::{Alarm, Ok};
    let ended = || Some(vec![change(30, Alarm, Ok)]);
    let again = || {
        Some(vec![
            change(30, Alarm, Ok),
            change(60, Ok, Alarm),
            change(90, Alarm, Ok),
        ])
    };
    for (case, state, since, history, policy_fail, policy_ignore) in [
        (
            "red all along",
            Alarm,
            Some(-600),
            None,
            "failed: alarm errors was in ALARM before anything was changed",
            "passed",
        ),
        (
            "red all along, and CloudWatch does not say since when",
            Alarm,
            None,
            Some(vec![]),
            "failed: alarm errors was in ALARM before anything was changed",
            "passed",
        ),
        ("it ended", Ok, Some(30), ended(), "passed", "passed"),
        (
            "it ended and began again",
            Ok,
            Some(90),
            again(),
            "failed: alarm errors entered ALARM",
            "failed: alarm errors entered ALARM",
        ),
        (
            "it ended and is there again",
            Alarm,
            Some(60),
            None,
            "failed: alarm errors is in ALARM",
            "failed: alarm errors is in ALARM",
        ),
    ] {
        println!("{case}");
        let alarm = alarm(state, since);
        assert_outcome(
            &judged(&strict(), alarm.clone(), history.clone()),
            policy_fail,
        );
        assert_outcome(&judged(&lenient(), alarm, history), policy_ignore);
    }
}

#[test]
fn alarm_message_does_not_quote_the_reason_of_recovery() {
    use AlarmState::{Alarm, Ok};
    let message = |alarm, history| outcome(&judged(&strict(), alarm, Some(history)));
    let green = || super::Alarm {
        reason: "1 datapoint was not over the threshold".into(),
        ..alarm(Ok, Some(90))
    };
    let went = message(green(), vec![change(60, Ok, Alarm), change(90, Alarm, Ok)]);
    let red_at = second(at(60));
    let expected = format!(
        "failed: alarm errors entered ALARM at {red_at}: 1 datapoint was over the threshold"
    );
    assert_eq!(went, expected);
}

#[test]
fn run_begins_only_if_alarms_exist_and_are_not_red() {
    use AlarmState::{Alarm, InsufficientData, Ok};
    for (state, policy_fail, policy_ignore) in [
        (Ok, "passed", "passed"),
        (InsufficientData, "passed", "passed"),
        (
            Alarm,
            "failed: alarm errors was in ALARM before anything was changed",
            "passed",
        ),
    ] {
        let alarms = alarms([alarm(state, Some(-600))]);
        assert_outcome(&strict().before(&alarms), policy_fail);
        assert_outcome(&lenient().before(&alarms), policy_ignore);
    }
    let missing = "failed: there is no alarm errors";
    assert_outcome(&lenient().before(&Alarms::new()), missing);
}

#[test]
fn a_missing_alarm_fails_with_its_name() {
    let verdict = lenient().evaluate(at(0), &Alarms::new(), &Histories::new());
    assert_outcome(&verdict, "failed: there is no alarm errors");
    let two = DesiredAlarms {
        names: vec!["errors".into(), "latency".into()],
        ..strict()
    };
    let alarms = alarms([alarm(AlarmState::Ok, Some(-9))]);
    let verdict = two.evaluate(at(0), &alarms, &Histories::new());
    assert_outcome(&verdict, "failed: there is no alarm latency");
}

#[test]
fn insufficient_data_follows_the_policy() {
    let judged = |policy| {
        let quiet = alarm(AlarmState::InsufficientData, Some(-600));
        judged(&check(AlreadyInAlarm::Fail, policy), quiet, None)
    };
    assert_outcome(&judged(InsufficientData::Pass), "passed");
    let why = "alarm errors has INSUFFICIENT_DATA";
    assert_outcome(&judged(InsufficientData::Wait), &format!("not yet: {why}"));
    assert_outcome(&judged(InsufficientData::Fail), &format!("failed: {why}"));
}

#[test]
fn alarm_that_cloudwatch_can_not_evaluate_is_inconclusive() {
    let broken = Alarm {
        trouble: Some("EVALUATION_ERROR".into()),
        ..alarm(AlarmState::Ok, Some(-600))
    };
    let verdict = judged(&strict(), broken, None);
    assert_outcome(
        &verdict,
        "not yet: CloudWatch can't evaluate alarm errors (EVALUATION_ERROR)",
    );
    let new = alarm(AlarmState::parse("MUTED"), Some(-600));
    assert_outcome(
        &judged(&strict(), new, None),
        "not yet: alarm errors is in state MUTED",
    );
}

#[test]
fn only_a_changed_alarm_needs_its_history() {
    use AlarmState::{Alarm, Ok};
    for (state, since, wanted) in [
        (Ok, Some(-600), false),
        (Ok, Some(-1), true),
        (Ok, Some(10), true),
        (Ok, None, true),
        (Alarm, Some(-600), false),
        (Alarm, Some(10), false),
        (Alarm, None, true),
    ] {
        let alarms = alarms([alarm(state.clone(), since)]);
        let names = strict().needs_history(at(0), &alarms);
        assert_eq!(!names.is_empty(), wanted, "{state:?} since {since:?}");
    }
    assert!(strict().needs_history(at(0), &Alarms::new()).is_empty());
}

#[test]
fn bake_shorter_than_the_window_of_an_alarm_is_refused() {
    let alarms = alarms([alarm(AlarmState::Ok, None)]);
    let minutes = Duration::from_mins;
    assert_eq!(strict().refuse_bake(&alarms, minutes(5)), None);
    let why = strict().refuse_bake(&alarms, Duration::from_secs(299));
    assert_eq!(
        why.as_deref(),
        Some(
            "a bake of 4m59s is too short for alarm errors, which evaluates 3m of data that may be 2m \
             late: it has to be at least 5m"
        )
    );
    let unknown = strict().refuse_bake(&Alarms::new(), Duration::ZERO);
    assert_eq!(unknown, None, "a missing alarm refuses no bake");
}

#[test]
fn composite_alarm_is_as_slow_as_its_slowest_child() {
    let composite = |name: &str, rule: &str| Alarm {
        name: name.into(),
        window: None,
        rule: Some(rule.into()),
        ..alarm(AlarmState::Ok, None)
    };
    let metric = |name: &str, minutes| Alarm {
        name: name.into(),
        window: Some(Duration::from_mins(minutes)),
        ..alarm(AlarmState::Ok, None)
    };
    let check = DesiredAlarms {
        names: vec!["shop".into()],
        ..strict()
    };
    let mut known = Alarms::new();
    let mut asked = Vec::new();
    let mut rounds = Vec::new();
    // Rules may form a cycle.
    let there = alarms([
        composite("shop", "ALARM(api) OR ALARM(\"site\") OR ALARM(gone)"),
        composite("api", "ALARM(errors) AND NOT ALARM(shop)"),
        metric("site", 1),
        metric("errors", 10),
        metric("unrelated", 60),
    ]);
    loop {
        let names = check.unread(&known, &asked);
        if names.is_empty() {
            break;
        }
        known.extend(
            names
                .iter()
                .filter_map(|name| Some((name.clone(), there.get(name)?.clone()))),
        );
        asked.extend(names.clone());
        rounds.push(names);
    }
    assert_eq!(
        rounds,
        [vec!["shop"], vec!["api", "site", "gone"], vec!["errors"]]
    );
    let why = check.refuse_bake(&known, Duration::from_mins(11)).unwrap();
    assert!(why.contains("too short for alarm errors"), "{why}");
    assert_eq!(check.refuse_bake(&known, Duration::from_mins(12)), None);
}

#[test]
fn alarm_names_are_substituted_and_deduplicated() {
    let check = AlarmsCheck {
        names: vec!["errors-$(stage.name)".into(), "errors-dev".into()],
        already_in_alarm: AlreadyInAlarm::Ignore,
        insufficient_data: InsufficientData::Pass,
    };
    let variables = Variables::default().with("stage.name", "dev");
    let desired = DesiredAlarms::new(&check, &variables).unwrap();
    assert_eq!(desired.names, ["errors-dev"]);
    let error = DesiredAlarms::new(&check, &Variables::default()).unwrap_err();
    assert_eq!(error.field, "alarms.names[0]");
}

#[test]
fn missing_or_slow_alarm_is_an_obstacle_in_any_state() {
    let red = alarm(AlarmState::Alarm, Some(5));
    let existing = Alarms::from([(red.name.clone(), red)]);
    let long = Duration::from_hours(1);
    assert_eq!(strict().obstacle(&existing, long), None);
    let short = strict().obstacle(&existing, Duration::from_secs(1));
    assert!(short.is_some_and(|why| why.contains("too short for alarm")));
    let missing = strict().obstacle(&Alarms::new(), long);
    assert!(missing.is_some_and(|why| why.contains("there is no alarm errors")));
}
