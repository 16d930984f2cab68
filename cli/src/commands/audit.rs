//! `gitfaas audit`: the audit log, for admins.

use std::process::ExitCode;

use jobs::{
    api::{AuditEvent, OpenEnum, Page},
    audit::By,
};
use serde_json::Value;

use crate::{
    answer::Answer, api::Api, args::AuditArgs, exit::CommandResult, fields::listed_time, out::Stdout,
    pages::List, table,
};

/// The columns of the list.
const HEAD: [&str; 6] = ["AT", "ACTION", "USER", "BY", "ADDRESS", "TARGET"];

pub(super) async fn audit(args: AuditArgs) -> CommandResult {
    let events = fetch(&Api::from_env()?, &args).await?;
    let out = Stdout::new();
    if args.json.json {
        out.json(&events)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = events.iter().map(|event| row(event)).collect();
    out.line(&table::table(&HEAD, &rows, out.terminal))?;
    Ok(ExitCode::SUCCESS)
}

async fn fetch(api: &Api, args: &AuditArgs) -> anyhow::Result<Vec<Answer<AuditEvent>>> {
    let filters = [
        ("log", args.log.as_deref()),
        ("action", args.action.as_deref()),
        ("user", args.user.as_deref()),
        ("target", args.target.as_deref()),
    ];
    let list = List { path: "audit", filters: &filters, limit: args.limit, what: "audit log" };
    let pages: Vec<Page<Answer<AuditEvent>>> = list.fetch(api).await?;
    Ok(pages.into_iter().flat_map(|page| page.items).collect())
}

fn row(event: &AuditEvent) -> Vec<String> {
    let user = event.email.clone().or(event.user.map(|user| user.to_string())).unwrap_or_default();
    let target = match &event.detail {
        Some(detail) => format!("{} ({detail})", event.target),
        None => event.target.clone(),
    };
    vec![
        listed_time(event.at),
        event.action.word(),
        user,
        event.by.as_ref().map(by).unwrap_or_default(),
        event.address.clone().unwrap_or_default(),
        target,
    ]
}

/// `operator`, or the kind and id of the credential.
fn by(by: &OpenEnum<By>) -> String {
    match by {
        OpenEnum::Known(By::Token(id)) => format!("token {id}"),
        OpenEnum::Known(By::Session(id)) => format!("session {id}"),
        OpenEnum::Known(By::Operator | By::Forge) | OpenEnum::Unknown(Value::String(_)) => by.word(),
        OpenEnum::Unknown(other) => {
            let kind_and_id = other.as_object().and_then(|by| by.iter().next());
            let shown = |(kind, id): (&String, &Value)| format!("{kind} {}", id.as_str().unwrap_or_default());
            kind_and_id.map(shown).unwrap_or_default()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::samples::ID;

    #[test]
    fn rows_of_the_list() {
        let events = [
            json!({"id": "2", "at": "2026-01-02T03:04:05.678Z", "action": "secret_set", "user": ID,
                   "email": "a@example.com", "by": {"token": ID}, "address": "192.0.2.1", "target": "01a0.KEY"}),
            json!({"id": "1", "at": "2026-01-02T03:04:04Z", "action": "job_rerun", "user": ID,
                   "by": {"session": "0200"}, "target": "01b0", "detail": "01b1"}),
            json!({"id": "0", "at": "2026-01-02T03:04:03Z", "action": "token_made", "by": "operator", "target": "0199"}),
        ];
        let rows: Vec<Vec<String>> =
            events.into_iter().map(|event| row(&serde_json::from_value(event).unwrap())).collect();
        insta::assert_snapshot!(table::table(&HEAD, &rows, false), @r"
        AT                   ACTION      USER                                  BY                                          ADDRESS    TARGET
        2026-01-02T03:04:05  secret_set  a@example.com                         token 0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10  192.0.2.1  01a0.KEY
        2026-01-02T03:04:04  job_rerun   0198c9f4-5c1e-7b4f-9d0a-3a1c5a7f2b10  session 0200                                           01b0 (01b1)
        2026-01-02T03:04:03  token_made                                        operator                                               0199
        ");
    }
}
