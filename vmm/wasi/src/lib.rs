//! faaslet-wasi
