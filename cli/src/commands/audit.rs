//! `gitfaas audit`: the audit log, for admins.

use std::process::ExitCode;

use reqwest::Method;
use serde_json::Value;

use crate::{api::Api, args::AuditArgs, exit::Done, out::Out, table};

/// What a gateway gives at once; further pages follow its cursor.
const PAGE: usize = 100;
/// The columns of the list.
const HEAD: [&str; 6] = ["AT", "ACTION", "USER", "BY", "ADDRESS", "TARGET"];

pub(super) async fn audit(args: AuditArgs) -> Done {
    let deeds = fetch(&Api::from_env()?, &args).await?;
    let out = Out::new();
    if args.json.json {
        out.json(&deeds)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = deeds.iter().map(row).collect();
    out.line(&table::table(&HEAD, &rows, out.terminal))?;
    Ok(ExitCode::SUCCESS)
}

async fn fetch(api: &Api, args: &AuditArgs) -> anyhow::Result<Vec<Value>> {
    let limit = args.limit;
    let mut deeds = Vec::new();
    let mut cursor: Option<String> = None;
    while deeds.len() < limit {
        let mut query = vec![("limit", (limit - deeds.len()).min(PAGE).to_string())];
        let given = [
            ("cursor", &cursor),
            ("log", &args.log),
            ("action", &args.action),
            ("user", &args.user),
            ("target", &args.target),
        ];
        query.extend(given.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
        let page = api.json(api.request(Method::GET, &["audit"]).query(&query), "audit log").await?;
        deeds.extend(page["items"].as_array().cloned().unwrap_or_default());
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    Ok(deeds)
}

fn row(deed: &Value) -> Vec<String> {
    let text = |name: &str| deed[name].as_str().unwrap_or_default().to_owned();
    let at = text("at").split('.').next().unwrap_or_default().trim_end_matches('Z').to_owned();
    let user = [text("email"), text("user")].into_iter().find(|word| !word.is_empty()).unwrap_or_default();
    let target = match deed["detail"].as_str() {
        Some(detail) => format!("{} ({detail})", text("target")),
        None => text("target"),
    };
    vec![at, text("action"), user, by(&deed["by"]), text("address"), target]
}

/// `operator`, or the kind and id of the credential.
fn by(by: &Value) -> String {
    let with_id = by.as_object().and_then(|by| by.iter().next());
    match (by.as_str(), with_id) {
        (Some(word), _) => word.to_owned(),
        (None, Some((kind, id))) => format!("{kind} {}", id.as_str().unwrap_or_default()),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_of_the_list() {
        let deeds = [
            json!({"id": "2", "at": "2026-01-02T03:04:05.678Z", "action": "secret_set", "user": "0198",
                   "email": "a@example.com", "by": {"token": "0199"}, "address": "192.0.2.1", "target": "01a0.KEY"}),
            json!({"id": "1", "at": "2026-01-02T03:04:04Z", "action": "job_rerun", "user": "0198",
                   "by": {"session": "0200"}, "target": "01b0", "detail": "01b1"}),
            json!({"id": "0", "at": "2026-01-02T03:04:03Z", "action": "token_made", "by": "operator", "target": "0199"}),
        ];
        let rows: Vec<Vec<String>> = deeds.iter().map(row).collect();
        insta::assert_snapshot!(table::table(&HEAD, &rows, false), @r"
        AT                   ACTION      USER           BY            ADDRESS    TARGET
        2026-01-02T03:04:05  secret_set  a@example.com  token 0199    192.0.2.1  01a0.KEY
        2026-01-02T03:04:04  job_rerun   0198           session 0200             01b0 (01b1)
        2026-01-02T03:04:03  token_made                 operator                 0199
        ");
    }
}
