//! The lab is tested like anything else: what stands on it is worth no more than it is.

mod aws;
