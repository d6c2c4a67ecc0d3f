//! faaslet-tests
