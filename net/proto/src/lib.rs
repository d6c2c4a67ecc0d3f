//! faaslet-proto
