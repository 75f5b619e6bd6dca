//! The validators of responses (RFC 9110, 8.8; such as an ETag), by which a cheap request finds out whether a
//! response has changed.
//!
//! A caller makes its reads in [`Validators::of`]; an adapter notes the validator of each response, and also
//! each read that can't be revalidated.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

tokio::task_local! {
    static CURRENT: Arc<Mutex<Validators>>;
}

/// The longest validator that is recorded, in bytes. GitLab's have about forty.
const LONGEST: usize = 256;
/// The number of reads that are recorded. With more, the whole set can't be revalidated.
const READS: usize = 64;

/// The validators of a set of reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    by_read: BTreeMap<String, Validator>,
    /// At least one read can't be revalidated.
    incomplete: bool,
}

/// The validator of one response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validator {
    /// The operation of the API.
    pub operation: &'static str,
    /// The validator, as the server wrote it.
    pub value: String,
}

impl Validators {
    /// Runs `work`, and returns the validators of its reads.
    pub async fn of<F: Future>(work: F) -> (F::Output, Self) {
        let noted = Arc::<Mutex<Self>>::default();
        let output = CURRENT.scope(Arc::clone(&noted), work).await;
        let noted = std::mem::take(&mut *noted.lock().unwrap_or_else(PoisonError::into_inner));
        (output, noted)
    }

    /// Records a read for the caller; `None` for a read that failed or returned no validator.
    pub fn note(read: &str, validator: Option<Validator>) {
        // Most callers record no reads.
        let _ = CURRENT.try_with(|noted| {
            let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
            noted.add(read.to_owned(), validator);
        });
    }

    /// Whether every read can be revalidated.
    pub fn can_revalidate(&self) -> bool {
        !self.incomplete && !self.by_read.is_empty()
    }

    /// The reads and their validators.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Validator)> {
        self.by_read.iter().map(|(read, one)| (read.as_str(), one))
    }

    /// Adds the reads of `other`. If two validators of a read contradict each other, one is out of date.
    pub fn merge(&mut self, other: Self) {
        self.incomplete |= other.incomplete;
        for (read, validator) in other.by_read {
            self.add(read, Some(validator));
        }
    }

    fn add(&mut self, read: String, validator: Option<Validator>) {
        let Some(validator) = validator.filter(|it| it.value.len() <= LONGEST) else {
            self.incomplete = true;
            return;
        };
        let before = self.by_read.get(&read);
        self.incomplete |= before.is_some_and(|before| *before != validator);
        if before.is_none() && self.by_read.len() == READS {
            self.incomplete = true;
            return;
        }
        self.by_read.insert(read, validator);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn etag(value: &str) -> Validator {
        Validator {
            operation: "GET /projects/:id/pipelines",
            value: value.to_owned(),
        }
    }

    async fn of(reads: &[(&str, Option<Validator>)]) -> Validators {
        let reads = async || {
            for (read, validator) in reads {
                Validators::note(read, validator.clone());
            }
        };
        Validators::of(reads()).await.1
    }

    #[tokio::test]
    async fn validators_cover_all_reads_of_the_scope_and_no_others() {
        Validators::note("/outside", None);
        let validators = of(&[
            ("/a", Some(etag("1"))),
            ("/b", Some(etag("2"))),
            ("/a", Some(etag("1"))),
        ])
        .await;
        assert!(validators.can_revalidate());
        let reads: Vec<_> = (validators.iter())
            .map(|(read, it)| (read, &*it.value))
            .collect();
        assert_eq!(reads, [("/a", "1"), ("/b", "2")]);
    }

    #[tokio::test]
    async fn failed_changed_or_unvalidated_read_prevents_revalidation() {
        assert!(!of(&[]).await.can_revalidate());
        assert!(
            !of(&[("/a", Some(etag("1"))), ("/b", None)])
                .await
                .can_revalidate()
        );
        assert!(
            !of(&[("/a", Some(etag("1"))), ("/a", Some(etag("2")))])
                .await
                .can_revalidate()
        );
        let reads: Vec<_> = (0..=READS).map(|nth| format!("/{nth}")).collect();
        let reads: Vec<_> = reads
            .iter()
            .map(|read| (&**read, Some(etag("1"))))
            .collect();
        assert!(of(&reads[1..]).await.can_revalidate());
        assert!(!of(&reads).await.can_revalidate());
        let long = "x".repeat(LONGEST + 1);
        assert!(of(&[("/a", Some(etag(&long[1..])))]).await.can_revalidate());
        assert!(!of(&[("/a", Some(etag(&long)))]).await.can_revalidate());
    }

    #[tokio::test]
    async fn merged_validators_must_not_contradict_each_other() {
        let mut both = of(&[("/a", Some(etag("1")))]).await;
        both.merge(of(&[("/a", Some(etag("1"))), ("/b", Some(etag("1")))]).await);
        assert!(both.can_revalidate());
        assert_eq!(both.iter().count(), 2);
        both.merge(of(&[("/a", Some(etag("2")))]).await);
        assert!(!both.can_revalidate());
        let mut incomplete = of(&[("/a", Some(etag("1")))]).await;
        incomplete.merge(of(&[("/b", None)]).await);
        assert!(!incomplete.can_revalidate());
    }
}
