//! The lists of settings in `docker-compose.yml`, between the two marks: a name without a value is taken from
//! `.env`. What stands outside of them with a value is decided by the file itself.

use std::collections::BTreeSet;

use jobs::settings::{
    GITFAAS_CA_BUNDLE, GITFAAS_DATA_DIR, GITFAAS_DOCKER_HOST, GITFAAS_NATS_CREDS, GITFAAS_RUNNER_IMAGES,
    Role, Setting, all,
};

pub(crate) const FILE: &str = "docker-compose.yml";

/// What begins a list, before the name of the role; and what ends it.
const BEGIN: &str = "# Settings of the ";
const END: &str = "# End of settings.";

/// A program that runs as a service of the file.
pub(crate) struct Service {
    pub(crate) name: &'static str,
    pub(crate) role: Role,
    /// The lines that begin the mappings of which its environment is made.
    environment: &'static [&'static str],
    /// Settings that it is not given.
    without: &'static [&'static Setting],
}

/// Where files lie, and where Docker is, is decided by the file's volumes; passwords are in the URL of NATS.
const BY_VOLUMES: [&Setting; 4] =
    [GITFAAS_DATA_DIR, GITFAAS_NATS_CREDS, GITFAAS_DOCKER_HOST, GITFAAS_RUNNER_IMAGES];

pub(crate) const SERVICES: &[Service] = &[
    Service { name: "gateway", role: Role::Gateway, environment: &["  gateway:"], without: &BY_VOLUMES },
    Service {
        name: "worker-1",
        role: Role::Worker,
        environment: &["x-worker-environment: ", "  worker-1:"],
        without: &BY_VOLUMES,
    },
    Service {
        name: "worker-2",
        role: Role::Worker,
        environment: &["x-worker-environment: ", "  worker-2:"],
        without: &BY_VOLUMES,
    },
    Service {
        name: "observer",
        role: Role::Observer,
        environment: &["  observer:"],
        // It speaks to the NATS of the file alone, without TLS.
        without: &[GITFAAS_DATA_DIR, GITFAAS_NATS_CREDS, GITFAAS_CA_BUNDLE],
    },
];

/// The settings that a service must be given.
pub(crate) fn needed(service: &Service) -> BTreeSet<&'static str> {
    let its_own = all().filter(|setting| setting.roles.contains(&service.role));
    its_own.filter(|setting| !service.without.contains(setting)).map(|setting| setting.name).collect()
}

/// The settings that a service is given, old names taken for new ones.
pub(crate) fn given(file: &str, service: &Service) -> BTreeSet<&'static str> {
    let lines = service.environment.iter().flat_map(|begin| region(file, begin));
    let names = lines.filter_map(|line| Some(variable(line)?.0));
    names.map(|name| jobs::settings::find(name).unwrap_or_else(|| panic!("{name}")).name).collect()
}

/// The file with its lists as they should be.
pub(crate) fn with_lists(file: &str) -> String {
    let mut lines = Vec::new();
    let mut rest = file.lines();
    while let Some(line) = rest.next() {
        lines.push(line.to_owned());
        let Some(role) = line.trim_start().strip_prefix(BEGIN) else { continue };
        let service = SERVICES.iter().find(|service| role == format!("{}.", service.role.as_str()));
        let service = service.unwrap_or_else(|| panic!("no service has the role {role}"));
        let indent = " ".repeat(line.len() - line.trim_start().len());
        let decided = decided(file, service);
        let listed = needed(service).into_iter().collect::<BTreeSet<_>>();
        let passed = all().filter(|setting| listed.contains(setting.name) && !decided.contains(setting.name));
        lines.extend(passed.flat_map(Setting::names).map(|name| format!("{indent}{name}:")));
        lines.extend(rest.by_ref().find(|line| line.trim() == END).map(str::to_owned));
    }
    lines.join("\n") + "\n"
}

/// What stands with a value in the environment of a service.
fn decided<'a>(file: &'a str, service: &Service) -> BTreeSet<&'a str> {
    let lines = service.environment.iter().flat_map(|begin| region(file, begin));
    lines.filter_map(variable).filter(|(_, value)| !value.is_empty()).map(|(name, _)| name).collect()
}

/// The lines below the one that begins so, as far as they are indented deeper.
fn region<'a>(file: &'a str, begin: &str) -> Vec<&'a str> {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let mut lines = file.lines().skip_while(|line| !line.starts_with(begin));
    let head = lines.next().unwrap_or_else(|| panic!("{FILE} has no {begin:?}"));
    lines.take_while(|line| line.is_empty() || depth(line) > depth(head)).collect()
}

/// A line that sets a variable, and to what.
fn variable(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.trim_start().split_once(':')?;
    name.starts_with("GITFAAS_").then_some((name, value.trim()))
}

/// Each `${NAME:-default}`, but for the volumes of files that are not set.
pub(crate) fn defaults(file: &str) -> Vec<(String, String)> {
    let parts = file.split("${").skip(1).filter_map(|part| part.split_once('}'));
    let defaults = parts.filter_map(|(inside, _)| inside.split_once(":-"));
    let ours = defaults.filter(|(name, default)| name.starts_with("GITFAAS_") && *default != "/dev/null");
    ours.map(|(name, default)| (name.to_owned(), default.to_owned())).collect()
}
