//! Where a Faaslet's random bytes come from.

use std::fmt;

use rand::Rng as _;

/// What sets the bytes of a bake apart from any other use of the tenant's secret.
const BAKE_CONTEXT: &str = "faaslet 2026-11 random bytes of a bake";

/// The random bytes that one Faaslet is given.
pub struct Random(Source);

enum Source {
    /// The thread's generator, a stream cipher, with seeds from the host's kernel. Its state lies
    /// outside of every guest, so no two forks are given the same bytes.
    Live,
    /// The output of a keyed hash: the same in every run for one tenant and recipe.
    Bake(Box<blake3::OutputReader>),
}

impl Random {
    /// Bytes drawn from the host.
    #[must_use]
    pub fn live() -> Self {
        Self(Source::Live)
    }

    /// Bytes that depend on the tenant's secret and the recipe alone: reproducible for the
    /// tenant, unknown to others.
    #[must_use]
    pub fn bake(tenant_secret: &[u8; 32], recipe: &[u8]) -> Self {
        let key = blake3::derive_key(BAKE_CONTEXT, tenant_secret);
        let mut hasher = blake3::Hasher::new_keyed(&key);
        hasher.update(recipe);
        Self(Source::Bake(Box::new(hasher.finalize_xof())))
    }

    /// Fills `buf`.
    pub fn fill(&mut self, buf: &mut [u8]) {
        match &mut self.0 {
            #[allow(clippy::disallowed_methods, reason = "what a guest draws is new each time")]
            Source::Live => rand::rng().fill_bytes(buf),
            Source::Bake(reader) => reader.fill(buf),
        }
    }
}

/// Says where the bytes come from, and nothing of them.
impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::Live => "Random(live)",
            Source::Bake(_) => "Random(bake)",
        })
    }
}
