//! A connection to Docker, for `doctor` and for a NATS in a container. Jobs are the worker's.

use anyhow::Context as _;
use bollard::{API_DEFAULT_VERSION, Docker, query_parameters::CreateImageOptionsBuilder};
use futures_util::TryStreamExt as _;
use jobs::settings::{GITFAAS_DOCKER_HOST, GITFAAS_IMAGE_PREFIX, GITFAAS_RUNTIME, Problems, Reader};

/// Seconds until a request counts as unanswered.
const TIMEOUT_S: u64 = 60;

/// Which Docker is meant.
#[derive(Debug, Clone)]
pub(crate) struct DockerSettings {
    pub(crate) host: String,
    pub(crate) runtime: Option<String>,
    pub(crate) image_prefix: String,
}

impl DockerSettings {
    pub(crate) fn read(var: &dyn Fn(&str) -> Option<String>) -> Result<Self, Problems> {
        let mut env = Reader::new(var);
        let host: String = env.value(GITFAAS_DOCKER_HOST);
        let runtime = env.optional(GITFAAS_RUNTIME);
        let image_prefix = env.value(GITFAAS_IMAGE_PREFIX);
        if host.contains("://") && !host.starts_with("unix://") {
            env.problem(GITFAAS_DOCKER_HOST, "must be a socket, such as unix:///var/run/docker.sock");
        }
        env.finish(|| Some(Self { host, runtime, image_prefix }))
    }
}

/// Connects, in the version that both sides speak.
pub(crate) async fn connect(settings: &DockerSettings) -> anyhow::Result<Docker> {
    let docker = Docker::connect_with_unix(&settings.host, TIMEOUT_S, API_DEFAULT_VERSION)
        .with_context(|| format!("cannot reach Docker at {}", settings.host))?;
    docker.negotiate_version().await.with_context(|| format!("cannot reach Docker at {}", settings.host))
}

/// Fetches an image.
pub(crate) async fn pull(docker: &Docker, image: &str) -> anyhow::Result<()> {
    let options = CreateImageOptionsBuilder::new().from_image(image).build();
    docker.create_image(Some(options), None, None).try_for_each(|_| std::future::ready(Ok(()))).await?;
    Ok(())
}
