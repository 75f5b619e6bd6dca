//! Kinds of objects that are watched.

use std::fmt::Debug;

use kube::Resource;

/// A kind of object that is watched.
pub trait Watched: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static {}

impl<K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static> Watched for K {}
