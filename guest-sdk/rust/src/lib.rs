//! faaslet
