//! Named volumes, and how something gets into them: as a tar, through a container that never starts.
//!
//! The daemon resolves paths on its own host and we may be in a container ourselves, so files of
//! ours are never mounted by their path.

use std::io::Read;
use std::sync::Arc;

use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType, VolumeCreateRequest};
use bollard::query_parameters::{DownloadFromContainerOptions, UploadToContainerOptions};
use futures_util::TryStreamExt;

use super::container::Owned;
use super::engine::{Engine, Role};
use super::spec::LAUNCHER_DIR;
use super::{Doing, SandboxError, container};

/// The launcher, built for this worker.
pub(crate) const LAUNCHER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/launcher"));

/// Makes a volume of ours.
pub(crate) async fn make(engine: &Engine, name: &str, role: Role) -> Result<(), SandboxError> {
    let request = VolumeCreateRequest {
        name: Some(name.to_owned()),
        labels: Some(engine.labels(role, None)),
        ..Default::default()
    };
    engine.docker.create_volume(request).await.doing("create a volume").map(drop)
}

/// Puts launcher and certificates into their volume. Doing it again changes nothing.
pub(crate) async fn put_launcher(
    engine: &Arc<Engine>,
    image: &str,
    ca: Option<&[u8]>,
) -> Result<(), SandboxError> {
    make(engine, &engine.launcher_volume, Role::Launcher).await?;
    let trusted = match ca {
        Some(bundle) => Some([own_certificates(engine, image).await, bundle.to_vec()].concat()),
        None => None,
    };
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |name: &str, mode: u32, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_mode(mode);
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, bytes)
    };
    let added = add("launcher", 0o555, LAUNCHER).and_then(|()| match &trusted {
        Some(bundle) => add("ca.pem", 0o444, bundle),
        None => Ok(()),
    });
    added.and_then(|()| tar.finish()).expect("a vector can be written to");
    let tar = tar.into_inner().expect("a vector can be written to");
    put(engine, image, &engine.launcher_volume, LAUNCHER_DIR, LAUNCHER_DIR, tar).await
}

/// Gives the root of a fresh volume to `uid`.
pub(crate) async fn give(
    engine: &Arc<Engine>,
    image: &str,
    volume: &str,
    uid: u32,
) -> Result<(), SandboxError> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(0o755);
    header.set_uid(uid.into());
    header.set_gid(uid.into());
    header.set_size(0);
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_data(&mut header, "volume/", std::io::empty()).expect("a vector can be written to");
    let tar = tar.into_inner().expect("a vector can be written to");
    // Named from above: an entry "." would be passed over.
    put(engine, image, volume, "/volume", "/", tar).await
}

/// What an image trusts by itself, so that a bundle adds to it. All our images have the same base.
async fn own_certificates(engine: &Arc<Engine>, image: &str) -> Vec<u8> {
    const PATH: &str = "/etc/ssl/certs/ca-certificates.crt";
    let read = async {
        let helper = helper(engine, image, None).await.ok()?;
        let options = DownloadFromContainerOptions { path: PATH.to_owned() };
        let pieces = engine.docker.download_from_container(helper.id(), Some(options));
        let tar = pieces.try_collect::<Vec<_>>().await.ok()?.concat();
        let mut bytes = Vec::new();
        let mut archive = tar::Archive::new(tar.as_slice());
        archive.entries().ok()?.next()?.ok()?.read_to_end(&mut bytes).ok()?;
        bytes.push(b'\n');
        Some(bytes)
    };
    read.await.unwrap_or_default()
}

/// A container that never starts.
async fn helper(engine: &Arc<Engine>, image: &str, mount: Option<Mount>) -> Result<Owned, SandboxError> {
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        entrypoint: Some(vec!["/never-started".to_owned()]),
        labels: Some(engine.labels(Role::Launcher, None)),
        network_disabled: Some(true),
        host_config: Some(HostConfig { mounts: mount.map(|mount| vec![mount]), ..Default::default() }),
        ..Default::default()
    };
    container::create(engine, Engine::fresh_name(Role::Launcher), body).await
}

async fn put(
    engine: &Arc<Engine>,
    image: &str,
    volume: &str,
    target: &str,
    path: &str,
    tar: Vec<u8>,
) -> Result<(), SandboxError> {
    let mount = Mount {
        typ: Some(MountType::VOLUME),
        source: Some(volume.to_owned()),
        target: Some(target.to_owned()),
        ..Default::default()
    };
    let helper = helper(engine, image, Some(mount)).await?;
    let options = UploadToContainerOptions { path: path.to_owned(), ..Default::default() };
    let upload =
        engine.docker.upload_to_container(helper.id(), Some(options), bollard::body_full(tar.into()));
    upload.await.doing("put files into a volume")
}
