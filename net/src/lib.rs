//! faaslet-net
