//! faaslet-macros
