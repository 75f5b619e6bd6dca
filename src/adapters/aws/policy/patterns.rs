//! Lists of patterns, which are joined and cut until a policy with them fits.
//!
//! Joining and cutting only widen: the patterns still allow all that they allowed before.

use serde_json::Value;

use crate::domain::grants::matches;

/// The longest session policy that AWS takes.
pub(super) const MAX_CHARACTERS: usize = 2048;

/// The document of these lists as JSON, at most [`MAX_CHARACTERS`] long: if it is longer, it is made again of
/// fewer, wider patterns.
pub(super) fn fitted<const N: usize>(
    mut lists: [Patterns; N],
    document: impl Fn(&[Patterns; N]) -> Value,
) -> String {
    loop {
        let policy = document(&lists).to_string();
        if policy.len() <= MAX_CHARACTERS {
            return policy;
        }
        // The longest list first. With nothing left to join, a pattern is shortened.
        let mut all: Vec<&mut Patterns> = lists.iter_mut().collect();
        all.sort_by_key(|patterns| std::cmp::Reverse(patterns.size()));
        let shorter = all.iter_mut().any(|it| it.join()) || all.iter_mut().any(|it| it.cut());
        if !shorter {
            return policy;
        }
    }
}

/// Sorted patterns, none of which covers another.
pub(super) struct Patterns(Vec<String>);

impl Patterns {
    /// Leaves out patterns with a character that no such name has: they match nothing, but `?` and
    /// `$` have a meaning in IAM.
    pub(super) fn new(patterns: impl Iterator<Item = String>, punctuation: &str) -> Self {
        let possible = |pattern: &String| {
            let fits = |c: char| c == '*' || c.is_ascii_alphanumeric() || punctuation.contains(c);
            !pattern.is_empty() && pattern.chars().all(fits)
        };
        let mut patterns = Self(patterns.filter(possible).collect());
        patterns.reduce();
        patterns
    }

    /// The patterns.
    pub(super) fn all(&self) -> &[String] {
        &self.0
    }

    fn size(&self) -> usize {
        self.0.iter().map(String::len).sum()
    }

    fn reduce(&mut self) {
        self.0.sort();
        self.0.dedup();
        let all = self.0.clone();
        // Only a `*` in the pattern matches a `*` in the text, so that "matches" means "covers".
        self.0.retain(|one| {
            !all.iter().any(|other| {
                other != one && matches(other, one) && !(matches(one, other) && one < other)
            })
        });
    }

    /// Joins the two neighbours with the longest common prefix; false if only one is left.
    fn join(&mut self) -> bool {
        let common = |a: &str, b: &str| {
            a.bytes()
                .zip(b.bytes())
                .take_while(|(a, b)| a == b && *a != b'*')
                .count()
        };
        let best = self
            .0
            .windows(2)
            .map(|pair| pair[0][..common(&pair[0], &pair[1])].to_owned())
            .enumerate()
            .max_by_key(|(_, beginning)| beginning.len());
        let Some((at, beginning)) = best else {
            return false;
        };
        self.0.splice(at..at + 2, [format!("{beginning}*")]);
        self.reduce();
        true
    }

    /// Cuts the only pattern in half; false if nothing is left of it.
    fn cut(&mut self) -> bool {
        let [one] = &mut self.0[..] else {
            return false;
        };
        if one == "*" {
            return false;
        }
        let literal = one.find('*').unwrap_or(one.len());
        one.truncate(literal / 2);
        one.push('*');
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn covered_and_impossible_patterns_are_left_out() {
        let patterns = [
            "shop-*", "shop-api", "shop-a*", "shop-*", "shop-?", "${aws:x}", "pay",
        ];
        let patterns = Patterns::new(patterns.into_iter().map(str::to_owned), "_-");
        assert_eq!(patterns.0, ["pay", "shop-*"]);
        let equal = ["a**", "a*", "a***"].into_iter().map(str::to_owned);
        assert_eq!(Patterns::new(equal, "_-").0.len(), 1);
    }

    proptest! {
        /// Joined patterns still allow all that the grants allow.
        #[test]
        fn joining_patterns_only_widens(
            names in proptest::collection::vec("[a-c]{1,4}[*]?[a-c]{0,3}", 1..12),
            times in 0..12_usize,
        ) {
            let mut patterns = Patterns::new(names.iter().cloned(), "_-");
            for _ in 0..times {
                if !patterns.join() {
                    patterns.cut();
                }
            }
            for name in &names {
                prop_assert!(patterns.0.iter().any(|pattern| matches(pattern, name)), "{name}");
            }
        }
    }
}
