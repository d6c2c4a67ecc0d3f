//! Images as the operator and tenants handle them: listed, copied out, taken in, removed.

use std::collections::HashSet;
use std::fs;
use std::io::Read;

use faaslet_snapshot::image::{Head, verify};
use faaslet_store::{BlobKind, Hash, Name};

use super::admin::AdminError;
use super::{Monitor, StoreError, deploy};
use crate::api::ImageInfo;

impl Monitor {
    /// Images of a tenant's functions.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn images(&self, tenant: &str) -> Result<Vec<ImageInfo>, AdminError> {
        let mut images = Vec::new();
        for deployed in self.functions.of(tenant) {
            for version in self.store.versions(&deployed.function).map_err(StoreError::from)? {
                let Some(image) = version.deployment.image else { continue };
                let file = self.open_blob(BlobKind::Image, image.blob)?;
                let head = faaslet_snapshot::image::Head::read(&file);
                images.push(ImageInfo {
                    id: image.id.to_string(),
                    function: deployed.name().to_owned(),
                    version: version.version,
                    bytes: file.metadata()?.len(),
                    memory_bytes: head.map_or(0, |head| head.memory_bytes()),
                });
            }
        }
        Ok(images)
    }

    /// The file of an image that a version of a tenant's functions has, by the image's id in hex.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn image_file(&self, tenant: &str, id: &str) -> Result<Option<fs::File>, AdminError> {
        for deployed in self.functions.of(tenant) {
            for version in self.store.versions(&deployed.function).map_err(StoreError::from)? {
                let image = version.deployment.image.filter(|image| image.id.to_string() == id);
                let Some(image) = image else { continue };
                return Ok(Some(self.open_blob(BlobKind::Image, image.blob)?));
            }
        }
        Ok(None)
    }

    /// Images that no version of any function has.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn unnamed_images(&self) -> Result<Vec<ImageInfo>, AdminError> {
        let mut named = HashSet::new();
        for info in self.store.functions(None).map_err(StoreError::from)? {
            for version in self.store.versions(&info.function).map_err(StoreError::from)? {
                named.extend(version.deployment.image.map(|image| image.blob));
            }
        }
        let mut images = Vec::new();
        for (blob, bytes) in self.store.blobs(BlobKind::Image)? {
            let Ok(head) = Head::read(&self.open_blob(BlobKind::Image, blob)?) else { continue };
            if !named.contains(&blob) {
                images.push(unnamed(&head, bytes));
            }
        }
        Ok(images)
    }

    /// Takes an image in, so that a deployment of the same recipe by this tenant finds it.
    ///
    /// # Errors
    /// When it is no image, or cannot be kept.
    pub fn put_image(&self, tenant: &Name, file: &mut dyn Read) -> Result<ImageInfo, AdminError> {
        let secret = self.store.tenant_secret(tenant).map_err(StoreError::from)?;
        let blob = self.store.put_blob(BlobKind::Image, None, file)?;
        let stored = self.open_blob(BlobKind::Image, blob)?;
        let head = match verify(&stored) {
            Ok(head) => head,
            Err(error) => {
                self.store.remove_blob(BlobKind::Image, blob)?;
                return Err(error.into());
            }
        };
        let label = deploy::file_label("image", head.identity().recipe.as_bytes(), &secret.0);
        self.store.pin_blob(BlobKind::Image, blob)?;
        self.store.set_label(BlobKind::Image, label, blob).map_err(StoreError::from)?;
        Ok(unnamed(&head, stored.metadata()?.len()))
    }

    /// Removes an image that no version has.
    ///
    /// # Errors
    /// When there is no such image, or a version has it.
    pub fn remove_image(&self, id: &str) -> Result<(), AdminError> {
        let mut found = false;
        for (blob, _) in self.store.blobs(BlobKind::Image)? {
            if self.is_image(blob, id)? {
                self.store.remove_blob(BlobKind::Image, blob)?;
                found = true;
            }
        }
        if found { Ok(()) } else { Err(AdminError::NoImage(id.to_owned())) }
    }

    fn is_image(&self, blob: Hash, id: &str) -> Result<bool, AdminError> {
        let head = Head::read(&self.open_blob(BlobKind::Image, blob)?);
        Ok(head.is_ok_and(|head| head.id().to_string() == id))
    }
}

fn unnamed(head: &Head, bytes: u64) -> ImageInfo {
    ImageInfo {
        id: head.id().to_string(),
        function: String::new(),
        version: 0,
        bytes,
        memory_bytes: head.memory_bytes(),
    }
}
