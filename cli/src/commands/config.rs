//! `gitfaas config`: every setting, and whether it is set. Never a value: many are secrets.

use std::process::ExitCode;

use serde_json::json;

use crate::{
    args::JsonArgs,
    config,
    exit::Done,
    out::Out,
    table,
    variables::{self, VARIABLES},
};

pub(super) fn config(args: JsonArgs) -> Done {
    let out = Out::new();
    let is_set = |name: &str| config::var(name).is_some();
    if args.json {
        let all: Vec<_> = VARIABLES
            .iter()
            .map(|variable| {
                json!({
                    "name": variable.name, "default": variable.default, "used_by": variable.used_by,
                    "meaning": variable.meaning, "set": is_set(variable.name),
                })
            })
            .collect();
        out.json(&all)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = VARIABLES
        .iter()
        .map(|variable| {
            let set = if is_set(variable.name) { "set" } else { "-" };
            [variable.name, set, variable.default, variable.used_by, variable.meaning]
                .map(str::to_owned)
                .into()
        })
        .collect();
    out.line(&table::table(&["VARIABLE", "", "DEFAULT", "USED BY", "MEANING"], &rows, out.terminal))?;
    for name in variables::unknown(&config::names()) {
        eprintln!("warning: {name} is set, but there is no such setting");
    }
    Ok(ExitCode::SUCCESS)
}
