//! Tests of the tier.
