//! Ids that exceed 32 bits, like those of GitLab.com, to find clients that truncate them.

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $first:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The first id of a new simulator.
            pub const FIRST: Self = Self($first);

            /// The next id.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// A project's numeric id.
    ProjectId,
    2_200_000_001
);
id!(
    /// A user's numeric id.
    UserId,
    2_300_000_001
);
id!(
    /// A pipeline's id, unique in the instance.
    PipelineId,
    4_400_000_001
);
id!(
    /// The id of a job or trigger job, unique in the instance.
    JobId,
    13_000_000_001
);
