//! The command line without a service: help, wrong configuration, settings.

use crate::common::{gitfaas, stderr, stdout};

#[test]
fn help_names_every_command_and_the_exit_codes() {
    let dir = tempfile::tempdir().unwrap();
    let output = gitfaas(dir.path()).arg("--help").output().unwrap();
    assert!(output.status.success());
    let help = stdout(&output);
    for command in [
        "up", "gateway", "worker", "observer", "run", "token", "repo", "submit", "logs", "status", "list",
        "cancel", "rerun", "result", "doctor", "config", "hook",
    ] {
        assert!(help.contains(&format!("\n  {command} ")), "{command} is not in:\n{help}");
    }
    assert!(help.contains("64 the configuration is wrong"), "{help}");
}

#[test]
fn every_command_explains_itself() {
    let dir = tempfile::tempdir().unwrap();
    for command in [
        &["run"][..],
        &["token", "create"],
        &["token", "new"],
        &["token", "list"],
        &["token", "revoke"],
        &["repo", "add"],
        &["repo", "show"],
        &["repo", "set"],
        &["approve"],
        &["submit"],
        &["logs"],
        &["list"],
        &["doctor"],
    ] {
        let output = gitfaas(dir.path()).args(command).arg("--help").output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", stderr(&output));
        assert!(stdout(&output).contains("Usage: gitfaas"), "{command:?}");
    }
}

#[test]
fn wrong_configuration_is_64_and_names_everything_that_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let output = gitfaas(dir.path())
        .env("GITFAAS_LISTEN", "here")
        .env("GITFAAS_WORKER_SLOTS", "many")
        .env("GITFAAS_NATS_REPLICAS", "2")
        .env("GITFAAS_OBSERVER_LISTEN", "there")
        .arg("up")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64), "{}", stderr(&output));
    let stderr = stderr(&output);
    for name in ["GITFAAS_LISTEN", "GITFAAS_WORKER_SLOTS", "GITFAAS_NATS_REPLICAS", "GITFAAS_OBSERVER_LISTEN"]
    {
        assert_eq!(stderr.matches(&format!("  {name}: ")).count(), 1, "{name} in:\n{stderr}");
    }
    assert!(stdout(&output).is_empty());
}

#[test]
fn a_program_without_nats_is_wrongly_configured_too() {
    let dir = tempfile::tempdir().unwrap();
    for command in ["gateway", "worker", "observer"] {
        let output = gitfaas(dir.path()).arg(command).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{command}: {}", stderr(&output));
        assert!(stderr(&output).contains("GITFAAS_NATS_URL: not set"), "{command}: {}", stderr(&output));
    }
}

#[test]
fn a_client_without_a_token_is_told_how_to_get_one() {
    let dir = tempfile::tempdir().unwrap();
    let output = gitfaas(dir.path()).arg("list").output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).contains(
        "GITFAAS_TOKEN: not set; sign in with `gitfaas login`, or make one with `gitfaas token create"
    ));
}

#[test]
fn nobody_at_home_is_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let output = gitfaas(dir.path())
        .env("GITFAAS_URL", "http://127.0.0.1:1")
        .env("GITFAAS_TOKEN", "gft_0_0")
        .arg("list")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = stderr(&output);
    assert!(stderr.starts_with("error: no answer at http://127.0.0.1:1/: is `gitfaas up`"), "{stderr}");
}

#[test]
fn the_settings_are_listed_and_secrets_are_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let output = gitfaas(dir.path())
        .env("GITFAAS_ADMIN_SECRET", "hunter2")
        .env("GITFAAS_LISTN", "a slip")
        .arg("config")
        .output()
        .unwrap();
    let listed = stdout(&output);
    let line = listed.lines().find(|line| line.starts_with("GITFAAS_ADMIN_SECRET")).unwrap();
    assert!(line.split_whitespace().nth(1) == Some("set"), "{line}");
    assert!(!listed.contains("hunter2"));
    assert!(stderr(&output).contains("GITFAAS_LISTN is set, but there is no such setting"));
}

#[test]
fn the_hook_is_a_script() {
    let dir = tempfile::tempdir().unwrap();
    let output = gitfaas(dir.path()).arg("hook").output().unwrap();
    assert!(stdout(&output).starts_with("#!/bin/sh\n"));
}

#[test]
fn a_folder_that_is_not_there_is_not_taken_for_a_url() {
    let dir = tempfile::tempdir().unwrap();
    let output = gitfaas(dir.path()).args(["run", "./nowhere"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("there is no folder ./nowhere"), "{}", stderr(&output));
}
