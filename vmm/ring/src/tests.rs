//! Tests of a pair within one process.
