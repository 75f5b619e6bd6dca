//! Logs, as JSON for machines or as text for people, on standard error.
//!
//! Nothing secret is ever logged: Secrets are wrapped in types that print nothing.

use std::{io, panic};

use clap::ValueEnum;
use tracing::error;
use tracing_subscriber::{EnvFilter, filter::ParseError, util::TryInitError};

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line.
    #[default]
    Json,
    /// Text for people.
    Text,
}

/// Logging can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is invalid.
    #[error(
        "the log level {filter:?} is not understood ({source}): use a level such as info, or \
         directives such as info,sluice=debug"
    )]
    Filter {
        /// The given filter.
        filter: String,
        /// The cause.
        source: ParseError,
    },
    /// Logging is set up already.
    #[error("logging was set up twice: {0}")]
    Twice(#[from] TryInitError),
}

/// Sets up logs for the whole process, panics included. `filter` is a level, or directives as in
/// `RUST_LOG`.
pub fn start(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    use tracing_subscriber::util::SubscriberInitExt as _;

    let filter = EnvFilter::try_new(filter).map_err(|source| TelemetryError::Filter {
        filter: filter.to_owned(),
        source,
    })?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(false);
    match format {
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .finish()
            .try_init()?,
        LogFormat::Text => lines.finish().try_init()?,
    }
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        error!(place, panic = panic.payload_as_str(), "panicked");
    }));
    Ok(())
}
