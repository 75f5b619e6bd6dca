//! The list of kinds. A new kind is a folder beside this file, its module in `mod.rs`, and a line below.

use serde::{Deserialize, Serialize};

#[cfg(test)]
use super::note::Note;
use super::{kind::Kind, lambda::Lambda, s3::S3};

/// Makes one type of what each kind has for itself, and two macros that functions for all kinds are written
/// with:
/// - `on_kind!(Enum, value, |it: K| body)` is `body` for the kind `K` of `value`, which holds `it`;
/// - `each_kind!(|K| body)` is the statement `body` for one kind after the other.
macro_rules! kinds {
    ($d:tt $($(#[$meta:meta])* $Name:ident: $field:ident),+ $(,)?) => {
        /// What a component should be on AWS.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Workload {
            $($(#[$meta])* #[doc = concat!("[`", stringify!($Name), "`].")] $Name(Box<<$Name as Kind>::Desired>)),+
        }

        /// What a component was on AWS.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub enum WorkloadSnapshot {
            $($(#[$meta])* #[doc = concat!("[`", stringify!($Name), "`].")] $Name(Box<<$Name as Kind>::Snapshot>)),+
        }

        /// Something to read of a component.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Read {
            $($(#[$meta])* #[doc = concat!("[`", stringify!($Name), "`].")] $Name(<$Name as Kind>::Read)),+
        }

        /// What a read found.
        pub enum Found {
            $($(#[$meta])* #[doc = concat!("[`", stringify!($Name), "`].")] $Name(<$Name as Kind>::Found)),+
        }

        /// A change of a component, or an invocation.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Action {
            $($(#[$meta])* #[doc = concat!("[`", stringify!($Name), "`].")] $Name(<$Name as Kind>::Action)),+
        }

        /// What came of an action.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Reply {
            $($(#[$meta])* #[doc = concat!("[`", stringify!($Name), "`].")] $Name(<$Name as Kind>::Reply)),+
        }

        /// What was read of all components, and what this process remembers of a run.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct Observed {
            $($(#[$meta])* #[doc = concat!("Of [`", stringify!($Name), "`].")] pub $field: <$Name as Kind>::Observed),+
        }

        $($(#[$meta])* impl Registered for $Name {
            fn observed(observed: &Observed) -> &Self::Observed {
                &observed.$field
            }

            fn observed_mut(observed: &mut Observed) -> &mut Self::Observed {
                &mut observed.$field
            }

            fn workload(want: Self::Desired) -> Workload {
                Workload::$Name(Box::new(want))
            }

            fn snapshot_of(then: Self::Snapshot) -> WorkloadSnapshot {
                WorkloadSnapshot::$Name(Box::new(then))
            }

            fn as_snapshot(then: &WorkloadSnapshot) -> Option<&Self::Snapshot> {
                #[allow(unreachable_patterns, reason = "where there is one kind alone")]
                match then {
                    WorkloadSnapshot::$Name(then) => Some(then),
                    _ => None,
                }
            }

            fn as_desired(want: &Workload) -> Option<&Self::Desired> {
                #[allow(unreachable_patterns, reason = "where there is one kind alone")]
                match want {
                    Workload::$Name(want) => Some(want),
                    _ => None,
                }
            }

            fn as_action(action: &Action) -> Option<&Self::Action> {
                #[allow(unreachable_patterns, reason = "where there is one kind alone")]
                match action {
                    Action::$Name(action) => Some(action),
                    _ => None,
                }
            }

            fn read(read: Self::Read) -> Read {
                Read::$Name(read)
            }

            fn action(action: Self::Action) -> Action {
                Action::$Name(action)
            }

            fn found(found: Self::Found) -> Found {
                Found::$Name(found)
            }

            fn reply(reply: Self::Reply) -> Reply {
                Reply::$Name(reply)
            }
        })+

        macro_rules! on_kind {
            ($d Enum:ident, $d value:expr, |$d it:ident: $d K:ident| $d body:expr) => {
                match $d value {
                    $($(#[$meta])* $d Enum::$Name($d it) => {
                        type $d K = $crate::domain::workload::$field::$Name;
                        $d body
                    })+
                }
            };
        }

        macro_rules! each_kind {
            (|$d K:ident| $d body:expr) => {
                $($(#[$meta])* {
                    type $d K = $crate::domain::workload::$field::$Name;
                    $d body
                })+
            };
        }
    };
}

/// A kind that is on the list.
pub trait Registered: Kind {
    /// What was read of it.
    fn observed(observed: &Observed) -> &Self::Observed;
    /// The same, to take in more.
    fn observed_mut(observed: &mut Observed) -> &mut Self::Observed;
    /// As what a component should be.
    fn workload(want: Self::Desired) -> Workload;
    /// As what a component was.
    fn snapshot_of(then: Self::Snapshot) -> WorkloadSnapshot;
    /// What a component was, if it was of this kind.
    fn as_snapshot(then: &WorkloadSnapshot) -> Option<&Self::Snapshot>;
    /// What a component should be, if it is of this kind.
    fn as_desired(want: &Workload) -> Option<&Self::Desired>;
    /// What is to be done, if it is of this kind.
    fn as_action(action: &Action) -> Option<&Self::Action>;
    /// As something to read.
    fn read(read: Self::Read) -> Read;
    /// As something to do.
    fn action(action: Self::Action) -> Action;
    /// As what a read found.
    fn found(found: Self::Found) -> Found;
    /// As what came of an action.
    fn reply(reply: Self::Reply) -> Reply;
}

kinds! { $
    Lambda: lambda,
    S3: s3,
    #[cfg(test)]
    Note: note,
}

pub(crate) use {each_kind, on_kind};
