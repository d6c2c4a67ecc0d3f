//! Copies of functions of other hosts: made, renewed, removed.

use std::sync::Arc;

use faaslet_net::ship::{RecordFile, Stage};
use faaslet_store::{BlobKind, FunctionName, Hash, VersionInfo};
use futures_util::future::try_join_all;

use super::super::functions::Deployed;
use super::super::lock::lock;
use super::super::{Monitor, StoreError, blocking};
use super::counts::Counts;
use super::find::{FindError, Found};
use super::pull::{Pull, PullError};
use super::{Progress, Remote};
use crate::monitor::AdminError;

/// Why a function of another host is not here.
#[derive(Debug, thiserror::Error)]
pub(in crate::monitor) enum BringError {
    /// This host knows no others.
    #[error("this host has it not, and knows no others")]
    Alone,
    /// It was not found.
    #[error("{0}")]
    Find(String),
    /// No host has it.
    #[error("no host has it")]
    Nobody,
    /// The record names no file of a kind that a function needs, or one that is too long.
    #[error("its record is not whole: {0}; deploy it again on its host")]
    Record(&'static str),
    /// A file.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// The record.
    #[error(transparent)]
    Adopt(#[from] faaslet_store::DeployError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its environment.
    #[error(transparent)]
    Settings(#[from] Box<AdminError>),
    /// A system call.
    #[error("cannot bring it here: {0}")]
    System(#[from] std::io::Error),
}

impl Monitor {
    /// A function as it is to be called: this host's own, or a copy that is as new as its origin
    /// says. Several who want the same one wait for the first.
    pub(in crate::monitor) async fn bring(
        self: &Arc<Self>,
        function: &FunctionName,
        progress: &Progress,
    ) -> Result<Arc<Deployed>, BringError> {
        let remote = self.remote.as_ref().ok_or(BringError::Alone)?;
        let turn = remote.bringing.of(Hash::of(function.to_string().as_bytes()));
        let _alone = turn.lock().await;
        let here = self.functions.get(function.tenant.as_str(), function.name.as_str());
        if let Some(here) = here.as_ref().filter(|here| !here.may_be_stale()) {
            return Ok(Arc::clone(here));
        }
        match (remote.find(function).await, here) {
            (Ok(found), Some(here)) if is_same(&here.version, &found.version) => {
                self.renew_settings(function, &found).await?;
                here.looked_after();
                Ok(here)
            }
            (Ok(found), _) => self.copy(remote, function, found, progress).await,
            (Err(FindError::Silent(hosts)), Some(here)) => {
                tracing::warn!(%function, hosts, "the origin of a copy cannot be asked");
                here.looked_after();
                Ok(here)
            }
            (Err(FindError::Nobody), Some(_)) => {
                tracing::info!(%function, "the origin of a copy has removed it");
                let (monitor, function) = (Arc::clone(self), function.clone());
                let removed = blocking(move || monitor.remove_function(&function)).await?;
                removed.map_err(Box::new)?;
                Err(BringError::Nobody)
            }
            (Err(FindError::Nobody), None) => Err(BringError::Nobody),
            (Err(error), None) => Err(BringError::Find(error.to_string())),
        }
    }

    async fn copy(
        self: &Arc<Self>,
        remote: &Remote,
        function: &FunctionName,
        found: Found,
        progress: &Progress,
    ) -> Result<Arc<Deployed>, BringError> {
        progress.enter(Stage::Fetch);
        let files = self.needed(&found)?;
        progress.expect(files.iter().map(|(_, file)| file.bytes).sum());
        let pull = Pull { monitor: self, remote, tenant: function.tenant.as_str(), progress };
        let pulls = files.iter().map(|(kind, file)| {
            let (kind, sources) = (*kind, found.sources(file));
            let pull = &pull;
            async move { pull.file((kind, file), &sources).await }
        });
        try_join_all(pulls).await?;
        let (monitor, function) = (Arc::clone(self), function.clone());
        let copy = blocking(move || monitor.adopt(&function, &found)).await??;
        Counts::add(&remote.counts.copies, 1);
        Ok(copy)
    }

    /// Files of a function that this host can use: code that was made for another engine or
    /// processor is compiled from the module instead.
    fn needed(&self, found: &Found) -> Result<Vec<(BlobKind, RecordFile)>, BringError> {
        let deployment = &found.version.deployment;
        let code = (deployment.engine == self.engine).then_some(deployment.artefact);
        let image = deployment.image.map(|image| image.blob);
        let mut needed = Vec::new();
        for (kind, hash, must) in [
            (BlobKind::Module, Some(deployment.module), true),
            (BlobKind::Plan, Some(deployment.plan), true),
            (BlobKind::Image, image, true),
            (BlobKind::Artefact, code, false),
        ] {
            let Some(hash) = hash else { continue };
            let mut files = found.record.files.iter();
            match files.find(|file| file.file.kind == kind as u8 && file.file.hash == hash.0) {
                Some(file) if file.bytes > kind.max_bytes() => {
                    return Err(BringError::Record("a file is over its limit"));
                }
                Some(file) => needed.push((kind, *file)),
                None if must => return Err(BringError::Record("a file is missing")),
                None => {}
            }
        }
        Ok(needed)
    }

    /// Makes a copy's record durable and lets calls reach it, unless the function was deployed here
    /// meanwhile.
    fn adopt(
        self: &Arc<Self>,
        function: &FunctionName,
        found: &Found,
    ) -> Result<Arc<Deployed>, BringError> {
        let _change = lock(&self.changes);
        let (tenant, name) = (function.tenant.as_str(), function.name.as_str());
        let here = self.functions.get(tenant, name);
        if let Some(here) = here.filter(|here| here.version.copy_of.is_none()) {
            return Ok(here);
        }
        self.store.adopt(function, &found.version, &found.settings)?;
        self.activate(function.clone(), found.version.clone());
        let origin = found.record.origin.as_str();
        tracing::info!(%function, origin, version = found.version.version, "copied");
        self.functions.get(tenant, name).ok_or(BringError::Nobody)
    }

    async fn renew_settings(
        self: &Arc<Self>,
        function: &FunctionName,
        found: &Found,
    ) -> Result<(), BringError> {
        if self.store.settings(function).map_err(StoreError::from)? == found.settings {
            return Ok(());
        }
        let set = self.set_settings(function, found.settings.clone()).await;
        Ok(set.map_err(Box::new)?)
    }
}

fn is_same(here: &VersionInfo, there: &VersionInfo) -> bool {
    let of = |info: &VersionInfo| (info.version, info.created_ms, info.copy_of.clone());
    of(here) == of(there)
}
