//! faaslet-store
