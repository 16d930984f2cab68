//! Docker: whether it answers, what runs the containers, and which languages have their image.

use std::path::PathBuf;

use bollard::Docker;
use jobs::settings::GITFAAS_RUNNER_IMAGES;

use super::{Check, limits};
use crate::{
    docker::{self, DockerSettings},
    exit,
};

const WHAT: &str = "Docker";
const RUNTIME: &str = "runtime";
const IMAGES: &str = "images";
/// The API version of Docker 20.10, the oldest daemon that was tried.
const OLDEST_API: (u32, u32) = (1, 41);

pub(super) async fn checks(var: &dyn Fn(&str) -> Option<String>) -> Vec<Check> {
    let settings = match DockerSettings::read(var) {
        Ok(settings) => settings,
        Err(problems) => return vec![Check::fail(WHAT, problems.to_string())],
    };
    let docker = match docker::connect(&settings).await {
        Ok(docker) => docker,
        Err(error) => {
            let message = format!("{}: start it, or set GITFAAS_DOCKER_HOST", exit::chain(&error));
            return vec![Check::fail(WHAT, message)];
        }
    };
    let mut checks = vec![version(&docker).await, runtime(&docker, &settings).await];
    let runner_images = GITFAAS_RUNNER_IMAGES.text(var).map(PathBuf::from);
    let (found, image) = images(&docker, runner_images, &settings.image_prefix).await;
    checks.extend(found);
    if let Some(image) = image {
        checks.extend(limits::checks(&docker, &settings, &image).await);
    }
    checks
}

async fn version(docker: &Docker) -> Check {
    let version = match docker.version().await {
        Ok(version) => version,
        Err(error) => return Check::fail(WHAT, format!("it does not tell its version: {error}")),
    };
    let (server, api) = (version.version.unwrap_or_default(), version.api_version.unwrap_or_default());
    let mut numbers = api.split('.').map(|part| part.parse().unwrap_or(0));
    let number: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if number < OLDEST_API {
        let (major, minor) = OLDEST_API;
        return Check::fail(
            WHAT,
            format!("{server} speaks API {api}; {major}.{minor} (Docker 20.10) is needed"),
        );
    }
    Check::ok(WHAT, format!("{server}, API {api}"))
}

async fn runtime(docker: &Docker, settings: &DockerSettings) -> Check {
    let info = match docker.info().await {
        Ok(info) => info,
        Err(error) => return Check::fail(RUNTIME, format!("Docker does not tell what it has: {error}")),
    };
    let cgroup = info.cgroup_version.map_or_else(|| "unknown".to_owned(), |version| version.to_string());
    let runtimes = info.runtimes.unwrap_or_default();
    match &settings.runtime {
        Some(wanted) if !runtimes.contains_key(wanted) => {
            let mut known: Vec<_> = runtimes.into_keys().collect();
            known.sort_unstable();
            Check::fail(
                RUNTIME,
                format!("Docker knows no {wanted}, only {}; see GITFAAS_RUNTIME", known.join(", ")),
            )
        }
        Some(wanted) => Check::ok(RUNTIME, format!("{wanted}, cgroup version {cgroup}")),
        None => {
            let default = info.default_runtime.unwrap_or_default();
            Check::ok(RUNTIME, format!("{default} (the daemon's default), cgroup version {cgroup}"))
        }
    }
}

/// One check a language, and an image that is there.
async fn images(docker: &Docker, folder: Option<PathBuf>, prefix: &str) -> (Vec<Check>, Option<String>) {
    let languages = match worker::images::load(folder.as_deref(), prefix) {
        Ok(languages) => languages,
        Err(error) => return (vec![Check::fail(IMAGES, exit::chain(&error.into()))], None),
    };
    let mut checks = Vec::new();
    let mut there = None;
    for language in languages {
        checks.push(if docker.inspect_image(&language.image).await.is_ok() {
            let check = Check::ok(IMAGES, format!("{}: {}", language.language, language.image));
            there = Some(language.image);
            check
        } else {
            let message =
                format!("{}: {} is missing: scripts/images makes it", language.language, language.image);
            Check::warn(IMAGES, message)
        });
    }
    if there.is_none() {
        checks.push(Check::fail(IMAGES, "no language can be offered: run scripts/images"));
    }
    (checks, there)
}
