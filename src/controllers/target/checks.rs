//! Evaluates the checks of a stage: alarms, metrics and URLs.
//!
//! A check that can't be read is inconclusive: it waits until its deadline and fails then.

use jiff::{SignedDuration, Timestamp};

use crate::{
    controllers::{access::Access, context::Context},
    domain::check::{
        Ask, DesiredAlarms, DesiredMetric, ServedVersions, StageCheck, StageCheckKind, Verdict,
        alarms::Alarms, metric::Bound,
    },
    ports::{CallError, CallErrorKind},
};

/// How much further back alarm histories are read: clocks differ, and entries come late.
const BEYOND: SignedDuration = SignedDuration::from_mins(1);

/// The present verdict of a check. An error only if its calls were called off.
pub async fn evaluate(
    context: &Context,
    access: &Access,
    check: &StageCheck,
    ask: &Ask,
) -> Result<Verdict, CallError> {
    let verdict = match &check.kind {
        StageCheckKind::Alarms(alarms) => evaluate_alarms(access, alarms, ask).await,
        StageCheckKind::Metric(metric) => evaluate_metric(access, metric, ask).await,
        StageCheckKind::Http(http) => match ask {
            Ask::Before { .. } => Ok(Verdict::Passed),
            Ask::Since { .. } => context
                .http
                .ask(http.request())
                .await
                .map(|answer| http.evaluate(&answer)),
        },
        // The engine asks only once the outputs are known.
        StageCheckKind::Deferred(deferred) => {
            let why = format!("{} is not known", deferred.unknown());
            Ok(Verdict::Inconclusive(why))
        }
    };
    let verdict = match verdict {
        Err(error) if error.kind == CallErrorKind::CalledOff => return Err(error),
        verdict => verdict.unwrap_or_else(|error| Verdict::unreadable(&error)),
    };
    Ok(verdict.of(&check.name))
}

async fn evaluate_alarms(
    access: &Access,
    check: &DesiredAlarms,
    ask: &Ask,
) -> Result<Verdict, CallError> {
    match ask {
        Ask::Before { bake } => {
            let alarms = alarms_with_children(access, check).await?;
            let short = check.refuse_bake(&alarms, *bake).map(Verdict::Failed);
            Ok(Verdict::all([
                check.before(&alarms),
                short.unwrap_or(Verdict::Passed),
            ]))
        }
        Ask::Since { since, .. } => {
            let alarms = access.monitoring.alarms(&check.names).await?;
            let mut histories = std::collections::BTreeMap::new();
            for name in check.needs_history(*since, &alarms) {
                let transitions = access
                    .monitoring
                    .transitions(&name, *since - BEYOND)
                    .await?;
                histories.insert(name, transitions);
            }
            Ok(check.evaluate(*since, &alarms, &histories))
        }
    }
}

/// The alarms of a check, and the children of composite alarms.
pub async fn alarms_with_children(
    access: &Access,
    check: &DesiredAlarms,
) -> Result<Alarms, CallError> {
    let mut alarms = access.monitoring.alarms(&check.names).await?;
    let mut requested = check.names.clone();
    loop {
        let more = check.unread(&alarms, &requested);
        if more.is_empty() {
            return Ok(alarms);
        }
        alarms.extend(access.monitoring.alarms(&more).await?);
        requested.extend(more);
    }
}

async fn evaluate_metric(
    access: &Access,
    check: &DesiredMetric,
    ask: &Ask,
) -> Result<Verdict, CallError> {
    let (since, served) = match ask {
        Ask::Before { bake } => {
            let short = check.refuse_bake(*bake).map(Verdict::Failed);
            return Ok(short.unwrap_or(Verdict::Passed));
        }
        Ask::Since { since, served } => (*since, served.as_ref()),
    };
    let Some(window) = check.window(since, Timestamp::now()) else {
        return Ok(check.too_early());
    };
    let query = check.query(window, served.map(ServedVersions::new_version));
    let series = access.monitoring.measure(&query).await?;
    let compared = matches!(check.bound, Bound::Previous(_));
    match served.and_then(ServedVersions::previous_version) {
        // Once all traffic has moved there is nothing to compare with: the check was evaluated before that.
        None if compared => Ok(Verdict::Passed),
        Some(_) if !compared => Ok(check.judge(window, &series)),
        Some(previous) => {
            let query = check.query(window, Some(previous));
            let before = access.monitoring.measure(&query).await?;
            Ok(check.compare(window, &series, &before))
        }
        None => Ok(check.judge(window, &series)),
    }
}
