//! A NATS in a container, for machines that have Docker and no `nats-server`.
//!
//! Its store is a named volume of this data directory, because the daemon resolves paths on its own
//! host. The configuration goes in as a tar, so that the password is in no command line.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context as _;
use bollard::Docker;
use bollard::errors::Error as DockerError;
use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType, PortBinding};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, StopContainerOptionsBuilder,
    UploadToContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use futures_util::StreamExt as _;
use sha2::{Digest as _, Sha256};

use super::Address;
use crate::docker::{self, DockerSettings};

/// Tried in this order: what our own scripts make, then the public one.
const IMAGES: [&str; 2] = ["gitfaas/nats:2.10", "nats:2.10"];
/// Where the configuration lies in the container.
const CONFIG: &str = "/gitfaas-nats.conf";
/// Seconds that the server has to flush its store.
const STOP_TIMEOUT_S: i32 = 15;

/// A running server.
#[derive(Debug)]
pub(crate) struct Container {
    docker: Docker,
    name: String,
}

/// One container and one volume for a data directory.
fn name(data_dir: &Path) -> String {
    let digest = Sha256::digest(data_dir.as_os_str().as_encoded_bytes());
    format!("gitfaas-nats-{}", hex::encode(&digest[..6]))
}

fn configuration(address: &Address) -> String {
    format!(
        "server_name: \"{}\"\nlisten: \"0.0.0.0:4222\"\n\
         jetstream {{ store_dir: \"/data\", max_file_store: 100GB }}\n\
         authorization {{ user: \"{}\", password: \"{}\" }}\n",
        address.server_name,
        address.user,
        address.password.expose(),
    )
}

/// A tar with one file; every user in the container may read it, nobody outside sees it.
fn archive(path: &str, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o444);
    archive.append_data(&mut header, path.trim_start_matches('/'), bytes)?;
    archive.into_inner()
}

impl Container {
    pub(crate) async fn start(
        settings: &DockerSettings,
        address: &Address,
        data_dir: &Path,
    ) -> anyhow::Result<Self> {
        let docker = docker::connect(settings).await.context(
            "there is no nats-server 2.10 in PATH, and no Docker to run one in: install nats-server, or set GITFAAS_NATS_URL",
        )?;
        let container = Self { name: name(data_dir), docker };
        container.remove().await;
        let mut refused = Vec::new();
        for image in IMAGES {
            match container.create(image, address.port).await {
                Ok(()) => {
                    container.upload_config_and_start(address).await?;
                    return Ok(container);
                }
                Err(error) => refused.push(format!("{image}: {error:#}")),
            }
        }
        anyhow::bail!("there is no nats-server 2.10 in PATH, and no image of it: {}", refused.join("; "))
    }

    async fn create(&self, image: &str, port: u16) -> anyhow::Result<()> {
        if self.docker.inspect_image(image).await.is_err() {
            docker::pull(&self.docker, image).await?;
        }
        let binding =
            PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: Some(port.to_string()) };
        let store = Mount {
            typ: Some(MountType::VOLUME),
            source: Some(self.name.clone()),
            target: Some("/data".to_owned()),
            ..Mount::default()
        };
        let config = ContainerCreateBody {
            image: Some(image.to_owned()),
            cmd: Some(vec!["-c".to_owned(), CONFIG.to_owned()]),
            exposed_ports: Some(vec!["4222/tcp".to_owned()]),
            labels: Some(HashMap::from([("gitfaas.role".to_owned(), "nats".to_owned())])),
            host_config: Some(HostConfig {
                port_bindings: Some(HashMap::from([("4222/tcp".to_owned(), Some(vec![binding]))])),
                mounts: Some(vec![store]),
                cap_drop: Some(vec!["ALL".to_owned()]),
                security_opt: Some(vec!["no-new-privileges:true".to_owned()]),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::new().name(&self.name).build();
        self.docker.create_container(Some(options), config).await?;
        Ok(())
    }

    async fn upload_config_and_start(&self, address: &Address) -> anyhow::Result<()> {
        let archive = archive(CONFIG, configuration(address).as_bytes())?;
        let options = UploadToContainerOptionsBuilder::new().path("/").build();
        self.docker
            .upload_to_container(&self.name, Some(options), bollard::body_full(archive.into()))
            .await
            .context("cannot put the configuration into the container of NATS")?;
        self.restart().await
    }

    /// The container of an earlier `up`.
    pub(crate) async fn reattach(settings: &DockerSettings, data_dir: &Path) -> Option<Self> {
        let container = Self { docker: docker::connect(settings).await.ok()?, name: name(data_dir) };
        let info = container.docker.inspect_container(&container.name, None).await.ok()?;
        info.state?.running?.then_some(container)
    }

    pub(crate) async fn restart(&self) -> anyhow::Result<()> {
        self.docker.start_container(&self.name, None).await.context("cannot start the container of NATS")
    }

    /// Returns when it has exited.
    pub(crate) async fn exited(&self) {
        let options = WaitContainerOptionsBuilder::new().condition("not-running").build();
        let mut waiting = std::pin::pin!(self.docker.wait_container(&self.name, Some(options)));
        while let Some(Ok(_)) = waiting.next().await {}
    }

    /// Ends and removes it; the volume stays.
    pub(crate) async fn stop(&self) {
        let options = StopContainerOptionsBuilder::new().t(STOP_TIMEOUT_S).build();
        if let Err(error) = self.docker.stop_container(&self.name, Some(options)).await {
            tracing::warn!(%error, "nats container stop failed");
        }
        self.remove().await;
    }

    async fn remove(&self) {
        let options = RemoveContainerOptionsBuilder::new().force(true).build();
        match self.docker.remove_container(&self.name, Some(options)).await {
            Ok(()) | Err(DockerError::DockerResponseServerError { status_code: 404, .. }) => {}
            Err(error) => tracing::warn!(%error, "nats container removal failed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_data_directories_have_two_containers() {
        assert_ne!(name(Path::new("/a")), name(Path::new("/b")));
        assert_eq!(name(Path::new("/a")).len(), "gitfaas-nats-".len() + 12);
    }
}
