//! The results of the commands that users gave.

use super::{
    command::{Command, Commands},
    stage::StageView,
};

/// The result of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The command.
    pub command: Command,
    /// What each stage does, or why the command has no effect.
    pub message: String,
    /// Whether the command had no effect.
    pub idle: bool,
}

/// The results of the given commands.
pub fn answers(commands: &Commands, views: &[StageView<'_>]) -> Vec<Answered> {
    let given = [
        (Command::Retry, commands.retry),
        (Command::Abort, commands.abort),
        (Command::Promote, commands.promote),
    ];
    let given = given
        .into_iter()
        .filter_map(|(command, is_given)| is_given.then_some(command));
    given
        .map(|command| {
            let effects: Vec<String> = views
                .iter()
                .filter_map(|view| {
                    let (executed, effect) = view.executed_command.as_ref()?;
                    (*executed == command).then(|| format!("{}: {effect}", view.name))
                })
                .collect();
            Answered {
                command,
                idle: effects.is_empty(),
                message: if effects.is_empty() {
                    command.idle().to_owned()
                } else {
                    effects.join("; ")
                },
            }
        })
        .collect()
}
