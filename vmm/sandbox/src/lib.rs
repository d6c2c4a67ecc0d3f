//! faaslet-sandbox
