//! The table of settings is written to the files that show it, and they are what it says.
//!
//! `scripts/settings` runs this test with `GITFAAS_UPDATE_SETTINGS` set, which writes the files.

mod compose;
mod render;

use std::path::Path;

/// With it set the files are written; without it they are held to the table.
const UPDATE: &str = "GITFAAS_UPDATE_SETTINGS";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_default()
}

/// Holds a file to what it should be, or writes it.
fn hold(name: &str, wanted: &str) {
    #[expect(clippy::disallowed_methods, reason = "a test is told by its environment")]
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(root().join(name), wanted).expect("the checkout can be written");
    }
    assert!(read(name) == wanted, "{name} is not what jobs/src/settings says: run scripts/settings");
}

#[test]
fn the_example_of_an_environment_lists_every_setting() {
    hold(".env.example", &render::env_example());
}

#[test]
fn the_documentation_lists_every_setting() {
    hold("docs/settings.md", &render::markdown());
}

#[test]
fn every_service_of_docker_compose_is_given_its_settings_and_no_other() {
    let committed = read(compose::FILE);
    let wanted = compose::with_lists(&committed);
    hold(compose::FILE, &wanted);
    for service in compose::SERVICES {
        assert_eq!(compose::given(&wanted, service), compose::needed(service), "{}", service.name);
    }
}

#[test]
fn docker_compose_repeats_defaults_as_they_are() {
    for (name, default) in compose::defaults(&read(compose::FILE)) {
        let setting = jobs::settings::find(&name).unwrap_or_else(|| panic!("{name} is no setting"));
        assert_eq!(setting.default.value(), Some(default.as_str()), "{name}");
    }
}

#[test]
fn every_setting_that_a_program_names_is_in_the_table() {
    for package in ["hooks", "gateway", "worker", "observer", "cli"] {
        let text = read(&format!("{package}/src/config.rs"));
        for name in text.split('"').filter(|word| is_name(word)) {
            assert!(jobs::settings::find(name).is_some(), "{package}/src/config.rs names {name}");
        }
    }
}

fn is_name(word: &str) -> bool {
    let rest = word.strip_prefix("GITFAAS_");
    rest.is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    })
}
