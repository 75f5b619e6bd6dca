//! Sluice delivers what a GitLab pipeline built into AWS.
