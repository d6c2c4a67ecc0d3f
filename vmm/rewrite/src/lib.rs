//! faaslet-rewrite
