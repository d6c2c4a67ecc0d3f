//! The code of a version: what the deployment recorded, or compiled again where that was made for
//! another engine or processor.
//!
//! Plan and artefact are replaced as one, in the record, so that it happens once. The image stays:
//! it fits as long as the plan is the same to the byte, and where it is not the function has to be
//! deployed again.

use std::sync::Arc;

use faaslet_store::{BlobKind, Code};

use super::builders::{self, Bake, BuildError, Built};
use super::functions::Deployed;
use super::load::LoadError;
use super::{Monitor, StoreError, blocking};
use crate::builder::{BakeLimits, Recipe};

impl Monitor {
    /// Code of this version that runs here.
    pub(super) async fn code(
        self: &Arc<Self>,
        deployed: &Arc<Deployed>,
    ) -> Result<Code, LoadError> {
        let recorded = deployed.deployment().code();
        if self.fits(&recorded) {
            return Ok(recorded);
        }
        if let Some(runtime) = self.runtime_of(deployed) {
            return Box::pin(self.code(&runtime)).await;
        }
        // Another load may have replaced it in the record.
        let (function, version) = (&deployed.function, deployed.version.version);
        let recorded = self.store.version(function, version).map_err(StoreError::from)?;
        let recorded = recorded.deployment.code();
        if self.fits(&recorded) {
            return Ok(recorded);
        }
        if let Some(message) = deployed.unfit.get() {
            return Err(refused(deployed, message));
        }
        self.compiled_again(deployed).await
    }

    fn fits(&self, code: &Code) -> bool {
        code.engine == self.engine && self.store.has_blob(BlobKind::Artefact, code.artefact)
    }

    async fn compiled_again(self: &Arc<Self>, deployed: &Arc<Deployed>) -> Result<Code, LoadError> {
        tracing::info!(function = %deployed.function, "compiling for this processor");
        let deployment = deployed.deployment();
        let default = BakeLimits::default();
        let recipe = Recipe {
            args: deployment.args.clone(),
            limits: BakeLimits { function: deployed.limits(), ..default },
            ..Recipe::default()
        };
        let group = self.groups.builders(&deployed.tenant.name);
        let turn = self.bakes.recompile(&deployed.tenant.name, &group).await;
        let turn = turn.ok_or_else(|| refused(deployed, "the monitor has no room for it"))?;
        let module = self.open_blob(BlobKind::Module, deployment.module)?;
        let bake = Bake {
            group: turn.group(),
            strictness: self.config.sandbox,
            module: &module,
            base: None,
            recipe: &recipe,
            image: false,
            folders: &[],
        };
        let built = builders::build(&bake, |_| {}).await.map_err(|error| match error {
            BuildError::Refused(message) => for_good(deployed, &message),
            error => refused(deployed, &error.to_string()),
        })?;
        let (monitor, deployed) = (Arc::clone(self), Arc::clone(deployed));
        blocking(move || monitor.replace(&deployed, built)).await?
    }

    fn replace(&self, deployed: &Deployed, built: Built) -> Result<Code, LoadError> {
        let put = |kind, file| {
            self.put_file(kind, file).map_err(|error| refused(deployed, &error.to_string()))
        };
        let made = built.code.ok_or_else(|| refused(deployed, "the builder gave no code"))?;
        let plan = put(BlobKind::Plan, made.0)?;
        let deployment = deployed.deployment();
        if deployment.image.is_some() && plan != deployment.plan {
            let message = "its image was made by another release; deploy the function again";
            return Err(for_good(deployed, message));
        }
        let code = Code { artefact: put(BlobKind::Artefact, made.1)?, plan, engine: self.engine };
        let (function, version) = (&deployed.function, deployed.version.version);
        self.store.replace_code(function, version, &code).map_err(StoreError::from)?;
        Ok(code)
    }
}

fn refused(deployed: &Deployed, message: &str) -> LoadError {
    LoadError::Recompile { name: deployed.name().to_owned(), message: message.to_owned() }
}

/// A refusal that would be the same for every call, so that it is not tried again.
fn for_good(deployed: &Deployed, message: &str) -> LoadError {
    let _ = deployed.unfit.set(message.to_owned());
    refused(deployed, message)
}
