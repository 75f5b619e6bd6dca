//! The list of kinds. A new kind needs a folder beside this file, a module in `mod.rs`, and a line below.

use serde::{Deserialize, Serialize};

#[cfg(test)]
use super::note::Note;
use super::{cloud_formation::CloudFormation, kind::Kind, lambda::Lambda, s3::S3};

/// Combines the types of all kinds into enums, and defines two macros for functions over all kinds:
/// - `on_kind!(Enum, value, |it: K| body)` evaluates `body` for the kind `K` of `value`, which holds `it`;
/// - `each_kind!(|K| body)` executes the statement `body` for each kind in turn.
macro_rules! kinds {
    ($d:tt $($(#[$meta:meta])* $Name:ident: $field:ident),+ $(,)?) => {
        /// The desired state of a component on AWS.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Workload {
            $($(#[$meta])* #[doc = concat!("[`", stringify!($Name), "`].")] $Name(Box<<$Name as Kind>::Desired>)),+
        }

        /// The state of a component on AWS before a run.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub enum WorkloadSnapshot {
            $($(#[$meta])* #[doc = concat!("[`", stringify!($Name), "`].")] $Name(Box<<$Name as Kind>::Snapshot>)),+
        }

        /// A read for a component.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Read {
            $($(#[$meta])* #[doc = concat!("[`", stringify!($Name), "`].")] $Name(<$Name as Kind>::Read)),+
        }

        /// The result of a read.
        pub enum Found {
            $($(#[$meta])* #[doc = concat!("[`", stringify!($Name), "`].")] $Name(<$Name as Kind>::Found)),+
        }

        /// A change of a component, or an invocation.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Action {
            $($(#[$meta])* #[doc = concat!("[`", stringify!($Name), "`].")] $Name(<$Name as Kind>::Action)),+
        }

        /// The result of an action.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Reply {
            $($(#[$meta])* #[doc = concat!("[`", stringify!($Name), "`].")] $Name(<$Name as Kind>::Reply)),+
        }

        /// The observations of all components, and what this process remembers of a run.
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
                #[allow(unreachable_patterns, reason = "unreachable if the list has one kind")]
                match then {
                    WorkloadSnapshot::$Name(then) => Some(then),
                    _ => None,
                }
            }

            fn as_desired(want: &Workload) -> Option<&Self::Desired> {
                #[allow(unreachable_patterns, reason = "unreachable if the list has one kind")]
                match want {
                    Workload::$Name(want) => Some(want),
                    _ => None,
                }
            }

            fn as_action(action: &Action) -> Option<&Self::Action> {
                #[allow(unreachable_patterns, reason = "unreachable if the list has one kind")]
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

/// A kind on the list, with the conversions between its own types and the combined ones.
pub trait Registered: Kind {
    /// The observations of this kind.
    fn observed(observed: &Observed) -> &Self::Observed;
    /// The same, mutable.
    fn observed_mut(observed: &mut Observed) -> &mut Self::Observed;
    /// Wraps a desired state.
    fn workload(want: Self::Desired) -> Workload;
    /// Wraps a snapshot.
    fn snapshot_of(then: Self::Snapshot) -> WorkloadSnapshot;
    /// The snapshot, if it is of this kind.
    fn as_snapshot(then: &WorkloadSnapshot) -> Option<&Self::Snapshot>;
    /// The desired state, if it is of this kind.
    fn as_desired(want: &Workload) -> Option<&Self::Desired>;
    /// The action, if it is of this kind.
    fn as_action(action: &Action) -> Option<&Self::Action>;
    /// Wraps a read.
    fn read(read: Self::Read) -> Read;
    /// Wraps an action.
    fn action(action: Self::Action) -> Action;
    /// Wraps the result of a read.
    fn found(found: Self::Found) -> Found;
    /// Wraps the result of an action.
    fn reply(reply: Self::Reply) -> Reply;
}

kinds! { $
    Lambda: lambda,
    S3: s3,
    CloudFormation: cloud_formation,
    #[cfg(test)]
    Note: note,
}

pub(crate) use {each_kind, on_kind};
