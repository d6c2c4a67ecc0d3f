//! Images that others are baked from: the runtimes of languages, which the operator keeps for all
//! tenants as functions of one tenant of its own, [`RUNTIMES`].
//!
//! A runtime's artefact, plan and image serve every tenant: nobody but the operator deploys there,
//! and what a cell gets of them is sealed. An image on a runtime is kept by its tenant, as a layer.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use faaslet_snapshot::image::{
    Head, ImageBytes, LayerError, Layered, base_of, head_of, write_layer,
};
use faaslet_store::{Base, BlobKind, Hash, ImageRef};

use super::admin::AdminError;
use super::deploy::DeployError;
use super::functions::Deployed;
use super::load;
use super::{Monitor, StoreError};

/// The tenant whose functions are runtimes.
pub const RUNTIMES: &str = "runtimes";

/// Why the file of an image does not give the image.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    /// The file, or that of its base, cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is not what it should be.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// It is a layer, and nothing says where its base is.
    #[error(
        "expected the base {0} of a layer to be on this host; it is not; deploy the runtime that \
         has it, then the function again"
    )]
    NoBase(String),
}

/// The bytes of an image, whichever way it rests.
pub(super) type AtRest = Box<dyn ImageBytes + Send>;

impl Monitor {
    /// The runtime of this name, as it is now.
    pub(super) fn runtime(&self, name: &str) -> Result<Arc<Deployed>, DeployError> {
        let found = self.functions.get(RUNTIMES, name);
        found.filter(|runtime| runtime.deployment().image.is_some()).ok_or_else(|| {
            let known = self.functions.of(RUNTIMES);
            let known: Vec<_> = known.iter().map(|runtime| runtime.name()).collect();
            DeployError::Request(format!(
                "expected a runtime that this host has ({}); found {name:?}; the operator adds one \
                 with `faaslet runtime add {name}`",
                if known.is_empty() { "none".to_owned() } else { known.join(", ") }
            ))
        })
    }

    /// What a version on this runtime records of it.
    pub(super) fn base(runtime: &Deployed) -> Option<Base> {
        let deployment = runtime.deployment();
        let (function, folders) = (runtime.function.clone(), deployment.folders.clone());
        Some(Base { function, image: deployment.image?, folders })
    }

    /// The runtime that a version was deployed on, if it is still the one there.
    pub(super) fn runtime_of(&self, deployed: &Deployed) -> Option<Arc<Deployed>> {
        let base = deployed.deployment().base.as_ref()?;
        let (tenant, name) = (base.function.tenant.as_str(), base.function.name.as_str());
        let same = |runtime: &Arc<Deployed>| runtime.deployment().image == Some(base.image);
        self.functions.get(tenant, name).filter(same)
    }

    /// The bytes of an image, put together with its base where it rests as a layer.
    pub(super) fn at_rest(&self, blob: Hash, base: Option<&Base>) -> Result<AtRest, RestError> {
        let file = self.image_blob(blob)?;
        let Some(named) = base_of(&file)? else { return Ok(Box::new(file)) };
        let base = base.ok_or_else(|| RestError::NoBase(named.to_string()))?;
        let under = self.image_blob(base.image.blob);
        let under = under.map_err(|_| RestError::NoBase(named.to_string()))?;
        Ok(Box::new(Layered::new(file, under)?))
    }

    fn image_blob(&self, blob: Hash) -> Result<File, StoreError> {
        self.store.open_blob(BlobKind::Image, blob).map_err(StoreError::from)
    }

    /// An image that was baked on a base, as the layer that the store keeps.
    pub(super) fn layer(&self, image: &File, base: ImageRef) -> Result<File, DeployError> {
        let under = Head::read(&self.image_blob(base.blob)?)?;
        let mut layer = load::memory_file(&[])?;
        write_layer(image, &under, &mut layer).map_err(RestError::from)?;
        layer.flush()?;
        Ok(layer)
    }

    /// The name of a stored image, read from what was stored.
    pub(super) fn image_ref(&self, blob: Hash) -> Result<ImageRef, DeployError> {
        let head = head_of(&self.image_blob(blob)?).map_err(RestError::from)?;
        Ok(ImageRef { id: Hash(*head.id().as_bytes()), blob })
    }

    /// That no version of any tenant was deployed on this function, or on any of this tenant's.
    pub(super) fn check_unused(&self, tenant: &str, name: Option<&str>) -> Result<(), AdminError> {
        if tenant != RUNTIMES {
            return Ok(());
        }
        let mut by = Vec::new();
        for info in self.store.functions(None).map_err(StoreError::from)? {
            for version in self.store.versions(&info.function).map_err(StoreError::from)? {
                let Some(base) = version.deployment.base else { continue };
                if base.function.tenant.as_str() == tenant
                    && name.is_none_or(|name| base.function.name.as_str() == name)
                {
                    by.push(format!("{} v{}", info.function, version.version));
                }
            }
        }
        let runtime = name.map_or_else(|| tenant.to_owned(), |name| format!("{tenant}/{name}"));
        if by.is_empty() { Ok(()) } else { Err(AdminError::BaseInUse { runtime, by }) }
    }
}
