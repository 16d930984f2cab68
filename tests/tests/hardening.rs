//! What must hold of how programs are started: their environment, and what the services of
//! `docker-compose.yml` may do.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace")
}

/// All Rust files below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
}

/// Where programs are started: with an environment of their own, each for its reason.
const STARTS_PROGRAMS: [&str; 3] = [
    // The one place of the command line and the services; see its own tests.
    "cli/src/child.rs",
    // A job's program: what the launcher becomes.
    "worker/launcher/src/exec.rs",
    // The same, with the environment that its orders name.
    "worker/launcher/src/supervisor.rs",
];

#[test]
fn no_program_is_started_with_our_environment() {
    let mut files = Vec::new();
    for package in ["jobs", "hooks", "gateway", "worker", "worker/launcher", "observer", "cli"] {
        sources(&root().join(package).join("src"), &mut files);
    }
    assert!(files.len() > 100, "the sources are there");
    let mut starting = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let path = file.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        // Tests stand at the end of a file, or in one of their own.
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let is_test = path.rsplit('/').next().is_some_and(|name| name.contains("test"));
        // Git's protocol has commands too, which are no programs.
        let starts = |line: &str| line.contains("Command::new(") && !line.contains("LsRefsCommand");
        if code.lines().any(starts) && !is_test {
            starting.push(path);
        }
    }
    starting.sort_unstable();
    starting.dedup();
    assert_eq!(starting, STARTS_PROGRAMS, "others start programs through cli/src/child.rs");
    let launched = std::fs::read_to_string(root().join(STARTS_PROGRAMS[2])).unwrap();
    assert!(launched.contains(".env_clear()"));
}

/// The lines of a block, deeper than the line that begins it.
fn block(text: &str, begins: impl Fn(&str) -> bool) -> Vec<&str> {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let mut lines = text.lines().skip_while(|line| !begins(line));
    let Some(first) = lines.next() else { return Vec::new() };
    let is_inside = |line: &&str| line.trim().is_empty() || depth(line) > depth(first);
    lines.take_while(is_inside).filter(|line| !line.trim().is_empty()).collect()
}

/// What a block says of a field at its first level, or the block that is merged into it.
fn says(compose: &str, block_lines: &[&str], field: &str) -> Option<String> {
    let depth = block_lines.first().map(|line| line.len() - line.trim_start().len())?;
    let own = block_lines.iter().filter(|line| line.len() - line.trim_start().len() == depth);
    let mut merged = None;
    for line in own {
        let (name, value) = line.trim().split_once(':')?;
        if name == field {
            return Some(value.trim().to_owned());
        }
        if name == "<<" {
            merged = value.trim().strip_prefix('*').map(str::to_owned);
        }
    }
    let anchor = format!(": &{}", merged?);
    says(compose, &block(compose, |line| line.ends_with(&anchor)), field)
}

#[test]
fn every_service_of_compose_may_do_as_little_as_it_can() {
    let compose = std::fs::read_to_string(root().join("docker-compose.yml")).unwrap();
    // What explains a field stands before it.
    let compose: Vec<&str> = compose.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let compose = compose.join("\n");
    let services = block(&compose, |line| line == "services:");
    let names: Vec<&str> = services
        .iter()
        .filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'))
        .filter(|name| !name.starts_with(' '))
        .collect();
    assert_eq!(names, ["nats-1", "nats-2", "nats-3", "gateway", "worker-1", "worker-2", "observer"]);
    for name in names {
        let service = block(&compose, |line| line == format!("  {name}:"));
        let says = |field: &str| says(&compose, &service, field);
        assert_eq!(says("read_only").as_deref(), Some("true"), "{name}");
        assert_eq!(says("security_opt").as_deref(), Some(r#"["no-new-privileges:true"]"#), "{name}");
        assert_eq!(says("cap_drop").as_deref(), Some("[ALL]"), "{name}");
        assert_eq!(says("privileged"), None, "{name}");
        // A worker holds Docker's socket and is root there; its data may be of the image's user.
        let more = name.starts_with("worker").then(|| "[DAC_OVERRIDE]".to_owned());
        assert_eq!(says("cap_add"), more, "{name}");
    }
    let ports: Vec<&str> = compose.lines().filter(|line| line.trim().starts_with("ports:")).collect();
    assert_eq!(ports, [r#"    ports: ["${GITFAAS_PUBLISH:-127.0.0.1:3000}:3000"]"#], "this machine alone");
}
