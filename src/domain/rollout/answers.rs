//! What the commands that were given came to.

use super::{
    command::{Command, Commands},
    stage::StageView,
};

/// What a command came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The command.
    pub command: Command,
    /// What each stage does, or why none does anything.
    pub message: String,
    /// Whether it did nothing.
    pub idle: bool,
}

/// What the commands that were given came to.
pub fn answers(commands: &Commands, views: &[StageView<'_>]) -> Vec<Answered> {
    let given = [
        (Command::Retry, commands.retry),
        (Command::Abort, commands.abort),
        (Command::Promote, commands.promote),
    ];
    let given = given
        .into_iter()
        .filter_map(|(command, is)| is.then_some(command));
    given
        .map(|command| {
            let obeyed: Vec<String> = views
                .iter()
                .filter_map(|view| {
                    let (to, what) = view.obeyed.as_ref()?;
                    (*to == command).then(|| format!("{}: {what}", view.name))
                })
                .collect();
            Answered {
                command,
                idle: obeyed.is_empty(),
                message: if obeyed.is_empty() {
                    command.idle().to_owned()
                } else {
                    obeyed.join("; ")
                },
            }
        })
        .collect()
}
