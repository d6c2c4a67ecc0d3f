//! faaslet-snapshot
