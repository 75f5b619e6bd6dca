//! The AWS emulator behind a strict proxy.
