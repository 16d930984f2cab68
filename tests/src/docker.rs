//! The Docker containers and volumes of an installation, by its label.

use std::collections::HashMap;

use bollard::{
    Docker,
    models::ContainerInspectResponse,
    query_parameters::{
        EventsOptions, ListContainersOptions, ListVolumesOptions, RemoveContainerOptions, RemoveVolumeOptions,
    },
};
use futures_util::StreamExt as _;

use crate::waiting::{REMOVAL, within};

/// For an answer of the daemon, in seconds.
const TIMEOUT_S: u64 = 60;

/// One installation's containers.
#[derive(Debug, Clone)]
pub struct Containers {
    docker: Docker,
    instance: String,
}

impl Containers {
    /// Those of the installation with this id.
    pub async fn of(instance: &str) -> Self {
        let socket = crate::config::docker_host();
        let docker = Docker::connect_with_unix(&socket, TIMEOUT_S, bollard::API_DEFAULT_VERSION);
        let docker = docker.expect("Docker's socket is there (scripts/docker)").negotiate_version().await;
        Self { docker: docker.expect("Docker answers (scripts/docker)"), instance: instance.to_owned() }
    }

    /// The installation's id.
    pub(crate) fn instance(&self) -> &str {
        &self.instance
    }

    /// Those of another installation.
    pub(crate) fn instead(&self, instance: &str) -> Self {
        Self { instance: instance.to_owned(), ..self.clone() }
    }

    fn filters(&self) -> HashMap<String, Vec<String>> {
        HashMap::from([("label".to_owned(), vec![format!("gitfaas.instance={}", self.instance)])])
    }

    /// The names of all that there are.
    pub async fn names(&self) -> Vec<String> {
        let options =
            ListContainersOptions { all: true, filters: Some(self.filters()), ..Default::default() };
        let all = self.docker.list_containers(Some(options)).await.expect("Docker lists containers");
        all.into_iter()
            .filter_map(|found| found.names?.into_iter().next())
            .map(|name| name.trim_start_matches('/').to_owned())
            .collect()
    }

    /// The names of a job's.
    pub async fn of_job(&self, job: &str) -> Vec<String> {
        let mut names = self.names().await;
        names.retain(|name| name.starts_with(&format!("gitfaas-{job}-")));
        names
    }

    /// What Docker says of a running job's only container.
    pub async fn inspect(&self, job: &str) -> ContainerInspectResponse {
        match &self.of_job(job).await[..] {
            [name] => self.named(name).await,
            others => panic!("job {job} has not one container but {others:?}"),
        }
    }

    /// What Docker says of a container.
    pub async fn named(&self, name: &str) -> ContainerInspectResponse {
        self.docker.inspect_container(name, None).await.expect("Docker shows a container")
    }

    /// The host's address on Docker's usual network, where its own services can be met.
    pub async fn bridge(&self) -> String {
        let network =
            self.docker.inspect_network("bridge", None).await.expect("Docker has its usual network");
        let pools = network.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
        pools.into_iter().find_map(|pool| pool.gateway).unwrap_or_else(|| "172.17.0.1".to_owned())
    }

    /// Kills a running job's only container, as an operator's slip would.
    pub async fn kill(&self, job: &str) {
        let names = self.of_job(job).await;
        let [name] = &names[..] else { panic!("job {job} has not one container but {names:?}") };
        self.docker.kill_container(name, None).await.expect("Docker kills a container");
    }

    /// Waits until a job has no container; they are removed after its end.
    pub async fn are_gone(&self, job: &str) {
        let destroyed = HashMap::from([
            ("type".to_owned(), vec!["container".to_owned()]),
            ("event".to_owned(), vec!["destroy".to_owned()]),
        ]);
        // Docker tells again what happened since then, so nothing is missed between looking and listening.
        let since = Some(jiff::Timestamp::now().as_second().to_string());
        let options = EventsOptions { filters: Some(destroyed), since, until: None };
        let mut events = Box::pin(self.docker.events(Some(options)));
        let going = async {
            while !self.of_job(job).await.is_empty() {
                events.next().await;
            }
        };
        within(REMOVAL, &format!("the containers of job {job} to be gone"), going, async || {
            self.of_job(job).await
        })
        .await;
    }

    /// Removes everything of the installation.
    pub async fn remove_all(&self) {
        for name in self.names().await {
            let options = RemoveContainerOptions { force: true, v: true, ..Default::default() };
            let _ = self.docker.remove_container(&name, Some(options)).await;
        }
        let options = ListVolumesOptions { filters: Some(self.filters()) };
        let volumes = self.docker.list_volumes(Some(options)).await;
        for volume in volumes.ok().and_then(|volumes| volumes.volumes).unwrap_or_default() {
            let _ = self.docker.remove_volume(&volume.name, Some(RemoveVolumeOptions { force: true })).await;
        }
    }
}
