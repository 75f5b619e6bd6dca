//! A simulator of GitLab.
