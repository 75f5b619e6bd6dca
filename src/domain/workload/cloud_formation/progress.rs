//! The progress of an operation, and the reason of a failure, from the stack's events.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::stack::{Stack, StackEvent};

/// How far the operation is: `12 of 31 resources, Db (AWS::RDS::DBInstance) for 8m`. `events` are those of the
/// operation, the newest first. `planned` is the number of resources that it changes.
pub fn summary(
    events: &[StackEvent],
    stack: &str,
    planned: Option<usize>,
    now: Option<Timestamp>,
) -> String {
    let mut resources: BTreeMap<&str, (&StackEvent, Option<Timestamp>)> = BTreeMap::new();
    for event in events
        .iter()
        .rev()
        .filter(|event| !event.is_of_stack(stack))
    {
        let since = match resources.get(event.logical_id.as_str()) {
            Some((last, since)) if last.status == event.status => *since,
            _ => event.at,
        };
        resources.insert(&event.logical_id, (event, since));
    }
    let is_done = |event: &StackEvent| event.status.ends_with("_COMPLETE");
    let done = resources
        .values()
        .filter(|(event, _)| is_done(event))
        .count();
    let all = planned.unwrap_or_default().max(resources.len());
    let mut text = format!("{done} of {all} resources");
    let working = resources
        .values()
        .filter(|(event, _)| event.status.ends_with("_IN_PROGRESS"));
    if let Some((event, since)) = working.min_by_key(|(event, since)| (*since, &event.logical_id)) {
        let waited = since
            .zip(now)
            .map(|(since, now)| now.duration_since(since).as_secs());
        let waited = match waited {
            Some(seconds @ 60..) => format!(" for {}m", seconds / 60),
            _ => String::new(),
        };
        text = format!(
            "{text}, {} ({}){waited}",
            event.logical_id, event.resource_type
        );
    }
    text
}

/// The beginnings of reasons that only follow from the failure of another resource.
const CONSEQUENCES: [&str; 3] = [
    "Resource creation cancelled",
    "Resource update cancelled",
    "The following resource(s) failed",
];

/// The events of the latest operation, without those of earlier ones with the same token.
fn latest<'a>(stack: &str, events: &'a [StackEvent]) -> &'a [StackEvent] {
    let begins = [
        "CREATE_IN_PROGRESS",
        "UPDATE_IN_PROGRESS",
        "DELETE_IN_PROGRESS",
    ];
    let is_begin =
        |event: &StackEvent| event.is_of_stack(stack) && begins.contains(&event.status.as_str());
    let begin = events.iter().position(is_begin);
    begin.map_or(events, |begin| &events[..=begin])
}

/// The first resource that failed in the operation.
pub fn first_failed<'a>(stack: &Stack, events: &'a [StackEvent]) -> Option<&'a StackEvent> {
    let is_consequence = |reason: &str| CONSEQUENCES.iter().any(|it| reason.starts_with(it));
    let mut events = latest(&stack.id, events).iter().rev();
    events.find(|event| {
        let reason = event.reason.as_deref().unwrap_or_default();
        let has_failed = event.status.ends_with("_FAILED") && !is_consequence(reason);
        has_failed && !event.is_of_stack(&stack.id)
    })
}

/// Why the operation failed: the first failed resource with its own reason.
pub fn failure(stack: &Stack, events: &[StackEvent]) -> String {
    if let Some(event) = first_failed(stack, events) {
        let reason = event.reason.as_deref().unwrap_or("AWS gives no reason");
        return format!(
            "{} ({}) is {}: {reason}",
            event.logical_id, event.resource_type, event.status
        );
    }
    let own = latest(&stack.id, events).iter().rev();
    let own = own.filter(|event| event.is_of_stack(&stack.id));
    let mut reasons = own
        .filter_map(|event| event.reason.as_deref())
        .filter(|it| !it.is_empty());
    let reason = reasons.next().or(stack.reason.as_deref());
    match reason {
        Some(reason) => format!("it is {}: {reason}", stack.status),
        None => format!("it is {}, and AWS gives no reason", stack.status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(second: i64, logical_id: &str, status: &str, reason: Option<&str>) -> StackEvent {
        StackEvent {
            at: Timestamp::from_second(second).ok(),
            logical_id: logical_id.into(),
            physical_id: (logical_id == "shop").then(|| "arn:shop".into()),
            resource_type: "AWS::SQS::Queue".into(),
            status: status.into(),
            reason: reason.map(Into::into),
            ..StackEvent::default()
        }
    }

    fn newest_first(mut events: Vec<StackEvent>) -> Vec<StackEvent> {
        events.reverse();
        events
    }

    #[test]
    fn progress_counts_resources_and_names_the_oldest_that_is_worked_on() {
        let events = newest_first(vec![
            event(0, "shop", "UPDATE_IN_PROGRESS", None),
            event(1, "A", "CREATE_IN_PROGRESS", None),
            event(2, "Db", "UPDATE_IN_PROGRESS", None),
            event(3, "A", "CREATE_COMPLETE", None),
            event(
                4,
                "Db",
                "UPDATE_IN_PROGRESS",
                Some("Eventual consistency check"),
            ),
            event(9, "B", "CREATE_IN_PROGRESS", None),
        ]);
        let now = Timestamp::from_second(482).ok();
        let text = summary(&events, "arn:shop", Some(7), now);
        assert_eq!(text, "1 of 7 resources, Db (AWS::SQS::Queue) for 8m");
        let text = summary(&events[5..], "arn:shop", None, now);
        assert_eq!(text, "0 of 0 resources");
    }

    #[test]
    fn failure_has_the_reason_of_the_first_failed_resource() {
        let stack = Stack {
            id: "arn:shop".into(),
            status: "UPDATE_ROLLBACK_COMPLETE".into(),
            ..Stack::default()
        };
        let events = newest_first(vec![
            event(1, "A", "CREATE_FAILED", Some("Resource creation cancelled")),
            event(1, "Db", "CREATE_FAILED", Some("the quota is exhausted")),
            event(
                2,
                "shop",
                "UPDATE_ROLLBACK_IN_PROGRESS",
                Some("The following resource(s) failed to create: [Db]."),
            ),
        ]);
        assert_eq!(
            failure(&stack, &events),
            "Db (AWS::SQS::Queue) is CREATE_FAILED: the quota is exhausted"
        );
        let cancelled = newest_first(vec![event(
            2,
            "shop",
            "UPDATE_ROLLBACK_IN_PROGRESS",
            Some("User Initiated"),
        )]);
        assert_eq!(
            failure(&stack, &cancelled),
            "it is UPDATE_ROLLBACK_COMPLETE: User Initiated"
        );
        assert!(failure(&stack, &[]).contains("AWS gives no reason"));
    }
}
