//! The levels of components, according to `dependsOn`. Components of one level move together.

use std::collections::BTreeMap;

/// A dependency cycle of components, in its order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} form a dependency cycle", .0.join(" → "))]
pub struct DependencyCycle(pub Vec<String>);

/// The level of each component, from 0, in the given order: one more than the highest level of its
/// dependencies. Unknown names don't count.
pub fn levels(components: &[(&str, &[String])]) -> Result<Vec<usize>, DependencyCycle> {
    let index: BTreeMap<&str, usize> = components
        .iter()
        .enumerate()
        .map(|(at, (name, _))| (*name, at))
        .collect();
    let mut levels: Vec<Option<usize>> = vec![None; components.len()];
    for at in 0..components.len() {
        settle(at, components, &index, &mut levels, &mut Vec::new())?;
    }
    Ok(levels.into_iter().flatten().collect())
}

/// Determines the level of a component. `path` has the components through which it was reached.
fn settle(
    at: usize,
    components: &[(&str, &[String])],
    index: &BTreeMap<&str, usize>,
    levels: &mut [Option<usize>],
    path: &mut Vec<usize>,
) -> Result<usize, DependencyCycle> {
    if let Some(level) = levels[at] {
        return Ok(level);
    }
    if let Some(begin) = path.iter().position(|one| *one == at) {
        let circle = path[begin..].iter().chain([&at]);
        return Err(DependencyCycle(
            circle.map(|one| components[*one].0.to_owned()).collect(),
        ));
    }
    path.push(at);
    let mut level = 0;
    for name in components[at].1 {
        if let Some(before) = index.get(name.as_str()) {
            level = level.max(settle(*before, components, index, levels, path)? + 1);
        }
    }
    path.pop();
    levels[at] = Some(level);
    Ok(level)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(components: &[(&str, &[&str])]) -> Result<Vec<usize>, DependencyCycle> {
        let owned: Vec<(&str, Vec<String>)> = components
            .iter()
            .map(|(name, on)| (*name, on.iter().map(ToString::to_string).collect()))
            .collect();
        let borrowed: Vec<(&str, &[String])> = owned
            .iter()
            .map(|(name, on)| (*name, on.as_slice()))
            .collect();
        levels(&borrowed)
    }

    #[test]
    fn component_has_a_higher_level_than_its_dependencies() {
        assert_eq!(of(&[("a", &[]), ("b", &[])]), Ok(vec![0, 0]));
        assert_eq!(
            of(&[
                ("site", &["api", "infra"]),
                ("api", &["infra"]),
                ("infra", &[])
            ]),
            Ok(vec![2, 1, 0])
        );
    }

    #[test]
    fn dependency_cycle_is_named_in_its_order() {
        let circle = of(&[("x", &["a"]), ("a", &["b"]), ("b", &["c"]), ("c", &["a"])]);
        let text = circle.map_err(|circle| circle.to_string());
        assert_eq!(
            text,
            Err("a → b → c → a form a dependency cycle".to_owned())
        );
        assert!(of(&[("a", &["a"])]).is_err());
    }
}
