//! faaslet-ring
