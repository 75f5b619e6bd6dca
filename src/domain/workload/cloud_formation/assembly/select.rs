//! The stack of an assembly that a spec names.

use crate::{api::v1alpha1::AssemblyStack, domain::outcome::shorten};

/// How many stacks a message lists.
const LISTED: usize = 8;

/// The stack with this name: its path in the app, as `cdk list` shows it, its id in the manifest, or its name in
/// CloudFormation, in this order.
pub fn select<'a>(stacks: &'a [AssemblyStack], name: &str) -> Result<&'a AssemblyStack, String> {
    let by: [fn(&AssemblyStack) -> &str; 3] = [
        |stack| &stack.name,
        |stack| &stack.id,
        |stack| &stack.stack_name,
    ];
    for of in by {
        let mut found = stacks.iter().filter(|stack| of(stack) == name);
        match (found.next(), found.next()) {
            (None, _) => {}
            (Some(stack), None) => return Ok(stack),
            (Some(one), Some(other)) => {
                return Err(format!(
                    "{name} is the name of more than one stack of the assembly: {} and {}; set cdk.stack to one of these",
                    one.name, other.name
                ));
            }
        }
    }
    let has = match stacks {
        [] => "no stack".to_owned(),
        _ => listed(stacks),
    };
    Err(format!(
        "the assembly has no stack {}; it has {has}",
        shorten(name, 200)
    ))
}

fn listed(stacks: &[AssemblyStack]) -> String {
    let names = stacks.iter().take(LISTED);
    let names: Vec<&str> = names.map(|stack| stack.name.as_str()).collect();
    let names = names.join(", ");
    match stacks.len().saturating_sub(LISTED) {
        0 => names,
        others => format!("{names} and {others} others"),
    }
}
