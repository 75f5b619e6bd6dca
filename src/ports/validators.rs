//! By what it can be asked cheaply whether answers still hold: the validators (RFC 9110, 8.8; an ETag, say) that
//! came with them.
//!
//! Whoever reads runs it in [`Validators::of`]; an adapter notes what each of its reads was answered with, and one
//! that can't be asked about again as well.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

tokio::task_local! {
    static CURRENT: Arc<Mutex<Validators>>;
}

/// The longest validator that is remembered, in bytes: GitLab's have some forty.
const LONGEST: usize = 256;
/// How many reads are remembered; who has made more is taken for one that can't be asked about.
const READS: usize = 64;

/// What a number of reads was answered with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    by_read: BTreeMap<String, Validator>,
    /// Something was read of which it can't be told whether it still holds.
    in_doubt: bool,
}

/// What one read was answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validator {
    /// Which operation of the API that was.
    pub operation: &'static str,
    /// As the server wrote it.
    pub value: String,
}

impl Validators {
    /// Runs `work`, and tells what its reads were answered with.
    pub async fn of<F: Future>(work: F) -> (F::Output, Self) {
        let noted = Arc::<Mutex<Self>>::default();
        let output = CURRENT.scope(Arc::clone(&noted), work).await;
        let noted = std::mem::take(&mut *noted.lock().unwrap_or_else(PoisonError::into_inner));
        (output, noted)
    }

    /// Notes a read for whoever asked for it; `None` for one that failed, or came with no validator.
    pub fn note(read: &str, validator: Option<Validator>) {
        // Most reads are nobody's to remember.
        let _ = CURRENT.try_with(|noted| {
            let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
            noted.add(read.to_owned(), validator);
        });
    }

    /// Whether it can be told of everything that was read if it still holds.
    pub fn tell_all(&self) -> bool {
        !self.in_doubt && !self.by_read.is_empty()
    }

    /// What was read, and what it was answered with.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Validator)> {
        self.by_read.iter().map(|(read, one)| (read.as_str(), one))
    }

    /// Those of both. Where they contradict one another, one of the two is out of date.
    pub fn merge(&mut self, other: Self) {
        self.in_doubt |= other.in_doubt;
        for (read, validator) in other.by_read {
            self.add(read, Some(validator));
        }
    }

    fn add(&mut self, read: String, validator: Option<Validator>) {
        let Some(validator) = validator.filter(|it| it.value.len() <= LONGEST) else {
            self.in_doubt = true;
            return;
        };
        let before = self.by_read.get(&read);
        self.in_doubt |= before.is_some_and(|before| *before != validator);
        if before.is_none() && self.by_read.len() == READS {
            self.in_doubt = true;
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
    async fn who_asks_is_told_of_all_reads_and_nobody_of_those_outside() {
        Validators::note("/outside", None);
        let told = of(&[
            ("/a", Some(etag("1"))),
            ("/b", Some(etag("2"))),
            ("/a", Some(etag("1"))),
        ])
        .await;
        assert!(told.tell_all());
        let reads: Vec<_> = told.iter().map(|(read, it)| (read, &*it.value)).collect();
        assert_eq!(reads, [("/a", "1"), ("/b", "2")]);
    }

    #[tokio::test]
    async fn a_read_that_failed_came_without_or_changed_meanwhile_leaves_doubt() {
        assert!(!of(&[]).await.tell_all());
        assert!(
            !of(&[("/a", Some(etag("1"))), ("/b", None)])
                .await
                .tell_all()
        );
        assert!(
            !of(&[("/a", Some(etag("1"))), ("/a", Some(etag("2")))])
                .await
                .tell_all()
        );
        let reads: Vec<_> = (0..=READS).map(|nth| format!("/{nth}")).collect();
        let reads: Vec<_> = reads
            .iter()
            .map(|read| (&**read, Some(etag("1"))))
            .collect();
        assert!(of(&reads[1..]).await.tell_all());
        assert!(!of(&reads).await.tell_all());
        let long = "x".repeat(LONGEST + 1);
        assert!(of(&[("/a", Some(etag(&long[1..])))]).await.tell_all());
        assert!(!of(&[("/a", Some(etag(&long)))]).await.tell_all());
    }

    #[tokio::test]
    async fn those_of_two_hold_together_unless_they_contradict_one_another() {
        let mut both = of(&[("/a", Some(etag("1")))]).await;
        both.merge(of(&[("/a", Some(etag("1"))), ("/b", Some(etag("1")))]).await);
        assert!(both.tell_all());
        assert_eq!(both.iter().count(), 2);
        both.merge(of(&[("/a", Some(etag("2")))]).await);
        assert!(!both.tell_all());
        let mut doubtful = of(&[("/a", Some(etag("1")))]).await;
        doubtful.merge(of(&[("/b", None)]).await);
        assert!(!doubtful.tell_all());
    }
}
