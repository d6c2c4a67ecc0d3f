//! Images as the operator and tenants handle them: listed, copied out, taken in, removed.

use std::collections::HashSet;
use std::fs;
use std::io::{Read, Seek, Write};

use faaslet_snapshot::image::{Head, head_of, verify};
use faaslet_store::{Base, BlobKind, Hash, ImageRef, Name};

use super::admin::AdminError;
use super::bases::AtRest;
use super::{Monitor, StoreError, deploy, load};
use crate::api::ImageInfo;

/// Bytes of an image that are copied at once.
const PART_BYTES: usize = 256 << 10;

impl Monitor {
    fn listed(
        &self,
        image: ImageRef,
        function: String,
        version: u64,
        base: Option<&Base>,
    ) -> Result<ImageInfo, AdminError> {
        let file = self.open_blob(BlobKind::Image, image.blob)?;
        Ok(ImageInfo {
            id: image.id.to_string(),
            function,
            version,
            bytes: file.metadata()?.len(),
            memory_bytes: head_of(&file).map_or(0, |head| head.memory_bytes()),
            base: base.map(|base| base.image.id.to_string()),
        })
    }

    /// Images of a tenant's functions, and of the runtimes that they were deployed on.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn images(&self, tenant: &str) -> Result<Vec<ImageInfo>, AdminError> {
        let (mut images, mut bases) = (Vec::new(), Vec::new());
        for deployed in self.functions.of(tenant) {
            for version in self.store.versions(&deployed.function).map_err(StoreError::from)? {
                let Some(image) = version.deployment.image else { continue };
                let base = version.deployment.base.as_ref();
                let name = deployed.name().to_owned();
                images.push(self.listed(image, name, version.version, base)?);
                bases.extend(base.cloned());
            }
        }
        bases.sort_by_key(|base| base.image.id);
        bases.dedup_by_key(|base| base.image.id);
        bases.retain(|base| base.function.tenant.as_str() != tenant);
        for base in bases {
            images.push(self.listed(base.image, base.function.to_string(), 0, None)?);
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
                let Some(base) = &version.deployment.base else {
                    return Ok(Some(self.open_blob(BlobKind::Image, image.blob)?));
                };
                return Ok(Some(whole(&self.at_rest(image.blob, Some(base))?)?));
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
                named.extend(version.deployment.base.map(|base| base.image.blob));
            }
        }
        let mut images = Vec::new();
        for (blob, bytes) in self.store.blobs(BlobKind::Image)? {
            let Ok(head) = head_of(&self.open_blob(BlobKind::Image, blob)?) else { continue };
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
        let head = head_of(&self.open_blob(BlobKind::Image, blob)?);
        Ok(head.is_ok_and(|head| head.id().to_string() == id))
    }
}

/// An image that rests as a layer, put together.
fn whole(image: &AtRest) -> Result<fs::File, AdminError> {
    let mut file = load::memory_file(&[])?;
    let (mut part, length) = (vec![0; PART_BYTES], image.len_bytes()?);
    let mut offset = 0;
    while offset < length {
        let now = PART_BYTES.min((length - offset) as usize);
        image.read_exact_at(&mut part[..now], offset)?;
        file.write_all(&part[..now])?;
        offset += now as u64;
    }
    file.rewind()?;
    Ok(file)
}

fn unnamed(head: &Head, bytes: u64) -> ImageInfo {
    ImageInfo {
        id: head.id().to_string(),
        function: String::new(),
        version: 0,
        bytes,
        memory_bytes: head.memory_bytes(),
        base: None,
    }
}
