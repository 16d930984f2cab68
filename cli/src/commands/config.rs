//! `gitfaas config`: every setting, and whether it is set. Never a value: many are secrets.

use std::process::ExitCode;

use jobs::settings::{self, Role, Setting};
use serde_json::json;

use crate::{args::JsonArgs, config, exit::CommandResult, out::Stdout, table};

pub(super) fn config(args: JsonArgs) -> CommandResult {
    let out = Stdout::new();
    let listed = || settings::all().filter(|setting| !setting.roles.contains(&Role::Compose));
    let is_set = |setting: &Setting| setting.set_as(&config::var).is_some();
    if args.json {
        let all: Vec<_> = listed()
            .map(|setting| {
                json!({
                    "name": setting.name, "default": setting.default.as_str(), "used_by": setting.used_by(),
                    "meaning": setting.help, "set": is_set(setting),
                })
            })
            .collect();
        out.json(&all)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = listed()
        .map(|setting| {
            let set = if is_set(setting) { "set" } else { "-" };
            let texts = [setting.name, set, setting.default.as_str(), &setting.used_by(), setting.help];
            texts.map(str::to_owned).into()
        })
        .collect();
    out.line(&table::table(&["VARIABLE", "", "DEFAULT", "USED BY", "MEANING"], &rows, out.terminal))?;
    for name in config::unknown_settings() {
        let hint = settings::nearest(&name)
            .map(|setting| format!("; did you mean {}?", setting.name))
            .unwrap_or_default();
        eprintln!("warning: {name} is set, but there is no such setting{hint}");
    }
    Ok(ExitCode::SUCCESS)
}
