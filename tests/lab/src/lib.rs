//! The lab: real parts for tests and the demo.
