//! faaslet-perf
