//! A fake CloudFormation: asynchronous change sets and operations on stacks, in memory.
//!
//! A template is a list of resources, one a line, such as `Queue: fast`; `$Name` in a value stands for a parameter.
//! Any change of a resource whose name begins with `Table` replaces it. Lines that begin with `#` are comments. Each
//! resource is an output too.

mod cloud_formation;
mod stack;
mod template;

pub use self::{
    cloud_formation::FakeStacks,
    stack::{FakeStack, resource},
};
