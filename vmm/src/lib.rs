//! faaslet-vmm
