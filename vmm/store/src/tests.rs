//! Tests of the store in one process.
